"""Accepting events: checked against the catalog, stored with their deliveries in one transaction.

`accept` works inside the caller's own transaction, so an event exists exactly when the caller's change does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

import db.deliveries
import db.events
import jsontext
from db.deliveries import ANYTHING, BACKLOG_CHANNEL, NewDelivery
from db.engine import run
from model import Event, NewEvent
from worker import ids
from worker.catalog import event_types, unknown
from worker.recipients import Recipients
from worker.routing import Recipient
from worker.tenants import TENANT_ID

MAX_DATA_BYTES = 256 * 1024
MAX_KEY_LENGTH = 255
MESSAGE_KEY = "message:"  # how the keys begin that name an event by its message; producers may not use it
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and halves of surrogate pairs: Postgres takes neither
_FIELDS = frozenset({"type", "tenant_id", "data", "id", "occurred_at"})


class EventRejected(ValueError):
    """An event cannot be accepted; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that is stored, and the deliveries that were made for it (by provider)."""

    event_id: UUID
    new: bool
    deliveries: Sequence[tuple[str, UUID]] = ()


def parse(message: Any) -> NewEvent:
    """Read one event as doors take it: {type, tenant_id, data, id?, occurred_at?}. Raises EventRejected."""
    if isinstance(message, NewEvent):
        return _checked(message)
    if not isinstance(message, Mapping):
        raise EventRejected(f"An event must be a JSON object, not {_kind(message)}.")
    unexpected = sorted(str(key) for key in message.keys() - _FIELDS)
    if unexpected:
        raise EventRejected(
            f"Unexpected field {unexpected[0][:100]!r}: an event has type, tenant_id, data, id and occurred_at."
        )
    for name in ("type", "tenant_id"):
        if not isinstance(message.get(name), str) or not message[name]:
            raise EventRejected(f"{name} must be a non-empty string, not {_kind(message.get(name))}.")
    if not isinstance(message.get("data"), Mapping):
        raise EventRejected(f"data must be a JSON object, not {_kind(message.get('data'))}.")
    return _checked(
        NewEvent(
            tenant_id=message["tenant_id"],
            type=message["type"],
            data=message["data"],
            key=_key(message.get("id")),
            occurred_at=_moment(message.get("occurred_at")),
        )
    )


def _kind(value: Any) -> str:
    if value == "":
        return "an empty string"
    names = {
        type(None): "missing or null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
    }
    return names.get(type(value), "a list" if isinstance(value, list) else "something else")


def _key(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY_LENGTH or _UNSTORABLE.search(value):
        raise EventRejected(f"id, the idempotency key, must be a string of 1 to {MAX_KEY_LENGTH} characters.")
    if value.startswith(MESSAGE_KEY):
        raise EventRejected(f'id must not begin with "{MESSAGE_KEY}": such keys name events that came without one.')
    return value


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        in_utc = moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise EventRejected('occurred_at must be a time such as "2026-03-01T12:00:00Z".') from None
    if moment.tzinfo is None:
        raise EventRejected('occurred_at must name its time zone, such as "2026-03-01T12:00:00Z".')
    return in_utc


def _checked(event: NewEvent) -> NewEvent:
    kind = event_types().get(event.type)
    if kind is None:
        raise EventRejected(unknown(event.type))
    if not TENANT_ID.fullmatch(event.tenant_id):
        raise EventRejected("tenant_id must be 1 to 128 letters, digits, dots, colons, dashes or underscores.")
    try:
        encoded = jsontext.encoded(event.data)
    except (TypeError, ValueError, RecursionError) as error:
        raise EventRejected(f"data of {event.type} is not JSON: {str(error)[:200]}.") from None
    if len(encoded) > MAX_DATA_BYTES:
        raise EventRejected(
            f"data of {event.type} is {len(encoded)} bytes, more than the {MAX_DATA_BYTES} allowed:"
            " store it elsewhere and send a reference."
        )
    if b"\\u0000" in encoded.replace(b"\\\\", b""):  # an escaped backslash before u0000 is no NUL
        raise EventRejected(f"data of {event.type} holds a NUL character, which cannot be stored: remove it.")
    problem = kind.problem(event.data)
    if problem:
        raise EventRejected(f"data of {event.type} does not fit its schema: {problem}.")
    return event


def accept(
    connection: Connection,
    events: Sequence[NewEvent | Mapping[str, Any]],
    *,
    caused_by: UUID | None = None,
    dispatched: bool = False,
) -> list[Accepted]:
    """Store events and their deliveries in the caller's transaction, in order; a known (tenant, id) makes nothing new.

    Nothing of ours has to be called after the commit: the reconciler is woken and sends the deliveries on their way.
    `dispatched` says that the caller sends them itself. Raises EventRejected for the first event that is wrong, and
    then stores none.
    """
    parsed = [parse(event) for event in events]
    if not parsed:
        return []
    known = Recipients.of(connection, parsed)
    problem = next(filter(None, map(known.problem, parsed)), None)
    if problem:
        raise EventRejected(problem)
    return store(connection, parsed, known, caused_by=caused_by, dispatched=dispatched)


class Claimer(Protocol):
    """Claims new deliveries in the commit that stores them, for calls that follow at once."""

    lease_s: float
    worker: str

    def choose(self, made: Sequence[Made]) -> list[UUID | None]:
        """For each delivery the id of its first attempt, or None: it is to wait for its claim."""

    def begun(self, made: Sequence[Made], attempt_ids: Sequence[UUID | None], started_at: datetime) -> None:
        """They are stored; the caller commits."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new delivery, and what its call needs."""

    delivery: NewDelivery
    event: Event
    recipient: Recipient


def store(
    connection: Connection,
    parsed: Sequence[NewEvent],
    known: Recipients,
    *,
    caused_by: UUID | None = None,
    dispatched: bool = False,
    claimer: Claimer | None = None,
) -> list[Accepted]:
    """The second half of `accept`: events that were parsed, of tenants that may publish.

    `Accepted.deliveries` are those that wait for their claim.
    """
    if not parsed:
        return []
    now = datetime.now(UTC)
    made = [(Event(ids.new(), e.tenant_id, e.type, e.data, e.occurred_at or now, caused_by), e.key) for e in parsed]
    stored = db.events.insert(connection, made)
    new = [event for (event, _), place in zip(made, stored, strict=True) if place.new]
    deliveries = store_deliveries(connection, new, known, dispatched=dispatched, claimer=claimer)
    if deliveries and not dispatched:
        wake(connection, {provider for waiting in deliveries.values() for provider, _ in waiting})
    return [Accepted(place.id, place.new, deliveries.get(place.id, ()) if place.new else ()) for place in stored]


def wake(connection: Connection, providers: Iterable[str] = (ANYTHING,)) -> None:
    """After the commit, wake whoever sends the waiting deliveries of these providers on their way."""
    sql = "select pg_notify(%(channel)s, provider) from unnest(%(providers)s::text[]) as provider"
    run(connection, sql, channel=BACKLOG_CHANNEL, providers=list(providers))


def store_deliveries(
    connection: Connection,
    events: Sequence[Event],
    known: Recipients,
    *,
    dispatched: bool,
    claimer: Claimer | None = None,
) -> dict[UUID, list[tuple[str, UUID]]]:
    """Route stored events and store their deliveries. (provider, delivery id) by event id of those that wait."""
    made = [Made(_delivery(event, place), event, place) for event in events for place in known.route(event)]
    if not made:
        return {}
    attempt_ids = claimer.choose(made) if claimer else [None] * len(made)
    started_at = db.deliveries.insert(
        connection,
        [each.delivery for each in made],
        attempt_ids,
        dispatched=dispatched,
        lease_s=claimer.lease_s if claimer else 0,
        worker=claimer.worker if claimer else "",
    )
    if claimer:
        claimer.begun(made, attempt_ids, started_at)
    waiting: dict[UUID, list[tuple[str, UUID]]] = {}
    for each, attempt_id in zip(made, attempt_ids, strict=True):
        if attempt_id is None:
            waiting.setdefault(each.event.id, []).append((each.delivery.provider, each.delivery.id))
    return waiting


def _delivery(event: Event, place: Recipient) -> NewDelivery:
    return NewDelivery(
        ids.new(), event.id, event.tenant_id, place.provider, place.integration_id, place.webhook_id, event.type
    )

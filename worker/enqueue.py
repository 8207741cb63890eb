"""Accepting events: checked against the catalog, stored with their deliveries in one transaction.

`accept` works inside the caller's own transaction, so an event exists exactly when the caller's change does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection

import db.deliveries
import db.events
from db.deliveries import ANYTHING, BACKLOG_CHANNEL, NewDelivery
from db.engine import run
from model import Event, NewEvent
from worker import ids
from worker.chains import follow, follow_step
from worker.event_checks import EventRejected, parse
from worker.recipients import Recipients
from worker.routing import Recipient


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that is stored, and the deliveries that were made for it (by provider)."""

    event_id: UUID
    new: bool
    deliveries: Sequence[tuple[str, UUID]] = ()


def accept(
    connection: Connection,
    events: Sequence[NewEvent | Mapping[str, Any]],
    *,
    cause: Event | None = None,
    dispatched: bool = False,
) -> list[Accepted]:
    """Store events and their deliveries in the caller's transaction, in order; a known (tenant, id) makes nothing new.

    Nothing of ours has to be called after the commit: the reconciler is woken and sends the deliveries on their way.
    `cause` is the event whose delivery publishes them; `dispatched` says that the caller sends them itself. Raises
    EventRejected for the first event that is wrong, and then stores none.
    """
    parsed = [parse(event) for event in events]
    if not parsed:
        return []
    known = Recipients.of(connection, parsed)
    problem = next(filter(None, map(known.problem, parsed)), None)
    if problem:
        raise EventRejected(problem)
    return store(connection, parsed, known, cause=cause, dispatched=dispatched)


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
    because_of: UUID  # the accepted event: this one, or the one that a chain made it of


def store(
    connection: Connection,
    parsed: Sequence[NewEvent],
    known: Recipients,
    *,
    cause: Event | None = None,
    dispatched: bool = False,
    claimer: Claimer | None = None,
) -> list[Accepted]:
    """The second half of `accept`: events that were parsed, of tenants that may publish.

    `Accepted.deliveries` are those that wait for their claim, of what chains made of the event too.
    """
    if not parsed:
        return []
    made = [(_event(each, cause), each.key) for each in parsed]
    stored = db.events.insert(connection, made)
    new = [event for (event, _), place in zip(made, stored, strict=True) if place.new]
    deliveries = store_deliveries(connection, new, known, cause=cause, dispatched=dispatched, claimer=claimer)
    if deliveries and not dispatched:
        wake(connection, {provider for waiting in deliveries.values() for provider, _ in waiting})
    return [Accepted(place.id, place.new, deliveries.get(place.id, ()) if place.new else ()) for place in stored]


def _event(new: NewEvent, cause: Event | None) -> Event:
    return Event(
        ids.new(),
        new.tenant_id,
        new.type,
        new.data,
        new.occurred_at or datetime.now(UTC),
        cause.id if cause else None,
        cause.trace if cause else None,
    )


def wake(connection: Connection, providers: Iterable[str] = (ANYTHING,)) -> None:
    """After the commit, wake whoever sends the waiting deliveries of these providers on their way."""
    sql = "select pg_notify(%(channel)s, provider) from unnest(%(providers)s::text[]) as provider"
    run(connection, sql, channel=BACKLOG_CHANNEL, providers=list(providers))


def store_deliveries(
    connection: Connection,
    events: Sequence[Event],
    known: Recipients,
    *,
    cause: Event | None = None,
    dispatched: bool,
    claimer: Claimer | None = None,
) -> dict[UUID, list[tuple[str, UUID]]]:
    """Route stored events, follow the chains that they start, and store the deliveries of both.

    (provider, delivery id) of those that wait, by the id of the event.
    """
    followed = follow(connection, events, cause) if known.chained else []
    if followed:
        stored = db.events.insert(connection, [(each.event, each.key) for each in followed])
        followed = [each for each, place in zip(followed, stored, strict=True) if place.new]
    made = [Made(_delivery(event, place), event, place, event.id) for event in events for place in known.route(event)]
    made += [
        Made(_delivery(each.event, place), each.event, place, each.because_of)
        for each in followed
        for place in known.route(each.event, only=each.integration_id)
    ]
    return _store_made(connection, made, dispatched=dispatched, claimer=claimer) if made else {}


def follow_by_hand(connection: Connection, step: Any, event: Event) -> UUID:
    """Follow one step of a chain for an event that was accepted earlier; the id of what the step publishes.

    Done once already, it makes nothing new. Raises EventRejected.
    """
    followed = follow_step(connection, step, event)
    (stored,) = db.events.insert(connection, [(followed.event, followed.key)])
    if stored.new:
        known = Recipients.of(connection, [followed.event])
        made = [
            Made(_delivery(followed.event, place), followed.event, place, followed.because_of)
            for place in known.route(followed.event, only=followed.integration_id)
        ]
        _store_made(connection, made, dispatched=False, claimer=None)
        wake(connection)
    return stored.id


def _store_made(
    connection: Connection, made: Sequence[Made], *, dispatched: bool, claimer: Claimer | None
) -> dict[UUID, list[tuple[str, UUID]]]:
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
            waiting.setdefault(each.because_of, []).append((each.delivery.provider, each.delivery.id))
    return waiting


def _delivery(event: Event, place: Recipient) -> NewDelivery:
    return NewDelivery(
        ids.new(),
        event.id,
        event.tenant_id,
        place.provider,
        place.integration_id,
        place.webhook_id,
        event.type,
        event.trace,
    )

"""The Redis door: events that Celery brought are accepted many at a time, and what cannot be is kept as rejected.

This door cannot answer its producer, so nothing may vanish: a message ends as an event, as the event it repeats, or as
a row of `rejected_events` with the reason. While Postgres is away the message waits, unacknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import NAMESPACE_OID, UUID, uuid5

import structlog
from sqlalchemy import Connection, Engine

import db.rejected
from db.engine import is_away
from model import NewEvent
from worker import faults, stopping
from worker.direct import Direct
from worker.enqueue import Accepted, Claimer, store
from worker.event_checks import MESSAGE_KEY, EventRejected, parse
from worker.logs import first_line
from worker.recipients import Recipients

AWAY_PAUSE_S = 0.25
GIVE_BACK_S = 1.0  # before a message that could not be stored is offered again

log = structlog.get_logger("mesh.receive")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as it arrived, and what names it among redelivered copies of its message."""

    message: Any
    message_id: str

    @property
    def rejected_id(self) -> UUID:
        """The id of its rejection, the same for every copy."""
        return uuid5(NAMESPACE_OID, self.message_id)


def arrivals(message_id: str, args: Sequence[Any], fields: Mapping[str, Any]) -> list[Arrival]:
    """The events of one call of `events.publish`: objects, lists of objects, or one object as keywords."""
    given: list[Any] = [*args, *([fields] if fields else [])] or [None]
    events = [event for each in given for event in (each if isinstance(each, list) else [each])]
    return [Arrival(event, f"{message_id}:{number}") for number, event in enumerate(events)]


class Road(Protocol):
    """What becomes of stored deliveries: some are claimed by this process at once, the others are sent."""

    def claimer(self) -> Direct:
        """For one commit."""

    def dispatch(self, deliveries: Sequence[tuple[str, UUID]]) -> None:
        """Send ids to their queues."""


def receive(engine: Engine, road: Road, arrivals: Sequence[Arrival]) -> list[Accepted | EventRejected]:
    """Accept what can be, keep what cannot, in one commit; then send the deliveries on their way."""
    parsed = [_parse(arrival) for arrival in arrivals]
    while True:
        try:
            with road.claimer() as claimer, engine.begin() as connection:
                results = _store(connection, arrivals, parsed, claimer)
        except Exception as error:
            if not is_away(error):
                return _one_by_one(engine, road, arrivals, error)
            if stopping.requested.is_set():
                raise
            log.warning("accept_waits_for_postgres", size=len(arrivals), error=first_line(error))
            stopping.requested.wait(AWAY_PAUSE_S)
        else:
            faults.reached("accept")
            waiting = [pair for result in results if isinstance(result, Accepted) for pair in result.deliveries]
            if waiting:
                road.dispatch(waiting)
            return results


def _one_by_one(
    engine: Engine, road: Road, arrivals: Sequence[Arrival], error: Exception
) -> list[Accepted | EventRejected]:
    """One of these cannot be stored: the others are, and it is kept."""
    if len(arrivals) > 1:
        return [result for arrival in arrivals for result in receive(engine, road, [arrival])]
    log.error("event_not_stored", error=repr(error)[:500])
    reason = EventRejected(f"It could not be stored ({type(error).__name__}); see the worker's log.")
    with engine.begin() as connection:
        _keep(connection, arrivals[0], reason)
    return [reason]


def _parse(arrival: Arrival) -> NewEvent | EventRejected:
    """The event, named by its message where its producer gave no id: a redelivered copy is then the same event."""
    try:
        event = parse(arrival.message)
    except EventRejected as error:
        return error
    return (
        event
        if event.key
        else NewEvent(event.tenant_id, event.type, event.data, MESSAGE_KEY + arrival.message_id, event.occurred_at)
    )


def _store(
    connection: Connection,
    arrivals: Sequence[Arrival],
    parsed: Sequence[NewEvent | EventRejected],
    claimer: Claimer,
) -> list[Accepted | EventRejected]:
    known = Recipients.of(connection, [event for event in parsed if isinstance(event, NewEvent)])
    judged = [event if isinstance(event, EventRejected) else _judged(event, known) for event in parsed]
    good = [event for event in judged if isinstance(event, NewEvent)]
    accepted = iter(store(connection, good, known, dispatched=True, claimer=claimer))
    results: list[Accepted | EventRejected] = []
    for arrival, event in zip(arrivals, judged, strict=True):
        if isinstance(event, NewEvent):
            results.append(next(accepted))
        else:
            _keep(connection, arrival, event)
            results.append(event)
    return results


def _judged(event: NewEvent, known: Recipients) -> NewEvent | EventRejected:
    problem = known.problem(event)
    return EventRejected(problem) if problem else event


def _keep(connection: Connection, arrival: Arrival, reason: EventRejected) -> None:
    message = arrival.message if isinstance(arrival.message, dict) else {}
    log.warning("event_rejected", rejected_id=str(arrival.rejected_id), reason=str(reason))
    db.rejected.insert(
        connection,
        rejected_id=arrival.rejected_id,
        door="redis",
        reason=str(reason),
        body=_body(arrival.message),
        tenant_id=_text(message.get("tenant_id")),
        event_type=_text(message.get("type")),
    )


def _text(value: Any) -> str | None:
    """Text as Postgres takes it, bounded."""
    return value[:255].replace("\x00", "").encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _body(message: Any) -> bytes:
    try:
        return json.dumps(message).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return f"(it cannot be written as JSON: {type(error).__name__})".encode()

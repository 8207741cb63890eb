"""The Redis door: events that Celery brought are accepted many at a time, and what cannot be is kept as rejected.

This door cannot answer its producer, so nothing may vanish: a message ends as an event, as the event it repeats, or as
a row of `rejected_events` with the reason. While Postgres is away the message waits, unacknowledged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import structlog
from sqlalchemy import Connection, Engine

import db.rejected
from db.engine import is_away
from model import NewEvent
from worker import faults, stopping
from worker.enqueue import MESSAGE_KEY, Accepted, EventRejected, parse, store, tenant_problems
from worker.logs import first_line

AWAY_PAUSE_S = 0.25

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


Dispatch = Callable[[Sequence[tuple[str, UUID]]], None]


def receive(engine: Engine, dispatch: Dispatch, arrivals: Sequence[Arrival]) -> list[Accepted | EventRejected]:
    """Accept what can be, keep what cannot, in one commit; then send the deliveries on their way."""
    parsed = [_parse(arrival) for arrival in arrivals]
    while True:
        try:
            with engine.begin() as connection:
                results = _store(connection, arrivals, parsed)
        except Exception as error:
            if not is_away(error):
                return _one_by_one(engine, dispatch, arrivals, error)
            if stopping.requested.is_set():
                raise
            log.warning("accept_waits_for_postgres", size=len(arrivals), error=first_line(error))
            stopping.requested.wait(AWAY_PAUSE_S)
        else:
            faults.reached("accept")
            dispatch([pair for result in results if isinstance(result, Accepted) for pair in result.deliveries])
            faults.reached("dispatch")
            return results


def _one_by_one(
    engine: Engine, dispatch: Dispatch, arrivals: Sequence[Arrival], error: Exception
) -> list[Accepted | EventRejected]:
    """One of these cannot be stored: the others are, and it is kept."""
    if len(arrivals) > 1:
        return [result for arrival in arrivals for result in receive(engine, dispatch, [arrival])]
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
    connection: Connection, arrivals: Sequence[Arrival], parsed: Sequence[NewEvent | EventRejected]
) -> list[Accepted | EventRejected]:
    problems = tenant_problems(connection, [event for event in parsed if isinstance(event, NewEvent)])
    judged = [
        EventRejected(problems[event.tenant_id])
        if isinstance(event, NewEvent) and event.tenant_id in problems
        else event
        for event in parsed
    ]
    accepted = iter(store(connection, [e for e in judged if isinstance(e, NewEvent)], dispatched=True))
    results: list[Accepted | EventRejected] = []
    for arrival, event in zip(arrivals, judged, strict=True):
        if isinstance(event, NewEvent):
            results.append(next(accepted))
        else:
            _keep(connection, arrival, event)
            results.append(event)
    return results


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

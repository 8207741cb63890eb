"""Chains: an event that happened makes the next account act, as rows of configuration say.

A step is followed in the commit that stores the event: it publishes an event of its own, for the one account that it
names, with data that its mapping makes of what happened. All of it shares the trace of the event that began it. A step
that cannot be followed leaves the reason in `rejected_events`; the event itself is accepted all the same.

The first step of a chain is started by any event of its type, the others only by what came of the step before them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any
from uuid import UUID, uuid5

import structlog
from sqlalchemy import Connection

import db.chains
import db.events
import db.rejected
from db.rejected import Rejection
from model import Event, NewEvent
from worker import ids
from worker.event_checks import EventRejected, parse
from worker.mapping import MappingError, Source, fill
from worker.routing import matches

log = structlog.get_logger("mesh.chains")


@dataclass(frozen=True, slots=True)
class Followed:
    """An event that a step publishes: for one account, because of another event."""

    event: Event
    key: str
    integration_id: UUID
    because_of: UUID


def follow(connection: Connection, events: Sequence[Event], cause: Event | None) -> list[Followed]:
    """What the steps of their tenants make of events that were just stored; `cause`: whose delivery published them.

    What a step published starts no other step: it is a request, not something that happened.
    """
    happened = [event for event in events if event.chain_step_id is None]
    if not happened:
        return []
    tenants, types = {event.tenant_id for event in happened}, {event.type for event in happened}
    before = cause.chain_step_id if cause is not None else None
    steps = db.chains.following(connection, tenants, types, before)
    line = cache(partial(_line, connection, cause)) if cause is not None else list
    followed, refused = [], []
    for event, step in ((event, step) for event in happened for step in steps if starts(step, event, before)):
        try:
            followed.append(_follow(step, event, line))
        except EventRejected as error:
            refused.append(_rejection(step, event, str(error)))
    if refused:
        log.warning("chain_steps_not_followed", count=len(refused), reason=refused[0].reason)
        db.rejected.insert_many(connection, refused)
    return followed


def _line(connection: Connection, cause: Event) -> list[Event]:
    """What an event of this cause came of, nearest first."""
    return [cause, *db.events.ancestors(connection, cause.id)]


def starts(step: Any, event: Event, before: UUID | None) -> bool:
    """Whether an event starts a step. `before`: the step whose account the event came of."""
    return (
        step.tenant_id == event.tenant_id
        and step.event_type == event.type
        and step.after_id in (None, before)
        and matches(step.filters, event.data)
    )


def _rejection(step: Any, event: Event, reason: str) -> Rejection:
    return Rejection(
        id=uuid5(step.id, str(event.id)),
        door="chain",
        reason=reason,
        body=json.dumps({"chain_step_id": str(step.id)}).encode(),
        tenant_id=event.tenant_id,
        event_type=step.action,
        event_id=event.id,
    )


def follow_step(connection: Connection, step: Any, event: Event) -> Followed:
    """What a step makes of an event that is stored. Raises EventRejected."""
    return _follow(step, event, cache(partial(db.events.ancestors, connection, event.id)))


def _follow(step: Any, event: Event, ancestors: Callable[[], Sequence[Event]]) -> Followed:
    where = f"Step {step.position} of chain {step.chain}"
    if step.integration_state == "disconnected":
        raise EventRejected(f"{where}: its integration {step.integration_id} is disconnected.")
    if event.caused_by is not None and any(each.chain_step_id == step.id for each in ancestors()):
        raise EventRejected(f"{where} would be followed again by what came of itself: a loop, which is refused.")
    data = _data(step, Source(event, ancestors), where)
    key = f"chain:{step.id}:{event.id}"
    made = Event(
        ids.new(), event.tenant_id, step.action, data, datetime.now(UTC), event.id, event.trace, chain_step_id=step.id
    )
    return Followed(made, key, step.integration_id, event.id)


def _data(step: Any, source: Source, where: str) -> Mapping[str, Any]:
    """The data of the event that a step publishes. Raises EventRejected."""
    try:
        data = fill(step.mapping, source)
        return parse(NewEvent(step.tenant_id, step.action, data)).data
    except (MappingError, EventRejected) as error:
        raise EventRejected(f"{where}: {error}") from None

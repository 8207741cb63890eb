"""Chains: an event that happened makes the next account act, as rows of configuration say.

A step is followed in the commit that stores the event: it publishes an event of its own, for the one account that it
names, with data that its mapping makes of what happened. All of it shares the trace of the event that began it. A step
that cannot be followed leaves the reason in `rejected_events`; the event itself is accepted all the same.

The first step of a chain is started by any event of its type, the others only by what came of the step before them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
    steps = db.chains.following(connection, tenants, types)
    before = cause.chain_step_id if cause is not None else None
    found = [
        _follow_or_keep(connection, step, event) for event in happened for step in steps if starts(step, event, before)
    ]
    return [each for each in found if each is not None]


def starts(step: Any, event: Event, before: UUID | None) -> bool:
    """Whether an event starts a step. `before`: the step whose account the event came of."""
    return (
        step.tenant_id == event.tenant_id
        and step.event_type == event.type
        and step.after_id in (None, before)
        and matches(step.filters, event.data)
    )


def _follow_or_keep(connection: Connection, step: Any, event: Event) -> Followed | None:
    """What a step makes of an event, or None: the reason is kept."""
    try:
        return follow_step(connection, step, event)
    except EventRejected as error:
        log.warning("chain_step_not_followed", chain=step.chain, position=step.position, reason=str(error))
        db.rejected.insert(
            connection,
            rejected_id=uuid5(step.id, str(event.id)),
            door="chain",
            reason=str(error),
            body=json.dumps({"chain_step_id": str(step.id)}).encode(),
            tenant_id=event.tenant_id,
            event_type=step.action,
            event_id=event.id,
        )
        return None


def follow_step(connection: Connection, step: Any, event: Event) -> Followed:
    """What a step makes of an event. Raises EventRejected."""
    where = f"Step {step.position} of chain {step.chain}"
    if step.integration_state == "disconnected":
        raise EventRejected(f"{where}: its integration {step.integration_id} is disconnected.")
    ancestors = cache(partial(db.events.ancestors, connection, event.id))
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

"""Rejected events, looked at by a person: accepted after all, or dismissed."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.chains
import db.events
import db.rejected
from worker.enqueue import accept, follow_by_hand
from worker.event_checks import EventRejected


class RejectionError(ValueError):
    """A rejected event cannot be accepted or dismissed; the message is one sentence that says why."""


def retry(connection: Connection, rejected_id: UUID) -> UUID:
    """Accept it as if it came now. The event's id. Raises EventRejected when what was wrong still is.

    A chain's step is followed as it stands now.
    """
    row = _open(connection, rejected_id)
    if row.door == "chain":
        event_id = _follow_again(connection, row)
        db.rejected.resolve(connection, rejected_id)
        return event_id
    event = _event(row)
    key = event.get("id") or f"rejected:{rejected_id}"
    (accepted,) = accept(connection, [{**event, "id": key}])
    db.rejected.resolve(connection, rejected_id)
    return accepted.event_id


def dismiss(connection: Connection, rejected_id: UUID) -> None:
    """Note that it needs nothing more."""
    _open(connection, rejected_id)
    db.rejected.resolve(connection, rejected_id)


def _follow_again(connection: Connection, row: Any) -> UUID:
    """What the step of a chain makes of its event as the chain stands now: the id of the event that it publishes."""
    step = db.chains.standing(connection, UUID(json.loads(bytes(row.body))["chain_step_id"]))
    event = db.events.as_event(connection, row.event_id)
    if step is None or event is None:
        raise RejectionError(
            f"The {'event' if event is None else 'chain'} behind rejected event {row.id} is gone: dismiss it."
        )
    return follow_by_hand(connection, step, event)


def _open(connection: Connection, rejected_id: UUID) -> Any:
    row = db.rejected.lock(connection, rejected_id)
    if row is None:
        raise RejectionError(f"There is no rejected event {rejected_id}: `mesh events rejected` lists those that are.")
    if row.resolved_at is not None:
        raise RejectionError(f"Rejected event {rejected_id} was settled at {row.resolved_at:%Y-%m-%d %H:%M} UTC.")
    return row


def _event(row: Any) -> dict[str, Any]:
    """The event inside: the whole body where a producer sent it, else the data that goes with the row's columns."""
    try:
        body = json.loads(bytes(row.body))
    except ValueError:
        raise EventRejected(f"What was rejected is not JSON, so it can only be dismissed: {row.reason}") from None
    if row.door != "redis":
        return {"type": row.event_type, "tenant_id": row.tenant_id, "data": body}
    if not isinstance(body, dict):
        raise EventRejected(f"What was rejected is not one event, so it can only be dismissed: {row.reason}")
    return body

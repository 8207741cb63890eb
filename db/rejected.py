"""rejected_events: what could not be accepted at a door that cannot answer, whole, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, columns, run

KEPT_BYTES = 8 * 1024 * 1024  # of a body; a larger one is cut, its true size is recorded


@dataclass(frozen=True, slots=True)
class Rejection:
    """One message that was not accepted, and why."""

    id: UUID
    door: str
    reason: str
    body: bytes = field(repr=False)
    tenant_id: str | None = None
    event_type: str | None = None
    event_id: UUID | None = None


def insert(
    connection: Connection,
    *,
    rejected_id: UUID,
    door: str,
    reason: str,
    body: bytes,
    tenant_id: str | None = None,
    event_type: str | None = None,
    event_id: UUID | None = None,
) -> None:
    """Keep one rejected message. The same id again (a redelivered message) makes nothing new."""
    insert_many(connection, [Rejection(rejected_id, door, reason, body, tenant_id, event_type, event_id)])


def insert_many(connection: Connection, rejections: Sequence[Rejection]) -> None:
    """Keep rejected messages, by one statement."""
    names = ("id", "door", "reason", "body", "size", "tenant_id", "event_type", "event_id")
    rows = [
        (str(r.id), r.door, r.reason, r.body[:KEPT_BYTES], len(r.body), r.tenant_id, r.event_type, _text(r.event_id))
        for r in rejections
    ]
    run(
        connection,
        "insert into rejected_events (id, door, reason, body, body_size, tenant_id, event_type, event_id)"
        " select * from unnest(%(id)s::uuid[], %(door)s::text[], %(reason)s::text[], %(body)s::bytea[],"
        " %(size)s::bigint[], %(tenant_id)s::text[], %(event_type)s::text[], %(event_id)s::uuid[])"
        " on conflict (id) do nothing",
        **columns(rows, names),
    )


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None


def page(connection: Connection, *, limit: int = 50) -> Rows:
    """The newest rejections first."""
    return run(
        connection,
        "select id, door, reason, tenant_id, event_type, event_id, body_size, received_at, resolved_at"
        " from rejected_events order by received_at desc, id desc limit %(limit)s",
        limit=limit,
    )


def of_event(connection: Connection, event_id: UUID) -> Rows:
    """What was rejected of a stored event (the SQL door's), or of what it led to."""
    return run(
        connection,
        "select id, door, reason, resolved_at from rejected_events where event_id = %(id)s order by received_at, id",
        id=event_id,
    )


def get(connection: Connection, rejected_id: UUID) -> Rows:
    """One rejection with its body, or nothing."""
    return run(connection, "select * from rejected_events where id = %(id)s", id=rejected_id)


def lock(connection: Connection, rejected_id: UUID) -> Any | None:
    """One rejection with its body, locked for this transaction, or None."""
    rows = run(connection, "select * from rejected_events where id = %(id)s for update", id=rejected_id)
    return rows[0] if rows else None


def resolve(connection: Connection, rejected_id: UUID) -> None:
    """A person has dealt with it."""
    run(connection, "update rejected_events set resolved_at = now() where id = %(id)s", id=rejected_id)


def count_open(connection: Connection) -> int:
    """How many rejections nobody has resolved."""
    return int(run(connection, "select count(*) from rejected_events where resolved_at is null")[0][0])

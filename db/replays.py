"""replays: bulk redeliveries, durable, in short steps."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, run


def create(
    connection: Connection,
    *,
    requested_by: str,
    tenant_id: str | None = None,
    webhook_id: UUID | None = None,
    provider: str | None = None,
    since: datetime | None = None,
) -> UUID:
    """Ask for a bulk redelivery of the dead letters there are now, by any of the filters."""
    rows = run(
        connection,
        "insert into replays (tenant_id, webhook_id, provider, since, requested_by)"
        " values (%(tenant)s, %(webhook)s, %(provider)s, %(since)s, %(by)s) returning id",
        tenant=tenant_id,
        webhook=webhook_id,
        provider=provider,
        since=since,
        by=requested_by,
    )
    replay_id: UUID = rows[0][0]
    return replay_id


def lock_next(connection: Connection) -> Mapping[str, Any] | None:
    """The oldest unfinished one that nobody steps right now."""
    rows = run(
        connection,
        "select * from replays where finished_at is null order by id limit 1 for update skip locked",
    )
    return dict(rows[0]._mapping) if rows else None


def advance(connection: Connection, replay_id: UUID, *, cursor: UUID | None, replayed: int) -> None:
    """Record a step; no cursor means the end was reached."""
    run(
        connection,
        "update replays set cursor = coalesce(%(cursor)s, cursor), replayed = replayed + %(replayed)s,"
        " finished_at = case when %(cursor)s::uuid is null then now() end where id = %(id)s",
        id=replay_id,
        cursor=cursor,
        replayed=replayed,
    )


def page(connection: Connection, *, tenant_id: str | None = None, limit: int = 50) -> Rows:
    """The newest bulk redeliveries first, of one tenant or of all."""
    return run(
        connection,
        "select * from replays where (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " order by created_at desc, id desc limit %(limit)s",
        tenant=tenant_id,
        limit=limit,
    )


def get(connection: Connection, replay_id: UUID) -> Any | None:
    """One bulk redelivery, or None."""
    rows = run(connection, "select * from replays where id = %(id)s", id=replay_id)
    return rows[0] if rows else None

"""sync_cursors: how far each stream of an account was read, and when it is read next.

A row without `next_sync_at` sleeps: its account may not be called, or nobody has planned it yet. Who locks several rows
and waits does so in the order of account and stream.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, columns, run


def get(connection: Connection, integration_id: UUID, stream: str) -> dict[str, Any]:
    """A stream's cursor; empty where it was never read."""
    rows = run(
        connection,
        "select cursor from sync_cursors where integration_id = %(id)s and stream = %(stream)s",
        id=integration_id,
        stream=stream,
    )
    return dict(rows[0][0]) if rows else {}


def synced(connection: Connection, integration_id: UUID) -> dict[str, datetime | None]:
    """When each stream was last read to its end; None = never."""
    rows = run(
        connection,
        "select stream, synced_at from sync_cursors where integration_id = %(id)s order by stream",
        id=integration_id,
    )
    return {row.stream: row.synced_at for row in rows}


def lock_accounts(connection: Connection, integration_ids: Collection[UUID]) -> None:
    """Become the one who stores what was read of these accounts, until this transaction ends. Waits."""
    run(
        connection,
        "select pg_advisory_xact_lock(hashtext('mesh records'), k) from"
        " (select distinct hashtext(id) as k from unnest(%(ids)s::text[]) as id order by k) keys",
        ids=[str(integration_id) for integration_id in integration_ids],
    )


@dataclass(frozen=True, slots=True)
class Move:
    """How far a stream has been read now; the cursor as JSON text."""

    integration_id: UUID
    stream: str
    cursor: str
    finished: bool  # this walk has ended well


def move(connection: Connection, moves: Sequence[Move]) -> None:
    """Set cursors, each stream once, in the transaction that stores the rows they have passed."""
    run(
        connection,
        "insert into sync_cursors as c (integration_id, stream, cursor, synced_at)"
        " select n.integration_id, n.stream, n.cursor, case when n.finished then now() end"
        " from unnest(%(integration_id)s::uuid[], %(stream)s::text[], %(cursor)s::jsonb[], %(finished)s::bool[])"
        " as n(integration_id, stream, cursor, finished) order by n.integration_id, n.stream"
        " on conflict (integration_id, stream) do update set cursor = excluded.cursor,"
        " synced_at = coalesce(excluded.synced_at, c.synced_at), updated_at = now()",
        **columns(
            [(str(m.integration_id), m.stream, m.cursor, m.finished) for m in moves],
            ("integration_id", "stream", "cursor", "finished"),
        ),
    )


def forget(connection: Connection, integration_id: UUID) -> None:
    """Another account is behind this integration from now on: nothing of it was read yet. Plans stay."""
    run(
        connection,
        "update sync_cursors set cursor = '{}', synced_at = null, updated_at = now() where integration_id = %(id)s",
        id=integration_id,
    )


# ------------------------------------------------------------------------------------------------------------ plans


@dataclass(frozen=True, slots=True)
class Plan:
    """When a stream is read next; None = it sleeps. `event_id`: what was published for it just now."""

    integration_id: UUID
    stream: str
    wait_s: float | None
    event_id: UUID | None = None


def _columns(plans: Sequence[Plan]) -> dict[str, list[Any]]:
    rows = [(str(p.integration_id), p.stream, p.wait_s, p.event_id and str(p.event_id)) for p in plans]
    return dict(columns(rows, ("integration_id", "stream", "wait_s", "event_id")))


_PLANS = (
    "(select integration_id, stream, now() + wait_s * interval '1 second' as at, event_id from"
    " unnest(%(integration_id)s::uuid[], %(stream)s::text[], %(wait_s)s::float8[], %(event_id)s::uuid[])"
    " as p(integration_id, stream, wait_s, event_id) order by integration_id, stream) n"
)


def accounts(connection: Connection, provider: str, *, before: UUID | None, limit: int) -> Rows:
    """A page of a provider's active accounts, newest first, each with the streams that do not sleep (`planned`)."""
    return run(
        connection,
        "select i.id, i.provider, i.state, i.config, i.event_types, i.created_at < now() - interval '1 hour' as old,"
        " t.state as tenant_state, array(select c.stream from sync_cursors c"
        " where c.integration_id = i.id and c.next_sync_at is not null) as planned"
        " from (select * from integrations where provider = %(provider)s and state = 'active'"
        " and (%(before)s::uuid is null or id < %(before)s) order by id desc limit %(limit)s) i"
        " join tenants t on t.id = i.tenant_id order by i.id desc",
        provider=provider,
        before=before,
        limit=limit,
    )


def wake(connection: Connection, plans: Sequence[Plan]) -> None:
    """Plan streams that sleep or have no row; who has a plan keeps it."""
    run(
        connection,
        f"insert into sync_cursors as c (integration_id, stream, next_sync_at)"
        f" select n.integration_id, n.stream, n.at from {_PLANS}"
        " on conflict (integration_id, stream) do update set next_sync_at = excluded.next_sync_at"
        " where c.next_sync_at is null",
        **_columns(plans),
    )


def lock_due(connection: Connection, *, limit: int) -> Rows:
    """Streams whose time has come, locked, with what decides about them. `busy`: the last sync is not settled."""
    return run(
        connection,
        """
        with due as materialized (
            select integration_id, stream, next_sync_at, event_id from sync_cursors where next_sync_at <= now()
            order by next_sync_at limit %(limit)s for update skip locked
        )
        select c.integration_id, c.stream, c.next_sync_at, i.tenant_id, i.provider, i.state, i.config, i.event_types,
               t.state as tenant_state,
               exists (select from deliveries d where d.event_id = c.event_id and d.settled_at is null) as busy
        from due c join integrations i on i.id = c.integration_id join tenants t on t.id = i.tenant_id
        """,
        limit=limit,
    )


def plan(connection: Connection, plans: Sequence[Plan]) -> None:
    """Say when streams are read next, and what was published for them. The caller has locked their rows."""
    run(
        connection,
        f"update sync_cursors c set next_sync_at = n.at, event_id = coalesce(n.event_id, c.event_id),"
        f" updated_at = now() from {_PLANS} where c.integration_id = n.integration_id and c.stream = n.stream",
        **_columns(plans),
    )


def lock(connection: Connection, integration_id: UUID, streams: Sequence[str]) -> dict[str, UUID | None]:
    """Lock streams of an account, their rows made where there are none; the last `sync.due` of each."""
    known = {"id": integration_id, "streams": list(streams)}
    run(
        connection,
        "insert into sync_cursors (integration_id, stream)"
        " select %(id)s, stream from unnest(%(streams)s::text[]) as stream order by stream on conflict do nothing",
        **known,
    )
    rows = run(
        connection,
        "select stream, event_id from sync_cursors where integration_id = %(id)s and stream = any(%(streams)s::text[])"
        " order by integration_id, stream for update",
        **known,
    )
    return {row.stream: row.event_id for row in rows}

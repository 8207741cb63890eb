"""events: what happened in the product, once each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import jsontext
from db.engine import Prepared, Rows, columns, run
from model import Event

_COLUMNS = ("id", "tenant_id", "type", "data", "key", "occurred_at", "caused_by", "trace_id", "chain_step_id")

MOST_ANCESTORS = 100  # of one event: no chain is so long


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an event ended up: its id, and whether this call made it."""

    id: UUID
    new: bool


def insert(connection: Connection, events: Sequence[tuple[Event, str | None]]) -> list[Stored]:
    """Store events with their idempotency keys, in order. A known (tenant, key) answers with the first one's id."""
    rows = [
        (
            str(e.id),
            e.tenant_id,
            e.type,
            jsontext.text(e.data),
            key,
            e.occurred_at,
            e.caused_by and str(e.caused_by),
            e.trace_id and str(e.trace_id),
            e.chain_step_id and str(e.chain_step_id),
        )
        for e, key in events
    ]
    made = _INSERT(connection, **columns(rows, _COLUMNS))
    new = {row[0] for row in made}
    known = _known(connection, [(e.tenant_id, key) for e, key in events if e.id not in new])
    return [Stored(e.id, True) if e.id in new else Stored(known[e.tenant_id, key], False) for e, key in events]


_INSERT = Prepared(
    "insert_events",
    "insert into events (id, tenant_id, type, data, idempotency_key, occurred_at, caused_by, trace_id, chain_step_id,"
    " routed_at)"
    " select n.id, n.tenant_id, n.type, n.data, n.key, n.occurred_at, n.caused_by, n.trace_id, n.chain_step_id, now()"
    " from unnest(%(id)s::uuid[], %(tenant_id)s::text[], %(type)s::text[], %(data)s::jsonb[], %(key)s::text[],"
    " %(occurred_at)s::timestamptz[], %(caused_by)s::uuid[], %(trace_id)s::uuid[], %(chain_step_id)s::uuid[])"
    " as n(id, tenant_id, type, data, key, occurred_at, caused_by, trace_id, chain_step_id)"
    " on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing returning id",
)


def _known(connection: Connection, keys: Sequence[tuple[str, str | None]]) -> dict[tuple[str, str | None], UUID]:
    """The ids of events that were there already, by (tenant, idempotency key)."""
    if not keys:
        return {}
    rows = run(
        connection,
        "select e.tenant_id, e.idempotency_key, e.id from events e"
        " join unnest(%(tenants)s::text[], %(keys)s::text[]) as k(tenant_id, key)"
        " on e.tenant_id = k.tenant_id and e.idempotency_key = k.key",
        tenants=[tenant for tenant, _ in keys],
        keys=[key for _, key in keys],
    )
    return {(row[0], row[1]): row[2] for row in rows}


def lock_unrouted(connection: Connection, limit: int) -> list[Event]:
    """Events of the SQL door that have no deliveries yet, locked for this transaction: the tenants take turns."""
    return [Event(*row) for row in _LOCK_UNROUTED(connection, limit=limit)]


_LOCK_UNROUTED = Prepared(
    "lock_unrouted_events",
    """
    with recursive tenants_waiting as (
        (select tenant_id from events where routed_at is null order by tenant_id limit 1)
        union all
        select (select e.tenant_id from events e where e.routed_at is null and e.tenant_id > t.tenant_id
                order by e.tenant_id limit 1)
        from tenants_waiting t where t.tenant_id is not null
    ), next as (
        select e.id, e.place from tenants_waiting t
        cross join lateral (
            select id, row_number() over (order by id) as place from events
            where routed_at is null and tenant_id = t.tenant_id order by id limit %(limit)s::int
        ) e where t.tenant_id is not null
        order by e.place limit %(limit)s::int
    )
    select e.id, e.tenant_id, e.type, e.data, e.occurred_at, e.caused_by
    from next n join events e on e.id = n.id where e.routed_at is null
    order by n.place, e.id for update of e skip locked
    """,
)


def mark_routed(connection: Connection, ids: Sequence[UUID]) -> None:
    """These events have their deliveries."""
    _MARK_ROUTED(connection, ids=[str(event_id) for event_id in ids])


_MARK_ROUTED = Prepared(
    "mark_events_routed", "update events set routed_at = now() where id = any(%(ids)s::uuid[]) returning id"
)


def find(connection: Connection, tenant_id: str, key: str) -> UUID | None:
    """The id of the event with this idempotency key, or None."""
    return _known(connection, [(tenant_id, key)]).get((tenant_id, key))


def caused(connection: Connection, event_id: UUID) -> Rows:
    """The events that deliveries and chain steps of this one published, in order."""
    return run(connection, "select * from events where caused_by = %(id)s order by id", id=event_id)


def ancestors(connection: Connection, event_id: UUID) -> list[Event]:
    """What an event came of, nearest first; never itself."""
    rows = run(
        connection,
        """
        with recursive line as (
            select e.*, 0 as distance from events e where e.id = %(id)s
            union all
            select e.*, l.distance + 1 from line l join events e on e.id = l.caused_by where l.distance < %(most)s
        )
        select id, tenant_id, type, data, occurred_at, caused_by, trace_id, chain_step_id
        from line where distance > 0 order by distance
        """,
        id=event_id,
        most=MOST_ANCESTORS,
    )
    return [Event(*row) for row in rows]


def as_event(connection: Connection, event_id: UUID) -> Event | None:
    """One event as the engine knows it, or None."""
    rows = run(
        connection,
        "select id, tenant_id, type, data, occurred_at, caused_by, trace_id, chain_step_id from events"
        " where id = %(id)s",
        id=event_id,
    )
    return Event(*rows[0]) if rows else None


def of_trace(connection: Connection, event_id: UUID) -> Rows:
    """An event and all that came of it, in order."""
    return run(
        connection,
        """
        with recursive tree as (
            select * from events where id = %(id)s
            union all
            select e.* from tree t join events e on e.caused_by = t.id
        )
        select id, type, caused_by, trace_id, chain_step_id from tree order by id
        """,
        id=event_id,
    )


def get(connection: Connection, event_id: UUID) -> Any | None:
    """One event with everything, or None."""
    rows = run(connection, "select * from events where id = %(id)s", id=event_id)
    return rows[0] if rows else None


def page(connection: Connection, *, tenant_id: str | None = None, before: UUID | None = None, limit: int = 50) -> Rows:
    """The newest events first, optionally of one tenant, older than `before`."""
    return run(
        connection,
        "select id, tenant_id, type, idempotency_key, occurred_at, accepted_at, caused_by from events"
        " where (%(tenant)s::text is null or tenant_id = %(tenant)s) and (%(before)s::uuid is null or id < %(before)s)"
        " order by id desc limit %(limit)s",
        tenant=tenant_id,
        before=before,
        limit=limit,
    )


LOOKED_AT = 5_000  # rows that one page of a rare type looks at: a bound on what it takes


def page_of_type(
    connection: Connection,
    event_type: str,
    *,
    tenant_id: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> tuple[Rows, UUID | None]:
    """The newest events of a type first, whole, among the next `LOOKED_AT` rows; and where to go on, or None."""
    rows = run(
        connection,
        "with looked as materialized (select id, type from events"
        " where (%(tenant)s::text is null or tenant_id = %(tenant)s) and (%(before)s::uuid is null or id < %(before)s)"
        " order by id desc limit %(most)s),"
        " found as (select id from looked where type = %(type)s order by id desc limit %(limit)s)"
        " select e.*, (select id from looked order by id limit 1) as last_looked,"
        " (select count(*) from looked) as looked from found f join events e on e.id = f.id order by e.id desc",
        tenant=tenant_id,
        before=before,
        most=LOOKED_AT,
        type=event_type,
        limit=limit,
    )
    if len(rows) == limit:
        return rows, rows[-1].id
    if rows:
        return rows, rows[0].last_looked if rows[0].looked == LOOKED_AT else None
    return rows, _after_many(connection, tenant_id, before)


def _after_many(connection: Connection, tenant_id: str | None, before: UUID | None) -> UUID | None:
    """The last of the next `LOOKED_AT` rows; None where there are fewer."""
    rows = run(
        connection,
        "select id from events where (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " and (%(before)s::uuid is null or id < %(before)s) order by id desc offset %(offset)s limit 1",
        tenant=tenant_id,
        before=before,
        offset=LOOKED_AT - 1,
    )
    return rows[0].id if rows else None


def since(connection: Connection, moment: datetime) -> int:
    """How many events were accepted since."""
    return int(run(connection, "select count(*) from events where accepted_at >= %(at)s", at=moment)[0][0])


def count(connection: Connection) -> int:
    """How many events there are."""
    return int(run(connection, "select count(*) from events")[0][0])

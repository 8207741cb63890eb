"""integration_sync_logs: every call, one row. Rows are opened and closed by the statements of `db.deliveries`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, run


def of_delivery(connection: Connection, delivery_id: UUID) -> Rows:
    """A delivery's attempts, in order."""
    return run(
        connection,
        "select * from integration_sync_logs where delivery_id = %(id)s order by attempt_number, started_at",
        id=delivery_id,
    )


def page(
    connection: Connection,
    *,
    tenant_id: str | None = None,
    provider: str | None = None,
    before: datetime | None = None,
    limit: int = 50,
) -> Rows:
    """The newest attempts first, begun before a moment. One partition after the other is looked at."""
    given = {"tenant_id": tenant_id, "provider": provider, "started_at": before}
    signs = {"started_at": "<"}
    asked = [name for name, each in given.items() if each is not None]
    where = " and ".join(f"{name} {signs.get(name, '=')} %({name})s" for name in asked) or "true"
    return run(
        connection,
        f"select * from integration_sync_logs where {where} order by started_at desc, id desc limit %(limit)s",
        limit=limit,
        **given,
    )


@dataclass(frozen=True, slots=True)
class Sums:
    """All calls that came of one event. `ended_at` is None while something is under way."""

    calls: int
    began_at: datetime | None
    ended_at: datetime | None
    costs: Mapping[str, Decimal]  # by unit


def that_came_of(connection: Connection, event_id: UUID) -> Sums:
    """What everything took and cost that came of an event."""
    rows = run(
        connection,
        """
        with recursive tree as (
            select %(id)s::uuid as id
            union all
            select e.id from tree t join events e on e.caused_by = t.id
        ), d as (select d.id, d.settled_at from tree t join deliveries d on d.event_id = t.id)
        select l.cost_unit, sum(l.cost) as cost, count(*) as calls, min(l.started_at) as began_at,
               max(l.finished_at) as ended_at, (select bool_or(settled_at is null) from d) as open
        from d join integration_sync_logs l on l.delivery_id = d.id group by l.cost_unit
        """,
        id=event_id,
    )
    under_way = any(row.open for row in rows)
    ends = [row.ended_at for row in rows if row.ended_at is not None]
    return Sums(
        calls=sum(row.calls for row in rows),
        began_at=min((row.began_at for row in rows), default=None),
        ended_at=None if under_way else max(ends, default=None),
        costs={row.cost_unit: row.cost for row in rows if row.cost_unit},
    )


def summary(connection: Connection) -> Rows:
    """What a table per provider shows: events, deliveries by state, attempts, latency of accepted → settled in ms."""
    return run(
        connection,
        """
        with d as (
            select d.provider, count(distinct d.event_id) as events, count(*) as deliveries,
                   count(*) filter (where d.state = 'succeeded') as succeeded,
                   count(*) filter (where d.state in ('pending', 'retrying', 'waiting', 'running')) as retrying,
                   count(*) filter (where d.state = 'failed') as dead,
                   count(*) filter (where d.state = 'cancelled') as cancelled,
                   percentile_cont(0.5) within group (order by extract(epoch from d.settled_at - d.created_at) * 1000)
                       filter (where d.state = 'succeeded') as p50_ms,
                   percentile_cont(0.95) within group (order by extract(epoch from d.settled_at - d.created_at) * 1000)
                       filter (where d.state = 'succeeded') as p95_ms
            from deliveries d group by d.provider
        ), a as (
            select provider, count(*) as attempts from integration_sync_logs group by provider
        )
        select d.*, coalesce(a.attempts, 0) as attempts from d left join a using (provider) order by provider
        """,
    )


def ledger(connection: Connection) -> dict[str, int]:
    """The counts that must agree when nothing is lost. Every value but the first three is 0 when all is well."""
    row = run(
        connection,
        """
        select (select count(*) from events) as accepted,
               (select count(*) from deliveries) as deliveries,
               (select count(*) from integration_sync_logs) as attempts,
               (select count(*) from events where routed_at is null) as unrouted,
               (select count(*) from deliveries where state in ('pending', 'running')) as unsettled,
               (select count(*) from deliveries where state in ('retrying', 'waiting')
                  and due_at < now() - interval '15 seconds') as overdue,
               (select count(*) from integration_sync_logs where state = 'started') as open_attempts,
               (select count(*) from deliveries d where d.attempt_count <>
                  (select count(*) from integration_sync_logs l where l.delivery_id = d.id)) as miscounted
        """,
    )[0]
    return {key: int(value) for key, value in row._mapping.items()}

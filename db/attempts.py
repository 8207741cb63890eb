"""integration_sync_logs: every call, one row. Rows are opened and closed by the statements of `db.deliveries`."""

from __future__ import annotations

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

"""Reading the whole ledger, to hold it against what the other side saw. For demos and checks: it scans tables."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, run


@dataclass(frozen=True, slots=True)
class Pulse:
    """What happens right now."""

    events: int
    rejected: int
    unrouted: int
    deliveries: int
    succeeded: int
    ended: int  # failed or cancelled
    later: int  # waiting for a time that has not come
    busy: int  # due now, or held by a worker
    attempts: int
    open_attempts: int
    next_due_s: float | None  # seconds until the next one is due


def pulse(connection: Connection) -> Pulse:
    """The counts that a live view shows."""
    row = run(
        connection,
        """
        select (select count(*) from events) as events,
               (select count(*) from rejected_events) as rejected,
               (select count(*) from events where routed_at is null) as unrouted,
               d.*, l.*
        from (select count(*) as deliveries,
                     count(*) filter (where state = 'succeeded') as succeeded,
                     count(*) filter (where state in ('failed', 'cancelled')) as ended,
                     count(*) filter (where due_at > now()) as later,
                     count(*) filter (where state = 'running' or due_at <= now()) as busy,
                     extract(epoch from min(due_at) filter (where due_at > now() and due_at < 'infinity') - now())
                         as next_due_s
              from deliveries) d,
             (select count(*) as attempts, count(*) filter (where state = 'started') as open_attempts
              from integration_sync_logs) l
        """,
    )[0]
    values = dict(row._mapping)
    wait = values.pop("next_due_s")
    return Pulse(
        **{name: int(value) for name, value in values.items()}, next_due_s=None if wait is None else float(wait)
    )


def deliveries(connection: Connection) -> Rows:
    """Every delivery with the attempt rows it has."""
    return run(
        connection,
        "select d.id, d.tenant_id, d.provider, d.event_type, d.webhook_id, d.state, d.due_at, d.attempt_count,"
        " count(l.id) as rows, count(l.id) filter (where l.state = 'started') as open_rows"
        " from deliveries d left join integration_sync_logs l on l.delivery_id = d.id group by d.id order by d.id",
    )


def most_tries(connection: Connection, webhook_ids: list[UUID]) -> dict[UUID, int]:
    """The attempts of the delivery with the most of them, by webhook."""
    rows = run(
        connection,
        "select webhook_id, max(attempt_count) as tries from deliveries where webhook_id = any(%(ids)s::uuid[])"
        " group by webhook_id",
        ids=[str(webhook_id) for webhook_id in webhook_ids],
    )
    return {row.webhook_id: row.tries for row in rows}


def keys(connection: Connection) -> Rows:
    """Every event's idempotency key, with how many deliveries the event has."""
    return run(
        connection,
        "select e.id, e.tenant_id, e.type, e.idempotency_key as key, e.caused_by, e.routed_at,"
        " (select count(*) from deliveries d where d.event_id = e.id) as deliveries from events e order by e.id",
    )


def rejected(connection: Connection) -> Rows:
    """Every rejected message's id and event."""
    return run(connection, "select id, door, reason, event_type, event_id from rejected_events order by id")


def files(connection: Connection) -> Rows:
    """Every media file's place and size."""
    return run(connection, "select id, tenant_id, delivery_id, uri, size_bytes from media_assets order by id")


def event_ids(connection: Connection, tenant_id: str, keys: Collection[str]) -> list[UUID]:
    """The events of a tenant with these idempotency keys."""
    rows = run(
        connection,
        "select id from events where tenant_id = %(tenant)s and idempotency_key = any(%(keys)s)",
        tenant=tenant_id,
        keys=list(keys),
    )
    return [row[0] for row in rows]


def all_succeeded(connection: Connection, events: Collection[UUID]) -> bool:
    """Whether these events have deliveries, and all of them have succeeded."""
    row = run(
        connection,
        "select count(distinct event_id) = cardinality(%(ids)s::uuid[]) and bool_and(state = 'succeeded')"
        " from deliveries where event_id = any(%(ids)s::uuid[])",
        ids=[str(event_id) for event_id in events],
    )[0]
    return bool(row[0])


def waiting(connection: Connection, integration_id: UUID, event_type: str) -> int:
    """How many deliveries of a type are parked until an account works again."""
    rows = run(
        connection,
        "select count(*) from deliveries where integration_id = %(id)s and event_type = %(type)s"
        " and due_at = 'infinity'",
        id=integration_id,
        type=event_type,
    )
    return int(rows[0][0])


def attempts_with(connection: Connection, integration_id: UUID, error_code: str) -> int:
    """How many attempts at an account ended in an error."""
    rows = run(
        connection,
        "select count(*) from integration_sync_logs where integration_id = %(id)s and error_code = %(code)s",
        id=integration_id,
        code=error_code,
    )
    return int(rows[0][0])


def metrics(connection: Connection, integration_id: UUID, since: date, until: date) -> Any:
    """The campaign days of an account summed up, both ends included."""
    return run(
        connection,
        "select count(*) as rows, sum(impressions)::bigint as impressions, sum(clicks)::bigint as clicks,"
        " sum(spend) as spend, coalesce(sum(conversions), 0) as conversions from ad_metrics"
        " where integration_id = %(id)s and level = 'campaign' and day between %(since)s and %(until)s",
        id=integration_id,
        since=since,
        until=until,
    )[0]

"""What the pages ask for: lists by what people filter by, bounded in time so that nobody waits for a huge table."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db.delivery_search import where
from db.engine import Rows, run

MOST_MS = 3_000
_CANCELED = "57014"
_RFC9562_VERSION = 7 << 76


class TooLong(Exception):
    """It was not found out in time: ask for less."""


def bounded(connection: Connection, sql: str, **parameters: Any) -> Rows:
    """Execute one statement that may take `MOST_MS`. Raises TooLong; the transaction is good for nothing then."""
    run(connection, f"set local statement_timeout = {MOST_MS}")
    try:
        return run(connection, sql, **parameters)
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) == _CANCELED:
            raise TooLong from None
        raise


def first_id(at: datetime) -> UUID:
    """The smallest id that a row has which was made at this time or later."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | _RFC9562_VERSION)


# --------------------------------------------------------------------------------------------------------- overview


def counts(connection: Connection, *, since: datetime, step_s: float, tenant_id: str | None) -> Rows:
    """How many deliveries were made in each step of time since then, by provider and state."""
    tenant = " and tenant_id = %(tenant)s" if tenant_id else ""
    return bounded(
        connection,
        "select floor(extract(epoch from created_at - %(since)s::timestamptz) / %(step)s)::int as step, provider,"
        " state, count(*) as count, coalesce(sum(greatest(attempt_count - 1, 0)), 0)::bigint as retries"
        f" from deliveries where id >= %(first)s{tenant} group by 1, 2, 3",
        since=since,
        first=first_id(since),
        step=step_s,
        tenant=tenant_id,
    )


def waiting(connection: Connection, tenant_id: str | None) -> Rows:
    """What waits at each provider: how many are due, the oldest of them, and how many are parked."""
    tenant = " and tenant_id = %(tenant)s" if tenant_id else ""
    waits = "state in ('pending', 'retrying', 'waiting') and dispatched_at is"  # each half has an index of its own
    return bounded(
        connection,
        "select provider, count(*) filter (where due_at <= now()) as due,"
        " min(due_at) filter (where due_at <= now()) as oldest_due_at,"
        " count(*) filter (where due_at > now() and due_at < 'infinity') as later,"
        " count(*) filter (where due_at = 'infinity') as parked from deliveries"
        f" where ({waits} null or {waits} not null){tenant} group by provider order by provider",
        tenant=tenant_id,
    )


def dead(connection: Connection, tenant_id: str | None) -> int:
    """How many dead letters there are."""
    rows = bounded(
        connection,
        f"select count(*) from deliveries where {where({'tenant_id': tenant_id}, 'failed')}",
        tenant_id=tenant_id,
    )
    return int(rows[0][0])


def rejections(connection: Connection, tenant_id: str | None, *, only_open: bool = True, limit: int = 50) -> Rows:
    """What could not be accepted, newest first."""
    return run(
        connection,
        "select id, door, reason, tenant_id, event_type, event_id, body_size, received_at, resolved_at"
        " from rejected_events where (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " and (resolved_at is null or not %(open)s) order by received_at desc, id desc limit %(limit)s",
        tenant=tenant_id,
        open=only_open,
        limit=limit,
    )


def ending_logins(connection: Connection, tenant_id: str | None, *, within_days: int) -> Rows:
    """Active accounts that need a new login by then; nothing else keeps them alive."""
    return run(
        connection,
        "select * from (select i.id, i.tenant_id, i.provider, i.name,"
        " least((t.details->>'login_again_by')::timestamptz,"
        " case when t.next_refresh_at is null then t.expires_at end) as ends_at"
        " from integration_tokens t join integrations i on i.id = t.integration_id"
        " where i.state = 'active' and (%(tenant)s::text is null or i.tenant_id = %(tenant)s)) logins"
        " where ends_at < now() + %(days)s * interval '1 day' order by ends_at",
        tenant=tenant_id,
        days=within_days,
    )


# ------------------------------------------------------------------------------------------------------ integrations


def integrations(
    connection: Connection,
    tenant_id: str | None,
    *,
    ids: Collection[UUID] = (),
    states: Collection[str] = (),
    provider: str = "",
    limit: int = 500,
) -> Rows:
    """Accounts with their tokens' times and their limits; no secret among the columns."""
    given = {
        "i.tenant_id = %(tenant)s": tenant_id,
        "i.id = any(%(ids)s::uuid[])": [str(each) for each in ids],
        "i.state = any(%(states)s)": list(states),
        "i.provider = %(provider)s": provider,
    }
    conditions = " and ".join(sql for sql, value in given.items() if value) or "true"
    return run(
        connection,
        "select i.id, i.tenant_id, i.provider, i.name, i.state, i.state_reason, i.external_account_id, i.config,"
        " i.secrets_sealed is not null as has_secrets, i.rate_per_s, i.max_in_flight, i.consecutive_failures,"
        " i.failing_since, i.held_until, i.hold_reason, i.created_at, i.updated_at, t.version as token_version,"
        " t.expires_at as token_expires_at, t.next_refresh_at as token_next_refresh_at,"
        " t.refresh_expires_at, t.refresh_state as grant_state, t.last_error as token_error, t.scopes,"
        " coalesce(t.details, '{}') as token_details, t.obtained_at"
        " from integrations i left join integration_tokens t on t.integration_id = i.id"
        f" where {conditions} order by i.tenant_id, i.created_at, i.id limit %(limit)s",
        tenant=tenant_id,
        ids=[str(each) for each in ids],
        states=list(states),
        provider=provider,
        limit=limit,
    )


def stopped_webhooks(connection: Connection, tenant_id: str | None, *, limit: int) -> Rows:
    """Webhooks that were stopped, and not by their owners; the latest first."""
    return run(
        connection,
        "select id, tenant_id, url_hint, state, state_reason from webhooks where state in ('disabled', 'gone')"
        " and state_reason <> 'Its owner disabled it.' and (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " order by updated_at desc limit %(limit)s",
        tenant=tenant_id,
        limit=limit,
    )


def streams(connection: Connection, integration_id: UUID) -> Rows:
    """An account's streams: when each was read, when it is read next, and the reading that is under way."""
    return run(
        connection,
        "select c.stream, c.synced_at, c.next_sync_at, c.event_id, d.id as delivery_id, d.state, d.attempt_count,"
        " d.error_message, d.created_at as began_at, d.settled_at, nullif(d.due_at, 'infinity') as due_at,"
        " coalesce((d.progress->>'done')::int, 0) as done, (d.progress->>'of')::int as done_of"
        " from sync_cursors c left join lateral (select * from deliveries where event_id = c.event_id"
        " order by id limit 1) d on true where c.integration_id = %(id)s order by c.stream",
        id=integration_id,
    )


# ------------------------------------------------------------------------------------------------- events, deliveries


_EVENT_FILTERS = {
    "tenant_id": "tenant_id = %(tenant_id)s",
    "type": "type = %(type)s",
    # The index of keys begins with the tenant.
    "key": "id in (select k.id from tenants t join events k on k.tenant_id = t.id and k.idempotency_key = %(key)s)",
}


def events(
    connection: Connection,
    *,
    tenant_id: str | None = None,
    type: str | None = None,
    key: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> Rows:
    """The newest events first, each with how its deliveries stand."""
    given = {"tenant_id": tenant_id, "type": type, "key": key}
    parts = [_EVENT_FILTERS[name] for name, value in given.items() if value]
    parts += ["id < %(before)s"] if before else []
    return bounded(
        connection,
        f"""
        with found as materialized (
            select id from events where {" and ".join(parts) or "true"} order by id desc limit %(limit)s
        )
        select e.id, e.tenant_id, e.type, e.idempotency_key, e.occurred_at, e.accepted_at, e.caused_by, e.routed_at,
               d.deliveries, d.succeeded, d.failed
        from found join events e on e.id = found.id left join lateral (
            select count(*) as deliveries, count(*) filter (where state = 'succeeded') as succeeded,
                   count(*) filter (where state = 'failed') as failed from deliveries where event_id = e.id) d on true
        order by e.id desc
        """,
        before=before,
        limit=limit,
        **given,
    )


_BESIDE = {
    "event_type": "event_type = %(event_type)s",
    "integration_id": "integration_id = %(integration_id)s",
    "first": "id >= %(first)s",
}


def deliveries(connection: Connection, *, state: str | None = None, limit: int = 50, **given: Any) -> Rows:
    """The newest deliveries first, by any filter of `db.delivery_search` and of `_BESIDE`."""
    beside = [sql for name, sql in _BESIDE.items() if given.get(name)]
    filters = {name: given.get(name) for name in ("tenant_id", "provider", "webhook_id", "error", "before")}
    return bounded(
        connection,
        f"""
        with found as materialized (
            select id from deliveries where {" and ".join([where(filters, state), *beside])}
            order by id desc limit %(limit)s
        )
        select d.id, d.event_id, d.tenant_id, d.provider, d.event_type, d.webhook_id, d.integration_id, d.state,
               d.attempt_count, nullif(d.due_at, 'infinity') as due_at, d.error_code, d.error_message, d.created_at,
               d.settled_at, w.url_hint, i.name as integration_name
        from found join deliveries d on d.id = found.id join integrations i on i.id = d.integration_id
        left join webhooks w on w.id = d.webhook_id order by d.id desc
        """,
        limit=limit,
        **{name: given.get(name) for name in _BESIDE},
        **filters,
    )


def lately(connection: Connection, tenant_id: str, *, days: int, limit: int = 8, **given: Any) -> Rows | None:
    """The last deliveries of one target within some days; None where looking for them takes too long.

    The transaction's last statement: it is good for nothing when that was so.
    """
    first = first_id(datetime.now(UTC) - timedelta(days=days))
    try:
        return deliveries(connection, tenant_id=tenant_id, first=first, limit=limit, **given)
    except TooLong:
        return None


def of_events(connection: Connection, event_ids: Collection[UUID]) -> Rows:
    """The deliveries of these events, each with how long its calls took and what they cost."""
    return run(
        connection,
        """
        select d.id, d.event_id, d.provider, d.state, d.attempt_count, d.created_at, d.settled_at, d.error_message,
               nullif(d.due_at, 'infinity') as due_at, w.url_hint, i.name as integration_name, l.costs, l.called_ms
        from deliveries d join integrations i on i.id = d.integration_id left join webhooks w on w.id = d.webhook_id
        left join lateral (
            select json_object_agg(unit, amount) filter (where unit is not null) as costs, sum(ms) as called_ms
            from (select cost_unit as unit, sum(cost)::text as amount, sum(duration_ms) as ms
                  from integration_sync_logs where delivery_id = d.id group by cost_unit) s) l on true
        where d.event_id = any(%(ids)s::uuid[]) order by d.id
        """,
        ids=[str(each) for each in event_ids],
    )


# -------------------------------------------------------------------------------------------------- what comes in


def inbox(
    connection: Connection,
    *,
    tenant_id: str | None = None,
    provider: str | None = None,
    verdict: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> Rows:
    """What providers sent to us, newest first; what is for nobody's account only without a tenant."""
    given = {"i.tenant_id": tenant_id, "n.provider": provider, "n.verdict": verdict}
    parts = [f"{name} = %({name.partition('.')[2]})s" for name, value in given.items() if value]
    parts += ["n.id < %(before)s"] if before else []
    return bounded(
        connection,
        "select n.id, n.provider, n.integration_id, n.external_id, n.verdict, n.reason, n.received_at, n.event_id,"
        " n.delivery_id, i.tenant_id, i.name as integration_name, length(n.body) as body_size"
        " from inbox n left join integrations i on i.id = n.integration_id"
        f" where {' and '.join(parts) or 'true'} order by n.id desc limit %(limit)s",
        before=before,
        limit=limit,
        tenant_id=tenant_id,
        provider=provider,
        verdict=verdict,
    )


def message(connection: Connection, inbox_id: UUID) -> Any | None:
    """One thing that came in, whole; None where there is none."""
    rows = run(
        connection,
        "select n.*, i.tenant_id, i.name as integration_name from inbox n"
        " left join integrations i on i.id = n.integration_id where n.id = %(id)s",
        id=inbox_id,
    )
    return rows[0] if rows else None

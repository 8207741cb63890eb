"""deliveries: one event on its way to one integration or webhook, and the statements that move it.

Who may move a running delivery is who knows its `attempt_id`, the fencing token: each claim sets a new one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Prepared, Rows, columns, count, run
from db.targets import PROBE_LOOK_S, PROBING, answers_since, probing, suspect
from model import DeliveryState

# NOTIFY on it wakes those who send what waits here on its way. It says what waits: the name of a provider whose
# deliveries do, "events" for those that have no deliveries yet, or nothing: look everywhere.
BACKLOG_CHANNEL = "mesh_events"
EVENTS = "events"
ANYTHING = ""
SOON_S = 2.0  # who comes back earlier than the reconciler's tick would notice is announced
WAITING_STATES = (DeliveryState.PENDING, DeliveryState.RETRYING, DeliveryState.WAITING)
_WAITING = "('pending', 'retrying', 'waiting')"
_NEW = (
    "id", "event_id", "tenant_id", "provider", "integration_id", "webhook_id", "event_type", "trace_id", "attempt_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One delivery to store."""

    id: UUID
    event_id: UUID
    tenant_id: str
    provider: str
    integration_id: UUID
    webhook_id: UUID | None
    event_type: str
    trace_id: UUID


def insert(
    connection: Connection,
    deliveries: Sequence[NewDelivery],
    attempt_ids: Sequence[UUID | None],
    *,
    dispatched: bool,
    lease_s: float,
    worker: str,
) -> datetime:
    """Store new deliveries; those with an attempt id as claimed by this worker, each with its attempt row *started*.

    `dispatched`: the caller sends the others' ids as soon as this is committed. The time, by the server's clock.
    """
    rows = [
        (
            str(d.id),
            str(d.event_id),
            d.tenant_id,
            d.provider,
            str(d.integration_id),
            _text(d.webhook_id),
            d.event_type,
            str(d.trace_id),
            _text(attempt_id),
        )
        for d, attempt_id in zip(deliveries, attempt_ids, strict=True)
    ]
    made = _INSERT(connection, dispatched=dispatched, lease_s=lease_s, worker=worker, **columns(rows, _NEW))
    started_at: datetime = made[0][0]
    return started_at


_INSERT = Prepared(
    "insert_deliveries",
    """
    with n as (
        select *, attempt_id is not null as claimed
        from unnest(%(id)s::uuid[], %(event_id)s::uuid[], %(tenant_id)s::text[], %(provider)s::text[],
                    %(integration_id)s::uuid[], %(webhook_id)s::uuid[], %(event_type)s::text[], %(trace_id)s::uuid[],
                    %(attempt_id)s::uuid[])
        as n(id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, trace_id, attempt_id)
    ), made as (
        insert into deliveries (id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, trace_id,
                                state, due_at, dispatched_at, attempt_id, attempt_count, lease_until, first_attempt_at)
        select id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, trace_id,
               case when claimed then 'running' else 'pending' end, case when not claimed then now() end,
               case when %(dispatched)s::bool and not claimed then now() end, attempt_id, claimed::int,
               case when claimed then now() + %(lease_s)s::float8 * interval '1 second' end,
               case when claimed then now() end
        from n
    ), opened as (
        insert into integration_sync_logs (id, delivery_id, event_id, tenant_id, provider, integration_id, webhook_id,
                                           event_type, trace_id, attempt_number, started_at, worker)
        select attempt_id, id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, trace_id, 1,
               now(), %(worker)s::text
        from n where claimed
    )
    select now()
    """,
)


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


# So many holders died with a delivery: perhaps it kills them. Such ones are called one at a time, in all workers
# together, so that who only happened to be in the same hands is told apart, and lives.
DEADLY = 3

# One statement: what of these ids is due, not held and free becomes ours, with an attempt row each. A suspect target
# gets one call, which holds it (`probing`) until that call has ended: one at a time across all workers. Who finds the
# target's row locked leaves it alone: somebody else claims a probe, or settles one.
_CLAIM_SQL = f"""
with wanted as (
    select d.id, w.attempt_id, d.webhook_id, d.integration_id, coalesce(h.id, i.id) as target,
           coalesce(h.consecutive_failures, i.consecutive_failures) as failures,
           case when h.id is null then {suspect("i")} else {suspect("h")} end as suspect,
           d.lost_count >= {DEADLY} as deadly
    from unnest(%(ids)s::uuid[], %(attempt_ids)s::uuid[]) as w(id, attempt_id)
    join deliveries d on d.id = w.id
    join integrations i on i.id = d.integration_id
    left join webhooks h on h.id = d.webhook_id
    where d.state in {_WAITING} and d.due_at <= now()
      and i.state = 'active' and (i.held_until is null or i.held_until <= now())
      and (h.id is null or (h.state = 'active' and (h.held_until is null or h.held_until <= now())))
    for update of d skip locked
), first as (
    select distinct on (target) target, id, webhook_id, integration_id from wanted where suspect order by target, id
), free_hooks as (
    select h.id from webhooks h join first f on f.webhook_id = h.id
    where h.held_until is null or h.held_until <= now() for update of h skip locked
), probing_hooks as (
    update webhooks h set {probing()} from free_hooks f where h.id = f.id returning h.id
), free_accounts as (
    select i.id from integrations i join first f on f.webhook_id is null and f.integration_id = i.id
    where i.held_until is null or i.held_until <= now() for update of i skip locked
), probing_accounts as (
    update integrations i set {probing()} from free_accounts f where i.id = f.id returning i.id
), probes as (
    select f.id from first f
    where f.target in (select id from probing_hooks union all select id from probing_accounts)
), alone as (
    select w.id from (select id from wanted where deadly order by id limit 1) w
    where not exists (select 1 from deliveries where state = 'running' and lost_count >= {DEADLY})
      and pg_try_advisory_xact_lock(hashtext('mesh deadly'))
), claimed as (
    update deliveries d set
        state = 'running', attempt_id = w.attempt_id, attempt_count = d.attempt_count + 1,
        lease_until = now() + %(lease_s)s::float8 * interval '1 second', due_at = null, dispatched_at = null,
        overdue_at = null, first_attempt_at = coalesce(d.first_attempt_at, now())
    from wanted w where d.id = w.id and (not w.suspect or d.id in (select id from probes))
      and (not w.deadly or d.id in (select id from alone))
    returning d.*, greatest(w.failures, w.suspect::int) as failures
), opened as (
    insert into integration_sync_logs (id, delivery_id, event_id, tenant_id, provider, integration_id, webhook_id,
                                       event_type, trace_id, attempt_number, started_at, worker)
    select attempt_id, id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, trace_id,
           attempt_count, now(), %(worker)s::text
    from claimed
)
select c.id, c.attempt_id, c.attempt_count, c.retry_count, c.lost_count, c.tenant_id, c.provider, c.integration_id,
       c.webhook_id, c.progress, c.first_attempt_at, c.unknown_since is not null as unknown, c.failures,
       now() as started_at,
       e.id as event_id, e.type, e.data, e.occurred_at, e.caused_by, e.trace_id, e.chain_step_id,
       i.config, i.secrets_sealed, coalesce(h.rate_per_s, i.rate_per_s) as rate_per_s,
       coalesce(h.max_in_flight, i.max_in_flight) as max_in_flight,
       case when h.id is null then {answers_since("i")} else {answers_since("h")} end as answers_since_s,
       h.url_sealed, h.secrets as signing_secrets
from claimed c
join events e on e.id = c.event_id
join integrations i on i.id = c.integration_id
left join webhooks h on h.id = c.webhook_id
"""
_CLAIM = Prepared("claim_deliveries", _CLAIM_SQL)


def claim(
    connection: Connection, ids: Sequence[UUID], attempt_ids: Sequence[UUID], *, lease_s: float, worker: str
) -> Rows:
    """Take what of `ids` is due, each with its attempt row *started*. What is not returned is not ours."""
    return _CLAIM(
        connection,
        ids=[str(delivery_id) for delivery_id in ids],
        attempt_ids=[str(attempt_id) for attempt_id in attempt_ids],
        lease_s=lease_s,
        worker=worker,
    )


# What a claim left behind although it was due: held targets say when, paused ones park it, closed ones end it.
# An account that is not active is locked against its resuming first: what is parked is there when that looks for it.
_SHELVE = f"""
with stopped as materialized (
    select i.id, i.state from integrations i
    where i.id in (select integration_id from deliveries where id = any(%(ids)s::uuid[])) and i.state <> 'active'
    order by i.id for share of i
), held as (
    select d.id, coalesce(s.state, 'active') as integration_state, h.state as webhook_state, h.state_reason,
           greatest(i.held_until, h.held_until, now()) as free_at,
           coalesce(h.hold_reason, i.hold_reason) = '{PROBING}' as probing
    from deliveries d
    join integrations i on i.id = d.integration_id
    left join stopped s on s.id = d.integration_id
    left join webhooks h on h.id = d.webhook_id
    where d.id = any(%(ids)s::uuid[]) and d.state in {_WAITING} and d.due_at <= now()
    order by d.id for update of d
), judged as (
    select *, case when integration_state = 'disconnected' then 'cancelled'
                   when webhook_state in ('gone', 'unregistered') then 'cancelled'
                   when webhook_state = 'disabled' then 'failed' end as ended
    from held
)
update deliveries d set
    dispatched_at = null,
    state = coalesce(j.ended, d.state),
    settled_at = case when j.ended is not null then now() end,
    due_at = case when j.ended is not null then null
                  when j.integration_state <> 'active' then 'infinity'::timestamptz
                  when j.probing then now() + interval '{PROBE_LOOK_S} seconds' + random() * (j.free_at - now()) * 0.1
                  else j.free_at + random() * greatest(interval '2 seconds', (j.free_at - now()) * 0.2) end,
    error_code = case when j.ended is null then d.error_code
                      when j.integration_state = 'disconnected' then 'integration_disconnected'
                      else 'webhook_' || j.webhook_state end,
    error_message = case when j.ended is null then d.error_message
                         when j.integration_state = 'disconnected' then 'The integration was disconnected.'
                         else 'The webhook is ' || j.webhook_state || '. ' || j.state_reason end
from judged j where d.id = j.id
"""


def shelve(connection: Connection, ids: Sequence[UUID]) -> int:
    """Settle what a claim could not have: wait for a held target, park for a paused one, end for a closed one.

    Waits for rows that somebody has locked for a moment: what was only skipped over is due again soon.
    """
    return count(connection, _SHELVE, ids=[str(delivery_id) for delivery_id in ids])


@dataclass(frozen=True, slots=True)
class GiveBack:
    """A claimed delivery whose call was not made."""

    delivery_id: UUID
    attempt_id: UUID
    wait_s: float


_GIVE_BACK = Prepared(
    "give_back_deliveries",
    f"""
with held as (
    select d.id, d.attempt_id, d.webhook_id, d.integration_id, d.lease_until, n.wait_s
    from unnest(%(ids)s::uuid[], %(attempts)s::uuid[], %(waits)s::float8[]) as n(id, attempt_id, wait_s)
    join deliveries d on d.id = n.id and d.attempt_id = n.attempt_id for update of d
), undone as (
    update deliveries d set state = case when d.retry_count > 0 then 'retrying' else 'pending' end, attempt_id = null,
        lease_until = null, attempt_count = d.attempt_count - 1, dispatched_at = null,
        due_at = now() + held.wait_s * interval '1 second'
    from held where d.id = held.id
), erased as (
    delete from integration_sync_logs l using held where l.id = held.attempt_id and l.state = 'started'
        and l.started_at > held.lease_until - interval '1 hour' and l.started_at <= held.lease_until
), free_hooks as (
    update webhooks h set held_until = now() where h.id in (
        select t.id from webhooks t join held on held.webhook_id = t.id and held.lease_until = t.held_until
        where t.hold_reason = '{PROBING}' for update of t skip locked)
), free_accounts as (
    update integrations i set held_until = now() where i.id in (
        select t.id from integrations t join held on held.integration_id = t.id and held.lease_until = t.held_until
        where t.hold_reason = '{PROBING}' for update of t skip locked)
)
select pg_notify('{BACKLOG_CHANNEL}', '') where exists (select from held where wait_s < {SOON_S})
""",
)


def give_back(connection: Connection, held: Sequence[GiveBack]) -> None:
    """Undo claims whose calls were never made: no attempt is used and its row goes.

    A target whose probe was not made is free for the next one.
    """
    _GIVE_BACK(
        connection,
        ids=[str(h.delivery_id) for h in held],
        attempts=[str(h.attempt_id) for h in held],
        waits=[h.wait_s for h in held],
    )


_SETTLED = (
    "id", "attempt_id", "started_at", "state", "attempt_state", "duration_ms", "wait_s", "retries", "unknown",
    "progress", "result", "external_id", "http_status", "error_code", "error_message", "method", "url", "answer",
    "cost", "cost_unit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one attempt ended, and where its delivery goes."""

    id: UUID
    attempt_id: UUID
    started_at: datetime
    state: str  # of the delivery
    attempt_state: str
    duration_ms: int
    wait_s: float | None = None  # until it is due again; None for a final state
    retries: int = 0  # of the schedule, used by this outcome
    unknown: bool = False  # the call may have been done
    progress: str | None = None  # JSON
    result: str | None = None  # JSON
    external_id: str | None = None
    http_status: int | None = None
    error_code: str | None = None
    error_message: str | None = None
    method: str | None = None
    url: str | None = None
    answer: str | None = None
    cost: Decimal | None = None  # of this attempt, in `cost_unit`
    cost_unit: str | None = None


# Rows of the log are found by id and time: the two bounds open only the partitions that hold them. Who has an
# attempt_id is running; saying so would tempt the planner to scan all that run.
_SETTLE_SQL = """
with n as (
    select * from unnest(%(id)s::uuid[], %(attempt_id)s::uuid[], %(started_at)s::timestamptz[], %(state)s::text[],
        %(attempt_state)s::text[], %(duration_ms)s::int[], %(wait_s)s::float8[], %(retries)s::int[],
        %(unknown)s::bool[], %(progress)s::jsonb[], %(result)s::jsonb[], %(external_id)s::text[],
        %(http_status)s::int[], %(error_code)s::text[], %(error_message)s::text[], %(method)s::text[],
        %(url)s::text[], %(answer)s::text[], %(cost)s::numeric[], %(cost_unit)s::text[])
    as n(id, attempt_id, started_at, state, attempt_state, duration_ms, wait_s, retries, unknown, progress, result,
         external_id, http_status, error_code, error_message, method, url, answer, cost, cost_unit)
), closed as (
    update integration_sync_logs l set
        state = n.attempt_state, finished_at = now(), duration_ms = n.duration_ms, http_status = n.http_status,
        error_code = n.error_code, error_message = n.error_message, method = n.method, url = n.url,
        answer = n.answer, external_id = n.external_id, cost = n.cost, cost_unit = n.cost_unit
    from n where l.id = n.attempt_id and l.started_at = n.started_at
      and l.started_at >= %(oldest)s::timestamptz and l.started_at <= %(newest)s::timestamptz
)
update deliveries d set
    state = n.state, attempt_id = null, lease_until = null, overdue_at = null,
    due_at = now() + n.wait_s * interval '1 second',
    settled_at = case when n.wait_s is null then now() end,
    retry_count = case when n.state = 'waiting' then 0 else d.retry_count + n.retries end,
    lost_count = case when n.state = 'waiting' then 0 else d.lost_count end,
    unknown_since = case when n.unknown then coalesce(d.unknown_since, now()) end,
    progress = coalesce(n.progress, d.progress), result = n.result,
    external_id = coalesce(n.external_id, d.external_id),
    error_code = n.error_code, error_message = n.error_message
from n where d.id = n.id and d.attempt_id = n.attempt_id
returning n.attempt_id
"""
_SETTLE = Prepared("settle_deliveries", _SETTLE_SQL)


def settle(connection: Connection, settlements: Sequence[Settlement]) -> set[UUID]:
    """Close attempt rows and move their deliveries. The attempts that held theirs: the others had a newer holder."""
    started = [s.started_at for s in settlements]
    rows = [(str(s.id), str(s.attempt_id), *(getattr(s, name) for name in _SETTLED[2:])) for s in settlements]
    moved = _SETTLE(connection, oldest=min(started), newest=max(started), **columns(rows, _SETTLED))
    return {row[0] for row in moved}


@dataclass(frozen=True, slots=True)
class Again:
    """A try that failed with a transient fault, and the next one to open before its call goes out."""

    settlement: Settlement  # of the try that ended; its delivery stays running
    next_attempt_id: UUID


_REOPEN_SQL = """
with n as (
    select * from unnest(%(id)s::uuid[], %(attempt_id)s::uuid[], %(started_at)s::timestamptz[],
        %(next_attempt_id)s::uuid[], %(duration_ms)s::int[], %(http_status)s::int[], %(error_code)s::text[],
        %(error_message)s::text[], %(method)s::text[], %(url)s::text[], %(answer)s::text[])
    as n(id, attempt_id, started_at, next_attempt_id, duration_ms, http_status, error_code, error_message, method,
         url, answer)
), closed as (
    update integration_sync_logs l set
        state = 'retryable', finished_at = now(), duration_ms = n.duration_ms, http_status = n.http_status,
        error_code = n.error_code, error_message = n.error_message, method = n.method, url = n.url, answer = n.answer
    from n where l.id = n.attempt_id and l.started_at = n.started_at
      and l.started_at >= %(oldest)s::timestamptz and l.started_at <= %(newest)s::timestamptz
), moved as (
    update deliveries d set attempt_id = n.next_attempt_id, attempt_count = d.attempt_count + 1, overdue_at = null,
        lease_until = now() + %(lease_s)s::float8 * interval '1 second'
    from n where d.id = n.id and d.attempt_id = n.attempt_id
    returning d.*
), opened as (
    insert into integration_sync_logs (id, delivery_id, event_id, tenant_id, provider, integration_id, webhook_id,
                                       event_type, trace_id, attempt_number, started_at, worker)
    select attempt_id, id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, trace_id,
           attempt_count, now(), %(worker)s::text
    from moved
)
select id, attempt_id, attempt_count, now() as started_at from moved
"""
_REOPEN = Prepared("reopen_attempts", _REOPEN_SQL)
_REOPENED = ("duration_ms", "http_status", "error_code", "error_message", "method", "url", "answer")


def reopen(connection: Connection, tries: Sequence[Again], *, lease_s: float, worker: str) -> Rows:
    """Close a try's row and open the next one's, the lease renewed. What is not returned has a newer holder."""
    started = [t.settlement.started_at for t in tries]
    parameters: dict[str, list[Any]] = {
        "id": [str(t.settlement.id) for t in tries],
        "attempt_id": [str(t.settlement.attempt_id) for t in tries],
        "started_at": started,
        "next_attempt_id": [str(t.next_attempt_id) for t in tries],
        **{name: [getattr(t.settlement, name) for t in tries] for name in _REOPENED},
    }
    return _REOPEN(connection, lease_s=lease_s, worker=worker, oldest=min(started), newest=max(started), **parameters)


_EXPIRE = Prepared(
    "expire_leases",
    """
    with late as (
        select id, attempt_id as lost_attempt, lease_until, overdue_at is null as first_seen from deliveries
        where state = 'running' and lease_until < now()
          and (overdue_at is null or overdue_at < now() - %(grace_s)s::float8 * interval '1 second')
        order by lease_until limit %(limit)s::int for update skip locked
    ), noticed as (
        update deliveries d set overdue_at = now() from late where d.id = late.id and first_seen
    ), closed as (
        update integration_sync_logs l set state = 'lost', finished_at = now(), error_code = 'worker_lost',
            error_message = 'The worker that held this call ended without an answer.'
        from late where not first_seen and l.id = late.lost_attempt and l.state = 'started'
          and l.started_at > late.lease_until - interval '1 hour' and l.started_at <= late.lease_until
    )
    update deliveries d set attempt_id = null, lease_until = null, overdue_at = null, lost_count = d.lost_count + 1,
        unknown_since = coalesce(d.unknown_since, now()), dispatched_at = null,
        state = case when d.lost_count + 1 >= %(max_lost)s::int then 'failed' else 'retrying' end,
        due_at = case when d.lost_count + 1 < %(max_lost)s::int
                      then now() + random() * d.lost_count * interval '1 second' end,
        settled_at = case when d.lost_count + 1 >= %(max_lost)s::int then now() end, error_code = 'worker_lost',
        error_message = 'The worker that held this delivery ended ' || (d.lost_count + 1)
                        || ' time(s) without an answer.'
    from late where d.id = late.id and not first_seen returning d.id, d.provider, d.state
    """,
)


def expire_leases(connection: Connection, *, limit: int, max_lost: int, grace_s: float) -> Rows:
    """Take back what dead holders held: their attempt rows close as *lost*; too many losses make a dead letter.

    A lease that has ended is first only noted; its delivery is taken back `grace_s` later. A holder that lives, and
    could not settle because Postgres was away or frozen, hands in its outcome meanwhile. Answers what was taken back.
    """
    return _EXPIRE(connection, limit=limit, max_lost=max_lost, grace_s=grace_s)


def lock_backlog(connection: Connection, provider: str) -> bool:
    """Become the one who fills a provider's queue, until this transaction ends. False when somebody else is."""
    return bool(
        run(
            connection,
            "select pg_try_advisory_xact_lock(hashtext('mesh backlog'), hashtext(%(provider)s))",
            provider=provider,
        )[0][0]
    )


# The tenants that have anything waiting here, found by skipping from one to the next in the index.
_TENANTS_WAITING = f"""
with recursive tenants_waiting as (
    (select tenant_id from deliveries where provider = %(provider)s::text and state in {_WAITING}
     and dispatched_at is null order by tenant_id limit 1)
    union all
    select (select d.tenant_id from deliveries d where d.provider = %(provider)s and d.state in {_WAITING}
            and d.dispatched_at is null and d.tenant_id > t.tenant_id order by d.tenant_id limit 1)
    from tenants_waiting t where t.tenant_id is not null
)
"""


_TAKE_BACKLOG = Prepared(
    "take_backlog",
    f"""
    {_TENANTS_WAITING}, due as (
        select d.id, d.place from tenants_waiting t
        cross join lateral (
            select id, row_number() over (order by due_at) as place from deliveries
            where provider = %(provider)s and tenant_id = t.tenant_id and state in {_WAITING}
              and dispatched_at is null and due_at <= now()
            order by due_at limit %(per_tenant)s::int
        ) d where t.tenant_id is not null
        order by d.place limit %(limit)s::int
    ), locked as (
        select d.id, due.place from deliveries d join due on due.id = d.id
        where d.state in {_WAITING} and d.dispatched_at is null for update of d skip locked
    ), taken as (
        update deliveries d set dispatched_at = now() from locked where d.id = locked.id
        returning d.id, locked.place
    )
    select id from taken order by place
    """,
)


def take_backlog(connection: Connection, provider: str, *, limit: int, per_tenant: int) -> list[UUID]:
    """Due deliveries that wait here, marked as sent: a turn for each tenant before anybody's second, in that order."""
    return [row[0] for row in _TAKE_BACKLOG(connection, provider=provider, limit=limit, per_tenant=per_tenant)]


_NEXT_DUE = Prepared(
    "next_due",
    f"""
    {_TENANTS_WAITING}
    select extract(epoch from min(first.due_at) - now())::float8 from tenants_waiting t
    cross join lateral (
        select due_at from deliveries
        where provider = %(provider)s and tenant_id = t.tenant_id and state in {_WAITING}
          and dispatched_at is null and due_at < 'infinity'
        order by due_at limit 1
    ) first where t.tenant_id is not null
    """,
)


def next_due_s(connection: Connection, provider: str) -> float | None:
    """Seconds until the next delivery that waits here is due; at most 0 when one is. None when none will be."""
    seconds: float | None = _NEXT_DUE(connection, provider=provider)[0][0]
    return seconds


def forget_dispatch(connection: Connection, provider: str, *, older_than_s: float, limit: int) -> int:
    """Put back what was sent but never claimed: its message is gone, or waits somewhere in vain."""
    return count(
        connection,
        f"with step as materialized (select id from deliveries where provider = %(provider)s and state in {_WAITING}"
        " and dispatched_at is not null and dispatched_at < now() - %(age)s * interval '1 second'"
        " order by dispatched_at limit %(limit)s for update skip locked)"
        " update deliveries set dispatched_at = null where id in (select id from step)",
        provider=provider,
        age=older_than_s,
        limit=limit,
    )


def undo_dispatch(connection: Connection, ids: Collection[UUID]) -> None:
    """These ids were not sent after all, or nobody had room for them: they wait here."""
    run(
        connection,
        f"update deliveries set dispatched_at = null where id = any(%(ids)s::uuid[]) and state in {_WAITING}",
        ids=[str(delivery_id) for delivery_id in ids],
    )


def unpark(connection: Connection, integration_id: UUID) -> int:
    """An integration works again: everything that was parked for it is due."""
    return count(
        connection,
        f"update deliveries set due_at = now(), dispatched_at = null where integration_id = %(id)s"
        f" and state in {_WAITING} and due_at = 'infinity'",
        id=integration_id,
    )


def look_again(connection: Connection, delivery_id: UUID) -> bool:
    """Make a delivery due whose provider works on it: it has called back. False when it does not wait for that."""
    return bool(
        count(
            connection,
            "update deliveries set due_at = now(), dispatched_at = null where id = %(id)s and state = 'waiting'"
            " and due_at < 'infinity'",
            id=delivery_id,
        )
    )


def restart(connection: Connection, integration_id: UUID, event_type: str) -> int:
    """Let what is done in steps begin again. How many; one whose step is being made goes on from that."""
    return count(
        connection,
        f"update deliveries set progress = null where integration_id = %(id)s and event_type = %(type)s"
        f" and state in {_WAITING}",
        id=integration_id,
        type=event_type,
    )


def get(connection: Connection, delivery_id: UUID) -> Any | None:
    """One delivery with everything, or None."""
    rows = run(connection, "select * from deliveries where id = %(id)s", id=delivery_id)
    return rows[0] if rows else None


def of_event(connection: Connection, event_id: UUID) -> Rows:
    """An event's deliveries, in order."""
    return run(connection, "select * from deliveries where event_id = %(id)s order by id", id=event_id)

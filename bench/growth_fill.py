"""Millions of settled deliveries with their events and attempts, made by set-based SQL in minutes.

The rows look as the engine leaves them: ids in time order, spread over the past weeks; tenants of very different size;
keys of the Redis door (random) and of producers (in order). `empty` makes the same tenants and targets with no history.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Connection

import db.schema
from db.engine import run
from worker import catalog

ROW_BYTES = 2400  # on disk, of one delivery with its event, its attempt, all their indexes, and room to sort them
TENANTS = 200  # the last of them has next to nothing
WEEKS = 13  # of history
TRICKLE = 5000  # every so many events, one is the last tenant's
EVENT_TYPE = "campaign.created"
UNUSED_TYPE = "report.generated"  # of webhooks that never got anything

_TARGETS = (
    "insert into tenants (id, name) select 'tenant-' || n, 'Tenant ' || n from generate_series(1, {tenants}) n",
    "insert into integrations (tenant_id, provider, name, created_at)"
    " select id, provider, 'main', now() - interval '1 year'"
    " from tenants, unnest(array['zapier', 'elevenlabs']) as provider",
    "insert into webhooks (tenant_id, integration_id, event_type, url_sealed, url_hash, url_hint, created_at, secrets)"
    " select tenant_id, id, event_type, 'v1:k1:' || repeat('x', 120), sha256(tenant_id::bytea),"
    " 'https://hooks.example.com/…c123', created_at, jsonb_build_array(jsonb_build_object("
    "'id', mesh_uuid(), 'sealed', 'v1:k1:' || repeat('y', 90), 'expires_at', null))"
    " from integrations, unnest(array['{event_type}', '{unused_type}']) as event_type where provider = 'zapier'",
)

# What the history is made from: one row an event. Tenants get shares that fall off, as customers do; one delivery in
# ten is an audio render's, two in a hundred are dead letters, one was cancelled.
_HISTORY = """
create unlogged table history as
with target as (
    select t.n, i.tenant_id, i.provider, i.id as integration_id, w.id as webhook_id
    from generate_series(1, {tenants}) t(n)
    join integrations i on i.tenant_id = 'tenant-' || t.n
    left join webhooks w on w.integration_id = i.id and w.event_type = '{event_type}'
), moment as (
    select n, now() - {weeks} * interval '1 week' * (1 - n / ({rows} + 1.0)) as at,
           case when n %% {trickle} = 0 then {tenants}
                else 1 + floor(({tenants} - 1) * power(hashint8(n)::float8 / 4294967296 + 0.5, 3))::int end as tenant,
           case when n %% 10 = 3 then 'elevenlabs' else 'zapier' end as provider
    from generate_series(1, {rows}) n
)
select m.n, m.at, lpad(to_hex((extract(epoch from m.at) * 1000)::bigint), 12, '0') as ms, t.tenant_id, t.provider,
       t.integration_id, t.webhook_id, case t.provider when 'zapier' then '{event_type}' else 'audio.render_requested'
       end as event_type,
       case when m.n %% 50 = 7 then 'failed' when m.n %% 100 = 12 then 'cancelled' else 'succeeded' end as state
from moment m join target t on t.n = m.tenant and t.provider = m.provider
order by m.n
"""
_ID = "(h.ms || '7{kind}' || substr(md5(h.n::text), 1, 2) || '8' || substr(md5(h.n::text), 4, 15))::uuid"
_EVENT, _DELIVERY, _ATTEMPT = (_ID.replace("{kind}", kind) for kind in "012")

_ROWS = {
    "events": f"""
        insert into events (id, tenant_id, type, data, idempotency_key, occurred_at, accepted_at, routed_at)
        select {_EVENT}, h.tenant_id, h.event_type, jsonb_build_object(
                   'campaign_id', 'cmp_' || h.n, 'name', 'Spring launch ' || md5(h.n::text), 'objective', 'sales',
                   'budget', h.n %% 1000, 'budget_kind', 'daily', 'currency', 'EUR',
                   'starts_at', '2026-03-01T00:00:00Z', 'note', repeat(md5(h.n::text), 4)),
               case h.n %% 4 when 0 then null when 1 then 'order-' || h.n
                            else 'message:' || gen_random_uuid() || ':' || h.n %% 50 end,
               h.at, h.at, h.at
        from history h order by h.n""",
    "deliveries": f"""
        insert into deliveries (id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, state,
                                attempt_count, first_attempt_at, created_at, settled_at, error_code, error_message)
        select {_DELIVERY}, {_EVENT}, h.tenant_id, h.provider, h.integration_id, h.webhook_id, h.event_type, h.state,
               1, h.at, h.at, h.at + interval '80 milliseconds', f.error_code, f.error_message
        from history h left join (values ('failed', 'invalid_payload', 'They understood, and said no: 422.'),
                                         ('cancelled', 'integration_disconnected', 'The integration was disconnected.'))
            as f(state, error_code, error_message) using (state) order by h.n""",
    "integration_sync_logs": f"""
        insert into integration_sync_logs (id, delivery_id, event_id, tenant_id, provider, integration_id, webhook_id,
                                           event_type, attempt_number, state, started_at, finished_at, duration_ms,
                                           method, url, http_status, error_code, error_message, answer, worker)
        select {_ATTEMPT}, {_DELIVERY}, {_EVENT}, h.tenant_id, h.provider, h.integration_id, h.webhook_id, h.event_type,
               1, case h.state when 'failed' then 'refused' else 'succeeded' end, h.at,
               h.at + interval '70 milliseconds', 70, 'POST', 'https://hooks.example.com/hooks/catch/****',
               case h.state when 'failed' then 422 else 200 end, f.error_code, f.error_message,
               '{{"status": "success", "id": "' || md5(h.n::text) || '"}}', 'worker-host-1:4711'
        from history h left join (values ('failed', 'invalid_payload', 'They understood, and said no: 422.'))
            as f(state, error_code, error_message) using (state) order by h.n""",
}

# The partitions of past weeks, which the schema has no reason to make.
_PARTITIONS = """
do $$ declare week timestamptz; begin
    for n in 1 .. {weeks} loop
        week := date_trunc('week', now() at time zone 'UTC') at time zone 'UTC' - n * interval '7 days';
        execute format('create table %%I partition of integration_sync_logs for values from (%%L) to (%%L)'
                       ' with (fillfactor = 70)',
                       'integration_sync_logs_' || to_char(week at time zone 'UTC', 'YYYYMMDD'),
                       week, week + interval '7 days');
    end loop;
end $$
"""


class NoRoom(RuntimeError):
    """The disk is too small for that many rows; the message says how much is needed."""


def need_room(folder: Path, rows: int) -> None:
    """Raise NoRoom, which says what to do, where the disk is too small."""
    free, needed = shutil.disk_usage(folder).free, rows * ROW_BYTES
    if free < needed:
        raise NoRoom(
            f"{rows:,} rows need {needed / 1e9:.0f} GB below {folder}, where {free / 1e9:.0f} GB are free:"
            " ask for fewer with --rows, or set TMPDIR to a larger disk."
        )


def empty(connection: Connection) -> None:
    """Schema, catalog, tenants and their targets."""
    db.schema.apply(connection, catalog.rows())
    for statement in _TARGETS:
        run(connection, statement.format(tenants=TENANTS, event_type=EVENT_TYPE, unused_type=UNUSED_TYPE))


def fill(connection: Connection, rows: int) -> None:
    """The history, in one transaction: truncated in it, the tables need no WAL where `wal_level` is minimal.

    Indexes other than primary keys are made afterwards. Foreign keys are not checked: the rows fit by construction.
    """
    run(connection, "set local session_replication_role = replica")
    run(connection, "set local maintenance_work_mem = '1GB'")
    run(connection, "set local work_mem = '256MB'")
    run(connection, "set local statement_timeout = 0")
    run(connection, _PARTITIONS.format(weeks=WEEKS))
    run(connection, "truncate events, deliveries, integration_sync_logs")
    indexes = _drop_indexes(connection)
    run(connection, _HISTORY.format(rows=rows, tenants=TENANTS, weeks=WEEKS, trickle=TRICKLE, event_type=EVENT_TYPE))
    for statement in _ROWS.values():
        run(connection, statement)
    run(connection, "drop table history")
    for definition in indexes:
        run(connection, definition)


def _drop_indexes(connection: Connection) -> list[str]:
    """Drop what is no primary key; the statements that make it again, on the partitions too."""
    found = run(
        connection,
        "select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition from pg_index i"
        " join pg_class c on c.oid = i.indexrelid where i.indrelid = any(%(tables)s::regclass[])"
        " and not i.indisprimary",
        tables=list(_ROWS),
    )
    for row in found:
        run(connection, f"drop index {row.name}")
    return [row.definition.replace(" ON ONLY ", " ON ") for row in found]


def settle_down(connection: Connection) -> None:
    """What autovacuum and the checkpointer would have done long ago. Needs autocommit."""
    run(connection, "set statement_timeout = 0")
    run(connection, "vacuum (analyze) events, deliveries, integration_sync_logs")
    run(connection, "checkpoint")

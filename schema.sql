-- Agent Mesh: the whole schema, readable top to bottom. Applying it again changes nothing. PostgreSQL 14 or later.
--
-- Everything is an event; an event becomes deliveries; a delivery is attempted; an attempt is a row of
-- integration_sync_logs. Times are timestamptz in UTC. Ids are UUIDs in time order (version 7), made by the caller or
-- by mesh_uuid(). Columns named *_sealed hold "v1:<key id>:<ciphertext>", bound to their table, column and row id.

set local client_min_messages = warning;

-- ---------------------------------------------------------------------------------------------------------- helpers

-- A UUID of version 7: 48 bits of milliseconds, then random. PostgreSQL has its own from 18 on.
create or replace function mesh_uuid() returns uuid language sql volatile parallel safe as $$
    select encode(
        set_bit(set_bit(
            overlay(uuid_send(gen_random_uuid())
                    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
                    from 1 for 6),
            52, 1), 53, 1),
        'hex')::uuid
$$;

-- A column that earlier versions did not have. Looks first: "add column if not exists" locks a table against everybody,
-- and waits for every reader of it, even where the column is there.
create or replace function mesh_add_column(target regclass, name text, kind text) returns void language plpgsql as $$
begin
    if not exists (select from pg_attribute where attrelid = target and attname = name and not attisdropped) then
        execute format('alter table %s add column %I %s', target, name, kind);
    end if;
end $$;

-- ------------------------------------------------------------------------------------------------------ who and what

create table if not exists tenants (
    id          text primary key check (id ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$'),
    name        text not null,
    state       text not null default 'active' check (state in ('active', 'suspended')),
    created_at  timestamptz not null default now()
);
comment on table tenants is 'The product''s customers. The id is the product''s own, so producers need no look-up.';

create table if not exists event_types (
    name        text primary key check (name ~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$'),
    description text not null,
    schema      jsonb not null
);
comment on table event_types is 'The catalog, copied from worker/event_types/ when the schema is applied.';

create table if not exists api_keys (
    id           uuid primary key default mesh_uuid(),
    tenant_id    text references tenants on delete cascade,
    name         text not null,
    key_hash     bytea not null unique,
    hint         text not null,
    scopes       text[] not null default '{}',
    created_at   timestamptz not null default now(),
    last_used_at timestamptz,
    expires_at   timestamptz,
    revoked_at   timestamptz
);
comment on column api_keys.tenant_id is 'Null is an operator''s key.';
comment on column api_keys.key_hash is 'SHA-256 of the key; the key itself is shown once and kept nowhere.';

-- ------------------------------------------------------------------------------------------------------ integrations

create table if not exists integrations (
    id                   uuid primary key default mesh_uuid(),
    tenant_id            text not null references tenants on delete cascade,
    provider             text not null,
    name                 text not null,
    external_account_id  text,
    state                text not null default 'active'
                         check (state in ('active', 'paused', 'needs_reconnect', 'blocked', 'disconnected')),
    state_reason         text not null default '',
    config               jsonb not null default '{}' check (jsonb_typeof(config) = 'object'),
    secrets_sealed       text,
    event_types          text[],
    rate_per_s           numeric check (rate_per_s > 0),
    max_in_flight        integer check (max_in_flight > 0),
    consecutive_failures integer not null default 0 check (consecutive_failures >= 0),
    failing_since        timestamptz,
    held_until           timestamptz,
    hold_reason          text,
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now(),
    version              integer not null default 1,
    unique (tenant_id, provider, name),
    check ((consecutive_failures = 0) = (failing_since is null))
);
comment on column integrations.secrets_sealed is 'One sealed JSON object of the connect form''s sensitive fields.';
comment on column integrations.event_types is 'Null = every event type that the provider has an action for.';
comment on column integrations.held_until is
    'An open circuit, or the provider''s own word (429, 503): no call before this time.';

create table if not exists integration_tokens (
    integration_id        uuid primary key references integrations on delete cascade,
    access_token_sealed   text not null,
    refresh_token_sealed  text,
    scopes                text[] not null default '{}',
    expires_at            timestamptz,
    refresh_expires_at    timestamptz,
    refresh_state         text not null default 'idle'
                          check (refresh_state in ('idle', 'refreshing', 'answer_lost', 'dead')),
    refresh_owner         uuid,
    refresh_lease_until   timestamptz,
    refresh_failures      integer not null default 0,
    next_refresh_at       timestamptz,
    last_error            text,
    details               jsonb not null default '{}',
    obtained_at           timestamptz not null default now(),
    version               integer not null default 1,
    check ((refresh_state = 'refreshing') = (refresh_owner is not null and refresh_lease_until is not null))
);
do $$ begin
    perform mesh_add_column('integration_tokens', 'last_error', 'text');
    perform mesh_add_column('integration_tokens', 'details', 'jsonb not null default ''{}''');
end $$;
comment on column integration_tokens.refresh_state is
    'answer_lost: the provider may have used the refresh token up, and what it gave for it never came.';
comment on column integration_tokens.version is 'One more with each new token: who was rejected with an older one asks again.';
create index if not exists integration_tokens_refresh on integration_tokens (next_refresh_at)
    where refresh_state in ('idle', 'answer_lost') and next_refresh_at is not null;
create index if not exists integration_tokens_leased on integration_tokens (refresh_lease_until)
    where refresh_state = 'refreshing';

create table if not exists oauth_states (
    state_hash    bytea primary key,
    tenant_id     text not null references tenants on delete cascade,
    provider      text not null,
    browser_hash  bytea not null,
    pkce_sealed   text,
    redirect_to   text,
    redirect_uri  text not null default '',
    name          text not null default 'default',
    fields        jsonb not null default '{}',
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null default now() + interval '10 minutes',
    used_at       timestamptz
);
do $$ begin
    perform mesh_add_column('oauth_states', 'redirect_uri', 'text not null default ''''');
    perform mesh_add_column('oauth_states', 'name', 'text not null default ''default''');
    perform mesh_add_column('oauth_states', 'fields', 'jsonb not null default ''{}''');
end $$;
create index if not exists oauth_states_expiry on oauth_states (expires_at);
comment on column oauth_states.redirect_uri is 'What the provider was told: the exchange must repeat it to the letter.';
comment on column oauth_states.redirect_to is 'The page of ours that is shown in the end.';
comment on column oauth_states.fields is 'What was given for the integration beside the login; no secret.';

-- A subscription: one event type to one URL. The URL is itself a credential, so it is sealed; url_hash finds it again.
create table if not exists webhooks (
    id                   uuid primary key default mesh_uuid(),
    tenant_id            text not null references tenants on delete cascade,
    integration_id       uuid not null references integrations on delete cascade,
    user_id              text not null default '',
    event_type           text not null,
    url_sealed           text not null,
    url_hash             bytea not null,
    url_hint             text not null,
    filters              jsonb not null default '{}' check (jsonb_typeof(filters) = 'object'),
    secrets              jsonb not null check (jsonb_typeof(secrets) = 'array' and jsonb_array_length(secrets) > 0),
    state                text not null default 'active' check (state in ('active', 'disabled', 'gone', 'unregistered')),
    state_reason         text not null default '',
    rate_per_s           numeric check (rate_per_s > 0),
    max_in_flight        integer check (max_in_flight > 0),
    consecutive_failures integer not null default 0 check (consecutive_failures >= 0),
    failing_since        timestamptz,
    held_until           timestamptz,
    hold_reason          text,
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now(),
    version              integer not null default 1,
    check ((consecutive_failures = 0) = (failing_since is null))
);
create unique index if not exists webhooks_once on webhooks (tenant_id, user_id, event_type, url_hash)
    where state in ('active', 'disabled');
create index if not exists webhooks_route on webhooks (tenant_id, event_type) where state = 'active';
create index if not exists webhooks_integration on webhooks (integration_id);
comment on column webhooks.event_type is 'One type of the catalog, or * for all.';
comment on column webhooks.filters is 'Every key must equal the event''s value, or be one of a list; dots go deeper.';
comment on column webhooks.secrets is
    'Newest first: [{"id", "sealed", "expires_at"}]; every one that has not expired signs.';

-- A step of a chain: when an event of one type happens, an account does something with what it says.
create table if not exists chain_steps (
    id             uuid primary key default mesh_uuid(),
    tenant_id      text not null references tenants on delete cascade,
    chain          text not null check (length(chain) between 1 and 100),
    position       integer not null check (position > 0),
    after_id       uuid references chain_steps on delete cascade,
    event_type     text not null,
    filters        jsonb not null default '{}' check (jsonb_typeof(filters) = 'object'),
    integration_id uuid not null references integrations on delete cascade,
    action         text not null,
    mapping        jsonb not null check (jsonb_typeof(mapping) = 'object'),
    state          text not null default 'active' check (state in ('active', 'disabled', 'replaced', 'removed')),
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    version        integer not null default 1
);
create unique index if not exists chain_steps_once on chain_steps (tenant_id, chain, position)
    where state in ('active', 'disabled');
create index if not exists chain_steps_follow on chain_steps (tenant_id, event_type)
    where state in ('active', 'replaced');
create index if not exists chain_steps_after on chain_steps (after_id) where after_id is not null;
create index if not exists chain_steps_integration on chain_steps (integration_id);
comment on column chain_steps.after_id is
    'Only events that came of what this other step did; null = the first step, which any event of the type starts.';
comment on column chain_steps.state is
    'replaced: another definition has its name; what it has begun goes on, and nothing begins with it.';
comment on column chain_steps.action is 'The event type that is published for the account, and for it alone.';
comment on column chain_steps.mapping is 'The data of that event; "{{path}}" is filled in from the one that happened.';

-- ------------------------------------------------------------------------------------------------------------- events

create table if not exists events (
    id             uuid primary key,
    tenant_id      text not null references tenants,
    type           text not null,
    data           jsonb not null check (jsonb_typeof(data) = 'object'),
    idempotency_key text check (length(idempotency_key) between 1 and 255),
    occurred_at    timestamptz not null,
    caused_by      uuid,
    trace_id       uuid,
    chain_step_id  uuid,
    accepted_at    timestamptz not null default now(),
    routed_at      timestamptz
);
do $$ begin
    perform mesh_add_column('events', 'trace_id', 'uuid');
    perform mesh_add_column('events', 'chain_step_id', 'uuid');
end $$;
create unique index if not exists events_idempotency on events (tenant_id, idempotency_key)
    where idempotency_key is not null;
create index if not exists events_page on events (tenant_id, id desc);
create index if not exists events_caused on events (caused_by) where caused_by is not null;
drop index if exists events_unrouted;
create index if not exists events_unrouted_of_tenant on events (tenant_id, id) where routed_at is null;
comment on column events.caused_by is 'The event whose delivery, or whose chain step, published this one.';
comment on column events.trace_id is 'The event that all began with, which everything shares that came of it; null = this one.';
comment on column events.chain_step_id is 'The step that published it, for the account that the step names and no other.';
comment on column events.routed_at is 'Null only for an event of the SQL door that has not got its deliveries yet.';

create table if not exists rejected_events (
    id           uuid primary key default mesh_uuid(),
    door         text not null,
    reason       text not null,
    body         bytea not null,
    body_size    bigint not null,
    tenant_id    text,
    event_type   text,
    event_id     uuid,
    received_at  timestamptz not null default now(),
    resolved_at  timestamptz
);
do $$ begin
    if not exists (select from pg_constraint where conrelid = 'rejected_events'::regclass
                   and conname = 'rejected_events_door') then
        alter table rejected_events drop constraint if exists rejected_events_door_check;  -- of earlier versions
        alter table rejected_events add constraint rejected_events_door
            check (door in ('redis', 'sql', 'outcome', 'chain'));
    end if;
end $$;
create index if not exists rejected_events_open on rejected_events (id) where resolved_at is null;
create index if not exists rejected_events_event on rejected_events (event_id) where event_id is not null;
create index if not exists rejected_events_page on rejected_events (received_at desc, id desc);
create index if not exists rejected_events_settled on rejected_events (resolved_at) where resolved_at is not null;
comment on table rejected_events is
    'What came through a door that cannot answer and could not be accepted: kept whole, with the reason.';

-- --------------------------------------------------------------------------------------------------------- deliveries

create table if not exists deliveries (
    id               uuid primary key,
    event_id         uuid not null references events on delete cascade,
    tenant_id        text not null,
    provider         text not null,
    integration_id   uuid not null references integrations,
    webhook_id       uuid references webhooks,
    event_type       text not null,
    trace_id         uuid,
    state            text not null default 'pending'
                     check (state in ('pending', 'retrying', 'waiting', 'running', 'succeeded', 'failed', 'cancelled')),
    due_at           timestamptz,
    dispatched_at    timestamptz,
    attempt_id       uuid,
    lease_until      timestamptz,
    attempt_count    integer not null default 0 check (attempt_count >= 0),
    retry_count      integer not null default 0 check (retry_count >= 0),
    lost_count       integer not null default 0 check (lost_count >= 0),
    overdue_at       timestamptz,
    unknown_since    timestamptz,
    first_attempt_at timestamptz,
    progress         jsonb,
    external_id      text,
    result           jsonb,
    error_code       text,
    error_message    text,
    created_at       timestamptz not null default now(),
    settled_at       timestamptz,
    constraint deliveries_lease check (
        (state = 'running') = (lease_until is not null) and (state = 'running') = (attempt_id is not null)),
    constraint deliveries_due check ((state in ('pending', 'retrying', 'waiting')) = (due_at is not null)),
    constraint deliveries_settled check (
        (state in ('succeeded', 'failed', 'cancelled')) = (settled_at is not null)),
    constraint deliveries_failed check (state <> 'failed' or error_code is not null)
) with (fillfactor = 80);
do $$ begin
    perform mesh_add_column('deliveries', 'trace_id', 'uuid');
end $$;
create index if not exists deliveries_event on deliveries (event_id);
create index if not exists deliveries_page on deliveries (tenant_id, id desc);
create index if not exists deliveries_backlog on deliveries (provider, tenant_id, due_at)
    where state in ('pending', 'retrying', 'waiting') and dispatched_at is null;
create index if not exists deliveries_sent on deliveries (provider, dispatched_at)
    where state in ('pending', 'retrying', 'waiting') and dispatched_at is not null;
create index if not exists deliveries_error on deliveries
    using gin (to_tsvector('simple', error_code || ' ' || coalesce(error_message, ''))) where error_code is not null;
create index if not exists deliveries_leased on deliveries (lease_until) where state = 'running';
-- Dead letters are few, and no delivery that succeeds comes here: what filters ask for stands in the index.
create index if not exists deliveries_suspect on deliveries (id) where state = 'running' and lost_count >= 3;
create index if not exists deliveries_failed on deliveries (id desc) include (settled_at, provider, webhook_id)
    where state = 'failed';
create index if not exists deliveries_failed_tenant on deliveries (tenant_id, id desc)
    include (settled_at, provider, webhook_id) where state = 'failed';
drop index if exists deliveries_dead;  -- of earlier versions
comment on column deliveries.trace_id is 'Of its event; null only in rows of earlier versions.';
comment on column deliveries.due_at is 'When it may be claimed; set exactly while it waits to be.';
comment on column deliveries.dispatched_at is 'When its id was last sent to Redis; null = waiting here.';
comment on column deliveries.attempt_id is
    'The open attempt: the fencing token of its holder. Every later write repeats it.';
comment on column deliveries.retry_count is 'Retries by schedule used so far; a wait or a rate limit uses none.';
comment on column deliveries.overdue_at is
    'When its lease was first seen to have ended: its holder, if it lives, gets a moment to hand in the outcome.';
comment on column deliveries.lost_count is 'Holders that died with it; too many make it a dead letter.';
comment on column deliveries.unknown_since is
    'An earlier call may have been done: where repeating is not safe it is looked up first.';

-- Every call, one row: opened before it goes out, closed when it ends.
create table if not exists integration_sync_logs (
    id             uuid not null,
    delivery_id    uuid not null,
    event_id       uuid not null,
    tenant_id      text not null,
    provider       text not null,
    integration_id uuid not null,
    webhook_id     uuid,
    event_type     text not null,
    trace_id       uuid,
    attempt_number integer not null check (attempt_number > 0),
    state          text not null default 'started'
                   check (state in ('started', 'succeeded', 'retryable', 'refused', 'lost')),
    started_at     timestamptz not null,
    finished_at    timestamptz,
    duration_ms    integer check (duration_ms >= 0),
    method         text,
    url            text,
    http_status    integer,
    error_code     text,
    error_message  text,
    answer         text,
    external_id    text,
    cost           numeric,
    cost_unit      text,
    worker         text not null,
    primary key (id, started_at),
    constraint logs_finished check ((state = 'started') = (finished_at is null)),
    constraint logs_error check ((state in ('started', 'succeeded')) = (error_code is null))
) partition by range (started_at);
do $$ begin
    perform mesh_add_column('integration_sync_logs', 'trace_id', 'uuid');
    perform mesh_add_column('integration_sync_logs', 'cost', 'numeric');
    perform mesh_add_column('integration_sync_logs', 'cost_unit', 'text');
end $$;
create index if not exists logs_delivery on integration_sync_logs (delivery_id);
create index if not exists logs_page on integration_sync_logs (tenant_id, started_at desc);
comment on column integration_sync_logs.url is 'Masked: a webhook''s URL is a credential.';
comment on column integration_sync_logs.cost is 'What this call cost, in cost_unit: characters, usd, credits …';
comment on column integration_sync_logs.answer is 'The first 500 characters of the answer, redacted.';

create table if not exists integration_sync_logs_default partition of integration_sync_logs default;

-- Make the weekly partitions of the current week and the next ones. Rows that had to go to the default partition,
-- because nobody called this in time, move to theirs.
create or replace function ensure_log_partitions(weeks_ahead integer default 4) returns integer
language plpgsql as $$
declare
    made integer := 0;
    week timestamptz;
    part text;
begin
    for n in 0 .. weeks_ahead loop
        week := date_trunc('week', now() at time zone 'UTC') at time zone 'UTC' + n * interval '7 days';
        part := 'integration_sync_logs_' || to_char(week at time zone 'UTC', 'YYYYMMDD');
        continue when to_regclass(part) is not null;
        execute format('create table %I (like integration_sync_logs including defaults including constraints)'
                       ' with (fillfactor = 70)', part);
        execute format('with late as (delete from integration_sync_logs_default'
                       ' where started_at >= %L and started_at < %L returning *) insert into %I select * from late',
                       week, week + interval '7 days', part);
        execute format('alter table integration_sync_logs attach partition %I for values from (%L) to (%L)',
                       part, week, week + interval '7 days');
        made := made + 1;
    end loop;
    return made;
end $$;
select ensure_log_partitions();

-- A bulk redelivery: durable, in short steps, resumed where it stopped.
create table if not exists replays (
    id           uuid primary key default mesh_uuid(),
    tenant_id    text,
    webhook_id   uuid,
    provider     text,
    since        timestamptz,
    until        timestamptz not null default now(),
    cursor       uuid,
    replayed     integer not null default 0,
    requested_by text not null,
    created_at   timestamptz not null default now(),
    finished_at  timestamptz
);
create index if not exists replays_open on replays (id) where finished_at is null;

-- How far the pass over old rows has come that deletes them: what has to stay is not looked at in every step again.
create table if not exists retention (
    kind   text primary key check (kind in ('events')),
    cursor uuid
);
comment on column retention.cursor is 'The last row looked at; null = the next pass begins with the oldest.';

-- ------------------------------------------------------------------------------------------------------- what comes in

create table if not exists inbox (
    id             uuid primary key default mesh_uuid(),
    provider       text not null,
    integration_id uuid references integrations on delete cascade,
    external_id    text not null,
    delivery_id    uuid,
    verdict        text not null check (verdict in ('accepted', 'refused')),
    reason         text not null default '',
    headers        jsonb not null default '{}',
    body           bytea not null,
    received_at    timestamptz not null default now(),
    handled_at     timestamptz,
    event_id       uuid
);
do $$ begin
    perform mesh_add_column('inbox', 'delivery_id', 'uuid');
end $$;
comment on column inbox.delivery_id is 'The delivery whose work this message tells the end of.';
create unique index if not exists inbox_once on inbox (provider, integration_id, external_id)
    where verdict = 'accepted';
create index if not exists inbox_received on inbox (received_at);
create index if not exists inbox_refused on inbox (integration_id, received_at) where verdict = 'refused';
create index if not exists inbox_delivery on inbox (delivery_id) where delivery_id is not null;
create index if not exists inbox_open on inbox (id) where verdict = 'accepted' and handled_at is null;

create table if not exists sync_cursors (
    integration_id uuid not null references integrations on delete cascade,
    stream         text not null,
    cursor         jsonb not null default '{}',
    synced_at      timestamptz,
    next_sync_at   timestamptz,
    event_id       uuid,
    updated_at     timestamptz not null default now(),
    primary key (integration_id, stream)
);
do $$ begin
    perform mesh_add_column('sync_cursors', 'event_id', 'uuid');
end $$;
comment on column sync_cursors.cursor is 'Moves only in the commit that stores the rows it has passed.';
comment on column sync_cursors.event_id is 'The last sync.due: while it is not settled no other is published.';
comment on column sync_cursors.next_sync_at is 'Null: nobody has planned it, or its account may not be called.';
create index if not exists sync_cursors_due on sync_cursors (next_sync_at) where next_sync_at is not null;
create index if not exists integrations_synced on integrations (provider, id) where state = 'active';

-- ------------------------------------------------------------------------------------------- what the platforms hold

create table if not exists campaigns (
    id             uuid primary key default mesh_uuid(),
    tenant_id      text not null references tenants on delete cascade,
    external_key   text not null,
    name           text not null,
    objective      text,
    state          text not null default 'active'
                   check (state in ('draft', 'active', 'paused', 'completed', 'archived', 'deleted')),
    budget         numeric(18, 4),
    currency       char(3),
    details        jsonb not null default '{}',
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    unique (tenant_id, external_key)
);

create table if not exists campaign_links (
    id             uuid primary key default mesh_uuid(),
    campaign_id    uuid references campaigns on delete cascade,
    integration_id uuid not null references integrations on delete cascade,
    external_id    text not null,
    external_state text,
    details        jsonb not null default '{}',
    applied_at     timestamptz,
    seen_at        timestamptz not null default now(),
    deleted_at     timestamptz,
    unique (integration_id, external_id)
);
do $$ begin
    perform mesh_add_column('campaign_links', 'applied_at', 'timestamptz');
end $$;
comment on column campaign_links.campaign_id is 'Null: made at the platform, not by the product.';
comment on column campaign_links.seen_at is 'When an outcome last named it. A whole listing begun later shows it, or it is gone.';
comment on column campaign_links.applied_at is 'When the last event happened that was applied there: earlier ones come too late.';
create index if not exists campaign_links_campaign on campaign_links (campaign_id);

create table if not exists ad_metrics (
    integration_id uuid not null references integrations on delete cascade,
    level          text not null check (level in ('account', 'campaign', 'ad_set', 'ad')),
    external_id    text not null,
    day            date not null,
    impressions    bigint check (impressions >= 0),
    clicks         bigint check (clicks >= 0),
    spend          numeric(18, 4),
    currency       char(3),
    conversions    numeric(18, 4),
    details        jsonb not null default '{}',
    fetched_at     timestamptz not null default now(),
    primary key (integration_id, level, external_id, day)
) with (fillfactor = 80);
alter table ad_metrics set (fillfactor = 80);
comment on column ad_metrics.fetched_at is 'When the platform last said so: a day is read again while it may change.';

create table if not exists media_assets (
    id          uuid primary key,
    tenant_id   text not null references tenants on delete cascade,
    event_id    uuid,
    delivery_id uuid,
    provider    text not null,
    uri         text not null unique,
    mime        text not null,
    size_bytes  bigint not null check (size_bytes > 0),
    sha256      char(64) not null,
    details     jsonb not null default '{}',
    created_at  timestamptz not null default now()
);
create index if not exists media_assets_page on media_assets (tenant_id, id desc);
create index if not exists media_assets_delivery on media_assets (delivery_id);

create table if not exists products (
    id             uuid primary key default mesh_uuid(),
    tenant_id      text not null references tenants on delete cascade,
    integration_id uuid not null references integrations on delete cascade,
    external_id    text not null,
    sku            text,
    title          text not null,
    price          numeric(18, 4),
    currency       char(3),
    stock          integer,
    state          text not null default 'active' check (state in ('active', 'inactive', 'deleted')),
    details        jsonb not null default '{}',
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    seen_at        timestamptz not null default now(),
    unique (integration_id, external_id),
    check (price is null or currency is not null)
);
do $$ begin
    perform mesh_add_column('products', 'seen_at', 'timestamptz not null default now()');
end $$;
comment on column products.seen_at is 'When an outcome last named it. A whole listing begun later shows it, or it is gone.';
create index if not exists products_page on products (tenant_id, id desc);

create table if not exists orders (
    id             uuid primary key default mesh_uuid(),
    tenant_id      text not null references tenants on delete cascade,
    integration_id uuid not null references integrations on delete cascade,
    external_id    text not null,
    external_key   text,
    state          text not null,
    external_state text,
    total          numeric(18, 4),
    currency       char(3),
    ordered_at     timestamptz,
    tracking       jsonb not null default '[]',
    details        jsonb not null default '{}',
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    unique (integration_id, external_id),
    check (total is null or currency is not null)
);
do $$ begin
    perform mesh_add_column('orders', 'external_key', 'text');
    perform mesh_add_column('orders', 'external_state', 'text');
end $$;
comment on column orders.external_key is 'The product''s own id, where the order came from it.';
comment on column orders.state is 'Our word: pending, ordered, shipped, delivered, cancelled, returned, failed, unknown.';
create index if not exists orders_page on orders (tenant_id, id desc);
create index if not exists orders_key on orders (tenant_id, external_key) where external_key is not null;

-- --------------------------------------------------------------------------------------------------------- the SQL door

-- Publish an event inside the caller's own transaction: a transactional outbox in one line.
-- The same (tenant_id, id) again returns the first event's id and makes nothing new.
create or replace function publish_event(
    tenant_id text, type text, data jsonb, id text default null, occurred_at timestamptz default null
) returns uuid language plpgsql as $$
#variable_conflict use_column
declare
    accepted uuid;
    tenant_state text;
    missing text;
begin
    select t.state into tenant_state from tenants t where t.id = publish_event.tenant_id;
    if tenant_state is null then
        raise exception 'tenant "%" is not known: create it with `mesh tenants create`', publish_event.tenant_id
            using errcode = 'foreign_key_violation';
    elsif tenant_state <> 'active' then
        raise exception 'tenant "%" is %: its events are not taken', publish_event.tenant_id, tenant_state
            using errcode = 'check_violation';
    end if;
    if not exists (select 1 from event_types e where e.name = publish_event.type) then
        raise exception 'event type "%" is not in the catalog: `mesh events types` lists those that are',
            publish_event.type using errcode = 'check_violation';
    end if;
    if coalesce(jsonb_typeof(publish_event.data), 'null') <> 'object' then
        raise exception 'data of "%" must be a JSON object', publish_event.type using errcode = 'check_violation';
    end if;
    select k.key into missing from event_types e, jsonb_array_elements_text(e.schema->'required') as k(key)
    where e.name = publish_event.type and not publish_event.data ? k.key limit 1;
    if missing is not null then
        raise exception 'data of "%" must hold "%": `mesh events types %` shows its schema',
            publish_event.type, missing, publish_event.type using errcode = 'check_violation';
    end if;
    if publish_event.id is not null and (length(publish_event.id) not between 1 and 255
                                         or publish_event.id ~ '^(message|chain|hook):') then
        raise exception 'id, the idempotency key, must have 1 to 255 characters and not begin with "message:", "chain:" or "hook:"'
            using errcode = 'check_violation';
    end if;
    if octet_length(publish_event.data::text) > 262144 then
        raise exception 'data of "%" is % bytes, more than the 262144 allowed: store it elsewhere and send a reference',
            publish_event.type, octet_length(publish_event.data::text) using errcode = 'check_violation';
    end if;
    insert into events (id, tenant_id, type, data, idempotency_key, occurred_at)
    values (mesh_uuid(), publish_event.tenant_id, publish_event.type, publish_event.data, publish_event.id,
            coalesce(publish_event.occurred_at, now()))
    on conflict (tenant_id, idempotency_key) where idempotency_key is not null do nothing
    returning events.id into accepted;
    if accepted is null then
        select e.id into accepted from events e
        where e.tenant_id = publish_event.tenant_id and e.idempotency_key = publish_event.id;
        return accepted;
    end if;
    perform pg_notify('mesh_events', 'events');
    return accepted;
end $$;

-- --------------------------------------------------------------------------------------------- people and what they did

create table if not exists people (
    id            uuid primary key default mesh_uuid(),
    name          text not null unique check (name ~ '^[a-z0-9][a-z0-9._@+-]{0,99}$'),
    role          text not null check (role in ('viewer', 'operator', 'admin')),
    tenant_id     text references tenants on delete cascade,
    password_hash text not null,
    state         text not null default 'active' check (state in ('active', 'disabled')),
    created_at    timestamptz not null default now(),
    last_login_at timestamptz
);
comment on column people.tenant_id is 'Null sees all tenants; anybody else this one, as if there were no other.';
comment on column people.password_hash is 'scrypt, with its costs and its salt.';

create table if not exists people_sessions (
    token_hash bytea primary key,
    person_id  uuid not null references people on delete cascade,
    created_at timestamptz not null default now(),
    seen_at    timestamptz not null default now()
);
create index if not exists people_sessions_person on people_sessions (person_id);
comment on column people_sessions.token_hash is 'SHA-256 of what the browser holds.';

create table if not exists login_failures (
    name     text primary key check (length(name) <= 100),
    failures integer not null check (failures > 0),
    last_at  timestamptz not null default now()
);
create index if not exists login_failures_old on login_failures (last_at);
comment on table login_failures is 'By name, whether anybody has it or not: who guesses learns nothing.';

create table if not exists audit_log (
    id         uuid primary key default mesh_uuid(),
    at         timestamptz not null default now(),
    door       text not null,
    actor      text not null,
    tenant_id  text,
    action     text not null,
    subject    text not null default '',
    subject_id text not null default '',
    details    jsonb not null default '{}'
);
create index if not exists audit_log_tenant on audit_log (tenant_id, id desc);
create index if not exists audit_log_subject on audit_log (subject_id, id desc) where subject_id <> '';
comment on table audit_log is 'Who did what, when, to which row; written in the transaction that does it. No secrets.';

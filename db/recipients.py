"""Who may get the events of a tenant: its accounts and webhooks, with what a call to them needs."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from db.engine import Prepared, Rows
from db.targets import well


def recipients(connection: Connection, tenant_ids: Collection[str], event_types: Collection[str]) -> Rows:
    """A row for each webhook for these types, and for each account that has none. An unknown tenant has no row.

    A tenant without accounts has one row without them. A paused account is among them: its deliveries wait for it.
    `well`: active, and neither held nor failing, so that it may be called at once. `chained`: the tenant has steps of
    chains that events of these types start.
    """
    return _RECIPIENTS(connection, tenants=list(tenant_ids), types=[*event_types, "*"])


_RECIPIENTS = Prepared(
    "recipients",
    f"""
    select t.id as tenant_id, t.state as tenant_state, i.id as integration_id, i.provider, i.event_types, i.config,
           i.secrets_sealed, h.id as webhook_id, h.event_type, h.filters, h.url_sealed, h.secrets as signing_secrets,
           coalesce(h.rate_per_s, i.rate_per_s) as rate_per_s,
           coalesce(h.max_in_flight, i.max_in_flight) as max_in_flight,
           i.state = 'active' and {well("i")} and (h.id is null or {well("h")}) as well,
           coalesce(c.chained, false) as chained
    from tenants t
    left join lateral (
        select true as chained from chain_steps s
        where s.tenant_id = t.id and s.event_type = any(%(types)s::text[]) and s.state in ('active', 'replaced') limit 1
    ) c on true
    left join integrations i on i.tenant_id = t.id and i.state <> 'disconnected'
    left join webhooks h on h.tenant_id = t.id and h.integration_id = i.id and h.state = 'active'
         and h.event_type = any(%(types)s::text[])
    where t.id = any(%(tenants)s::text[])
    order by i.created_at, i.id, h.id
    """,
)

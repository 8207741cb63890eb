"""campaigns: the product's own, by the product's own keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, columns, run
from model import Campaign

_COLUMNS = ("tenant_id", "key", "name", "objective", "state", "budget", "currency")
_GIVEN = """
    select * from unnest(%(tenant_id)s::text[], %(key)s::text[], %(name)s::text[], %(objective)s::text[],
                         %(state)s::text[], %(budget)s::numeric[], %(currency)s::text[])
    as n(tenant_id, key, name, objective, state, budget, currency)
"""

# Both statements touch rows in the order of their keys: two batches with the same campaigns wait, and never in a ring.
_INSERT = f"""
with n as ({_GIVEN})
insert into campaigns (tenant_id, external_key, name, objective, state, budget, currency)
select tenant_id, key, coalesce(name, key), objective, coalesce(state, 'active'), budget, currency
from n order by tenant_id, key
on conflict (tenant_id, external_key) do nothing
"""
_UPDATE = f"""
with n as ({_GIVEN}), changed as (
    select c.id, coalesce(n.name, c.name) as name, coalesce(n.objective, c.objective) as objective,
           coalesce(n.state, c.state) as state, coalesce(n.budget, c.budget) as budget,
           coalesce(n.currency, c.currency) as currency
    from n join campaigns c on c.tenant_id = n.tenant_id and c.external_key = n.key
    where (n.name, n.objective, n.state, n.budget, n.currency) is distinct from (null, null, null, null, null)
    order by c.tenant_id, c.external_key for no key update of c
)
update campaigns c set name = n.name, objective = n.objective, state = n.state, budget = n.budget,
    currency = n.currency, updated_at = now()
from changed n where c.id = n.id
  and (c.name, c.objective, c.state, c.budget, c.currency)
      is distinct from (n.name, n.objective, n.state, n.budget, n.currency)
"""


def upsert(connection: Connection, campaigns: Sequence[tuple[str, Campaign]]) -> None:
    """Store campaigns with their tenants, each (tenant, key) once. What is None changes nothing.

    A new one without a name is called by its key.
    """
    rows = [(tenant_id, c.key, c.name, c.objective, c.state, c.budget, c.currency) for tenant_id, c in campaigns]
    given = columns(rows, _COLUMNS)
    run(connection, _INSERT, **given)
    run(connection, _UPDATE, **given)


def page(
    connection: Connection,
    *,
    tenant_id: str | None = None,
    key: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> Rows:
    """The newest campaigns first, older than `before`; `key`: with this id of the product."""
    return run(
        connection,
        "select * from campaigns where (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " and (%(key)s::text is null or external_key = %(key)s)"
        " and (%(before)s::uuid is null or id < %(before)s) order by id desc limit %(limit)s",
        tenant=tenant_id,
        key=key,
        before=before,
        limit=limit,
    )


def get(connection: Connection, campaign_id: UUID) -> Any | None:
    """One campaign, or None."""
    rows = run(connection, "select * from campaigns where id = %(id)s", id=campaign_id)
    return rows[0] if rows else None


def links_of(connection: Connection, campaign_id: UUID) -> Rows:
    """What platforms hold of a campaign."""
    return run(
        connection,
        "select l.integration_id, i.provider, l.external_id, l.external_state, l.seen_at, l.deleted_at"
        " from campaign_links l join integrations i on i.id = l.integration_id where l.campaign_id = %(id)s"
        " order by i.provider, l.id",
        id=campaign_id,
    )


def days_of(connection: Connection, campaign_id: UUID, *, days: int) -> Rows:
    """What a campaign did at each platform on each of the last days, newest first."""
    return run(
        connection,
        "select i.provider, m.integration_id, m.day, m.impressions, m.clicks, m.spend, m.conversions, m.currency"
        " from campaign_links l join integrations i on i.id = l.integration_id"
        " join ad_metrics m on m.integration_id = l.integration_id and m.level = 'campaign'"
        " and m.external_id = l.external_id and m.day > current_date - %(days)s"
        " where l.campaign_id = %(id)s order by m.day desc, i.provider, m.integration_id",
        id=campaign_id,
        days=days,
    )

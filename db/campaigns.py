"""campaigns: the product's own, by the product's own keys."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from db.engine import columns, run
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

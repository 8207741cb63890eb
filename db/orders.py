"""orders: what was ordered in the shops of tenants, as each shop has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, columns, run
from model import Order

_COLUMNS = (
    "tenant_id", "integration_id", "external_id", "external_key", "state", "external_state", "total", "currency",
    "ordered_at", "tracking", "details",
)  # fmt: skip

# As for products: in the order of the keys, and with what a row was before.
_UPSERT = """
with n as (
    select * from unnest(%(tenant_id)s::text[], %(integration_id)s::uuid[], %(external_id)s::text[],
        %(external_key)s::text[], %(state)s::text[], %(external_state)s::text[], %(total)s::numeric[],
        %(currency)s::text[], %(ordered_at)s::timestamptz[], %(tracking)s::jsonb[], %(details)s::jsonb[])
    as n(tenant_id, integration_id, external_id, external_key, state, external_state, total, currency, ordered_at,
         tracking, details)
), before as (
    select o.id, o.state, o.external_state, o.tracking
    from n join orders o on o.integration_id = n.integration_id and o.external_id = n.external_id
), stored as (
    insert into orders as o (tenant_id, integration_id, external_id, external_key, state, external_state, total,
                             currency, ordered_at, tracking, details)
    select tenant_id, integration_id, external_id, external_key, coalesce(state, 'unknown'), external_state, total,
           currency, ordered_at, coalesce(tracking, '[]'), details
    from n order by integration_id, external_id
    on conflict (integration_id, external_id) do update set
        external_key = coalesce(excluded.external_key, o.external_key),
        state = coalesce((select n.state from n where n.integration_id = excluded.integration_id
                          and n.external_id = excluded.external_id), o.state),
        external_state = coalesce(excluded.external_state, o.external_state),
        total = coalesce(excluded.total, o.total), currency = coalesce(excluded.currency, o.currency),
        ordered_at = coalesce(excluded.ordered_at, o.ordered_at),
        tracking = coalesce((select n.tracking from n where n.integration_id = excluded.integration_id
                             and n.external_id = excluded.external_id), o.tracking),
        details = o.details || excluded.details, updated_at = now()
    returning o.*
)
select s.*, b.id is null as new, s.ordered_at < now() - interval '7 days' as old
from stored s left join before b on b.id = s.id
where b.id is null or (s.state, s.tracking) is distinct from (b.state, b.tracking)
   or s.state = 'unknown' and s.external_state is distinct from b.external_state
order by s.integration_id, s.external_id
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One order of an account; `tracking` and `details` as JSON text."""

    tenant_id: str
    integration_id: UUID
    order: Order
    tracking: str | None
    details: str


def upsert(connection: Connection, rows: Sequence[Row]) -> Rows:
    """Store orders as they were just seen, each (account, external id) once; what is None changes nothing.

    Those that are new, or have another state or tracking than before, in the shop's own word where we have none.
    `old`: ordered more than a week ago.
    """
    values = [
        (
            row.tenant_id,
            str(row.integration_id),
            row.order.external_id,
            row.order.key,
            row.order.state,
            row.order.external_state,
            row.order.total,
            row.order.currency,
            row.order.ordered_at,
            row.tracking,
            row.details,
        )
        for row in rows
    ]
    return run(connection, _UPSERT, **columns(values, _COLUMNS))


def of_account(connection: Connection, integration_id: UUID) -> Sequence[Any]:
    """An account's orders, by their ids there."""
    return run(connection, "select * from orders where integration_id = %(id)s order by external_id", id=integration_id)


def forget(connection: Connection, integration_id: UUID) -> None:
    """Forget an account's orders: another one is behind it from now on."""
    run(connection, "delete from orders where integration_id = %(id)s", id=integration_id)

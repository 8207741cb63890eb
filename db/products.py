"""products: what the shops of tenants sell, as each shop has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, columns, run
from model import Product

_COLUMNS = (
    "tenant_id", "integration_id", "external_id", "sku", "title", "price", "currency", "stock", "state", "details",
)  # fmt: skip

# Rows are written in the order of their keys, so that two batches with the same products never wait in a ring. What a
# row was before is read by the same statement: whoever writes records of an account holds its lock.
_UPSERT = """
with n as (
    select * from unnest(%(tenant_id)s::text[], %(integration_id)s::uuid[], %(external_id)s::text[], %(sku)s::text[],
        %(title)s::text[], %(price)s::numeric[], %(currency)s::text[], %(stock)s::int[], %(state)s::text[],
        %(details)s::jsonb[])
    as n(tenant_id, integration_id, external_id, sku, title, price, currency, stock, state, details)
), before as (
    select p.id, p.price, p.currency, p.stock, p.state
    from n join products p on p.integration_id = n.integration_id and p.external_id = n.external_id
), stored as (
    insert into products as p (tenant_id, integration_id, external_id, sku, title, price, currency, stock, state,
                               details)
    select tenant_id, integration_id, external_id, sku, coalesce(title, sku, external_id), price, currency, stock,
           coalesce(state, 'active'), details
    from n order by integration_id, external_id
    on conflict (integration_id, external_id) do update set
        sku = coalesce(excluded.sku, p.sku),
        title = coalesce((select n.title from n where n.integration_id = excluded.integration_id
                          and n.external_id = excluded.external_id), p.title),
        price = coalesce(excluded.price, p.price), currency = coalesce(excluded.currency, p.currency),
        stock = coalesce(excluded.stock, p.stock),
        state = coalesce((select n.state from n where n.integration_id = excluded.integration_id
                          and n.external_id = excluded.external_id), p.state),
        details = p.details || excluded.details, updated_at = now(), seen_at = now()
    returning p.*
)
select s.*, b.price as price_before, b.currency as currency_before, b.stock as stock_before, b.state as state_before
from stored s join before b on b.id = s.id
where (s.price, s.currency, s.stock, s.state) is distinct from (b.price, b.currency, b.stock, b.state)
order by s.integration_id, s.external_id
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One product of an account; `details` as JSON text."""

    tenant_id: str
    integration_id: UUID
    product: Product
    details: str


def upsert(connection: Connection, rows: Sequence[Row]) -> Rows:
    """Store products as they were just seen, each (account, external id) once; what is None changes nothing.

    Those that were known with another price, stock or state, with what these were (`…_before`).
    """
    values = [
        (
            row.tenant_id,
            str(row.integration_id),
            row.product.external_id,
            row.product.sku,
            row.product.title,
            row.product.price,
            row.product.currency,
            row.product.stock,
            row.product.state,
            row.details,
        )
        for row in rows
    ]
    return run(connection, _UPSERT, **columns(values, _COLUMNS))


_MARK_UNSEEN = """
with gone as (
    select p.id, p.state from unnest(%(ids)s::uuid[], %(since)s::timestamptz[]) as n(integration_id, since)
    join products p on p.integration_id = n.integration_id
    where p.seen_at < n.since and p.state <> 'deleted'
    order by p.integration_id, p.external_id for no key update of p
)
update products p set state = 'deleted', updated_at = now() from gone where p.id = gone.id
returning p.*, p.price as price_before, p.currency as currency_before, p.stock as stock_before,
          gone.state as state_before
"""


def mark_unseen(connection: Connection, listed_since: Mapping[UUID, datetime]) -> Rows:
    """Mark as deleted what whole listings of accounts, begun then, did not show. As `upsert` answers."""
    return run(
        connection,
        _MARK_UNSEEN,
        ids=[str(integration_id) for integration_id in listed_since],
        since=list(listed_since.values()),
    )


def of_account(connection: Connection, integration_id: UUID) -> Sequence[Any]:
    """An account's products, by their ids there."""
    return run(
        connection, "select * from products where integration_id = %(id)s order by external_id", id=integration_id
    )


def forget(connection: Connection, integration_id: UUID) -> None:
    """Forget an account's products: another one is behind it from now on."""
    run(connection, "delete from products where integration_id = %(id)s", id=integration_id)

"""Products and orders that outcomes found in shops, and the events that follow from what is new or has changed.

A product publishes only what has changed of one that was known: a first sync of ten thousand publishes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.orders
import db.products
from model import NewEvent, Order, Product, Records
from worker.merging import over_with_details
from worker.outcomes import Claim, as_json, as_json_list
from worker.syncs import SYNC_DUE

Place = tuple[UUID, str]  # an account, and the id there
Made = tuple[int, NewEvent]  # an event, and the position of the claim that it follows from


@dataclass
class ShopRows:
    """The rows of a commit by their keys, each with the position of the claim whose they are."""

    products: dict[Place, tuple[int, Product]] = field(default_factory=dict)
    products_listed: dict[UUID, tuple[int, datetime]] = field(default_factory=dict)
    orders: dict[Place, tuple[int, Order]] = field(default_factory=dict)

    def add(self, position: int, account: UUID, records: Records) -> None:
        """One outcome's rows."""
        for product in records.products:
            _, known = self.products.get((account, product.external_id), (0, None))
            self.products[account, product.external_id] = position, over_with_details(known, product)
        for order in records.orders:
            _, there = self.orders.get((account, order.external_id), (0, None))
            self.orders[account, order.external_id] = position, over_with_details(there, order)
        if records.products_listed_since is not None:
            self.products_listed[account] = position, records.products_listed_since

    def store(self, connection: Connection, claims: Sequence[Claim]) -> Iterator[Made]:
        """Store them, and say what is to be published. The caller holds the accounts' locks."""
        if self.products:
            yield from self._store_products(connection, claims)
        if self.products_listed:
            yield from self._mark_unseen(connection, claims)
        if self.orders:
            yield from self._store_orders(connection, claims)

    def _store_products(self, connection: Connection, claims: Sequence[Claim]) -> Iterator[Made]:
        given = [
            db.products.Row(claims[position].event.tenant_id, account, product, as_json(product.details))
            for (account, _), (position, product) in self.products.items()
        ]
        for row in db.products.upsert(connection, given):
            position, _ = self.products[row.integration_id, row.external_id]
            yield position, _product_updated(claims[position], row)

    def _mark_unseen(self, connection: Connection, claims: Sequence[Claim]) -> Iterator[Made]:
        """What whole listings did not show is gone."""
        since = {account: began for account, (_, began) in self.products_listed.items()}
        for row in db.products.mark_unseen(connection, since):
            position, _ = self.products_listed[row.integration_id]
            yield position, _product_updated(claims[position], row)

    def _store_orders(self, connection: Connection, claims: Sequence[Claim]) -> Iterator[Made]:
        """What the product itself has just ordered is no news to it, nor what is old when it is first seen."""
        given = [
            db.orders.Row(claims[position].event.tenant_id, account, order, _tracking(order), as_json(order.details))
            for (account, _), (position, order) in self.orders.items()
        ]
        for row in db.orders.upsert(connection, given):
            position, _ = self.orders[row.integration_id, row.external_id]
            if not row.new or (claims[position].event.type == SYNC_DUE and not row.old):
                yield position, _order_updated(claims[position], row)


def _product_updated(claim: Claim, row: Any) -> NewEvent:
    """The event that says what has changed of a product."""
    now = {name: getattr(row, name) for name in ("price", "currency", "stock", "state")}
    before = {name: getattr(row, f"{name}_before") for name in now}
    changed = {name: _plain(before[name]) for name in now if now[name] != before[name]}
    return NewEvent(
        tenant_id=claim.event.tenant_id,
        type="product.updated",
        data={
            **_where(claim, row),
            "title": row.title,
            **_known({"sku": row.sku, **now}),
            "changed": changed,
        },
        key=f"product.updated:{row.id}:{claim.attempt_id}",
    )


def _tracking(order: Order) -> str | None:
    return None if order.tracking is None else as_json_list(order.tracking)


def _order_updated(claim: Claim, row: Any) -> NewEvent:
    """The event that says where an order stands now."""
    return NewEvent(
        tenant_id=claim.event.tenant_id,
        type="order.updated",
        data={
            **_where(claim, row),
            "state": row.state,
            "tracking": row.tracking,
            **_known(
                {
                    "order_id": row.external_key,
                    "external_state": row.external_state,
                    "total": row.total,
                    "currency": row.currency,
                    "ordered_at": row.ordered_at,
                }
            ),
        },
        key=f"order.updated:{row.id}:{claim.attempt_id}",
    )


def _where(claim: Claim, row: Any) -> dict[str, str]:
    return {
        "external_id": row.external_id,
        "provider": claim.provider.name,
        "integration_id": str(row.integration_id),
    }


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    """What is known, as JSON has it."""
    return {name: _plain(value) for name, value in facts.items() if value is not None}


def _plain(value: Any) -> Any:
    """Money as a decimal text without needless noughts, times in UTC."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value

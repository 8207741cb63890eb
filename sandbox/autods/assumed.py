"""Everything about AutoDS that is assumed, in one table: the rest of the stand-in reads its names and shapes here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ASSUMED: Final[Mapping[str, Any]] = {
    # Their three hosts are three paths here, so that a request to the wrong one is not answered.
    "path.autods_api": "",
    "path.gateway": "/gateway",
    "path.products_research": "/research",
    # Products: `upload_date` was seen; that a change moves a field by which one can filter and sort was not.
    "product.updated_at": "updated_at",
    # No money was ever seen with its currency. Prices were seen as numbers; `set_shapes(money="text")` makes them text.
    "product.currency": "currency",
    "store.currency": "currency",
    "store.timezone": "timezone",
    # Orders: id, sell_site_order_id, status, tracking_number and sold_date were seen, and what creates one.
    "order.updated_at": "updated_at",
    "order.currency": "currency",
    "order.total": "total_price",  # decimal text
    "order.carrier": "carrier",
    "order.tracking_url": "tracking_url",
    # What people see is known (Pending, Ordered, Shipped, Delivered, Canceled); how it is written on the wire is not.
    "order.statuses": ("pending", "ordered", "shipped", "delivered", "canceled"),
    # Bulk actions: `results`, `total_results` and the numbers of the statuses are known, the fields of an item are not.
    "bulk.item": ("id", "status", "item", "product_id", "error_message"),
    # PUT and DELETE on /bulk were seen to answer 200; the shape is taken from the upload.
    "bulk.answer": {"products_update": "Products update started", "products_delete": "Products delete started"},
    # Which text of an error is meant is known from their own reader; which error uses which name is not.
    "error.names": ("error_description", "detail", "message", "error", "title"),
    # Research: filters and their operators are known, and that a value is a string; how several stand in one is not.
    "research.between_values": ",",
    # Webhooks: no document of theirs has any. This is the contract of our own adapter.
    "webhook.header": "X-AutoDS-Signature",
    "webhook.modes": ("timestamped", "body", "prefixed"),
    "webhook.types": (
        "order.created",
        "order.updated",
        "order.shipped",
        "order.delivered",
        "order.canceled",
        "product.updated",
        "product.out_of_stock",
        "bulk_action.finished",
    ),
}

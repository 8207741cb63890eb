"""What is read of a shop again and again: its products, whole, and the orders of the last weeks, page by page.

A walk begins with the list of stores. Then each step is one page, stored with the commit that notes how far it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from model import Cursor, Done, Order, Outcome, Product, Records, Wait
from providers.autods import api, stores
from providers.autods.stores import Store
from providers.autods.words import PRODUCT_STATUSES, order_state
from providers.contract import Action, Call, Stream
from providers.streams import Walk, walk

PAGE = 100
FIRST_DAYS = 90  # of orders, when they are read for the first time
AGAIN_DAYS = 30  # read again each time: states and tracking of orders still change
STREAMS = (
    Stream(stores.STREAM, 24 * 3600.0),
    Stream("products", 3600.0),
    Stream("orders", 900.0),
)
STATES: Mapping[str, str] = {name: "active" if name == "active" else "inactive" for name in PRODUCT_STATUSES}


# ------------------------------------------------------------------------------------------------------------- products


def _read_products(call: Call) -> Outcome:
    """Every status of every store in turn; in the end, who was not seen is gone."""
    if not call.progress:
        return _begin(call, "products", {"left": list(PRODUCT_STATUSES)})
    progress = dict(call.progress)
    store, status = Store.of(progress["stores"][0]), progress["left"][0]
    page = api.rows(
        api.ask(
            call,
            "list_products",
            {
                "product_status": PRODUCT_STATUSES[status],
                "limit": PAGE,
                "offset": progress["offset"],
                "order_by": {"name": "id", "direction": "asc"},  # else rows move between pages meanwhile
            },
            store=store.id,
        )
    )
    found = tuple(product(row, store, status) for row in page if row.get("id"))
    progress["seen"] += len(found)
    if len(page) == PAGE:
        return Wait(0, {**progress, "offset": progress["offset"] + PAGE}, records=Records(products=found))
    rest = progress["left"][1:] or list(PRODUCT_STATUSES)
    remaining = progress["stores"][1:] if not progress["left"][1:] else progress["stores"]
    if remaining:
        return Wait(0, {**progress, "stores": remaining, "left": rest, "offset": 0}, records=Records(products=found))
    return Done(
        result={"products": progress["seen"], "stores": progress["of"]},
        records=Records(
            products=found,
            products_listed_since=datetime.fromisoformat(progress["began_at"]),
            cursor=Cursor("products", {"read_at": call.now.isoformat()}, finished=True),
        ),
    )


def product(row: Mapping[str, Any], store: Store, status: str) -> Product:
    """A product of the wire: its lowest price, the sum of its stock, its variations beside them."""
    variations = [each for each in row.get("variations") or () if isinstance(each, dict)]
    prices = [price for each in variations if (price := api.amount(each.get("price"))) is not None]
    stock = [each["quantity"] for each in variations if isinstance(each.get("quantity"), int)]
    picture = row.get("main_picture_url")
    return Product(
        external_id=api.text(row["id"]),
        title=api.text(row.get("title")) or None,
        sku=api.text(row.get("sku")) or None,
        price=min(prices) if prices and store.currency else None,
        currency=store.currency or None if prices else None,
        stock=sum(stock) if stock else None,
        state=STATES[status],
        details={
            "store_id": store.id,
            "status": status,
            "variations": [_variation(each) for each in variations],
            **({"image": picture["url"]} if isinstance(picture, dict) and picture.get("url") else {}),
        },
    )


def _variation(row: Mapping[str, Any]) -> dict[str, Any]:
    price = api.amount(row.get("price"))
    return {
        "sku": api.text(row.get("sku")),
        "price": None if price is None else f"{price:f}",
        "quantity": row.get("quantity"),
        "attributes": row.get("attributes") if isinstance(row.get("attributes"), dict) else {},
    }


# --------------------------------------------------------------------------------------------------------------- orders


def _read_orders(call: Call) -> Outcome:
    """Newest first, store by store, back to where it was read before, and some weeks beyond."""
    if not call.progress:
        return _begin(call, "orders", {"since": _since(call).isoformat()})
    progress = dict(call.progress)
    store, since = Store.of(progress["stores"][0]), datetime.fromisoformat(progress["since"])
    body = {
        "limit": PAGE,
        "offset": progress["offset"],
        "condition": "and",
        "filters": [],
        "order_by": {"name": "sold_date", "direction": "desc"},
    }
    page = api.rows(api.ask(call, "list_orders", body, store=store.id))
    orders = [order(row, store) for row in page if row.get("id") is not None]
    found = tuple(each for each in orders if each.ordered_at is None or each.ordered_at >= since)
    progress["seen"] += len(found)
    if len(page) == PAGE and len(found) == len(orders):
        return Wait(0, {**progress, "offset": progress["offset"] + PAGE}, records=Records(orders=found))
    if remaining := progress["stores"][1:]:
        return Wait(0, {**progress, "stores": remaining, "offset": 0}, records=Records(orders=found))
    value = {"through": progress["began_at"]}
    return Done(
        result={"orders": progress["seen"], "stores": progress["of"]},
        records=Records(orders=found, cursor=Cursor("orders", value, finished=True)),
    )


def _since(call: Call) -> datetime:
    """From when orders are read: what was asked for, else some weeks before the last reading."""
    asked, through = call.event.data.get("since"), call.known.cursor("orders").get("through")
    if asked:
        return datetime.fromisoformat(asked).replace(tzinfo=call.now.tzinfo)
    if through and not call.event.data.get("full"):
        return datetime.fromisoformat(through) - timedelta(days=AGAIN_DAYS)
    return call.now - timedelta(days=FIRST_DAYS)


def order(row: Mapping[str, Any], store: Store, key: str | None = None) -> Order:
    """An order of the wire. `key`: the product's own id, where the order came from it."""
    word = api.text(row.get("status"))
    total = api.amount(row.get("total_price"))
    currency = api.text(row.get("currency")).upper() or store.currency
    number = api.text(row.get("tracking_number"))
    return Order(
        external_id=api.text(row["id"]),
        state=order_state(word),
        external_state=word or None,
        key=key,
        total=total if currency else None,
        currency=currency or None if total is not None else None,
        ordered_at=api.moment(row.get("sold_date"), store.time_zone),
        tracking=(_tracking(row, number),) if number else None,
        details={
            "store_id": store.id,
            "sell_site_order_id": api.text(row.get("sell_site_order_id")),
            **{name: row[name] for name in ("product_title", "quantity_to_buy") if row.get(name) is not None},
        },
    )


def _tracking(row: Mapping[str, Any], number: str) -> dict[str, str]:
    more = {"carrier": api.text(row.get("carrier")), "url": api.text(row.get("tracking_url"))}
    return {"number": number, **{name: value for name, value in more.items() if value}}


def _begin(call: Call, stream: str, more: Mapping[str, Any]) -> Outcome:
    """The first step of a walk: which stores there are."""
    found = stores.meant(call, stores.fetched(call))
    if not found:
        cursor = Cursor(stream, call.known.cursor(stream), finished=True)
        return Done(result={stream: 0, "stores": 0}, records=Records(cursor=cursor))
    return Wait(
        0,
        {
            "stores": [store.facts() for store in found],
            "of": len(found),
            "offset": 0,
            "seen": 0,
            "began_at": call.now.isoformat(),
            **more,
        },
    )


_READERS: Mapping[str, Walk] = {
    stores.STREAM: stores.read,
    "products": _read_products,
    "orders": _read_orders,
}
ACTIONS: Mapping[str, Action] = {
    "sync.due": Action(walk(_READERS), publishes=("order.updated", "product.updated")),
}

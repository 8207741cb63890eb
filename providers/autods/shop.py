"""What is read of a shop again and again: its products, whole, and the orders of the last weeks, page by page.

A walk begins with the list of stores. Then each step is one page, stored with the commit that notes how far it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from model import Cursor, Done, Order, Outcome, Product, Records, Wait
from providers.autods import account, api, stores
from providers.autods.stores import Store
from providers.autods.words import PRODUCT_STATUSES, order_state
from providers.contract import Action, Call, Stream
from providers.streams import Walk, walk

PAGE = 100
FAR_DAYS = 90  # of orders: the first time, then once a day, as parcels may be under way for months
AGAIN_DAYS = 30  # of orders: every time, as states and tracking still change
FAR_EVERY = timedelta(days=1)
MOST_STOCK = 2**31 - 1  # what a row holds; suppliers write such numbers for "enough"
STREAMS = (
    Stream(stores.STREAM, 24 * 3600.0),
    Stream("products", 3600.0),
    Stream("orders", 900.0),
    *account.STREAMS,
)
# In the order in which products go through them: one that moves on while they are read is met again.
STATUSES = ("pre_draft", "draft", "scheduled", "untracked", "active", "ended")
STATES: Mapping[str, str] = {name: "active" if name == "active" else "inactive" for name in PRODUCT_STATUSES}


# ------------------------------------------------------------------------------------------------------------- products


def _read_products(call: Call) -> Outcome:
    """Every status of every store in turn; in the end, who was not seen this time nor the last is gone."""
    if not call.progress:
        return _begin(call, "products", {"left": list(STATUSES)})
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
    rest = progress["left"][1:] or list(STATUSES)
    remaining = progress["stores"][1:] if not progress["left"][1:] else progress["stores"]
    if remaining:
        return Wait(0, {**progress, "stores": remaining, "left": rest, "offset": 0}, records=Records(products=found))
    return Done(
        result={"products": progress["seen"], "stores": progress["of"]},
        records=Records(
            products=found,
            products_listed_since=_last_began(call, progress["began_at"]),
            cursor=Cursor(
                "products", {"began_at": progress["began_at"], "read_at": call.now.isoformat()}, finished=True
            ),
        ),
    )


def _last_began(call: Call, began_at: str) -> datetime | None:
    """When the reading before this one began; None where there was none.

    One reading may miss a product that is there: pages are counted off, and what is taken out of an earlier page
    moves another from the next one to where it is not read.
    """
    before = call.known.cursor("products").get("began_at")
    return min(map(datetime.fromisoformat, (before, began_at))) if before else None


def product(row: Mapping[str, Any], store: Store, status: str) -> Product:
    """A product of the wire: its lowest price, the sum of its stock, its variations beside them."""
    variations = [each for each in row.get("variations") or () if isinstance(each, dict)]
    prices = [price for each in variations if (price := api.amount(each.get("price"))) is not None]
    stock = [each["quantity"] for each in variations if type(each.get("quantity")) is int]
    picture = row.get("main_picture_url")
    return Product(
        external_id=api.text(row["id"]),
        title=api.text(row.get("title")) or None,
        sku=api.text(row.get("sku")) or None,
        price=min(prices) if prices and store.currency else None,
        currency=store.currency or None if prices else None,
        stock=max(-MOST_STOCK, min(sum(stock), MOST_STOCK)) if stock else None,
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
        since = _since(call)
        far = since <= call.now - timedelta(days=FAR_DAYS)
        return _begin(call, "orders", {"since": since.isoformat(), "far": far})
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
    far_at = progress["began_at"] if progress.get("far") else call.known.cursor("orders").get("far_at")
    value = {"through": progress["began_at"], "far_at": far_at}
    return Done(
        result={"orders": progress["seen"], "stores": progress["of"]},
        records=Records(orders=found, cursor=Cursor("orders", value, finished=True)),
    )


def _since(call: Call) -> datetime:
    """From when orders are read: what was asked for, else some weeks before the last reading, or far back."""
    asked, last = call.event.data.get("since"), call.known.cursor("orders")
    if asked:
        return datetime.fromisoformat(asked).replace(tzinfo=call.now.tzinfo)
    far, through = call.now - timedelta(days=FAR_DAYS), last.get("through")
    if not through:
        return far
    near = datetime.fromisoformat(through) - timedelta(days=AGAIN_DAYS)
    return min(near, far) if call.event.data.get("full") or _far_is_due(call, last.get("far_at")) else near


def _far_is_due(call: Call, far_at: str | None) -> bool:
    return far_at is None or call.now - datetime.fromisoformat(far_at) >= FAR_EVERY


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
    **account.READERS,
}
ACTIONS: Mapping[str, Action] = {
    "sync.due": Action(walk(_READERS), publishes=("order.updated", "product.updated")),
}

"""Orders: read on one host, created on the other.

Creating one spends money; its `sell_site_order_id` is all that tells a repetition.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from sandbox.autods import query
from sandbox.autods.assumed import ASSUMED
from sandbox.autods.call import Call
from sandbox.autods.errors import Invalid, Refused
from sandbox.autods.people import Store
from sandbox.autods.values import (
    AMOUNT,
    AMOUNT_MAX,
    FLAG,
    INTEGER,
    LIST,
    NUMBER,
    OBJECT,
    REGIONS,
    SUPPLIERS,
    TEXT,
    Field,
    Fields,
)
from sandbox.wire import Answer

QUANTITY_MAX: Final = 1_000
NEEDED: Final = Field(TEXT, required=True)
CREATE: Final[Fields] = {
    "sell_site_order_id": NEEDED,
    "sell_site_order_name": Field(TEXT),
    "store_id": Field(INTEGER, required=True),
    "store_name": NEEDED,
    **dict.fromkeys(("first_name", "last_name", "city", "zip_code", "country", "phone_number"), NEEDED),
    **dict.fromkeys(("state", "buyer_email", "product_picture_url"), Field(TEXT)),
    "buy_site_id": NEEDED,  # a name here, a number in an upload
    "supplier": Field(INTEGER, required=True, choices=SUPPLIERS),
    "region": Field(INTEGER, required=True, choices=REGIONS),
    **dict.fromkeys(("buy_item_real_id", "buy_item_variant", "buy_item_url"), NEEDED),
    "buy_item_attributes": Field(OBJECT),
    "autods_product_id": NEEDED,
    "product_title": NEEDED,
    "quantity_to_buy": Field(INTEGER, required=True, least=1, most=QUANTITY_MAX),
    "suggested_buy_price": Field(NUMBER, required=True, least=0, most=AMOUNT_MAX),
    **dict.fromkeys(
        ("maximum_buy_item_price", "sell_price", "profit_percentage", "fees_percentage", "listing_fee"), AMOUNT
    ),
    "include_shipping_fee": Field(FLAG),
    "prime_only": Field(FLAG),
    "maximum_ship_days": Field(INTEGER),
    "bce_conversion": Field(INTEGER, choices=range(1, 8)),
    "tags": Field(LIST),
}
ADDRESS: Final[Mapping[str, tuple[str, str]]] = {
    "address1": ("address1", "address2"),
    "address_1": ("address_1", "address_2"),
}
COUNTRY_LETTERS: Final = 2
UPDATED_AT: Final = ASSUMED["order.updated_at"]


def listing(call: Call) -> Answer:
    """One page of a store's orders."""
    return call.answer({"results": query.page(of_store(call), call.body(query.PAGE))})


def count(call: Call) -> Answer:
    """How many there would be on all pages."""
    return call.answer({"total_results": len(query.chosen(of_store(call), call.body(query.PAGE)))})


def of_store(call: Call) -> list[dict[str, Any]]:
    """The orders of the path's store."""
    store = call.store()
    return [one for one in call.ours.orders.values() if one["store_id"] == store.id]


def read(call: Call) -> Answer:
    """One order, flat."""
    store, found = call.store(), call.ours.order(call.params["order_id"])
    if found["store_id"] != store.id:
        raise Refused("not_found", f"There is no such order in store {store.id}.")
    return call.answer(found)


def read_external(call: Call) -> Answer:
    """One order, on the gateway."""
    return call.answer(enveloped(call, call.ours.order(call.request.args.get("order_id", ""))))


def create_external(call: Call) -> Answer:
    """Buy what a customer bought; the same `sell_site_order_id` again buys nothing."""
    lines = ADDRESS[call.ours.shapes["address"]]
    body = call.body({**CREATE, lines[0]: NEEDED, lines[1]: Field(TEXT)})
    if len(body["country"]) != COUNTRY_LETTERS:
        raise Invalid(["country"], "country must be two letters.")
    store = call.ours.store(str(body["store_id"]))
    known = call.ours.by_sell_site_id.get(body["sell_site_order_id"])
    if known is not None:
        return repeated(call, call.ours.orders[known])
    if not store.active or not store.orders_by_api:
        raise Refused("forbidden", f"Store {store.id} does not allow order creation via API.")
    made = bought(call, store, body)
    call.ours.keep(made)
    call.ours.counts["orders_created"] += 1
    call.ours.spend(store.currency, store.money(Decimal(body["suggested_buy_price"]) * body["quantity_to_buy"]))
    return call.answer(enveloped(call, made), 201)


def repeated(call: Call, order: Mapping[str, Any]) -> Answer:
    """The first order again, or a conflict, as the shapes have it."""
    if call.ours.shapes["duplicate"] == 200:
        return call.answer(enveloped(call, order))
    raise Refused("already_exists")


def bought(call: Call, store: Store, body: Mapping[str, Any]) -> dict[str, Any]:
    """The order that a body makes."""
    price = Decimal(body.get("sell_price", body["suggested_buy_price"]))
    at = store.time(call.now)
    return {
        **body,
        "id": call.ours.next_order_id(),
        "sell_site_order_name": body.get("sell_site_order_name", body["sell_site_order_id"]),
        "status": ASSUMED["order.statuses"][0],
        "tracking_number": None,
        ASSUMED["order.carrier"]: None,
        ASSUMED["order.tracking_url"]: None,
        "sold_date": at,
        UPDATED_AT: at,
        ASSUMED["order.currency"]: store.currency,
        ASSUMED["order.total"]: str(store.money(price * body["quantity_to_buy"])),
    }


def enveloped(call: Call, order: Mapping[str, Any]) -> Mapping[str, Any]:
    """Flat or under `order`, as the shapes have it."""
    return {"order": order} if call.ours.shapes["order"] == "nested" else order

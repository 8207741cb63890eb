"""Having AutoDS buy what a customer ordered. It spends money: an order is never placed again blindly.

`sell_site_order_id`, the product's own id, tells a repetition: AutoDS answers with the first order (seen in one
client). After a lost answer the store's orders are searched for it first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model import Done, Outcome, Records, Wait
from providers.autods import api, stores
from providers.autods.shop import order
from providers.autods.words import REGIONS, SUPPLIERS, number
from providers.contract import Action, Call, Repeat
from providers.errors import InvalidPayload, OutcomeUnknown, Unavailable

ACCEPTED = "order.accepted"
LOOKED_AT = 100  # orders, when one is searched for
NAMES: Mapping[str, str] = {  # of the customer and the address, ours -> theirs
    "first_name": "first_name", "last_name": "last_name", "phone": "phone_number", "email": "buyer_email",
    "city": "city", "state": "state", "zip": "zip_code", "country": "country",
}  # fmt: skip
NEEDED = ("first_name", "last_name", "phone_number", "city", "zip_code", "country")
LINES: Mapping[str, tuple[str, str]] = {  # the clients that were seen disagree
    "address1": ("address1", "address2"),
    "address_1": ("address_1", "address_2"),
}
PASSED_ON = ("tags", "prime_only", "maximum_ship_days", "include_shipping_fee", "profit_percentage", "fees_percentage")


def place(call: Call) -> Outcome:
    """order.placed -> bought, and `order.accepted`. What to buy is asked of AutoDS where it is not told."""
    bought = call.event.data.get("buy") or call.progress.get("buy")
    if bought is None:
        return Wait(0, {"buy": _item_of_product(call)})
    body = _body(call, bought)
    try:
        with api.begun(call):
            answer = api.ask(call, "create_order", body)
    except InvalidPayload as refused:
        if refused.code != "already_exists":
            raise
        known = find(call)
        if known is None:
            raise
        return known
    return _done(call, _order_in(answer.json()), repeated=answer.status == 200)


def find(call: Call) -> Outcome | None:
    """The order that may have been placed, from the store's orders; None when it is not there.

    Whatever goes wrong in here may simply be tried again: it only reads.
    """
    try:
        found = api.order_by_key(call, _key(call), LOOKED_AT)
    except OutcomeUnknown as error:
        raise Unavailable(str(error), code=error.code) from error
    return _done(call, found, repeated=True) if found else None


def _key(call: Call) -> str:
    return str(call.event.data["order_id"])


def _item_of_product(call: Call) -> dict[str, Any]:
    """What AutoDS buys for a product's variation: the one with the event's sku, else the only one."""
    data = call.event.data
    if not data.get("product_id"):
        raise InvalidPayload("`product_id` or `buy` says what is to be bought.", code="missing_field")
    found = api.ask(call, "get_product", store=api.store_of(call), product=data["product_id"]).json()
    variations = [each for each in found.get("variations") or () if isinstance(each, dict)]
    wanted = [each for each in variations if not data.get("sku") or each.get("sku") == data["sku"]]
    if len(wanted) != 1:
        known = ", ".join(api.text(each.get("sku")) for each in variations)
        raise InvalidPayload(
            f"`sku` must name one variation of the product: {known or 'it has none'}.", code="unknown_sku"
        )
    item = wanted[0].get("active_buy_item")
    if not isinstance(item, dict):
        raise InvalidPayload("AutoDS has no supplier for this variation.", code="no_supplier")
    return {
        "supplier": item.get("site_id"),
        "region": item.get("region"),
        "item_id": api.text(item.get("item_id_on_site")),
        "url": api.text(item.get("url")),
        "price": api.text(item.get("price")) or str(item.get("price")),
        "attributes": wanted[0].get("attributes") or {},
        "title": api.text(found.get("title")),
    }


def _body(call: Call, bought: Mapping[str, Any]) -> dict[str, Any]:
    data = call.event.data
    supplier = _numbered(SUPPLIERS, bought.get("supplier", "amazon"), "supplier")
    item_id = str(bought["item_id"])
    return {
        "sell_site_order_id": _key(call),
        "sell_site_order_name": str(data.get("name") or _key(call)),
        "store_id": _store_number(api.store_of(call)),
        "store_name": _store_name(call),
        **_customer(call),
        "buy_site_id": _title(supplier),  # a name here, a number in an upload
        "supplier": supplier,
        "region": _numbered(REGIONS, bought.get("region", "us"), "region"),
        "buy_item_real_id": item_id,
        "buy_item_variant": str(bought.get("variant") or item_id),
        "buy_item_url": str(bought["url"]),
        **({"buy_item_attributes": bought["attributes"]} if bought.get("attributes") else {}),
        "autods_product_id": str(data.get("product_id") or item_id),
        "product_title": str(data.get("title") or bought.get("title") or item_id),
        "quantity_to_buy": int(data.get("quantity", 1)),
        "suggested_buy_price": api.wire_amount(bought["price"], "the buying price"),
        **_limits(data),
        **{name: data[name] for name in PASSED_ON if name in data},
    }


def _limits(data: Mapping[str, Any]) -> dict[str, float]:
    """What a unit may cost, and what it was sold for."""
    names = {"maximum_price": "maximum_buy_item_price", "sell_price": "sell_price"}
    return {theirs: api.wire_amount(data[ours], ours) for ours, theirs in names.items() if ours in data}


def _customer(call: Call) -> dict[str, Any]:
    data = call.event.data
    given = {**data.get("customer", {}), **data.get("address", {})}
    first, second = LINES[call.settings.get("address_style") or "address1"]
    found = {theirs: str(given[ours]) for ours, theirs in NAMES.items() if given.get(ours)}
    missing = [ours for ours, theirs in NAMES.items() if theirs in NEEDED and theirs not in found]
    missing += [] if given.get("line1") else ["line1"]
    if missing:
        raise InvalidPayload(f"The customer's {', '.join(missing)} must be given.", code="missing_field")
    more = {second: str(given["line2"])} if given.get("line2") else {}
    return {**found, first: str(given["line1"]), **more}


def _numbered(table: Mapping[str, int], value: Any, what: str) -> int:
    """A word, or the number that AutoDS itself has told."""
    return value if isinstance(value, int) and not isinstance(value, bool) else number(table, str(value), what)


def _title(supplier: int) -> str:
    """A supplier's name as the order has it."""
    name = next((word for word, each in SUPPLIERS.items() if each == supplier), str(supplier))
    return {"aliexpress": "AliExpress", "ebay": "eBay"}.get(name, name.replace("_", " ").title())


def _store_number(store: str) -> int:
    if not store.isdecimal():
        raise InvalidPayload(f"{store!r} is no store of AutoDS: their ids are numbers.", code="invalid_store")
    return int(store)


def _store_name(call: Call) -> str:
    """The store's name, as the event or the list of stores that was read last says it."""
    known = stores.known(call, api.store_of(call)).name
    return str(call.event.data.get("store_name") or known or api.store_of(call))


def _order_in(body: Any) -> Mapping[str, Any]:
    """The order of an answer, flat or under `order`: both were seen."""
    found = body.get("order", body) if isinstance(body, dict) else None
    if not isinstance(found, dict) or found.get("id") is None:
        raise OutcomeUnknown("AutoDS took the order, and did not say as which one.", code="answer_unreadable")
    return found


def _done(call: Call, row: Mapping[str, Any], *, repeated: bool) -> Done:
    store_id = api.store_of(call)
    made = order(row, stores.known(call, store_id), key=_key(call))
    facts = {
        "order_id": _key(call),
        "external_id": made.external_id,
        "store_id": store_id,
        "state": made.state,
        **({"external_state": made.external_state} if made.external_state else {}),
        "repeated": repeated,
    }
    return Done(
        result=facts,
        external_id=made.external_id,
        events=(api.published(call, ACCEPTED, facts),),
        records=Records(orders=(made,)),
    )


ACTIONS: Mapping[str, Action] = {"order.placed": Action(place, Repeat.LOOKUP, find, publishes=(ACCEPTED,))}

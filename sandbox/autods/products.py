"""Products: listed and counted, published, changed and deleted; and the bulk actions that do it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from sandbox.autods import query
from sandbox.autods.assumed import ASSUMED
from sandbox.autods.call import Call
from sandbox.autods.people import Store
from sandbox.autods.values import (
    ACTIVE,
    ANY,
    FLAG,
    IN_STOCK,
    INTEGER,
    LIST,
    NUMBER,
    OBJECT,
    ON_HOLD,
    OUT_OF_STOCK,
    PRODUCT_STATUSES,
    SCHEDULED,
    TEXT,
    Field,
    Fields,
    checked,
    moment,
    money,
)
from sandbox.wire import Answer

STATUS: Final = Field(INTEGER, required=True, choices=PRODUCT_STATUSES)
LISTING: Final[Fields] = {**query.PAGE, "product_status": STATUS}
IMPORT: Final[Fields] = {
    **query.CHOICE,
    "product_status": STATUS,
    "scheduled_datetime_min": Field(TEXT),
    "scheduled_datetime_max": Field(TEXT),
}
BULK_UPDATE: Final[Fields] = {**query.CHOICE, "product_status": STATUS, "bulk_changes": Field(OBJECT, required=True)}
CHANGES: Final[Fields] = {"percentage_profit": Field(NUMBER, required=True, least=-100, most=10_000)}
BULK_DELETE: Final[Fields] = {**query.CHOICE, "product_status": STATUS, "remove_from_marketplace": Field(FLAG)}
VARIATION: Final[Fields] = {
    "sku": Field(TEXT),
    "price": Field(ANY),
    "quantity": Field(INTEGER, least=0),
    "inventory_status": Field(INTEGER, choices=(IN_STOCK, OUT_OF_STOCK, ON_HOLD)),
    "attributes": Field(OBJECT),
    "main_picture_url": Field(OBJECT),
    "active_buy_item": Field(OBJECT),
}
PRODUCT: Final[Fields] = {  # what a change may say: what a product was seen to have
    **dict.fromkeys(("id", "title", "sku", "description", "item_id_on_site", "upload_date"), Field(TEXT)),
    **dict.fromkeys((ASSUMED["product.updated_at"], ASSUMED["product.currency"]), Field(TEXT)),
    **dict.fromkeys(("autods_store_id", "total_sold_count"), Field(INTEGER)),
    **dict.fromkeys(("tags", "images", "error_list", "variations"), Field(LIST)),
    **dict.fromkeys(("main_picture_url", "item_specifics"), Field(OBJECT)),
    "status": Field(INTEGER, choices=PRODUCT_STATUSES),
}
FIXED: Final = ("id", "autods_store_id", ASSUMED["product.currency"])  # what a change does not touch
UPDATED_AT: Final = ASSUMED["product.updated_at"]


def stores(call: Call) -> Answer:
    """All stores of the account."""
    return call.answer([one.as_json() for one in call.ours.stores.values()])


def listing(call: Call) -> Answer:
    """One page of the products in one status; there is no total."""
    body = call.body(LISTING)
    return call.answer({"results": query.page(of_status(call, body["product_status"]), body)})


def count(call: Call) -> Answer:
    """How many there would be on all pages."""
    body = call.body(LISTING)
    return call.answer({"total_results": len(query.chosen(of_status(call, body["product_status"]), body))})


def of_status(call: Call, status: int) -> Iterator[dict[str, Any]]:
    """The products of the path's stores in one status."""
    for store in call.stores() if "store_ids" in call.params else [call.store()]:
        yield from (one for one in call.ours.products[store.id].values() if one["status"] == status)


def import_to_marketplace(call: Call) -> Answer:
    """Publish those that the filters want: without filters, every one in that status."""
    body = call.body(IMPORT)
    later = [name for name in ("scheduled_datetime_min", "scheduled_datetime_max") if name in body]
    for name in later:
        moment(body[name], [name])
    status = SCHEDULED if later else ACTIVE

    def publish(product: dict[str, Any], store: Store) -> None:
        product["status"] = status
        product["item_id_on_site"] = product.get("item_id_on_site") or f"{store.id}{int(product['id'][-8:]):06d}"
        call.ours.counts["products_published"] += 1

    return begin_for(call, body, "import_to_marketplace", "Import to marketplace started", publish)


def bulk_update(call: Call) -> Answer:
    """Another margin, set and not added, for those that the filters want."""
    body = call.body(BULK_UPDATE)
    margin = checked(body["bulk_changes"], CHANGES, ["bulk_changes"])["percentage_profit"]
    factor = 1 + Decimal(margin) / 100

    def reprice(product: dict[str, Any], store: Store) -> None:
        for one in product["variations"]:
            cost = one.get("active_buy_item", {}).get("price")
            if cost is not None:
                one["price"] = store.money(cost * factor)

    return begin_for(call, body, "products_update", ASSUMED["bulk.answer"]["products_update"], reprice)


def bulk_delete(call: Call) -> Answer:
    """End those that the filters want: here a DELETE with a body."""
    body = call.body(BULK_DELETE)

    def remove(product: dict[str, Any], store: Store) -> None:
        del call.ours.products[store.id][product["id"]]

    return begin_for(call, body, "products_delete", ASSUMED["bulk.answer"]["products_delete"], remove)


def begin_for(call: Call, body: Mapping[str, Any], kind: str, status: str, change: Any) -> Answer:
    """A bulk action over the products that a body chooses."""
    ours = call.ours
    found = query.chosen(of_status(call, body["product_status"]), body)
    items = [{"item": one.get("title"), "product_id": one["id"], "store_id": one["autods_store_id"]} for one in found]

    def apply(item: Mapping[str, Any]) -> str | None:
        store = ours.stores[item["store_id"]]
        product = ours.products[store.id].get(item["product_id"])
        if product is None:
            return "The product is not there any more."
        product[UPDATED_AT] = store.time(ours.clock())
        change(product, store)
        return None

    return call.answer({"status": status, "bulk_action": {"id": ours.begin(kind, items, apply).id}})


def read(call: Call) -> Answer:
    """One product."""
    return call.answer(call.ours.product(call.store(), call.params["product_id"]))


def replace(call: Call) -> Answer:
    """The whole product anew: a field that is not given is gone."""
    found = call.ours.product(call.store(), call.params["product_id"])
    given = changes(call)
    for name in [name for name in found if name not in FIXED]:
        del found[name]
    return changed(call, found, {"status": ACTIVE, "variations": [], **given})


def patch(call: Call) -> Answer:
    """Some fields anew."""
    return changed(call, call.ours.product(call.store(), call.params["product_id"]), changes(call))


def changes(call: Call) -> dict[str, Any]:
    """The fields of a change; raises Refused."""
    given = call.body(PRODUCT)
    if "variations" in given:
        given["variations"] = [variation(one, ["variations", n]) for n, one in enumerate(given["variations"])]
    return {name: value for name, value in given.items() if name not in FIXED}


def variation(given: Any, where: list[str | int]) -> dict[str, Any]:
    """One variation with its amounts as decimals; raises Refused."""
    found = checked(given, VARIATION, where)
    if "price" in found:
        found["price"] = money(found["price"], [*where, "price"])
    if "price" in found.get("active_buy_item", {}):
        bought = found["active_buy_item"]
        found["active_buy_item"] = {**bought, "price": money(bought["price"], [*where, "active_buy_item", "price"])}
    return found


def changed(call: Call, product: dict[str, Any], given: Mapping[str, Any]) -> Answer:
    """The product with these fields, and the time of the change."""
    product |= {**given, UPDATED_AT: call.store().time(call.now)}
    return call.answer(product)

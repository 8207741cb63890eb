"""Products from suppliers: what an upload may say, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from sandbox.autods.call import Call
from sandbox.autods.errors import Invalid
from sandbox.autods.people import new_product
from sandbox.autods.products import STATUS
from sandbox.autods.state import AutoDS
from sandbox.autods.values import (
    AMOUNT,
    FLAG,
    INTEGER,
    LIST,
    OBJECT,
    REGIONS,
    SCHEDULED,
    SUPPLIERS,
    TEXT,
    Field,
    Fields,
    checked,
    moment,
)
from sandbox.wire import Answer

UPLOAD: Final[Fields] = {
    "region": Field(INTEGER, required=True, choices=REGIONS),
    "status": STATUS,
    "buy_site_id": Field(INTEGER, required=True, choices=SUPPLIERS),
    "new_products": Field(LIST),
    "file_url": Field(TEXT),
    "finder_categories": Field(LIST),
    "action_source": Field(INTEGER),
    "supplier_settings": Field(OBJECT),
    "upload_settings": Field(OBJECT),
}
SOURCES: Final = ("new_products", "file_url", "finder_categories")
NEW_PRODUCT: Final[Fields] = {
    "asin": Field(TEXT, required=True),
    "title": Field(TEXT),
    "price": AMOUNT,
    "channel_specific": Field(OBJECT),
}
AMOUNT_OF_PRODUCTS_MAX: Final = 1_000  # ours: they say no greatest
CATEGORY: Final[Fields] = {
    "category_id": Field(INTEGER, required=True),
    "amount_of_products": Field(INTEGER, required=True, least=1, most=AMOUNT_OF_PRODUCTS_MAX),
}
UPLOAD_SETTINGS: Final[Fields] = {
    "tag": Field(LIST),
    "collection": Field(LIST),
    "min_price_range": AMOUNT,
    "max_price_range": AMOUNT,
    "disable_auto_order": Field(FLAG),
    "disable_stock_monitoring": Field(FLAG),
    "disable_price_monitoring": Field(FLAG),
    "scheduled_datetime": Field(TEXT),
}


def upload(call: Call) -> Answer:
    """Products from suppliers; they are there when the bulk action has finished."""
    body = call.body(UPLOAD)
    settings = checked(body.get("upload_settings", {}), UPLOAD_SETTINGS, ["upload_settings"])
    check_schedule(body["status"], settings, call.now)
    wanted = [{**one, "store_id": store.id} for store in call.stores() for one in new_products(body)]
    tags = settings.get("tag", [])

    def add(item: Mapping[str, Any]) -> str | None:
        return uploaded(call.ours, item, body["status"], tags)

    bulk = call.ours.begin("create_draft", wanted, add)
    return call.answer({"status": "Product uploading started", "bulk_action": {"id": bulk.id}})


def new_products(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is to be uploaded, by one of three ways; raises Invalid."""
    given = [name for name in SOURCES if name in body]
    if len(given) != 1:
        raise Invalid(["new_products"], f"Give one of {', '.join(SOURCES)}.")
    if "file_url" in body:
        return [{"item": body["file_url"]}]
    if "finder_categories" in body:
        found = [checked(one, CATEGORY, ["finder_categories", n]) for n, one in enumerate(body["finder_categories"])]
        return [{"item": f"{one['category_id']}-{n}"} for one in found for n in range(one["amount_of_products"])]
    found = [checked(one, NEW_PRODUCT, ["new_products", n]) for n, one in enumerate(body["new_products"])]
    return [{"item": one["asin"], "title": one.get("title"), "price": one.get("price")} for one in found]


def check_schedule(status: int, settings: Mapping[str, Any], now: float) -> None:
    """Raise Invalid for a scheduled product without its time, or with one that has passed."""
    where = ["upload_settings", "scheduled_datetime"]
    if status == SCHEDULED and "scheduled_datetime" not in settings:
        raise Invalid(where, "scheduled_datetime is required with status 5.")
    if "scheduled_datetime" in settings and moment(settings["scheduled_datetime"], where).timestamp() <= now:
        raise Invalid(where, "scheduled_datetime must be in the future.")


def uploaded(ours: AutoDS, item: Any, status: int, tags: list[str]) -> str | None:
    """One product more, or what went wrong; ids that start with `bad` are not at the supplier."""
    if item["item"].startswith("bad"):
        return f"{item['item']} was not found at the supplier."
    store = ours.stores[item["store_id"]]
    made = new_product(store, ours.next_product_number(store), ours.clock(), item.get("title"))
    for one in made["variations"]:
        one["active_buy_item"]["item_id_on_site"] = item["item"]
        one["price"] = store.money(Decimal(item["price"])) if item.get("price") is not None else one["price"]
    made |= {"status": status, "tags": list(tags), "item_id_on_site": None}
    ours.products[store.id][made["id"]] = made
    ours.counts["products_uploaded"] += 1
    item["product_id"] = made["id"]
    return None

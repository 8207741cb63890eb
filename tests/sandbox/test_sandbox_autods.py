"""AutoDS' stand-in: stores and products, filters and pages, bulk actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.control import SandboxRefused
from sandbox.process import Sandbox, start
from tests.sandbox.autods import EU, TOKYO, US, Api, where

FIRST = "65f0c0ffee00100100000001"


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def api(process: Sandbox) -> Api:
    process.control.reset()
    return Api(process)


def ids(products: list[dict[str, Any]]) -> list[str]:
    return [one["id"] for one in products]


# ------------------------------------------------------------------------------------------------------------- listing


def test_stores_have_a_currency_and_a_time_zone(api: Api) -> None:
    status, said = api.get("/store/list")
    shown = [(one["store"]["id"], one["store"]["currency"], one["store"]["active"]) for one in said]
    assert status == 200
    assert shown == [(US, "USD", True), (EU, "EUR", True), (TOKYO, "JPY", True), (1004, "GBP", False)]
    assert said[0]["store"]["timezone"] == "America/New_York"
    assert api.get("/users/list/") == (200, [{"id": 501, "name": "Mira Holm", "email": "mira@example.com"}])


@pytest.mark.parametrize(
    ("store", "products", "currency"),
    [
        (US, {"1": 3, "2": 20, "3": 2}, "USD"),
        (EU, {"1": 1, "2": 10, "3": 1}, "EUR"),
        (TOKYO, {"1": 1, "2": 7}, "JPY"),
        (1004, {}, "GBP"),
    ],
)
def test_what_stores_begin_with(api: Api, store: int, products: dict[str, int], currency: str) -> None:
    totals = api.do("totals", store=store)
    orders = dict.fromkeys(("pending", "ordered", "shipped", "delivered", "canceled"), 1) if products else {}
    assert (totals["products"], totals["orders"], totals["currency"]) == (products, orders, currency)
    first = 445_000 + 5 * (store - US)
    assert [one["id"] for one in api.do("orders", store=store)] == (list(range(first, first + 5)) if products else [])


def test_pages_of_products_add_up(api: Api) -> None:
    found: list[dict[str, Any]] = []
    while page := api.products(f"{US},{EU}", limit=7, offset=len(found)):
        found += page
    totals = [api.do("totals", store=store)["products"]["2"] for store in (US, EU)]
    assert len(set(ids(found))) == len(found) == sum(totals) == 30
    assert api.post(f"/products/{US},{EU}/count/", product_status=2) == (200, {"total_results": 30})
    assert {one["autods_store_id"] for one in found} == {US, EU}


def test_a_product_is_money_with_currency_and_times_with_a_zone(api: Api) -> None:
    (dollars,) = api.products(limit=1)
    (yen,) = api.products(TOKYO, limit=1)
    assert (dollars["currency"], dollars["variations"][0]["price"]) == ("USD", 15.9)
    assert (yen["currency"], yen["variations"][0]["price"] % 1) == ("JPY", 0)
    for one in (dollars, yen):
        assert datetime.fromisoformat(one["updated_at"]).tzinfo is not None
    assert yen["updated_at"].endswith("+09:00")
    api.do("set_shapes", money="text")
    assert api.products(limit=1)[0]["variations"][0]["price"] == "15.90"


def test_what_changed_since_a_cursor_is_found_by_time(api: Api) -> None:
    newest = api.products(order_by={"name": "updated_at", "direction": "desc"}, limit=1)[0]
    changed = [where("updated_at", ">", newest["updated_at"], "datetime")]
    assert api.products(filters=changed) == []
    since = (datetime.fromisoformat(newest["updated_at"]) - timedelta(days=3)).astimezone(UTC).isoformat()
    recent = api.products(filters=[where("updated_at", ">", since, "datetime")], order_by={"name": "updated_at"})
    assert len(recent) == 2  # one a day, and the one between is a draft
    assert recent[-1] == newest
    api.do("update_product", store=US, product=FIRST, price="99.99", quantity=0)
    at = where("updated_at", ">=", newest["updated_at"], "datetime")
    later = api.products(filters=[at], projection=["id", "variations.price", "variations.inventory_status"])
    assert {"id": FIRST, "variations": [{"price": 99.99, "inventory_status": 2}] * 3} in later


def prices(product: dict[str, Any]) -> list[float]:
    return [one["price"] for one in product["variations"]]


# A filter, and what it must say of each product.
FILTERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    (where("id", "in", [FIRST], "list"), lambda one: one["id"] == FIRST),
    (where("id", "=", FIRST, "object_id"), lambda one: one["id"] == FIRST),
    (where("id", "ne", FIRST, "object_id"), lambda one: one["id"] != FIRST),
    (where("id", "not_in", [FIRST], "list"), lambda one: one["id"] != FIRST),
    (where("title", "like", "desk LAMP"), lambda one: "Desk lamp" in one["title"]),
    (where("title", "not_like", "desk lamp"), lambda one: "Desk lamp" not in one["title"]),
    (where("title", "starts_with", "Desk"), lambda one: one["title"].startswith("Desk")),
    (where("title", "ends_with", " 1"), lambda one: one["id"] == FIRST),
    (where("tags", "has", "autumn"), lambda one: "autumn" in one["tags"]),
    (where("tags", "any", ["autumn", "spring"], "list"), lambda one: "autumn" in one["tags"]),
    (where("total_sold_count", "in", [2, 3], "list_int"), lambda one: one["total_sold_count"] in (2, 3)),
    (where("total_sold_count", "<", 1, "integer"), lambda one: one["total_sold_count"] < 1),
    (where("total_sold_count", "<=", 1, "integer"), lambda one: one["total_sold_count"] <= 1),
    (where("variations.price", ">=", 40.5, "float"), lambda one: max(prices(one)) >= 40.5),
    (where("variations.price", "between", [10, 16.0], "float"), lambda one: min(prices(one)) <= 16),
    (
        where("variations.inventory_status", "=", 2, "integer"),
        lambda one: any(part["quantity"] == 0 for part in one["variations"]),
    ),
    (where("variations.active_buy_item.item_id_on_site", "=", "B0SB10010001"), lambda one: one["id"] == FIRST),
    (where("upload_date", "exact_date", "1999-01-01T00:00:00Z", "datetime"), lambda one: False),
    (where("nothing", "exists", True, "bool"), lambda one: False),
    (where("nothing", "exists", False, "bool"), lambda one: True),
]


@pytest.mark.parametrize(("one", "says"), FILTERS)
def test_filters(api: Api, one: dict[str, Any], says: Callable[[dict[str, Any]], bool]) -> None:
    assert ids(api.products(filters=[one])) == [product["id"] for product in api.products() if says(product)]


def test_a_date_is_that_of_its_zone(api: Api) -> None:
    newest = api.products(order_by={"name": "upload_date", "direction": "desc"}, limit=1)[0]
    that_day = where("upload_date", "exact_date", newest["upload_date"], "datetime")
    assert ids(api.products(filters=[that_day])) == [newest["id"]]


def test_filters_join_by_and_or_or(api: Api) -> None:
    both = [where("title", "starts_with", "Yoga"), where("title", "ends_with", " 1")]
    assert api.products(filters=both) == []
    assert len(api.products(filters=both, condition="or")) == 1 + len(api.products(filters=both[:1])) > 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "product_status"),
        ({"product_status": "active"}, "product_status"),
        ({"product_status": "2"}, "product_status"),
        ({"product_status": True}, "product_status"),
        ({"product_status": 7}, "product_status"),
        ({"product_status": 2, "limit": 1001}, "limit"),
        ({"product_status": 2, "limit": 0}, "limit"),
        ({"product_status": 2, "offset": -1}, "offset"),
        ({"product_status": 2, "condition": "xor"}, "condition"),
        ({"product_status": 2, "order_by": {"direction": "asc"}}, "name"),
        ({"product_status": 2, "projection": [1]}, "projection"),
        ({"product_status": 2, "page": 2}, "page"),
        ({"product_status": 2, "filters": [{"name": "id", "op": "="}]}, "value_type"),
        ({"product_status": 2, "filters": [where("id", "in", [FIRST], "string")]}, "value_type"),
        ({"product_status": 2, "filters": [where("id", "in", FIRST, "list")]}, "value_list"),
        ({"product_status": 2, "filters": [where("status", "=", "2", "integer")]}, "value"),
        ({"product_status": 2, "filters": [where("updated_at", ">", "2026-11-01T00:00:00", "datetime")]}, "value"),
        ({"product_status": 2, "filters": [where("status", "between", [1], "integer")]}, "value_list"),
        ({"product_status": 2, "filters": [where("id", "near", FIRST)]}, "op"),
    ],
)
def test_a_wrong_field_is_named(api: Api, body: dict[str, Any], field: str) -> None:
    status, said = api.ask("POST", f"/products/{US}/list/", body)
    assert (status, said["detail"][0]["loc"][-1]) == (422, field)


def test_slashes_hosts_and_stores_matter(api: Api) -> None:
    good = {"product_status": 2}
    assert api.post(f"/products/{US}/list/", **good)[0] == 200
    assert api.post(f"/products/{US}/list", **good)[0] == 404
    assert api.post(f"/products/{US}/import_to_marketplace/", **good)[0] == 404
    assert api.post(f"/gateway/products/{US}/list/", **good)[0] == 404
    assert api.post("/products/9999/list/", **good)[0] == 404
    assert api.ask("POST", f"/products/{US}/list/", b"{")[0] == 400
    assert api.ask("POST", f"/products/{US}/list/", b"[]")[0] == 422


# ---------------------------------------------------------------------------------------------------------- uploading


def test_an_upload_is_there_when_its_bulk_action_has_finished(api: Api) -> None:
    status, begun = api.post(
        f"/products/{US}/",
        region=1,
        status=1,
        buy_site_id=1,
        new_products=[{"asin": "B0EXAMPLE1", "price": 24.9}, {"asin": "bad-one"}],
        upload_settings={"tag": ["autumn"]},
    )
    assert (status, begun["status"]) == (200, "Product uploading started")
    before = api.do("totals", store=US)["products"]["1"]
    looks = list(api.bulk(begun))
    assert [[one["status"] for one in items] for _, items in looks] == [[1, 1], [2, 2], [3, 99]]
    good, bad = looks[-1][1]
    assert (good["error_message"], bad["product_id"]) == (None, None)
    assert "bad-one" in bad["error_message"]
    made = api.products(product_status=1, filters=[where("id", "=", good["product_id"], "object_id")])[0]
    assert (made["tags"], made["variations"][0]["price"]) == (["autumn"], 24.9)
    assert made["variations"][0]["active_buy_item"]["item_id_on_site"] == "B0EXAMPLE1"
    assert api.do("totals", store=US)["products"]["1"] == before + 1
    assert api.sandbox.control.bill()["autods"]["products_uploaded"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"region": "us"}, "region"),
        ({"buy_site_id": "Amazon"}, "buy_site_id"),
        ({"buy_site_id": 99}, "buy_site_id"),
        ({"new_products": None}, "new_products"),
        ({"file_url": "https://example.com/x.csv"}, "new_products"),
        ({"new_products": [{}]}, "asin"),
        ({"status": 5}, "scheduled_datetime"),
        ({"status": 5, "upload_settings": {"scheduled_datetime": "2099-01-01T00:00:00"}}, "scheduled_datetime"),
        ({"status": 5, "upload_settings": {"scheduled_datetime": "2020-01-01T00:00:00Z"}}, "scheduled_datetime"),
        ({"upload_settings": {"tags": ["x"]}}, "tags"),
    ],
)
def test_a_refused_upload(api: Api, change: dict[str, Any], field: str) -> None:
    usual = {"region": 1, "status": 1, "buy_site_id": 1, "new_products": [{"asin": "B0EXAMPLE1"}]}
    status, said = api.post(f"/products/{US}/", **{**usual, **change})
    assert (status, said["detail"][0]["loc"][-1]) == (422, field)


def test_other_ways_to_upload(api: Api) -> None:
    usual = {"region": 1, "buy_site_id": 1}
    categories = [{"category_id": 7, "amount_of_products": 3}]
    later = {"scheduled_datetime": "2099-01-01T00:00:00+00:00"}
    begun = [
        api.post(f"/products/{US}/", **usual, status=1, file_url="https://example.com/x.csv")[1],
        api.post(f"/products/{US}/", **usual, status=1, finder_categories=categories)[1],
        api.post(f"/products/{US},{EU}/", **usual, status=5, new_products=[{"asin": "B1"}], upload_settings=later)[1],
    ]
    assert [list(api.bulk(one))[-1][0] for one in begun] == [1, 3, 2]
    assert [len(api.products(store, product_status=5)) for store in (US, EU)] == [1, 1]


def test_publishing_without_filters_publishes_every_draft(api: Api) -> None:
    drafts = api.products(product_status=1)
    wanted = [where("id", "in", [drafts[0]["id"]], "list")]
    _, begun = api.post(f"/products/{US}/import_to_marketplace", product_status=1, filters=wanted)
    list(api.bulk(begun))
    assert len(api.products(product_status=1)) == len(drafts) - 1
    _, begun = api.post(f"/products/{US}/import_to_marketplace", product_status=1)
    assert api.do("finish_bulk", bulk=begun["bulk_action"]["id"]) == 3
    assert api.products(product_status=1) == []
    assert api.sandbox.control.bill()["autods"]["products_published"] == len(drafts)


def test_bulk_actions_that_do_not_finish(api: Api) -> None:
    api.do("set_bulk", polls=0, outcome=99)
    _, begun = api.post(f"/products/{US}/import_to_marketplace", product_status=1)
    (only,) = api.bulk(begun)
    assert {one["status"] for one in only[1]} == {99}
    assert len(api.products(product_status=1)) == 3
    number = begun["bulk_action"]["id"]
    assert api.post(f"/bulk_actions/{US}/list/{number}", status=3)[1]["total_results"] == 0
    assert len(api.post(f"/bulk_actions/{US}/list/{number}", limit=2, offset=2)[1]["results"]) == 1
    assert api.post(f"/bulk_actions/{US}/list/1")[0] == 404


# ------------------------------------------------------------------------------------------------------------ changing


def test_a_margin_is_set_not_added(api: Api) -> None:
    body = {
        "product_status": 2,
        "filters": [where("id", "in", [FIRST], "list")],
        "bulk_changes": {"percentage_profit": 50},
    }
    for _ in range(2):
        status, begun = api.ask("PUT", f"/products/{US}/bulk", body)
        assert status == 200
        list(api.bulk(begun))
    _, product = api.get(f"/products/{US}/{FIRST}/")
    bought = product["variations"][0]["active_buy_item"]["price"]
    assert product["variations"][0]["price"] == round(bought * 1.5, 2)
    assert api.ask("PUT", f"/products/{US}/bulk", {**body, "bulk_changes": {"margin": 1}})[0] == 422


def test_a_delete_with_a_body(api: Api) -> None:
    body = {"product_status": 2, "filters": [where("id", "in", [FIRST], "list")], "remove_from_marketplace": True}
    status, begun = api.ask("DELETE", f"/products/{US}/bulk", body)
    assert status == 200
    list(api.bulk(begun))
    assert api.get(f"/products/{US}/{FIRST}/")[0] == 404
    assert len(api.products()) == 19


def test_a_put_wipes_what_it_does_not_say_and_a_patch_does_not(api: Api) -> None:
    before = api.get(f"/products/{US}/{FIRST}/")[1]
    patched = api.ask("PATCH", f"/products/{US}/{FIRST}/", {"title": "New"})[1]
    assert patched["title"] == "New"
    assert patched["sku"] == before["sku"]
    assert api.ask("PUT", f"/products/{US}/{FIRST}/", patched)[1]["variations"] == before["variations"]
    put = api.ask("PUT", f"/products/{US}/{FIRST}/", {"title": "Newer", "id": "other"})[1]
    assert (put["id"], put["title"], put["variations"], "sku" in put) == (FIRST, "Newer", [], False)
    assert put["currency"] == "USD"
    wrong_ones: list[Any] = [
        {"status": 9},
        {"variations": {}},
        {"variations": [{"price": "dear"}]},
        {"variations": [{"price": "NaN"}]},
        {"colour": "red"},
    ]
    for wrong in wrong_ones:
        assert api.ask("PATCH", f"/products/{US}/{FIRST}/", wrong)[0] == 422
    with pytest.raises(SandboxRefused, match="nothing to buy"):
        api.do("new_order", store=US, product=FIRST)


def test_a_price_may_come_as_decimal_text(api: Api) -> None:
    variations = [{"sku": "A", "price": "19.99", "active_buy_item": {"price": "10.00"}}]
    patched = api.ask("PATCH", f"/products/{US}/{FIRST}/", {"variations": variations})[1]
    assert patched["variations"][0] == {"sku": "A", "price": 19.99, "active_buy_item": {"price": 10.0}}


def test_what_is_done_on_their_own_pages(api: Api) -> None:
    made = api.do("make_product", store=EU, title="Kettle", count=3)
    assert len(set(made)) == 3
    newest = api.products(EU, order_by={"name": "updated_at", "direction": "desc"}, limit=3)
    assert {one["title"] for one in newest} == {"Kettle"}
    assert api.do("update_product", store=EU, product=made[0], title="Pot", status=3)["title"] == "Pot"
    api.do("delete_product", store=EU, product=made[1])
    assert made[1] not in ids(api.products(EU))
    assert api.do("make_product", store=EU)[0] not in made
    price = api.get(f"/products/{EU}/{made[2]}/")[1]["variations"][0]["price"]
    assert api.do("restate", store=EU, factor="2") == sum(api.do("totals", store=EU)["products"].values())
    assert api.get(f"/products/{EU}/{made[2]}/")[1]["variations"][0]["price"] == price * 2


@pytest.mark.parametrize(
    ("action", "arguments", "words"),
    [
        ("make_product", {"store": 9}, "there is no store 9"),
        ("make_product", {"store": US, "status": "draft"}, "status is one of"),
        ("delete_product", {"store": US, "product": "x"}, "There is no product x"),
        ("update_product", {"store": US, "product": FIRST, "price": "dear"}, "no decimal"),
        ("set_bulk", {"outcome": 5}, "outcome is one of"),
        ("set_bulk", {"polls": -1}, "polls"),
        ("finish_bulk", {"bulk": 1}, "no bulk action"),
        ("set_shapes", {"money": "float"}, "money is one of"),
        ("set_limits", {"per_minute": 0}, "per_minute"),
        ("need_addon", {"product": "x"}, "no product"),
    ],
)
def test_actions_that_mean_nothing(api: Api, action: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SandboxRefused, match=words):
        api.do(action, **arguments)

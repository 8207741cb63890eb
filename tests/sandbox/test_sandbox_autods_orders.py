"""AutoDS' stand-in: orders in and their tracking out, webhooks, research, errors; and what is known about it all."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest

from sandbox.autods import doors
from sandbox.autods.assumed import ASSUMED
from sandbox.autods.errors import FAULTS, PROBLEMS
from sandbox.autods.people import product_id, stores
from sandbox.autods.query import FILTER, OPS, ORDER_BY, PAGE, VALUE_TYPES
from sandbox.autods.uploads import UPLOAD, UPLOAD_SETTINGS
from sandbox.autods.webhooks import signature
from sandbox.control import SandboxRefused
from sandbox.process import ROOT, Sandbox, start
from tests.sandbox.autods import EU, ORDER, TOKYO, US, Api, where
from tests.sandbox.meta import Callback, callback

FACTS = ROOT.parent / "shared" / "specs" / "content" / "autods" / "wire-facts.json"
NEEDS_FACTS = pytest.mark.skipif(not FACTS.exists(), reason=f"AUTODS' FACTS NOT CHECKED: {FACTS.name} is absent")
CREATE = "/gateway/auto-order/order/create-external"
READ = "/gateway/auto-order/order/get-external"
SECRET = "whs_autods"
SENT: Mapping[str, Any] = {"id": "evt_1", "type": "order.shipped", "data": {"autods_order_id": 445000}}


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def api(process: Sandbox) -> Api:
    process.control.reset()
    return Api(process)


@pytest.fixture
def heard() -> Iterator[Callback]:
    with callback() as running:
        yield running


# -------------------------------------------------------------------------------------------------------------- orders


def test_an_order_is_bought_once(api: Api) -> None:
    status, made = api.ask("POST", CREATE, ORDER)
    assert (status, made["sell_site_order_id"], made["status"]) == (201, "shop-10042", "pending")
    assert (made["currency"], made["total_price"], made["tracking_number"]) == ("USD", "29.00", None)
    again, first = api.ask("POST", CREATE, {**ORDER, "first_name": "Other"})
    assert (again, first) == (200, made)
    bill = api.sandbox.control.bill()["autods"]
    assert (bill["orders_created"], bill["spent"], bill["calls"]) == (1, {"USD": "29.00"}, 2)
    assert api.get(f"{READ}?order_id={made['id']}") == (200, made)
    assert api.get(f"/orders/{US}/order/{made['id']}/") == (200, made)
    assert api.get(f"/orders/{EU}/order/{made['id']}/")[0] == 404
    assert api.get(f"{READ}?order_id=x")[0] == 404


@pytest.mark.parametrize("fault", ["drop-after", "autods:server_error_after", "autods:gateway_timeout_after"])
def test_a_lost_answer_is_found_by_the_orders_own_id(api: Api, fault: str) -> None:
    api.sandbox.control.add_rule("/autods/gateway/*", fault, times=1)
    if fault == "drop-after":
        with pytest.raises(ConnectionError):
            api.ask("POST", CREATE, ORDER)
    else:
        assert api.ask("POST", CREATE, ORDER)[0] >= 500
    (found,) = api.orders(filters=[where("sell_site_order_id", "=", "shop-10042")])
    assert api.ask("POST", CREATE, ORDER) == (200, found)
    assert api.sandbox.control.bill()["autods"]["orders_created"] == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"buy_site_id": 1}, "buy_site_id"),
        ({"supplier": "Amazon"}, "supplier"),
        ({"supplier": 99}, "supplier"),
        ({"quantity_to_buy": 0}, "quantity_to_buy"),
        ({"quantity_to_buy": True}, "quantity_to_buy"),
        ({"country": "USA"}, "country"),
        ({"sell_site_order_id": None}, "sell_site_order_id"),
        ({"address_1": "1 Main St"}, "address_1"),
        ({"suggested_buy_price": "14.50"}, "suggested_buy_price"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_refused_order_costs_nothing(api: Api, change: dict[str, Any], field: str) -> None:
    status, said = api.ask("POST", CREATE, {**ORDER, **change})
    assert (status, said["detail"][0]["loc"][-1]) == (422, field)
    assert api.sandbox.control.bill()["autods"]["spent"] == {}


def test_the_shapes_in_which_clients_disagree(api: Api) -> None:
    shapes = api.do("set_shapes", order="nested", address="address_1", duplicate=409)
    assert shapes == {"money": "number", "order": "nested", "address": "address_1", "duplicate": 409}
    assert api.ask("POST", CREATE, ORDER)[1]["detail"][0]["loc"][-1] == "address1"
    other = {name: value for name, value in ORDER.items() if name != "address1"}
    status, made = api.ask("POST", CREATE, {**other, "address_1": "1 Main St"})
    assert (status, made["order"]["sell_site_order_id"]) == (201, "shop-10042")
    assert api.ask("POST", CREATE, {**other, "address_1": "1 Main St"})[0] == 409
    assert api.get(f"{READ}?order_id={made['order']['id']}") == (200, made)


def test_stores_that_take_no_orders(api: Api) -> None:
    assert api.ask("POST", CREATE, {**ORDER, "store_id": 1004})[0] == 403
    api.do("set_store", store=US, orders_by_api=False)
    assert api.ask("POST", CREATE, ORDER)[0] == 403
    assert api.ask("POST", CREATE, {**ORDER, "store_id": 9})[0] == 404
    api.do("set_store", store=1004, active=True)
    assert api.get("/store/list")[1][3]["store"]["active"]


def test_orders_begin_with_one_in_each_status(api: Api) -> None:
    found = api.orders(order_by={"name": "sold_date", "direction": "desc"})
    assert [one["status"] for one in found] == ["pending", "ordered", "shipped", "delivered", "canceled"]
    assert [one["id"] for one in found] == list(range(445000, 445005))
    assert [bool(one["tracking_number"]) for one in found] == [False, False, True, True, False]
    assert found[2]["tracking_url"].endswith(found[2]["tracking_number"])
    assert {one["currency"] for one in api.orders(TOKYO)} == {"JPY"}
    assert "." not in api.orders(TOKYO)[0]["total_price"]
    assert api.orders(filters=[where("id", "=", "445002")]) == [found[2]]
    assert api.orders(filters=[where("id", "=", 445002, "integer")]) == [found[2]]
    assert api.post(f"/orders/{US}/count") == (200, {"total_results": 5})


def test_an_order_gets_on_and_is_found_by_when_it_changed(api: Api) -> None:
    made = api.do("new_order", store=EU, quantity=2)
    assert (made["status"], made["currency"], made["quantity_to_buy"]) == ("pending", "EUR", 2)
    shipped = api.do("set_order", order=made["id"], status="shipped")
    assert shipped["tracking_number"]
    since = where("updated_at", ">=", made["sold_date"], "datetime")
    assert made["id"] in [one["id"] for one in api.orders(EU, filters=[since])]
    followed = api.do("set_order", order=made["id"], tracking_number="JD01", carrier="DHL")
    assert (followed["tracking_number"], followed["carrier"], followed["status"]) == ("JD01", "DHL", "shipped")
    assert datetime.fromisoformat(followed["updated_at"]) >= datetime.fromisoformat(made["updated_at"])
    for _ in range(2):
        api.do("set_order", order=made["id"], status="delivered")
    assert api.do("set_order", order=made["id"], status="Payment revision")["status"] == "Payment revision"
    assert api.sandbox.control.bill()["autods"]["orders_fulfilled"] == 1
    assert api.do("totals", store=EU)["orders"]["Payment revision"] == 1
    assert [one["id"] for one in api.do("orders", store=EU)][-1] == made["id"]
    with pytest.raises(SandboxRefused, match="no order 1"):
        api.do("set_order", order=1)


# ------------------------------------------------------------------------------------------- tokens, limits, research


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        (None, "/store/list", 401),
        ("bad_1", "/store/list", 401),
        ("expired_1", "/store/list", 401),
        ("noplan_1", "/store/list", 200),
        ("noplan_1", "/gateway/v1/users/current", 403),
        ("tok_1", "/gateway/auto-order-v3/users/external/user-details", 200),
        ("tok_1", "/gateway/auto-order-v3/suppliers/external/supported", 200),
        ("tok_1", f"/gateway/api/products/{product_id(stores()[US], 1)}", 200),
        ("tok_1", "/gateway/api/products/x", 404),
    ],
)
def test_tokens_and_the_smaller_doors(api: Api, token: str | None, path: str, status: int) -> None:
    api.token = token
    assert api.get(path)[0] == status


def test_a_limit_by_minute_and_token(api: Api) -> None:
    api.do("set_limits", per_minute=2)
    assert [api.get("/store/list")[0] for _ in range(3)] == [200, 200, 429]
    assert 1 <= int(api.headers["retry-after"]) <= 60
    assert Api(api.sandbox, "tok_2").get("/store/list")[0] == 200
    api.do("set_limits")
    assert api.get("/store/list")[0] == 200


def test_product_research(api: Api) -> None:
    status, said = api.post("/research/products/", order_by={"name": "orders"}, limit=3)
    assert (status, said["currency"], [one["orders"] for one in said["results"]]) == (200, "USD", [1000, 999, 998])
    assert api.post("/research/products/")[0] == 422
    status, said = api.get("/research/products/winning?offset=1&limit=2&sort=-orders")
    assert [one["orders"] for one in said["results"]] == [999, 998]
    assert api.get("/research/products/winning?offset=0&limit=101&sort=-orders")[0] == 422
    assert api.get("/research/products/winning?offset=0&limit=1&sort=mood")[0] == 422
    wanted = said["results"][0]["id"]
    assert api.get(f"/research/products/{wanted}")[1]["id"] == wanted
    alike = api.get(f"/research/products/{wanted}/similar")[1]["results"]
    assert {one["title"] for one in alike} == {said["results"][0]["title"]}
    others = api.get(f"/research/products/recommended/{wanted}?limit=5")[1]
    assert (len(others["results"]), others["total_results"]) == (5, 39)
    api.do("need_addon", product=wanted)
    assert api.get(f"/research/products/{wanted}")[0] == 307
    assert api.headers["location"] == "/receive/redirected"
    api.do("need_addon", product=wanted, needed=False)
    assert api.get(f"/research/products/{wanted}")[0] == 200


def found(api: Api, name: str, op: str, kind: str, value: Any) -> tuple[int, Any]:
    """The status, and the numbers of orders that were found."""
    wanted = {"name": name, "op": op, "value_type": kind, "value": value}
    status, said = api.post("/research/products/", order_by={"name": "orders"}, filters=[wanted], limit=40)
    return status, [one["orders"] for one in said["results"]] if status == 200 else said


@pytest.mark.parametrize(
    ("name", "op", "kind", "value", "count"),
    [
        ("orders", "=", "integer", "999", 1),
        ("orders", "ne", "integer", "999", 39),
        ("price", "<", "float", "14.90", 2),
        ("orders", ">=", "integer", "990", 11),
        ("orders", "between", "integer", "990,992", 3),
        ("orders", "in", "integer", "990,992", 2),
        ("id", "in", "list", "5ea4c4000000000000000003,x", 1),
        ("id", "=", "objectId", "5ea4c4000000000000000003", 1),
    ],
)
def test_research_has_filters_of_its_own(api: Api, name: str, op: str, kind: str, value: str, count: int) -> None:
    status, orders = found(api, name, op, kind, value)
    assert (status, len(orders)) == (200, count)


def test_research_searches_titles_and_takes_no_operator_of_the_other_host(api: Api) -> None:
    status, lamps = found(api, "title", "search", "string", "desk LAMP")
    assert status == 200
    assert 0 < len(lamps) < 40
    winning = api.get("/research/products/winning?offset=0&limit=100&sort=-orders&search=desk%20lamp")[1]["results"]
    assert [one["orders"] for one in winning] == lamps
    for op, kind, value in (
        ("like", "string", "lamp"),
        ("=", "object_id", "x"),
        ("=", "integer", 5),
        ("=", "integer", "five"),
        ("<", "float", "NaN"),
        ("between", "integer", "1"),
    ):
        assert found(api, "title", op, kind, value)[0] == 422


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", FAULTS)
def test_errors_by_name(api: Api, name: str) -> None:
    api.sandbox.control.add_rule("/autods/*", f"autods:{name}")
    if name == "bad_gateway":
        with pytest.raises(json.JSONDecodeError):
            api.ask("POST", CREATE, ORDER)
        return
    status, said = api.ask("POST", CREATE, ORDER)
    problem = PROBLEMS.get(name.removesuffix("_after"))
    assert status == (400 if problem is None else problem.status)
    assert len(set(said) & set(ASSUMED["error.names"])) == 1
    if name.startswith("text_in_"):
        assert list(said) == [name.removeprefix("text_in_")]
    api.sandbox.control.clear_rules()
    assert len(api.orders(filters=[where("sell_site_order_id", "=", "shop-10042")])) == name.endswith("_after")


# ------------------------------------------------------------------------------------------------------------ webhooks


def send(api: Api, heard: Callback, **others: Any) -> Any:
    return api.do("send_webhook", **{"url": heard.url, "secret": SECRET, **SENT, **others})


def test_a_message_and_its_repetition(api: Api, heard: Callback) -> None:
    sent = send(api, heard, at=1_790_000_000)
    api.do("repeat_webhook", id=sent["id"], at=1_790_000_100)
    (first, body), (second, again) = heard.posted
    assert (sent["status"], sent["body"].encode(), body) == (200, body, again)
    assert {name: json.loads(body)[name] for name in SENT} == SENT
    assert datetime.fromisoformat(json.loads(body)["created_at"]).tzinfo is not None
    assert first["x-autods-signature"] != second["x-autods-signature"]
    for at, headers in ((1_790_000_000, first), (1_790_000_100, second)):
        digest = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        assert headers["x-autods-signature"] == f"t={at},v1={digest}"


def test_other_ways_to_sign(api: Api, heard: Callback) -> None:
    send(api, heard, mode="body", header="x-signature")
    send(api, heard, mode="prefixed")
    send(api, heard, signed=False)
    send(api, heard, body="not json", id="evt_2")
    (bare, body), (prefixed, _), (unsigned, _), (_, raw) = heard.posted
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert bare["x-signature"] == digest
    assert re.fullmatch(r"sha256=[0-9a-f]{64}", prefixed["x-autods-signature"])
    assert "x-autods-signature" not in unsigned
    assert raw == b"not json"
    assert signature("timestamped", SECRET, 1, b"a") != signature("timestamped", SECRET, 2, b"a")


def test_messages_that_are_not_sent(api: Api, heard: Callback) -> None:
    with pytest.raises(SandboxRefused, match="mode is one of"):
        send(api, heard, mode="md5")
    with pytest.raises(SandboxRefused, match="this machine only"):
        send(api, heard, url="https://example.com/")
    with pytest.raises(SandboxRefused, match="was sent"):
        api.do("repeat_webhook", id="evt_9")
    assert heard.posted == []


# --------------------------------------------------------------------------------------------------------------- facts


@NEEDS_FACTS
def test_operations_are_those_of_the_facts() -> None:
    facts = {one["operation"]: one for one in json.loads(FACTS.read_text())["operations"]}
    assert set(doors.OPERATIONS) == set(facts)
    for name, ours in doors.OPERATIONS.items():
        theirs = facts[name]
        assert (ours.base, ours.method, ours.path) == (theirs["base"], theirs["method"], theirs["path"]), name
        assert (ours.evidence == doors.OFFICIAL) == theirs["evidence"].startswith("official"), name


@NEEDS_FACTS
def test_bodies_are_those_of_the_facts() -> None:
    facts = {one["operation"]: one for one in json.loads(FACTS.read_text())["operations"]}
    upload, listing = facts["upload_products"]["body_schema"], facts["list_products"]["body_schema"]
    assert set(UPLOAD) == set(upload["properties"])
    assert {name for name, one in UPLOAD.items() if one.required} == set(upload["required"])
    assert set(UPLOAD_SETTINGS) == set(upload["properties"]["upload_settings"]["properties"])
    assert {*PAGE, "product_status"} == set(listing["properties"])
    assert (PAGE["limit"].least, PAGE["limit"].most) == (1, listing["properties"]["limit"]["maximum"])
    one = listing["properties"]["filters"]["items"]
    assert set(FILTER) == set(one["properties"])
    assert (list(OPS), list(VALUE_TYPES)) == (one["properties"]["op"]["enum"], one["properties"]["value_type"]["enum"])
    assert set(ORDER_BY) == set(listing["properties"]["order_by"]["properties"])


# ------------------------------------------------------------------------------------------------------ strange values

STRANGE: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, "", "x", "²", [], [1], ["x"], [[]], {}, {"a": 1}, [{}])
USUAL: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "create": ("POST", CREATE, ORDER),
    "list": (
        "POST",
        f"/products/{US}/list/",
        {
            "product_status": 2,
            "filters": [where("variations.price", ">", 1, "float"), where("updated_at", "=", "x")],
            "order_by": {"name": "variations", "direction": "desc"},
            "projection": ["id", "variations.price", "title.x"],
            "limit": 3,
            "offset": 1,
            "condition": "or",
        },
    ),
    "upload": (
        "POST",
        f"/products/{US}/",
        {
            "region": 1,
            "status": 1,
            "buy_site_id": 1,
            "new_products": [{"asin": "B0", "price": 1.5}],
            "upload_settings": {"tag": ["x"], "scheduled_datetime": "2099-01-01T00:00:00Z"},
        },
    ),
    "import": ("POST", f"/products/{US}/import_to_marketplace", {"product_status": 1, "filters": []}),
    "margin": ("PUT", f"/products/{US}/bulk", {"product_status": 2, "bulk_changes": {"percentage_profit": 5}}),
    "patch": (
        "PATCH",
        f"/products/{US}/{product_id(stores()[US], 1)}/",
        {"title": "x", "status": 2, "tags": [], "variations": [{"price": 1, "active_buy_item": {"price": 2}}]},
    ),
    "bulk": ("POST", f"/bulk_actions/{US}/list/987", {"search_term": "x", "status": 3, "limit": 1, "offset": 0}),
    "orders": ("POST", f"/orders/{US}/list/", {"filters": [where("id", "=", "1")], "limit": 1}),
    "research": (
        "POST",
        "/research/products/",
        {"order_by": {"name": "price"}, "filters": [{"name": "x", "op": "=", "value_type": "string", "value": "x"}]},
    ),
}


@pytest.mark.parametrize("name", USUAL)
def test_strange_values_are_answered(api: Api, name: str) -> None:
    """Nothing that a client sends makes the stand-in fall over, now or when it is looked at again."""
    method, path, usual = USUAL[name]
    api.do("set_bulk", polls=0)
    statuses = set()
    for field in usual:
        for value in STRANGE:
            statuses.add(api.ask(method, path, {**usual, field: value})[0])
        if isinstance(usual[field], dict):
            for inner in usual[field]:
                for value in STRANGE:
                    statuses.add(api.ask(method, path, {**usual, field: {**usual[field], inner: value}})[0])
    assert statuses <= {200, 201, 403, 404, 422}
    assert 422 in statuses or name == "bulk"
    assert api.products(order_by={"name": "updated_at"})
    assert api.orders(order_by={"name": "updated_at"})
    for number in range(987, 987 + 200):
        status, _ = api.post(f"/bulk_actions/{US}/list/{number}")
        if status == 404:
            break
    assert api.do("restate", store=US) > 0

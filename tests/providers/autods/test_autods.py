"""What is special about AutoDS: words for numbers, money with its currency, bulk actions, orders that cost money."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from model import Done, Wait
from providers.autods import PROVIDER
from providers.autods.api import moment
from providers.autods.doors import DOORS
from providers.autods.shop import STATUSES, order, product
from providers.autods.stores import Store
from providers.autods.words import PRODUCT_STATUSES, REGIONS, SUPPLIERS, order_state
from providers.contract import Call, NothingKnown, Repeat
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Unavailable,
    Unsupported,
)
from providers.http import Answer
from tests.providers.doubles import DELIVERY_ID, EVENT_ID, NOW, Scripted, a_call, answer
from worker.catalog import event_types

FACTS = Path(__file__).parents[4] / "shared" / "specs" / "content" / "autods" / "wire-facts.json"
TOKEN = "planted-token-0123456789"
US = Store("1001", "Shop US", "USD", "America/New_York")
STORE_ROW = {
    "store": {"id": 1001, "name": "Shop US", "currency": "USD", "timezone": "America/New_York", "active": True}
}


class Known(NothingKnown):
    """What earlier syncs left."""

    def __init__(self, **streams: Any) -> None:
        self.streams = streams

    def cursor(self, stream: str) -> Any:
        return self.streams.get(stream, {})


def calling(event_type: str, data: Any, *answers: Answer | Exception, **more: Any) -> tuple[Call, Scripted]:
    using = Scripted(*answers)
    given = {"secrets": {"api_key": TOKEN}, "config": {"store_ids": "1001"}, **more}
    return a_call(PROVIDER, using, event_type, data, **given), using


def run(event_type: str, data: Any, *answers: Answer | Exception, **more: Any) -> tuple[Any, Scripted]:
    call, using = calling(event_type, data, *answers, **more)
    return PROVIDER.actions[event_type].run(call), using


def body(using: Scripted, number: int = -1) -> Any:
    return json.loads(using.requests[number].body)


def example(event_type: str, **changes: Any) -> dict[str, Any]:
    return {**event_types()[event_type].example, **changes}


# ---------------------------------------------------------------------------------------------------------------- words


def test_the_tables_are_those_of_their_manifests() -> None:
    if not FACTS.exists():
        pytest.skip(f"the provider's facts are not here: {FACTS}")
    enums = json.loads(FACTS.read_text())["enums"]
    for ours, theirs in (("product_status", PRODUCT_STATUSES), ("buy_site", SUPPLIERS), ("region", REGIONS)):
        assert {int(number): word for number, word in enums[ours].items()} == {n: w for w, n in theirs.items()}


def test_every_operation_stands_in_their_facts_at_its_place() -> None:
    if not FACTS.exists():
        pytest.skip(f"the provider's facts are not here: {FACTS}")
    known = {(each["method"], each["path"].partition("?")[0]) for each in json.loads(FACTS.read_text())["operations"]}
    names = {
        "{store}": ("{store_ids}", "{store_id}"),
        "{bulk}": ("{bulk_action_id}",),
        "{product}": ("{product_id}",),
        "{order}": ("{order_id}",),
    }
    for name, door in DOORS.items():
        spellings = [door.path]
        for ours, theirs in names.items():
            spellings = [each.replace(ours, one) for each in spellings for one in theirs]
        assert any((door.method, each) in known for each in spellings), name


FILTERED = [{"name": "id", "op": "in", "value_type": "list", "value_list": ["65f0c0ffee65f0c0ffee65f0"]}]
SENT: list[tuple[str, str, dict[str, Any]]] = [  # their operation, our event, what it says
    ("upload_products", "product.upload_requested", {}),
    ("upload_products", "product.upload_requested", {"products": [{"url": "https://x/1", "price": "9.90"}]}),
    ("upload_products", "product.upload_requested", {"products": [], "file_url": "https://x/products.csv"}),
    ("upload_products", "product.upload_requested", {"products": [], "categories": [{"id": 7, "count": 20}]}),
    (
        "upload_products",
        "product.upload_requested",
        {"status": "scheduled", "scheduled_at": "2027-01-01T00:00:00Z", "settings": {"disable_auto_order": True}},
    ),
    ("publish_drafts_to_marketplace", "product.publish_requested", {}),
    ("publish_drafts_to_marketplace", "product.publish_requested", {"filters": FILTERED, "status": "pre_draft"}),
    ("search_products", "product.research_requested", {"kind": "search", "query": "lamp"}),
]


@pytest.mark.parametrize(("operation", "event_type", "changes"), SENT)
def test_what_is_sent_fits_their_manifests(operation: str, event_type: str, changes: dict[str, Any]) -> None:
    _, using = run(event_type, example(event_type, **changes), answer(200, {"results": [], "bulk_action": {"id": 1}}))
    check_body(operation, body(using))


def test_what_is_read_fits_their_manifests() -> None:
    begun, _ = run("sync.due", due("products"), answer(200, [STORE_ROW]))
    _, using = run("sync.due", due("products"), rows(1), progress=begun.progress)
    check_body("list_products", body(using))
    bulk, _ = run(UPLOAD, example(UPLOAD), BEGUN)
    _, using = run(UPLOAD, example(UPLOAD), items(3), progress=bulk.progress)
    check_body("get_bulk_action_items", body(using))


def check_body(operation: str, sent: Any) -> None:
    """It fits the schema of their manifest, and says nothing that this does not know."""
    if not FACTS.exists():
        pytest.skip(f"the provider's facts are not here: {FACTS}")
    (facts,) = [each for each in json.loads(FACTS.read_text())["operations"] if each["operation"] == operation]
    fastjsonschema.validate(closed(facts["body_schema"]), sent)


def closed(schema: Any) -> Any:
    """A schema whose objects take no other names than those it has."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    more = {"additionalProperties": False} if "properties" in schema and schema.get("type") == "object" else {}
    return {name: closed(each) for name, each in schema.items()} | more


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("Pending", "pending"),
        ("stand by", "pending"),
        ("In Order Process", "ordered"),
        ("SHIPPED", "shipped"),
        ("Completed", "delivered"),
        ("Canceled", "cancelled"),
        ("payment_revision", "pending"),
        ("On the moon", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_status_becomes_our_word(word: str, state: str) -> None:
    assert order_state(word) == state


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("given", "error", "code", "said"),
    [
        (
            answer(401, {"error_description": "The incoming token has expired"}),
            CredentialsRejected,
            None,
            "has expired",
        ),
        (answer(403, {"detail": "No plan."}), Refused, "not_allowed", "No plan"),
        (answer(307, {"title": "An add-on is missing."}), Refused, "addon_missing", "lacks an add-on"),
        (answer(404, {"detail": "Not found."}), InvalidPayload, None, "Not found"),
        (
            answer(422, {"detail": [{"loc": ["body", "limit"], "msg": "Not an integer."}]}),
            InvalidPayload,
            None,
            "limit: Not an integer",
        ),
        (answer(429, {"message": "Slow down."}, {"Retry-After": "30"}), RateLimited, None, "Slow down"),
        (answer(503, {"message": "Service unavailable."}), Unavailable, None, "unavailable"),
        (answer(502, b"<h1>502</h1>"), Unavailable, None, "502"),
        (answer(400, {"title": "t", "error": "e", "message": "m"}), InvalidPayload, None, ": m."),
    ],
)
def test_a_refusal(given: Answer, error: type[ProviderError], code: str | None, said: str) -> None:
    with pytest.raises(error) as failed:
        run("product.research_requested", {"kind": "winning"}, given)
    assert said in str(failed.value)
    assert not isinstance(failed.value, AccountBlocked)
    if code:
        assert failed.value.code == code


def test_the_token_goes_to_each_host_and_is_never_shown() -> None:
    call, using = calling("product.research_requested", {"kind": "winning", "limit": 3}, answer(400, {"detail": TOKEN}))
    with pytest.raises(InvalidPayload) as failed:
        PROVIDER.actions["product.research_requested"].run(call)
    (request,) = using.requests
    assert request.url == ("https://products-research.autods.com/products/winning?offset=0&limit=3&sort=-created_at")
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in f"{failed.value} {call!r} {call.exchange!r}"


def test_single_paths_may_be_replaced() -> None:
    _, using = run(
        "product.research_requested",
        {},
        answer(200, {"results": []}),
        paths={**PROVIDER.paths, "winning_research": "/v2/winning"},
    )
    assert "/v2/winning?" in using.requests[0].url


# ------------------------------------------------------------------------------------------------------------- research


def test_what_sells_is_told_in_few_facts() -> None:
    row = {
        "id": "5ea",
        "title": "Desk lamp",
        "price": 13.9,
        "main_picture_url": {"url": "https://x/1.jpg"},
        "more": [1],
    }
    done, _ = run("product.research_requested", {"kind": "winning", "limit": 1}, answer(200, {"results": [row, row]}))
    (event,) = done.events
    assert event.data == {
        "kind": "winning",
        "count": 1,
        "products": [{"product_id": "5ea", "title": "Desk lamp", "price": "13.9", "image": "https://x/1.jpg"}],
        "source_event_id": str(EVENT_ID),
    }
    assert event_types()[event.type].problem(event.data) is None


@pytest.mark.parametrize(
    ("data", "method", "url"),
    [
        ({"kind": "search", "query": "lamp"}, "POST", "/products/"),
        ({"query": "desk lamp"}, "GET", "/products/winning?offset=0&limit=10&sort=-created_at&search=desk+lamp"),
        ({"kind": "similar", "product_id": "5ea"}, "GET", "/products/5ea/similar"),
        ({"kind": "recommended", "product_id": "5/a"}, "GET", "/products/recommended/5%2Fa?offset=0&limit=10"),
    ],
)
def test_other_kinds_of_research(data: dict[str, Any], method: str, url: str) -> None:
    _, using = run("product.research_requested", data, answer(200, {"results": []}))
    assert (using.requests[0].method, using.requests[0].url.removeprefix(PROVIDER.hosts["research"])) == (method, url)
    if method == "POST":
        assert body(using)["filters"] == [{"name": "title", "op": "search", "value_type": "string", "value": "lamp"}]


def test_one_product_is_looked_at() -> None:
    asked = {"kind": "product", "product_id": "5ea"}
    done, using = run(
        "product.research_requested", asked, answer(200, {"id": "5ea", "title": "Lamp", "currency": "EUR"})
    )
    assert using.requests[0].url.endswith(".autods.com/products/5ea")
    facts = {name: done.events[0].data[name] for name in ("kind", "count", "products", "currency")}
    lamp = {"product_id": "5ea", "title": "Lamp"}
    assert facts == {"kind": "product", "count": 1, "products": [lamp], "currency": "EUR"}
    with pytest.raises(Unavailable, match="without a product"):
        run("product.research_requested", asked, answer(200, []))


def test_research_that_needs_a_product_says_so() -> None:
    with pytest.raises(InvalidPayload, match="product_id"):
        run("product.research_requested", {"kind": "similar"})


# ----------------------------------------------------------------------------------------------------------------- shop


def test_a_product_of_the_wire() -> None:
    made = product(
        {
            "id": "65f0",
            "title": "Pet bed",
            "sku": "PB",
            "main_picture_url": {"url": "https://x/1.jpg"},
            "variations": [
                {"sku": "PB-S", "price": 24.9, "quantity": 7, "attributes": {"size": "S"}},
                {"sku": "PB-L", "price": "19.50", "quantity": 2},
                {"sku": "PB-X", "price": None, "quantity": None},
            ],
        },
        US,
        "active",
    )
    assert (made.external_id, made.price, made.currency, made.stock) == ("65f0", Decimal("19.50"), "USD", 9)
    assert made.state == "active"
    assert made.details["variations"][0] == {
        "sku": "PB-S",
        "price": "24.9",
        "quantity": 7,
        "attributes": {"size": "S"},
    }


def test_money_without_a_currency_is_left_out() -> None:
    made = product({"id": "1", "variations": [{"price": 5}]}, Store("1", "?"), "draft")
    assert (made.price, made.currency, made.stock, made.state) == (None, None, None, "inactive")
    bought = order({"id": 5, "status": "Shipped", "total_price": "9.90"}, Store("1", "?"))
    assert (bought.total, bought.currency) == (None, None)


def test_an_order_of_the_wire() -> None:
    row = {
        "id": 445566,
        "sell_site_order_id": "shop-1",
        "status": "Shipped",
        "total_price": "19.80",
        "sold_date": "2026-11-30T20:15:00",
        "tracking_number": "1Z9",
        "carrier": "UPS",
        "tracking_url": None,
    }
    made = order(row, US)
    assert made.ordered_at == datetime(2026, 12, 1, 1, 15, tzinfo=UTC), "a time without an offset is the store's"
    assert order({**row, "sold_date": "2026-11-30T20:15:00+01:00"}, US).ordered_at == datetime(
        2026, 11, 30, 19, 15, tzinfo=UTC
    )
    assert (made.external_id, made.state, made.external_state) == ("445566", "shipped", "Shipped")
    assert (made.total, made.currency) == (Decimal("19.80"), "USD")
    assert made.tracking == ({"number": "1Z9", "carrier": "UPS"},)
    assert order({"id": 1, "status": "x", "sold_date": "yesterday"}, US).ordered_at is None


@pytest.mark.parametrize("zone", ["America", "Nowhere/At_all", "../etc", "x" * 300, "a\0b"])
def test_a_time_zone_that_is_none_loses_only_the_times_that_need_it(zone: str) -> None:
    assert moment("2026-11-30T20:15:00", zone) is None
    assert moment("2026-11-30T20:15:00+01:00", zone) == datetime(2026, 11, 30, 19, 15, tzinfo=UTC)


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "", None, 5])
def test_a_time_that_cannot_be_is_none(value: Any) -> None:
    assert moment(value, "UTC") is None


def test_what_no_row_takes_is_left_out() -> None:
    """One strange value must not keep a whole shop from being read."""
    strange = {"id": "1", "title": "Pet\0bed", "variations": [{"price": "1e30", "quantity": 2**40}, {"quantity": True}]}
    made = product(strange, US, "active")
    assert (made.title, made.price, made.stock) == ("Pet\ufffdbed", None, 2**31 - 1)
    assert order({"id": 1, "status": "o\0k", "total_price": "NaN"}, US).total is None


def due(stream: str, **more: Any) -> dict[str, Any]:
    return {"integration_id": "i", "stream": stream, **more}


def walk(stream: str, *answers: Answer | Exception, data: Any = None, known: Any = None) -> tuple[Done, list[Wait]]:
    """The whole of a walk: its end, and the steps before."""
    steps: list[Wait] = []
    script = list(answers)
    while True:
        progress = json.loads(json.dumps(steps[-1].progress)) if steps else {}
        more = {"known": known} if known else {}
        outcome, _ = run("sync.due", data or due(stream), script.pop(0), progress=progress, **more)
        if isinstance(outcome, Done):
            assert script == []
            return outcome, steps
        steps.append(outcome)


def rows(count: int, start: int = 0) -> Answer:
    return answer(200, {"results": [{"id": f"p{start + n}", "title": "x"} for n in range(count)]})


def test_products_are_walked_store_by_store_status_by_status_page_by_page() -> None:
    empty = answer(200, {"results": []})
    done, steps = walk("products", answer(200, [STORE_ROW]), empty, rows(100), rows(3, 100), *[empty] * 4)
    assert done.result == {"products": 103, "stores": 1}
    assert [len(step.records.products) if step.records else None for step in steps] == [None, 0, 100, 3, 0, 0, 0]
    assert done.records is not None
    assert done.records.products_listed_since is None, "nothing can have gone before the first reading"
    assert done.records.cursor is not None
    assert (done.records.cursor.finished, done.records.cursor.value["began_at"]) == (True, NOW.isoformat())


def test_the_walk_goes_the_way_that_products_go() -> None:
    assert sorted(STATUSES) == sorted(PRODUCT_STATUSES)
    way = ["pre_draft", "draft", "scheduled", "active", "ended"]
    assert [status for status in STATUSES if status in way] == way


@pytest.mark.parametrize("hours", [1, -1])
def test_who_is_in_neither_of_two_readings_is_gone(hours: int) -> None:
    """A reading that began later and ended sooner than this one says nothing of what this one has seen."""
    last = NOW - timedelta(hours=hours)
    known = Known(products={"began_at": last.isoformat(), "read_at": NOW.isoformat()})
    done, _ = walk("products", answer(200, [STORE_ROW]), *[answer(200, {"results": []})] * 6, known=known)
    assert done.records is not None
    assert done.records.products_listed_since == min(last, NOW)


def test_stores_that_are_closed_are_left_out_and_named_ones_are_not() -> None:
    closed = {"store": {"id": 7, "name": "Old", "active": False}}
    first, _ = run("sync.due", due("products"), answer(200, [STORE_ROW, closed]), config={})
    assert [store["id"] for store in first.progress["stores"]] == ["1001"]
    named, _ = run("sync.due", due("products"), answer(200, [STORE_ROW, closed]), config={"store_ids": "7, 8"})
    assert [store["id"] for store in named.progress["stores"]] == ["7"]


def test_an_account_without_stores_has_nothing_to_read() -> None:
    done, steps = walk("orders", answer(200, []))
    assert (done.result, steps) == ({"orders": 0, "stores": 0}, [])


def sold(days: float, number: int = 1) -> dict[str, Any]:
    return {"id": number, "status": "ordered", "sold_date": (NOW - timedelta(days=days)).isoformat()}


def test_orders_are_read_back_to_where_they_were_read_before_and_a_month_beyond() -> None:
    far_at = (NOW - timedelta(hours=23)).isoformat()
    known = Known(orders={"through": (NOW - timedelta(hours=1)).isoformat(), "far_at": far_at})
    page = answer(200, {"results": [sold(0, 1), sold(29, 2), sold(31, 3), sold(60, 4)]})
    done, steps = walk("orders", answer(200, [STORE_ROW]), page, known=known)
    assert done.records is not None
    assert [each.external_id for each in done.records.orders] == ["1", "2"]
    assert done.records.cursor is not None
    assert done.records.cursor.value == {"through": NOW.isoformat(), "far_at": far_at}
    assert steps[0].progress["since"] == (NOW - timedelta(days=30, hours=1)).isoformat()


@pytest.mark.parametrize(
    ("last", "data", "days"),
    [
        ({"far_at": (NOW - timedelta(days=1)).isoformat()}, {}, 90),
        ({}, {}, 90),
        ({"far_at": NOW.isoformat()}, {"full": True}, 90),
        ({"through": (NOW - timedelta(days=100)).isoformat()}, {}, 130),
    ],
)
def test_once_a_day_orders_are_read_far_back(last: Any, data: Any, days: int) -> None:
    known = Known(orders={"through": (NOW - timedelta(minutes=15)).isoformat(), **last})
    done, steps = walk("orders", answer(200, [STORE_ROW]), rows(0), data=due("orders", **data), known=known)
    assert steps[0].progress["since"] == (NOW - timedelta(days=days)).isoformat()
    assert done.records is not None
    assert done.records.cursor is not None
    assert done.records.cursor.value == {"through": NOW.isoformat(), "far_at": NOW.isoformat()}


def test_the_first_reading_of_orders_and_one_that_was_asked_for() -> None:
    first, _ = run("sync.due", due("orders"), answer(200, [STORE_ROW]))
    assert first.progress["since"] == (NOW - timedelta(days=90)).isoformat()
    asked, _ = run("sync.due", due("orders", since="2026-01-01"), answer(200, [STORE_ROW]))
    assert asked.progress["since"] == "2026-01-01T00:00:00+00:00"


def test_stores_are_kept_as_the_streams_value() -> None:
    done, _ = run("sync.due", due("stores"), answer(200, [STORE_ROW]))
    assert done.records.cursor.value["stores"] == [US.facts()]


def test_a_stream_that_does_not_exist_and_one_that_is_held_up() -> None:
    with pytest.raises(Unsupported, match="stores, products, orders"):
        run("sync.due", due("nothing"))
    with pytest.raises(Unavailable) as failed:
        run("sync.due", due("stores"), answer(503))
    assert failed.value.holds is False


# ----------------------------------------------------------------------------------------------------------------- bulk

BEGUN = answer(200, {"status": "Product uploading started", "bulk_action": {"id": 987}})
UPLOAD = "product.upload_requested"


def items(*statuses: int) -> Answer:
    listed = [
        {"id": n, "status": status, "item": f"B{n}", "error_message": "Not found." if status == 99 else None}
        for n, status in enumerate(statuses)
    ]
    return answer(200, {"results": listed, "total_results": len(listed)})


def test_an_upload_speaks_numbers() -> None:
    data = example(UPLOAD, status="scheduled", scheduled_at="2027-01-01T00:00:00Z", region="UK", supplier="Home Depot")
    data["supplier"] = "homedepot"
    outcome, using = run(UPLOAD, data, BEGUN)
    assert using.requests[0].url == "https://api.autods.com/products/1001/"
    assert body(using) == {
        "region": 2,
        "status": 5,
        "buy_site_id": 5,
        "new_products": [{"asin": "B0EXAMPLE1", "title": "Pet bed"}],
        "upload_settings": {"tag": ["autumn"], "scheduled_datetime": "2027-01-01T00:00:00Z"},
    }
    assert (outcome.wait_s, outcome.progress["bulk_id"], outcome.external_id) == (5.0, "987", "987")


def test_a_bulk_action_is_looked_at_until_nothing_of_it_is_under_way() -> None:
    begun, _ = run(UPLOAD, example(UPLOAD), BEGUN)
    later, using = run(UPLOAD, example(UPLOAD), items(3, 2), progress=begun.progress)
    assert body(using) == {"limit": 100, "offset": 0}
    assert using.requests[0].url.endswith("/bulk_actions/1001/list/987")
    assert (later.wait_s, later.progress["looks"]) == (10.0, 1)
    done, _ = run(UPLOAD, example(UPLOAD), items(3, 99, 4), progress=later.progress)
    (event,) = done.events
    assert (event.data["done"], event.data["not_done"]) == (1, 2)
    assert event.data["failed"] == [{"item": "B1", "why": "Not found."}, {"item": "B2", "why": "not done"}]
    assert event_types()[event.type].problem(event.data) is None
    assert event.key == f"product.bulk_completed:{DELIVERY_ID}"


def test_a_long_bulk_action_is_read_page_by_page() -> None:
    begun, _ = run(UPLOAD, example(UPLOAD), BEGUN)
    first, _ = run(UPLOAD, example(UPLOAD), items(*[3] * 100), progress=begun.progress)
    assert (first.wait_s, first.progress["offset"], first.progress["done"]) == (0, 100, 100)
    again, _ = run(UPLOAD, example(UPLOAD), items(1), progress=first.progress)
    assert "offset" not in again.progress, "from the first item on: those before may have changed"
    done, _ = run(UPLOAD, example(UPLOAD), items(3, 3), progress=first.progress)
    assert done.result["done"] == 102


def test_a_bulk_action_whose_items_are_not_listed_yet_is_looked_at_again() -> None:
    begun, _ = run(UPLOAD, example(UPLOAD), BEGUN)
    outcome, looks = begun, 0
    while isinstance(outcome, Wait):
        outcome, _ = run(UPLOAD, example(UPLOAD), items(), progress=outcome.progress)
        looks += 1
    assert (looks, outcome.result["done"], outcome.result["not_done"]) == (4, 0, 0)


def test_a_bulk_action_that_never_ends_is_said_to() -> None:
    began = {"bulk_id": "987", "store": "1001", "looks": 9, "began_at": NOW.timestamp() - 7 * 3600}
    with pytest.raises(Refused, match="Bulk action 987 has not ended within 6 hours"):
        run(UPLOAD, example(UPLOAD), items(2), progress=began)


def test_what_begins_a_bulk_action_is_never_repeated_and_a_look_may_be() -> None:
    action = PROVIDER.actions[UPLOAD]
    assert (action.repeat_after({}), action.repeat_after({"bulk_id": "1"})) == (Repeat.NEVER, Repeat.SAFE)
    for given in (answer(500, {"error": "x"}), answer(504), answer(200, {"status": "ok"})):
        with pytest.raises(OutcomeUnknown):
            run(UPLOAD, example(UPLOAD), given)
    with pytest.raises(Unavailable):
        run(UPLOAD, example(UPLOAD), Unavailable("refused", transient=True))


@pytest.mark.parametrize(
    ("event_type", "method", "path", "more"),
    [
        ("product.publish_requested", "POST", "/products/1001/import_to_marketplace", {"product_status": 1}),
        (
            "product.price_change_requested",
            "PUT",
            "/products/1001/bulk",
            {"product_status": 2, "bulk_changes": {"percentage_profit": 40}},
        ),
        (
            "product.removal_requested",
            "DELETE",
            "/products/1001/bulk",
            {"product_status": 2, "remove_from_marketplace": True},
        ),
    ],
)
def test_products_are_chosen_by_filters(event_type: str, method: str, path: str, more: dict[str, Any]) -> None:
    _, using = run(event_type, example(event_type), BEGUN)
    assert (using.requests[0].method, using.requests[0].url) == (method, f"https://api.autods.com{path}")
    wanted = {"name": "id", "op": "in", "value_type": "list", "value_list": ["65f0c0ffee65f0c0ffee65f0"]}
    assert body(using) == {"condition": "and", "filters": [wanted], **more}


@pytest.mark.parametrize("event_type", ["product.publish_requested", "product.removal_requested"])
@pytest.mark.parametrize("nothing", [{}, {"filters": []}, {"product_ids": []}])
def test_without_a_filter_nothing_is_sent(event_type: str, nothing: dict[str, Any]) -> None:
    call, using = calling(event_type, nothing)
    with pytest.raises(InvalidPayload, match="it would be all"):
        PROVIDER.actions[event_type].run(call)
    assert using.requests == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"supplier": "amazn"}, "no supplier 'amazn': there are amazon"),
        ({"region": "mars"}, "no region 'mars'"),
        ({"status": "scheduled"}, "scheduled_at"),
        ({"file_url": "https://x/1"}, "One of `products`, `file_url` and `categories`"),
        ({"products": []}, "One of `products`, `file_url` and `categories`"),
        ({"products": [{"title": "x"}]}, "Product 1 needs its supplier_id or its url"),
        ({"products": [{"url": "https://x/1", "price": "a lot"}]}, "the price of product 1 must be an amount"),
    ],
)
def test_an_upload_that_cannot_work_is_refused_before_it_is_sent(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidPayload) as failed:
        run(UPLOAD, example(UPLOAD, **changes))
    assert said in str(failed.value)


def test_an_account_with_several_stores_must_be_told_which() -> None:
    data = {name: value for name, value in example(UPLOAD).items() if name != "store_id"}
    with pytest.raises(InvalidPayload, match="store_id"):
        run(UPLOAD, data, config={"store_ids": "1001,1002"})


# --------------------------------------------------------------------------------------------------------------- orders

PLACED = "order.placed"
MADE = {"id": 445566, "sell_site_order_id": "shop-10042", "status": "pending"}


def test_an_order_is_placed_under_the_products_own_id() -> None:
    done, using = run(PLACED, example(PLACED, sell_price="24.90"), answer(201, MADE))
    assert using.requests[0].url == "https://gw.autods.com/auto-order/order/create-external"
    assert body(using) == {
        "sell_site_order_id": "shop-10042",
        "sell_site_order_name": "shop-10042",
        "store_id": 1001,
        "store_name": "Shop US",
        "first_name": "Ada",
        "last_name": "Byrne",
        "phone_number": "+15125550100",
        "city": "Austin",
        "state": "TX",
        "zip_code": "78701",
        "country": "US",
        "address1": "1 Main St",
        "buy_site_id": "Amazon",
        "supplier": 1,
        "region": 1,
        "buy_item_real_id": "B0EXAMPLE1",
        "buy_item_variant": "B0EXAMPLE1",
        "buy_item_url": "https://www.amazon.com/dp/B0EXAMPLE1",
        "autods_product_id": "65f0c0ffee65f0c0ffee65f0",
        "product_title": "Pet bed",
        "quantity_to_buy": 1,
        "suggested_buy_price": 14.5,
        "sell_price": 24.9,
    }
    assert (done.external_id, done.result["repeated"]) == ("445566", False)
    (made,) = done.records.orders
    assert (made.key, made.external_id, made.state) == ("shop-10042", "445566", "pending")
    (event,) = done.events
    assert event_types()[event.type].problem(event.data) is None


@pytest.mark.parametrize("shape", [MADE, {"order": MADE}])
@pytest.mark.parametrize(("status", "repeated"), [(201, False), (200, True)])
def test_both_shapes_of_its_answer_and_an_order_that_is_there_already(shape: Any, status: int, repeated: bool) -> None:
    done, _ = run(PLACED, example(PLACED), answer(status, shape))
    assert (done.external_id, done.result["repeated"]) == ("445566", repeated)


def test_a_conflict_is_looked_up() -> None:
    done, using = run(PLACED, example(PLACED), answer(409, {"message": "exists"}), answer(200, {"results": [MADE]}))
    assert (done.external_id, done.result["repeated"]) == ("445566", True)
    assert body(using)["filters"][0]["value"] == "shop-10042"
    with pytest.raises(InvalidPayload):
        run(PLACED, example(PLACED), answer(409), answer(200, {"results": []}))


def test_after_a_lost_answer_only_this_very_order_counts() -> None:
    action = PROVIDER.actions[PLACED]
    assert action.find is not None
    call, _ = calling(PLACED, example(PLACED), answer(200, {"results": [{**MADE, "sell_site_order_id": "shop-1"}]}))
    assert action.find(call) is None
    call, _ = calling(PLACED, example(PLACED), answer(200, {"results": [MADE]}))
    found = action.find(call)
    assert isinstance(found, Done)
    assert found.external_id == "445566"
    call, _ = calling(PLACED, example(PLACED), answer(200, b"<html>"))
    with pytest.raises(Unavailable):
        action.find(call)


def test_a_5xx_may_have_bought_it() -> None:
    for given in (answer(500), answer(504), answer(200, {"status": "ok"}), answer(200, b"x")):
        with pytest.raises(OutcomeUnknown):
            run(PLACED, example(PLACED), given)


def test_what_to_buy_is_asked_of_the_product() -> None:
    data = {name: value for name, value in example(PLACED, sku="PB-S").items() if name != "buy"}
    item = {"site_id": 1, "region": 2, "item_id_on_site": "B1", "url": "https://x/B1", "price": 8.4}
    known = {
        "title": "Pet bed",
        "variations": [
            {"sku": "PB-S", "active_buy_item": item, "attributes": {"size": "S"}},
            {"sku": "PB-L", "active_buy_item": {**item, "item_id_on_site": "B2"}},
        ],
    }
    step, using = run(PLACED, data, answer(200, known))
    assert using.requests[0].url == "https://api.autods.com/products/1001/65f0c0ffee65f0c0ffee65f0/"
    assert step.progress["buy"]["item_id"] == "B1"
    _, using = run(PLACED, data, answer(201, MADE), progress=step.progress)
    sent = body(using)
    assert (sent["buy_item_real_id"], sent["region"], sent["suggested_buy_price"]) == ("B1", 2, 8.4)
    with pytest.raises(InvalidPayload, match="PB-S, PB-L"):
        run(PLACED, {**data, "sku": "PB-X"}, answer(200, known))


def test_the_name_of_the_address_lines_is_a_setting() -> None:
    address = {**example(PLACED)["address"], "line2": "Flat 4"}
    _, using = run(PLACED, example(PLACED, address=address), answer(201, MADE), settings={"address_style": "address_1"})
    assert (body(using)["address_1"], body(using)["address_2"]) == ("1 Main St", "Flat 4")


def test_what_is_missing_of_the_customer_is_named() -> None:
    customer, address = {"first_name": "A", "last_name": "B"}, {"city": "C", "zip": "1", "country": "US"}
    with pytest.raises(InvalidPayload, match="phone, line1 must be given"):
        run(PLACED, example(PLACED, customer=customer, address=address))


def test_the_stores_name_and_money_come_from_what_was_read() -> None:
    known = Known(stores={"stores": [US.facts()]})
    data = {name: value for name, value in example(PLACED).items() if name != "store_name"}
    done, using = run(PLACED, data, answer(201, {**MADE, "total_price": "14.50"}), known=known)
    assert body(using)["store_name"] == "Shop US"
    (made,) = done.records.orders
    assert (made.total, made.currency) == (Decimal("14.50"), "USD")

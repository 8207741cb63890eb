"""Single things at AutoDS: a product changed, an order looked at, and what else is read of an account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from model import Done, Outcome, Wait
from providers.autods import PROVIDER
from providers.autods.account import GATEWAY, MAX_KEPT_BYTES, bare
from providers.contract import Repeat
from providers.errors import CredentialsRejected, InvalidPayload, OutcomeUnknown, Unavailable
from providers.http import HttpTransport
from sandbox.process import Sandbox
from tests.providers.autods.test_autods import STORE_ROW, TOKEN, US, Known, body, due, run
from tests.providers.doubles import a_call, answer, transport
from worker.catalog import event_types

UPDATE, CHECK = "product.update_requested", "order.check_requested"
PRODUCT = "65f0c0ffee00100100000001"
STORED = {
    "id": PRODUCT,
    "title": "Pet bed",
    "status": 2,
    "tags": ["autumn"],
    "variations": [{"sku": "S", "price": 14.9, "quantity": 3}, {"sku": "M", "price": 19.8, "quantity": 5}],
}
KNOWN = Known(stores={"stores": [US.facts()]})


@pytest.fixture
def http() -> Iterator[HttpTransport]:
    with transport() as made:
        yield made


class Walk:
    """A delivery's steps against the stand-in."""

    def __init__(self, http: HttpTransport, sandbox: Sandbox, event_type: str, data: Any, token: str = TOKEN) -> None:
        self.http, self.sandbox, self.event_type, self.data, self.token = http, sandbox, event_type, data, token
        self.progress: Any = {}

    def step(self) -> Outcome:
        url = f"{self.sandbox.url}/autods"
        call = a_call(
            PROVIDER,
            self.http,
            self.event_type,
            self.data,
            base_url=url,
            hosts={"gateway": f"{url}/gateway", "research": f"{url}/research"},
            secrets={"api_key": self.token},
            config={"store_ids": "1001"},
            known=KNOWN,
            progress=self.progress,
        )
        outcome = PROVIDER.actions[self.event_type].run(call)
        if isinstance(outcome, Wait):
            self.progress = json.loads(json.dumps(outcome.progress))
        return outcome

    def end(self) -> Done:
        for _ in range(40):
            outcome = self.step()
            if isinstance(outcome, Done):
                return outcome
        raise AssertionError(f"no end: {self.progress}")


@pytest.fixture
def walk(http: HttpTransport, sandbox: Sandbox) -> Any:
    return lambda event_type, data, **more: Walk(http, sandbox, event_type, data, **more)


def stored(walk: Any) -> Any:
    """The product as it is there."""
    data = {"kind": "catalogue_product", "product_id": PRODUCT}
    return walk("product.research_requested", data).end().events[0].data["products"][0]["raw"]


# --------------------------------------------------------------------------------------------------------- one product


@pytest.mark.parametrize("replace", [False, True])
def test_a_product_keeps_what_is_not_said(walk: Any, replace: bool) -> None:
    before = stored(walk)
    changes = {"title": "Another title", "variations": [{"sku": before["variations"][0]["sku"], "price": "3.50"}]}
    done = walk(UPDATE, {"product_id": PRODUCT, "changes": changes, "replace": replace}).end()
    after = stored(walk)
    first = {**before["variations"][0], "price": 3.5}
    expected = {**before, "title": "Another title", "variations": [first, *before["variations"][1:]]}
    assert {**after, "updated_at": 0} == {**expected, "updated_at": 0}
    (row,) = done.records.products
    assert (str(row.price), row.currency, row.state, row.title) == ("3.5", "USD", "active", "Another title")
    assert done.result["changed"] == ["title", "variations"]


def test_single_fields_are_said_and_nothing_else() -> None:
    outcome, using = run(UPDATE, {"product_id": PRODUCT, "changes": {"title": "T", "status": "ended"}}, answer(200))
    assert isinstance(outcome, Wait)
    (request,) = using.requests
    assert (request.method, request.url) == ("PATCH", f"https://api.autods.com/products/1001/{PRODUCT}/")
    assert body(using) == {"title": "T", "status": 3}


def test_a_replacement_says_all_that_was_read() -> None:
    _, using = run(
        UPDATE, {"product_id": PRODUCT, "changes": {"title": "T"}, "replace": True}, answer(200, STORED), answer(200)
    )
    assert [request.method for request in using.requests] == ["GET", "PUT"]
    assert body(using) == {**STORED, "title": "T"}


def test_nothing_is_replaced_by_what_was_not_read() -> None:
    data = {"product_id": PRODUCT, "changes": {"title": "T"}, "replace": True}
    with pytest.raises(Unavailable, match="another product"):
        run(UPDATE, data, answer(200, {**STORED, "id": "other"}))
    with pytest.raises(InvalidPayload):
        run(UPDATE, data, answer(404, {"detail": "Not found."}))


def test_a_change_whose_answer_was_lost_may_be_made_again(walk: Any, sandbox: Sandbox) -> None:
    sandbox.control.add_rule(f"/autods/products/1001/{PRODUCT}/", {"drop": "after"}, times=1)
    changing = walk(UPDATE, {"product_id": PRODUCT, "changes": {"title": "Twice"}})
    with pytest.raises(OutcomeUnknown):
        changing.step()
    assert PROVIDER.actions[UPDATE].repeat_after({}) is Repeat.SAFE
    assert changing.end().records.products[0].title == "Twice"


def test_a_status_that_nobody_knows_changes_no_row() -> None:
    done, _ = run(
        UPDATE,
        {"product_id": PRODUCT, "changes": {"title": "T"}},
        answer(200, {**STORED, "status": 77}),
        progress={"step": "read"},
    )
    assert done.records is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"product_id": PRODUCT, "changes": {}}, "what is to be changed"),
        ({"changes": {"title": "T"}}, "which product"),
        ({"product_id": PRODUCT, "changes": {"id": "x"}}, "cannot be changed"),
        ({"product_id": PRODUCT, "changes": {"status": "sold"}}, "no product status"),
        ({"product_id": PRODUCT, "changes": {"variations": [{"price": 1}]}}, "needs the `sku`"),
        ({"product_id": PRODUCT, "changes": {"variations": [{"sku": "S", "price": "x"}]}}, "must be an amount"),
    ],
)
def test_what_is_refused_before_anything_is_sent(data: Any, said: str) -> None:
    with pytest.raises(InvalidPayload, match=said):
        run(UPDATE, data)


def test_a_variation_that_is_not_there_is_named() -> None:
    data = {"product_id": PRODUCT, "changes": {"variations": [{"sku": "XL", "price": 1}]}}
    with pytest.raises(InvalidPayload, match="no variation XL"):
        run(UPDATE, data, answer(200, STORED))


# ----------------------------------------------------------------------------------------------------------- one order


@pytest.mark.parametrize("shape", ["flat", "nested"])
@pytest.mark.parametrize(
    ("data", "path"),
    [
        ({"external_id": "445002"}, "/autods/orders/1001/order/445002/"),
        ({"external_id": "445002", "host": "gateway"}, "/autods/gateway/auto-order/order/get-external"),
        ({"order_id": "shop-445002"}, "/autods/orders/1001/list/"),
    ],
)
def test_an_order_is_looked_at(walk: Any, sandbox: Sandbox, data: Any, path: str, shape: str) -> None:
    sandbox.control.do("autods", "set_shapes", order=shape)
    done = walk(CHECK, data).end()
    assert sandbox.control.counts(path=path)["requests"] == 1
    (row,) = done.records.orders
    assert (row.external_id, row.state, row.currency, row.key) == ("445002", "shipped", "USD", data.get("order_id"))
    assert done.result["tracking"][0]["number"] == row.tracking[0]["number"]
    assert done.result["external_id"] == "445002"
    assert PROVIDER.actions[CHECK].publishes == ("order.updated",)


@pytest.mark.parametrize("row", [{}, {"id": "9"}, [], {"order": {"id": 9}}])
def test_another_order_is_not_taken_for_it(row: Any) -> None:
    with pytest.raises(Unavailable, match="another order"):
        run(CHECK, {"external_id": "445566"}, answer(200, row))


def test_an_order_that_is_not_there() -> None:
    with pytest.raises(InvalidPayload, match="no order 'shop-1'"):
        run(CHECK, {"order_id": "shop-1"}, answer(200, {"results": [{"id": 1, "sell_site_order_id": "shop-2"}]}))
    with pytest.raises(InvalidPayload, match="which order"):
        run(CHECK, {})


# ----------------------------------------------------------------------------------------------- read of the account


def value(done: Done) -> Any:
    assert done.records is not None
    assert done.records.cursor is not None
    assert done.records.cursor.finished
    return done.records.cursor.value


def test_counts_are_those_of_the_lists(walk: Any, sandbox: Sandbox) -> None:
    done = walk("sync.due", due("counts")).end()
    totals = sandbox.control.do("autods", "totals", store=1001)
    found = value(done)["stores"]["1001"]
    assert {word: number for word, number in found["products"].items() if number} == {
        "active": 20,
        "draft": 3,
        "ended": 2,
    }
    assert done.result == {"stores": 1, "products": 25, "orders": sum(totals["orders"].values())}


def test_a_count_that_is_none_is_asked_for_again() -> None:
    progress = {"left": [["1001", "orders"]], "counts": {"1001": {"products": {}, "orders": None}}}
    with pytest.raises(Unavailable, match="total_results"):
        run("sync.due", due("counts"), answer(200, {"count": 5}), progress=progress)


def test_an_account_without_stores_counts_nothing() -> None:
    closed = {"store": {**STORE_ROW["store"], "active": False}}
    done, _ = run("sync.due", due("counts"), answer(200, [closed]), config={})
    assert done.result == {"stores": 0, "products": 0, "orders": 0}


def test_of_a_user_only_what_is_official_is_kept() -> None:
    row = {"id": 501, "name": "Mira", "email": "m@example.com", "password_hash": "x"}
    done, _ = run("sync.due", due("user"), answer(200, [row]))
    assert value(done)["users"] == [{"id": 501, "name": "Mira", "email": "m@example.com"}]


@pytest.mark.parametrize("stream", GATEWAY)
def test_the_gateways_lists_are_kept_raw_and_without_credentials(walk: Any, stream: str) -> None:
    done = walk("sync.due", due(stream)).end()
    assert value(done)["answer"]
    assert "planted-buyer-password" not in str(done)


@pytest.mark.parametrize("stream", GATEWAY)
def test_an_account_without_the_gateway_is_not_held_up(walk: Any, stream: str) -> None:
    done = walk("sync.due", due(stream), token="noplan").end()
    assert done.result == {"refused": True}
    assert "403" in value(done)["refused"]
    gone, _ = run("sync.due", due(stream), answer(404, {"detail": "Not found."}))
    assert "404" in value(gone)["refused"]
    with pytest.raises(InvalidPayload):
        run("sync.due", due(stream), answer(422, {"detail": "No."}))
    with pytest.raises(CredentialsRejected):
        walk("sync.due", due(stream), token="bad").end()


def test_what_is_too_long_is_left_out() -> None:
    done, _ = run("sync.due", due("wallets"), answer(200, ["x" * MAX_KEPT_BYTES]))
    assert "answer" not in value(done)
    assert "bytes" in value(done)["left_out"]


def test_what_is_named_like_a_credential_is_not_kept() -> None:
    found = {"a": [{"apiKey": 1, "Password": 2, "card_last4": 3, "name": "n"}], "session_id": 4, "access_token": 5}
    assert bare(found) == {"a": [{"name": "n"}]}


def test_every_stream_is_read() -> None:
    assert {stream.name for stream in PROVIDER.streams} == {"stores", "products", "orders", "user", "counts", *GATEWAY}


# ---------------------------------------------------------------------------------------------------------- catalogue


def test_the_gateways_catalogue_is_looked_through(walk: Any) -> None:
    done = walk("product.research_requested", {"kind": "catalogue", "query": "lamp", "limit": 2}).end()
    (event,) = done.events
    assert event_types()[event.type].problem(event.data) is None
    assert event.data["count"] == 2
    assert all("lamp" in each["title"].lower() and each["raw"]["spv"] == 1 for each in event.data["products"])


def test_what_the_catalogue_is_asked() -> None:
    _, using = run(
        "product.research_requested", {"kind": "catalogue", "query": "pet bed"}, answer(200, {"results": []})
    )
    assert using.requests[0].url == "https://gw.autods.com/marketplace/api/products/"
    assert body(using)["filters"] == [
        {"name": "search_query", "op": "search", "value_type": "string", "value": "pet bed"}
    ]

"""A shop against the stand-in of AutoDS: what is read of it, what is told, and what an order costs when calls fail."""

from __future__ import annotations

import json
import signal
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import db.orders
import db.products
from tests.db.claims import expire
from tests.mesh import Mesh, eventually
from tests.servers import Servers
from tests.tasks.workers import START_S, running_worker
from tests.worker.deaths import dies, step, taken_back, walk
from worker import accounts
from worker.catalog import event_types
from worker.syncs import sync_now

TOKEN = "tok_of_acme"
CREATE = "/autods/gateway/auto-order/order/create-external"
SECRET = "hook-secret"


@pytest.fixture
def shop(mesh: Mesh) -> UUID:
    """An account with two stores."""
    mesh.tenant()
    with mesh.engine.begin() as connection:
        return accounts.connect(
            connection,
            mesh.resources.vault,
            tenant_id="acme",
            provider="autods",
            fields={"api_key": TOKEN, "store_ids": "1001,1003", "webhook_secret": SECRET},
            name="main",
        )


def do(mesh: Mesh, action: str, **arguments: Any) -> Any:
    return mesh.sandbox.control.do("autods", action, **arguments)


def sync(mesh: Mesh, shop: UUID, *streams: str) -> list[Any]:
    """Sync to the end; the deliveries."""
    mesh.sql("update integrations set rate_per_s = 1000")  # sixty a minute would take minutes
    with mesh.engine.begin() as connection:
        begun = sync_now(connection, shop, streams=streams)
    mesh.drain()
    rows = [mesh.sql("select * from deliveries where event_id = %(id)s", id=each.event_id)[0] for each in begun]
    assert {row.state for row in rows} == {"succeeded"}
    return rows


def products(mesh: Mesh, shop: UUID) -> Any:
    with mesh.engine.begin() as connection:
        return db.products.of_account(connection, shop)


def told(mesh: Mesh, event_type: str) -> list[Any]:
    return [row[0] for row in mesh.sql("select data from events where type = %(t)s order by id", t=event_type)]


# ------------------------------------------------------------------------------------------------------------ products


def test_products_are_read_whole_with_the_money_of_their_store(mesh: Mesh, shop: UUID) -> None:
    (delivery,) = sync(mesh, shop, "products")
    rows = products(mesh, shop)
    there = {store: do(mesh, "totals", store=store)["products"] for store in (1001, 1003)}
    assert len(rows) == sum(sum(each.values()) for each in there.values()) == 33
    assert delivery.result == {"products": 33, "stores": 2}
    assert Counter(row.state for row in rows) == {"active": 27, "inactive": 6}
    assert {(row.details["store_id"], row.currency) for row in rows} == {("1001", "USD"), ("1003", "JPY")}
    first = rows[0]
    assert (first.external_id, first.sku) == ("65f0c0ffee00100100000001", "SKU-1001-0001")
    assert first.price == min(Decimal(each["price"]) for each in first.details["variations"])
    assert first.stock == sum(each["quantity"] for each in first.details["variations"])
    assert told(mesh, "product.updated") == []


def test_what_has_changed_there_is_told_once(mesh: Mesh, shop: UUID) -> None:
    sync(mesh, shop, "products")
    gone, changed = (row.external_id for row in products(mesh, shop)[:2])
    do(mesh, "delete_product", store=1001, product=gone)
    do(mesh, "update_product", store=1001, product=changed, price="1.50", quantity=0)
    for _ in range(2):
        sync(mesh, shop, "products")
    news = {each["external_id"]: each for each in told(mesh, "product.updated")}
    assert len(told(mesh, "product.updated")) == 2
    assert news[gone]["state"] == "deleted"
    assert (news[changed]["price"], news[changed]["stock"], news[changed]["currency"]) == ("1.5", 0, "USD")


def test_a_walk_that_is_broken_off_goes_on_where_it_was(mesh: Mesh, shop: UUID) -> None:
    mesh.sandbox.control.add_rule("/autods/products/1003/*", {"drop": "after"}, times=1)
    mesh.sql("update integrations set rate_per_s = 1000")
    with mesh.engine.begin() as connection:
        (begun,) = sync_now(connection, shop, streams=["products"])
    mesh.drain()
    (delivery,) = mesh.sql("select * from deliveries where event_id = %(id)s", id=begun.event_id)
    assert (delivery.state, delivery.progress["stores"][0]["id"]) == ("retrying", "1003")
    asked = mesh.sandbox.control.counts("/autods/products/1001/*")["requests"]
    mesh.due_now()
    mesh.holds_over()
    mesh.drain()
    assert len(products(mesh, shop)) == 33
    assert mesh.sandbox.control.counts("/autods/products/1001/*")["requests"] == asked, (
        "the first store is not read anew"
    )


@pytest.mark.parametrize("point", ["claim", "send", "answer"])
def test_workers_that_die_at_every_step_of_a_walk_leave_the_same_rows(mesh: Mesh, shop: UUID, point: str) -> None:
    mesh.sql("update integrations set rate_per_s = 1000")
    for stream in ("products", "orders"):
        with mesh.engine.begin() as connection:
            (begun,) = sync_now(connection, shop, streams=[stream])
        (row,) = mesh.sql("select id from deliveries where event_id = %(id)s", id=begun.event_id)
        while not mesh.delivery(row.id).settled_at:
            dies(mesh, row.id, point)
            step(mesh, row.id)
        assert mesh.delivery(row.id).state == "succeeded"
    there = {store: do(mesh, "totals", store=store) for store in (1001, 1003)}
    assert mesh.count("products") == sum(sum(each["products"].values()) for each in there.values())
    assert mesh.one("select sum(total) from orders") == sum(Decimal(each["amount"]) for each in there.values())
    assert len(told(mesh, "order.updated")) == mesh.count("orders")
    assert told(mesh, "product.updated") == []


def test_one_reading_that_misses_a_product_does_not_say_that_it_is_gone(mesh: Mesh, shop: UUID) -> None:
    """It comes back into a status whose pages have been read; the next reading sees it."""
    sync(mesh, shop, "products")
    moved = products(mesh, shop)[0].external_id
    do(mesh, "update_product", store=1001, product=moved, status=2)
    with mesh.engine.begin() as connection:
        (begun,) = sync_now(connection, shop, streams=["products"])
    (row,) = mesh.sql("select id from deliveries where event_id = %(id)s", id=begun.event_id)
    step(mesh, row.id)
    while mesh.delivery(row.id).progress["left"][0] != "active":
        step(mesh, row.id)
    do(mesh, "update_product", store=1001, product=moved, status=1)
    assert walk(mesh, row.id).state == "succeeded"
    assert told(mesh, "product.updated") == []
    sync(mesh, shop, "products")
    assert [(each["external_id"], each["state"]) for each in told(mesh, "product.updated")] == [(moved, "inactive")]


# -------------------------------------------------------------------------------------------------------------- orders


def test_orders_are_read_and_told_as_they_get_on(mesh: Mesh, shop: UUID) -> None:
    sync(mesh, shop, "orders")
    with mesh.engine.begin() as connection:
        rows = db.orders.of_account(connection, shop)
    theirs = [row for store in (1001, 1003) for row in do(mesh, "orders", store=store)]
    assert [(row.external_id, row.external_state) for row in rows] == [(str(o["id"]), o["status"]) for o in theirs]
    assert [row.total for row in rows] == [Decimal(o["total_price"]) for o in theirs]
    assert {row.state for row in rows} == {"pending", "ordered", "shipped", "delivered", "cancelled"}
    assert len(told(mesh, "order.updated")) == len(theirs), "all of them are of this week"
    pending = next(o["id"] for o in theirs if o["status"] == "pending")
    do(mesh, "set_order", order=pending, status="Shipped", tracking_number="1Z999", carrier="UPS")
    for _ in range(2):
        sync(mesh, shop, "orders")
    (news,) = told(mesh, "order.updated")[len(theirs) :]
    assert (news["external_id"], news["state"], news["external_state"]) == (str(pending), "shipped", "Shipped")
    assert news["tracking"][0]["number"] == "1Z999"
    assert event_types()["order.updated"].problem(news) is None


def test_a_webhook_reads_the_orders_again(mesh: Mesh, shop: UUID, doors: str) -> None:
    sync(mesh, shop, "orders")
    order = do(mesh, "new_order", store=1001)
    url = f"{doors}/hooks/autods/{shop}"
    data = {"autods_order_id": order["id"]}
    sent = do(mesh, "send_webhook", url=url, secret=SECRET, type="order.created", data=data)
    again = do(mesh, "repeat_webhook", id=sent["id"])
    assert (sent["status"], again["status"]) == (200, 200)
    assert mesh.count("inbox", "verdict = 'accepted'") == 1
    assert do(mesh, "send_webhook", url=url, secret="wrong", data=data)["status"] == 401
    mesh.drain()
    assert told(mesh, "order.updated")[-1]["external_id"] == str(order["id"])


def place(mesh: Mesh, shop: UUID, order_id: str = "shop-1") -> UUID:
    mesh.sql("update integrations set rate_per_s = 1000")
    data = {**event_types()["order.placed"].example, "order_id": order_id, "quantity": 2}
    ((_, delivery_id),) = mesh.publish("order.placed", data).deliveries
    return delivery_id


def bought(mesh: Mesh) -> Any:
    return mesh.sandbox.control.bill()["autods"]


def test_an_order_is_bought_and_followed(mesh: Mesh, shop: UUID) -> None:
    delivery_id = place(mesh, shop)
    mesh.deliver(delivery_id)
    row = mesh.delivery(delivery_id)
    assert (row.state, row.result["order_id"], row.result["repeated"]) == ("succeeded", "shop-1", False)
    assert (bought(mesh)["orders_created"], bought(mesh)["spent"]) == (1, {"USD": "29.00"})
    (order,) = mesh.sql("select * from orders")
    assert (order.external_key, order.external_id, order.state) == ("shop-1", row.external_id, "pending")
    assert (told(mesh, "order.updated"), len(told(mesh, "order.accepted"))) == ([], 1)
    do(mesh, "set_order", order=int(row.external_id), status="Delivered")
    sync(mesh, shop, "orders")
    news = [each for each in told(mesh, "order.updated") if each.get("order_id") == "shop-1"]
    assert [each["state"] for each in news] == ["delivered"]


@pytest.mark.parametrize(
    "fault", [{"drop": "after"}, {"reset": True, "drop": "after"}, {"truncate": True}, "autods:gateway_timeout_after"]
)
def test_after_a_lost_answer_nothing_is_bought_twice(mesh: Mesh, shop: UUID, fault: Any) -> None:
    mesh.sandbox.control.add_rule(CREATE, fault, times=1)
    delivery_id = place(mesh, shop)
    mesh.deliver(delivery_id)
    assert mesh.delivery(delivery_id).unknown_since is not None
    mesh.due_now()
    mesh.holds_over()
    mesh.deliver(delivery_id)
    row = mesh.delivery(delivery_id)
    assert (row.state, row.result["repeated"]) == ("succeeded", True)
    assert bought(mesh)["orders_created"] == 1
    assert mesh.sandbox.control.counts(CREATE)["requests"] == 1, "it was found among the orders, not asked for again"


def test_a_worker_that_dies_after_buying_buys_nothing_twice(mesh: Mesh, shop: UUID) -> None:
    delivery_id = place(mesh, shop)
    mesh.deliver(delivery_id)
    mesh.sql(
        "update deliveries set state = 'running', settled_at = null, attempt_id = mesh_uuid(), result = null,"
        " lease_until = now() - interval '1 second', overdue_at = now() - interval '1 minute' where id = %(id)s",
        id=delivery_id,
    )
    assert len(expire(mesh)) == 1
    mesh.deliver(delivery_id)
    assert mesh.delivery(delivery_id).state == "succeeded"
    assert bought(mesh)["orders_created"] == 1


@pytest.mark.parametrize("where", ["claim", "send", "sent POST", "answer", "settle"])
def test_wherever_a_worker_is_killed_an_order_is_bought_once(
    servers: Servers, mesh: Mesh, shop: UUID, tmp_path: Path, where: str
) -> None:
    """SIGKILL of a real worker."""
    delivery_id = place(mesh, shop)
    (tmp_path / "order").write_text(where)
    urls = {
        "AUTODS_BASE_URL": mesh.settings.autods_base_url,
        "AUTODS_GATEWAY_URL": mesh.settings.autods_gateway_url,
        "MESH_STOP_AT": str(tmp_path / "order"),
    }
    with running_worker(servers, mesh.sandbox, tmp_path, **urls) as worker:
        mesh.due_now(delivery_id)
        mesh.reconcile()
        eventually(lambda: worker.process.poll() is not None, f"it is killed at {where}", START_S)
        assert worker.ended() == -signal.SIGKILL, worker.log[-3000:]
    taken_back(mesh, delivery_id)
    row = walk(mesh, delivery_id)
    assert (row.state, row.result["order_id"]) == ("succeeded", "shop-1")
    assert (bought(mesh)["orders_created"], bought(mesh)["spent"]) == (1, {"USD": "29.00"})
    assert (mesh.count("orders"), len(told(mesh, "order.accepted"))) == (1, 1)


def test_while_orders_cannot_be_searched_a_lost_one_is_not_asked_for_again(mesh: Mesh, shop: UUID) -> None:
    mesh.sandbox.control.add_rule(CREATE, {"drop": "after"}, times=1)
    mesh.sandbox.control.add_rule("/autods/orders/*", "autods:server_error", times=2)
    delivery_id = place(mesh, shop)
    assert walk(mesh, delivery_id).result["repeated"] is True
    states = [attempt.state for attempt in mesh.attempts(delivery_id)]
    assert states == ["lost", "retryable", "retryable", "succeeded"]
    assert (mesh.sandbox.control.counts(CREATE)["requests"], bought(mesh)["orders_created"]) == (1, 1)


def test_an_order_that_did_not_arrive_is_bought_once(mesh: Mesh, shop: UUID) -> None:
    mesh.sandbox.control.add_rule(CREATE, {"drop": "before"}, times=1)
    delivery_id = place(mesh, shop)
    mesh.deliver(delivery_id)
    mesh.due_now()
    mesh.holds_over()
    mesh.deliver(delivery_id)
    assert (mesh.delivery(delivery_id).state, bought(mesh)["orders_created"]) == ("succeeded", 1)


def test_the_same_order_in_two_events_is_bought_once(mesh: Mesh, shop: UUID) -> None:
    for shape in ("flat", "nested"):
        do(mesh, "set_shapes", order=shape)
        delivery_id = place(mesh, shop)
        mesh.deliver(delivery_id)
        assert mesh.delivery(delivery_id).state == "succeeded"
    do(mesh, "set_shapes", duplicate=409)
    delivery_id = place(mesh, shop)
    mesh.deliver(delivery_id)
    assert mesh.delivery(delivery_id).result["repeated"] is True
    assert bought(mesh)["orders_created"] == 1


def test_what_to_buy_is_looked_up_in_a_step_of_its_own(mesh: Mesh, shop: UUID) -> None:
    mesh.sql("update integrations set rate_per_s = 1000")
    product = "65f0c0ffee00100100000001"
    data = {k: v for k, v in event_types()["order.placed"].example.items() if k != "buy"}
    ((_, delivery_id),) = mesh.publish(
        "order.placed", {**data, "product_id": product, "sku": "SKU-1001-0001-M"}
    ).deliveries
    mesh.drain()
    assert [row.state for row in mesh.attempts(delivery_id)] == ["succeeded", "succeeded"]
    assert bought(mesh)["orders_created"] == 1


# ------------------------------------------------------------------------------------------------------------- uploads


def upload(mesh: Mesh) -> UUID:
    mesh.sql("update integrations set rate_per_s = 1000")
    data = {"store_id": "1001", "products": [{"supplier_id": "B0NEW"}, {"supplier_id": "bad-1"}]}
    ((_, delivery_id),) = mesh.publish("product.upload_requested", data).deliveries
    return delivery_id


def finish(mesh: Mesh, delivery_id: UUID) -> Any:
    def settled() -> bool:
        mesh.due_now()
        mesh.holds_over()
        mesh.drain()
        return mesh.delivery(delivery_id).settled_at is not None

    eventually(settled)
    return mesh.delivery(delivery_id)


def test_an_upload_is_followed_to_its_end_and_says_what_failed(mesh: Mesh, shop: UUID) -> None:
    row = finish(mesh, upload(mesh))
    assert (row.state, row.result["done"], row.result["not_done"]) == ("succeeded", 1, 1)
    (event,) = told(mesh, "product.bulk_completed")
    assert event["failed"][0]["item"] == "bad-1"
    assert bought(mesh)["products_uploaded"] == 1


def test_an_upload_whose_answer_was_lost_waits_for_a_person(mesh: Mesh, shop: UUID) -> None:
    mesh.sandbox.control.add_rule("/autods/products/1001/", {"drop": "after"}, times=1)
    delivery_id = upload(mesh)
    mesh.deliver(delivery_id)
    row = mesh.delivery(delivery_id)
    assert (row.state, [attempt.state for attempt in mesh.attempts(delivery_id)]) == ("failed", ["lost"])
    assert mesh.sandbox.control.counts("/autods/products/1001/")["requests"] == 1


def test_an_upload_whose_look_was_lost_is_looked_at_again(mesh: Mesh, shop: UUID) -> None:
    delivery_id = upload(mesh)
    mesh.deliver(delivery_id)
    mesh.sandbox.control.add_rule("/autods/bulk_actions/*", {"drop": "after"}, times=1)
    assert finish(mesh, delivery_id).state == "succeeded"
    assert mesh.sandbox.control.counts("/autods/products/1001/")["requests"] == 1


def test_research_by_words_finds_what_bears_them(mesh: Mesh, shop: UUID) -> None:
    mesh.sql("update integrations set rate_per_s = 1000")
    for kind in ("search", "winning"):
        data = {"kind": kind, "query": "desk lamp", "limit": 3}
        ((_, delivery_id),) = mesh.publish("product.research_requested", data).deliveries
        mesh.deliver(delivery_id)
        assert mesh.delivery(delivery_id).state == "succeeded"
    for event in told(mesh, "product.research_completed"):
        assert {each["title"].lower() for each in event["products"]} == {"desk lamp"}


def test_one_product_of_the_research_and_one_that_needs_an_addon(mesh: Mesh, shop: UUID) -> None:
    """The addon is missing for this one question: the account goes on buying."""
    mesh.sql("update integrations set rate_per_s = 1000")
    product = "5ea4c4000000000000000003"
    data = {"kind": "product", "product_id": product}
    ((_, first),) = mesh.publish("product.research_requested", data).deliveries
    mesh.deliver(first)
    do(mesh, "need_addon", product=product)
    ((_, second),) = mesh.publish("product.research_requested", data).deliveries
    mesh.deliver(second)
    (event,) = told(mesh, "product.research_completed")
    assert event["products"][0]["product_id"] == product
    row = mesh.delivery(second)
    assert (row.state, row.error_code) == ("failed", "addon_missing")
    assert mesh.sandbox.control.counts("/receive/redirected")["requests"] == 0, "a redirect is not followed"
    assert mesh.one("select state from integrations where id = %(id)s", id=shop) == "active"


def test_products_are_published_priced_and_taken_out(mesh: Mesh, shop: UUID) -> None:
    sync(mesh, shop, "products")
    mine = [row for row in products(mesh, shop) if row.details["store_id"] == "1001"]
    draft = next(row.external_id for row in mine if row.details["status"] == "draft")
    priced, gone = [row.external_id for row in mine if row.state == "active"][:2]
    for event_type, data in (
        ("product.publish_requested", {"product_ids": [draft]}),
        ("product.price_change_requested", {"product_ids": [priced], "margin_percent": 900}),
        ("product.removal_requested", {"product_ids": [gone]}),
    ):
        ((_, delivery_id),) = mesh.publish(event_type, {"store_id": "1001", **data}).deliveries
        row = finish(mesh, delivery_id)
        assert (row.state, row.result["done"], row.result["not_done"]) == ("succeeded", 1, 0)
    assert [each["action"] for each in told(mesh, "product.bulk_completed")] == ["publish", "price_change", "removal"]
    for _ in range(2):
        sync(mesh, shop, "products")
    news = {each["external_id"]: each for each in told(mesh, "product.updated")}
    assert {name: each["state"] for name, each in news.items()} == {draft: "active", priced: "active", gone: "deleted"}
    assert set(news[priced]["changed"]) == {"price"}


def test_research_goes_to_its_own_host(mesh: Mesh, shop: UUID) -> None:
    ((_, delivery_id),) = mesh.publish("product.research_requested", {"kind": "winning", "limit": 3}).deliveries
    mesh.deliver(delivery_id)
    (event,) = told(mesh, "product.research_completed")
    assert event["count"] == len(event["products"]) == 3
    assert json.dumps(event).count("title") == 3
    assert mesh.delivery(delivery_id).created_at > mesh.delivery(delivery_id).settled_at - timedelta(minutes=1)

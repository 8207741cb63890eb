"""Products and orders that syncs find: stored with their outcome, and what of it is news."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import db.orders
import db.products
from model import Done, Order, Product, Records
from tests.mesh import Mesh
from tests.paged import connected, serving_pages
from tests.worker.test_records import settled, step
from worker import records
from worker.catalog import event_types

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def platform() -> Iterator[None]:
    with serving_pages():
        yield


@pytest.fixture
def shop(platform: None, mesh: Mesh) -> UUID:
    found: UUID = connected(mesh)
    return found


def found(mesh: Mesh, shop: UUID, **some: Any) -> None:
    """A sync's step found this."""
    assert settled(mesh, step(mesh, shop, Done(records=Records(**some))))[0] == [True]


def bed(**changes: Any) -> Product:
    facts: dict[str, Any] = {"title": "Pet bed", "price": Decimal("24.90"), "currency": "USD", "stock": 7}
    return Product("p1", **{**facts, **changes})


def an_order(**changes: Any) -> Order:
    facts: dict[str, Any] = {
        "state": "ordered",
        "external_state": "Ordered",
        "total": Decimal("24.9"),
        "currency": "USD",
        "ordered_at": NOW - timedelta(hours=2),
    }
    return Order("o1", **{**facts, **changes})


def told(mesh: Mesh, event_type: str) -> list[Any]:
    """The data of what was published, each fitting its schema."""
    rows = [row[0] for row in mesh.sql("select data from events where type = %(t)s order by id", t=event_type)]
    assert [event_types()[event_type].problem(data) for data in rows] == [None] * len(rows)
    return rows


def product(mesh: Mesh, shop: UUID) -> Any:
    with mesh.engine.begin() as connection:
        (row,) = db.products.of_account(connection, shop)
    return row


# ------------------------------------------------------------------------------------------------------------- products


def test_a_first_sync_publishes_nothing(mesh: Mesh, shop: UUID) -> None:
    found(mesh, shop, products=tuple(Product(f"p{n}", price=Decimal(n), currency="EUR") for n in range(1, 500)))
    assert mesh.count("products") == 499
    assert told(mesh, "product.updated") == []
    row = mesh.sql("select * from products where external_id = 'p7'")[0]
    assert (row.tenant_id, row.title, row.price, row.currency, row.state) == ("acme", "p7", 7, "EUR", "active")


def test_what_has_changed_is_told_with_what_it_was(mesh: Mesh, shop: UUID) -> None:
    found(mesh, shop, products=(bed(),))
    found(mesh, shop, products=(bed(price=Decimal("19.90"), stock=0),))
    assert told(mesh, "product.updated") == [
        {
            "external_id": "p1",
            "provider": "paged",
            "integration_id": str(shop),
            "title": "Pet bed",
            "price": "19.9",
            "currency": "USD",
            "stock": 0,
            "state": "active",
            "changed": {"price": "24.9", "stock": 7},
        }
    ]


def test_what_is_the_same_or_only_has_another_name_is_no_news(mesh: Mesh, shop: UUID) -> None:
    for each in (bed(), bed(), bed(title="Dog bed", sku="PB", details={"image": "x"}), bed(price=Decimal("24.9"))):
        found(mesh, shop, products=(each,))
    assert told(mesh, "product.updated") == []
    row = product(mesh, shop)
    assert (row.title, row.sku, row.details) == ("Pet bed", "PB", {"image": "x"})


def test_what_is_not_known_leaves_what_is_stored(mesh: Mesh, shop: UUID) -> None:
    found(mesh, shop, products=(bed(sku="PB", state="inactive", details={"a": 1}),))
    found(mesh, shop, products=(Product("p1", details={"b": 2}),))
    row = product(mesh, shop)
    assert (row.title, row.sku, row.price, row.stock, row.state) == ("Pet bed", "PB", Decimal("24.9"), 7, "inactive")
    assert row.details == {"a": 1, "b": 2}
    assert told(mesh, "product.updated") == []


def test_who_is_not_in_a_whole_listing_is_gone_and_may_come_back(mesh: Mesh, shop: UUID) -> None:
    found(mesh, shop, products=(bed(), Product("p2")))
    began = mesh.one("select clock_timestamp()")
    found(mesh, shop, products=(bed(),), products_listed_since=began)
    assert {row.external_id: row.state for row in mesh.sql("select * from products")} == {
        "p1": "active",
        "p2": "deleted",
    }
    found(mesh, shop, products_listed_since=began)
    found(mesh, shop, products=(Product("p2", state="active"),))
    assert [(each["external_id"], each["state"], each["changed"]) for each in told(mesh, "product.updated")] == [
        ("p2", "deleted", {"state": "active"}),
        ("p2", "active", {"state": "deleted"}),
    ]


def test_two_steps_of_a_commit_know_parts_of_one_product(mesh: Mesh, shop: UUID) -> None:
    first = step(mesh, shop, Done(records=Records(products=(bed(stock=None, details={"a": 1}),))))
    second = step(mesh, shop, Done(records=Records(products=(Product("p1", stock=3, details={"b": 2}),))))
    assert settled(mesh, first, second)[0] == [True, True]
    row = product(mesh, shop)
    assert (row.price, row.stock, row.details) == (Decimal("24.9"), 3, {"a": 1, "b": 2})


def test_each_account_has_its_own(mesh: Mesh, shop: UUID) -> None:
    other = connected(mesh, name="other")
    found(mesh, shop, products=(bed(),))
    found(mesh, other, products=(bed(stock=1),), products_listed_since=NOW)
    assert mesh.count("products") == 2
    assert told(mesh, "product.updated") == []


# --------------------------------------------------------------------------------------------------------------- orders


def test_an_order_is_told_when_it_is_new_and_when_it_gets_on(mesh: Mesh, shop: UUID) -> None:
    tracking = ({"number": "1Z9", "carrier": "UPS"},)
    for each in (
        an_order(),
        an_order(),
        an_order(state="shipped", external_state="Shipped", tracking=tracking),
        an_order(state="shipped", external_state="Shipped", tracking=tracking),
    ):
        found(mesh, shop, orders=(each,))
    first, second = told(mesh, "order.updated")
    assert first == {
        "external_id": "o1",
        "provider": "paged",
        "integration_id": str(shop),
        "state": "ordered",
        "external_state": "Ordered",
        "tracking": [],
        "total": "24.9",
        "currency": "USD",
        "ordered_at": (NOW - timedelta(hours=2)).isoformat(),
    }
    assert (second["state"], second["tracking"]) == ("shipped", list(tracking))


def test_old_orders_of_a_first_sync_are_no_news(mesh: Mesh, shop: UUID) -> None:
    found(mesh, shop, orders=(an_order(ordered_at=NOW - timedelta(days=8)), Order("o2", state="pending")))
    assert [each["external_id"] for each in told(mesh, "order.updated")] == ["o2"], "one without a date may be new"
    found(mesh, shop, orders=(an_order(state="delivered", ordered_at=None),))
    assert told(mesh, "order.updated")[-1]["state"] == "delivered"
    row = mesh.sql("select * from orders where external_id = 'o1'")[0]
    assert row.ordered_at < NOW - timedelta(days=7), "what is not known stays"


def test_the_product_s_own_id_comes_along(mesh: Mesh, shop: UUID) -> None:
    found(mesh, shop, orders=(Order("o1", state="pending", key="shop-10042"),))
    found(mesh, shop, orders=(an_order(state="shipped"),))
    assert [each["order_id"] for each in told(mesh, "order.updated")] == ["shop-10042", "shop-10042"]


def test_an_unknown_state_is_said_to_be_so(mesh: Mesh, shop: UUID) -> None:
    found(mesh, shop, orders=(Order("o1", external_state="Payment revision"),))
    (event,) = told(mesh, "order.updated")
    assert (event["state"], event["external_state"]) == ("unknown", "Payment revision")


def test_where_we_have_no_word_the_shop_s_own_says_that_it_got_on(mesh: Mesh, shop: UUID) -> None:
    for word in ("At the moon", "On Mars", "On Mars"):
        found(mesh, shop, orders=(Order("o1", state="unknown", external_state=word),))
    for word in ("Pending", "Awaiting payment"):
        found(mesh, shop, orders=(Order("o2", state="pending", external_state=word),))
    said = [(each["external_id"], each["external_state"]) for each in told(mesh, "order.updated")]
    assert said == [("o1", "At the moon"), ("o1", "On Mars"), ("o2", "Pending")]


def test_who_lost_the_delivery_stores_and_tells_nothing(mesh: Mesh, shop: UUID) -> None:
    ended = step(mesh, shop, Done(records=Records(orders=(an_order(),), products=(bed(),))))
    mesh.sql("update deliveries set attempt_id = mesh_uuid() where id = %(id)s", id=ended.claim.delivery_id)
    assert settled(mesh, ended)[0] == [False]
    assert mesh.count("orders") == mesh.count("products") == 0
    assert told(mesh, "order.updated") == []


def test_a_hook_hears_of_an_order_in_the_same_commit(mesh: Mesh, shop: UUID) -> None:
    mesh.hook("/receive/orders", event_type="order.updated")
    moved, sent = settled(mesh, step(mesh, shop, Done(records=Records(orders=(an_order(),)))))
    assert (moved, [provider for provider, _ in sent]) == ([True], ["zapier"])


def test_their_rows_count() -> None:
    some = Records(products=(bed(), bed()), orders=(an_order(),))
    assert records.size(some) == 3


def test_another_account_behind_an_integration_starts_afresh(mesh: Mesh, shop: UUID) -> None:
    found(mesh, shop, products=(bed(),), orders=(an_order(),))
    with mesh.engine.begin() as connection:
        db.products.forget(connection, shop)
        db.orders.forget(connection, shop)
    assert mesh.count("orders") == mesh.count("products") == 0

"""Products and orders of shops: what is news of them, who is gone, and writers that never block each other for good."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import db.orders
import db.products
from model import Order, Product
from tests.mesh import TENANT, Mesh


@pytest.fixture
def account(mesh: Mesh) -> UUID:
    return mesh.account()


def products(account: UUID, *found: Product) -> list[db.products.Row]:
    return [db.products.Row(TENANT, account, each, "{}") for each in found]


def orders(account: UUID, *found: Order) -> list[db.orders.Row]:
    return [db.orders.Row(TENANT, account, each, None, "{}") for each in found]


def stored(mesh: Mesh, rows: list[db.products.Row]) -> Any:
    with mesh.engine.begin() as connection:
        return db.products.upsert(connection, rows)


def some(count: int, stock: int = 1) -> list[Product]:
    return [Product(f"p{n}", price=Decimal(n), currency="EUR", stock=stock) for n in range(count)]


def test_ten_thousand_that_are_new_are_no_news(mesh: Mesh, account: UUID) -> None:
    assert stored(mesh, products(account, *some(10_000))) == []
    assert mesh.count("products") == 10_000


def test_only_what_has_changed_comes_back_with_what_it_was(mesh: Mesh, account: UUID) -> None:
    stored(mesh, products(account, *some(4)))
    changes = [
        Product("p0", price=Decimal("0.0000"), currency="EUR"),
        Product("p1", stock=0),
        Product("p2", title="Lamp", sku="L"),
        Product("p3", price=Decimal("2.5"), currency="USD", state="inactive"),
    ]
    first, second = stored(mesh, products(account, *changes))
    assert (first.external_id, first.stock_before, first.stock) == ("p1", 1, 0)
    before = (second.price_before, second.currency_before, second.state_before)
    assert before == (Decimal(3), "EUR", "active")
    assert (second.price, second.currency, second.stock, second.state) == (Decimal("2.5"), "USD", 1, "inactive")


def test_a_price_without_a_currency_is_not_stored(mesh: Mesh, account: UUID) -> None:
    with pytest.raises(Exception, match="products_check"):
        stored(mesh, products(account, Product("p", price=Decimal(1))))


def test_who_was_seen_since_a_moment_stays_and_each_account_has_its_own(mesh: Mesh, account: UUID) -> None:
    other = mesh.account(tenant="other")
    stored(mesh, products(account, *some(3)))
    stored(mesh, [db.products.Row("other", other, each, "{}") for each in some(3)])
    mesh.sql("update products set seen_at = now() - interval '2 hours' where external_id <> 'p1'")
    since = mesh.one("select now() - interval '1 hour'")
    with mesh.engine.begin() as connection:
        gone = db.products.mark_unseen(connection, {account: since})
        again = db.products.mark_unseen(connection, {account: since})
    assert sorted((row.external_id, row.state_before) for row in gone) == [("p0", "active"), ("p2", "active")]
    assert (again, mesh.count("products", "state = 'deleted'")) == ([], 2)
    with mesh.engine.begin() as connection:
        assert db.products.mark_unseen(connection, {account: since - timedelta(hours=3)}) == []


def test_an_order_is_known_by_the_shops_id_and_keeps_the_products_own(mesh: Mesh, account: UUID) -> None:
    with mesh.engine.begin() as connection:
        (new,) = db.orders.upsert(connection, orders(account, Order("o", "pending", key="shop-1")))
        same = db.orders.upsert(connection, orders(account, Order("o", "pending", total=Decimal(5), currency="EUR")))
        (moved,) = db.orders.upsert(connection, orders(account, Order("o", "shipped")))
    assert (new.new, new.external_key, same) == (True, "shop-1", [])
    assert (moved.new, moved.external_key, moved.total) == (False, "shop-1", 5)


def write_products(mesh: Mesh, account: UUID, seed: int, shuffled: random.Random) -> None:
    rows = products(account, *some(200, stock=seed))
    shuffled.shuffle(rows)
    stored(mesh, rows)


def write_orders(mesh: Mesh, account: UUID, seed: int, shuffled: random.Random) -> None:
    rows = orders(account, *(Order(f"o{n}", state=("pending", "shipped")[seed % 2]) for n in range(200)))
    shuffled.shuffle(rows)
    with mesh.engine.begin() as connection:
        db.orders.upsert(connection, rows)


@pytest.mark.parametrize(("write", "table"), [(write_products, "products"), (write_orders, "orders")])
def test_the_same_rows_from_many_sides_in_any_order_never_block_each_other_for_good(
    mesh: Mesh, account: UUID, write: Callable[[Mesh, UUID, int, random.Random], None], table: str
) -> None:
    failed: list[Exception] = []

    def keep_writing(seed: int) -> None:
        shuffled = random.Random(seed)
        try:
            for _ in range(15):
                write(mesh, account, seed, shuffled)
        except Exception as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    threads = [threading.Thread(target=keep_writing, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert mesh.count(table) == 200

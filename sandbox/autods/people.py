"""The made-up account: its stores, and the products and orders that they begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from sandbox.autods.assumed import ASSUMED
from sandbox.autods.values import ACTIVE, DRAFT, ENDED, IN_STOCK, OUT_OF_STOCK

USER: Final = {"id": 501, "name": "Mira Holm", "email": "mira@example.com"}
DAY_S: Final = 86_400
WORDS: Final = ("Pet bed", "Desk lamp", "Yoga mat", "Tea pot", "Wall clock", "Travel mug", "Rain coat", "Phone stand")
SIZES: Final = ("S", "M", "L")
CARRIERS: Final = {"UPS": "https://example.com/ups/", "DHL": "https://example.com/dhl/"}


@dataclass(slots=True)
class Store:
    """A shop on a selling site."""

    id: int
    name: str
    currency: str
    timezone: str
    region: int
    places: str  # the smallest amount of its money
    products: int  # that it begins with
    active: bool = True
    orders_by_api: bool = True  # the switch in its settings

    def as_json(self) -> dict[str, Any]:
        """As the list of stores has it."""
        shown = {
            "id": self.id,
            "name": self.name,
            "store_url": f"https://shop-{self.id}.example.com",
            "active": self.active,
            ASSUMED["store.currency"]: self.currency,
            ASSUMED["store.timezone"]: self.timezone,
        }
        return {"store": shown}

    def time(self, unix_s: float) -> str:
        """A time with the store's offset."""
        return datetime.fromtimestamp(int(unix_s), ZoneInfo(self.timezone)).isoformat()

    def money(self, amount: Decimal) -> Decimal:
        """An amount with the places of the store's currency."""
        return amount.quantize(Decimal(self.places))


def stores() -> Mapping[int, Store]:
    """Four of them; the last one is closed."""
    made = (
        Store(1001, "Shop US", "USD", "America/New_York", 1, "0.01", 25),
        Store(1002, "Shop EU", "EUR", "Europe/Berlin", 3, "0.01", 12),
        Store(1003, "Shop Tokyo", "JPY", "Asia/Tokyo", 7, "1", 8),
        Store(1004, "Old shop", "GBP", "Europe/London", 2, "0.01", 0, active=False),
    )
    return {one.id: one for one in made}


def product_id(store: Store, number: int) -> str:
    """24 hex digits: the store, and which of its products."""
    return f"65f0c0ffee{store.id:06d}{number:08d}"


def new_product(store: Store, number: int, now: float, title: str | None = None) -> dict[str, Any]:
    """A product with three sizes, as its wire has it; prices are decimals."""
    name = title or f"{WORDS[number % len(WORDS)]} {number}"
    at = store.time(now)
    return {
        "id": product_id(store, number),
        "title": name,
        "sku": f"SKU-{store.id}-{number:04d}",
        "description": f"{name}, sold by the sandbox.",
        "status": ACTIVE,
        "tags": ["autumn"] if number % 2 else [],
        "item_id_on_site": f"{store.id}{number:06d}",
        "autods_store_id": store.id,
        "main_picture_url": {"url": f"https://example.com/{store.id}/{number}.jpg"},
        "images": [{"url": f"https://example.com/{store.id}/{number}-{n}.jpg"} for n in (1, 2)],
        "item_specifics": {},
        "error_list": [],
        "total_sold_count": number % 7,
        "upload_date": at,
        ASSUMED["product.updated_at"]: at,
        ASSUMED["product.currency"]: store.currency,
        "variations": [variation(store, number, place) for place in range(len(SIZES))],
    }


def variation(store: Store, number: int, place: int) -> dict[str, Any]:
    """One size."""
    price = store.money(Decimal(10 + number % 40) + Decimal("4.90") * (place + 1))
    quantity = (number * 3 + place) % 20
    asin = f"B0SB{store.id}{number:04d}"
    return {
        "sku": f"SKU-{store.id}-{number:04d}-{SIZES[place]}",
        "price": price,
        "quantity": quantity,
        "inventory_status": IN_STOCK if quantity else OUT_OF_STOCK,
        "attributes": {"size": SIZES[place]},
        "main_picture_url": {"url": f"https://example.com/{store.id}/{number}.jpg"},
        "active_buy_item": {
            "item_id_on_site": asin,
            "url": f"https://www.example.com/dp/{asin}",
            "site_id": 1,
            "region": store.region,
            "price": store.money(price * Decimal("0.6")),
        },
    }


def first_products(store: Store, now: float) -> Iterator[dict[str, Any]]:
    """What a store begins with, the newest today: every eighth is a draft, every ninth ended, the others active."""
    for number in range(1, store.products + 1):
        made = new_product(store, number, now - (store.products - number) * DAY_S)
        made["status"] = DRAFT if number % 8 == 0 else ENDED if number % 9 == 0 else ACTIVE
        yield made


def new_order(store: Store, order_id: int, product: Mapping[str, Any], quantity: int, now: float) -> dict[str, Any]:
    """An order of a customer, as its wire has it."""
    bought = product["variations"][0]
    return {
        "id": order_id,
        "sell_site_order_id": f"shop-{order_id}",
        "sell_site_order_name": f"#{order_id}",
        "store_id": store.id,
        "store_name": store.name,
        "status": ASSUMED["order.statuses"][0],
        "tracking_number": None,
        ASSUMED["order.carrier"]: None,
        ASSUMED["order.tracking_url"]: None,
        "sold_date": store.time(now),
        ASSUMED["order.updated_at"]: store.time(now),
        ASSUMED["order.currency"]: store.currency,
        ASSUMED["order.total"]: str(store.money(Decimal(bought["price"]) * quantity)),
        "quantity_to_buy": quantity,
        "autods_product_id": product["id"],
        "product_title": product.get("title"),
        "buy_item_real_id": bought["active_buy_item"].get("item_id_on_site"),
        "first_name": "Ada",
        "last_name": "Byrne",
        "city": "Austin",
        "country": "US",
        "zip_code": "78701",
    }


def moved(order: dict[str, Any], store: Store, status: str, now: float) -> None:
    """An order gets on: another status, and tracking once it is shipped."""
    order["status"] = status
    order[ASSUMED["order.updated_at"]] = store.time(now)
    if status in ASSUMED["order.statuses"][2:4] and order["tracking_number"] is None:
        track(order, f"1Z{order['id']:010d}", "UPS")


def track(order: dict[str, Any], number: str, carrier: str) -> None:
    """The parcel can be followed."""
    order["tracking_number"] = number
    order[ASSUMED["order.carrier"]] = carrier
    order[ASSUMED["order.tracking_url"]] = CARRIERS.get(carrier, "https://example.com/parcel/") + number


def first_orders(store: Store, product: Mapping[str, Any], first_id: int, now: float) -> Iterator[dict[str, Any]]:
    """One order in each status, the newest today."""
    for number, status in enumerate(ASSUMED["order.statuses"]):
        sold_at = now - timedelta(days=number).total_seconds()
        made = new_order(store, first_id + number, product, 1 + number % 2, sold_at)
        moved(made, store, status, sold_at)
        yield made

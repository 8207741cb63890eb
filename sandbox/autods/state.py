"""What the doors share: stores, products, orders, bulk actions, how answers are shaped, the bill."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sandbox.autods import people
from sandbox.autods.bulk import Bulk
from sandbox.autods.errors import Refused
from sandbox.autods.values import FINISHED

FIRST_ORDER_ID: Final = 445_000
FIRST_BULK_ID: Final = 987
WINDOW_S: Final = 60.0


# Where the clients that were seen disagree: what an answer may look like, the first unless a test chooses another.
SHAPES: Final[Mapping[str, tuple[Any, ...]]] = {
    "money": ("number", "text"),
    "order": ("flat", "nested"),
    "address": ("address1", "address_1"),
    "duplicate": (200, 409),
}


@dataclass(slots=True)
class Settings:
    """How it behaves from now on."""

    bulk_polls: int = 2
    bulk_outcome: int = FINISHED
    per_minute: int | None = None  # requests of one token; None: no limit


class AutoDS:
    """The account. `clock` gives unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self.shapes = {name: choices[0] for name, choices in SHAPES.items()}
        self.settings = Settings()
        self.stores = people.stores()
        self.products: dict[int, dict[str, dict[str, Any]]] = {}
        self.orders: dict[int, dict[str, Any]] = {}
        self.by_sell_site_id: dict[str, int] = {}
        self.bulks: dict[int, Bulk] = {}
        self.addon_missing: set[str] = set()  # research products that need an add-on
        self.counts: Counter[str] = Counter()
        self.spent: dict[str, Decimal] = {}
        self._arrived: dict[str, deque[float]] = {}
        for store in self.stores.values():
            self.products[store.id] = {one["id"]: one for one in people.first_products(store, clock())}
            for product in list(self.products[store.id].values())[:1]:
                for order in people.first_orders(store, product, FIRST_ORDER_ID + len(self.orders), clock()):
                    self.keep(order)

    def keep(self, order: dict[str, Any]) -> None:
        """One more order."""
        self.orders[order["id"]] = order
        self.by_sell_site_id[order["sell_site_order_id"]] = order["id"]

    def next_order_id(self) -> int:
        """The id of the next one."""
        return FIRST_ORDER_ID + len(self.orders)

    def next_product_number(self, store: people.Store) -> int:
        """Deleted ones keep theirs."""
        numbers = [int(product_id[-8:]) for product_id in self.products[store.id]]
        store.products = max(store.products, *numbers) if numbers else store.products
        store.products += 1
        return store.products

    def store(self, text: str) -> people.Store:
        """A store by its id; raises Refused."""
        if not text.isdecimal() or int(text) not in self.stores:
            raise Refused("not_found", f"There is no store {text}.")
        return self.stores[int(text)]

    def product(self, store: people.Store, product_id: str) -> dict[str, Any]:
        """A product of a store; raises Refused."""
        found = self.products[store.id].get(product_id)
        if found is None:
            raise Refused("not_found", f"There is no product {product_id} in store {store.id}.")
        return found

    def order(self, text: str) -> dict[str, Any]:
        """An order by its id; raises Refused."""
        found = self.orders.get(int(text)) if text.isdecimal() else None
        if found is None:
            raise Refused("not_found", f"There is no order {text}.")
        return found

    def begin(self, kind: str, items: list[dict[str, Any]], apply: Callable[[Mapping[str, Any]], str | None]) -> Bulk:
        """A bulk action: `apply` does one item when it finishes, and returns what went wrong."""
        settings = self.settings
        made = Bulk(FIRST_BULK_ID + len(self.bulks), kind, items, apply, settings.bulk_polls, settings.bulk_outcome)
        self.bulks[made.id] = made
        return made

    def spend(self, currency: str, amount: Decimal) -> None:
        """Money that left the buyer account."""
        self.spent[currency] = self.spent.get(currency, Decimal(0)) + amount

    def admit(self, token: str, now: float) -> None:
        """Count a request; raises Refused above the limit."""
        self.counts["calls"] += 1
        arrived = self._arrived.setdefault(token, deque())
        while arrived and arrived[0] <= now - WINDOW_S:
            arrived.popleft()
        if self.settings.per_minute is not None and len(arrived) >= self.settings.per_minute:
            wait_s = max(1, round(arrived[0] + WINDOW_S - now))
            raise Refused("rate_limited", headers={"Retry-After": str(wait_s)})
        arrived.append(now)

    def bill(self) -> dict[str, Any]:
        """What was asked of it, and what it cost."""
        if not self.counts["calls"]:
            return {}
        names = ("calls", "orders_created", "orders_fulfilled", "products_uploaded", "products_published")
        spent = {currency: str(amount) for currency, amount in self.spent.items()}
        return {**{name: self.counts[name] for name in names}, "spent": spent}

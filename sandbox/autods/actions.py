"""What a test or the demo may do here beyond HTTP: as the shop's owner, as its customers, as the operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import uuid4

from sandbox.autods.assumed import ASSUMED
from sandbox.autods.errors import Refused
from sandbox.autods.people import Store, moved, new_order, new_product, track
from sandbox.autods.research import CATALOGUE
from sandbox.autods.state import SHAPES, AutoDS
from sandbox.autods.values import AMOUNT_MAX, CANCELED, ERROR, FINISHED, IN_STOCK, OUT_OF_STOCK, PRODUCT_STATUSES, shown
from sandbox.autods.webhooks import TIMESTAMPED, TYPES, Message, deliver, message_body
from sandbox.routes import Action, action

UPDATED_AT: Final = ASSUMED["product.updated_at"]
FULFILLED: Final = ASSUMED["order.statuses"][3]
MODES: Final = ASSUMED["webhook.modes"]


class Actions:
    """The actions on one provider; the parameters of each are the fields of its JSON object."""

    def __init__(self, ours: AutoDS) -> None:
        self._ours = ours
        self._sent: dict[str, Message] = {}

    def table(self) -> Mapping[str, Action]:
        """All of them by name."""
        return {name: action(getattr(self, name)) for name in NAMES}

    def make_product(self, store: int, title: str | None = None, status: int = 2, count: int = 1) -> list[str]:
        """Products made on their own pages: their ids."""
        found = self._store(store)
        one_of("status", status, PRODUCT_STATUSES)
        made = []
        for _ in range(count):
            product = new_product(found, self._ours.next_product_number(found), self._ours.clock(), title)
            product["status"] = status
            self._ours.products[found.id][product["id"]] = product
            made.append(product["id"])
        return made

    def update_product(
        self,
        store: int,
        product: str,
        title: str | None = None,
        price: str | None = None,
        quantity: int | None = None,
        status: int | None = None,
    ) -> Any:
        """A change on their own pages, of all its variations; `price` is a decimal in a string. The product."""
        found, changed = self._store(store), self._product(store, product)
        if status is not None:
            changed["status"] = one_of("status", status, PRODUCT_STATUSES)
        if title is not None:
            changed["title"] = title
        for one in changed["variations"]:
            if price is not None:
                one["price"] = found.money(decimal(price))
            if quantity is not None:
                one |= {"quantity": quantity, "inventory_status": IN_STOCK if quantity else OUT_OF_STOCK}
        changed[UPDATED_AT] = found.time(self._ours.clock())
        return shown(changed, as_text=True)

    def delete_product(self, store: int, product: str) -> None:
        """Deleted on their own pages: no list has it any more."""
        self._product(store, product)
        del self._ours.products[store][product]

    def restate(self, store: int, factor: str = "1.10") -> int:
        """The supplier's prices change, and with them those of all products: how many products."""
        found, times = self._store(store), decimal(factor)
        products = self._ours.products[found.id].values()
        for product in products:
            for one in product["variations"]:
                for priced in (one, one.get("active_buy_item", {})):
                    if "price" in priced:
                        priced["price"] = found.money(priced["price"] * times)
            product[UPDATED_AT] = found.time(self._ours.clock())
        return len(products)

    def new_order(self, store: int, product: str | None = None, quantity: int = 1) -> Any:
        """A customer buys in the shop, the first product unless named: the order."""
        found = self._store(store)
        wanted = product or next(iter(self._ours.products[found.id]), "")
        bought = self._product(store, wanted)
        if not any("price" in one and "active_buy_item" in one for one in bought.get("variations", [])[:1]):
            raise ValueError(f"product {wanted} has nothing to buy")
        made = new_order(found, self._ours.next_order_id(), bought, quantity, self._ours.clock())
        self._ours.keep(made)
        return shown(made, as_text=True)

    def set_order(
        self, order: int, status: str | None = None, tracking_number: str | None = None, carrier: str = "UPS"
    ) -> Any:
        """An order gets on; `status` is any text, shipped and delivered bring a tracking number. The order."""
        try:
            found = self._ours.order(str(order))
        except Refused as no:
            raise ValueError(str(no)) from None
        store, now = self._ours.stores[found["store_id"]], self._ours.clock()
        before = found["status"]
        if tracking_number is not None:
            track(found, tracking_number, carrier)
        moved(found, store, before if status is None else status, now)
        if found["status"] == FULFILLED != before:
            self._ours.counts["orders_fulfilled"] += 1
        return shown(found, as_text=True)

    def orders(self, store: int) -> Any:
        """All orders of a store, oldest id first."""
        found = self._store(store)
        return [shown(one, as_text=True) for one in self._ours.orders.values() if one["store_id"] == found.id]

    def totals(self, store: int) -> dict[str, Any]:
        """By product status (as text) how many products; by order status how many orders; their amounts in all."""
        found = self._store(store)
        products = [one["status"] for one in self._ours.products[found.id].values()]
        orders = [one for one in self._ours.orders.values() if one["store_id"] == found.id]
        statuses = [one["status"] for one in orders]
        return {
            "products": {str(one): products.count(one) for one in sorted(set(products))},
            "orders": {one: statuses.count(one) for one in sorted(set(statuses))},
            "amount": str(sum((Decimal(one[ASSUMED["order.total"]]) for one in orders), Decimal(0))),
            "currency": found.currency,
        }

    def set_store(self, store: int, active: bool | None = None, orders_by_api: bool | None = None) -> None:
        """Whether a store is open, and whether its settings allow orders via API."""
        found = self._store(store)
        found.active = found.active if active is None else active
        found.orders_by_api = found.orders_by_api if orders_by_api is None else orders_by_api

    def set_bulk(self, polls: int = 2, outcome: int = FINISHED) -> None:
        """How bulk actions begun from now on go: so many looks, then 3 (finished), 4 (canceled) or 99 (error)."""
        if not isinstance(polls, int) or polls < 0:
            raise ValueError("polls is a whole number of 0 or more")
        self._ours.settings.bulk_polls = polls
        self._ours.settings.bulk_outcome = one_of("outcome", outcome, (FINISHED, CANCELED, ERROR))

    def finish_bulk(self, bulk: int) -> int:
        """A bulk action finishes without being looked at: its status."""
        if bulk not in self._ours.bulks:
            raise ValueError(f"there is no bulk action {bulk}")
        self._ours.bulks[bulk].finish()
        return self._ours.bulks[bulk].status

    def set_limits(self, per_minute: int | None = None) -> None:
        """Requests of one token in any minute; off unless given."""
        if per_minute is not None and (not isinstance(per_minute, int) or per_minute < 1):
            raise ValueError("per_minute is a whole number of 1 or more, or null")
        self._ours.settings.per_minute = per_minute

    def set_shapes(
        self,
        money: str | None = None,
        order: str | None = None,
        address: str | None = None,
        duplicate: int | None = None,
    ) -> dict[str, Any]:
        """What answers look like where clients disagree: all shapes as they are then."""
        given = {"money": money, "order": order, "address": address, "duplicate": duplicate}
        for name, value in given.items():
            if value is not None:
                self._ours.shapes[name] = one_of(name, value, SHAPES[name])
        return self._ours.shapes

    def need_addon(self, product: str, needed: bool = True) -> None:
        """A product of the research answers 307, or no longer."""
        if product not in CATALOGUE:
            raise ValueError(f"the research has no product {product!r}")
        (self._ours.addon_missing.add if needed else self._ours.addon_missing.discard)(product)

    async def send_webhook(
        self,
        url: str,
        secret: str,
        type: str = TYPES[1],
        data: Mapping[str, Any] | None = None,
        id: str | None = None,
        mode: str = TIMESTAMPED,
        header: str = ASSUMED["webhook.header"],
        at: int | None = None,
        created_at: str | None = None,
        signed: bool = True,
        body: str | None = None,
    ) -> Mapping[str, Any]:
        """A message, signed; its id is made up unless given, any `type` goes, `body` is sent as it is.

        Answers `{"id", "status", "answer", "body", "signature"}`; `at` is of the signature, in unix seconds."""
        one_of("mode", mode, MODES)
        now = self._ours.clock()
        event_id = id or f"evt_{uuid4().hex}"
        text = body
        if text is None:
            text = message_body(event_id, type, created_at or self._store(1002).time(now), data or {})
        self._sent[event_id] = Message(event_id, url, secret, mode, header, text)
        return await deliver(self._sent[event_id], int(now) if at is None else at, signed)

    async def repeat_webhook(self, id: str, at: int | None = None) -> Mapping[str, Any]:
        """The same message again: the same id and bytes, signed anew."""
        if id not in self._sent:
            raise ValueError(f"no message {id!r} was sent")
        return await deliver(self._sent[id], int(self._ours.clock()) if at is None else at)

    def _store(self, store: int) -> Store:
        if store not in self._ours.stores:
            raise ValueError(f"there is no store {store!r}; there are {', '.join(map(str, self._ours.stores))}")
        return self._ours.stores[store]

    def _product(self, store: int, product: str) -> dict[str, Any]:
        try:
            return self._ours.product(self._store(store), product)
        except Refused as no:
            raise ValueError(str(no)) from None


NAMES: Final = tuple(name for name in vars(Actions) if not name.startswith("_") and name != "table")


def one_of(name: str, value: Any, known: Sequence[Any]) -> Any:
    """The value, if it is one of those known; raises ValueError."""
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(map(str, known))}, not {value!r}")
    return value


def decimal(text: str) -> Decimal:
    """A decimal in a string; raises ValueError."""
    try:
        found = Decimal(str(text))
    except InvalidOperation:
        raise ValueError(f"{text!r} is no decimal") from None
    if not abs(found) <= AMOUNT_MAX:
        raise ValueError(f"{text} is no amount")
    return found

"""The account's stores: their money and their clocks, which products and orders do not bring along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model import Cursor, Done, Records
from providers.autods import api
from providers.contract import Call

STREAM = "stores"


@dataclass(frozen=True, slots=True)
class Store:
    """One store. A currency that is not told leaves amounts out; a time zone that is not is UTC."""

    id: str
    name: str
    currency: str = ""
    time_zone: str = "UTC"
    active: bool = True

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Store:
        """From the wire, or from what was kept of it."""
        currency = api.text(facts.get("currency")).upper()
        return cls(
            id=api.text(facts.get("id")),
            name=api.text(facts.get("name")),
            currency=currency if len(currency) == 3 and currency.isalpha() else "",
            time_zone=api.text(facts.get("timezone") or facts.get("time_zone")) or "UTC",
            active=facts.get("active") is not False,
        )

    def facts(self) -> dict[str, Any]:
        """What is kept of it."""
        return {
            "id": self.id,
            "name": self.name,
            "currency": self.currency,
            "time_zone": self.time_zone,
            "active": self.active,
        }


def fetched(call: Call) -> list[Store]:
    """All stores, as AutoDS lists them now."""
    listed = api.rows(api.ask(call, "list_stores"), "stores")
    found = [Store.of(row["store"] if isinstance(row.get("store"), dict) else row) for row in listed]
    return [store for store in found if store.id]


def known(call: Call, store_id: str) -> Store:
    """A store as the stream has it; one that was not read yet has neither currency nor time zone."""
    kept = map(Store.of, call.known.cursor(STREAM).get("stores", ()))
    return next((store for store in kept if store.id == store_id), Store(store_id, ""))


def meant(call: Call, stores: list[Store]) -> list[Store]:
    """Those of them that the account's fields name; where they name none, all that are open."""
    named = api.stores_of(call)
    return [store for store in stores if (store.id in named if named else store.active)]


def read(call: Call) -> Done:
    """sync.due of the stream: the list, kept as its value."""
    found = fetched(call)
    value = {"stores": [store.facts() for store in found], "read_at": call.now.isoformat()}
    return Done(result={"stores": len(found)}, records=Records(cursor=Cursor(STREAM, value, finished=True)))

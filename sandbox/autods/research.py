"""Product research: what sells elsewhere.

A product may need an add-on: then it answers 307, which is no way to follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from sandbox.autods import query
from sandbox.autods.call import Call
from sandbox.autods.errors import Refused
from sandbox.autods.people import WORDS
from sandbox.autods.values import INTEGER, LIST, OBJECT, Field, Fields
from sandbox.wire import Answer

SEARCH: Final[Fields] = {
    "offset": Field(INTEGER, least=0),
    "limit": Field(INTEGER, least=1),
    "condition": query.CONDITION,
    "order_by": Field(OBJECT, required=True),
    "filters": Field(LIST),
}
LIMIT: Final = 10
CURRENCY: Final = "USD"
REGION: Final = 1


def entry(number: int) -> Mapping[str, Any]:
    """One product of the catalogue."""
    return {
        "id": f"5ea4c4{number:018d}",
        "title": WORDS[number % len(WORDS)],
        "price": Decimal(12 + number) + Decimal("0.90"),
        "orders": 1000 - number,
        "created_at": f"2026-{1 + number % 9:02d}-01T00:00:00+00:00",
    }


CATALOGUE: Final = {one["id"]: one for one in map(entry, range(40))}


def search(call: Call) -> Answer:
    """One page by filters; `order_by` must be given."""
    body = call.body(SEARCH)
    order = {"name": "created_at", "direction": "desc", **body["order_by"]}
    found = query.page(CATALOGUE.values(), {**body, "order_by": order}, LIMIT)
    return call.answer({"results": found, "currency": CURRENCY, "region": REGION})


def winning(call: Call) -> Answer:
    """What sells best; offset, limit and sort must be given."""
    start, size = call.number("offset"), call.number("limit", least=1, most=100)
    sort = call.request.args.get("sort", "")
    name = sort.removeprefix("-")
    if name not in entry(0):
        raise Refused("invalid", "sort must name a field.")
    order = {"name": name, "direction": "desc" if sort.startswith("-") else "asc"}
    body = {"offset": start, "limit": size, "order_by": order}
    return call.answer({"results": query.page(CATALOGUE.values(), body)})


def read(call: Call) -> Answer:
    """One product, or 307 when an add-on is missing."""
    return call.answer(known(call))


def similar(call: Call) -> Answer:
    """Those with the same title."""
    found = known(call)
    alike = [one for one in CATALOGUE.values() if one["title"] == found["title"] and one["id"] != found["id"]]
    return call.answer({"results": alike})


def recommended(call: Call) -> Answer:
    """The others, a page at a time."""
    found = known(call)
    others = [one for one in CATALOGUE.values() if one["id"] != found["id"]]
    start, size = call.number("offset", 0), call.number("limit", LIMIT, least=1)
    return call.answer({"results": others[start : start + size], "total_results": len(others)})


def known(call: Call) -> Mapping[str, Any]:
    """The product of the path; raises Refused."""
    wanted = call.params["product_id"]
    if wanted in call.ours.addon_missing:
        raise Refused("addon_missing")
    if wanted not in CATALOGUE:
        raise Refused("not_found", f"There is no product {wanted}.")
    return CATALOGUE[wanted]

"""Product research: what sells elsewhere.

A product may need an add-on: then it answers 307, which is no way to follow. Filters differ from those of the other
host: they have operators and types of their own, and every value is a string.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sandbox.autods import query
from sandbox.autods.assumed import ASSUMED
from sandbox.autods.call import Call
from sandbox.autods.errors import Invalid, Refused
from sandbox.autods.people import WORDS
from sandbox.autods.values import INTEGER, LIST, OBJECT, TEXT, Field, Fields, checked
from sandbox.wire import Answer

SEARCH: Final[Fields] = {
    "offset": Field(INTEGER, least=0),
    "limit": Field(INTEGER, least=1),
    "condition": query.CONDITION,
    "order_by": Field(OBJECT, required=True),
    "filters": Field(LIST),
}


def finite(text: str) -> Decimal:
    """A decimal that can be compared; raises ValueError."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not found.is_finite():
        raise ValueError(text)
    return found


READINGS: Final[Mapping[str, Callable[[str], Any]]] = {  # by value_type
    "string": str,
    "integer": int,
    "float": finite,
    "bool": lambda text: text == "true",
    "list": str,
    "objectId": str,
}
FILTER: Final[Fields] = {
    "name": Field(TEXT, required=True),
    "value": Field(TEXT, required=True),
    "value_type": Field(TEXT, required=True, choices=tuple(READINGS)),
    "op": Field(TEXT, required=True, choices=("=", "ne", "<", "<=", ">", ">=", "in", "between", "search")),
}
OF_THE_OTHER_HOST: Final = {"search": "like", "objectId": "object_id"}  # how that one says the same
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
    filters = [translated(one, ["filters", number]) for number, one in enumerate(body.get("filters", []))]
    found = query.page(CATALOGUE.values(), {**body, "order_by": order, "filters": filters}, LIMIT)
    return call.answer({"results": found, "currency": CURRENCY, "region": REGION})


def translated(given: Any, where: list[str | int]) -> dict[str, Any]:
    """A filter as the other host has it; raises Invalid."""
    one = checked(given, FILTER, where)
    op, kind = one["op"], one["value_type"]
    texts = one["value"].split(ASSUMED["research.between_values"]) if op in query.OF_LISTS else [one["value"]]
    try:
        values = [READINGS[kind](text) for text in texts]
    except ValueError:
        raise Invalid([*where, "value"], f"{one['value']!r} is no {kind}.") from None
    named = {"value_list": values} if op in query.OF_LISTS else {"value": values[0]}
    if op == "in":
        kind = "list_int" if kind == "integer" else "list"
    words = {"op": OF_THE_OTHER_HOST.get(op, op), "value_type": OF_THE_OTHER_HOST.get(kind, kind)}
    return {"name": one["name"], **words, **named}


def winning(call: Call) -> Answer:
    """What sells best; offset, limit and sort must be given, `search` looks at titles."""
    start, size = call.number("offset"), call.number("limit", least=1, most=100)
    sort = call.request.args.get("sort", "")
    name = sort.removeprefix("-")
    if name not in entry(0):
        raise Refused("invalid", "sort must name a field.")
    order = {"name": name, "direction": "desc" if sort.startswith("-") else "asc"}
    words = call.request.args.get("search", "").lower()
    found = [one for one in CATALOGUE.values() if words in one["title"].lower()]
    body = {"offset": start, "limit": size, "order_by": order}
    return call.answer({"results": query.page(found, body)})


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

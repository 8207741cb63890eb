"""Lists: filters, order, pages, and which fields come back. A dotted name looks into objects and into lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sandbox.autods.errors import Invalid
from sandbox.autods.values import ANY, INTEGER, LIST, OBJECT, TEXT, Field, Fields, checked, moment

OPS: Final = (
    "=",
    "ne",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "not_in",
    "like",
    "not_like",
    "has",
    "any",
    "starts_with",
    "ends_with",
    "exists",
    "exact_date",
    "between",
)
VALUE_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "integer": (int,),
    "float": (int, Decimal),
    "bool": (bool,),
    "string": (str,),
    "list": (str, int),
    "list_int": (int,),
    "datetime": (str,),
    "object_id": (str,),
}
OF_LISTS: Final = ("in", "not_in", "between", "any")  # the ops that take value_list
CONDITION: Final = Field(TEXT, choices=("and", "or"))
FILTER: Final[Fields] = {
    "name": Field(TEXT, required=True),
    "op": Field(TEXT, required=True, choices=OPS),
    "value_type": Field(TEXT, required=True, choices=tuple(VALUE_TYPES)),
    "value": Field(ANY),
    "value_list": Field(LIST),
}
ORDER_BY: Final[Fields] = {
    "name": Field(TEXT, required=True),
    "direction": Field(TEXT, choices=("asc", "desc")),
}
CHOICE: Final[Fields] = {"filters": Field(LIST), "condition": CONDITION}
PAGE: Final[Fields] = {
    **CHOICE,
    "limit": Field(INTEGER, least=1, most=1000),
    "offset": Field(INTEGER, least=0),
    "order_by": Field(OBJECT),
    "projection": Field(LIST),
}
LIMIT: Final = 100

Item = Mapping[str, Any]
Test = Callable[[Any, list[Any]], bool]

TESTS: Final[Mapping[str, Test]] = {
    "=": lambda found, wanted: found == wanted[0],
    "<": lambda found, wanted: comparable(found, wanted[0]) and found < wanted[0],
    "<=": lambda found, wanted: comparable(found, wanted[0]) and found <= wanted[0],
    ">": lambda found, wanted: comparable(found, wanted[0]) and found > wanted[0],
    ">=": lambda found, wanted: comparable(found, wanted[0]) and found >= wanted[0],
    "in": lambda found, wanted: found in wanted,
    "any": lambda found, wanted: found in wanted,
    "has": lambda found, wanted: found == wanted[0],
    "like": lambda found, wanted: str(wanted[0]).lower() in str(found).lower(),
    "starts_with": lambda found, wanted: str(found).startswith(str(wanted[0])),
    "ends_with": lambda found, wanted: str(found).endswith(str(wanted[0])),
    "exact_date": lambda found, wanted: isinstance(found, datetime) and same_day(found, wanted[0]),
    "between": lambda found, wanted: comparable(found, wanted[0]) and wanted[0] <= found <= wanted[1],
}
OPPOSITES: Final = {"ne": "=", "not_in": "in", "not_like": "like"}


def chosen(items: Iterable[Item], body: Mapping[str, Any]) -> list[Item]:
    """Those that the filters want, all without filters; raises Invalid."""
    tests = [test_of(one, number) for number, one in enumerate(body.get("filters", []))]
    if not tests:
        return list(items)
    every = any if body.get("condition") == "or" else all
    return [one for one in items if every(test(one) for test in tests)]


def page(items: Iterable[Item], body: Mapping[str, Any], limit: int = LIMIT) -> list[dict[str, Any]]:
    """The page asked for; raises Invalid."""
    found = chosen(items, body)
    if "order_by" in body:
        order = checked(body["order_by"], ORDER_BY, ["order_by"])
        found.sort(key=lambda one: sort_key(one, order["name"]), reverse=order.get("direction") == "desc")
    start = body.get("offset", 0)
    names = projection(body)
    return [project(one, names) for one in found[start : start + body.get("limit", limit)]]


def test_of(given: Any, number: int) -> Callable[[Item], bool]:
    """One filter as a test of an item; raises Invalid."""
    where: list[str | int] = ["filters", number]
    one = checked(given, FILTER, where)
    name, op = one["name"], one["op"]
    if op == "exists":
        return lambda item: bool(list(looked_up(item, name.split(".")))) == bool(one.get("value", True))
    wanted = wanted_values(one, where)
    test = TESTS[OPPOSITES.get(op, op)]
    read_as = READINGS.get(one["value_type"], lambda value: value)

    def passes(item: Item) -> bool:
        values = [read_as(value) for value in looked_up(item, name.split("."))]
        return any(test(value, wanted) for value in values) != (op in OPPOSITES)

    return passes


def wanted_values(one: Mapping[str, Any], where: Sequence[str | int]) -> list[Any]:
    """What a filter compares with; raises Invalid."""
    op, kind = one["op"], one["value_type"]
    name = "value_list" if op in OF_LISTS else "value"
    if name not in one:
        raise Invalid([*where, name], f"{op} needs {name}.")
    values = list(one["value_list"]) if op in OF_LISTS else [one["value"]]
    if op in ("in", "not_in") and kind not in ("list", "list_int"):
        raise Invalid([*where, "value_type"], f"{op} takes list or list_int.")
    if op == "between" and len(values) != 2:
        raise Invalid([*where, name], "between takes two values.")
    for value in values:
        if not isinstance(value, VALUE_TYPES[kind]) or isinstance(value, bool) != (kind == "bool"):
            raise Invalid([*where, name], f"{value!r} is no {kind}.")
    return [moment(value, [*where, name]) for value in values] if kind == "datetime" else values


def looked_up(item: Any, names: Sequence[str]) -> Iterator[Any]:
    """The values under a dotted name: one, none, or one for each item of the lists on the way."""
    if isinstance(item, list):
        for one in item:
            yield from looked_up(one, names)
    elif not names:
        if item is not None:
            yield item
    elif isinstance(item, Mapping) and names[0] in item:
        yield from looked_up(item[names[0]], names[1:])


def in_zone(value: Any) -> Any:
    """A time with its zone out of its text; other values as they are."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
    return value if found.tzinfo is None else found


def same_day(found: datetime, wanted: datetime) -> bool:
    """Whether two times are of one day, in the zone of the one asked for."""
    return found.astimezone(wanted.tzinfo).date() == wanted.date()


def as_text(value: Any) -> Any:
    """A number as its digits: order ids were seen to be filtered as strings. Other values as they are."""
    return str(value) if type(value) is int else value


READINGS: Final[Mapping[str, Callable[[Any], Any]]] = {"datetime": in_zone, "string": as_text}  # by value_type


def comparable(found: Any, wanted: Any) -> bool:
    """Whether two values have an order."""
    numbers = (int, Decimal)
    return isinstance(found, type(wanted)) or (isinstance(found, numbers) and isinstance(wanted, numbers))


def sort_key(item: Item, name: str) -> tuple[str, Any, str]:
    """Missing values first, equal ones by id; times by when they are, whatever their zone."""
    value = in_zone(next(looked_up(item, name.split(".")), None))
    if value is None:
        return "", 0, str(item["id"])
    if isinstance(value, datetime):
        value = value.timestamp()
    kind = "number" if isinstance(value, (int, float, Decimal)) else "text"
    return kind, value if kind == "number" else str(value), str(item["id"])


def projection(body: Mapping[str, Any]) -> list[list[str]]:
    """The names asked for, in their parts; raises Invalid."""
    names = body.get("projection", [])
    if not all(isinstance(name, str) for name in names):
        raise Invalid(["projection"], "projection is a list of strings.")
    return [name.split(".") for name in names]


def project(item: Any, names: Sequence[Sequence[str]]) -> Any:
    """Only what was asked for; all of it when nothing was, or when a name ends here."""
    if not names or any(not name for name in names):
        return item
    if isinstance(item, list):
        return [project(one, names) for one in item]
    if not isinstance(item, Mapping):
        return item
    wanted: dict[str, list[Sequence[str]]] = {}
    for first, *rest in names:
        wanted.setdefault(first, []).append(rest)
    return {name: project(item[name], rests) for name, rests in wanted.items() if name in item}

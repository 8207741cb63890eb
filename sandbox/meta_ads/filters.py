"""The conditions that lists take: `filtering=[{"field", "operator", "value"}]`, each field named after its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid

Keep = Callable[[Any], bool]
TESTS: Final[Mapping[tuple[str, str], Callable[[Any, Any], bool]]] = {  # by field and operator
    ("name", "CONTAIN"): lambda one, value: str(value).lower() in one.name.lower(),
    ("updated_time", "GREATER_THAN"): lambda one, value: one.updated_at > float(value),
    ("id", "IN"): lambda one, value: one.id in value,
}


def read_filters(call: Call, kind: str) -> list[Keep]:
    """The conditions on objects of a kind; raises Refusal for those that are not known here."""
    return [condition(one, kind) for one in call.read("filtering", values.array) or ()]


def condition(source: Any, kind: str) -> Keep:
    """One condition."""
    if not isinstance(source, dict) or "value" not in source:
        raise invalid("filtering", 'a list of {"field", "operator", "value"}')
    named, _, field = str(source.get("field")).partition(".")
    test = TESTS.get((field, str(source.get("operator")))) if named == kind else None
    if test is None:
        known = ", ".join(f"{kind}.{field} {operator}" for field, operator in TESTS)
        raise invalid("filtering", f"one of the conditions {known}")
    value = source["value"]
    if (source["operator"] == "IN") != isinstance(value, list):
        raise invalid("filtering", "with a list of values for IN, and one value for the others")
    if source["operator"] == "GREATER_THAN" and not str(value).isdigit():
        raise invalid("filtering", "with Unix seconds for updated_time")
    return lambda one: test(one, value)

"""Parameters of an endpoint as data, and reading them from a query string or a JSON body.

In a query scalars are plain, arrays and objects are JSON. A parameter that the table of an endpoint does not name is
refused: a misspelt one is to be found here, and not on the day it would have mattered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sandbox.tiktok_ads.envelope import Invalid


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: its kind (a key of KINDS), whether it must be there, and the values it may have."""

    kind: str
    required: bool = False
    choices: Collection[str] = ()


Parameters = Mapping[str, Parameter]
Args = Mapping[str, Any]

ID: Final = Parameter("id", required=True)
PAGING: Final[Parameters] = {"page": Parameter("integer"), "page_size": Parameter("integer")}
PAGE_SIZE: Final = 10
NUMBER_MAX: Final = 1e15
ID_DIGITS: Final = len(str(2**63))
PAGE_SIZE_MAX: Final = 1000

JSON_KINDS: Final = frozenset({"texts", "ids", "object", "objects"})  # encoded as JSON in a query


def is_text(value: object) -> bool:
    """A string with something in it."""
    return isinstance(value, str) and bool(value.strip())


def is_id(value: object) -> bool:
    """A number of 64 bits, as a string: as a JSON number it would lose digits above 2^53."""
    digits = isinstance(value, str) and value.isascii() and value.isdigit()
    return digits and len(str(value)) <= ID_DIGITS and int(str(value)) < 2**63


def is_number(value: object) -> bool:
    """A number that a double holds without trouble."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -NUMBER_MAX < value < NUMBER_MAX


def is_integer(value: object) -> bool:
    """A whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_date(value: object) -> bool:
    """YYYY-MM-DD."""
    if not isinstance(value, str) or len(value) != len("YYYY-MM-DD"):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def each(accepts: Callable[[object], bool]) -> Callable[[object], bool]:
    """An array of such values."""
    return lambda value: isinstance(value, list) and all(map(accepts, value))


def is_object(value: object) -> bool:
    """A JSON object."""
    return isinstance(value, dict)


def is_flag(value: object) -> bool:
    """true or false."""
    return isinstance(value, bool)


KINDS: Final[Mapping[str, tuple[str, Callable[[object], bool]]]] = {
    "text": ("a string", is_text),
    "blank": ("a string", lambda value: isinstance(value, str)),
    "id": ("an id: digits in a string", is_id),
    "integer": ("a whole number", is_integer),
    "number": ("a number", is_number),
    "flag": ("true or false", is_flag),
    "date": ("a date, YYYY-MM-DD", is_date),
    "texts": ("an array of strings", each(is_text)),
    "ids": ("an array of ids: digits in strings", each(is_id)),
    "object": ("an object", is_object),
    "objects": ("an array of objects", each(is_object)),
}


def from_query(query: Mapping[str, str], parameters: Parameters) -> Args:
    """The parameters of a GET; raises Invalid."""
    given = {name: decoded(name, text, parameters[name].kind) for name, text in known(query, parameters).items()}
    return checked(given, parameters)


def from_body(body: bytes, parameters: Parameters) -> Args:
    """The parameters of a POST; raises Invalid."""
    try:
        given = json.loads(body)
    except ValueError:
        raise Invalid("The body is not JSON.") from None
    if not isinstance(given, dict):
        raise Invalid("The body is not a JSON object.")
    return checked({name: value for name, value in given.items() if value is not None}, parameters)


def known(given: Mapping[str, Any], parameters: Parameters) -> Mapping[str, Any]:
    """What was given; raises Invalid for a name that is not in the table."""
    for name in given:
        if name not in parameters:
            raise Invalid(f"{name}: there is no such parameter; there are: {', '.join(parameters)}.")
    return given


def decoded(name: str, text: str, kind: str) -> Any:
    """A value out of a query string; raises Invalid."""
    if kind in JSON_KINDS or kind in ("integer", "number", "flag"):
        try:
            return json.loads(text)
        except ValueError:
            raise Invalid(f"{name}: this is not {KINDS[kind][0]}, encoded as JSON.") from None
    return text


def checked(given: Mapping[str, Any], parameters: Parameters) -> Args:
    """The values, all of the right kind; raises Invalid."""
    known(given, parameters)
    for name, parameter in parameters.items():
        if name in given:
            check(name, given[name], parameter)
        elif parameter.required:
            raise Invalid(f"{name}: Missing data for required field.")
    return given


def check(name: str, value: object, parameter: Parameter) -> None:
    """Raise Invalid for a value of another kind, or none of the choices."""
    wanted, accepts = KINDS[parameter.kind]
    if not accepts(value):
        raise Invalid(f"{name}: this is not {wanted}.")
    if parameter.choices and value not in parameter.choices:
        raise Invalid(f"{name}: must be one of {', '.join(sorted(parameter.choices))}.")


def paged(items: list[Any], args: Args, size_max: int = PAGE_SIZE_MAX) -> tuple[list[Any], dict[str, int]]:
    """One page of the items, and `page_info`; raises Invalid."""
    page, size = args.get("page", 1), args.get("page_size", PAGE_SIZE)
    if page < 1:
        raise Invalid("page: must be 1 or more.")
    if not 1 <= size <= size_max:
        raise Invalid(f"page_size: must be between 1 and {size_max}.")
    start = (page - 1) * size
    info = {"page": page, "page_size": size, "total_number": len(items), "total_page": -(-len(items) // size)}
    return items[start : start + size], info


def selected(shown: dict[str, Any], fields: list[str] | None) -> dict[str, Any]:
    """Only these fields, all when none are named; raises Invalid for one that is not there."""
    if not fields:
        return shown
    unknown = [name for name in fields if name not in shown]
    if unknown:
        raise Invalid(f"fields: there is no {', '.join(unknown)}.")
    return {name: shown[name] for name in fields}

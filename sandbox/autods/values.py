"""JSON bodies checked against tables, and the values in them: numbers that stay exact, enums, times with a zone."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sandbox.autods.errors import Invalid, Refused

Kind = tuple[type, ...]
INTEGER: Final[Kind] = (int,)
NUMBER: Final[Kind] = (int, Decimal)
TEXT: Final[Kind] = (str,)
FLAG: Final[Kind] = (bool,)
LIST: Final[Kind] = (list,)
OBJECT: Final[Kind] = (dict,)
ANY: Final[Kind] = (object,)
WORDS: Final[Mapping[Kind, str]] = {
    INTEGER: "an integer",
    NUMBER: "a number",
    TEXT: "a string",
    FLAG: "true or false",
    LIST: "a list",
    OBJECT: "an object",
}

AMOUNT_MAX: Final = 10**9

PRODUCT_STATUSES: Final = range(1, 7)
DRAFT, ACTIVE, ENDED, UNTRACKED, SCHEDULED, PRE_DRAFT = PRODUCT_STATUSES
IN_STOCK, OUT_OF_STOCK, ON_HOLD = 1, 2, 3
CREATED, IN_PROGRESS, FINISHED, CANCELED, ERROR = 1, 2, 3, 4, 99
SUPPLIERS: Final = range(1, 40)  # buy_site
REGIONS: Final = range(1, 23)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body."""

    kind: Kind
    required: bool = False
    choices: Collection[Any] = ()
    least: int | None = None
    most: int | None = None


Fields = Mapping[str, Field]

AMOUNT: Final = Field(NUMBER, least=0, most=AMOUNT_MAX)


def read_json(body: bytes) -> Any:
    """The JSON of a body, numbers with a point as decimals; raises Refused."""
    try:
        return json.loads(body or b"{}", parse_float=Decimal)
    except ValueError:
        raise Refused("bad_request", "The body is not JSON.") from None


def checked(given: Any, fields: Fields, where: Sequence[str | int] = ()) -> dict[str, Any]:
    """An object whose fields are all known and right; raises Invalid. What is null was not given."""
    if not isinstance(given, dict):
        raise Invalid(where, "This must be an object.")
    unknown = sorted(set(given) - set(fields))
    if unknown:
        raise Invalid([*where, unknown[0]], f"{unknown[0]} is not known.")
    present = {name: value for name, value in given.items() if value is not None}
    for name, one in fields.items():
        if name in present:
            check_value(present[name], one, [*where, name])
        elif one.required:
            raise Invalid([*where, name], f"{name} is required.")
    return present


def check_value(value: Any, one: Field, where: Sequence[str | int]) -> None:
    """Raise Invalid for a value of another kind or out of range; an enum as a string is of another kind."""
    if one.kind is not ANY and (not isinstance(value, one.kind) or (isinstance(value, bool) and one.kind is not FLAG)):
        raise Invalid(where, f"{where[-1]} must be {WORDS[one.kind]}.")
    if one.choices and value not in one.choices:
        raise Invalid(where, f"{where[-1]} is none of {', '.join(map(str, one.choices))}.")
    if (one.least is not None and value < one.least) or (one.most is not None and value > one.most):
        raise Invalid(where, f"{where[-1]} is out of range.")


def money(value: Any, where: Sequence[str | int]) -> Decimal:
    """An amount, given as a number or as decimal text; raises Invalid."""
    try:
        if isinstance(value, bool):
            raise TypeError
        found = Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        raise Invalid(where, f"{where[-1]} must be an amount.") from None
    if not found.is_finite() or abs(found) > AMOUNT_MAX:
        raise Invalid(where, f"{where[-1]} must be an amount.")
    return found


def moment(text: Any, where: Sequence[str | int]) -> datetime:
    """A time with its zone; raises Invalid."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise Invalid(where, f"{where[-1]} must be a time in ISO 8601.") from None
    if found.tzinfo is None:
        raise Invalid(where, f"{where[-1]} must say its time zone.")
    return found


def shown(value: Any, as_text: bool) -> Any:
    """A value as JSON has it: decimals as text, or as numbers."""
    if isinstance(value, Decimal):
        return str(value) if as_text else float(value)
    if isinstance(value, dict):
        return {name: shown(one, as_text) for name, one in value.items()}
    if isinstance(value, list):
        return [shown(one, as_text) for one in value]
    return value

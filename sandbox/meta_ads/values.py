"""Parameters as they come over the wire: texts, nested values as JSON in a text; each reader checks one kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final

from sandbox.meta_ads.errors import invalid

Reader = Callable[[str, str], Any]  # (name, value) -> what it means; raises Refusal

LATEST: Final = 4_102_444_800  # Unix seconds: the end of the century
BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "1": True, "false": False, "0": False}


def text(longest: int) -> Reader:
    """Some characters, but not too many."""

    def read(name: str, value: str) -> str:
        if not value.strip() or len(value) > longest:
            raise invalid(name, f"a text of 1 to {longest} characters")
        return value

    return read


def uint(name: str, value: str) -> int:
    """A whole number, not negative."""
    if not (value.isascii() and value.isdigit()):
        raise invalid(name, "an unsigned integer")
    return int(value)


def boolean(name: str, value: str) -> bool:
    """True or false."""
    if value.lower() not in BOOLEANS:
        raise invalid(name, "a boolean")
    return BOOLEANS[value.lower()]


def one_of(known: Collection[str]) -> Reader:
    """One of some words."""

    def read(name: str, value: str) -> str:
        if value not in known:
            raise invalid(name, "one of {" + ", ".join(sorted(known)) + "}")
        return value

    return read


def some_of(known: Collection[str]) -> Reader:
    """A list of such words, as JSON or with commas between them."""
    each = one_of(known)

    def read(name: str, value: str) -> tuple[str, ...]:
        return tuple(each(f"{name}[{n}]", item) for n, item in enumerate(words(name, value)))

    return read


def words(name: str, value: str) -> list[str]:
    """A list of texts, as JSON or with commas between them."""
    if not value.startswith("["):
        return [part.strip() for part in value.split(",") if part.strip()]
    items = array(name, value)
    if not all(isinstance(item, str) for item in items):
        raise invalid(name, "an array of strings")
    return items


def array(name: str, value: str) -> list[Any]:
    """A list, as JSON."""
    found = decoded(value)
    if not isinstance(found, list):
        raise invalid(name, "an array")
    return found


def record(name: str, value: str) -> dict[str, Any]:
    """An object, as JSON."""
    found = decoded(value)
    if not isinstance(found, dict):
        raise invalid(name, "an object")
    return found


def decoded(value: str) -> Any:
    """What JSON says, None when it is none."""
    try:
        return json.loads(value)
    except ValueError:
        return None


def moment(name: str, value: str) -> float:
    """A time as Unix seconds, given so or as ISO 8601 with an offset."""
    try:
        at = float(value) if value.isascii() and value.isdigit() else offset_time(value)
    except ValueError:
        raise invalid(name, "a valid timestamp, with an offset") from None
    if not 0 <= at <= LATEST:
        raise invalid(name, "a timestamp of this century")
    return at


def offset_time(value: str) -> float:
    """ISO 8601 with an offset as Unix seconds; raises ValueError."""
    parsed = datetime.fromisoformat(value)
    if parsed.tzinfo is None:
        raise ValueError("no offset")
    return parsed.timestamp()

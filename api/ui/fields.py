"""What people put into the fields of a page: ids, times and numbers that may be none, and filters of events."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import HTTPException

from api.ui.guard import Change

ROWS = 50  # of one page
PAIRS, MOST_PAIRS = 3, 20  # rows of the form for filters
MOST = 1_000_000
_LASTING = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)")
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class FormError(ValueError):
    """What was filled in cannot be meant; the message is one sentence."""


def an_id(text: str, what: str) -> UUID | None:
    """An id; None where nothing was given. Raises a 422 for anything else."""
    if not text.strip():
        return None
    try:
        return UUID(text.strip())
    except ValueError:
        raise HTTPException(422, f"{what} must be an id, such as 01890a5d-ac96-774b-bcce-b302099a8057.") from None


def a_time(text: str, what: str) -> datetime | None:
    """So long ago ("2h"), or an ISO time, in UTC unless it says otherwise; None where nothing was given."""
    if not text.strip():
        return None
    if found := _LASTING.fullmatch(text.strip().lower()):
        return datetime.now(UTC) - timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise HTTPException(422, f"{what} must be such as 2h, 3d or 2026-01-31T12:00.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def a_number(text: str, what: str, kind: type[float] | type[int]) -> Any | None:
    """A number of more than nothing; None where nothing was given. Raises FormError."""
    try:
        value = kind(text) if text.strip() else None
    except ValueError:
        raise FormError(f"{what} must be a number.") from None
    if value is not None and not 0 < value <= MOST:
        raise FormError(f"{what} must be more than 0, and at most a million.")
    return value


def pairs(change: Change) -> list[tuple[str, str]]:
    """The rows of a form for filters, as they were filled in."""
    names, values = change.lists.get("filter_name", []), change.lists.get("filter_value", [])
    return list(zip(names, values, strict=False))[:MOST_PAIRS]


def filters(change: Change) -> dict[str, Any]:
    """What those rows mean: a field of an event's data, and its value, as JSON or as text."""
    return {name.strip(): _value(value.strip()) for name, value in pairs(change) if name.strip()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def shown(given: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rows to fill in: those that were, and empty ones."""
    return [*given, *[("", "")] * max(PAIRS - len(given), 1)]


def as_pairs(stored: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Filters as rows: text as it is, the rest as JSON."""
    return [
        (name, value if _is_text(value) else json.dumps(value, ensure_ascii=False)) for name, value in stored.items()
    ]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and _value(value) == value


def cut(rows: Sequence[Any]) -> tuple[Sequence[Any], UUID | None]:
    """A page's rows of one more than it has, and where the next page begins; None at the end."""
    return rows[:ROWS], rows[ROWS - 1].id if len(rows) > ROWS else None

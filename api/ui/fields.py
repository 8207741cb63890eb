"""What people put into the filters of a page: ids and times that may be none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import HTTPException

ROWS = 50  # of one page
_LASTING = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)")
_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}


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


def cut(rows: Sequence[Any]) -> tuple[Sequence[Any], UUID | None]:
    """A page's rows of one more than it has, and where the next page begins; None at the end."""
    return rows[:ROWS], rows[ROWS - 1].id if len(rows) > ROWS else None

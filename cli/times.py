"""Durations and moments as people type them: 90s, 15min, 2h, 3d, or an ISO time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from cli.errors import Problem

_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+)\s*([a-z]+)")


def duration(text: str) -> timedelta:
    """A length of time such as "24h"."""
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None or found[2] not in _UNITS_S:
        raise Problem(f'"{text}" is not a duration: write one such as 90s, 15min, 2h or 3d.')
    try:
        return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])
    except OverflowError:
        raise Problem(f'"{text}" is too long a duration.') from None


def since(text: str, now: datetime | None = None) -> datetime:
    """A moment: so long ago, or an ISO time, which is UTC unless it says otherwise."""
    if _DURATION.fullmatch(text.strip().lower()):
        return (now or datetime.now(UTC)) - duration(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Problem(f'"{text}" is neither a duration such as 2h nor a time such as 2026-01-31T12:00.') from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""How much of its limits an account has used up, from the headers of any answer.

https://developers.facebook.com/docs/graph-api/overview/rate-limiting
Each header is JSON. One counts the wait in minutes, another in seconds; a header that is missing says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsontext
from providers.http import Answer

HEADERS = (
    "x-app-usage",
    "x-ad-account-usage",
    "x-business-use-case-usage",
    "x-fb-ads-insights-throttle",
    "x-fb-ads-insights-reach-throttle",  # its shape is unconfirmed: read like the one above
)
PERCENTS = ("call_count", "total_time", "total_cputime", "acc_id_util_pct", "app_id_util_pct")
WAITS_S: Mapping[str, float] = {"estimated_time_to_regain_access": 60.0, "reset_time_duration": 1.0}  # seconds in one

SLOW_FROM, BRAKE_FROM = 75.0, 90.0  # percent
SLOW_S, BRAKE_S, LONGEST_S = 5.0, 60.0, 3600.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What the headers say: the fullest limit in percent, and the seconds until it is free again."""

    percent: float = 0.0
    regain_s: float = 0.0

    @property
    def pause_s(self) -> float:
        """How long to leave the account alone before the next call."""
        if self.percent > BRAKE_FROM:
            return min(max(BRAKE_S, self.regain_s), LONGEST_S)
        return SLOW_S if self.percent > SLOW_FROM else 0.0


def usage_of(answer: Answer) -> Usage:
    """The usage that an answer's headers tell."""
    numbers = [number for name in HEADERS if name in answer.headers for number in _numbers(answer.headers[name])]
    return Usage(
        percent=max((value for name, value in numbers if name in PERCENTS), default=0.0),
        regain_s=max((value * WAITS_S[name] for name, value in numbers if name in WAITS_S), default=0.0),
    )


def _numbers(header: str) -> Iterator[tuple[str, float]]:
    try:
        yield from _of(jsontext.decoded(header))
    except (ValueError, RecursionError):
        return  # no news


def _of(value: Any) -> Iterator[tuple[str, float]]:
    """The named numbers in objects, lists of them, and objects of such lists."""
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict):
            for name, inner in each.items():
                if isinstance(inner, int | float) and not isinstance(inner, bool):
                    yield name, float(inner)
                else:
                    yield from _of(inner)

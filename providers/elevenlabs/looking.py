"""How often something is looked at that takes its time there: soon at first, then rarely, and not for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model import Wait
from providers.contract import Call
from providers.errors import Refused

_PART = 10  # of the time that has passed already: a result is at most a tenth of it late


def again(
    call: Call, progress: Mapping[str, Any], *, first_s: float, most_s: float, until_s: float, still: str
) -> Wait:
    """Look again later; Refused with what is `still` so, when it has been for too long.

    `progress["since"]`: when the waiting began, in unix seconds.
    """
    waited_s = call.now.timestamp() - progress["since"]
    if waited_s >= until_s:
        raise Refused(
            f"{still}, {_shown(until_s)} after it began. When that has changed, redeliver this: it goes on from here.",
            code="waited_too_long",
        )
    return Wait(min(max(first_s, waited_s / _PART), most_s), dict(progress))


def begun(call: Call) -> dict[str, int]:
    """The part of a progress that says when the waiting began."""
    return {"since": int(call.now.timestamp())}


def _shown(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"

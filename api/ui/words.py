"""How values read on a page: times, states, costs."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

# The tone of a state: what it asks of whoever sees it.
TONES = {
    **dict.fromkeys(("succeeded", "active", "accepted", "finished"), "good"),
    **dict.fromkeys(("pending", "running", "waiting", "started"), "busy"),
    **dict.fromkeys(("retrying", "retryable", "paused", "disabled", "open"), "warn"),
    **dict.fromkeys(("failed", "refused", "needs_reconnect", "blocked", "lost", "dead"), "bad"),
}
OURS = ("message:", "sync.due:", "chain:", "hook:")  # idempotency keys that the mesh makes itself
_ISO = re.compile(r"\d{4}-\d\d-\d\dT")
FOREVER = 9000  # a year that stands for infinity


def tone(state: str) -> str:
    """The class of a state's mark."""
    return TONES.get(state, "calm")


def lasting(seconds: float) -> str:
    """A duration in its natural unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def ago(at: datetime | None) -> str:
    """How far away a time is: "3 s ago", "in 12 min"."""
    if at is None:
        return ""
    if at.year > FOREVER:
        return "until its account works again"
    seconds = (datetime.now(UTC) - at).total_seconds()
    return f"{lasting(seconds)} ago" if seconds >= 0 else f"in {lasting(-seconds)}"


def ahead(at: datetime | None) -> bool:
    """Whether a time is still to come."""
    return at is not None and at > datetime.now(UTC)


def moment(at: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "" if at is None or at.year > FOREVER else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(at: datetime) -> str:
    """A time of day in UTC, to the millisecond."""
    return f"{at.astimezone(UTC):%H:%M:%S}.{at.microsecond // 1000:03d}"


def cost(amount: Decimal, unit: str) -> str:
    """What something cost: "$0.0031", "2,345 characters"."""
    plain = f"{amount.normalize():,f}"
    if unit == "usd":
        return f"${plain}"
    name = unit.replace("_", " ")
    return f"{plain} {name.removesuffix('s') if amount == 1 else name}"


def many(count: int, one: str, several: str) -> str:
    """A number and the words for it."""
    return f"{count:,} {one if count == 1 else several}"


def readable(value: Any) -> str:
    """A value that a provider gave, with its times as ours."""
    text = str(value)
    try:
        return moment(datetime.fromisoformat(text)) if _ISO.match(text) else text
    except ValueError:
        return text


def own_key(key: str | None) -> str:
    """The id that a producer gave to an event; empty where it is one of ours."""
    return "" if key is None or key.startswith(OURS) else key


def spoken(word: str) -> str:
    """A name of ours as people write it: needs_reconnect → needs reconnect."""
    return word.replace("_", " ")


def pretty(value: Any) -> str:
    """Data, indented."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def decoded(body: bytes) -> str:
    """What somebody sent, indented where it is JSON."""
    text = bytes(body).decode("utf-8", "replace")
    try:
        return pretty(json.loads(text))
    except ValueError:
        return text

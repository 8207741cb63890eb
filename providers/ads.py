"""What the ad platforms have in common: campaigns that carry our key, days of an account, people's data hashed.

Each platform's adapter says what is different about it; nothing here knows one of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from model import Campaign, Cursor, Done, Link
from providers.contract import Call
from providers.errors import InvalidPayload, Retryable

LATE_DAYS = 28  # so long a platform still changes a day's numbers: late attribution
RECENT_DAYS = 7  # what a walk reads again each time; once a day it reads LATE_DAYS
FIRST_DAYS = 90  # what the first walk reads
NOT_YET_S = 900.0  # so long an event waits for its campaign, whose creation may still be on its way

_MARK = re.compile(r" \[([^\[\]]{1,255})\]$")
_HASHED = re.compile(r"[0-9a-f]{64}")


# ------------------------------------------------------------------------------------------------------- campaigns


def marked(name: str, key: str, longest: int) -> str:
    """The name that a campaign gets there: with our key, by which it is found again after a lost answer.

    InvalidPayload for a key that a name cannot carry.
    """
    mark = f" [{key}]"
    if key_in(mark) != key:
        raise InvalidPayload(f"Campaign {key} has a bracket in its id: its name cannot carry it.", code="invalid_id")
    return name[: longest - len(mark)].rstrip() + mark


def key_in(name: str) -> str | None:
    """The key that a campaign's name carries."""
    found = _MARK.search(name)
    return found[1] if found else None


def campaign_of(call: Call) -> Campaign:
    """The campaign that an event is about. InvalidPayload where it makes no sense."""
    data = call.event.data
    return Campaign(
        key=data["campaign_id"],
        name=data.get("name"),
        objective=data.get("objective"),
        state=data.get("state"),
        budget=decimal(data.get("budget")),
        currency=data.get("currency"),
    )


def link_of(call: Call, find: Callable[[Call], Link | None]) -> Link:
    """The campaign at this account that an event is about: as we know it, else as the platform has it.

    Its creation may be on its way still: Retryable for a quarter of an hour, then InvalidPayload.
    """
    key = call.event.data["campaign_id"]
    link = call.known.link(key) or find(call)
    if link is not None and not link.deleted:
        return link
    if link is not None:
        raise InvalidPayload(f"Campaign {key} was deleted there.", code="campaign_deleted")
    if (call.now - call.first_attempt_at).total_seconds() < NOT_YET_S:
        raise Retryable(f"Campaign {key} is not there yet: it is looked for again.", code="not_linked_yet")
    raise InvalidPayload(
        f"Campaign {key} is not at this account: publish campaign.created for it first.", code="not_linked"
    )


def superseded(call: Call, link: Link) -> Done | None:
    """The outcome of an event that arrives after a later one was applied: nothing is done; else None."""
    if link.applied_at is None or call.event.occurred_at >= link.applied_at:
        return None
    return Done(result={"skipped": "A later event of this campaign was applied before."}, external_id=link.external_id)


# ------------------------------------------------------------------------------------------------------------- days


@dataclass(frozen=True, slots=True)
class Window:
    """Some days, both ends included."""

    since: date
    until: date

    @property
    def days(self) -> int:
        """How many."""
        return (self.until - self.since).days + 1

    def halves(self) -> tuple[Window, Window]:
        """Two shorter ones; only where there is more than one day."""
        middle = self.since + timedelta(days=self.days // 2)
        return Window(self.since, middle - timedelta(days=1)), Window(middle, self.until)

    def cut(self, days: int) -> Iterator[Window]:
        """Into pieces of at most so many days, oldest first."""
        start = self.since
        while start <= self.until:
            yield Window(start, min(start + timedelta(days=days - 1), self.until))
            start += timedelta(days=days)


def today(call: Call) -> date:
    """The day it is at the account."""
    return call.now.astimezone(zone(call.config.get("timezone"))).date()


def zone(name: Any) -> ZoneInfo:
    """An account's time zone; UTC where the platform names one that nobody knows."""
    try:
        return ZoneInfo(str(name or "UTC"))
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def window_due(call: Call, stream: str) -> Window:
    """The days that a walk reads: what the event asks for, else what is new or may still change.

    The stream's cursor holds `through`, the last day that was read, and `late_at`, when LATE_DAYS were read last.
    """
    now_day, data, cursor = today(call), call.event.data, call.known.cursor(stream)
    if data.get("since"):
        return Window(min(_day(data["since"]), now_day), now_day)
    if data.get("full") or not cursor.get("through"):
        return Window(now_day - timedelta(days=FIRST_DAYS - 1), now_day)
    again = RECENT_DAYS if cursor.get("late_at") == now_day.isoformat() else LATE_DAYS
    first = min(_day(cursor["through"]), now_day - timedelta(days=again - 1))
    return Window(max(first, now_day - timedelta(days=FIRST_DAYS - 1)), now_day)


def cursor_through(call: Call, stream: str, window: Window, done: date, *, finished: bool) -> Cursor:
    """The cursor when all days of a walk's window until `done` are stored.

    It never goes back, and it passes no day that is still to be read: a walk that begins after one moves nothing.
    """
    value = dict(call.known.cursor(stream))
    if _joins(call, window, value.get("through")):
        value["through"] = max(filter(None, (value.get("through"), done.isoformat())))
    if finished and window.days >= LATE_DAYS:
        value["late_at"] = window.until.isoformat()
    return Cursor(stream, value, finished)


def _joins(call: Call, window: Window, through: str | None) -> bool:
    """Whether a walk's window leaves out no day between what was read before, or is to be read first, and itself."""
    first = today(call) - timedelta(days=FIRST_DAYS - 1)
    return window.since <= max(first, _day(through) + timedelta(days=1) if through else first)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(str(text)[:10])
    except ValueError:
        raise InvalidPayload(f"{str(text)[:40]!r} is no day: write it as 2026-03-31.", code="invalid_day") from None


# ------------------------------------------------------------------------------------------------- values and people


def decimal(value: Any) -> Decimal | None:
    """A number as platforms write them; None for "-", "", null and what is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def whole(value: Any) -> int | None:
    """The same for counts."""
    number = decimal(value)
    return None if number is None else int(number)


def moment(text: Any, default: datetime) -> datetime:
    """An event's own time field, or the given time; UTC where it names no zone."""
    if not text:
        return default
    at = datetime.fromisoformat(str(text))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def unix_s(text: Any, default: datetime) -> int:
    """The same in Unix seconds."""
    return int(moment(text, default).timestamp())


def hashed(value: Any, normalize: Callable[[str], str | None]) -> str | None:
    """SHA-256 in lower-case hex of a normalized value; what is hashed already stays; None for what says nothing."""
    text = str(value).strip() if value is not None else ""
    if _HASHED.fullmatch(text.lower()):
        return text.lower()
    plain = normalize(text) if text else None
    return hashlib.sha256(plain.encode()).hexdigest() if plain else None


def each_hashed(values: Any, normalize: Callable[[str], str | None]) -> list[str]:
    """The same for one value or a list of them."""
    many: Iterable[Any] = values if isinstance(values, list) else [values]
    return [found for value in many if (found := hashed(value, normalize))]


def email(text: str) -> str | None:
    """Trimmed, in lower case."""
    plain = text.strip().lower()
    return plain if re.fullmatch(r".+@.+\..+", plain) else None


def trimmed(text: str) -> str | None:
    """Trimmed, in lower case."""
    return text.strip().lower() or None

"""Conversions, reported to the account's pixel by Events API 2.0.

https://business-api.tiktok.com/portal/docs?id=1771100865818625
An event counts once by pixel, name and `event_id`, so that a repeat does no harm. There is no answer for single events:
one that is wrong may refuse its whole request, which is then halved, a step each, until the wrong ones are alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any

from model import Done, Outcome, Wait
from providers.ads import each_hashed, email, trimmed, unix_s, whole
from providers.contract import Call
from providers.errors import InvalidPayload, ProviderError
from providers.tiktok_ads.api import Data, track
from providers.tiktok_ads.errors import INVALID, text_of

BATCH = 1000  # events in one call
FIRST_IN_BATCH = 0  # unconfirmed: what `order_in_batch` calls the first event
ALONE_MAX = 10  # so many refused one by one, and none taken: groups are not taken apart any more
WHY_CHARS = 200
PARTLY = "partial"
SINGLE_EVENTS = (INVALID, PARTLY)  # refusals that single events of a call may be the reason of
WEB = "web"
# By the conversion's channel: what it is reported to, and the account's field that names it.
SOURCES: Mapping[str, tuple[str, str]] = {
    "website": (WEB, "pixel_code"),
    "app": ("app", "app_id"),  # for apps on TikTok's list of those allowed
    "store": ("offline", "offline_event_set_id"),
    "phone": ("offline", "offline_event_set_id"),
    "email": ("offline", "offline_event_set_id"),
    "chat": ("offline", "offline_event_set_id"),
    "crm": ("crm", "crm_event_set_id"),
}
DEFAULT_CHANNEL = "website"

EVENTS: Mapping[str, str] = {
    "page_view": "Pageview",  # unconfirmed: not in the list of standard events, and taken as a custom one
    "view_content": "ViewContent",
    "add_to_cart": "AddToCart",
    "initiate_checkout": "InitiateCheckout",
    "purchase": "CompletePayment",  # newer pages say Purchase
    "lead": "SubmitForm",  # newer pages say Lead
    "complete_registration": "CompleteRegistration",
    "subscribe": "Subscribe",
    "contact": "Contact",
}
PLAIN = ("ttclid", "ttp", "ip", "user_agent")
CLICK_ID = "E.C.P."  # what TikTok's click ids begin with

_UNFILLED = re.compile(r"__[A-Z_]+__")  # TikTok's macro, as previews and bots leave it
_NOT_A_NUMBER = re.compile(r"[^0-9+]")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


# -------------------------------------------------------------------------------------------------------- one, or many


def report(call: Call) -> Done:
    """attribution.event -> one event of the pixel."""
    event = event_of(call, call.event.data)
    refused = _send(call, source_of(call, call.event.data), [event])
    if refused:
        raise InvalidPayload(f"TikTok did not take the conversion: {refused[0]}", code="conversion_refused")
    return Done(result={"event": event["event"], "event_id": event["event_id"]}, external_id=event["event_id"])


def report_many(call: Call) -> Outcome:
    """attribution.batch -> a call for each thousand; what cannot be taken is named in the result."""
    events, unsendable = _readable(call)
    if not events:
        raise _none_taken(unsendable)
    batch = Batch.of(call, [source for source, _ in events])
    chosen = [event for _, event in events[slice(*batch.groups[0])]]
    source = events[batch.groups[0][0]][0]
    try:
        batch = batch.answered(chosen, _send(call, source, chosen))
    except InvalidPayload as error:
        if error.code not in SINGLE_EVENTS:
            raise
        batch = batch.answered(chosen, {0: str(error)}) if len(chosen) == 1 else batch.apart()
    if batch.groups:
        return batch.wait(call, unsendable)
    if not batch.sent:
        raise _none_taken(batch.refused)
    return Done(result={"sent": batch.sent, "refused": [*unsendable, *batch.refused]})


@dataclass(frozen=True, slots=True)
class Batch:
    """Where the events of a batch stand. Kept as the delivery's progress."""

    groups: list[list[int]]  # first and end of what is to be sent together
    later: list[list[int]] = field(default_factory=list)  # refused, and taken apart only if others are taken
    sent: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)  # by TikTok

    @classmethod
    def of(cls, call: Call, sources: Sequence[Source]) -> Batch:
        """As the last step left it, or at its beginning. `sources` are those of the events, the same side by side."""
        saved = call.progress.get("batch")
        if saved:
            return cls(**saved)
        groups, start = [], 0
        for _, alike in groupby(sources):
            end = start + len(list(alike))
            groups += [[first, min(first + BATCH, end)] for first in range(start, end, BATCH)]
            start = end
        return cls(groups)

    def answered(self, chosen: Sequence[Data], bad: Mapping[int, str]) -> Batch:
        """After the first group was taken, but for single events."""
        said = [_refusal(chosen[place]["event_id"], why) for place, why in sorted(bad.items())]
        sent = self.sent + len(chosen) - len(bad)
        return replace(self, groups=self.groups[1:], sent=sent, refused=[*self.refused, *said])._resumed()

    def apart(self) -> Batch:
        """After the first group was refused as a whole.

        Where everything is refused it is hardly the single events, and a thousand calls would find the same.
        """
        group, *rest = self.groups
        if not self.sent and len(self.refused) >= ALONE_MAX:
            return replace(self, groups=rest, later=[*self.later, group])
        return replace(self, groups=[*_halves(group), *rest])

    def _resumed(self) -> Batch:
        """With what was put off, once something was taken."""
        if not self.later or not self.sent:
            return self
        return replace(self, groups=[*self.groups, *self.later], later=[])

    def wait(self, call: Call, unsendable: Sequence[Mapping[str, str]]) -> Wait:
        """For the next step."""
        done = self.sent + len(self.refused) + len(unsendable)
        return Wait(0, {"batch": asdict(self), "done": done, "of": len(call.event.data["conversions"])})


def _readable(call: Call) -> tuple[list[tuple[Source, dict[str, Any]]], list[dict[str, str]]]:
    """The events that can be sent, with what each is reported to, and why others cannot."""
    events, refused = [], []
    for conversion in call.event.data["conversions"]:
        try:
            events.append((source_of(call, conversion), event_of(call, conversion)))
        except InvalidPayload as error:
            refused.append(_refusal(_event_id(conversion), str(error)))
    return sorted(events, key=lambda each: each[0]), refused


def _halves(group: Sequence[int]) -> list[list[int]]:
    start, end = group
    middle = (start + end) // 2
    return [[start, middle], [middle, end]]


def _refusal(event_id: str, why: str) -> dict[str, str]:
    return {"event_id": event_id, "why": why[:WHY_CHARS]}


def _none_taken(refused: Sequence[Mapping[str, str]]) -> ProviderError:
    last = refused[-1]
    return InvalidPayload(
        f"None of the conversions could be sent; the last one that was tried, {last['event_id']}: {last['why']}",
        code="conversions_refused",
    )


def _send(call: Call, source: Source, events: Sequence[Data]) -> dict[int, str]:
    """Send them in one call. Why single ones were not taken, by their place; InvalidPayload where that is not told."""
    kind, source_id = source
    test = {"test_event_code": call.config["test_event_code"]} if call.config.get("test_event_code") else {}
    body = {"event_source": kind, "event_source_id": source_id, **test, "data": list(events)}
    complete, data = track(call, body)
    bad = _failed(data, len(events))
    if not complete and not bad:
        raise InvalidPayload("TikTok took only a part of the conversions and did not say which.", code=PARTLY)
    return bad


def _failed(data: Data, count: int) -> dict[int, str]:
    """The events that an answer says were not taken: `failed_events` of the older API; 2.0 says nothing of the kind."""
    failed: dict[int, str] = {}
    for item in data.get("failed_events") or ():
        place = whole(item.get("order_in_batch")) if isinstance(item, dict) else None
        if place is not None and 0 <= place - FIRST_IN_BATCH < count:
            failed[place - FIRST_IN_BATCH] = text_of(item.get("error")) or "It was refused without a reason."
    return failed


# ------------------------------------------------------------------------------------------------------- what is sent


Source = tuple[str, str]  # its kind, and its id there


def source_of(call: Call, conversion: Data) -> Source:
    """What a conversion is reported to. InvalidPayload where the account has nothing for its channel."""
    channel = conversion.get("channel") or DEFAULT_CHANNEL
    kind, field_name = SOURCES[channel]
    found = call.config.get(field_name)
    if not found:
        said = f"The conversion's channel is {channel}, and the account has no {field_name}."
        raise InvalidPayload(said, code="other_channel")
    return kind, str(found)


def event_of(call: Call, conversion: Data) -> dict[str, Any]:
    """A conversion as TikTok wants it. InvalidPayload for one that it does not take."""
    kind = SOURCES[conversion.get("channel") or DEFAULT_CHANNEL][0]
    if kind == WEB and not conversion.get("source_url"):
        raise InvalidPayload(
            "`source_url` is missing: TikTok wants the page of a website's conversion.", code="no_page"
        )
    event = {
        "event": EVENTS[conversion["name"]],
        "event_time": unix_s(conversion.get("happened_at"), call.event.occurred_at),
        "event_id": _event_id(conversion),
        "user": user_of(conversion),
        "properties": _properties(conversion),
        "page": {"url": conversion["source_url"]} if kind == WEB else None,
        "lead": _lead(conversion) if kind == "crm" else None,
        "limited_data_use": conversion.get("limited_data_use"),
    }
    return {name: value for name, value in event.items() if value not in (None, {})}


def _lead(conversion: Data) -> dict[str, Any] | None:
    lead_id = (conversion.get("user") or {}).get("lead_id")
    return {"lead_id": lead_id} if lead_id else None


def _event_id(conversion: Data) -> str:
    return f"{conversion['attribution_id']}:{conversion['name']}"


def user_of(conversion: Data) -> dict[str, Any]:
    """Who did it: personal data as SHA-256 in lower-case hex, the browser's as it is."""
    user = conversion.get("user") or {}
    found: dict[str, Any] = {name: _one_or_many(each_hashed(user.get(name), how)) for name, how in HASHED.items()}
    found |= {theirs: next(iter(each_hashed(user.get(ours), trimmed)), None) for ours, theirs in ONE.items()}
    found |= {name: user[name] for name in PLAIN if user.get(name) and not _UNFILLED.fullmatch(user[name])}
    if not found.get("ttclid") and str(conversion.get("click_id", "")).startswith(CLICK_ID):
        found["ttclid"] = conversion["click_id"]
    return {name: value for name, value in found.items() if value}


def _one_or_many(values: list[str]) -> str | list[str] | None:
    return values if len(values) > 1 else next(iter(values), None)


def phone(text: str) -> str | None:
    """E.164 with its plus. A number without a country's code cannot be told apart, and says nothing."""
    digits = _NOT_A_NUMBER.sub("", text.replace("(0)", ""))
    digits = f"+{digits[2:]}" if digits.startswith("00") else digits
    digits = digits if digits.startswith("+") else f"+{digits}"
    return digits if _PHONE.fullmatch(digits) else None


HASHED = {"email": email, "phone": phone, "external_id": trimmed}  # one value or a list of them
ONE = {"first_name": "first_name", "last_name": "last_name", "zip": "zip_code"}  # hashed too; unconfirmed


def _properties(conversion: Data) -> dict[str, Any]:
    contents = [_content(item) for item in conversion.get("contents") or ()]
    found = {
        "value": conversion.get("value"),
        "currency": conversion.get("currency"),
        "order_id": conversion.get("order_id"),
        "content_type": "product" if contents else None,
        "contents": contents or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _content(item: Data) -> dict[str, Any]:
    names = {"id": "content_id", "name": "content_name", "price": "price", "quantity": "quantity"}
    return {theirs: item[ours] for ours, theirs in names.items() if item.get(ours) is not None}

"""The Conversions API: events of a pixel, checked as a whole; one bad event and none is taken."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import refusal, trace_id
from sandbox.meta_ads.shape import fields_asked, project

MOST: Final = 1000  # events in a request
DAY_S: Final = 86_400
AGE_DAYS: Final = {"physical_store": 62}
USUAL_AGE_DAYS: Final = 7
AHEAD_S: Final = 60  # a clock may be so much fast
SOURCES: Final = frozenset(
    {
        "app",
        "business_messaging",
        "chat",
        "email",
        "other",
        "phone_call",
        "physical_store",
        "system_generated",
        "website",
    }
)
REQUIRED: Final = ("event_name", "event_time", "action_source", "user_data")
HASHED: Final = ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country")
HASH: Final = re.compile(r"[0-9a-f]{64}")
# What can say who it was: one of these, or address and browser together.
IDENTIFIERS: Final = frozenset(
    {
        *HASHED,
        "anon_id",
        "ctwa_clid",
        "external_id",
        "fb_login_id",
        "fbc",
        "fbp",
        "lead_id",
        "madid",
        "subscription_id",
    }
)
BROWSER: Final = frozenset({"client_ip_address", "client_user_agent"})
PARAMETERS: Final = frozenset(
    {"data", "test_event_code", "partner_agent", "upload_id", "upload_tag", "upload_source", "namespace_id"}
)


def receive(call: Call, pixel: str) -> dict[str, Any]:
    """Take events, or refuse them all. Those with a test code are counted apart."""
    events = [decoded(one) for one in values.array("data", call.need("data"))]
    if not 0 < len(events) <= MOST:
        raise refusal("invalid_parameter", f"(#100) data must hold 1 to {MOST} events", "data")
    for number, event in enumerate(events):
        check(event, f"data[{number}]", call.now)
    if "test_event_code" in call.params:
        call.meta.test_events += len(events)
    else:
        call.meta.events.setdefault(pixel, Counter()).update(map(key, events))
    messages = [text for n, event in enumerate(events) for text in warnings(event, f"data[{n}]")]
    return {"events_received": len(events), "messages": messages, "fbtrace_id": trace_id()}


def pixel(call: Call, node: str) -> dict[str, Any]:
    """The pixel itself."""
    return project({"id": node, "name": f"Pixel {node}"}, fields_asked(call, ()), "AdsPixel")


def decoded(event: Any) -> Any:
    """An event as it is, or out of a text, as the official client sends it."""
    if not isinstance(event, str):
        return event
    try:
        return json.loads(event)
    except ValueError:
        return None


def key(event: Mapping[str, Any]) -> str:
    """What makes two events one: name and id; an event without an id is like no other."""
    return f"{event['event_name']}/{event.get('event_id') or uuid4()}"


def check(event: Any, where: str, now: float) -> None:
    """Every rule; raises Refusal with the place of the event."""
    if not isinstance(event, dict):
        raise refusal("event_invalid", f"{where} is not an object.", where)
    for name in REQUIRED:
        if event.get(name) in (None, ""):
            raise refusal("event_invalid", f"{where} needs {name}.", f"{where}[{name}]")
    if str(event["action_source"]) not in SOURCES:
        raise refusal("event_invalid", f"{where}: no action_source is {event['action_source']!r}.", where)
    for rule in (check_time, check_website, check_user):
        rule(event, where, now)


def check_time(event: Mapping[str, Any], where: str, now: float) -> None:
    """In Unix seconds, not too old and not ahead."""
    at = event["event_time"]
    if not isinstance(at, int) or isinstance(at, bool):
        raise refusal("event_invalid", f"{where}: event_time is in whole Unix seconds.", f"{where}[event_time]")
    oldest = AGE_DAYS.get(event["action_source"], USUAL_AGE_DAYS)
    if not now - oldest * DAY_S <= at <= now + AHEAD_S:
        text = f"{where}: the event is more than {oldest} days old, or in the future."
        raise refusal("event_too_old", text, f"{where}[event_time]")


def check_website(event: Mapping[str, Any], where: str, now: float) -> None:
    """A website's event says on which page and with which browser."""
    if event["action_source"] != "website":
        return
    if not event.get("event_source_url"):
        raise refusal("event_invalid", f"{where} of a website needs event_source_url.", where)
    if not isinstance(event["user_data"], dict) or not event["user_data"].get("client_user_agent"):
        raise refusal("event_invalid", f"{where} of a website needs user_data.client_user_agent.", where)


def check_user(event: Mapping[str, Any], where: str, now: float) -> None:
    """Somebody can be recognized, and what must be hashed is."""
    user = event["user_data"]
    if not isinstance(user, dict):
        raise refusal("event_invalid", f"{where}: user_data is an object.", where)
    given = {name for name, value in user.items() if value}
    if not given & IDENTIFIERS and not given >= BROWSER:
        raise refusal("event_user", f"{where}: user_data says nothing that identifies somebody.", where)
    for name in HASHED:
        for value in listed(user.get(name)):
            if not isinstance(value, str) or not HASH.fullmatch(value):
                text = f"{where}: user_data.{name} is not a SHA-256 in 64 hexadecimal digits."
                raise refusal("event_hash", text, f"{where}[user_data][{name}]")


def listed(value: Any) -> Sequence[Any]:
    """One value or several, as several."""
    if value is None:
        return ()
    return value if isinstance(value, list) else (value,)


def warnings(event: Mapping[str, Any], where: str) -> list[str]:
    """What is taken, but not liked."""
    custom = event.get("custom_data")
    custom = custom if isinstance(custom, dict) else {}
    return [text for holds, text in WARNINGS if holds(event, custom) for text in (f"{where}: {text}",)]


WARNINGS: Final[Sequence[tuple[Callable[[Mapping[str, Any], Mapping[str, Any]], bool], str]]] = (
    (lambda event, custom: not event.get("event_id"), "without event_id it cannot be deduplicated"),
    (
        lambda event, custom: event["event_name"] == "Purchase" and not {"value", "currency"} <= custom.keys(),
        "a Purchase has value and currency",
    ),
)

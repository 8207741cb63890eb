"""Conversions API: what people did, so that Meta can tell which ads led there.

https://developers.facebook.com/docs/marketing-api/conversions-api/parameters
Meta counts an event once by its name and `event_id`, so that every call may be repeated. It refuses a whole request for
one event that it does not take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from model import Done, Outcome, Wait
from providers.ads import each_hashed, email, moment, trimmed, unix_s
from providers.contract import Call
from providers.errors import InvalidPayload
from providers.http import Answer
from providers.meta_ads.api import graph, node, object_in, over, own_parameters
from providers.meta_ads.errors import CONVERSION_REFUSED, INVALID_PARAMETER
from providers.meta_ads.usage import usage_of

NAMES: Mapping[str, str] = {
    "page_view": "PageView",
    "view_content": "ViewContent",
    "add_to_cart": "AddToCart",
    "initiate_checkout": "InitiateCheckout",
    "purchase": "Purchase",
    "lead": "Lead",
    "complete_registration": "CompleteRegistration",
    "subscribe": "Subscribe",
    "contact": "Contact",
}
WEBSITE = "website"
SOURCES: Mapping[str, str] = {  # by channel
    "website": WEBSITE,
    "app": "app",
    "store": "physical_store",
    "phone": "phone_call",
    "email": "email",
    "chat": "chat",
    "crm": "system_generated",
}
BATCH = 1000
ONE_IS_BAD = (CONVERSION_REFUSED, INVALID_PARAMETER)  # not what is wrong with the pixel, the login or the app
FBC_DOMAIN = 1  # what a server says that does not know the page's domain
CRM = {"event_source": "crm", "lead_event_source": "Agent Mesh"}  # unconfirmed
LIMITED_USE = {  # Meta finds out by the address which law holds
    "data_processing_options": ["LDU"],
    "data_processing_options_country": 0,
    "data_processing_options_state": 0,
}

Conversion = Mapping[str, Any]


# ------------------------------------------------------------------------------------------------------------- people


def phone(text: str) -> str | None:
    """Digits with the country's code, without the plus; None where there is no such code."""
    digits = re.sub(r"^\+?(00)?", "", re.sub(r"[\s\-().]", "", text))
    return digits if re.fullmatch(r"[1-9]\d{6,14}", digits) else None


def place(text: str) -> str | None:
    """A city or a state: letters only, in lower case."""
    return re.sub(r"[\d.\s\-()]", "", text.lower()) or None


def postcode(text: str) -> str | None:
    """Without spaces, and without what follows a dash."""
    return re.sub(r"\s", "", text.lower()).partition("-")[0] or None


def country(text: str) -> str | None:
    """Two letters of ISO 3166."""
    letters = re.sub(r"[^a-z]", "", text.lower())
    return letters if len(letters) == 2 else None


def gender(text: str) -> str | None:
    """f or m."""
    first = text.strip().lower()[:1]
    return first if first in ("f", "m") else None


def birthday(text: str) -> str | None:
    """YYYYMMDD."""
    digits = re.sub(r"\D", "", text)
    return digits if len(digits) == 8 else None


HASHED: Mapping[str, tuple[str, Callable[[str], str | None]]] = {  # ours -> theirs, and what comes before the hash
    "email": ("em", email),
    "phone": ("ph", phone),
    "external_id": ("external_id", trimmed),
    "first_name": ("fn", trimmed),
    "last_name": ("ln", trimmed),
    "city": ("ct", place),
    "state": ("st", place),
    "zip": ("zp", postcode),
    "country": ("country", country),
    "gender": ("ge", gender),
    "date_of_birth": ("db", birthday),
}
PLAIN: Mapping[str, str] = {
    "ip": "client_ip_address",
    "user_agent": "client_user_agent",
    "fbp": "fbp",
    "lead_id": "lead_id",
}


def user_data(call: Call, user: Mapping[str, Any]) -> dict[str, Any]:
    """Who it was, as far as Meta may know: hashed, but for what only machines say."""
    hashes = {theirs: each_hashed(user.get(ours), normalize) for ours, (theirs, normalize) in HASHED.items()}
    plain = {theirs: user[ours] for ours, theirs in PLAIN.items() if user.get(ours)}
    clicked = fbc(call, user)
    return {name: value for name, value in (hashes | plain | {"fbc": clicked}).items() if value}


def fbc(call: Call, user: Mapping[str, Any]) -> str | None:
    """The click: as the cookie has it, else built from the address's `fbclid` and the time of the click.

    Without that time it is the time at which the click came to be known: that of the event.
    """
    if user.get("fbc") or not user.get("fbclid"):
        return user.get("fbc")
    clicked_ms = round(moment(user.get("clicked_at"), call.event.occurred_at).timestamp() * 1000)
    return f"fb.{FBC_DOMAIN}.{clicked_ms}.{user['fbclid']}"


# -------------------------------------------------------------------------------------------------------- conversions


def event_of(call: Call, conversion: Conversion) -> dict[str, Any]:
    """A conversion as Meta takes it. InvalidPayload for one that it would not take."""
    raw = own_parameters(conversion)
    name = str(raw.get("event_name") or NAMES[conversion["name"]])
    source = str(raw.get("action_source") or SOURCES[conversion.get("channel") or WEBSITE])
    person = over(user_data(call, conversion.get("user") or {}), raw.get("user_data") or {})
    _check(conversion, source, person)
    event = {
        "event_name": name,
        "event_time": unix_s(conversion.get("happened_at"), call.event.occurred_at),
        "event_id": f"{conversion['attribution_id']}:{name}",
        "action_source": source,
        **({"event_source_url": conversion["source_url"]} if conversion.get("source_url") else {}),
        "user_data": person,
        "custom_data": _custom_data(conversion),
        **(LIMITED_USE if conversion.get("limited_data_use") else {}),
    }
    return over(event, raw)


def _check(conversion: Conversion, source: str, person: Mapping[str, Any]) -> None:
    """What can be told without asking Meta, which would refuse a whole request for it."""
    on_website = source == WEBSITE
    needs = "A conversion on a website needs `{}` (or another `channel`)."
    wrong = (
        (on_website and not conversion.get("source_url"), "missing_source_url", needs.format("source_url")),
        (on_website and "client_user_agent" not in person, "missing_user_agent", needs.format("user.user_agent")),
        (not person, "missing_user", "`user` holds nothing by which Meta could find the person."),
        ("value" in conversion and not conversion.get("currency"), "missing_currency", "`value` needs `currency`."),
    )
    for is_so, code, sentence in wrong:
        if is_so:
            raise InvalidPayload(sentence, code=code)


def _custom_data(conversion: Conversion) -> dict[str, Any]:
    given = {name: conversion.get(name) for name in ("value", "currency", "order_id")}
    contents = conversion.get("contents") or []
    if contents:
        given |= {
            "content_type": "product",
            "content_ids": [item["id"] for item in contents],
            "contents": [_content(item) for item in contents],
        }
    if conversion.get("channel") == "crm":
        given |= CRM
    return {name: value for name, value in given.items() if value is not None}


def _content(item: Mapping[str, Any]) -> dict[str, Any]:
    given = {"id": item["id"], "quantity": item.get("quantity"), "item_price": item.get("price")}
    return {name: value for name, value in given.items() if value is not None}


# ------------------------------------------------------------------------------------------------------------ sending


def send_one(call: Call) -> Done:
    """attribution.event -> one conversion."""
    return _sent(_send(call, [event_of(call, call.event.data)]))


def _send(call: Call, events: Sequence[Mapping[str, Any]]) -> Answer:
    """One request; the events' ids make it safe to repeat."""
    params = {"data": events, "test_event_code": call.config.get("test_event_code") or None}
    return call.send(graph(call).post(f"{node(call.config['pixel_id'])}/events", params))


def _sent(answer: Answer) -> Done:
    body = object_in(answer)
    messages = body.get("messages") or []
    return Done(
        result={"sent": 1, "received": body.get("events_received"), **({"messages": messages} if messages else {})},
        external_id=str(body["fbtrace_id"]) if body.get("fbtrace_id") else None,
    )


def send_many(call: Call) -> Outcome:
    """attribution.batch -> one request for as many as Meta takes at once.

    A request that it refuses is halved, a step for each, until those that it does not take are alone.
    """
    conversions = call.event.data["conversions"]
    todo: list[list[int]] = call.progress.get("todo") or _pieces(len(conversions))
    refused = dict(call.progress.get("refused") or {})
    received = call.progress.get("received") or 0
    (first, end), rest = todo[0], todo[1:]
    events = _events(call, conversions, range(first, end), refused)
    pause_s = 0.0
    try:
        if events:
            answer = _send(call, list(events.values()))
            received += object_in(answer).get("events_received") or 0
            pause_s = usage_of(answer).pause_s
    except InvalidPayload as error:
        if error.code not in ONE_IS_BAD:
            raise
        rest = _isolated(list(events), error, conversions, refused) + rest
    if rest:
        unsettled = sum(end - first for first, end in rest)
        counts = {"done": len(conversions) - unsettled, "of": len(conversions)}
        return Wait(pause_s, {"todo": rest, "refused": refused, "received": received, **counts})
    return _all_sent(conversions, refused, received)


def _pieces(count: int) -> list[list[int]]:
    return [[first, min(first + BATCH, count)] for first in range(0, count, BATCH)]


def _events(
    call: Call, conversions: Sequence[Conversion], numbers: range, refused: dict[str, Any]
) -> dict[int, dict[str, Any]]:
    """The events by their numbers; notes those that Meta would not take."""
    events = {}
    for number in numbers:
        try:
            events[number] = event_of(call, conversions[number])
        except InvalidPayload as error:
            refused[str(number)] = _refusal(conversions[number], error)
    return events


def _isolated(
    numbers: Sequence[int], error: InvalidPayload, conversions: Sequence[Conversion], refused: dict[str, Any]
) -> list[list[int]]:
    """What is to be tried of a request that was refused; one that was alone is noted."""
    if len(numbers) == 1:
        refused[str(numbers[0])] = _refusal(conversions[numbers[0]], error)
        return []
    middle = numbers[len(numbers) // 2]
    return [[numbers[0], middle], [middle, numbers[-1] + 1]]


def _refusal(conversion: Conversion, error: InvalidPayload) -> dict[str, str]:
    return {
        "attribution_id": conversion["attribution_id"],
        "name": conversion["name"],
        "code": error.code,
        "why": str(error),
    }


def _all_sent(conversions: Sequence[Conversion], refused: Mapping[str, Mapping[str, str]], received: int) -> Done:
    sent = len(conversions) - len(refused)
    if not sent:
        why = next(iter(refused.values()))["why"]
        raise InvalidPayload(
            f"None of the {len(conversions)} conversions was taken. The first: {why}", code="all_refused"
        )
    in_order = [refused[number] for number in sorted(refused, key=int)]
    return Done(result={"sent": sent, "received": received, "refused": in_order})

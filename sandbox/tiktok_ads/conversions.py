"""Events API 2.0, and the pixels it counts for.

https://business-api.tiktok.com/portal/docs?id=1771100865818625
One bad event refuses the whole request. An event counts once by source, name and `event_id`: for ever
here, while guides speak of 48 hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sandbox.tiktok_ads.accounts import ADVERTISERS, Advertiser, Token
from sandbox.tiktok_ads.endpoints import Call, Endpoint
from sandbox.tiktok_ads.envelope import Invalid, Refused
from sandbox.tiktok_ads.parameters import ID, Parameter, Parameters, checked, is_number, paged

EVENTS_MAX: Final = 1000  # the code for more is unconfirmed: 40002 here
PIXELS_PAGE_MAX: Final = 20
SHA256_HEX: Final = re.compile(r"[0-9a-f]{64}")
CURRENCY: Final = re.compile(r"[A-Z]{3}")
EVENT_TIME: Final = range(1_000_000_000, 10_000_000_000)  # unix seconds from 2001 to 2286: milliseconds are above
HASHED: Final = ("email", "phone", "external_id")

TRACK: Final[Parameters] = {
    "event_source": Parameter("text", required=True, choices=("web", "app", "offline", "crm")),
    "event_source_id": Parameter("text", required=True),
    "data": Parameter("objects", required=True),
    "test_event_code": Parameter("text"),
    "partner_name": Parameter("text"),
}
EVENT: Final[Parameters] = {
    "event": Parameter("text", required=True),
    "event_time": Parameter("integer", required=True),
    "event_id": Parameter("text"),
    "user": Parameter("object"),
    "properties": Parameter("object"),
    "page": Parameter("object"),
    "app": Parameter("object"),
    "ad": Parameter("object"),
    "lead": Parameter("object"),
    "limited_data_use": Parameter("flag"),
}
PIXELS: Final[Parameters] = {
    "advertiser_id": ID,
    "pixel_id": Parameter("id"),
    "code": Parameter("text"),
    "name": Parameter("text"),
    "order_by": Parameter("text", choices=("EARLIEST_CREATE", "LATEST_CREATE")),
    "filtering": Parameter("object"),
    "page": Parameter("integer"),
    "page_size": Parameter("integer"),
}


class Conversions:
    """What was sent. `received` counts events, `distinct` those that were not there yet, `tests` test events."""

    def __init__(self) -> None:
        self.received = 0
        self.distinct = 0
        self.tests = 0
        self._seen: set[tuple[str, str, str]] = set()

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this part answers."""
        return (
            Endpoint("POST", "event/track/", self.track, TRACK),
            Endpoint("GET", "pixel/list/", self.pixels, PIXELS),
        )

    def track(self, call: Call) -> dict[str, Any]:
        """Up to a thousand events; all count or, when one is wrong, none."""
        args = call.args
        events = args["data"]
        if not 1 <= len(events) <= EVENTS_MAX:
            raise Invalid(f"data: must be 1 to {EVENTS_MAX} events.")
        check_source(args["event_source"], args["event_source_id"], call.token)
        for index, event in enumerate(events):
            check_event(event, f"data[{index}]", web=args["event_source"] == "web")
        if "test_event_code" in args:
            self.tests += len(events)
        else:
            self._count(args["event_source_id"], events)
        return {}

    def pixels(self, call: Call) -> dict[str, Any]:
        """The pixels of an account: one."""
        args = call.args
        shown = pixel_json(ADVERTISERS[args["advertiser_id"]])
        compared = {"pixel_id": "pixel_id", "code": "pixel_code", "name": "pixel_name"}
        fits = all(shown[field] == args[name] for name, field in compared.items() if name in args)
        page, info = paged([shown] if fits else [], args, PIXELS_PAGE_MAX)
        return {"pixels": page, "page_info": info}

    def _count(self, source_id: str, events: Iterable[Mapping[str, Any]]) -> None:
        for event in events:
            self.received += 1
            if event.get("event_id") is None:
                self.distinct += 1
                continue
            key = (source_id, event["event"], event["event_id"])
            self.distinct += key not in self._seen
            self._seen.add(key)


def check_source(source: str, source_id: str, token: Token | None) -> None:
    """Raise Refused for a pixel that the token does not cover; sets of other sources are not told apart here."""
    if source != "web":
        return
    covered = () if token is None else token.advertiser_ids
    if source_id not in {ADVERTISERS[one].pixel_code for one in covered}:
        raise Refused("no_permission", f"No permission to operate pixel {source_id}.")


def check_event(event: dict[str, Any], where: str, web: bool) -> None:
    """Raise Refused with the place of what is wrong."""
    try:
        checked({name: value for name, value in event.items() if value is not None}, EVENT)
    except Invalid as invalid:
        raise Invalid(f"{where}.{invalid.message}") from None
    if event["event_time"] not in EVENT_TIME:
        raise Invalid(f"{where}.event_time: must be unix seconds.")
    check_user(event.get("user") or {}, where)
    check_properties(event.get("properties") or {}, where)
    url = (event.get("page") or {}).get("url")
    if web and not (isinstance(url, str) and url.startswith(("http://", "https://"))):
        raise Invalid(f"{where}.page.url: Missing data for required field.")


def check_user(user: Mapping[str, Any], where: str) -> None:
    """Raise Refused for personal data that is not a SHA-256 in lower-case hex."""
    for name in HASHED:
        value = user.get(name, [])
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, str) or not SHA256_HEX.fullmatch(one):
                raise Refused("not_hashed", f"{where}.user.{name}: must be a SHA-256 hash in lower-case hex.")


def check_properties(properties: Mapping[str, Any], where: str) -> None:
    """Raise Invalid for a value or currency that is none."""
    value, currency = properties.get("value", 0), properties.get("currency", "USD")
    if not is_number(value):
        raise Invalid(f"{where}.properties.value: this is not a number.")
    if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
        raise Invalid(f"{where}.properties.currency: must be a code of ISO 4217.")


def pixel_json(one: Advertiser) -> dict[str, Any]:
    """The pixel of an account; its id follows from the account's."""
    return {
        "pixel_id": str(int(one.id) - 1000),
        "pixel_code": one.pixel_code,
        "pixel_name": f"{one.name} web",
        "pixel_setup_mode": "MANUAL",
        "activity_status": "ACTIVE",
        "create_time": "2024-01-02 00:00:00",
        "events": [],
    }

"""What the tests of TikTok Ads share: the running stand-in, calls to it, and answers made up where one is enough."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

from model import Done, Event, Link, Outcome, Records, Wait
from providers.contract import Call
from providers.http import Answer, HttpTransport, Request
from providers.oauth2 import Client
from providers.tiktok_ads import PROVIDER
from sandbox.process import Sandbox
from tests.providers.doubles import NOW, a_call, answer

APP = "7300000000000000001"
SECRET = "tt_app_secret_1"
EU, US, JAPAN = "7311111111111111111", "7311111111111111112", "7311111111111111113"
PIXEL = "CHALDENEU0000000001"
TOKEN = "act.0123456789abcdef"
CONFIG = {
    "account_id": EU,
    "account_name": "Halden Coffee EU",
    "currency": "EUR",
    "timezone": "Europe/Berlin",
    "pixel_code": PIXEL,
}
STEPS_MAX = 400


def said(data: Any = None, code: int = 0, message: str = "OK", status: int = 200) -> Answer:
    """An answer in TikTok's envelope."""
    return answer(status, {"code": code, "message": message, "request_id": "R-1", "data": {} if data is None else data})


def page_of(*rows: Any, page: int = 1, pages: int = 1, total: int | None = None) -> Answer:
    """One page of a listing."""
    total = len(rows) if total is None else total
    info = {"page": page, "page_size": 1000, "total_number": total, "total_page": pages}
    return said({"list": list(rows), "page_info": info})


def query_of(request: Request) -> dict[str, str]:
    """The query of a request, each name once."""
    pairs = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def body_of(request: Request) -> Any:
    """The JSON body of a request."""
    return json.loads(request.body)


@dataclass
class Memory:
    """What earlier outcomes left, as the worker would have it."""

    links: dict[str, Link] = field(default_factory=dict)
    cursors: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def link(self, key: str) -> Link | None:
        return self.links.get(key)

    def cursor(self, stream: str) -> Mapping[str, Any]:
        return self.cursors.get(stream, {})

    def hooks_url(self) -> str:
        return "http://127.0.0.1:9/hooks/tiktok_ads/the-account"

    def store(self, records: Records | None) -> None:
        """What a commit would do."""
        for link in records.links if records else ():
            if link.key:
                before = self.links.get(link.key, link)
                state = link.external_state or before.external_state
                self.links[link.key] = replace(link, external_state=state, details={**before.details, **link.details})
        if records and records.cursor:
            self.cursors[records.cursor.stream] = records.cursor.value


def calling(using: Any, event_type: str, data: Mapping[str, Any], **more: Any) -> Call:
    """A call of one of the provider's actions."""
    given = {
        "config": CONFIG,
        "secrets": {"api_key": APP, "secret": SECRET, "access_token": TOKEN},
        "api_version": PROVIDER.api_version,
    }
    return a_call(PROVIDER, using, event_type, data, **{**given, **more})


def run(call: Call) -> Outcome:
    """Do what the event asks."""
    action = PROVIDER.action(call.event.type)
    assert action is not None
    return action.run(call)


def done(call: Call) -> Done:
    """The same where one step is all."""
    outcome = run(call)
    assert isinstance(outcome, Done), outcome
    return outcome


@dataclass
class Account:
    """One account at the running stand-in, with the real transport, and the worker's memory beside it."""

    sandbox: Sandbox
    transport: HttpTransport
    token: str
    config: Mapping[str, str]
    known: Memory = field(default_factory=Memory)
    records: list[Records] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    happened: Iterator[int] = field(default_factory=count)

    def call(self, event_type: str, data: Mapping[str, Any], **more: Any) -> Call:
        """A call; each event happens a second after the last one."""
        happened_at = self.now + timedelta(seconds=next(self.happened))
        given = {
            "base_url": f"{self.sandbox.url}/tiktok_ads",
            "config": self.config,
            "secrets": {"api_key": APP, "secret": SECRET, "access_token": self.token},
            "known": self.known,
            "now": self.now,
            "first_attempt_at": self.now,
            "delivery_id": uuid4(),
            "event": Event(UUID(int=1), "t_42", event_type, data, happened_at),
        }
        return calling(self.transport, event_type, data, **{**given, **more})

    def publish(self, event_type: str, data: Mapping[str, Any], **more: Any) -> Done:
        """All steps of an event, each stored before the next; waits take no time."""
        progress: Mapping[str, Any] = {}
        first = self.call(event_type, data, **more)
        for _ in range(STEPS_MAX):
            first.progress, first.spent_s = json.loads(json.dumps(progress)), 0.0
            outcome = run(first)
            self.known.store(outcome.records)
            self.records += [outcome.records] if outcome.records else []
            if isinstance(outcome, Done):
                return outcome
            self.waits.append(outcome)
            progress = outcome.progress
        raise AssertionError(f"no end after {STEPS_MAX} steps")

    def do(self, action: str, **arguments: Any) -> Any:
        """What happens at TikTok by other means."""
        return self.sandbox.control.do("tiktok_ads", action, **arguments)

    def requests(self, path: str) -> int:
        """How many requests came to an endpoint."""
        return self.sandbox.control.counts(f"/tiktok_ads/open_api/v1.3/{path}")["requests"]


def client(sandbox: Sandbox, transport: HttpTransport, **more: Any) -> Client:
    """Our app at the stand-in."""
    given: dict[str, Any] = {
        "base_url": f"{sandbox.url}/tiktok_ads",
        "api_version": PROVIDER.api_version,
        "client_id": APP,
        "client_secret": SECRET,
        "transport": transport,
        "deadline_s": 10.0,
        "now": NOW,
        "refusals": PROVIDER.refusals,
    }
    return Client(**{**given, **more})

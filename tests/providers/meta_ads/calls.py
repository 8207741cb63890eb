"""What the Meta tests share: calls of an account, Meta's answers, and walks to their end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from model import Done, Event, Link, Outcome, Records, Wait
from providers.contract import Call
from providers.http import Answer, Request
from providers.meta_ads import PROVIDER
from tests.providers.doubles import EVENT_ID, NOW, a_call, answer

SECRET, TOKEN = "meta_app_secret_1", "EAABtesttoken"
PROOF = "752fc04a271102e8164653a85b703c7c17eebb5df687485bcffff2022836ace0"  # of the two, computed elsewhere
SECRETS = {"api_key": "1111111111", "secret": SECRET, "access_token": TOKEN}
ACCOUNT = {
    "account_id": "1234567890",
    "currency": "USD",
    "timezone": "America/Los_Angeles",
    "pixel_id": "987654321098765",
}
KEY, META_ID = "cmp_01HX", "120210000000000001"


@dataclass
class Stored:
    """What earlier outcomes left: links by our key, cursors by stream."""

    links: dict[str, Link] = field(default_factory=dict)
    cursors: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def link(self, key: str) -> Link | None:
        return self.links.get(key)

    def cursor(self, stream: str) -> Mapping[str, Any]:
        return self.cursors.get(stream, {})

    def keep(self, records: Records | None) -> None:
        if records is not None and records.cursor is not None:
            self.cursors[records.cursor.stream] = records.cursor.value


def calling(using: Any, event_type: str, data: Mapping[str, Any], at: datetime | None = None, **more: Any) -> Call:
    """A call of an action; `at` is when its event happened."""
    call = a_call(PROVIDER, using, event_type, data, **{"secrets": SECRETS, "config": ACCOUNT, **more})
    if at is not None:
        call.event = Event(EVENT_ID, "t_42", event_type, data, at)
    return call


def run(call: Call) -> Outcome:
    """What the action of a call's event type does."""
    action = PROVIDER.action(call.event.type)
    assert action is not None
    return action.run(call)


def done(outcome: Outcome) -> Done:
    assert isinstance(outcome, Done)
    return outcome


def waiting(outcome: Outcome) -> Wait:
    """A step's end, its progress as Postgres gives it back."""
    assert isinstance(outcome, Wait)
    return Wait(outcome.wait_s, json.loads(json.dumps(outcome.progress)), outcome.external_id, outcome.records)


def walked(
    using: Any, event_type: str, data: Mapping[str, Any], known: Stored | None = None, **more: Any
) -> tuple[list[Wait], Done]:
    """All steps of a walk: those that wait, and the last."""
    stored, steps = known or Stored(), []
    outcome = run(calling(using, event_type, data, known=stored, **more))
    stored.keep(outcome.records)
    while isinstance(outcome, Wait):
        steps.append(waiting(outcome))
        assert len(steps) < 2000
        outcome = run(calling(using, event_type, data, known=stored, **{**more, "progress": steps[-1].progress}))
        stored.keep(outcome.records)
    return steps, outcome


def params(request: Request) -> dict[str, str]:
    """The parameters of a request, of its query or its form, without the proof."""
    text = request.body.decode() if request.method == "POST" else urlsplit(request.url).query
    given = dict(parse_qsl(text, keep_blank_values=True))
    assert given.pop("appsecret_proof") == PROOF
    return given


def path(request: Request) -> str:
    """Method and path."""
    return f"{request.method} {urlsplit(request.url).path}"


def page(
    rows: Sequence[Mapping[str, Any]], after: str | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """A page of a list; the last one has cursors as well."""
    paging: dict[str, Any] = {"cursors": {"before": "QVFI", "after": after or "QVFJlast"}}
    if after is not None:
        paging["next"] = f"https://graph.facebook.com/v25.0/x?access_token={TOKEN}&after={after}"
    return answer(200, {"data": list(rows), "paging": paging}, headers)


def error(code: int, subcode: int | None = None, status: int = 400, **more: Any) -> Answer:
    """A refusal."""
    headers = more.pop("headers", None)
    found = {"message": "(#0) Something.", "type": "OAuthException", "code": code, "fbtrace_id": "Ax", **more}
    return answer(status, {"error": found if subcode is None else {**found, "error_subcode": subcode}}, headers)


TOO_MUCH = error(1, status=500, message="Please reduce the amount of data you're asking for, then retry your request")

__all__ = [
    "ACCOUNT",
    "KEY",
    "META_ID",
    "NOW",
    "PROOF",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOO_MUCH",
    "Stored",
    "calling",
    "done",
    "error",
    "page",
    "params",
    "path",
    "run",
    "waiting",
    "walked",
]

"""The webhooks of a workspace: made, listed, changed; and the signed messages that go out.

https://elevenlabs.io/docs/product-guides/administration/webhooks
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, Final
from uuid import uuid4

from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.fields import FLAG, LIST, MAP, Kinds, json_body
from sandbox.elevenlabs.workspace import Call, Workspace
from sandbox.outgoing import NotSent, send
from sandbox.wire import Answer, json_answer

SIGNATURE: Final = "ElevenLabs-Signature"
EVENTS: Final = frozenset({"voice_library_removal_notice", "speech_to_text", "agent_qa", "flows"})
PATCH: Final[Kinds] = {
    "is_disabled": (bool,),
    "name": (str,),
    "retry_enabled": FLAG,
    "request_headers": MAP,
    "events": LIST,
}
SETTINGS: Final[Kinds] = {"auth_type": (str,), "name": (str,), "webhook_url": (str,), "request_headers": MAP}
OK: Final = {"status": "ok"}
UNANSWERED: Final = 0  # the status of a message that nobody answered


@dataclass(slots=True)
class Webhook:
    """Where messages go."""

    id: str
    name: str
    url: str
    secret: str = field(repr=False)
    made_unix: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    events: tuple[str, ...] = ()
    disabled: bool = False
    failure: tuple[int, int] | None = None  # status and unix seconds of the last one

    def as_json(self) -> dict[str, Any]:
        """As they list it: without its secret."""
        status, at = self.failure or (None, None)
        return {
            "name": self.name,
            "webhook_id": self.id,
            "webhook_url": self.url,
            "is_disabled": self.disabled,
            "is_auto_disabled": False,
            "created_at_unix": self.made_unix,
            "auth_type": "hmac",
            "events": list(self.events),
            "most_recent_failure_error_code": status,
            "most_recent_failure_timestamp": at,
        }


def create(call: Call) -> Answer:
    """A new one; its secret is shown this once."""
    given = json_body(call.request, {"settings": (dict,)}, ("settings",))["settings"]
    for name, kind in SETTINGS.items():
        if name in given and not isinstance(given[name], kind):
            raise Invalid("body", f"settings.{name}", "Input should be of another type", "type_error")
    for name in ("name", "webhook_url"):
        if name not in given:
            raise Invalid("body", f"settings.{name}", "Field required", "missing")
    if given.get("auth_type", "hmac") != "hmac":
        raise Invalid("body", "settings.auth_type", "Input should be 'hmac'", "literal_error")
    headers = texts(given.get("request_headers"))
    made = Webhook(uuid4().hex, given["name"], given["webhook_url"], f"wsec_{token_hex(32)}", int(call.now), headers)
    call.workspace.webhooks[made.id] = made
    return json_answer({"webhook_id": made.id, "webhook_secret": made.secret})


def listing(call: Call) -> Answer:
    """All of them."""
    return json_answer({"webhooks": [one.as_json() for one in call.workspace.webhooks.values()]})


def update(call: Call) -> Answer:
    """Change one; `events` replaces the whole set."""
    found = webhook_of(call)
    body = json_body(call.request, PATCH, ("is_disabled", "name"))
    unknown = set(map(str, body.get("events") or ())) - EVENTS
    if unknown:
        raise Refusal("invalid_parameters", f"No event is named {', '.join(sorted(unknown))}.", "events")
    found.disabled, found.name = body["is_disabled"], body["name"]
    if body.get("events") is not None:
        found.events = tuple(body["events"])
    if body.get("request_headers") is not None:
        found.headers = texts(body["request_headers"])
    return json_answer(OK)


def delete(call: Call) -> Answer:
    """End one."""
    del call.workspace.webhooks[webhook_of(call).id]
    return json_answer(OK)


def texts(headers: Mapping[str, Any] | None) -> dict[str, str]:
    """Headers that can be sent; raises Invalid."""
    for name, value in (headers or {}).items():
        if not isinstance(value, str) or not f"{name}{value}".isascii() or not f"{name}{value}".isprintable():
            raise Invalid("body", "request_headers", "Input should be an object of texts", "string_type")
    return dict(headers or {})


def webhook_of(call: Call) -> Webhook:
    """The webhook of the path; raises Refusal."""
    found = call.workspace.webhooks.get(call.params["webhook_id"])
    if not isinstance(found, Webhook):
        raise Refusal("invalid_parameters", "No such webhook.", "webhook_id")
    return found


def receivers(workspace: Workspace, webhook_id: str | None = None) -> list[Webhook]:
    """The webhooks that messages go to, or the one of an id; raises ValueError when there is none."""
    found = [one for one in workspace.webhooks.values() if not one.disabled and webhook_id in (None, one.id)]
    if not found:
        raise ValueError("there is no such webhook, or it is disabled; make one at POST /v1/workspace/webhooks")
    return found


def message(kind: str, data: Any, event_timestamp: int) -> str:
    """The body of a message."""
    return json.dumps({"type": kind, "event_timestamp": event_timestamp, "data": data}, separators=(",", ":"))


def signature(secret: str, at: int, body: bytes) -> str:
    """`t=…,v0=…`: HMAC-SHA256 of time, a dot and the raw body."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v0={digest}"


async def deliver(hooks: Sequence[Webhook], body: str, at: int, signed: bool = True) -> list[dict[str, Any]]:
    """Send one message to each, signed with its own secret; what each answered."""
    answers = []
    for one in hooks:
        header = signature(one.secret, at, body.encode())
        headers = {"Content-Type": "application/json", **one.headers, **({SIGNATURE: header} if signed else {})}
        try:
            status, answer = await send("POST", one.url, headers, body.encode())
        except NotSent as problem:
            status, answer = UNANSWERED, str(problem).encode()
        if not 200 <= status < 300:
            one.failure = (status, at)
        answers.append(
            {
                "webhook_id": one.id,
                "status": status,
                "answer": answer.decode("utf-8", "replace"),
                "body": body,
                "signature": header if signed else None,
            }
        )
    return answers

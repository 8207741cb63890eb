"""Messages of its own accord. No document of theirs has any: this is the contract of our own adapter (`webhook.…`)."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.autods.assumed import ASSUMED
from sandbox.outgoing import send

TIMESTAMPED, _, PREFIXED = ASSUMED["webhook.modes"]
TYPES: Final = ASSUMED["webhook.types"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message, kept so that it can be sent again."""

    id: str
    url: str
    secret: str = field(repr=False)
    mode: str
    header: str
    body: str


def message_body(event_id: str, kind: str, created_at: str, data: Any) -> str:
    """What a message says."""
    given = {"id": event_id, "type": kind, "created_at": created_at, "data": data}
    return json.dumps(given, separators=(",", ":"), ensure_ascii=False)


def signature(mode: str, secret: str, at: int, body: bytes) -> str:
    """The value of the header, in one of the three ways that third parties write it."""
    if mode == TIMESTAMPED:
        digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={at},v1={digest}"
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return f"sha256={digest}" if mode == PREFIXED else digest


async def deliver(one: Message, at: int, signed: bool = True) -> Mapping[str, Any]:
    """Send it; what was answered."""
    body = one.body.encode()
    value = signature(one.mode, one.secret, at, body) if signed else None
    headers = {"Content-Type": "application/json", **({one.header: value} if value is not None else {})}
    status, answer = await send("POST", one.url, headers, body)
    said = answer.decode("utf-8", "replace")
    return {"id": one.id, "status": status, "answer": said, "body": one.body, "signature": value}

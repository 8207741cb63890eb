"""Webhooks of AutoDS. No document of AutoDS describes any: this is a contract of our own, and switched on by a secret.

X-AutoDS-Signature: t=<unix seconds>,v1=<hex of HMAC-SHA256(secret, "<t>.<raw body>")>
or, where the account's `webhook_mode` is "body":  [sha256=]<hex of HMAC-SHA256(secret, raw body)>
Body {id, type, created_at, data}. It is a hint: what it is about is read again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from providers.inbound import Arrival, Forged, Inbound, Malformed, Notice

HEADER = "X-AutoDS-Signature"
TIMESTAMPED, BODY = "timestamped", "body"
WINDOW_S = 300
STREAMS: Mapping[str, str] = {"order": "orders", "product": "products", "bulk_action": "products"}  # by the first word


def verify(arrival: Arrival, secret: str) -> None:
    """Whether the secret signed the raw bytes. Raises Forged."""
    if not secret:
        raise Forged("The account has no webhook secret, so no webhook is believed.")
    header = str(arrival.config.get("webhook_header") or HEADER)
    given = arrival.headers.get(header.lower(), "").strip()
    if not given:
        raise Forged(f"The header {header} is missing.")
    if arrival.config.get("webhook_mode") == BODY:
        signed, found = arrival.body, given.removeprefix("sha256=")
    else:
        at, found = _timed(given, header)
        if abs(arrival.received_at.timestamp() - at) > WINDOW_S:
            raise Forged(f"The time in the header {header} is more than {WINDOW_S} s away.")
        signed = f"{at}.".encode() + arrival.body
    if not _same(found, hmac.digest(secret.encode(), signed, hashlib.sha256).hex()):
        raise Forged(f"The header {header} does not fit the body.")


def _timed(given: str, header: str) -> tuple[int, str]:
    """The time and the signature of `t=…,v1=…`."""
    parts = dict(piece.strip().partition("=")[::2] for piece in given.split(","))
    at = parts.get("t", "")
    if not (at.isascii() and at.isdecimal() and len(at) <= 12) or "v1" not in parts:
        raise Forged(f"The header {header} must read t=<unix seconds>,v1=<hex>.")
    return int(at), parts["v1"]


def _same(given: str, ours: str) -> bool:
    return hmac.compare_digest(given.lower().encode("utf-8", "surrogateescape"), ours.encode())


def read(arrival: Arrival) -> Sequence[Notice]:
    """One notice: what is to be read again, for types that are known. Raises Malformed."""
    try:
        body = json.loads(arrival.body)
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON.") from None
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        raise Malformed("The body is not an object with a type.")
    kind: str = body["type"]
    data: Any = body.get("data")
    return [
        Notice(
            external_id=_identity(body, arrival.body),
            kind=kind[:100],
            data=data if isinstance(data, dict) else {},
            stream=STREAMS.get(kind.partition(".")[0], ""),
        )
    ]


def _identity(body: Mapping[str, Any], raw: bytes) -> str:
    """The message's own id, else what it says."""
    given = body.get("id")
    known = str(given) if isinstance(given, str | int) and not isinstance(given, bool) and given != "" else ""
    return known[:200] or hashlib.sha256(raw).hexdigest()


INBOUND = Inbound(verify, read, credential="webhook_secret")

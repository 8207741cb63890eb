"""ElevenLabs' webhooks: the signature over the raw bytes, and what the messages say.

https://elevenlabs.io/docs/product-guides/administration/webhooks
`ElevenLabs-Signature: t=<unix seconds>,v0=<hex>`, HMAC-SHA256 of `<t>.<raw body>`. A message that is sent again is the
same to the byte, and is known by its time and the ids in it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jsontext
from providers.elevenlabs import cast, transcripts
from providers.inbound import Arrival, Forged, Inbound, Malformed, Notice

SIGNATURE = "elevenlabs-signature"
OLDEST_S = 30 * 60  # as their own clients check
NEWEST_S = 5 * 60  # of clocks apart; theirs takes any future time
IDS = ("request_id", "transcription_id", "voice_id", "conversation_id", "id")
TRANSCRIBED = "speech_to_text_transcription"


def verify(arrival: Arrival, secret: str) -> None:
    """Whether the webhook's secret signed the raw bytes, not long ago."""
    if not secret:
        raise Forged("No webhook secret is set for this account: connect it again with the one ElevenLabs showed.")
    header = arrival.headers.get(SIGNATURE, "")
    if not header:
        raise Forged(f"The header {SIGNATURE} is missing.")
    at, signatures = _parts(header)
    age_s = arrival.received_at.timestamp() - int(at)
    if not -NEWEST_S <= age_s <= OLDEST_S:
        raise Forged(f"The header {SIGNATURE} was signed at another time: {age_s:.0f} seconds ago.")
    ours = hmac.digest(secret.encode(), at.encode() + b"." + arrival.body, hashlib.sha256).hex()
    if not any(hmac.compare_digest(each.encode("utf-8", "surrogateescape"), ours.encode()) for each in signatures):
        raise Forged(f"The header {SIGNATURE} does not fit the body.")


def _parts(header: str) -> tuple[str, list[str]]:
    """The time as it was written, and the signatures; spaces between them do not matter."""
    pairs = [piece.strip().partition("=") for piece in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v0"]
    if len(times) != 1 or not signatures or not (times[0].isascii() and times[0].isdigit() and len(times[0]) <= 12):
        raise Forged(f"The header {SIGNATURE} is not t=<unix seconds>,v0=<hex>.")
    return times[0], signatures


def read(arrival: Arrival) -> Sequence[Notice]:
    """The one notice of a message."""
    try:
        body = jsontext.decoded(arrival.body)
    except (ValueError, RecursionError):
        raise Malformed("The body is no JSON.") from None
    kind = body.get("type") if isinstance(body, dict) else None
    if not isinstance(kind, str) or not kind:
        raise Malformed("The body is not what ElevenLabs sends: an object with `type`, `event_timestamp` and `data`.")
    data = body.get("data") if isinstance(body.get("data"), dict) else {}
    return [
        Notice(
            external_id=_identity(kind, body.get("event_timestamp"), data, arrival.body),
            kind=kind,
            data=data,
            publishes=_PUBLISHES[kind](data) if kind in _PUBLISHES else None,
            stream=cast.STREAM if kind.startswith("voice_") else "",
        )
    ]


def _identity(kind: str, at: Any, data: Mapping[str, Any], body: bytes) -> str:
    ids = [str(data[name]) for name in IDS if isinstance(data.get(name), (str, int))]
    identity = jsontext.encoded([kind, at, ids]) if ids and at else body
    return hashlib.sha256(identity).hexdigest()


_PUBLISHES: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, Mapping[str, Any]] | None]] = {
    TRANSCRIBED: transcripts.told_by_webhook,
}

INBOUND = Inbound(verify=verify, read=read, credential="webhook_secret")

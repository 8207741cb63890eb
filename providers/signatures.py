"""Standard Webhooks signatures on what we send.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import binascii
import hmac
import secrets as random
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import lru_cache

PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification asks for 24 to 64


def new_secret() -> str:
    """A fresh signing secret: `whsec_` and base64 of random bytes."""
    return PREFIX + b64encode(random.token_bytes(SECRET_BYTES)).decode()


def sign(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message. Each secret signs, so that receivers may change theirs at any time."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [
        "v1," + binascii.b2a_base64(hmac.digest(_key(secret), signed, "sha256"), newline=False).decode("ascii")
        for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


@lru_cache(maxsize=4096)
def _key(secret: str) -> bytes:
    return b64decode(secret.removeprefix(PREFIX))

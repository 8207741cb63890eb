"""Signatures, judged by the library that receivers use."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from providers.signatures import new_secret, sign

BODY = b'{"id":"evt_1","data":{"a":"\xc3\xa9"}}'


def now() -> int:
    return int(datetime.now(UTC).timestamp())  # the library compares with its own clock


def test_a_receiver_verifies_what_we_sign() -> None:
    secret = new_secret()
    headers = sign([secret], "msg_1", now(), BODY)
    assert Webhook(secret).verify(BODY, headers) == {"id": "evt_1", "data": {"a": "é"}}


def test_during_a_rotation_the_old_and_the_new_secret_both_verify() -> None:
    old, new = new_secret(), new_secret()
    headers = sign([new, old], "msg_1", now(), BODY)
    for secret in (old, new):
        Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp"])
def test_id_and_time_are_signed(part: str) -> None:
    secret = new_secret()
    headers = sign([secret], "1", now(), BODY)
    headers[part] = str(now() - 1)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers)


def test_the_formula_agrees_with_the_library() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime(2021, 2, 25, tzinfo=UTC)
    assert sign([secret], "msg_p5j", int(at.timestamp()), BODY) == {
        "webhook-id": "msg_p5j",
        "webhook-timestamp": "1614211200",
        "webhook-signature": Webhook(secret).sign("msg_p5j", at, BODY.decode()),
    }


def test_secrets_are_long_and_never_the_same() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith("whsec_") and len(secret) == 50 for secret in made)

"""The webhooks' own contract: what is believed, and what it makes us read again."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.autods import PROVIDER
from providers.inbound import Arrival, Forged, Malformed

SECRET = "the-secret"
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
BODY = json.dumps({"id": "e1", "type": "order.shipped", "data": {"autods_order_id": 5}}).encode()
assert PROVIDER.inbound is not None
INBOUND = PROVIDER.inbound
NONE: Mapping[str, str] = {}


def hexed(signed: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def timed(at: float, body: bytes = BODY, secret: str = SECRET) -> str:
    return f"t={at:.0f},v1={hexed(f'{at:.0f}.'.encode() + body, secret)}"


def arrival(header: str | None, body: bytes = BODY, config: Mapping[str, str] = NONE) -> Arrival:
    name = config.get("webhook_header", "X-AutoDS-Signature").lower()
    return Arrival({} if header is None else {name: header}, body, AT, config)


@pytest.mark.parametrize(
    ("header", "config"),
    [
        (timed(AT.timestamp()), {}),
        (timed(AT.timestamp()).replace(",", ", "), {}),
        (timed(AT.timestamp() - 299), {}),
        (timed(AT.timestamp() + 299), {}),
        (timed(AT.timestamp()), {"webhook_header": "X-Other"}),
        (hexed(BODY), {"webhook_mode": "body"}),
        (f"sha256={hexed(BODY)}", {"webhook_mode": "body"}),
        (hexed(BODY).upper(), {"webhook_mode": "body"}),
    ],
)
def test_what_is_signed_is_believed(header: str, config: dict[str, str]) -> None:
    INBOUND.verify(arrival(header, config=config), SECRET)


@pytest.mark.parametrize(
    ("header", "config", "said"),
    [
        (None, {}, "is missing"),
        ("", {}, "is missing"),
        (hexed(BODY), {}, "must read t="),
        (f"sha256={hexed(BODY)}", {}, "must read t="),
        ("t=now,v1=00", {}, "must read t="),
        ("t=,v1=00", {}, "must read t="),
        ("t=99999999999999999999,v1=00", {}, "must read t="),
        (f"t={AT.timestamp():.0f}", {}, "must read t="),
        (timed(AT.timestamp() - 301), {}, "more than 300 s away"),
        (timed(AT.timestamp() + 301), {}, "more than 300 s away"),
        (timed(AT.timestamp(), secret="other"), {}, "does not fit"),
        (timed(AT.timestamp(), body=b"{}"), {}, "does not fit"),
        (f"t={AT.timestamp():.0f},v1=\udcff", {}, "does not fit"),
        (timed(AT.timestamp()), {"webhook_mode": "body"}, "does not fit"),
    ],
)
def test_what_is_not_is_refused_with_the_reason(header: str | None, config: dict[str, str], said: str) -> None:
    with pytest.raises(Forged, match=said):
        INBOUND.verify(arrival(header, config=config), SECRET)


def test_without_a_secret_nothing_is_believed() -> None:
    with pytest.raises(Forged, match="no webhook secret"):
        INBOUND.verify(arrival(timed(AT.timestamp(), secret="")), "")


@pytest.mark.parametrize(
    ("kind", "stream"),
    [
        ("order.shipped", "orders"),
        ("product.out_of_stock", "products"),
        ("bulk_action.finished", "products"),
        ("moon.landed", ""),
    ],
)
def test_a_message_is_a_hint(kind: str, stream: str) -> None:
    (notice,) = INBOUND.read(arrival(None, json.dumps({"id": 7, "type": kind}).encode()))
    assert (notice.external_id, notice.kind, notice.stream, notice.publishes) == ("7", kind, stream, None)


def test_one_without_an_id_is_known_by_what_it_says() -> None:
    body = b'{"type": "order.updated"}'
    (notice,) = INBOUND.read(arrival(None, body))
    assert notice.external_id == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"type": 5}', b"\xff", b"[" * 100_000])
def test_what_is_no_message_is_malformed(body: Any) -> None:
    with pytest.raises(Malformed):
        INBOUND.read(arrival(None, body))

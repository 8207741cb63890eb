"""Meta's webhooks: who may say something, and what is said."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any

import pytest

from providers.inbound import Arrival, Forged, Malformed
from providers.meta_ads import PROVIDER
from providers.meta_ads.inbound import INBOUND, signed_request
from tests.providers.doubles import NOW
from tests.providers.meta_ads.calls import SECRET

# Body, secret and signature as Meta documents them; the backslash-u escapes stand in the raw bytes.
RAW = (
    rb'{"object":"ad_account","entry":[{"id":"1234567890","time":1791450000,"changes":[{"field":'
    rb'"with_issues_ad_objects","value":{"id":"120210000000000001","level":"AD","error_code":"567",'
    rb'"error_summary":"r\u00e9sum\u00e9","error_message":"x"}}]}]}'
)
SIGNATURE = "sha256=a5a71f184edb27457b38b98a36246e1ab391c23cb09b71a75cb63e25fbf14ac9"
SIGNED = (
    "pDe5gX8cSkGdXKp1xxK48DDwAq9Jc-17FMMhvZa3niE."
    "eyJ1c2VyX2lkIjoiMTAwMDEiLCJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImlzc3VlZF9hdCI6MTc5MTQ1MDAwMH0"
)


def arrival(body: Any, signature: str | None = SIGNATURE, **headers: str) -> Arrival:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signed = {} if signature is None else {"x-hub-signature-256": signature}
    return Arrival({"content-type": "application/json", **signed, **headers}, raw, NOW)


def form(body: str) -> Arrival:
    return Arrival({"content-type": "application/x-www-form-urlencoded; charset=utf-8"}, body.encode(), NOW)


def entry(**more: Any) -> dict[str, Any]:
    return {"object": "ad_account", "entry": [{"id": "1234567890", "time": 1791450000, **more}]}


# ------------------------------------------------------------------------------------------------------- the handshake

ASKED = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "vt_8h2"}


def test_the_challenge_is_answered_as_it_is() -> None:
    assert PROVIDER.inbound is INBOUND
    assert INBOUND.handshake(ASKED, "vt_8h2") == "1158201444"


@pytest.mark.parametrize(
    ("changes", "token"),
    [
        ({"hub.verify_token": "other"}, "vt_8h2"),
        ({"hub.verify_token": ""}, ""),
        ({"hub.mode": "unsubscribe"}, "vt_8h2"),
        ({"hub.verify_token": "vt_8h2\udcff"}, "vt_8h2"),
        ({"hub.verify_token": "é"}, "vt_8h2"),
    ],
)
def test_nobody_else_gets_an_answer(changes: dict[str, str], token: str) -> None:
    assert INBOUND.handshake({**ASKED, **changes}, token) is None
    assert INBOUND.handshake({}, token) is None


# ------------------------------------------------------------------------------------------------------- the signature


def test_the_signature_is_over_the_raw_bytes() -> None:
    assert len(RAW) == 241
    INBOUND.verify(arrival(RAW), SECRET)
    decoded = json.dumps(json.loads(RAW), ensure_ascii=False, separators=(",", ":")).encode()
    for other in (decoded, RAW + b"\n", RAW[:-1], b""):
        with pytest.raises(Forged):
            INBOUND.verify(arrival(other), SECRET)


@pytest.mark.parametrize(
    "given",
    [None, "", "sha256=", SIGNATURE.upper(), SIGNATURE[:-1] + "0", SIGNATURE.removeprefix("sha256="), "sha256=é"],
)
def test_a_signature_that_does_not_fit(given: str | None) -> None:
    with pytest.raises(Forged):
        INBOUND.verify(arrival(RAW, given), SECRET)


def test_the_older_signature_counts_for_nothing() -> None:
    older = {"x-hub-signature": "sha1=0000000000000000000000000000000000000000"}
    with pytest.raises(Forged, match="missing"):
        INBOUND.verify(arrival(RAW, None, **older), SECRET)
    with pytest.raises(Forged):
        INBOUND.verify(arrival(RAW), "another secret")


# --------------------------------------------------------------------------------------------------------- what is said


def test_a_change_is_a_notice() -> None:
    (notice,) = INBOUND.read(arrival(RAW))
    assert (notice.kind, notice.account) == ("with_issues_ad_objects", "1234567890")
    assert notice.data["object"] == "ad_account"
    assert notice.data["value"]["error_summary"] == "résumé"
    (again,) = INBOUND.read(arrival(RAW))
    assert again.external_id == notice.external_id
    assert len(notice.external_id) == 64


def test_many_changes_of_many_accounts_are_told_apart() -> None:
    value = {"object_id": "120210000000000009", "object_type": "ad", "changed_fields": ["effective_status"]}
    change = {"field": "field_changed", "value": value}
    other = {"field": "field_changed", "value": {**value, "object_id": "120210000000000010"}}
    body = {
        "object": "ad_account",
        "entry": [
            {"id": "1", "time": 1, "changes": [change, other]},
            {"id": "act_2", "time": 1, "changes": [change]},
            {"id": "1", "time": 2, "changes": [change]},
        ],
    }
    notices = INBOUND.read(arrival(body))
    assert [each.account for each in notices] == ["1", "1", "2", "1"]
    assert len({each.external_id for each in notices}) == 4


def test_fields_without_values() -> None:
    notices = INBOUND.read(arrival(entry(changed_fields=["effective_status", "ad_recommendations"])))
    assert [each.kind for each in notices] == ["effective_status", "ad_recommendations"]
    assert "value" not in notices[0].data


def test_long_ids_come_through_as_they_are() -> None:
    long, longer = 120210000000000009, 12345678901234567890123
    value = f'{{"leadgen_id": {long}, "ad": {{"id": {longer}}}, "ids": [{{"page_id": {long}}}], "valid": true}}'
    body = f'{{"object":"page","entry":[{{"id":{long},"time":1,"changes":[{{"field":"leadgen","value":{value}}}]}}]}}'
    (notice,) = INBOUND.read(arrival(body.encode()))
    assert notice.account == str(long)
    assert notice.data["value"] == {
        "leadgen_id": str(long),
        "ad": {"id": str(longer)},
        "ids": [{"page_id": str(long)}],
        "valid": True,
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"9" * 5000,
        [],
        {"object": "ad_account"},
        {"entry": {}},
        {"entry": [5]},
        entry(changes="x"),
        entry(changes=[5]),
        entry(changed_fields={}),
    ],
)
def test_what_is_not_metas_is_malformed(body: Any) -> None:
    with pytest.raises(Malformed):
        INBOUND.read(arrival(body))


# ---------------------------------------------------------------------------------------------------- people who leave


def test_a_person_who_leaves_is_a_notice() -> None:
    given = form(f"signed_request={SIGNED}")
    INBOUND.verify(given, SECRET)
    (notice,) = INBOUND.read(given)
    assert (notice.kind, notice.account) == ("deauthorized", "10001")
    assert signed_request(SIGNED, SECRET) == {
        "user_id": "10001",
        "algorithm": "HMAC-SHA256",
        "issued_at": 1791450000,
    }


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "x",
        SIGNED[1:],
        SIGNED.replace("eyJ1", "eyJ2"),
        SIGNED.partition(".")[0] + "." + "e30",
        "é." + SIGNED.partition(".")[2],
        "!!!." + SIGNED.partition(".")[2],
    ],
)
def test_a_signed_request_that_is_not_metas(value: str) -> None:
    with pytest.raises(Forged):
        signed_request(value, SECRET)
    with pytest.raises(Forged):
        INBOUND.verify(form(f"signed_request={value}"), SECRET)


def test_a_signed_request_by_another_rule_or_secret() -> None:
    with pytest.raises(Forged):
        signed_request(SIGNED, "another secret")
    with pytest.raises(Forged):
        INBOUND.verify(form("other=1"), SECRET)
    payload = base64.urlsafe_b64encode(b'{"user_id":"10001","algorithm":"none"}').decode().rstrip("=")
    signature = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), payload.encode(), "sha256")).decode()
    with pytest.raises(Forged, match="HMAC-SHA256"):
        signed_request(f"{signature.rstrip('=')}.{payload}", SECRET)

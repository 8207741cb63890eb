"""TikTok's own webhooks: believed as far as they prove where they come from."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from providers.inbound import Arrival, Forged, Malformed, Notice
from providers.tiktok_ads import PROVIDER
from providers.tiktok_ads.api import data_of, post
from providers.tiktok_ads.inbound import GO_AND_POLL, handshake, read, verify
from tests.providers.tiktok_ads.platform import APP, EU, SECRET, Account
from worker.catalog import event_types

# The formula's vector: https://developers.tiktok.com/doc/webhooks-verification
BODY = (
    b'{"client_key":"ck1","event":"post.publish.complete","create_time":1791450000,"user_openid":"u1",'
    b'"content":"{\\"publish_id\\":\\"p1\\"}"}'
)
SENT_AT = 1791450000
DIGEST = "07be9a2b8dbe8aa0065f0769ce0d08f7e914078d83bb4a805b45cbbf4fb39040"
LEAD = json.dumps({"object": 1, "time": SENT_AT, "entry": [{"id": 7, "advertiser_id": int(EU)}]}).encode()


def arrival(body: bytes = BODY, signature: str | None = f"t={SENT_AT},s={DIGEST}", late_s: int = 0) -> Arrival:
    headers = {} if signature is None else {"tiktok-signature": signature}
    return Arrival(headers, body, datetime.fromtimestamp(SENT_AT + late_s, UTC))


def signed(body: bytes, sent_at: int = SENT_AT, secret: str = SECRET) -> str:
    digest = hmac.new(secret.encode(), f"{sent_at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={sent_at},s={digest}"


@pytest.mark.parametrize("late_s", [-300, 0, 300])
def test_the_vector_within_five_minutes(late_s: int) -> None:
    verify(arrival(late_s=late_s), SECRET)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (arrival(late_s=301), "too old"),
        (arrival(late_s=-301), "too old"),
        (arrival(BODY + b" "), "does not fit"),
        (arrival(signature=f"t={SENT_AT + 1},s={DIGEST}"), "does not fit"),
        (arrival(signature=f"t={SENT_AT},s={DIGEST[:-1]}"), "does not fit"),
        (arrival(signature=f"t={SENT_AT},s={DIGEST.upper()}"), "does not fit"),
        (arrival(signature=DIGEST), "is not"),
        (arrival(signature=f"t=soon,s={DIGEST}"), "is not"),
        (arrival(signature=f"t={SENT_AT},s=ü"), "is not"),
        (arrival(signature=f"t={'9' * 30},s={DIGEST}"), "is not"),
        (arrival(signature=f"t={SENT_AT}"), "does not fit"),
    ],
)
def test_what_was_changed_is_forged(changed: Arrival, why: str) -> None:
    with pytest.raises(Forged, match=why):
        verify(changed, SECRET)


def test_another_apps_secret_does_not_fit() -> None:
    with pytest.raises(Forged):
        verify(arrival(), "tt_app_secret_2")


def test_spaces_and_other_parts_of_the_header_do_not_matter() -> None:
    verify(arrival(signature=f"v=1, t={SENT_AT} ,s={DIGEST}".replace(" ,", ",")), SECRET)


def test_a_signed_notice_is_read_and_its_content_is_json_again() -> None:
    (notice,) = read(arrival())
    assert notice == Notice(
        hashlib.sha256(BODY).hexdigest(),
        "post.publish.complete",
        "",
        {
            "client_key": "ck1",
            "event": "post.publish.complete",
            "create_time": 1791450000,
            "user_openid": "u1",
            "content": {"publish_id": "p1"},
        },
    )


@pytest.mark.parametrize(
    ("body", "kind", "account"),
    [
        (LEAD, GO_AND_POLL, EU),
        (
            json.dumps({"subscribe_entity": "AD_ACCOUNT_SUSPENSION", "advertiser_id": EU}).encode(),
            "AD_ACCOUNT_SUSPENSION",
            EU,
        ),
        (json.dumps({"event": 5, "entry": [{"advertiser_id": EU}, {}]}).encode(), "5", ""),
        (json.dumps({"entry": "?", "content": "not json"}).encode(), GO_AND_POLL, ""),
        (b"{}", GO_AND_POLL, ""),
    ],
)
def test_payloads_that_nobody_documents_are_read_as_far_as_they_go(body: bytes, kind: str, account: str) -> None:
    (notice,) = read(arrival(body, signed(body)))
    assert (notice.kind, notice.account) == (kind, account)
    assert notice.data == json.loads(body)


def test_what_is_unsigned_says_only_go_and_poll() -> None:
    unsigned = arrival(LEAD, None)
    verify(unsigned, SECRET)
    (notice,) = read(unsigned)
    assert (notice.kind, notice.stream, notice.proven, notice.publishes) == (GO_AND_POLL, "campaigns", False, None)
    assert read(arrival(b'{"another": 1}', None)) == [notice], "within a minute they are one"


def test_a_signed_lead_is_told_with_what_was_written() -> None:
    entry = {
        "id": "900",
        "page_id": "4",
        "campaign_id": "1",
        "adgroup_id": "2",
        "ad_id": "3",
        "create_time": 1791449990,
        "changes": [{"field": "email", "value": "ann@example.com"}, {"field": "name", "value": "Ann"}],
    }
    body = json.dumps({"object": 1, "time": 1791450000, "entry": [entry]}).encode()
    (notice,) = read(arrival(body, signed(body)))
    assert notice.external_id == "lead:900"
    assert notice.publishes is not None
    kind, said = notice.publishes
    assert (kind, said["lead_id"], said["external_ad_id"]) == ("lead.received", "900", "3")
    assert said["fields"] == {"email": ["ann@example.com"], "name": ["Ann"]}
    assert event_types()[kind].problem({**said, "integration_id": "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e"}) is None


def test_signed_by_nobody_s_secret_is_not_believed() -> None:
    body = b"{}"
    with pytest.raises(Forged, match="No secret"):
        verify(arrival(body, signed(body, secret="")), "")


def test_the_rule_for_the_unsigned_can_be_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.tiktok_ads.inbound.UNSIGNED_MEANS_POLL", False)
    with pytest.raises(Forged):
        verify(arrival(LEAD, None), SECRET)


def test_the_same_bytes_are_the_same_notice() -> None:
    ids = [read(arrival(body, signed(body)))[0].external_id for body in (LEAD, LEAD, LEAD + b" ")]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("body", [b"", b"nothing", b"[]", b'"a"', b"\xff"])
@pytest.mark.parametrize("is_signed", [True, False])
def test_what_is_no_object_is_malformed(body: bytes, is_signed: bool) -> None:
    with pytest.raises(Malformed):
        read(arrival(body, signed(body) if is_signed else None))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"challenge": "1791450000"}, "1791450000"),
        ({"challenge": "<script>"}, None),
        ({"challenge": ""}, None),
        ({"challenge": "a" * 257}, None),
        ({}, None),
    ],
)
def test_a_challenge_is_echoed_when_it_is_harmless(query: dict[str, str], text: str | None) -> None:
    assert handshake(query, "") == text


class Receiver:
    """A callback address that keeps what came."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        kept = self.arrivals

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                kept.append(Arrival({k.lower(): v for k, v in self.headers.items()}, body, datetime.now(UTC)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks/tiktok_ads/1"
        self.thread = threading.Thread(target=self.server.serve_forever)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    made.thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        made.thread.join()
        made.server.server_close()


@pytest.mark.parametrize("is_signed", [True, False])
def test_what_the_stand_in_sends_is_believed(account: Account, receiver: Receiver, is_signed: bool) -> None:
    call = account.call("sync.due", {})
    detail = {"access_token": account.token, "advertiser_ids": [EU]}
    body = {
        "app_id": APP,
        "secret": SECRET,
        "subscribe_entity": "REPORT_DATA_CHANGE",
        "callback_url": receiver.url,
        "subscription_detail": detail,
    }
    data_of(call.send(post(call.base_url, "v1.3", "subscription/subscribe/", None, body)))
    account.do("send_webhook", entity="REPORT_DATA_CHANGE", signed=is_signed)
    (came,) = receiver.arrivals
    verify(came, SECRET)
    (notice,) = read(came)
    assert notice.kind == GO_AND_POLL
    assert (notice.data != {}) is is_signed


def test_the_provider_has_these_doors() -> None:
    assert PROVIDER.inbound is not None
    assert (PROVIDER.inbound.verify, PROVIDER.inbound.read, PROVIDER.inbound.handshake) == (verify, read, handshake)

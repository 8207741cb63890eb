"""What is special about Zapier: one signed object for an event, and statuses that blame no account."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from standardwebhooks.webhooks import Webhook

from model import Done
from providers.contract import Call
from providers.errors import (
    Gone,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Unavailable,
)
from providers.signatures import new_secret
from providers.zapier import PROVIDER, adapter, reverse_unsubscribe
from providers.zapier.adapter import send_hook
from tests.providers.doubles import NOW, OK, Scripted, a_call, always, answer, serving, transport

URL = "https://hooks.zapier.com/hooks/standard/1234567/abc123def456/"
DATA = {"campaign_id": "cmp_01HX", "spend": 63.08, "note": "é"}
BODY = (
    b'{"id":"01930000-0000-7000-8000-000000000001","type":"campaign.performance_synced",'
    b'"occurred_at":"2026-11-23T12:00:00Z","tenant_id":"t_42",'
    b'"data":{"campaign_id":"cmp_01HX","spend":63.08,"note":"\\u00e9"}}'
)
DELIVERY = "01930000-0000-7000-8000-000000000002"


def a_hook(using: Any, **more: Any) -> Call:
    given = {"target_url": URL, **more}
    return a_call(PROVIDER, using, "campaign.performance_synced", DATA, **given)


def test_an_event_on_the_wire_byte_for_byte() -> None:
    secret = new_secret()
    with serving(always(OK)) as server, transport() as http:
        send_hook(a_hook(http, target_url=server.url, signing_secrets=(secret,)))
    assert server.requests == [
        b"POST /hooks/catch/123456/s3cretpath/ HTTP/1.1\r\n"
        b"Host: 127.0.0.1:%d\r\n"
        b"User-Agent: AgentMesh/1 (webhooks)\r\n"
        b"Content-Type: application/json\r\n"
        b"X-Event-Id: 01930000-0000-7000-8000-000000000001\r\n"
        b"X-Event-Type: campaign.performance_synced\r\n"
        b"webhook-id: 01930000-0000-7000-8000-000000000002\r\n"
        b"webhook-timestamp: 1795435200\r\n"
        b"webhook-signature: %b\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Content-Length: %d\r\n"
        b"\r\n"
        b"%b" % (server.port, Webhook(secret).sign(DELIVERY, NOW, BODY.decode()).encode(), len(BODY), BODY)
    ]


def test_every_attempt_carries_the_same_id() -> None:
    scripted = Scripted(answer(200), answer(200))
    send_hook(a_hook(scripted))
    send_hook(a_hook(scripted, attempt_number=2))
    assert [request.headers["webhook-id"] for request in scripted.requests] == [DELIVERY, DELIVERY]
    assert scripted.requests[0].body == scripted.requests[1].body


def test_without_a_secret_nothing_is_signed() -> None:
    scripted = Scripted(answer(200))
    send_hook(a_hook(scripted))
    assert "webhook-signature" not in scripted.requests[0].headers


def test_zapiers_tracking_ids_are_the_result() -> None:
    said = {"status": "success", "id": "z1", "request_id": "r1", "attempt": "a1", "more": "x" * 9999}
    assert send_hook(a_hook(Scripted(answer(200, said)))) == Done(
        result={"id": "z1", "request_id": "r1", "attempt": "a1"}, external_id="r1"
    )


@pytest.mark.parametrize("said", [b"", b"ok", b"[1]", b'"text"', b'{"id":{"a":1}}', b'{"id":"%s"}' % (b"x" * 999)])
def test_any_2xx_will_do(said: bytes) -> None:
    assert send_hook(a_hook(Scripted(answer(202, said)))) == Done()


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (302, Refused, "redirected"),
        (400, InvalidPayload, "invalid_payload"),
        (401, Refused, "refused"),
        (402, Refused, "refused"),
        (403, Refused, "refused"),
        (404, Unavailable, "not_found"),
        (408, Unavailable, "unavailable"),
        (410, Gone, "gone"),
        (413, InvalidPayload, "invalid_payload"),
        (415, InvalidPayload, "invalid_payload"),
        (422, InvalidPayload, "invalid_payload"),
        (429, RateLimited, "rate_limited"),
        (500, Unavailable, "unavailable"),
        (502, Unavailable, "unavailable"),
        (503, Unavailable, "unavailable"),
        (504, Unavailable, "unavailable"),
    ],
)
def test_no_status_asks_anybody_to_reconnect(status: int, error: type[ProviderError], code: str) -> None:
    with pytest.raises(ProviderError) as judged:
        send_hook(a_hook(Scripted(answer(status))))
    assert (type(judged.value), judged.value.code) == (error, code)


@pytest.mark.parametrize(("headers", "wait_s"), [({}, 60.0), ({"Retry-After": "7"}, 7.0)])
def test_a_429_waits_a_minute_unless_told_otherwise(headers: dict[str, str], wait_s: float) -> None:
    with pytest.raises(RateLimited) as limited:
        send_hook(a_hook(Scripted(answer(429, headers=headers))))
    assert limited.value.wait_s == wait_s


def test_the_row_of_an_attempt_shows_no_address() -> None:
    call = a_hook(Scripted(answer(200, {"you_called": URL})))
    send_hook(call)
    assert call.exchange is not None
    assert call.exchange.url == "https://hooks.zapier.com/hooks/…/abc1****"
    assert "abc123def456" not in call.exchange.excerpt


def test_an_unsubscribe_pauses_the_zap_and_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(always(OK)) as server, transport() as http:
        assert not reverse_unsubscribe(http, server.url), "it is not Zapier's"
        monkeypatch.setattr(adapter, "HOOK_HOSTS", {urlsplit(server.url).hostname, urlsplit(URL).hostname})
        assert reverse_unsubscribe(http, server.url)
    assert len(server.requests) == 1
    assert server.requests[0].startswith(b"DELETE /hooks/catch/123456/s3cretpath/ HTTP/1.1\r\n")
    reverse_unsubscribe(Scripted(OutcomeUnknown()), URL)
    reverse_unsubscribe(Scripted(answer(500)), URL)


def test_the_body_is_the_json_that_a_receiver_reads() -> None:
    scripted = Scripted(answer(200))
    send_hook(a_hook(scripted))
    assert json.loads(scripted.requests[0].body)["data"] == DATA

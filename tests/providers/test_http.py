"""What statuses mean, what waits are heard, and that nothing shows a secret."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest

from providers.contract import Provider
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    Gone,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Retryable,
    Unavailable,
)
from providers.http import (
    Answer,
    Headers,
    Refusals,
    Request,
    api_request,
    judge,
    masked,
    retry_after,
    webhook_request,
)
from tests.providers.doubles import NOW, Scripted, a_call, answer

PLAIN = Refusals()
SECRETS = ("sk_live_0123456789", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "s3cr3tpath", "hunter2hunter2")


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (301, Refused, "redirected"),
        (302, Refused, "redirected"),
        (400, InvalidPayload, "invalid_payload"),
        (401, CredentialsRejected, "credentials_rejected"),
        (402, AccountBlocked, "account_blocked"),
        (403, Refused, "refused"),
        (404, InvalidPayload, "invalid_payload"),
        (408, Unavailable, "unavailable"),
        (410, Gone, "gone"),
        (418, InvalidPayload, "invalid_payload"),
        (422, InvalidPayload, "invalid_payload"),
        (425, Unavailable, "unavailable"),
        (429, RateLimited, "rate_limited"),
        (500, Unavailable, "unavailable"),
        (503, Unavailable, "unavailable"),
        (599, Unavailable, "unavailable"),
        (101, OutcomeUnknown, "unknown_status"),
        (999, OutcomeUnknown, "unknown_status"),
    ],
)
def test_a_status_is_one_error(status: int, error: type[ProviderError], code: str) -> None:
    with pytest.raises(ProviderError) as judged:
        judge(answer(status, b"no such thing"), PLAIN)
    assert type(judged.value) is error
    assert judged.value.code == code
    assert str(judged.value).startswith(f"The answer was {status}: no such thing.")


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_success(status: int) -> None:
    judge(answer(status), PLAIN)


def read(got: Answer) -> tuple[str, str]:
    return got.json()["code"], got.json()["message"]


def test_the_providers_code_decides_before_its_statuses_and_these_before_ours() -> None:
    refusal = answer(401, {"code": "quota", "message": "None left."})
    with pytest.raises(AccountBlocked, match=r"^The answer was 401 quota: None left\.$"):
        judge(refusal, Refusals({"quota": AccountBlocked}, {401: Refused}, read))
    with pytest.raises(Refused, match="401 quota"):
        judge(refusal, Refusals({}, {401: Refused}, read))
    with pytest.raises(CredentialsRejected, match="401 quota"):
        judge(refusal, Refusals(read=read))


def test_a_code_with_a_part_behind_a_slash_is_asked_for_whole_and_then_without() -> None:
    table = Refusals({"190": CredentialsRejected, "190/99": Unavailable}, read=read, other=lambda code: AccountBlocked)
    for code, error in {"190/463": CredentialsRejected, "190/99": Unavailable, "77/1": AccountBlocked}.items():
        with pytest.raises(ProviderError) as judged:
            judge(answer(400, {"code": code, "message": "No."}), table)
        assert type(judged.value) is error


def test_an_answer_with_a_200_may_be_a_refusal() -> None:
    table = Refusals({"40105": CredentialsRejected}, read=read, in_success=lambda got: got.json()["code"] != "0")
    judge(answer(200, {"code": "0", "message": "OK"}), table)
    with pytest.raises(CredentialsRejected, match=r"^The answer was 200 40105: Revoked\.$"):
        judge(answer(200, {"code": "40105", "message": "Revoked"}), table)


def test_a_provider_may_ask_for_time_in_its_own_way() -> None:
    table = Refusals(wait_s=lambda got: 60.0 * int(got.headers["x-minutes"]))
    with pytest.raises(RateLimited) as judged:
        judge(answer(429, headers={"X-Minutes": "9"}), table)
    assert judged.value.wait_s == 540.0


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_that_was_asked_for_is_heard(status: int) -> None:
    with pytest.raises(Retryable) as judged:
        judge(answer(status, headers={"Retry-After": "17"}), PLAIN)
    assert judged.value.wait_s == 17.0


def test_a_wait_that_was_asked_for_beats_the_tables() -> None:
    crowded = Refusals(statuses={429: lambda said: RateLimited(said, wait_s=60.0)})
    with pytest.raises(RateLimited) as told:
        judge(answer(429, headers={"Retry-After": "5"}), crowded)
    with pytest.raises(RateLimited) as untold:
        judge(answer(429), crowded)
    assert (told.value.wait_s, untold.value.wait_s) == (5.0, 60.0)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("99999999", 86_400.0),
        ("9" * 400, 86_400.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        ("Mon, 23 Nov 2026 12:01:00 -0000", 60.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 86_400.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("1.2.3", None),
        ("Mon, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after_in_both_forms(value: str, wait_s: float | None) -> None:
    assert retry_after(Headers.of({"Retry-After": value}), NOW) == wait_s


def test_no_retry_after_is_none() -> None:
    assert retry_after(Headers({}), NOW) is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.zapier.com/hooks/catch/123/abc1def2/", "https://hooks.zapier.com/hooks/…/abc1****"),
        ("https://hooks.zapier.com/hooks/standard/1/short", "https://hooks.zapier.com/hooks/…/****"),
        ("https://a.example/verysecretpath?token=1", "https://a.example/very****"),
        ("https://user:pw@a.example:8443/?token=1", "https://a.example:8443/"),
    ],
)
def test_a_webhooks_url_is_shown_masked(url: str, shown: str) -> None:
    assert masked(url) == shown


def an_api_request() -> Request:
    return api_request(
        "POST",
        "https://api.example.com/base/",
        "/v1/say",
        headers={"xi-api-key": SECRETS[0], "Authorization": f"Bearer {SECRETS[3]}"},
        query={"token": SECRETS[3]},
        json_body={"text": SECRETS[2]},
    )


def test_an_api_request() -> None:
    request = an_api_request()
    assert request.url == f"https://api.example.com/base/v1/say?token={SECRETS[3]}"
    assert request.shown_url == "https://api.example.com/base/v1/say"
    assert (request.trusted, request.cut_answer) == (True, False)


def test_a_webhook_is_never_trusted() -> None:
    request = webhook_request("POST", "https://a.example/x", {}, b"")
    assert (request.trusted, request.cut_answer) == (False, True)


def test_no_repr_shows_a_secret() -> None:
    hooked = webhook_request("POST", f"https://a.example/hooks/{SECRETS[2]}", {"k": SECRETS[1]}, SECRETS[3].encode())
    provider = Provider("p", "P", "https://api.example.com", "", "v1", "api_key", {})
    call = a_call(
        provider,
        Scripted(),
        "a.b",
        {},
        secrets={"api_key": SECRETS[0]},
        target_url=f"https://a.example/{SECRETS[2]}",
        signing_secrets=(SECRETS[1],),
    )
    got = Answer(200, Headers({"set-cookie": SECRETS[3]}), SECRETS[0].encode(), request=hooked)
    shown = repr([hooked, an_api_request(), call, got])
    assert [secret for secret in SECRETS if secret in shown] == []


def echoing(request: Request, text: str, status: int = 400) -> Answer:
    return Answer(status, Headers({}), text.encode(), request=request)


def test_an_answer_that_echoes_credentials_is_shown_without_them() -> None:
    request = an_api_request()
    got = echoing(request, f"you sent {SECRETS[0]} and {SECRETS[3]}")
    assert got.excerpt() == "you sent **** and ****"
    with pytest.raises(InvalidPayload) as refused:
        judge(got, Refusals(read=lambda echoed: ("", echoed.content.decode())))
    assert not any(secret in str(refused.value) for secret in SECRETS)


def test_an_answer_that_echoes_the_webhooks_address_is_shown_without_it() -> None:
    request = webhook_request("POST", "https://a.example/hooks/1/s3cr3tpath/?q=hunter2hunter2", {}, b"")
    shown = echoing(request, "POST /hooks/1/s3cr3tpath/?q=hunter2hunter2, s3cr3tpath alone").excerpt()
    assert "s3cr3tpath" not in shown
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    "text",
    [
        '{"api_key": "hunter2hunter2"}',
        "access_token=hunter2hunter2&x=1",
        "Authorization: Bearer hunter2hunter2",
        "key sk_hunter2hunter2",
        "secret whsec_hunter2hunter2==",
        "x" * 495 + " token=hunter2hunter2",
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str) -> None:
    shown = echoing(an_api_request(), text).excerpt()
    assert "hunter2" not in shown
    assert len(shown) <= 500


def test_an_excerpt_is_printable_and_short() -> None:
    assert answer(200, "a\x1b[31m\r\nb\u202e".encode()).excerpt() == "a [31m b"
    assert len(answer(200, b"y" * 5000).excerpt()) == 500
    assert answer(200, b"\xff\xfb\x00\x00", {"Content-Type": "audio/mpeg"}).excerpt() == "(4 bytes of audio/mpeg)"


def test_broken_json_of_a_success_leaves_the_outcome_unknown() -> None:
    for body in (b"<html>", b"", b"[" * 200_000):
        with pytest.raises(OutcomeUnknown, match="answered 200"):
            answer(200, body).json()
        assert answer(200, body).json_or_none() is None


def test_a_call_has_one_deadline_for_all_its_exchanges() -> None:
    provider = Provider("p", "P", "https://api.example.com", "", "v1", "api_key", {})
    scripted = Scripted(answer(200), answer(200))
    call = a_call(provider, scripted, "a.b", {}, deadline_s=10.0)
    call.send(an_api_request())
    call.spent_s = 7.0
    call.send(an_api_request())
    assert scripted.deadlines[0] == 10.0
    assert scripted.deadlines[1] == 3.0
    call.spent_s = 10.0
    with pytest.raises(Unavailable) as late:
        call.send(an_api_request())
    assert late.value.code == "deadline_exceeded"


def test_a_call_remembers_its_exchange_for_the_attempts_row() -> None:
    provider = Provider("p", "P", "https://api.example.com", "", "v1", "api_key", {})
    call = a_call(provider, Scripted(answer(500, b"oops")), "a.b", {})
    with pytest.raises(Unavailable):
        call.send(an_api_request())
    assert call.exchange is not None
    assert (call.exchange.method, call.exchange.url) == ("POST", "https://api.example.com/base/v1/say")
    assert (call.exchange.status, call.exchange.excerpt) == (500, "oops")

"""What Meta says no with: each code has its meaning, in the order in which they decide, and limits have their waits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.errors import (
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Retryable,
    Unavailable,
)
from providers.http import Answer, judge
from providers.meta_ads.api import appsecret_proof
from providers.meta_ads.errors import CODES, LIMIT_WAITS_S, REFUSALS, TooMuchData
from providers.meta_ads.usage import Usage, usage_of
from tests.providers.doubles import answer
from tests.providers.meta_ads.calls import PROOF, SECRET, TOKEN, error

REDUCE = "Please reduce the amount of data you're asking for, then retry your request"
# (code, subcode) -> what it means, and our word for it: the whole table of the facts.
MEANINGS: list[tuple[int, int | None, type[ProviderError], str]] = [
    (1, None, OutcomeUnknown, "provider_fault"),
    (1, 99, OutcomeUnknown, "provider_fault"),
    (100, 1487534, TooMuchData, "too_much_data"),
    (2, None, OutcomeUnknown, "provider_fault"),
    (3, None, Refused, "app_not_allowed"),
    *[(code, None, RateLimited, "rate_limited") for code in map(int, LIMIT_WAITS_S)],
    (4, 1504022, RateLimited, "rate_limited"),
    (4, 1504039, RateLimited, "rate_limited"),
    (17, 2446079, RateLimited, "rate_limited"),
    (613, 1487742, RateLimited, "rate_limited"),
    (613, 1996, RateLimited, "rate_limited"),
    (80004, 2446079, RateLimited, "rate_limited"),
    (10, None, CredentialsRejected, "permission_missing"),
    (200, None, CredentialsRejected, "permission_missing"),
    (250, None, CredentialsRejected, "permission_missing"),
    (299, None, CredentialsRejected, "permission_missing"),
    (294, None, Refused, "app_not_allowed"),
    (190, None, CredentialsRejected, "token_invalid"),
    (190, 458, CredentialsRejected, "app_removed"),
    (190, 459, CredentialsRejected, "token_checkpoint"),
    (190, 460, CredentialsRejected, "token_password_changed"),
    (190, 463, CredentialsRejected, "token_expired"),
    (190, 464, CredentialsRejected, "token_unconfirmed"),
    (190, 467, CredentialsRejected, "token_invalid"),
    (190, 492, CredentialsRejected, "token_session"),
    (190, 999, CredentialsRejected, "token_invalid"),
    (102, None, CredentialsRejected, "token_invalid"),
    (102, 463, CredentialsRejected, "token_expired"),
    (102, 467, CredentialsRejected, "token_invalid"),
    (100, None, InvalidPayload, "invalid_parameter"),
    (100, 33, InvalidPayload, "object_missing"),
    (100, 1487390, InvalidPayload, "invalid_parameter"),
    (100, 1885183, InvalidPayload, "invalid_parameter"),
    (100, 1359188, InvalidPayload, "no_payment_method"),
    (100, 2804003, InvalidPayload, "conversion_refused"),
    (100, 2804050, InvalidPayload, "conversion_refused"),
    (100, 4834011, InvalidPayload, "budget_sharing_missing"),
    (100, 1609005, Unavailable, "link_preview"),
    (100, 36009, Refused, "code_used"),
    (104, None, Refused, "app_misconfigured"),
    (368, None, Retryable, "policy_blocked"),
    (506, None, InvalidPayload, "duplicate_post"),
    (960, None, OutcomeUnknown, "provider_fault"),
    (2635, None, Refused, "api_version_gone"),
]


def judged(given: Answer) -> ProviderError:
    with pytest.raises(ProviderError) as refused:
        judge(given, REFUSALS)
    return refused.value


@pytest.mark.parametrize(("code", "subcode", "kind", "word"), MEANINGS)
@pytest.mark.parametrize("status", [400, 200])
def test_each_code_has_its_meaning_with_any_status(
    code: int, subcode: int | None, kind: type[ProviderError], word: str, status: int
) -> None:
    told = judged(error(code, subcode, status))
    assert (type(told), told.code) == (kind, word)


def test_the_table_has_no_line_that_nothing_asks_for() -> None:
    asked = {f"{code}/{subcode}" if subcode else str(code) for code, subcode, _, _ in MEANINGS}
    made = {"too_much_data", "transient", "conversion", "100/36007"}  # by `read_error`, and asked for when connecting
    assert {code for code in CODES if not code.isdigit() or not 200 <= int(code) < 300} - asked == made


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (error(4, 1504039, is_transient=True), RateLimited),  # limits before all
        (error(190, 463, is_transient=True), CredentialsRejected),  # then tokens
        (error(100, is_transient=True), OutcomeUnknown),  # then what passes
        (error(98765, is_transient=True), OutcomeUnknown),
        (error(100, is_transient=False), InvalidPayload),
        (error(1, status=500, message=REDUCE), TooMuchData),
        (error(1, message=f"(#1) {REDUCE.upper()}", is_transient=True), TooMuchData),
        (error(80000, message=REDUCE), RateLimited),
        (answer(503, b"<html>"), OutcomeUnknown),
        (answer(500), OutcomeUnknown),
        (answer(429), RateLimited),
        (answer(401), CredentialsRejected),
    ],
)
def test_what_decides_first(given: Answer, kind: type[ProviderError]) -> None:
    assert type(judged(given)) is kind


@pytest.mark.parametrize(
    ("status", "kind"), [(400, InvalidPayload), (500, OutcomeUnknown), (403, Refused), (200, Refused)]
)
def test_a_code_that_nobody_knows_is_shown_and_not_guessed(status: int, kind: type[ProviderError]) -> None:
    told = judged(error(98765, 4321, status))
    assert type(told) is kind
    assert f"{status} 98765/4321" in str(told)


def test_the_sentence_holds_what_helps() -> None:
    told = judged(
        error(
            100,
            1885272,
            message="Invalid parameter",
            error_user_title="Your budget is too low",
            error_user_msg="Raise it to 1.00 USD.",
            error_data={"blame_field_specs": [["daily_budget"], ["adset", "bid"]]},
        )
    )
    assert str(told) == (
        "The answer was 400 100/1885272: Invalid parameter; Your budget is too low; Raise it to 1.00 USD;"
        " fields: daily_budget, adset.bid; trace: Ax."
    )
    assert "set META_ADS_API_VERSION" in str(judged(error(2635)))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": []},
        {"data": [{"error": {"code": 17}}]},
        {"error": "x"},
        {"error": None},
        b'{"error": {',
        b'"error"',
    ],
)
def test_a_success_is_only_refused_by_an_error_of_its_own(body: Any) -> None:
    judge(answer(200, body), REFUSALS)


@pytest.mark.parametrize("body", [{"error": {}}, {"error": {"code": None, "error_data": 5}}, {"error": {"code": True}}])
def test_a_strange_error_is_one_all_the_same(body: Any) -> None:
    assert isinstance(judged(answer(400, body)), InvalidPayload)


# --------------------------------------------------------------------------------------------------------------- waits


def waited(given: Answer) -> float:
    told = judged(given)
    assert isinstance(told, Retryable)
    assert told.wait_s is not None
    return told.wait_s


def business(**more: Any) -> dict[str, str]:
    usage = {"type": "ads_insights", "call_count": 100, "total_cputime": 41, "total_time": 38, **more}
    return {"x-business-use-case-usage": json.dumps({"1234567890": [usage]})}


@pytest.mark.parametrize(
    ("code", "headers", "seconds"),
    [
        (4, {}, 900),
        (17, {}, 300),
        (613, {}, 300),
        (32, {}, 900),
        (341, {}, 3600),
        (80000, {}, 900),
        (80014, {}, 900),
        (80000, business(estimated_time_to_regain_access=20), 1200),  # minutes
        (80000, business(estimated_time_to_regain_access=9), 540),  # its own word, if shorter
        (80000, business(estimated_time_to_regain_access=0), 900),  # which says nothing
        (17, {"x-ad-account-usage": '{"acc_id_util_pct":100,"reset_time_duration":420}'}, 420),  # seconds
        (4, {"x-app-usage": '{"call_count":28,"total_time":25,"total_cputime":25}'}, 900),
        (4, {"x-app-usage": "not json"}, 900),
    ],
)
def test_a_limit_is_waited_out(code: int, headers: dict[str, str], seconds: float) -> None:
    for _ in range(20):
        assert seconds * 1.1 <= waited(error(code, headers=headers)) <= seconds * 1.2


def test_those_who_wait_do_not_come_back_together() -> None:
    assert len({waited(error(17)) for _ in range(20)}) > 10


def test_a_block_for_policy_takes_hours_and_no_other_error_has_a_wait_of_its_own() -> None:
    assert waited(error(368)) == 6 * 3600
    told = judged(error(100, 1609005))
    assert isinstance(told, Unavailable)
    assert told.wait_s is None


def test_a_retry_after_is_honoured() -> None:
    assert waited(error(17, headers={"Retry-After": "30"})) == 30


# --------------------------------------------------------------------------------------------------------------- usage


@pytest.mark.parametrize(
    ("headers", "usage", "pause_s"),
    [
        ({}, Usage(0, 0), 0),
        ({"x-app-usage": '{"call_count":28,"total_time":25,"total_cputime":26}'}, Usage(28, 0), 0),
        (
            {"X-Ad-Account-Usage": '{"acc_id_util_pct":9.67,"reset_time_duration":100,"ads_api_access_tier":"x"}'},
            Usage(9.67, 100),
            0,
        ),
        (business(call_count=95, estimated_time_to_regain_access=12), Usage(95, 720), 720),
        ({"x-fb-ads-insights-throttle": '{"app_id_util_pct":80,"acc_id_util_pct":35}'}, Usage(80, 0), 5),
        ({"x-fb-ads-insights-throttle": '{"app_id_util_pct":90.5,"acc_id_util_pct":35}'}, Usage(90.5, 0), 60),
        (business(call_count=100, estimated_time_to_regain_access=600), Usage(100, 36_000), 3600),
        (
            {
                "x-app-usage": '{"call_count":10}',
                "x-business-use-case-usage": '{"1":[{"call_count":20}],"2":[{"total_time":76},{"call_count":3}]}',
            },
            Usage(76, 0),
            5,
        ),
        ({"x-app-usage": "", "x-business-use-case-usage": '[null, {"call_count": true}]'}, Usage(0, 0), 0),
    ],
)
def test_the_usage_headers(headers: dict[str, str], usage: Usage, pause_s: float) -> None:
    found = usage_of(answer(200, headers=headers))
    assert found == usage
    assert found.pause_s == pause_s


def test_the_proof_of_a_token() -> None:
    assert appsecret_proof(SECRET, TOKEN) == PROOF

"""What TikTok's answers mean: mostly HTTP 200, with a code in the body that decides."""

from __future__ import annotations

from typing import Any

import pytest

from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Retryable,
    Unavailable,
)
from providers.http import judge
from providers.tiktok_ads.errors import CODES, REFUSALS
from tests.providers.doubles import NOW, Scripted, answer
from tests.providers.tiktok_ads.platform import TOKEN, Account, calling, run, said

CREATED = {"campaign_id": "cmp_1", "name": "Spring launch", "objective": "traffic"}
SYNC = {"integration_id": "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e", "stream": "campaigns"}


def meaning(code: Any, status: int = 200, message: str = "Words.") -> ProviderError:
    with pytest.raises(ProviderError) as judged:
        judge(said(code=code, status=status, message=message), REFUSALS)
    return judged.value


def failing(given: Any, event_type: str = "campaign.created", data: Any = None) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        run(calling(Scripted(given), event_type, data or CREATED))
    return failed.value


@pytest.mark.parametrize(
    ("codes", "error", "word"),
    [
        ((40000, 40002, 40061, 40062), InvalidPayload, "invalid_parameter"),
        ((40001, 40003), Refused, "forbidden"),
        ((40006, 40010, 40051, 41001, 41002), Refused, "api_retired"),
        ((40007,), InvalidPayload, "not_there"),
        ((40008, 40009, 40013, 40014), Refused, "not_in_sandbox"),
        ((40011,), InvalidPayload, "too_many_ids"),
        ((40012,), InvalidPayload, "nothing_to_update"),
        ((40050,), OutcomeUnknown, "duplicate_request"),
        ((40052, 40053, 40063, 40065, 40502, 40700), InvalidPayload, "invalid_payload"),
        ((40067,), InvalidPayload, "report_too_large"),
        ((40016, 40100, 40132, 40133, 61000), RateLimited, "rate_limited"),
        ((40101,), Refused, "invalid_client"),
        ((40110, 40115), Refused, "code_used"),
        (
            (40102, 40103, 40104, 40105, 40106, 40107, 40108, 40114, 40120, 40300, 40301, 40302, 40309, 70001),
            CredentialsRejected,
            "credentials_rejected",
        ),
        ((40113,), AccountBlocked, "app_blocked"),
        ((40116, 40117, 40118, 40119, 40124, 40125), Refused, "app_not_allowed"),
        ((40130, 40131), Refused, "missing_permission"),
        ((40200,), Refused, "task_failed"),
        ((40201,), Retryable, "task_not_ready"),
        ((40202,), Retryable, "write_conflict"),
        ((40400,), Refused, "no_such_route"),
        ((40901, 40902, 40903, 40913, 40914), Retryable, "media_not_ready"),
        ((40904, 40909, 40912, 40915, 40916), InvalidPayload, "media_rejected"),
        ((41000, 60001), Unavailable, "unavailable"),
        ((50000, 50002, 51000, 51010, 51039, 51099, 52000, 52999, 53102, 53103), OutcomeUnknown, "provider_fault"),
        # Not in the table: by the first digit.
        ((49999, 42000), InvalidPayload, "invalid_payload"),
        ((59999, 53000, 62000), OutcomeUnknown, "provider_fault"),
        ((99999, 7, 123456), OutcomeUnknown, "unknown_status"),
    ],
)
def test_every_code_has_its_class(codes: tuple[int, ...], error: type[ProviderError], word: str) -> None:
    for code in codes:
        judged = meaning(code)
        assert (type(judged), judged.code) == (error, word), code
        assert str(code) in str(judged), "a code is shown, unknown ones above all"
        assert "Words" in str(judged)


def test_every_code_of_the_official_package_is_judged() -> None:
    module = pytest.importorskip(
        "business_api_client.tiktok_business.tiktok_code",
        reason="NOT CHECKED against the official codes: tiktok-business-api-sdk-official is not installed",
    )
    codes = {
        value
        for holder in (module, *(one for one in vars(module).values() if isinstance(one, type)))
        for value in vars(holder).values()
        if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000
    }
    assert len(codes) > 40
    unnamed = {code for code in codes if str(code) not in CODES} - {20001}
    assert unnamed <= {code for code in codes if str(code)[0] in "456"}, "a first digit that nothing is known of"


@pytest.mark.parametrize(
    ("code", "wait_s"),
    [
        (40100, 2.0),
        (40016, 2.0),
        (40132, 2.0),
        (40133, 2.0),
        (61000, 2.0),
        (60001, 300.0),
        (41000, 3600.0),
        (40202, 3.0),
    ],
)
def test_who_is_slowed_down_waits_as_long_as_the_limit_lasts(code: int, wait_s: float) -> None:
    judged = meaning(code)
    assert isinstance(judged, Retryable)
    assert judged.wait_s == wait_s


def test_a_conflict_about_one_campaign_does_not_hold_the_account() -> None:
    for code, holds in ((40202, False), (40201, False), (40100, True)):
        judged = meaning(code)
        assert isinstance(judged, Retryable)
        assert judged.holds is holds


@pytest.mark.parametrize("status", [200, 400, 404, 500, 503])
def test_the_code_decides_before_the_status(status: int) -> None:
    assert isinstance(meaning(40105, status), CredentialsRejected)


def test_a_code_may_come_as_text() -> None:
    assert isinstance(meaning("40105"), CredentialsRejected)


def test_zero_is_the_only_success() -> None:
    judge(said(code=0), REFUSALS)
    with pytest.raises(OutcomeUnknown):
        judge(said(code=0, status=500), REFUSALS)


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"[]", {"data": {}}, {"code": True}, {"code": None}])
def test_a_200_that_is_no_envelope_is_no_success(body: Any) -> None:
    lost = failing(answer(200, body))
    assert (type(lost), lost.code) == (OutcomeUnknown, "answer_unreadable")
    unread = failing(answer(200, body), "sync.due", SYNC)
    assert (type(unread), unread.code) == (Unavailable, "answer_unreadable")


@pytest.mark.parametrize("given", [said(code=50000), said(code=51010), said(code=20001), answer(502, b"<html>")])
def test_a_fault_of_theirs_may_have_written_and_cannot_have_read(given: Any) -> None:
    assert isinstance(failing(given), OutcomeUnknown)
    unread = failing(given, "sync.due", SYNC)
    assert isinstance(unread, Unavailable)
    assert unread.wait_s == 30.0


def test_a_part_is_not_the_whole() -> None:
    made = failing(said({"campaign_id": "1801234567890123457"}, 20001, "Partial success."))
    assert (type(made), made.code) == (OutcomeUnknown, "partial")
    assert "Partial success" in str(made)
    row = {"campaign_id": "1801234567890123457", "campaign_name": "A"}
    info = {"page": 1, "page_size": 1000, "total_number": 2, "total_page": 1}
    listed = failing(said({"list": [row], "page_info": info}, 20001), "sync.due", SYNC)
    assert (type(listed), listed.code) == (Unavailable, "partial")


def test_a_lost_answer_stays_lost() -> None:
    assert isinstance(failing(OutcomeUnknown("lost")), OutcomeUnknown)
    assert isinstance(failing(OutcomeUnknown("lost"), "sync.due", SYNC), OutcomeUnknown)


def test_no_error_shows_the_token() -> None:
    assert TOKEN not in str(failing(said(code=40105, message=f"{TOKEN} has been revoked.")))


def test_reading_never_holds_up_the_account() -> None:
    limited = failing(said(code=40100), "sync.due", SYNC)
    assert isinstance(limited, RateLimited)
    assert limited.holds is False


def test_a_revoked_token_is_no_empty_account(account: Account) -> None:
    account.do("revoke", token=account.token)
    for stream in ("campaigns", "insights"):
        with pytest.raises(CredentialsRejected):
            account.publish("sync.due", {**SYNC, "stream": stream})
    assert account.records == []


@pytest.mark.parametrize("stream", ["campaigns", "insights"])
def test_every_fault_of_the_stand_in_is_seen(account: Account, stream: str) -> None:
    faults = {
        "rate_limited": RateLimited,
        "revoked": CredentialsRejected,
        "system_error": Unavailable,
        "maintenance": Unavailable,
        "http_502": Unavailable,
        "endpoint_offline": Refused,
        "partial": Unavailable,
        "unknown_client_error": InvalidPayload,
    }
    for fault, error in faults.items():
        account.sandbox.control.rules([{"path": "/tiktok_ads/*", "fault": f"tiktok_ads:{fault}"}])
        with pytest.raises(error):
            run(account.call("sync.due", {**SYNC, "stream": stream, "since": NOW.date().isoformat()}))
    account.sandbox.control.clear_rules()

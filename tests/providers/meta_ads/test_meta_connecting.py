"""Connecting an account: what the dialog is asked, and how a code becomes a token that lasts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from providers.errors import CredentialsRejected, InvalidPayload, OutcomeUnknown, Refused, Unavailable
from providers.http import Answer, Headers
from providers.meta_ads import PROVIDER
from providers.meta_ads.oauth import OAUTH, accounts
from providers.oauth2 import Client, Code, Grant, Reached, authorize_url, exchange, refresh, refresh_at, revoke
from tests.providers.doubles import NOW, Scripted, answer
from tests.providers.meta_ads.calls import PROOF, SECRET, TOKEN, error, page, path

DAY_S = 86_400
BACK = "https://mesh.example/oauth/meta_ads/callback"
CODE = Code("AQcode/with+signs", BACK)
SHORT, LONG = "EAABshort", TOKEN
APP_ID = "1111111111"
EXPIRES = datetime(2027, 1, 22, 12, 0, tzinfo=UTC)
LOGIN_BY = datetime(2027, 2, 21, 12, 0, tzinfo=UTC)
FACTS = {
    "app_id": APP_ID,
    "type": "USER",
    "is_valid": True,
    "expires_at": int(EXPIRES.timestamp()),
    "data_access_expires_at": int(LOGIN_BY.timestamp()),
    "scopes": ["ads_management", "ads_read", "business_management", "public_profile"],
    "user_id": "10001",
}


def client(*answers: Answer | Exception) -> tuple[Client, Scripted]:
    scripted = Scripted(*answers)
    ours = Client(PROVIDER.base_url, "v25.0", APP_ID, SECRET, scripted, 20.0, NOW, PROVIDER.refusals)
    return ours, scripted


def token(value: str, **more: Any) -> Answer:
    return answer(200, {"access_token": value, "token_type": "bearer", **more})


def inspected(**more: Any) -> Answer:
    return answer(200, {"data": {**FACTS, **more}})


def test_the_dialog_is_asked_for_scopes_with_commas() -> None:
    url = authorize_url(
        OAUTH, url=OAUTH.authorize_url, version="v25.0", client_id=APP_ID, redirect_uri=BACK, state="s1", verifier=None
    )
    assert url.startswith("https://www.facebook.com/v25.0/dialog/oauth?")
    assert dict(parse_qsl(urlsplit(url).query)) == {
        "client_id": APP_ID,
        "redirect_uri": BACK,
        "state": "s1",
        "response_type": "code",
        "scope": "ads_management,ads_read,business_management",
    }


def test_a_login_configuration_names_its_own_scopes() -> None:
    url = authorize_url(
        OAUTH,
        url=OAUTH.authorize_url + "?config_id=77",
        version="v25.0",
        client_id=APP_ID,
        redirect_uri=BACK,
        state="s1",
        verifier=None,
    )
    query = parse_qs(urlsplit(url).query)
    assert query["config_id"] == ["77"]
    assert "scope" not in query


def test_a_code_becomes_a_long_lived_token_at_once() -> None:
    ours, scripted = client(token(SHORT, expires_in=5400), token(LONG, expires_in=60 * DAY_S), inspected())
    grant = exchange(OAUTH, ours, CODE)
    assert grant.access_token == LONG
    assert grant.refresh_token is None
    assert grant.expires_in_s == 60 * DAY_S
    assert grant.scopes == tuple(FACTS["scopes"])  # type: ignore[arg-type]
    assert grant.details == {
        "user_id": "10001",
        "expires_at": "2027-01-22T12:00:00+00:00",
        "login_again_by": "2027-02-21T12:00:00+00:00",
    }
    first, second, third = scripted.requests
    assert [path(each) for each in scripted.requests] == [
        "POST /v25.0/oauth/access_token",
        "POST /v25.0/oauth/access_token",
        "GET /v25.0/debug_token",
    ]
    assert dict(parse_qsl(first.body.decode())) == {
        "client_id": APP_ID,
        "client_secret": SECRET,
        "code": CODE.value,
        "redirect_uri": BACK,
    }
    assert dict(parse_qsl(second.body.decode())) == {
        "client_id": APP_ID,
        "client_secret": SECRET,
        "grant_type": "fb_exchange_token",
        "fb_exchange_token": SHORT,
    }
    assert third.headers["Authorization"] == f"Bearer {APP_ID}|{SECRET}"
    assert parse_qs(urlsplit(third.url).query)["input_token"] == [LONG]


def test_nothing_of_it_is_shown() -> None:
    ours, scripted = client(token(SHORT), token(LONG), inspected())
    grant = exchange(OAUTH, ours, CODE)
    shown = f"{scripted.requests!r} {[each.shown_url for each in scripted.requests]} {ours!r} {grant!r}"
    for secret in (SECRET, SHORT, LONG, CODE.value):
        assert secret not in shown
    for request, sent in zip(scripted.requests, (CODE.value, SHORT, LONG), strict=True):
        echoed = Answer(400, Headers({}), b"", request=request).shown(f"You sent {sent} and {SECRET}.")
        assert sent not in echoed
        assert SECRET not in echoed


def test_the_life_of_a_token_is_asked_for_where_the_answer_does_not_say_it() -> None:
    ours, _ = client(token(SHORT), token(LONG), inspected())
    assert exchange(OAUTH, ours, CODE).expires_in_s == (EXPIRES - NOW).total_seconds()


def test_a_system_users_token_never_ends() -> None:
    ours, _ = client(token(SHORT), token(LONG), inspected(expires_at=0, data_access_expires_at=0))
    grant = exchange(OAUTH, ours, CODE)
    assert grant.expires_in_s is None
    assert grant.details == {"user_id": "10001"}
    assert refresh_at(OAUTH, grant, NOW) is None


@pytest.mark.parametrize("missing", ["ads_management", "ads_read"])
def test_a_scope_that_was_not_given_is_named(missing: str) -> None:
    scopes = [scope for scope in ("ads_management", "ads_read", "business_management") if scope != missing]
    ours, _ = client(token(SHORT), token(LONG), inspected(scopes=scopes))
    with pytest.raises(Refused) as refused:
        exchange(OAUTH, ours, CODE)
    assert refused.value.code == "missing_permission"
    assert str(refused.value) == (
        f"The login does not allow {missing}: begin again, and allow everything that is asked for."
    )


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"is_valid": False, "error": {"code": 190, "message": "x", "subcode": 463}}, "token_invalid"),
        ({"app_id": "2222222222"}, "token_of_another_app"),
    ],
)
def test_a_token_that_is_not_ours_or_not_valid_is_not_kept(facts: dict[str, Any], code: str) -> None:
    ours, _ = client(token(SHORT), token(LONG), inspected(**facts))
    with pytest.raises(CredentialsRejected) as rejected:
        exchange(OAUTH, ours, CODE)
    assert rejected.value.code == code


@pytest.mark.parametrize(
    ("given", "kind", "code"),
    [
        (error(100, 36009), Refused, "code_used"),
        (error(100, 36007), Refused, "code_used"),
        (error(1, message="Error validating client secret."), Refused, "invalid_client"),
        (error(101), Refused, "invalid_client"),
        (error(1, 99, 500), OutcomeUnknown, "provider_fault"),
        (error(1, status=500, is_transient=True), OutcomeUnknown, "provider_fault"),
        (error(100), InvalidPayload, "invalid_parameter"),
        (answer(200, {"token": "x"}), OutcomeUnknown, "answer_unreadable"),
        (answer(502, b"<html>"), OutcomeUnknown, "provider_fault"),
    ],
)
def test_a_code_that_is_not_taken(given: Answer, kind: type[Exception], code: str) -> None:
    ours, _ = client(given)
    with pytest.raises(kind) as refused:
        exchange(OAUTH, ours, CODE)
    assert getattr(refused.value, "code", None) == code


def test_a_token_is_renewed_with_itself_in_its_last_week() -> None:
    ours, scripted = client(token("EAABnewer", expires_in=60 * DAY_S), inspected())
    old = Grant(LONG, expires_in_s=6 * DAY_S)
    assert OAUTH.refreshable(old)
    newer = refresh(OAUTH, ours, old)
    assert newer.access_token == "EAABnewer"
    assert newer.details["login_again_by"] == "2027-02-21T12:00:00+00:00"
    assert parse_qs(scripted.requests[0].body.decode())["fb_exchange_token"] == [LONG]
    due = refresh_at(OAUTH, Grant(LONG, expires_in_s=60 * DAY_S), NOW)
    assert due is not None
    assert (due - NOW).days == 53


def test_an_expired_token_cannot_be_renewed() -> None:
    assert not OAUTH.refreshable(Grant(LONG, expires_in_s=-1.0))
    assert not OAUTH.refresh_on_rejection
    ours, _ = client(error(190, 463))
    with pytest.raises(CredentialsRejected) as dead:
        refresh(OAUTH, ours, Grant(LONG, expires_in_s=5.0))
    assert dead.value.code == "token_expired"


@pytest.mark.parametrize("lost", [OutcomeUnknown("lost"), error(2, status=500), answer(200, b"<html>")])
def test_a_renewal_whose_answer_is_lost_has_used_nothing_up(lost: Any) -> None:
    ours, _ = client(lost)
    with pytest.raises(Unavailable):
        refresh(OAUTH, ours, Grant(LONG, expires_in_s=5.0))


def test_disconnecting_takes_all_permissions_back() -> None:
    ours, scripted = client(answer(200, {"success": True}))
    revoke(OAUTH, ours, Grant(LONG))
    (request,) = scripted.requests
    assert path(request) == "DELETE /v25.0/me/permissions"
    assert request.headers["Authorization"] == f"Bearer {LONG}"
    assert parse_qs(urlsplit(request.url).query) == {"appsecret_proof": [PROOF]}


def test_a_token_that_is_gone_already_is_no_trouble_when_disconnecting() -> None:
    ours, _ = client(error(190, 458))
    revoke(OAUTH, ours, Grant(LONG))


def test_the_accounts_of_all_pages_are_offered() -> None:
    def row(number: str, status: int = 1, **more: str) -> dict[str, Any]:
        return {"id": f"act_{number}", "account_id": number, "account_status": status, **more}

    ours, scripted = client(
        page([row("1234567890", name="Acme", currency="USD", timezone_name="America/Los_Angeles")], after="p2"),
        page([], after="p3"),
        page([row("2345678901", 2), row("3456789012", 101), row("4567890123", 9), row("5678901234", 999)]),
    )
    found = accounts(ours, Grant(LONG))
    assert list(found) == [
        Reached("1234567890", "Acme", {"currency": "USD", "timezone": "America/Los_Angeles"}),
        Reached("2345678901", "2345678901", {}, "The account is disabled."),
        Reached("3456789012", "3456789012", {}, "The account is closed."),
        Reached("4567890123", "4567890123"),  # in its grace period
        Reached("5678901234", "5678901234"),  # a status that nobody knows
    ]
    queries = [parse_qs(urlsplit(each.url).query) for each in scripted.requests]
    assert [query.get("after") for query in queries] == [None, ["p2"], ["p3"]]
    assert queries[0]["fields"] == ["account_id,name,currency,timezone_name,account_status"]


def test_a_list_of_accounts_that_never_ends_is_ended() -> None:
    ours, _ = client(*[page([], after=f"p{number}") for number in range(100)])
    with pytest.raises(Refused) as refused:
        accounts(ours, Grant(LONG))
    assert refused.value.code == "too_many_accounts"

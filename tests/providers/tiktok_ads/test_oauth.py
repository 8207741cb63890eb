"""Connecting: the browser's way to TikTok, the code it brings back, the accounts to choose from, and the end."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from providers import oauth2
from providers.errors import CredentialsRejected, OutcomeUnknown, ProviderError, RateLimited, Refused
from providers.http import HttpTransport
from providers.oauth2 import Client, Code, Grant, refresh_at
from providers.tiktok_ads import PROVIDER
from providers.tiktok_ads.oauth import NO_CONVERSIONS, OAUTH
from sandbox.process import Sandbox
from tests.providers.doubles import NOW, Scripted
from tests.providers.tiktok_ads.platform import APP, EU, JAPAN, SECRET, TOKEN, US, body_of, client, query_of, said

REDIRECT = "https://mesh.example/oauth/tiktok_ads/callback"
GRANT = Grant(access_token=TOKEN)


def scripted_client(*answers: Any) -> Client:
    return Client("https://a.example", "v1.3", APP, SECRET, Scripted(*answers), 30.0, NOW, PROVIDER.refusals)


def requests_of(client: Client) -> Any:
    assert isinstance(client.transport, Scripted)
    return client.transport.requests


def authorize(url: str = OAUTH.authorize_url) -> str:
    return oauth2.authorize_url(
        OAUTH, url=url, version="v1.3", client_id=APP, redirect_uri=REDIRECT, state="st4te", verifier=None
    )


def test_the_browser_goes_to_tiktok_and_names_no_scope() -> None:
    parts = urlsplit(authorize())
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://business-api.tiktok.com/portal/auth"
    assert dict(parse_qsl(parts.query)) == {"app_id": APP, "redirect_uri": REDIRECT, "state": "st4te"}


def test_what_the_portals_own_link_carries_stays() -> None:
    copied = "https://business-api.tiktok.com/portal/auth?app_id=1&state=your_custom_params&rid=abc&redirect_uri=x"
    query = dict(parse_qsl(urlsplit(authorize(copied)).query))
    assert query["rid"] == "abc"
    assert (query["state"], query["redirect_uri"]) == ("st4te", REDIRECT)


class StayHere(urllib.request.HTTPRedirectHandler):
    """A browser that shows where it is sent."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def decided(sandbox: Sandbox, decision: str, *advertisers: str) -> dict[str, str]:
    """What the callback gets after a click in TikTok's dialog."""
    url = authorize(f"{sandbox.url}/tiktok_ads/portal/auth")
    form = urlencode([("decision", decision), *(("advertiser_ids", one) for one in advertisers)])
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), StayHere())
    with pytest.raises(urllib.error.HTTPError) as sent, opener.open(url, form.encode(), timeout=10):
        pass
    with sent.value as answer:
        assert answer.status in (302, 303)
        return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def test_a_code_becomes_a_token_with_its_accounts_and_ends(sandbox: Sandbox, http: HttpTransport) -> None:
    ours = client(sandbox, http)
    callback = decided(sandbox, "confirm", EU, JAPAN)
    assert callback["state"] == "st4te"
    code = next(callback[name] for name in OAUTH.code_names if name in callback)
    grant = oauth2.exchange(OAUTH, ours, Code(code, REDIRECT))
    assert (grant.refresh_token, grant.expires_in_s, grant.refresh_expires_in_s) == (None, None, None)
    assert {"2", "4", "5"} <= set(grant.scopes)
    assert grant.details == {"advertiser_ids": [EU, JAPAN]}
    assert [(one.id, one.name, dict(one.config), one.unusable) for one in accounts(ours, grant)] == [
        (EU, "Halden Coffee EU", {"currency": "EUR", "timezone": "Europe/Berlin"}, ""),
        (JAPAN, "Halden Coffee Japan", {"currency": "JPY", "timezone": "Asia/Tokyo"}, ""),
    ]

    with pytest.raises(Refused) as again:
        oauth2.exchange(OAUTH, ours, Code(code, REDIRECT))
    assert again.value.code == "code_used"

    oauth2.revoke(OAUTH, ours, grant)
    with pytest.raises(CredentialsRejected):
        accounts(ours, grant)
    oauth2.revoke(OAUTH, ours, grant)  # what has ended is no error


def accounts(ours: Client, grant: Grant) -> Any:
    assert OAUTH.accounts is not None
    return OAUTH.accounts(ours, grant)


def test_who_cancels_brings_no_code_back(sandbox: Sandbox) -> None:
    callback = decided(sandbox, "cancel")
    assert callback == {"state": "st4te"}
    assert not set(OAUTH.code_names) & set(callback)


def test_a_wrong_secret_says_where_it_is_set(sandbox: Sandbox, http: HttpTransport) -> None:
    callback = decided(sandbox, "confirm", EU)
    with pytest.raises(Refused) as refused:
        oauth2.exchange(
            OAUTH, replace(client(sandbox, http), client_secret="bad"), Code(callback["auth_code"], REDIRECT)
        )
    assert refused.value.code == "invalid_client"
    assert "TIKTOK_ADS_SECRET" in str(refused.value)


def granted(scope: Any, **more: Any) -> Grant:
    ours = scripted_client(
        said({"access_token": TOKEN, "advertiser_ids": [7311111111111111111], "scope": scope, **more})
    )
    return oauth2.exchange(OAUTH, ours, Code("c0de", REDIRECT))


def test_the_exchange_is_json_without_a_token() -> None:
    ours = scripted_client(said({"access_token": TOKEN, "advertiser_ids": [EU], "scope": [2, 4, 5]}))
    oauth2.exchange(OAUTH, ours, Code("c0de", REDIRECT))
    (request,) = requests_of(ours)
    assert (request.method, request.url) == ("POST", "https://a.example/open_api/v1.3/oauth2/access_token/")
    assert body_of(request) == {"app_id": APP, "secret": SECRET, "auth_code": "c0de"}
    assert "Access-Token" not in request.headers
    assert {SECRET, "c0de"} <= set(request.credentials())


@pytest.mark.parametrize(
    ("scope", "named"),
    [
        ([1, 4, 5], ("manage campaigns (2 or 20)",)),
        ([1, 2, 5], ("read reports (4)",)),
        ([1], ("manage campaigns (2 or 20)", "read reports (4)")),
        (None, ("manage campaigns (2 or 20)", "read reports (4)")),
    ],
)
def test_a_permission_that_is_missing_is_named(scope: Any, named: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        granted(scope)
    assert refused.value.code == "missing_permission"
    for name in ("manage campaigns (2 or 20)", "read reports (4)"):
        assert (name in str(refused.value)) == (name in named)


def test_conversions_are_optional_and_their_absence_is_noted() -> None:
    assert granted(["20", 4, 8]).details == {"advertiser_ids": [EU]}
    assert granted([2, 4, 7043626160646946818]).details == {"advertiser_ids": [EU], "note": NO_CONVERSIONS}
    assert granted([2, 4, 7043626160646946818]).scopes == ("2", "4", "7043626160646946818")


def test_an_exchange_without_a_token_may_have_used_the_code_up() -> None:
    with pytest.raises(OutcomeUnknown):
        granted([2, 4], access_token="")
    with pytest.raises(OutcomeUnknown):
        oauth2.exchange(OAUTH, scripted_client(said(code=50000)), Code("c", REDIRECT))


def test_a_token_is_never_refreshed() -> None:
    assert refresh_at(OAUTH, replace(GRANT, expires_in_s=86_400.0, refresh_token="r"), NOW) is None
    assert OAUTH.refresh_on_rejection is False


def test_accounts_are_described_a_hundred_at_a_time_and_numbers_become_text() -> None:
    ids = [7311111111111110000 + n for n in range(150)]
    listed = said({"list": [{"advertiser_id": one, "advertiser_name": f"Shop {one}"} for one in ids]})
    described = [{"advertiser_id": one, "currency": "EUR", "timezone": "Europe/Berlin"} for one in ids]
    described[0]["status"], described[1]["status"] = "STATUS_LIMIT", "STATUS_BRAND_NEW"
    ours = scripted_client(listed, said({"list": described[:100]}), said({"list": described[100:149]}))
    found = accounts(ours, GRANT)
    assert [one.id for one in found] == [str(one) for one in ids]
    assert found[0].unusable == "TikTok has suspended it."
    assert found[1].unusable == ""
    assert found[149].unusable == "TikTok does not say which currency and time zone it has."
    first, second, third = requests_of(ours)
    assert query_of(first) == {"app_id": APP, "secret": SECRET}
    assert SECRET in first.credentials()
    assert SECRET not in first.shown_url
    assert json.loads(query_of(second)["advertiser_ids"]) == [str(one) for one in ids[:100]]
    assert json.loads(query_of(third)["advertiser_ids"]) == [str(one) for one in ids[100:]]
    assert {request.headers["Access-Token"] for request in (first, second, third)} == {TOKEN}


def test_revoking_names_app_and_token() -> None:
    ours = scripted_client(said({"app_id": APP, "advertiser_ids": [US]}))
    oauth2.revoke(OAUTH, ours, GRANT)
    (request,) = requests_of(ours)
    assert request.url.endswith("/open_api/v1.3/oauth2/revoke_token/")
    assert request.headers["Access-Token"] == TOKEN
    assert body_of(request) == {"app_id": APP, "secret": SECRET, "access_token": TOKEN}


@pytest.mark.parametrize(
    ("code", "error"), [(40105, CredentialsRejected), (61000, RateLimited), (50000, OutcomeUnknown)]
)
def test_a_fault_while_reading_accounts_is_no_empty_list(code: int, error: type[ProviderError]) -> None:
    with pytest.raises(error):
        accounts(scripted_client(said(code=code)), GRANT)

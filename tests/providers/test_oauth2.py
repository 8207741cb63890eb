"""OAuth 2 by its standards: what is sent to whom, what answers mean, and when a grant is refreshed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from providers import oauth2
from providers.errors import CredentialsRejected, OutcomeUnknown, ProviderError, RateLimited, Refused, Unavailable
from providers.http import Answer, Headers, Refusals, Request
from providers.oauth2 import Client, Code, Grant, OAuth2

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FACTS = OAuth2(
    authorize_url="https://sample.example/{version}/authorize?prompt=consent",
    scopes=("read", "write"),
    token_path="/token",
    revoke_path="/revoke",
)
GIVEN = {"access_token": "at-1", "refresh_token": "rt-2", "expires_in": 3600, "scope": "read write extra"}
OLD = Grant("at-0", "rt-1")


class Endpoint:
    """A transport with one answer."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.headers = status, Headers.of(headers or {})
        self.body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.sent: list[Request] = []

    def send(self, request: Request, deadline_s: float) -> Answer:
        self.sent.append(request)
        return Answer(self.status, self.headers, self.body, 5, request=request)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.sent[-1].body.decode()))


def client(endpoint: Endpoint) -> Client:
    refusals = Refusals()
    return Client("https://api.sample.example", "v2", "app-1", "s3cret-of-app", endpoint, 5, NOW, refusals)


# --------------------------------------------------------------------------------------------------------- authorizing


def authorize(facts: OAuth2 = FACTS, url: str | None = None, verifier: str | None = None) -> tuple[str, dict[str, str]]:
    made = oauth2.authorize_url(
        facts,
        url=url or facts.authorize_url,
        version="v2",
        client_id="app-1",
        redirect_uri="https://mesh.example/oauth/sample/callback?x=1",
        state="s&=?",
        verifier=verifier,
    )
    parts = urlsplit(made)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    assert len(pairs) == len(dict(pairs)), "no name twice"
    return f"{parts.scheme}://{parts.netloc}{parts.path}", dict(pairs)


def test_the_authorize_url() -> None:
    place, query = authorize()
    assert place == "https://sample.example/v2/authorize"
    assert query == {
        "client_id": "app-1",
        "response_type": "code",
        "prompt": "consent",
        "scope": "read write",
        "redirect_uri": "https://mesh.example/oauth/sample/callback?x=1",
        "state": "s&=?",
    }


def test_pkce_carries_the_challenge_and_never_the_verifier() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
    _, query = authorize(verifier=verifier)
    assert query["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert query["code_challenge_method"] == "S256"
    assert verifier not in query.values()


def test_what_the_installation_s_own_url_says_stays_but_for_what_belongs_to_one_request() -> None:
    _, query = authorize(
        url="https://sample.example/a?config_id=7&state=old&redirect_uri=https%3A%2F%2Felsewhere&rid=9"
    )
    assert (query["config_id"], query["rid"]) == ("7", "9")
    assert "scope" not in query, "a registered configuration names its own"
    assert query["state"] == "s&=?"
    assert query["redirect_uri"].startswith("https://mesh.example/")


# ----------------------------------------------------------------------------------------------------------- exchanging


def test_an_exchange() -> None:
    endpoint = Endpoint(200, GIVEN)
    grant = oauth2.exchange(FACTS, client(endpoint), Code("c-1", "https://mesh.example/cb", "verifier"))
    assert endpoint.sent[0].url == "https://api.sample.example/token"
    assert endpoint.form == {
        "grant_type": "authorization_code",
        "code": "c-1",
        "redirect_uri": "https://mesh.example/cb",
        "code_verifier": "verifier",
        "client_id": "app-1",
        "client_secret": "s3cret-of-app",
    }
    assert grant == Grant("at-1", "rt-2", 3600.0, None, ("read", "write", "extra"))
    assert "rt-2" not in repr(grant)


def test_without_pkce_there_is_no_verifier() -> None:
    endpoint = Endpoint(200, GIVEN)
    oauth2.exchange(FACTS, client(endpoint), Code("c-1", "https://mesh.example/cb"))
    assert "code_verifier" not in endpoint.form


def test_a_permission_that_was_not_given() -> None:
    with pytest.raises(Refused, match="did not give write") as caught:
        oauth2.exchange(FACTS, client(Endpoint(200, {**GIVEN, "scope": "read"})), Code("c", "u"))
    assert caught.value.code == oauth2.PERMISSION_MISSING


@pytest.mark.parametrize("scope", [None, "", 7])
def test_who_does_not_say_what_was_given_gave_what_was_asked_for(scope: Any) -> None:
    """RFC 6749, section 5.1."""
    assert oauth2.exchange(FACTS, client(Endpoint(200, {**GIVEN, "scope": scope})), Code("c", "u")).scopes == ()


@pytest.mark.parametrize(("said", "seconds"), [(3600, 3600.0), ("3600", 3600.0), (None, None), ("soon", None)])
def test_how_long_a_token_lives(said: Any, seconds: float | None) -> None:
    grant = oauth2.refresh(FACTS, client(Endpoint(200, {**GIVEN, "expires_in": said})), OLD)
    assert grant.expires_in_s == seconds


def test_a_refresh_may_keep_the_token_it_was_made_with() -> None:
    endpoint = Endpoint(200, {"access_token": "at-2"})
    assert oauth2.refresh(FACTS, client(endpoint), OLD).refresh_token is None
    assert (endpoint.form["grant_type"], endpoint.form["refresh_token"]) == ("refresh_token", "rt-1")


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, {"error": "invalid_grant"}, CredentialsRejected, "invalid_grant"),
        (401, {"error": "invalid_grant"}, CredentialsRejected, "invalid_grant"),
        (200, {"error": "invalid_grant"}, CredentialsRejected, "invalid_grant"),
        (401, {"error": "invalid_client"}, Refused, "invalid_client"),
        (400, {"error": "unauthorized_client"}, Refused, "invalid_client"),
        (401, "<html>a proxy's page</html>", Refused, "invalid_client"),
        (400, {"error": "invalid_request"}, Refused, "invalid_payload"),
        (400, {"error": ["odd"]}, Refused, "invalid_payload"),
        (400, {"error": "temporarily_unavailable"}, Unavailable, "unavailable"),
        (400, {"error": "server_error"}, OutcomeUnknown, "provider_fault"),
        (429, {}, RateLimited, "rate_limited"),
        (500, {}, OutcomeUnknown, "outcome_unknown"),
        (502, "<html>", OutcomeUnknown, "outcome_unknown"),
        (503, {}, OutcomeUnknown, "outcome_unknown"),
        (504, {}, OutcomeUnknown, "outcome_unknown"),
        (200, "<html>", OutcomeUnknown, "answer_unreadable"),
        (200, {"token": "?"}, OutcomeUnknown, "answer_unreadable"),
        (200, {"access_token": None}, OutcomeUnknown, "answer_unreadable"),
        (200, [], OutcomeUnknown, "answer_unreadable"),
    ],
)
def test_what_answers_mean(status: int, body: Any, kind: type[ProviderError], code: str) -> None:
    with pytest.raises(kind) as caught:
        oauth2.refresh(FACTS, client(Endpoint(status, body)), OLD)
    assert caught.value.code == code
    assert isinstance(caught.value, CredentialsRejected) is (code == "invalid_grant"), "nothing else buries a grant"


def test_an_error_does_not_show_what_was_sent() -> None:
    said = {"error": "x", "error_description": "token rt-PLANTED-refresh of s3cret-of-app is odd"}
    with pytest.raises(Refused) as caught:
        oauth2.refresh(FACTS, client(Endpoint(400, said)), Grant("at", "rt-PLANTED-refresh"))
    assert "PLANTED" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- ending, and the time


def test_revoking() -> None:
    endpoint = Endpoint(200, "")
    oauth2.revoke(FACTS, client(endpoint), OLD)
    assert endpoint.sent[0].url.endswith("/revoke")
    assert endpoint.form["token"] == "rt-1"
    oauth2.revoke(FACTS, client(Endpoint(401, "")), OLD)  # it is over already
    with pytest.raises(Unavailable):
        oauth2.revoke(FACTS, client(Endpoint(503, "")), OLD)


def test_a_provider_without_a_way_to_revoke_is_not_asked() -> None:
    endpoint = Endpoint(500, "")
    oauth2.revoke(OAuth2(authorize_url="https://x"), client(endpoint), OLD)
    assert endpoint.sent == []


def test_a_provider_s_own_ways_go_before_the_standard_ones() -> None:
    own = OAuth2(
        authorize_url="https://x",
        exchange=lambda client, code: Grant(f"by-{code.value}"),
        refresh=lambda client, grant: Grant(f"after-{grant.access_token}"),
        revoke=lambda client, grant: (_ for _ in ()).throw(CredentialsRejected()),
    )
    nobody = client(Endpoint(500, ""))
    assert oauth2.exchange(own, nobody, Code("c", "u")).access_token == "by-c"
    assert oauth2.refresh(own, nobody, Grant("a")).access_token == "after-a"
    oauth2.revoke(own, nobody, OLD)


@pytest.mark.parametrize(
    ("grant", "ahead_s", "after_s"),
    [
        (Grant("a", "r", 3600.0), 600.0, 3000.0),
        (Grant("a", "r", 900.0), 600.0, 600.0),  # at most a third of its life before its end
        (Grant("a", "r", 60 * 86_400.0), 7 * 86_400.0, 53 * 86_400.0),
        (Grant("a", "r"), 600.0, None),  # it does not expire
        (Grant("a", None, 3600.0), 600.0, None),  # nothing to refresh with
    ],
)
def test_when_to_refresh(grant: Grant, ahead_s: float, after_s: float | None) -> None:
    at = oauth2.refresh_at(OAuth2(authorize_url="", refresh_ahead_s=ahead_s), grant, NOW)
    assert at == (None if after_s is None else NOW + timedelta(seconds=after_s))

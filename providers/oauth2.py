"""Connecting an account by OAuth 2: authorize, exchange, refresh, revoke.

The functions here are RFC 6749 with PKCE (RFC 7636) and revocation (RFC 7009). A provider with other ways puts its own
function into its `OAuth2` facts. None of them stores anything or knows who may call when: that is `worker.oauth` for
connecting and `worker.tokens` for keeping tokens alive.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from providers.errors import CredentialsRejected, OutcomeUnknown, Refused, Unavailable
from providers.http import Answer, Refusals, Request, Transport, form_request, judge

DAY_S = 86_400.0

# Codes of the Refused that an exchange raises, each of which is told in words of its own.
WRONG_CLIENT = "invalid_client"  # our app's id or secret
CODE_USED = "code_used"  # or expired
PERMISSION_MISSING = "missing_permission"  # the message is what is shown


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token endpoint gave."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_in_s: float | None = None  # None = it does not expire
    refresh_expires_in_s: float | None = None
    scopes: tuple[str, ...] = ()
    # Shown to people: no credential in it. `login_again_by` (an ISO time) is when only a new login keeps it alive.
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reached:
    """An account at the provider that a grant reaches, to be chosen from."""

    id: str
    name: str
    config: Mapping[str, str] = field(default_factory=dict)  # currency, time zone …: kept in the integration's config
    unusable: str = ""  # why it cannot be chosen, for people


@dataclass(frozen=True, slots=True)
class Code:
    """What the browser brought back, and what belongs to it."""

    value: str = field(repr=False)
    redirect_uri: str
    verifier: str | None = field(default=None, repr=False)  # of PKCE


@dataclass(frozen=True, slots=True)
class Client:
    """Our app at a provider, and the way there. One exchange at a time, each within `deadline_s`."""

    base_url: str
    api_version: str
    client_id: str
    client_secret: str = field(repr=False)
    transport: Transport = field(repr=False)
    deadline_s: float
    now: datetime
    refusals: Refusals = field(default_factory=Refusals, repr=False)

    def send(self, request: Request) -> Answer:
        """Make one exchange; anything but a success raises one ProviderError."""
        answer = self.transport.send(request, self.deadline_s)
        judge(answer, self.refusals)
        return answer


Exchange = Callable[[Client, Code], Grant]
Refresh = Callable[[Client, Grant], Grant]


@dataclass(frozen=True, slots=True)
class OAuth2:
    """How accounts of one provider are connected."""

    authorize_url: str  # "{version}" in it is the API version; its own query stays
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    client_id_name: str = "client_id"
    code_names: tuple[str, ...] = ("code",)  # of the callback, the first one that is there
    extra: Mapping[str, str] = field(default_factory=lambda: {"response_type": "code"})
    pkce: bool = False
    token_path: str = ""  # of the standard functions
    revoke_path: str = ""
    exchange: Exchange | None = None  # None: the standard one
    refresh: Refresh | None = None
    revoke: Callable[[Client, Grant], None] | None = None
    accounts: Callable[[Client, Grant], Sequence[Reached]] | None = None  # None: the login is the account
    refreshable: Callable[[Grant], bool] = lambda grant: grant.refresh_token is not None
    refresh_on_rejection: bool = True  # whether a rejected access token may be cured by a refresh
    refresh_ahead_s: float = 600.0  # at most a third of the token's life


def authorize_url(
    facts: OAuth2, *, url: str, version: str, client_id: str, redirect_uri: str, state: str, verifier: str | None
) -> str:
    """Where the browser goes. What the URL's own query holds stays, but for what belongs to this one request.

    `url` is `facts.authorize_url`, or what the installation's settings put in its place.
    """
    parts = urlsplit(url.replace("{version}", version))
    query = {facts.client_id_name: client_id, **facts.extra, **dict(parse_qsl(parts.query, keep_blank_values=True))}
    if facts.scopes and "config_id" not in query:  # a configuration registered at the provider names its own scopes
        query.setdefault("scope", facts.scope_separator.join(facts.scopes))
    query |= {"redirect_uri": redirect_uri, "state": state}
    if verifier is not None:
        query |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    return urlunsplit(parts._replace(query=urlencode(query)))


def challenge(verifier: str) -> str:
    """PKCE's S256: what the browser carries in place of the verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def exchange(facts: OAuth2, client: Client, code: Code) -> Grant:
    """The grant for a code. Raises Refused with one of the codes above where that is why; see `worker.oauth`."""
    if facts.exchange is not None:
        return facts.exchange(client, code)
    fields = {"grant_type": "authorization_code", "code": code.value, "redirect_uri": code.redirect_uri}
    if code.verifier is not None:
        fields["code_verifier"] = code.verifier
    grant = _granted(_token_answer(facts, client, fields))
    missing = [scope for scope in facts.scopes if grant.scopes and scope not in grant.scopes]
    if missing:
        raise Refused(
            f"The login did not give {', '.join(missing)}: begin again, and leave all permissions on.",
            code=PERMISSION_MISSING,
        )
    return grant


def refresh(facts: OAuth2, client: Client, grant: Grant) -> Grant:
    """A newer grant. CredentialsRejected says that this one is dead.

    A provider that does not rotate refresh tokens answers without one: the old one stays in use.

    OutcomeUnknown: the provider may have used the refresh token up.
    """
    if facts.refresh is not None:
        return facts.refresh(client, grant)
    assert grant.refresh_token is not None
    fields = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
    return _granted(_token_answer(facts, client, fields))


def revoke(facts: OAuth2, client: Client, grant: Grant) -> None:
    """Tell the provider that the grant ends. A grant that it does not know any more is no error."""
    try:
        if facts.revoke is not None:
            facts.revoke(client, grant)
        elif facts.revoke_path:
            fields = {"token": grant.refresh_token or grant.access_token, **_credentials(client)}
            client.send(form_request("POST", client.base_url, facts.revoke_path, headers={}, form=fields))
    except CredentialsRejected:
        return


def refresh_at(facts: OAuth2, grant: Grant, obtained_at: datetime) -> datetime | None:
    """When to refresh a grant that was just obtained; None = never."""
    if grant.expires_in_s is None or not facts.refreshable(grant):
        return None
    ahead_s = min(facts.refresh_ahead_s, grant.expires_in_s / 3)
    return obtained_at + timedelta(seconds=grant.expires_in_s - ahead_s)


def _credentials(client: Client) -> dict[str, str]:
    return {"client_id": client.client_id, "client_secret": client.client_secret}


def _token_answer(facts: OAuth2, client: Client, fields: Mapping[str, str]) -> Any:
    """What the token endpoint says. RFC 6749, section 5.2: `invalid_grant` comes with a 400."""
    request = form_request(
        "POST", client.base_url, facts.token_path, headers={}, form={**fields, **_credentials(client)}
    )
    answer = client.transport.send(request, client.deadline_s)
    judge(answer, TOKEN_REFUSALS)
    return answer.json()


def _granted(body: Any) -> Grant:
    if not isinstance(body, dict) or not isinstance(body.get("access_token"), str):
        raise OutcomeUnknown("The token endpoint answered without a token.", code="answer_unreadable")
    scope = body.get("scope")
    return Grant(
        access_token=body["access_token"],
        refresh_token=body.get("refresh_token"),
        expires_in_s=_seconds(body.get("expires_in")),
        refresh_expires_in_s=_seconds(body.get("refresh_expires_in")),
        scopes=tuple(scope.split()) if isinstance(scope, str) else (),
    )


def _seconds(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _read_error(answer: Answer) -> tuple[str, str]:
    body = answer.json_or_none()
    if not isinstance(body, dict):
        return "", answer.excerpt()
    code, said = body.get("error"), body.get("error_description")
    return code if isinstance(code, str) else "", said if isinstance(said, str) else ""


def _is_refusal(answer: Answer) -> bool:
    body = answer.json_or_none()
    return isinstance(body, dict) and isinstance(body.get("error"), str) and "access_token" not in body


def _dead(said: str) -> CredentialsRejected:
    return CredentialsRejected(said, code="invalid_grant")


def _other_client(said: str) -> Refused:
    return Refused(said, code=WRONG_CLIENT)


TOKEN_REFUSALS = Refusals(
    codes={
        "invalid_grant": _dead,
        "invalid_client": _other_client,
        "unauthorized_client": _other_client,
        "temporarily_unavailable": Unavailable,
        "server_error": lambda said: OutcomeUnknown(said, code="provider_fault"),
    },
    # A 401 without a word that is known may be anybody's on the way: no grant is buried for it.
    statuses={401: _other_client, **dict.fromkeys((500, 502, 503, 504), OutcomeUnknown)},
    read=_read_error,
    in_success=_is_refusal,  # some answer 200 all the same
)

"""Connecting an ad account: Facebook Login, with a long-lived token from the first moment.

https://developers.facebook.com/docs/facebook-login/guides/access-tokens/get-long-lived
There is no refresh token: a token that still works is exchanged for a newer one, and one that has expired is lost.
Beside it runs a second clock: 90 days after the person's last login their data is closed, whatever the token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from providers.errors import CredentialsRejected, OutcomeUnknown, Refused, Unavailable
from providers.http import form_request
from providers.meta_ads.api import Page, app_graph, object_in, page_of
from providers.meta_ads.errors import TOKEN_REFUSALS
from providers.oauth2 import DAY_S, PERMISSION_MISSING, Client, Code, Grant, OAuth2, Reached

SCOPES = ("ads_management", "ads_read", "business_management")
REQUIRED = ("ads_management", "ads_read")  # nothing works without; a login configuration may ask for no more
REFRESH_AHEAD_S = 7 * DAY_S

ACCOUNT_FIELDS = "account_id,name,currency,timezone_name,account_status"
ACCOUNT_PAGES = 100  # of 100 accounts
UNUSABLE: Mapping[int, str] = {  # by account_status; the numbers are unconfirmed
    2: "The account is disabled.",
    3: "The account has an unpaid bill.",
    7: "Meta reviews the account's risk.",
    8: "A payment of the account is pending.",
    100: "The account is being closed.",
    101: "The account is closed.",
    202: "The account is closed.",
}


def exchange(client: Client, code: Code) -> Grant:
    """The long-lived grant for a code."""
    first = _token(client, {"code": code.value, "redirect_uri": code.redirect_uri})
    grant = _long_lived(client, str(first["access_token"]))
    missing = [scope for scope in REQUIRED if scope not in grant.scopes]
    if missing:
        raise Refused(
            f"The login does not allow {' and '.join(missing)}: begin again, and allow everything that is asked for.",
            code=PERMISSION_MISSING,
        )
    return grant


def refresh(client: Client, grant: Grant) -> Grant:
    """A grant that lives longer. Asking uses nothing up: after a lost answer it is simply asked again."""
    try:
        return _long_lived(client, grant.access_token)
    except OutcomeUnknown as error:
        raise Unavailable(str(error), code=error.code) from error


def _long_lived(client: Client, token: str) -> Grant:
    body = _token(client, {"grant_type": "fb_exchange_token", "fb_exchange_token": token})
    long_lived = str(body["access_token"])
    facts = _inspected(client, long_lived)
    expires_at, login_again_by = _moment(facts.get("expires_at")), _moment(facts.get("data_access_expires_at"))
    expires_in_s = _number(body.get("expires_in"))
    if expires_in_s is None and expires_at is not None:
        expires_in_s = (expires_at - client.now).total_seconds()
    shown = {
        "user_id": str(facts["user_id"]) if facts.get("user_id") else None,
        "expires_at": _iso(expires_at),
        "login_again_by": _iso(login_again_by),
    }
    return Grant(
        access_token=long_lived,
        expires_in_s=expires_in_s,
        scopes=tuple(str(scope) for scope in facts.get("scopes") or ()),
        details={name: value for name, value in shown.items() if value},
    )


def _token(client: Client, fields: Mapping[str, str]) -> Mapping[str, Any]:
    """What the token endpoint says. By POST, so that no code and no secret is part of an address."""
    request = form_request(
        "POST",
        client.base_url,
        f"/{client.api_version}/oauth/access_token",
        headers={"User-Agent": "AgentMesh/1"},
        form={"client_id": client.client_id, "client_secret": client.client_secret, **fields},
    )
    body = object_in(replace(client, refusals=TOKEN_REFUSALS).send(request))
    if not isinstance(body.get("access_token"), str):
        raise OutcomeUnknown("Meta answered without a token.", code="answer_unreadable")
    return body


def _inspected(client: Client, token: str) -> Mapping[str, Any]:
    """What Meta knows of a token. CredentialsRejected where it is not ours or does not work."""
    app = app_graph(client, f"{client.client_id}|{client.client_secret}")
    facts = object_in(client.send(app.get("debug_token", {"input_token": token}))).get("data")
    if not isinstance(facts, dict):
        raise OutcomeUnknown("Meta says nothing about the token.", code="answer_unreadable")
    if facts.get("is_valid") is not True:
        raise CredentialsRejected("Meta says that the token is not valid: connect again.", code="token_invalid")
    if str(facts.get("app_id")) != client.client_id:
        raise CredentialsRejected("The token is another app's: connect again.", code="token_of_another_app")
    return facts


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(unix_s: Any) -> datetime | None:
    """A time in Unix seconds; 0 = never."""
    return datetime.fromtimestamp(unix_s, UTC) if isinstance(unix_s, int | float) and unix_s > 0 else None


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def revoke(client: Client, grant: Grant) -> None:
    """Take all permissions back: the app and the person are strangers again."""
    client.send(app_graph(client, grant.access_token).delete("me/permissions"))


def accounts(client: Client, grant: Grant) -> Sequence[Reached]:
    """The ad accounts that the login reaches."""
    return [_reached(row) for page in _account_pages(client, grant) for row in page.rows if row.get("account_id")]


def _account_pages(client: Client, grant: Grant) -> Iterator[Page]:
    params = {"fields": ACCOUNT_FIELDS, "limit": "100"}
    door = app_graph(client, grant.access_token)
    for _ in range(ACCOUNT_PAGES):
        page = page_of(client.send(door.get("me/adaccounts", params)))
        yield page
        if page.after is None:
            return
        params["after"] = page.after
    raise Refused(
        "The login reaches more than 10,000 ad accounts: log in as somebody who has fewer.", code="too_many_accounts"
    )


def _reached(row: Mapping[str, Any]) -> Reached:
    given = {"currency": row.get("currency"), "timezone": row.get("timezone_name")}
    number = str(row["account_id"])
    return Reached(
        id=number,
        name=str(row.get("name") or number),
        config={name: str(value) for name, value in given.items() if value},
        unusable=UNUSABLE.get(row.get("account_status") or 0, ""),
    )


OAUTH = OAuth2(
    authorize_url="https://www.facebook.com/{version}/dialog/oauth",
    scopes=SCOPES,
    scope_separator=",",
    exchange=exchange,
    refresh=refresh,
    revoke=revoke,
    accounts=accounts,
    refreshable=lambda grant: grant.expires_in_s is None or grant.expires_in_s > 0,
    refresh_on_rejection=False,
    refresh_ahead_s=REFRESH_AHEAD_S,
)

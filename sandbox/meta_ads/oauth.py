"""Logging in: the dialog's code for a token, a token for a longer one, what a token may do, and its end.

There is no refresh token: a long-lived token is had by exchanging one that still works.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sandbox.meta_ads.access import check_alive, check_app, token_of
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import Refusal, refusal
from sandbox.meta_ads.people import ACCOUNTS, Account, Person
from sandbox.meta_ads.shape import fields_asked, page, project
from sandbox.meta_ads.state import Code, Meta, Token

SCOPES: Final = frozenset(
    {
        "ads_management",
        "ads_read",
        "business_management",
        "email",
        "leads_retrieval",
        "pages_manage_ads",
        "pages_manage_metadata",
        "pages_read_engagement",
        "pages_show_list",
        "public_profile",
        "read_insights",
    }
)
BASIC: Final = "public_profile"  # every token has it
EXCHANGE: Final = frozenset({"client_id", "client_secret", "redirect_uri", "code", "grant_type", "fb_exchange_token"})
ACCOUNT_DEFAULT: Final = ("account_id",)
PERSON_DEFAULT: Final = ("name",)


def exchange(call: Call, node: Any) -> dict[str, Any]:
    """`oauth/access_token`: a code, a working token, or an app's credentials for a token."""
    app_id, secret = call.need("client_id"), call.need("client_secret")
    check_app(app_id, secret)
    kind = call.params.get("grant_type", "code")
    if kind == "client_credentials":
        return {"access_token": f"{app_id}|{secret}", "token_type": "bearer"}
    if kind == "fb_exchange_token":
        token = lengthened(call, app_id, secret)
    elif kind in ("code", "authorization_code"):
        token = first_token(call, app_id, secret)
    else:
        raise refusal("invalid_parameter", f"(#100) Unknown grant_type {kind}", "grant_type")
    call.meta.exchanges["fb_exchange_token" if kind == "fb_exchange_token" else "code"] += 1
    return {"access_token": token.value, "token_type": "bearer", "expires_in": round(token.expires_at - call.now)}


def first_token(call: Call, app_id: str, secret: str) -> Token:
    """A short-lived token for a code; raises Refusal."""
    code = call.meta.codes.get(call.need("code"))
    if code is None or code.app_id != app_id:
        raise refusal("invalid_parameter", "Invalid verification code format.", "code")
    if code.used:
        raise refusal("code_used")
    if code.expires_at <= call.now:
        raise refusal("code_expired")
    if call.need("redirect_uri") != code.redirect_uri:
        raise refusal("code_redirect")
    code.used = True
    life_s = call.meta.settings.short_life_s
    return new_token(call.meta, app_id, secret, code.person, code.scopes, life_s, call.now, code.declined)


def lengthened(call: Call, app_id: str, secret: str) -> Token:
    """A long-lived token for one that still works; raises Refusal."""
    given = token_of(call.meta, call.need("fb_exchange_token"), call.now)
    check_alive(given, call.now)
    if given.person is None or given.app_id != app_id:
        raise refusal("token_invalid")
    life_s = call.meta.settings.long_life_s
    return new_token(call.meta, app_id, secret, given.person, given.scopes, life_s, call.now, given.declined)


def new_token(
    meta: Meta,
    app_id: str,
    secret: str,
    person: str,
    scopes: Iterable[str],
    life_s: float | None,
    now: float,
    declined: Iterable[str] = (),
) -> Token:
    """A person's token for an app; a life of None never ends."""
    expires_at = 0 if life_s is None else now + life_s
    granted = {*scopes, BASIC}
    token = Token("EAAB" + secrets.token_hex(24), app_id, secret, person, granted, set(declined), now, expires_at)
    meta.tokens[token.value] = token
    return token


def new_code(meta: Meta, code: Code) -> str:
    """A code of the dialog, by the text that the browser carries."""
    value = "AQ" + secrets.token_urlsafe(24)
    meta.codes[value] = code
    return value


def debug_token(call: Call, node: Any) -> dict[str, Any]:
    """What a token is, asked with the app's own token."""
    asking = token_of(call.meta, call.need("access_token"), call.now)
    if asking.person is not None:
        raise refusal("permission_denied", "(#100) You must provide an app access token.")
    given = call.need("input_token")
    try:
        token = token_of(call.meta, given, call.now)
    except Refusal as problem:
        return {"data": {"is_valid": False, "scopes": [], "error": short(problem)}}
    if token.app_id != asking.app_id:
        text = "(#100) The App_id in the input_token did not match the Viewing App"
        raise refusal("invalid_parameter", text, "input_token")
    return {"data": {**described(call, token), **life_of(call, token)}}


def life_of(call: Call, token: Token) -> dict[str, Any]:
    """Whether it works, else why not."""
    try:
        check_alive(token, call.now)
    except Refusal as problem:
        return {"is_valid": False, "scopes": [], "error": short(problem)}
    return {"is_valid": True}


def described(call: Call, token: Token) -> dict[str, Any]:
    """What a token says about itself; times in Unix seconds, 0 = never."""
    base = {"app_id": token.app_id, "application": f"App {token.app_id}", "issued_at": int(token.issued_at)}
    if token.person is None:
        return {**base, "type": "APP", "scopes": []}
    scopes = sorted(token.scopes)
    return {
        **base,
        "type": "USER",
        "expires_at": int(token.expires_at),
        "data_access_expires_at": int(token.issued_at + call.meta.settings.data_access_s),
        "scopes": scopes,
        "granular_scopes": [{"scope": scope} for scope in scopes if scope != BASIC],
        "user_id": token.person,
    }


def short(problem: Refusal) -> dict[str, Any]:
    """An error as `debug_token` shows it."""
    shown = {"code": problem.problem.code, "message": problem.message}
    return shown if problem.problem.subcode is None else {**shown, "subcode": problem.problem.subcode}


def me(call: Call, person: Person) -> dict[str, Any]:
    """Who the token speaks for."""
    first, _, last = person.name.partition(" ")
    node = {"id": person.id, "name": person.name, "first_name": first, "last_name": last}
    return project(node, fields_asked(call, PERSON_DEFAULT), "User")


def permissions(call: Call, person: Person) -> dict[str, Any]:
    """What was granted and what was declined."""
    token = call.token
    states = dict.fromkeys(sorted(token.scopes), "granted") | dict.fromkeys(sorted(token.declined), "declined")
    wanted = call.params.get("permission")
    return {"data": [{"permission": name, "status": state} for name, state in states.items() if wanted in (None, name)]}


def remove_permissions(call: Call, person: Person) -> dict[str, Any]:
    """Take one permission from the app, or log it out altogether."""
    name = call.path[2] if len(call.path) == 3 else call.params.get("permission")
    for token in call.meta.tokens.values():
        if (token.person, token.app_id) != (person.id, call.token.app_id):
            continue
        if name is None:
            token.revoked = "revoked"
        else:
            token.scopes.discard(name)
    return {"success": True}


def ad_accounts(call: Call, person: Person) -> dict[str, Any]:
    """The ad accounts of a person, page by page."""
    asked = fields_asked(call, ACCOUNT_DEFAULT)
    nodes = [project(account_json(call, ACCOUNTS[one]), asked, "AdAccount") for one in person.accounts]
    return page(call, list(enumerate(nodes)))


def ad_account(call: Call, account: Account) -> dict[str, Any]:
    """One ad account."""
    return project(account_json(call, account), fields_asked(call, ACCOUNT_DEFAULT), "AdAccount")


def account_json(call: Call, account: Account) -> dict[str, Any]:
    """All that is known of an ad account."""
    offset = offset_hours(call, account)
    return {
        "id": f"act_{account.id}",
        "account_id": account.id,
        "name": account.name,
        "account_status": 1,
        "disable_reason": 0,
        "currency": account.currency,
        "timezone_name": account.timezone,
        "timezone_offset_hours_utc": offset,
        "min_daily_budget": account.min_daily_budget,
        "business": {"id": f"70000000000000{account.number}", "name": account.name},
    }


def offset_hours(call: Call, account: Account) -> float:
    """The account's distance from UTC now, in hours."""
    offset = datetime.fromtimestamp(call.now, account.zone).utcoffset()
    return 0.0 if offset is None else offset.total_seconds() / 3600

"""Who may do what: tokens and their proof, and the nodes that a token sees."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

from sandbox.meta_ads.call import Call, Door, Kind
from sandbox.meta_ads.errors import refusal
from sandbox.meta_ads.people import ACCOUNTS, PEOPLE, Account, Person, owner_of_pixel
from sandbox.meta_ads.state import Meta, Token

PROOF_FROM: Final = "7"  # apps whose id ends so have "Require app secret" on


def authenticated(call: Call) -> Token:
    """The token of a request, checked with its proof; raises Refusal."""
    value = call.params.get("access_token")
    if not value:
        raise refusal("token_missing")
    token = token_of(call.meta, value, call.now)
    check_alive(token, call.now)
    proof = call.params.get("appsecret_proof")
    if proof is None and token.app_id.endswith(PROOF_FROM):
        raise refusal("proof_missing")
    if proof is not None and not hmac.compare_digest(proof.encode(), appsecret_proof(token).encode()):
        raise refusal("proof")
    return token


def check_alive(token: Token, now: float) -> None:
    """Neither revoked nor expired; raises Refusal."""
    if token.revoked is not None:
        raise refusal(token.revoked)
    if token.expires_at and token.expires_at <= now:
        raise refusal("token_expired")


def token_of(meta: Meta, value: str, now: float) -> Token:
    """A token by its value: a user's, or an app's own `id|secret`; raises Refusal."""
    app_id, bar, secret = value.partition("|")
    if bar:
        check_app(app_id, secret)
        return Token(value, app_id, secret, None, set(), set(), now, 0)
    token = meta.tokens.get(value)
    if token is None:
        raise refusal("token_unknown")
    return token


def check_app(app_id: str, secret: str) -> None:
    """Every app is registered, whose secret does not begin with `bad`."""
    if not app_id or not secret or secret.startswith("bad"):
        raise refusal("client_secret")


def appsecret_proof(token: Token) -> str:
    """What shows that the caller knows the app's secret too."""
    return hmac.new(token.app_secret.encode(), token.value.encode(), hashlib.sha256).hexdigest()


def check_bearer(call: Call, door: Door) -> None:
    """The right kind of token, with one of the scopes; raises Refusal."""
    is_app = call.token.person is None
    if door.bearer == "app" and not is_app:
        raise refusal("permission_denied", "(#10) This method must be called with an app access token.")
    if door.bearer == "user" and is_app:
        raise refusal("permission", "(#200) A user access token is required to request this resource.")
    if door.scopes and not door.scopes & call.token.scopes:
        raise refusal("permission")


def find_account(call: Call, name: str) -> Account | None:
    """An ad account of the caller's, by `act_<digits>`."""
    account = ACCOUNTS.get(name.removeprefix("act_")) if name.startswith("act_") else None
    return account if account is not None and sees(call, account) else None


def owned(store: str) -> Callable[[Call, str], Any]:
    """What finds an object of the caller's accounts among those of one kind."""

    def find(call: Call, name: str) -> Any:
        node = getattr(call.meta, store).get(name)
        return node if node is not None and sees(call, node.account) else None

    return find


def find_lead(call: Call, name: str) -> Any:
    """A lead of a page of the caller's."""
    lead = call.meta.leads.get(name)
    pages = {account.page for account in ACCOUNTS.values() if sees(call, account)}
    return lead if lead is not None and lead.page in pages else None


def find_pixel(call: Call, name: str) -> str | None:
    """A pixel of the caller's accounts."""
    owner = owner_of_pixel(name)
    return name if owner is not None and sees(call, owner) else None


def find_person(call: Call, name: str) -> Person | None:
    """The caller."""
    return call.person if name in ("me", call.token.person) else None


def sees(call: Call, account: Account) -> bool:
    """Whether the token's person has the account."""
    person = call.token.person
    return person is not None and account.id in PEOPLE[person].accounts


FINDERS: Final[Mapping[Kind, Callable[[Call, str], Any]]] = {
    "account": find_account,
    "campaign": owned("campaigns"),
    "adset": owned("ad_sets"),
    "ad": owned("ads"),
    "creative": owned("creatives"),
    "video": owned("videos"),
    "lead": find_lead,
    "run": owned("runs"),
    "pixel": find_pixel,
    "person": find_person,
}


def node_of(call: Call) -> tuple[Kind, Any]:
    """What the first part of the path names, if the token may see it; raises Refusal."""
    if not call.path:
        raise refusal("unknown_path", "Unknown path components: /")
    name = call.path[0]
    if name == call.token.app_id:
        return "app", name
    for kind, find in FINDERS.items():
        node = find(call, name)
        if node is not None:
            return kind, node
    text = f"Unsupported {call.method.lower()} request. Object with ID '{name}' does not exist, cannot be loaded "
    raise refusal("object_missing", text + "due to missing permissions, or does not support this operation.")

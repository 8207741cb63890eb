"""Webhooks: what an app subscribes to, the handshake before, and signed messages after."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid, refusal
from sandbox.meta_ads.people import Account
from sandbox.meta_ads.state import Meta, Subscription
from sandbox.outgoing import NotSent, send

AD_ACCOUNT: Final = "ad_account"
FIELDS: Final[Mapping[str, frozenset[str]]] = {
    AD_ACCOUNT: frozenset(
        {
            "ad_recommendations",
            "creative_fatigue",
            "effective_status",
            "in_process_ad_objects",
            "product_set_issue",
            "subscriptions",
            "with_issues_ad_objects",
        }
    ),
    "page": frozenset({"leadgen"}),
    "permissions": frozenset({"ads_management", "ads_read", "business_management", "leads_retrieval"}),
}
ARRIVES_AS: Final = {"effective_status": "field_changed"}  # the others arrive under their own name
SUBSCRIBE: Final = frozenset({"object", "callback_url", "fields", "verify_token", "include_values"})
UNSUBSCRIBE: Final = frozenset({"object", "fields"})
USER_AGENT: Final = "facebookexternalua"


async def subscribe(call: Call, app_id: str) -> dict[str, Any]:
    """An app wants to hear about a kind of object; its callback must answer the challenge first."""
    kind = values.one_of(FIELDS)("object", call.need("object"))
    fields = subscribed_fields(call, kind)
    callback = call.need("callback_url")
    await shake_hands(callback, call.need("verify_token"))
    with_values = call.read("include_values", values.boolean)
    wanted = Subscription(callback, fields, with_values is not False, call.token.app_secret)
    call.meta.subscriptions[app_id, kind] = wanted
    return {"success": True}


def subscribed_fields(call: Call, kind: str) -> tuple[str, ...]:
    """The fields of a subscription; raises Refusal."""
    call.need("fields")
    fields: tuple[str, ...] = call.read("fields", values.some_of(FIELDS[kind]))
    return fields


async def shake_hands(callback: str, verify_token: str) -> None:
    """Ask the callback to repeat a number, and nothing else; raises Refusal."""
    challenge = str(1_000_000_000 + secrets.randbelow(1_000_000_000))
    asked = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": verify_token}
    url = f"{callback}{'&' if '?' in callback else '?'}{urlencode(asked)}"
    try:
        status, said = await send("GET", url, {"User-Agent": USER_AGENT}, b"")
    except NotSent as problem:
        raise refusal("callback", f"(#2200) Callback verification failed: {problem}") from None
    if status != 200 or said != challenge.encode():
        text = f"(#2200) Callback verification failed: HTTP Status Code = {status}, the challenge was not repeated"
        raise refusal("callback", text)


def subscriptions(call: Call, app_id: str) -> dict[str, Any]:
    """What an app has subscribed to."""
    mine = {kind: one for (owner, kind), one in call.meta.subscriptions.items() if owner == app_id}
    return {
        "data": [
            {
                "object": kind,
                "callback_url": one.callback_url,
                "active": True,
                "fields": [{"name": name, "version": call.version} for name in one.fields],
            }
            for kind, one in mine.items()
        ]
    }


def unsubscribe(call: Call, app_id: str) -> dict[str, Any]:
    """No more of one kind of object, or of all."""
    kind = call.params.get("object")
    for key in [key for key in call.meta.subscriptions if key[0] == app_id and kind in (None, key[1])]:
        del call.meta.subscriptions[key]
    return {"success": True}


def add_app(call: Call, account: Account) -> dict[str, Any]:
    """The second half of a subscription: this account's events go to the token's app."""
    if call.params.get("app_id", call.token.app_id) != call.token.app_id:
        raise invalid("app_id", "the app of the access token")
    call.meta.subscribed_apps.setdefault(account.id, set()).add(call.token.app_id)
    return {"success": True}


def apps(call: Call, account: Account) -> dict[str, Any]:
    """The apps that hear about an account."""
    found = sorted(call.meta.subscribed_apps.get(account.id, ()))
    return {"data": [{"id": app_id, "name": f"App {app_id}"} for app_id in found]}


def remove_app(call: Call, account: Account) -> dict[str, Any]:
    """This account's events no longer go to the token's app."""
    call.meta.subscribed_apps.get(account.id, set()).discard(call.params.get("app_id", call.token.app_id))
    return {"success": True}


async def notify(
    meta: Meta, app_id: str, kind: str, field: str, found: list[Any], entry_id: str, at: int
) -> dict[str, Any]:
    """Send an app one message about an object; raises ValueError when it did not subscribe."""
    subscription = meta.subscriptions.get((app_id, kind))
    if subscription is None or field not in subscription.fields:
        raise ValueError(f"app {app_id} has not subscribed to {field!r} of {kind!r}")
    if kind == AD_ACCOUNT and app_id not in meta.subscribed_apps.get(entry_id, ()):
        raise ValueError(f"app {app_id} is not among the subscribed_apps of act_{entry_id}")
    name = ARRIVES_AS.get(field, field)
    if subscription.include_values:
        said: dict[str, Any] = {"changes": [{"field": name, "value": value} for value in found]}
    else:
        said = {"changed_fields": [name]}
    body = raw_json({"object": kind, "entry": [{"id": entry_id, "time": at, **said}]})
    headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
    headers |= signatures(subscription.app_secret, body)
    status, answer = await send("POST", subscription.callback_url, headers, body)
    return {
        "status": status,
        "answer": answer.decode("utf-8", "replace"),
        "body": body.decode(),
        "signature": headers["X-Hub-Signature-256"],
    }


def raw_json(value: Any) -> bytes:
    r"""JSON as this provider writes it: no spaces, and `\uXXXX` for all that is not ASCII."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def signatures(app_secret: str, body: bytes) -> dict[str, str]:
    """The signatures over the raw bytes; the second one is a legacy."""
    secret = app_secret.encode()
    return {
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
        "X-Hub-Signature": "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest(),
    }


def signed_request(app_secret: str, person: str, issued_at: int) -> str:
    """What says that a person has removed the app: signature and payload, both base64url."""
    payload = encoded(raw_json({"user_id": person, "algorithm": "HMAC-SHA256", "issued_at": issued_at}))
    signature = hmac.new(app_secret.encode(), payload.encode(), hashlib.sha256).digest()
    return f"{encoded(signature)}.{payload}"


def encoded(data: bytes) -> str:
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

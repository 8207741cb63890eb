"""Subscriptions to what happens in an account, and the notifications that TikTok sends.

https://developers.tiktok.com/doc/webhooks-verification
A subscription holds a token and falls silent when that is revoked. Payloads other than those of leads, and whether this
family of webhooks is signed at all, are unconfirmed: the sandbox signs as their page on verification says.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from sandbox.outgoing import send
from sandbox.tiktok_ads.accounts import Grants, check_secret
from sandbox.tiktok_ads.endpoints import Call, Endpoint
from sandbox.tiktok_ads.envelope import Invalid, Refused
from sandbox.tiktok_ads.oauth import APP, TEXT
from sandbox.tiktok_ads.parameters import PAGING, Parameter, Parameters, paged

FIRST_SUBSCRIPTION_ID: Final = 7_431_000_000_000_000_000
ENTITIES: Final = frozenset(
    {
        "AD",
        "AD_ACCOUNT_SUSPENSION",
        "AD_GROUP",
        "API_SERVICE_STATUS",
        "CREATIVE_FATIGUE",
        "LEAD",
        "REPORT_DATA_CHANGE",
        "TCM_VIDEOS",
    }
)
ENTITY: Final = Parameter("text", choices=ENTITIES)
SUBSCRIBE: Final[Parameters] = {
    **APP,
    "subscribe_entity": Parameter("text", required=True, choices=ENTITIES),
    "callback_url": TEXT,
    "subscription_detail": Parameter("object", required=True),
}
LIST: Final[Parameters] = {**APP, "subscribe_entity": ENTITY, **PAGING}
UNSUBSCRIBE: Final[Parameters] = {**APP, "subscription_id": Parameter("id", required=True)}


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who wants to hear of what, and where."""

    id: str
    app_id: str
    secret: str = field(repr=False)
    entity: str
    callback_url: str
    detail: dict[str, Any] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """A subscription as subscription/get/ shows it, without its token."""
        detail = {name: value for name, value in self.detail.items() if name != "access_token"}
        return {
            "subscription_id": self.id,
            "app_id": self.app_id,
            "subscribe_entity": self.entity,
            "callback_url": self.callback_url,
            "subscription_detail": detail,
        }


class Webhooks:
    """All subscriptions."""

    def __init__(self, grants: Grants, clock: Callable[[], float]) -> None:
        self._grants = grants
        self._clock = clock
        self._made = 0
        self._all: dict[str, Subscription] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this part answers."""
        return (
            Endpoint("POST", "subscription/subscribe/", self.subscribe, SUBSCRIBE, open=True),
            Endpoint("GET", "subscription/get/", self.subscriptions, LIST, open=True),
            Endpoint("POST", "subscription/unsubscribe/", self.unsubscribe, UNSUBSCRIBE, open=True),
        )

    def subscribe(self, call: Call) -> dict[str, str]:
        """A new subscription, on behalf of the token in its detail."""
        args = call.args
        check_secret(args["secret"])
        detail = args["subscription_detail"]
        token = self._grants.token(str(detail.get("access_token", "")))
        if token.app_id != args["app_id"]:
            raise Refused("wrong_secret")
        if not args["callback_url"].startswith(("http://", "https://")):
            raise Invalid("callback_url: must be a web address.")
        self._made += 1
        made = Subscription(
            str(FIRST_SUBSCRIPTION_ID + self._made),
            args["app_id"],
            args["secret"],
            args["subscribe_entity"],
            args["callback_url"],
            detail,
        )
        self._all[made.id] = made
        return {"subscription_id": made.id}

    def subscriptions(self, call: Call) -> dict[str, Any]:
        """Those of an app."""
        check_secret(call.args["secret"])
        wanted = call.args.get("subscribe_entity")
        found = [
            one
            for one in self._all.values()
            if one.app_id == call.args["app_id"] and wanted in (None, one.entity) and self._alive(one)
        ]
        page, info = paged(found, call.args)
        return {"subscriptions": [one.as_json() for one in page], "page_info": info}

    def unsubscribe(self, call: Call) -> dict[str, str]:
        """End one."""
        check_secret(call.args["secret"])
        found = self._all.get(call.args["subscription_id"])
        if found is None or found.app_id != call.args["app_id"]:
            raise Refused("not_exist", "The subscription does not exist.")
        del self._all[found.id]
        return {"subscription_id": found.id}

    async def send_webhook(
        self,
        entity: str,
        entry: list[dict[str, Any]] | None = None,
        body: str | None = None,
        secret: str | None = None,
        at: int | None = None,
        signed: bool = True,
    ) -> list[dict[str, Any]]:
        """Send to all live subscriptions of an entity; what each callback answered.

        `body` is sent as it is; `secret` and `at` (unix seconds) replace those that the signature should have.
        """
        wanted = [one for one in self._all.values() if one.entity == entity and self._alive(one)]
        if not wanted:
            raise ValueError(f"nobody is subscribed to {entity} with a live token")
        moment = int(self._clock()) if at is None else at
        text = body if body is not None else json.dumps(payload(entry or [{}], moment), separators=(",", ":"))
        answers = []
        for one in wanted:
            headers = headers_for(secret or one.secret, moment, text.encode(), signed)
            status, _ = await send("POST", one.callback_url, headers, text.encode())
            answers.append({"subscription_id": one.id, "status": status, "body": text})
        return answers

    def _alive(self, one: Subscription) -> bool:
        try:
            self._grants.token(str(one.detail["access_token"]))
        except Refused:
            return False
        return True


def payload(entry: list[dict[str, Any]], at: int) -> dict[str, Any]:
    """The shape seen with leads."""
    return {"object": 1, "time": at, "entry": entry}


def headers_for(secret: str, at: int, body: bytes, signed: bool) -> dict[str, str]:
    """The headers of a notification."""
    headers = {"Content-Type": "application/json", "X-Tt-Logid": uuid4().hex}
    return {**headers, "TikTok-Signature": signature(secret, at, body)} if signed else headers


def signature(secret: str, at: int, body: bytes) -> str:
    """`t=…,s=…`: HMAC-SHA256 of time, a dot and the raw body, keyed with the app's secret."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},s={digest}"

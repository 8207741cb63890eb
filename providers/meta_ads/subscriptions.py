"""What Meta tells of an account by itself: the app subscribes to a kind of object, then the account or page to the app.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started/webhooks-for-ad-accounts
Both halves may be repeated: the last one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model import Done, NewEvent, Outcome, Wait
from providers.contract import Call
from providers.errors import InvalidPayload, Refused
from providers.inbound import handshake_token
from providers.meta_ads.api import Graph, account, confirmed, graph, object_in, read, version

CREATED = "subscription.created"
OURS: Mapping[str, str] = {"leads": "page", "account": "ad_account"}  # words that every platform knows
FIELDS: Mapping[str, tuple[str, ...]] = {  # all that a kind of object has, as far as is known
    "ad_account": (
        "effective_status",
        "with_issues_ad_objects",
        "in_process_ad_objects",
        "creative_fatigue",
        "ad_recommendations",
        "subscriptions",
    ),
    "page": ("leadgen",),
    "permissions": ("ads_management", "ads_read"),
}


def create(call: Call) -> Outcome:
    """subscription.create_requested {entity: ad_account, page or permissions} -> Meta tells of it from now on."""
    kind = _kind(call)
    if kind not in FIELDS:
        raise InvalidPayload(f"Meta tells of {', '.join(FIELDS)}, not of {kind!r}.", code="unknown_entity")
    fields = call.event.data.get("fields") or list(FIELDS[kind])
    if not call.progress.get("app"):
        _of_app(call, kind, fields)
        return Wait(0, {"app": True})
    _of_account(call, kind, fields)
    return _done(call, kind, fields)


def _kind(call: Call) -> str:
    entity = str(call.event.data["entity"])
    return OURS.get(entity, entity)


def _of_app(call: Call, kind: str, fields: list[str]) -> None:
    """Meta asks our address at once whether it is ours: the doors must be reached from outside."""
    params = {
        "object": kind,
        "callback_url": call.known.hooks_url(),
        "fields": ",".join(fields),
        "verify_token": handshake_token(call.secrets["secret"]),
        "include_values": "true",
        **(call.event.data.get("detail") or {}),
    }
    app_id, door = _app(call)
    request = door.post_secret(f"{app_id}/subscriptions", params, (params["verify_token"],))
    confirmed(call.send(replace(request, shown_url=request.shown_url.replace(app_id, "****"))))


def _of_account(call: Call, kind: str, fields: list[str]) -> None:
    """The account's, or the page's, own half; what a person permits needs none."""
    if kind == "ad_account":
        confirmed(call.send(graph(call).post(f"{account(call)}/subscribed_apps", {})))
    if kind == "page":
        page, door = _page(call)
        confirmed(call.send(door.post(f"{page}/subscribed_apps", {"subscribed_fields": ",".join(fields)})))


def remove(call: Call) -> Done:
    """subscription.remove_requested -> nothing is told of this account or page any more; the app's half stays."""
    kind = _kind(call)
    if kind == "page":
        page, door = _page(call)
        confirmed(call.send(door.delete(f"{page}/subscribed_apps")))
    elif kind == "ad_account":
        confirmed(call.send(graph(call).delete(f"{account(call)}/subscribed_apps")))
    else:
        raise InvalidPayload(f"Of ad_account and page one account can leave, not of {kind!r}.", code="unknown_entity")
    return Done(result={"entity": kind, "removed": 1})


def _app(call: Call) -> tuple[str, Graph]:
    """Our app, and the Graph API as its own token sees it."""
    app_id = call.secrets.get("api_key")
    if not app_id or not call.secrets.get("secret"):
        raise Refused("META_ADS_API_KEY and META_ADS_SECRET must be set for this.", code="app_misconfigured")
    secret = call.secrets["secret"]
    return app_id, Graph(call.base_url, version(call), secret, f"{app_id}|{secret}")


def _page(call: Call) -> tuple[str, Graph]:
    """The account's page, and the Graph API as the page's own token sees it."""
    page = str(call.config.get("page_id") or "").strip()
    if not page:
        raise InvalidPayload("The account has no page_id.", code="missing_field")
    token = read(call, graph(call).get(page, {"fields": "access_token"}), object_in)[1].get("access_token")
    if not token:
        raise Refused("The login may not act for the page: log in as somebody who manages it.", code="page_forbidden")
    return page, Graph(call.base_url, version(call), call.secrets["secret"], str(token))


def _done(call: Call, kind: str, fields: list[str]) -> Done:
    said: dict[str, Any] = {
        "entity": kind,
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "fields": fields,
        "source_event_id": str(call.event.id),
    }
    return Done(
        result={"entity": kind, "fields": fields},
        events=(
            NewEvent(call.event.tenant_id, "subscription.created", said, f"subscription.created:{call.delivery_id}"),
        ),
    )

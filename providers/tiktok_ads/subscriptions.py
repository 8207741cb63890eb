"""What TikTok tells of an account by itself: subscriptions, of ad groups, ads, leads and the rest.

https://business-api.tiktok.com/portal/docs?id=1739566528222210
Each is made with the account's token, and falls silent when that is revoked: after connecting again it is made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model import Done, NewEvent, Outcome, Wait
from providers.contract import Call, Repeat
from providers.errors import Refused
from providers.tiktok_ads.api import Data, account, app_get, app_post
from providers.tiktok_ads.errors import text_of, unreadable

OURS: Mapping[str, str] = {"leads": "LEAD", "account": "AD_ACCOUNT_SUSPENSION"}  # words that every platform knows
MANY = ("AD_ACCOUNT_SUSPENSION", "REPORT_DATA_CHANGE")  # about a list of accounts; the others about one
NOBODY = ("API_SERVICE_STATUS",)  # about no account
PAGE_SIZE = 100
CREATED = "subscription.created"
PAGES = 20


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """Where the older ones are gone, one that is there is the one whose answer was lost."""
    return Repeat.LOOKUP if progress.get("cleared") else Repeat.SAFE


def create(call: Call) -> Outcome:
    """subscription.create_requested -> the account's address here is told from now on.

    An older one with the same detail goes first: its token may have ended, and it would tell nothing.
    """
    if not call.progress.get("cleared"):
        removed = _remove(call, [text_of(row["subscription_id"]) for row in _ours(call, exactly=True)])
        return Wait(0, {"cleared": True, "removed": removed})
    entity = _entity(call)
    body = {
        "subscribe_entity": entity,
        "callback_url": call.known.hooks_url(),
        "subscription_detail": {"access_token": call.secrets["access_token"], **_about(call, entity)},
    }
    made = text_of(app_post(call, "subscription/subscribe/", {**_app(call), **body}).get("subscription_id"))
    if not made:
        raise unreadable("it names no subscription")
    return _done(call, made)


def find(call: Call) -> Done | None:
    """The one whose answer was lost; None where there is none."""
    rows = _ours(call, exactly=True)
    return next((_done(call, text_of(row["subscription_id"]), recovered=True) for row in rows), None)


def remove(call: Call) -> Done:
    """subscription.remove_requested -> nothing is told any more, of one subscription or of all of an entity."""
    wanted = call.event.data.get("external_id")
    ids = [wanted] if wanted else [text_of(row["subscription_id"]) for row in _ours(call)]
    return Done(result={"entity": call.event.data["entity"], "removed": _remove(call, ids)})


def _remove(call: Call, ids: Sequence[str]) -> int:
    for subscription_id in ids:
        app_post(call, "subscription/unsubscribe/", {**_app(call), "subscription_id": subscription_id})
    return len(ids)


def _entity(call: Call) -> str:
    entity = str(call.event.data["entity"])
    return OURS.get(entity, entity)


def _about(call: Call, entity: str) -> dict[str, Any]:
    detail = call.event.data.get("detail") or {}
    if entity in NOBODY:
        return dict(detail)
    whose = {"advertiser_ids": [account(call)]} if entity in MANY else {"advertiser_id": account(call)}
    return {**whose, **detail}


def _ours(call: Call, *, exactly: bool = False) -> Iterator[Data]:
    """The subscriptions of our app to an entity, of this account; `exactly`: with the very detail of the event."""
    entity, here = _entity(call), call.known.hooks_url()
    for number in range(1, PAGES + 1):
        query = {**_app(call), "subscribe_entity": entity, "page": number, "page_size": PAGE_SIZE}
        rows = app_get(call, "subscription/get/", query).get("subscriptions")
        if not isinstance(rows, list):
            raise unreadable("it holds no subscriptions")
        about = _about(call, entity).items() if exactly else ()
        for row in rows:
            if isinstance(row, dict) and row.get("callback_url") == here:
                shown = row.get("subscription_detail")
                detail = shown if isinstance(shown, dict) else {}
                if all(detail.get(name) == value for name, value in about):
                    yield row
        if len(rows) < PAGE_SIZE:
            return


def _app(call: Call) -> Mapping[str, str]:
    app_id, secret = call.secrets.get("api_key"), call.secrets.get("secret")
    if not app_id or not secret:
        missing = "TIKTOK_ADS_SECRET" if app_id else "TIKTOK_ADS_API_KEY"
        raise Refused(f"{missing} is not set: set it to what TikTok shows of our app.", code="app_misconfigured")
    return {"app_id": app_id, "secret": secret}


def _done(call: Call, subscription_id: str, **more: Any) -> Done:
    said = {
        "entity": call.event.data["entity"],
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "external_id": subscription_id,
        "source_event_id": str(call.event.id),
    }
    return Done(
        result={"entity": said["entity"], "external_id": subscription_id, **more},
        external_id=subscription_id,
        events=(
            NewEvent(call.event.tenant_id, "subscription.created", said, f"subscription.created:{call.delivery_id}"),
        ),
    )

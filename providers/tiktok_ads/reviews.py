"""What TikTok's review says of an ad or an ad group: looked up when somebody asks, or a webhook says that it changed.

https://business-api.tiktok.com/portal/docs?id=1735735588640770
The shape of the review itself is not published: it is passed on as it is.
"""

from __future__ import annotations

from typing import Any

from model import Done, NewEvent
from providers.ad_notes import campaign_link, there
from providers.contract import Call
from providers.tiktok_ads.api import Data, page, read
from providers.tiktok_ads.children import AD, AD_GROUP, Kind, looked_for, not_there
from providers.tiktok_ads.errors import text_of

CHECKED = "ad.checked"


def check(call: Call) -> Done:
    """ad.check_requested {ad_id or ad_set_id} -> its state there, and what the review says."""
    kind = AD if call.event.data.get("ad_id") else AD_GROUP
    external_id = _which(call, kind)
    fields = [kind.id_field, "operation_status", "secondary_status"]
    chosen = {"filtering": {f"{kind.noun}_ids": [external_id]}, "fields": fields}
    rows = page(call, f"{kind.noun}/get/", chosen, 1).rows
    if not rows:
        raise not_there(call, f"{kind.title} {external_id}")
    review = read(call, f"{kind.noun}/review_info/", {f"{kind.noun}_ids": [external_id]})
    said = _said(call, kind, external_id, rows[0], review)
    return Done(
        result={"external_id": external_id, "status": said["status"]},
        external_id=external_id,
        events=(NewEvent(call.event.tenant_id, CHECKED, said, f"{CHECKED}:{call.delivery_id}"),),
    )


def _which(call: Call, kind: Kind) -> str:
    data, campaign = call.event.data, campaign_link(call)
    key = data[kind.key_field]
    found = data.get("external_id") or there(campaign, kind.name, key) or looked_for(call, kind, campaign, key)
    if found is None:
        raise not_there(call, f"{kind.title} {key}")
    return str(found)


def _said(call: Call, kind: Kind, external_id: str, row: Data, review: Data) -> dict[str, Any]:
    return {
        kind.key_field: call.event.data[kind.key_field],
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "external_id": external_id,
        "status": text_of(row.get("secondary_status")) or text_of(row.get("operation_status")),
        "review": dict(review),
        "source_event_id": str(call.event.id),
    }

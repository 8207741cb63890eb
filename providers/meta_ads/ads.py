"""Ads: a creative in an ad set.

https://developers.facebook.com/docs/marketing-api/reference/adgroup
Made in steps, each committed: the file is taken there, a video is waited for, the creative is made, and then the ad.
Only the last step could show something twice; as with campaigns, the name carries our key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model import Done, NewEvent, Outcome, Wait
from providers.ad_notes import campaign_link, noting, there
from providers.ads import marked
from providers.contract import Call, Repeat
from providers.meta_ads import creatives
from providers.meta_ads.ad_sets import AD_SET
from providers.meta_ads.ad_sets import STATES as AD_SET_STATES
from providers.meta_ads.api import account, graph, made, over, own_parameters
from providers.meta_ads.children import Kind, found, looked_for, new_status
from providers.meta_ads.lookup import NAME_CHARS, Listed, not_there

STATES = (*AD_SET_STATES, "ADSET_PAUSED", "PENDING_REVIEW", "DISAPPROVED", "PREAPPROVED", "PENDING_BILLING_INFO")
AD = Kind("ad", "Ad", Listed("ads", "ad.name", "id,name", STATES, "ad"))


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """Only the ad itself is looked for: what comes before it may be there twice."""
    return Repeat.LOOKUP if progress.get("creative_id") else Repeat.SAFE


def create(call: Call) -> Outcome:
    """ad.create_requested -> an ad, paused unless the event says that it is active."""
    return _next(call.progress)(call, call.progress)


def _next(progress: Mapping[str, Any]) -> Callable[[Call, Mapping[str, Any]], Outcome]:
    """The step that comes now."""
    if not progress:
        return _begin
    if progress.get("creative_id"):
        return _ad
    if progress.get("video_id") and not progress.get("ready"):
        return creatives.encoded
    return _creative


def _begin(call: Call, _: Mapping[str, Any]) -> Outcome:
    """Find the ad set, make sure that the ad is not there yet, and take its file to Meta."""
    data, ad_set_id = call.event.data, _ad_set(call)
    known = there(campaign_link(call), AD.name, data["ad_id"]) or found(call, AD, ad_set_id, data["ad_id"])
    progress = {"ad_set_id": ad_set_id}
    if known is not None:
        return _done(call, progress, known, skipped="The ad is there already.")
    asset_id = data["creative"].get("asset_id")
    if asset_id:
        return Wait(0, {**progress, **creatives.taken_there(call, asset_id)})
    return _creative(call, progress)


def _ad_set(call: Call) -> str:
    """The ad set at Meta: as the event says, as the campaign's link remembers, or by our key in its name."""
    data = call.event.data
    key = data["ad_set_id"]
    campaign = campaign_link(call)
    given = data.get("ad_set_external_id") or there(campaign, AD_SET.name, key)
    external_id = given or looked_for(call, AD_SET, campaign, key)
    if external_id is None:
        raise not_there(call, f"Ad set {key}")
    return str(external_id)


def _creative(call: Call, progress: Mapping[str, Any]) -> Wait:
    creative_id = creatives.create(call, progress)
    return Wait(0, {"ad_set_id": progress["ad_set_id"], "creative_id": creative_id}, external_id=creative_id)


def _ad(call: Call, progress: Mapping[str, Any]) -> Done:
    data = call.event.data
    params = {
        "name": marked(data["name"], data["ad_id"], NAME_CHARS),
        "adset_id": progress["ad_set_id"],
        "creative": {"creative_id": progress["creative_id"]},
        "status": new_status(data),
    }
    form = over(params, own_parameters(data))
    external_id = made(call.send(graph(call).post(f"{account(call)}/ads", form)), form)
    if external_id is None:
        return Done(result={"ad_id": data["ad_id"], "only_checked": True})
    return _done(call, progress, external_id)


def find(call: Call) -> Done | None:
    """The ad whose creation was not answered, by our key in its name; None when it is not there."""
    external_id = found(call, AD, call.progress["ad_set_id"], call.event.data["ad_id"])
    return None if external_id is None else _done(call, call.progress, external_id, recovered=True)


def _done(call: Call, progress: Mapping[str, Any], external_id: str, **more: Any) -> Done:
    """The outcome, and the event that tells it."""
    data, creative_id = call.event.data, progress.get("creative_id")
    named = {name: data[name] for name in ("ad_id", "ad_set_id", "campaign_id") if data.get(name)}
    said = {
        **named,
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "external_id": external_id,
        "external_ad_set_id": progress["ad_set_id"],
        "source_event_id": str(call.event.id),
        **({"external_creative_id": creative_id} if creative_id else {}),
        **({} if "skipped" in more else {"state": data.get("state") or "paused"}),
    }
    return Done(
        result={"ad_id": data["ad_id"], "external_id": external_id, **more},
        external_id=external_id,
        records=noting(campaign_link(call), AD.name, data["ad_id"], external_id, call.event.occurred_at),
        events=(NewEvent(call.event.tenant_id, "ad.created", said, key=f"ad.created:{call.delivery_id}"),),
    )

"""Ads: a creative in an ad group.

https://business-api.tiktok.com/portal/docs?id=1739953377508354
Made in steps, each committed: TikTok fetches the file from us, a video is waited for and gets a cover, then the ad is
made. Only the last step could show something twice; as with campaigns, the name carries our key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from model import Done, NewEvent, Outcome, Wait
from providers.ad_notes import campaign_link, noting, there
from providers.contract import Call, Repeat
from providers.errors import InvalidPayload, Refused
from providers.tiktok_ads.api import Data, page, read, uploaded, write
from providers.tiktok_ads.children import AD, AD_GROUP, found, looked_for, new_status, not_there, own_parameters
from providers.tiktok_ads.errors import NOTHING_TO_UPDATE, text_of, unreadable
from providers.tiktok_ads.names import named

LINK_S = 3600.0  # so long TikTok may take to begin to fetch a file
POLL_S, LONGEST_POLL_S = 5.0, 60.0
ENCODING_TAKES = timedelta(minutes=60)
DEFAULT_BUTTON = "LEARN_MORE"
IDENTITY = ("identity_type", "identity_id", "identity_authorized_bc_id")

Progress = Mapping[str, Any]


def repeat(progress: Progress) -> Repeat:
    """Only the ad itself is looked for: a file that nobody uses does no harm."""
    return Repeat.LOOKUP if progress.get("ready") else Repeat.SAFE


def create(call: Call) -> Outcome:
    """ad.create_requested -> an ad, disabled unless the event says that it is active."""
    return _next(call.progress)(call, call.progress)


def _next(progress: Progress) -> Callable[[Call, Progress], Outcome]:
    """The step that comes now."""
    if not progress:
        return _begin
    if progress.get("ready"):
        return _ad
    if progress.get("cover_url"):
        return _cover
    return _encoded


def _begin(call: Call, _: Progress) -> Outcome:
    """Find the ad group, make sure that the ad is not there yet, and have its file fetched."""
    data, group = call.event.data, _ad_group(call)
    known = there(campaign_link(call), AD.name, data["ad_id"]) or found(call, AD, group, data["ad_id"])
    if known is not None:
        return _done(call, {"adgroup_id": group}, known, skipped="The ad is there already.")
    _checked(call)
    return Wait(0, {"adgroup_id": group, **_file(call)})


def _ad_group(call: Call) -> str:
    """The ad group at TikTok: as the event says, as the campaign's link remembers, or by our key in its name."""
    data, campaign = call.event.data, campaign_link(call)
    key = data["ad_set_id"]
    given = data.get("ad_set_external_id") or there(campaign, AD_GROUP.name, key)
    external_id = given or looked_for(call, AD_GROUP, campaign, key)
    if external_id is None:
        raise not_there(call, f"Ad group {key}")
    return str(external_id)


def _checked(call: Call) -> None:
    """InvalidPayload for an ad that TikTok could not show, before anything is uploaded."""
    creative = call.event.data["creative"]
    if not (creative.get("message") or creative.get("title")):
        raise InvalidPayload("An ad at TikTok needs a text: `creative.message`.", code="missing_field")
    if not _identity(call)["identity_id"]:
        raise InvalidPayload(
            "An ad appears as somebody: set the account's identity_id, or creative.extra.tiktok_ads.identity_id.",
            code="missing_identity",
        )


def _identity(call: Call) -> dict[str, Any]:
    own = own_parameters(call.event.data["creative"])
    found_there = {name: own.get(name) or call.config.get(name) for name in IDENTITY}
    return {**found_there, "identity_type": found_there["identity_type"] or "CUSTOMIZED_USER"}


def _file(call: Call) -> dict[str, Any]:
    """Have TikTok fetch the ad's file: progress that names it there."""
    creative = call.event.data["creative"]
    if creative.get("asset_id"):
        return _of_ours(call, creative["asset_id"])
    if creative.get("video_id"):
        return _video(call, str(creative["video_id"]))
    if not creative.get("image_url"):
        raise InvalidPayload(
            "An ad shows a picture or a video: `asset_id`, `video_id` or `image_url`.", code="no_media"
        )
    return {"image_ids": [_image(call, creative["image_url"])], "ready": True}


def _of_ours(call: Call, asset_id: str) -> dict[str, Any]:
    asset = call.media.find(asset_id)
    if asset is None:
        raise InvalidPayload(f"There is no media file {asset_id}.", code="asset_missing")
    kind, link = asset.mime.partition("/")[0], call.media.link(asset, LINK_S)
    if kind == "image":
        return {"image_ids": [_image(call, link)], "ready": True}
    if kind == "video":
        return _video(call, _uploaded_video(call, link))
    raise InvalidPayload(f"File {asset_id} is {asset.mime}: an ad shows a picture or a video.", code="wrong_media")


def _image(call: Call, url: str) -> str:
    data = uploaded(call, "file/image/ad/upload/", {"upload_type": "UPLOAD_BY_URL", "image_url": url}, secret=url)
    return _named(data, "image_id")


def _uploaded_video(call: Call, url: str) -> str:
    data = uploaded(call, "file/video/ad/upload/", {"upload_type": "UPLOAD_BY_URL", "video_url": url}, secret=url)
    return _named(data, "video_id")


def _named(data: Data, name: str) -> str:
    """The id of what was uploaded: in `data` itself, or in the only row of its list (unconfirmed which)."""
    rows = data.get("list")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else data
    found_id = text_of(row.get(name))
    if not found_id:
        raise unreadable(f"it names no {name}")
    return found_id


def _video(call: Call, video_id: str) -> dict[str, Any]:
    return {"video_id": video_id, "asked_at": call.now.isoformat(), "poll_s": POLL_S}


def _encoded(call: Call, progress: Progress) -> Wait:
    """See whether a video can be shown already, and what its cover is."""
    rows = read(call, "file/video/ad/info/", {"video_ids": [progress["video_id"]]}).get("list")
    row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    cover = text_of(row.get("video_cover_url"))
    if cover:
        return Wait(0, {**progress, "cover_url": cover}, external_id=progress["video_id"])
    if call.now - datetime.fromisoformat(progress["asked_at"]) > ENCODING_TAKES:
        raise Refused("TikTok has been encoding the video for more than an hour.", code="video_too_slow")
    wait_s = min(progress["poll_s"] * 2, LONGEST_POLL_S)
    return Wait(progress["poll_s"], {**progress, "poll_s": wait_s}, external_id=progress["video_id"])


def _cover(call: Call, progress: Progress) -> Wait:
    """A video's cover is a picture of the library: the event's, or the one that TikTok took."""
    url = call.event.data["creative"].get("image_url") or progress["cover_url"]
    kept = {name: progress[name] for name in ("adgroup_id", "video_id")}
    return Wait(0, {**kept, "image_ids": [_image(call, url)], "ready": True})


def _ad(call: Call, progress: Progress) -> Done:
    made = write(call, "ad/create/", {"adgroup_id": progress["adgroup_id"], "creatives": [_creative(call, progress)]})
    ids = made.get("ad_ids")
    external_id = text_of(ids[0]) if isinstance(ids, list) and ids else ""
    if not external_id:
        raise unreadable("it names no ad")
    return _done(call, progress, external_id)


def _creative(call: Call, progress: Progress) -> dict[str, Any]:
    data = call.event.data
    creative = data["creative"]
    body = {
        "ad_name": named(data["name"], data["ad_id"]),
        "ad_format": "SINGLE_VIDEO" if progress.get("video_id") else "SINGLE_IMAGE",
        "video_id": progress.get("video_id"),
        "image_ids": progress["image_ids"],
        "ad_text": creative.get("message") or creative.get("title"),
        "call_to_action": (creative.get("call_to_action") or DEFAULT_BUTTON).upper(),
        "landing_page_url": _landing(creative),
        "operation_status": new_status(data),
        **_identity(call),
        **own_parameters(creative),
        **own_parameters(data),
    }
    return {name: value for name, value in body.items() if value is not None}


def _landing(creative: Mapping[str, Any]) -> str:
    """Where a click leads, with the ad's own parameters; TikTok fills in its macros (`__CID__` …)."""
    link, tags = str(creative["link"]), creative.get("url_tags")
    return f"{link}{'&' if '?' in link else '?'}{tags}" if tags else link


def update(call: Call) -> Done:
    """ad.update_requested -> name, text, address or button as the event has them; the file stays."""
    data, campaign = call.event.data, campaign_link(call)
    key, creative = data["ad_id"], data.get("creative") or {}
    external_id = data.get("external_id") or there(campaign, AD.name, key) or looked_for(call, AD, campaign, key)
    if external_id is None:
        raise not_there(call, f"Ad {key}")
    changes = {
        "ad_name": named(data["name"], key) if data.get("name") else None,
        "ad_text": creative.get("message") or creative.get("title"),
        "landing_page_url": _landing(creative) if creative.get("link") else None,
        "call_to_action": creative["call_to_action"].upper() if creative.get("call_to_action") else None,
        **own_parameters(creative),
        **own_parameters(data),
    }
    given = {name: value for name, value in changes.items() if value is not None}
    facts = {"ad_id": key, "external_id": external_id, "changed": sorted(given)}
    if given:
        body = {"patch_update": True, "creatives": [{"ad_id": external_id, **given}]}
        try:
            write(call, "ad/update/", {"adgroup_id": _group_of(call, external_id), **body})
        except InvalidPayload as error:
            if error.code != NOTHING_TO_UPDATE:
                raise
    return Done(result=facts, external_id=external_id)


def _group_of(call: Call, ad_id: str) -> str:
    rows = page(call, "ad/get/", {"fields": ["ad_id", "adgroup_id"], "filtering": {"ad_ids": [ad_id]}}, 1).rows
    found_id = text_of(rows[0].get("adgroup_id")) if rows else ""
    if not found_id:
        raise not_there(call, f"Ad {ad_id}")
    return found_id


def find(call: Call) -> Done | None:
    """The ad whose creation was not answered, by our key in its name; None when it is not there."""
    external_id = found(call, AD, call.progress["adgroup_id"], call.event.data["ad_id"])
    return None if external_id is None else _done(call, call.progress, external_id, recovered=True)


def _done(call: Call, progress: Progress, external_id: str, **more: Any) -> Done:
    """The outcome, and the event that tells it."""
    data = call.event.data
    keys = {name: data[name] for name in ("ad_id", "ad_set_id", "campaign_id") if data.get(name)}
    said = {
        **keys,
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "external_id": external_id,
        "external_ad_set_id": progress["adgroup_id"],
        "source_event_id": str(call.event.id),
        **({} if "skipped" in more else {"state": data.get("state") or "paused"}),
    }
    return Done(
        result={"ad_id": data["ad_id"], "external_id": external_id, **more},
        external_id=external_id,
        records=noting(campaign_link(call), AD.name, data["ad_id"], external_id, call.event.occurred_at),
        events=(NewEvent(call.event.tenant_id, "ad.created", said, key=f"ad.created:{call.delivery_id}"),),
    )

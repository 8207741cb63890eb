"""Creatives: what people see of an ad, its picture or video among it.

https://developers.facebook.com/docs/marketing-api/reference/ad-creative
Files that the mesh keeps are taken to the account's library first: a picture is sent, a video is fetched by Meta and
encoded there for a while. A creative that no ad uses is shown to nobody and costs nothing: all of this may be repeated.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from model import MediaAsset, Wait
from providers.ads import marked
from providers.contract import Call
from providers.errors import InvalidPayload, OutcomeUnknown, Refused
from providers.meta_ads.api import account, created_id, graph, object_in, over, own_parameters, read
from providers.meta_ads.lookup import NAME_CHARS

MAX_PICTURE_BYTES = 30 * 1024 * 1024
LINK_S = 3600.0  # so long Meta may take to begin to fetch a video
POLL_S, LONGEST_POLL_S = 5.0, 60.0
ENCODING_TAKES = timedelta(minutes=60)
DEFAULT_BUTTON = "LEARN_MORE"  # of a video, whose link is its button's

Progress = Mapping[str, Any]


def taken_there(call: Call, asset_id: str) -> dict[str, Any]:
    """Take a file of ours to the account's library: progress that names it there."""
    asset = call.media.find(asset_id)
    if asset is None:
        raise InvalidPayload(f"There is no media file {asset_id}.", code="asset_missing")
    kind = asset.mime.partition("/")[0]
    if kind == "image":
        return {"image_hash": _sent(call, asset)}
    if kind == "video":
        return {"video_id": _fetched(call, asset), "asked_at": call.now.isoformat(), "poll_s": POLL_S}
    raise InvalidPayload(f"File {asset_id} is {asset.mime}: an ad shows a picture or a video.", code="wrong_media")


def _sent(call: Call, asset: MediaAsset) -> str:
    """The hash by which the library knows a picture: the same picture is there once, however often it is sent."""
    content = call.media.load(asset) if asset.size_bytes <= MAX_PICTURE_BYTES else b""
    if content is None:
        raise InvalidPayload(f"File {asset.id} is not in storage any more.", code="asset_missing")
    if not content:
        raise InvalidPayload(f"File {asset.id} is larger than the 30 MiB that Meta takes.", code="asset_too_large")
    form = {"bytes": base64.b64encode(content).decode()}
    images = object_in(call.send(graph(call).post(f"{account(call)}/adimages", form))).get("images")
    found = next(iter(images.values()), None) if isinstance(images, dict) else None
    if not isinstance(found, dict) or not found.get("hash"):
        raise OutcomeUnknown("Meta answered without the picture's `hash`.", code="answer_unreadable")
    return str(found["hash"])


def _fetched(call: Call, asset: MediaAsset) -> str:
    link = call.media.link(asset, LINK_S)
    params = {"file_url": link, "name": str(asset.id)}
    return created_id(call.send(graph(call).post_secret(f"{account(call)}/advideos", params, (link,))))


def encoded(call: Call, progress: Progress) -> Wait:
    """See whether a video can be shown already, and what its cover is where the event names none."""
    params = {"fields": "status,picture"}
    _, video = read(call, graph(call).get(progress["video_id"], params), object_in)
    status = video.get("status")
    said = status.get("video_status") if isinstance(status, dict) else None
    if said == "ready":
        return Wait(0, {**progress, "ready": True, "cover": video.get("picture")}, external_id=progress["video_id"])
    if said == "error":
        raise Refused("Meta could not fetch or encode the video.", code="video_failed")
    if call.now - datetime.fromisoformat(progress["asked_at"]) > ENCODING_TAKES:
        raise Refused("Meta has been encoding the video for more than an hour.", code="video_too_slow")
    wait_s = min(progress["poll_s"] * 2, LONGEST_POLL_S)
    return Wait(progress["poll_s"], {**progress, "poll_s": wait_s}, external_id=progress["video_id"])


def create(call: Call, progress: Progress) -> str:
    """The id of the creative that an event describes."""
    data = call.event.data
    params = {
        "name": marked(data["name"], data["ad_id"], NAME_CHARS),
        "object_story_spec": story(call, progress),
        "url_tags": data["creative"].get("url_tags"),
    }
    form = over(params, own_parameters(data["creative"]))
    return created_id(call.send(graph(call).post(f"{account(call)}/adcreatives", form)))


def story(call: Call, progress: Progress) -> dict[str, Any]:
    """The post that the ad is, of the page that it appears as."""
    given = call.event.data["creative"]
    page_id = given.get("page_id") or call.config.get("page_id")
    if not page_id:
        raise InvalidPayload("An ad appears as a page: name it in `creative.page_id`.", code="missing_field")
    video_id = progress.get("video_id") or given.get("video_id")
    if video_id:
        return {"page_id": page_id, "video_data": _video(given, video_id, progress.get("cover"))}
    return {"page_id": page_id, "link_data": _link(given, progress.get("image_hash"))}


def _link(given: Mapping[str, Any], image_hash: str | None) -> dict[str, Any]:
    return _held(
        link=given["link"],
        message=given.get("message"),
        name=given.get("title"),
        description=given.get("description"),
        image_hash=image_hash,
        picture=None if image_hash else given.get("image_url"),
        call_to_action=_button(given) if given.get("call_to_action") else None,
    )


def _video(given: Mapping[str, Any], video_id: str, cover: str | None) -> dict[str, Any]:
    return _held(
        video_id=video_id,
        message=given.get("message"),
        title=given.get("title"),
        link_description=given.get("description"),
        image_url=given.get("image_url") or cover,
        call_to_action=_button(given),
    )


def _button(given: Mapping[str, Any]) -> dict[str, Any]:
    word = (given.get("call_to_action") or DEFAULT_BUTTON).upper()
    return {"type": word, "value": {"link": given["link"]}}


def _held(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}

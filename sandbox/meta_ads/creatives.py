"""Creatives, and the library that they are made of: pictures and videos of an account."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid, refusal
from sandbox.meta_ads.nodes import EXECUTION, NAME_MAX, read_all, require
from sandbox.meta_ads.people import Account
from sandbox.meta_ads.shape import fields_asked, page, project
from sandbox.meta_ads.state import VIDEO_ID, Creative, Video
from sandbox.outgoing import NotSent, send

PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8")
BUTTONS: Final = frozenset(
    {
        "APPLY_NOW",
        "BOOK_TRAVEL",
        "BUY_NOW",
        "CONTACT_US",
        "DOWNLOAD",
        "GET_OFFER",
        "GET_QUOTE",
        "INSTALL_MOBILE_APP",
        "LEARN_MORE",
        "NO_BUTTON",
        "ORDER_NOW",
        "SHOP_NOW",
        "SIGN_UP",
        "SUBSCRIBE",
        "WATCH_MORE",
    }
)
STORY: Final = frozenset({"page_id", "link_data", "video_data", "instagram_user_id"})
LINK: Final = frozenset(
    {"link", "message", "name", "description", "image_hash", "picture", "call_to_action", "caption"}
)
VIDEO: Final = frozenset(
    {"video_id", "message", "title", "link_description", "image_hash", "image_url", "call_to_action"}
)
CREATABLE: Final[Mapping[str, values.Reader]] = {
    "name": values.text(NAME_MAX),
    "object_story_spec": values.record,
    "url_tags": values.text(2048),
    "degrees_of_freedom_spec": values.record,
    "execution_options": values.some_of(EXECUTION),
}
IMAGE: Final = frozenset({"bytes"})
UPLOAD: Final = frozenset({"file_url", "name", "title"})


def create(call: Call, account: Account) -> dict[str, Any]:
    """A new creative; nobody sees it before an ad shows it."""
    require(call, ("object_story_spec",))
    given = read_all(call, CREATABLE)
    story = given["object_story_spec"]
    check_story(call, account, story)
    if str(given.get("url_tags", "")).startswith("?"):
        raise invalid("url_tags", "parameters without a question mark before them")
    if "validate_only" in given.get("execution_options", ()):
        return {"success": True}
    creative = Creative(
        call.meta.next_child_id(account), account, given.get("name", "Creative"), story, given.get("url_tags")
    )
    call.meta.creatives[creative.id] = creative
    return {"id": creative.id}


def check_story(call: Call, account: Account, story: Mapping[str, Any]) -> None:
    """A post of the account's page with a link or a video; raises Refusal."""
    only_known("object_story_spec", story, STORY)
    if story.get("page_id") != account.page:
        raise invalid("object_story_spec[page_id]", "a page of this ad account")
    kinds = [name for name in ("link_data", "video_data") if isinstance(story.get(name), dict)]
    if len(kinds) != 1:
        raise invalid("object_story_spec", "an object with one of link_data and video_data")
    CHECKS[kinds[0]](call, account, story[kinds[0]])


def check_link(call: Call, account: Account, data: Mapping[str, Any]) -> None:
    """A link with a picture or without; raises Refusal."""
    name = "object_story_spec[link_data]"
    only_known(name, data, LINK)
    web_address(f"{name}[link]", data.get("link"))
    if "picture" in data:
        web_address(f"{name}[picture]", data["picture"])
    check_hash(call, account, name, data)
    if "call_to_action" in data:
        check_button(name, data["call_to_action"])


def check_video(call: Call, account: Account, data: Mapping[str, Any]) -> None:
    """A video that is encoded, with a cover and a button; raises Refusal."""
    name = "object_story_spec[video_data]"
    only_known(name, data, VIDEO)
    video = call.meta.videos.get(str(data.get("video_id")))
    if video is None or video.account is not account:
        raise invalid(f"{name}[video_id]", "a video of this ad account")
    if video.status != "ready":
        raise refusal("video_not_ready")
    if "image_url" not in data and "image_hash" not in data:
        raise refusal("video_cover", None, f"{name}[image_url]")
    if "image_url" in data:
        web_address(f"{name}[image_url]", data["image_url"])
    check_hash(call, account, name, data)
    check_button(name, data.get("call_to_action"))


CHECKS: Final = {"link_data": check_link, "video_data": check_video}


def only_known(name: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """No part that is not known here; raises Refusal."""
    unknown = sorted(set(given) - known)
    if unknown:
        raise invalid(name, f"an object without {unknown[0]}")


def web_address(name: str, value: Any) -> None:
    """An address of the web; raises Refusal."""
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        raise invalid(name, "a URL")


def check_hash(call: Call, account: Account, name: str, data: Mapping[str, Any]) -> None:
    """A picture of the account's library; raises Refusal."""
    if "image_hash" in data and data["image_hash"] not in call.meta.images.get(account.id, ()):
        raise invalid(f"{name}[image_hash]", "the hash of a picture of this ad account")


def check_button(name: str, button: Any) -> None:
    """A word that is known, and where it leads; raises Refusal."""
    given = button if isinstance(button, dict) else {}
    values.one_of(BUTTONS)(f"{name}[call_to_action][type]", str(given.get("type")))
    value = given.get("value")
    web_address(f"{name}[call_to_action][value][link]", value.get("link") if isinstance(value, dict) else None)


def read(call: Call, creative: Creative) -> dict[str, Any]:
    """One creative."""
    return shown(creative, fields_asked(call, ()))


def of_account(call: Call, account: Account) -> dict[str, Any]:
    """The creatives of an account, newest first."""
    asked = fields_asked(call, ())
    found = [one for one in call.meta.creatives.values() if one.account is account]
    return page(call, [(-int(one.id), shown(one, asked)) for one in reversed(found)])


def shown(creative: Creative, asked: Mapping[str, str]) -> dict[str, Any]:
    """The asked-for fields of a creative."""
    return project(creative_json(creative), asked, "AdCreative")


def creative_json(creative: Creative) -> dict[str, Any]:
    """All fields that this stand-in knows."""
    return {
        "id": creative.id,
        "account_id": creative.account.id,
        "name": creative.name,
        "object_story_spec": dict(creative.object_story_spec),
        "url_tags": creative.url_tags,
        "status": "ACTIVE",
    }


def add_image(call: Call, account: Account) -> dict[str, Any]:
    """A picture for the library, which knows it by its hash: the same picture is there once."""
    try:
        content = base64.b64decode(call.need("bytes"), validate=True)
    except binascii.Error:
        raise invalid("bytes", "the content in base64") from None
    if not content.startswith(PICTURES):
        raise invalid("bytes", "a PNG, JPEG or GIF picture")
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    call.meta.images.setdefault(account.id, set()).add(digest)
    return {"images": {"bytes": {"hash": digest, "url": f"{call.base_url}/pictures/{digest}"}}}


async def add_video(call: Call, account: Account) -> dict[str, Any]:
    """A video for the library, fetched from where it is; it is encoded for some looks at it."""
    url = call.need("file_url")
    web_address("file_url", url)
    try:
        status, content = await send("GET", url, {}, b"")
    except NotSent:
        status, content = 0, b""
    title = call.params.get("title") or call.params.get("name") or "Untitled"
    settings = call.meta.settings
    failed = status != 200 or not content
    video = Video(call.meta.next_of("videos", VIDEO_ID), account, title, settings.video_looks, failed)
    call.meta.videos[video.id] = video
    return {"id": video.id}


def look(call: Call, video: Video) -> dict[str, Any]:
    """How far a video is; every look at it is a step."""
    video.looks += 1
    ready = video.status == "ready"
    node = {
        "id": video.id,
        "title": video.title,
        "status": {"video_status": video.status, "processing_progress": 100 if ready else 40},
        "picture": f"{call.base_url}/covers/{video.id}.jpg" if ready else None,
    }
    return project(node, fields_asked(call, ()), "Video")

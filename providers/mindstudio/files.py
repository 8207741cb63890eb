"""Media files of the tenant in what is sent: `{"asset_id": "…"}` becomes the address of a copy at MindStudio.

Copies are made in steps of their own, before anything is paid for. They are uploaded rather than linked to: our doors
need not be reachable from outside, and an agent may read its file whenever it wants. Whoever has the address of a copy
may read it.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from typing import Any

from providers.contract import Call
from providers.errors import InvalidPayload
from providers.mindstudio import api

NAMED = {"asset_id"}
DEFAULT_EXTENSION = "bin"
EXTENSIONS: Mapping[str, str] = {"audio/mpeg": "mp3", "audio/wav": "wav", "image/jpeg": "jpg", "video/mp4": "mp4"}


def named_in(value: Any) -> list[str]:
    """The ids of all files that are named in something, each once."""
    if isinstance(value, dict):
        if value.keys() == NAMED and isinstance(value["asset_id"], str):
            return [value["asset_id"]]
        value = list(value.values())
    if not isinstance(value, list):
        return []
    return list(dict.fromkeys(each for part in value for each in named_in(part)))


def with_urls(value: Any, urls: Mapping[str, str]) -> Any:
    """The same with addresses in the place of files."""
    if isinstance(value, list):
        return [with_urls(part, urls) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == NAMED and isinstance(value["asset_id"], str):
        return urls[value["asset_id"]]
    return {name: with_urls(part, urls) for name, part in value.items()}


def upload(call: Call, asset_id: str) -> str:
    """Copy a file to MindStudio; where it is there. A repeat leaves one more copy, which costs nothing."""
    asset = call.media.find(asset_id)
    content = call.media.load(asset) if asset is not None else None
    if asset is None or content is None:
        raise InvalidPayload(f"There is no media file {asset_id}.", code="no_such_file")
    mime = asset.mime.partition(";")[0].strip()
    announced = {"extension": _extension(mime), "type": mime}
    place = api.object_in(api.post(call, api.path(call, "upload"), announced))
    api.put_file(call, api.text_in(place, "uploadUrl"), content, mime)
    return api.text_in(place, "url")


def _extension(mime: str) -> str:
    guessed = EXTENSIONS.get(mime) or (mimetypes.guess_extension(mime) or "").removeprefix(".")
    return guessed or DEFAULT_EXTENSION

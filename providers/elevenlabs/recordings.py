"""Recordings from media storage, as parts of a form that is sent.

What storage raises before anything was sent is no fault of the provider's: it is tried again, and holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from mimetypes import guess_extension
from pathlib import PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from model import MediaAsset
from providers.contract import Call
from providers.errors import InvalidPayload, Unavailable
from providers.http import Part

MAX_UPLOAD_BYTES = 256 * 1024 * 1024  # of all files of one form, which is held in memory twice
LONGEST_SUFFIX = 8
SUFFIXES = {"audio/wav": ".wav", "audio/ogg": ".ogg"}  # that the standard library does not know

T = TypeVar("T")


def ids(call: Call, field: str) -> tuple[str, ...]:
    """The files that an event names, each once; InvalidPayload for none."""
    given = call.event.data.get(field)
    found = tuple(dict.fromkeys(map(str, given))) if isinstance(given, list) else ()
    if not found:
        raise InvalidPayload(f"`{field}` is missing: give asset ids of files in media storage.", code="missing_field")
    return found


def chosen(call: Call, field: str, asset_id: Any) -> MediaAsset:
    """The file that an event names. InvalidPayload where there is none, or it is empty or too large to be sent."""
    if not isinstance(asset_id, str) or not asset_id:
        raise InvalidPayload(
            f"`{field}` is missing: give the asset id of a file in media storage.", code="missing_field"
        )
    asset = _stored(partial(call.media.find, asset_id))
    if asset is None:
        raise InvalidPayload(f"`{field}` {asset_id[:64]!r} is no file in media storage.", code="asset_unknown")
    if not 0 < asset.size_bytes <= MAX_UPLOAD_BYTES:
        raise InvalidPayload(
            f"`{field}` {asset_id} has {asset.size_bytes} bytes: a file that is sent has 1 to {MAX_UPLOAD_BYTES}.",
            code="asset_size",
        )
    return asset


def part(call: Call, name: str, asset: MediaAsset, number: int = 0) -> Part:
    """A file as a part of a form. InvalidPayload when it is not in storage any more."""
    content = _stored(partial(call.media.load, asset))
    if not content:
        raise InvalidPayload(f"The file of asset {asset.id} is not in media storage any more.", code="asset_gone")
    return Part(name, content, file_name(call, asset, number), asset.mime)


def source(call: Call) -> Part:
    """The recording that an event gives, itself (`asset_id`) or where they may fetch it (`url`)."""
    asset_id, url = call.event.data.get("asset_id"), call.event.data.get("url")
    if bool(asset_id) == bool(url):
        raise InvalidPayload("Give either `asset_id` or `url`.", code="one_of")
    return field("source_url", url) if url else part(call, "file", chosen(call, "asset_id", asset_id))


def file_name(call: Call, asset: MediaAsset, number: int = 0) -> str:
    """What a file is called there: by it, what came of this delivery is known again."""
    return f"{call.delivery_id}-{number}{_suffix(asset)}"


def field(name: str, value: Any) -> Part:
    """A plain field of a form; yes and no are said as `true` and `false`."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Part(name, text.encode())


def _suffix(asset: MediaAsset) -> str:
    """How the name of a file ends, from its address, else from its kind."""
    suffix = PurePosixPath(urlsplit(asset.uri).path).suffix.lower()
    if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= LONGEST_SUFFIX:
        return suffix
    return SUFFIXES.get(asset.mime) or guess_extension(asset.mime) or ""


def _stored(use: Callable[[], T]) -> T:
    try:
        return use()
    except Exception as error:  # whatever a storage raises
        away = Unavailable("Media storage did not answer.", code="media_away")
        away.holds = False
        raise away from error

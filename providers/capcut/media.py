"""The files that go into a video: our own by their ids, others by their addresses.

Wherever an operation takes an address, `{"asset_id": "…"}` may stand for one: the service gets a link that ends. The
service itself says that all is well when a file cannot be fetched, so every one is looked at before a draft is begun.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from model import MediaAsset
from providers.capcut.api import is_near
from providers.capcut.lengths import seconds_of
from providers.contract import Call
from providers.errors import (
    AccountBlocked,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Retryable,
    TargetForbidden,
    Unavailable,
)
from providers.http import Answer, Request, masked, media_request

PATIENCE = timedelta(minutes=15)  # with what does not end well now
LOOK_BYTES = 4096
LOOK_S = 60.0  # of a link that only shows where ours lead to
HEAD_REFUSED = (400, 401, 403, 405, 406, 501)  # by hosts that would take a GET
MAX_AUDIO_BYTES = 64 * 1024 * 1024  # of sound from elsewhere that has to be measured
_NAMED = re.compile(r"(?P<kind>image|video|audio)(?:_urls?|\d+)|\w+_urls?|cover|srt|srt_path")
_WEB = ("https://", "http://")
_PLACEHOLDER = re.compile(r"\$\{\w+\}|\{\{\s*\w+\s*\}\}")  # what a script of the service fills in itself


@dataclass(frozen=True, slots=True)
class Place:
    """A file that an operation names: a reference of ours or an address, and the kind of file that it has to be."""

    value: Any
    kind: str  # image, video, audio; empty = any

    @property
    def asset_id(self) -> str | None:
        """The id of the asset where it is ours."""
        return reference(self.value)

    @property
    def url(self) -> str | None:
        """Its address where it lies elsewhere."""
        return self.value if isinstance(self.value, str) and self.value.startswith(_WEB) else None

    @property
    def is_open(self) -> bool:
        """Whether its address, or a part of it, is not known yet."""
        return isinstance(self.value, str) and _PLACEHOLDER.search(self.value) is not None


def reference(value: Any) -> str | None:
    """The asset's id where this stands for one of our files."""
    if isinstance(value, dict) and value.keys() == {"asset_id"} and isinstance(value["asset_id"], str):
        return value["asset_id"]
    return None


def places(value: Any, name: str = "") -> Iterator[Place]:
    """Every file that parameters name, all the way down."""
    named = _NAMED.fullmatch(name)
    if reference(value) is not None or (named and value is not None and not isinstance(value, list)):
        yield Place(value, (named["kind"] or "") if named else "")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from places(each, str(key))
    elif isinstance(value, list):
        for each in value:
            yield from places(each, name)


def check_written(place: Place, name: str) -> None:
    """InvalidPayload for what is neither a file of ours nor an address: a path would be on the service's machine."""
    is_text = isinstance(place.value, str) and ("-->" in place.value or _PLACEHOLDER.fullmatch(place.value))
    if place.asset_id is None and place.url is None and not is_text:
        raise InvalidPayload(
            f"{name} names a file by {str(place.value)[:80]!r}: give an address that begins with https://, or"
            ' {"asset_id": "…"}.',
            code="media_unnamed",
        )


def linked(call: Call, value: Any, lasts_s: float) -> tuple[Any, tuple[str, ...]]:
    """Parameters with links in place of our files, and what of them must not be shown."""
    secrets: list[str] = []

    def filled(each: Any) -> Any:
        asset_id = reference(each)
        if asset_id is not None:
            link = link_to(call, asset_of(call, asset_id), lasts_s)
            secrets.extend((link, urlsplit(link).query))
            return link
        if isinstance(each, Mapping):
            return {name: filled(inner) for name, inner in each.items()}
        return [filled(inner) for inner in each] if isinstance(each, list) else each

    return filled(value), tuple(secrets)


# ------------------------------------------------------------------------------------------------------------ our own


def link_to(call: Call, asset: MediaAsset, lasts_s: float) -> str:
    """Where the service may fetch a file of ours. AccountBlocked where it cannot reach us: it would not say so."""
    link = call.media.link(asset, lasts_s)
    ours = urlsplit(link)
    if is_near(ours.hostname or "") and not is_near(urlsplit(call.base_url).hostname or ""):
        raise AccountBlocked(
            f"The service cannot fetch our files from {ours.scheme}://{ours.netloc}: set MESH_HOOKS_URL to an address"
            " of the mesh that can be reached from outside.",
            code="media_out_of_reach",
        )
    return link


def asset_of(call: Call, asset_id: str) -> MediaAsset:
    """A file of ours. InvalidPayload where the tenant has none with this id."""
    asset = call.media.find(asset_id)
    if asset is None:
        raise InvalidPayload(f"There is no media asset {asset_id[:80]}.", code="asset_missing")
    return asset


def stored(call: Call, place: Place) -> tuple[MediaAsset, bytes]:
    """A file of ours with its content, of the right kind. InvalidPayload where it is not."""
    asset = asset_of(call, place.asset_id or "")
    _check_kind(f"The media asset {asset.id}", asset.mime, place.kind)
    link_to(call, asset, LOOK_S)
    content = call.media.load(asset)
    if not content:
        raise InvalidPayload(f"The file of the media asset {asset.id} is not in storage.", code="asset_missing")
    return asset, content


def length_of(asset: MediaAsset, content: bytes) -> float | None:
    """How long it plays: as whoever made it has noted, else as the file says."""
    noted = asset.details.get("duration_s")
    return float(noted) if isinstance(noted, int | float) and noted > 0 else seconds_of(content)


# ---------------------------------------------------------------------------------------------------------- elsewhere


def look(call: Call, place: Place, *, whole: bool = False) -> tuple[str, bytes]:
    """The kind (`image/png`) of a file elsewhere, and its content where it is asked for `whole`."""
    url = place.url or ""
    with _of_file(call, url):
        answer = call.send(download(url, MAX_AUDIO_BYTES)) if whole else _glimpse(call, url)
    mime = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    shown = f"The file at {masked(url)}"
    if answer.request is not None and answer.request.method == "GET" and not answer.content:
        raise InvalidPayload(f"{shown} is empty.", code="media_unusable")
    if whole and answer.cut:
        raise InvalidPayload(f"{shown} is too long to be measured: give duration_s.", code="media_too_large")
    _check_kind(shown, mime, place.kind)
    return mime, answer.content if whole else b""


def _glimpse(call: Call, url: str) -> Answer:
    """What its host says of it. An address that is signed for a GET takes no HEAD: its first bytes are fetched."""
    try:
        head = call.send(media_request("HEAD", url))
        if head.headers.get("content-length") != "0":  # some say so of a HEAD's own body
            return head
    except ProviderError:
        if call.exchange is None or call.exchange.status not in HEAD_REFUSED:
            raise
    return call.send(download(url, LOOK_BYTES))


def download(url: str, max_bytes: int) -> Request:
    """A GET of a file. One that is longer comes cut, and says so; one that breaks off is an error."""
    return replace(media_request("GET", url, max_bytes), cut_answer=True)


@contextmanager
def _of_file(call: Call, url: str) -> Iterator[None]:
    """Whatever a file's host says is about the file, never about the account."""
    shown = f"The file at {masked(url)}"
    try:
        yield
    except TargetForbidden as error:
        raise InvalidPayload(f"{shown} may not be fetched: {error}", code="media_forbidden") from error
    except (Retryable, OutcomeUnknown) as error:
        raise _patient(call, f"{shown} cannot be fetched: {error}") from error
    except Refused as error:
        raise InvalidPayload(f"{shown} cannot be fetched: {error}", code="media_missing") from error


def _patient(call: Call, said: str) -> ProviderError:
    if call.now - call.first_attempt_at > PATIENCE:
        return InvalidPayload(said, code="media_missing")
    return later(said, "media_unavailable")


def _check_kind(shown: str, mime: str, kind: str) -> None:
    is_page = mime in ("text/html", "application/xhtml+xml")
    says_nothing = not mime or mime.startswith(("application/", "binary/"))  # as many storages do of everything
    if is_page or (kind and not says_nothing and mime.partition("/")[0] != kind):
        raise InvalidPayload(f"{shown} is {mime}, where {kind or 'media'} is needed.", code="media_unusable")


# ------------------------------------------------------------------------------------------------------------- keeping


def kept(call: Call, name: str, content: bytes, mime: str, details: Mapping[str, Any]) -> MediaAsset:
    """A file in our own storage. Unavailable where that does not take it."""
    try:
        return call.media.keep(name=name, content=content, mime=mime, **details)
    except Exception as error:  # whatever a storage raises
        raise later("A file was made but could not be stored.", "media_not_kept") from error


def later(said: str, code: str) -> Unavailable:
    """It is a storage that does not answer, not the service: the account's other deliveries go on."""
    error = Unavailable(said, code=code)
    error.holds = False
    return error

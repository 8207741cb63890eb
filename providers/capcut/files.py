"""Looking at everything that goes into a video before a draft is begun: is it there, of which kind, how long is it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from providers.capcut import names
from providers.capcut.api import Data
from providers.capcut.drafts import Progress, planned
from providers.capcut.layers import of_either
from providers.capcut.lengths import seconds_of
from providers.capcut.media import Place, check_written, length_of, look, places, stored
from providers.capcut.plan import CONTENTS
from providers.contract import Call
from providers.errors import InvalidPayload

CLIPS = (".mp4", ".mov", ".webm", ".m4v")  # where a host does not say of which kind a file is


def look_at_next(call: Call, progress: Progress) -> bool:
    """Look at our own files, then at one elsewhere; whether that was the last. InvalidPayload for what cannot work."""
    wanted = list(_wanted(call, progress))
    elsewhere = {place.url: place for place in wanted if place.url and not place.is_open}
    if progress["looked"] == 0:
        for place in wanted:
            _look_at_ours(call, progress, place)
    if progress["looked"] < len(elsewhere):
        _look_elsewhere(call, progress, list(elsewhere.values())[progress["looked"]])
        progress["looked"] += 1
    if progress["looked"] < len(elsewhere):
        return False
    if not call.event.data.get("agent"):
        _check_length(call.event.data, progress)
        names.check(call, planned(call, progress))
    return True


def _wanted(call: Call, progress: Progress) -> Iterator[Place]:
    """Every file that goes into the video, once."""
    data = call.event.data
    background = of_either(data, "background")
    given = [Place(data["cover"], "image")] if data.get("cover") else []
    if background is not None:
        given.append(Place(background, ""))  # of which kind, is to be found out
    if data.get("agent"):
        inside = list(_of_agent(data))
    else:
        inside = [place for operation in planned(call, progress) for place in places(operation.params)]
    seen: list[Any] = []
    for place in (*given, *inside):
        if place.value not in seen:
            seen.append(place.value)
            yield place


def _of_agent(data: Data) -> Iterator[Place]:
    beside = [name for name in CONTENTS if data.get(name)]
    if beside:
        raise InvalidPayload(f"An agent makes the whole video: {beside[0]} cannot be added to it.", code="agent_alone")
    for place in places(data["agent"].get("params") or {}):
        check_written(place, "The agent")
        yield place


def _look_at_ours(call: Call, progress: Progress, place: Place) -> None:
    if place.asset_id is None:
        return
    asset, content = stored(call, place)
    is_sound = place.value == of_either(call.event.data, "audio")
    _note(call.event.data, progress, place, asset.mime, length_of(asset, content) if is_sound else None)


def _look_elsewhere(call: Call, progress: Progress, place: Place) -> None:
    data = call.event.data
    measure = place.url == of_either(data, "audio") and not data.get("duration_s")
    mime, content = look(call, place, whole=measure)
    _note(data, progress, place, mime, seconds_of(content) if measure else None)


def _note(data: Data, progress: Progress, place: Place, mime: str, seconds: float | None) -> None:
    """Keep what a file told: how long the sound is, what the background is."""
    if seconds:
        progress["audio_s"] = round(seconds, 3)
    if place.value == of_either(data, "background"):
        kind, path = mime.partition("/")[0], (place.url or "").partition("?")[0].lower()
        is_clip = kind == "video" or (kind != "image" and path.endswith(CLIPS))
        progress["background"] = "video" if is_clip else "image"


def _check_length(data: Data, progress: Progress) -> None:
    if of_either(data, "audio") is not None and not (progress["audio_s"] or data.get("duration_s")):
        raise InvalidPayload(
            "It cannot be told how long the sound is (MP3, WAV and MP4 can be measured): give duration_s.",
            code="length_unknown",
        )

"""A video in a few words: sound, background or pictures, title and captions become operations, each on its own track.

Positions run from -1 to 1 around the centre. Segments of one track may not overlap, so every layer has its track.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from providers.errors import InvalidPayload

PICTURE_S = 3.0  # of each, where nothing else says how long a video is
STILL_S = 5.0  # of a video of which only a title or a background is known
TITLE: Mapping[str, Any] = {
    "font_size": 12.0,
    "font_color": "#FFFFFF",
    "transform_y": 0.6,
    "fixed_width": 0.85,
    "shadow_enabled": True,
}
WORDS = ("audio_asset_id", "audio_url", "background_asset_id", "background_url", "images", "title", "captions")


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that is done to a draft."""

    name: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about an event's files."""

    audio_s: float | None = None  # how long the sound is
    background: str = ""  # image or video


def of_either(data: Mapping[str, Any], name: str) -> Any:
    """A file that an event names as `<name>_asset_id` or `<name>_url`; None where it names none."""
    if data.get(f"{name}_asset_id"):
        return {"asset_id": data[f"{name}_asset_id"]}
    return data.get(f"{name}_url")


def seconds_in_all(data: Mapping[str, Any], found: Found) -> float:
    """How long the video is: as the event says, else its sound, its captions, its pictures."""
    captions, images = data.get("captions"), data.get("images") or ()
    ends = [float(each["end"]) for each in captions] if isinstance(captions, list) else []
    known = (data.get("duration_s"), found.audio_s, max(ends, default=None), len(images) * PICTURE_S or None)
    return round(float(next((each for each in known if each is not None), STILL_S)), 3)


def below(data: Mapping[str, Any], found: Found) -> Iterator[Operation]:
    """What lies under all else: a background for the whole time, and pictures that share it."""
    total_s = seconds_in_all(data, found)
    background = of_either(data, "background")
    if background is not None and found.background == "video":
        clip = {"video_url": background, "start": 0, "end": total_s, "target_start": 0, "volume": 0}
        yield Operation("add_video", {**clip, "track_name": "background"})
    elif background is not None:
        still = {"image_url": background, "start": 0, "end": total_s}
        yield Operation("add_image", {**still, "track_name": "background"})
    yield from _pictures(data.get("images") or (), total_s, data.get("image_style") or {})


def _pictures(images: Sequence[Any], total_s: float, style: Mapping[str, Any]) -> Iterator[Operation]:
    bounds = [round(total_s * number / len(images), 3) for number in range(len(images) + 1)] if images else []
    for image, (start, end) in zip(images, pairwise(bounds), strict=True):
        place = {"image_url": image, "start": start, "end": end, "track_name": "images", "relative_index": 1}
        yield Operation("add_image", {**place, **style})


def above(data: Mapping[str, Any], found: Found) -> Iterator[Operation]:
    """Sound, captions and the title."""
    total_s = seconds_in_all(data, found)
    sound = of_either(data, "audio")
    if sound is not None:
        end_s = min(found.audio_s or total_s, total_s)
        length = {"duration": found.audio_s} if found.audio_s else {}
        yield Operation("add_audio", {"audio_url": sound, "end": end_s, "track_name": "voice", **length})
    if data.get("captions"):
        style = data.get("caption_style") or {}
        yield Operation("add_subtitle", {"srt": cues(data["captions"]), "track_name": "captions", **style})
    if data.get("title"):
        shown = {"text": data["title"], "start": 0, "end": total_s, "track_name": "title"}
        yield Operation("add_text", {**shown, **TITLE, **(data.get("title_style") or {})})


def cues(captions: Any) -> str:
    """Captions as SRT, which is also taken as it is."""
    if isinstance(captions, str):
        if "-->" not in captions:
            raise InvalidPayload("captions is a text without a cue: give SRT, or a list.", code="captions_unreadable")
        return captions
    late = [each for each in captions if each["end"] <= each["start"]]
    if late:  # the service takes them and shows nothing
        raise InvalidPayload(f"The caption {late[0]['text'][:80]!r} ends before it begins.", code="captions_unreadable")
    blocks = [
        f"{number}\n{_moment(each['start'])} --> {_moment(each['end'])}\n{_lines(each['text'])}\n"
        for number, each in enumerate(captions, 1)
    ]
    return "\n".join(blocks)


def _lines(text: str) -> str:
    """A blank line would end the cue."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _moment(seconds: float) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02},{whole % 1000:03}"

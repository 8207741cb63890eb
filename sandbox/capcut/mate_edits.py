"""What capcut-mate puts into drafts. Times are microseconds; media is fetched when it is added."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final
from uuid import uuid4

from sandbox.capcut.drafts import MICROSECONDS, Draft, Segment, microseconds
from sandbox.capcut.mate_errors import DOWNLOAD_FAILED, INVALID, MateRefused
from sandbox.capcut.media import is_web, unreachable
from sandbox.capcut.names import EFFECTS

PROPERTIES: Final = frozenset(
    {"KFTypePositionX", "KFTypePositionY", "KFTypeRotation", "UNIFORM_SCALE", "KFTypeAlpha", "KFTypeScaleX"}
)
MASKS: Final = frozenset({"线性", "镜面", "圆形", "矩形", "爱心", "星形"})
STYLE_SIZES: Final = (12, 15)  # of plain text and of keywords
STYLE_COLORS: Final = ("#ffffff", "#ff7100")
TIME_MAX: Final = 86_400 * MICROSECONDS
EFFECT_NAMES: Final = tuple(name for names in EFFECTS.values() for name in names)


@dataclass(frozen=True, slots=True)
class Layer:
    """One operation that adds segments on a track of their own."""

    kind: str
    infos: str  # the field with the JSON
    invalid: int  # the code when it is not what it must be
    ids: str  # the field of the answer
    url: str | None = None
    shows: tuple[str, ...] = ("segment_ids", "segment_infos")
    title: str | None = None  # a name that must be known
    unknown: int = 0  # the code when it is not


LAYERS: Final[Mapping[str, Layer]] = {
    "add_videos": Layer("video", "video_infos", 2003, "video_ids", "video_url"),
    "add_images": Layer("image", "image_infos", 2009, "image_ids", "image_url"),
    "add_audios": Layer("audio", "audio_infos", 2007, "audio_ids", "audio_url", shows=()),
    "add_captions": Layer("text", "captions", 2018, "text_ids"),
    "add_effects": Layer("effect", "effect_infos", 2020, "effect_ids", None, ("segment_ids",), "effect_title", 2022),
    "add_filters": Layer("filter", "filter_infos", 2028, "filter_ids", None, ("segment_ids",)),
}


async def add_layer(draft: Draft, layer: Layer, data: Mapping[str, Any]) -> dict[str, Any]:
    """Segments on a new track, all or none; raises MateRefused."""
    infos = objects(data[layer.infos], layer.infos, layer.invalid)
    track = uuid4().hex
    segments = [segment(layer, track, number, info) for number, info in enumerate(infos)]
    if await unreachable(one.url for one in segments if one.url is not None):
        raise MateRefused(DOWNLOAD_FAILED)
    draft.segments.extend(segments)
    shown = {
        "segment_ids": [one.id for one in segments],
        "segment_infos": [
            {"id": one.id, "start": microseconds(one.start), "end": microseconds(one.end)} for one in segments
        ],
    }
    ids = {layer.ids: [uuid4().hex for _ in segments]}
    return {"track_id": track, **ids, **{name: shown[name] for name in layer.shows}}


def objects(text: str, field: str, invalid: int) -> list[Mapping[str, Any]]:
    """The objects of a JSON string; raises MateRefused."""
    try:
        found = json.loads(text)
    except ValueError as problem:
        words = str(problem).partition(":")[0]
        raise MateRefused(invalid, f"JSON parse error: {words}") from None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise MateRefused(invalid, f"{field} should be a list of objects")
    return found


def segment(layer: Layer, track: str, number: int, info: Mapping[str, Any]) -> Segment:
    """One segment; raises MateRefused."""
    start, end = info.get("start"), info.get("end")
    if not is_time(start) or not is_time(end) or int(end or 0) <= int(start or 0):
        raise MateRefused(layer.invalid, f"{layer.infos}[{number}] needs a start and a later end")
    if layer.kind == "text" and not info.get("text"):
        raise MateRefused(layer.invalid, f"{layer.infos}[{number}] needs a text")
    if layer.title is not None and info.get(layer.title) not in EFFECT_NAMES:
        raise MateRefused(layer.unknown)
    url = None if layer.url is None else web_address(info.get(layer.url), f"{layer.infos}[{number}].{layer.url}", layer)
    return Segment(track, layer.kind, int(start or 0) / MICROSECONDS, int(end or 0) / MICROSECONDS, url)


def is_time(value: object) -> bool:
    """Whole microseconds, not too many."""
    return isinstance(value, int) and 0 <= value <= TIME_MAX


def web_address(value: object, place: str, layer: Layer) -> str:
    """An address on the web; raises MateRefused."""
    if not isinstance(value, str) or not is_web(value):
        words = f"{layer.infos}: Value error, {place} must start with http:// or https://"
        raise MateRefused(INVALID, words)
    return value


def add_sticker(draft: Draft, data: Mapping[str, Any]) -> dict[str, Any]:
    """One sticker; raises MateRefused."""
    start, end = data["start"], data["end"]
    if not is_time(start) or not is_time(end) or end <= start:
        raise MateRefused(2011)
    one = Segment(uuid4().hex, "sticker", start / MICROSECONDS, end / MICROSECONDS)
    draft.segments.append(one)
    return {
        "sticker_id": data["sticker_id"],
        "track_id": one.track,
        "segment_id": one.id,
        "duration": end - start,
    }


def add_keyframes(draft: Draft, data: Mapping[str, Any]) -> dict[str, Any]:
    """Keyframes on segments that are there; raises MateRefused."""
    frames = objects(data["keyframes"], "keyframes", 2013)
    if any(frame.get("property") not in list(PROPERTIES) for frame in frames):
        raise MateRefused(2017)
    affected = known_segments(draft, [frame.get("segment_id") for frame in frames])
    return {"keyframes_added": len(frames), "affected_segments": affected}


def add_masks(draft: Draft, data: Mapping[str, Any]) -> dict[str, Any]:
    """One mask for each of some segments that are there; raises MateRefused."""
    if data["name"] not in MASKS:
        raise MateRefused(2025)
    affected = known_segments(draft, data["segment_ids"])
    ids = [uuid4().hex for _ in affected]
    return {"masks_added": len(ids), "affected_segments": affected, "mask_ids": ids}


def known_segments(draft: Draft, ids: list[Any]) -> list[str]:
    """The ids, each once, if all are of this draft; raises MateRefused."""
    known = [one.id for one in draft.segments]
    if not all(one in known for one in ids):
        raise MateRefused(2015)
    return list(dict.fromkeys(ids))


async def add_material(draft: Draft, data: Mapping[str, Any]) -> dict[str, Any]:
    """Sound, picture, video and text of one length, each on a track of its own; raises MateRefused."""
    end = draft.seconds or 5.0
    given = (("audio", "audio_url"), ("image", "img_url"), ("video", "video_url"))
    made = [Segment(uuid4().hex, kind, 0.0, end, data[name]) for kind, name in given if data.get(name)]
    if await unreachable(one.url for one in made if one.url is not None):
        raise MateRefused(DOWNLOAD_FAILED)
    if data.get("text"):
        made.append(Segment(uuid4().hex, "text", 0.0, end))
    draft.segments.extend(made)
    return {}


def text_style(data: Mapping[str, Any]) -> dict[str, Any]:
    """A text cut into styles: its keywords, separated by a bar, and the rest."""
    text = data["text"]
    marks = [False] * len(text)
    for keyword in filter(None, data["keyword"].split("|")):
        for at in range(len(text)):
            if text.startswith(keyword, at):
                marks[at : at + len(keyword)] = [True] * len(keyword)
    cuts = [0, *(at for at in range(1, len(text)) if marks[at] != marks[at - 1]), len(text)]
    styles = [style(start, end, marks[start], data) for start, end in pairwise(cuts) if start < end]
    shown = {"text": text, "styles": styles}
    return {"text_style": json.dumps(shown, separators=(",", ":"), ensure_ascii=False)}


def style(start: int, end: int, keyword: bool, data: Mapping[str, Any]) -> dict[str, Any]:
    """The look of a part of a text."""
    size = data.get("keyword_font_size" if keyword else "font_size", STYLE_SIZES[keyword])
    color = data.get("keyword_color", STYLE_COLORS[1]) if keyword else STYLE_COLORS[0]
    shown = {
        "fill": {"content": {"solid": {"color": rgb(color)}}},
        "range": [start, end],
        "size": size,
        "font": {"id": "", "path": ""},
    }
    return {**shown, "useLetterColor": True} if keyword else shown


def rgb(color: str) -> list[float]:
    """A colour like #ff7100 as three parts of 1; raises MateRefused."""
    try:
        return [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    except ValueError:
        raise MateRefused(2026) from None


def timelines(data: Mapping[str, Any]) -> dict[str, Any]:
    """A length cut into equal parts; raises MateRefused."""
    start, length, parts = data.get("start", 0), data["duration"], data["num"]
    if not is_time(start) or not is_time(length) or not 1 <= parts <= 1000:
        raise MateRefused(INVALID, "num: Input should be between 1 and 1000")
    cuts = [start + length * number // parts for number in range(parts + 1)]
    pairs = [{"start": a, "end": b} for a, b in pairwise(cuts)]
    return {"timelines": pairs, "all_timelines": [{"start": start, "end": start + length}]}

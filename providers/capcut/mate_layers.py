"""The operations of an event in capcut-mate's words: microseconds, pixels, and lists as JSON in a text.

What cannot be said there is refused by its name, before anything is made: a parameter that was passed over would be a
video that nobody has asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import jsontext
from providers.capcut.layers import Operation
from providers.errors import InvalidPayload

Fields = dict[str, Any]
Params = Mapping[str, Any]
Size = tuple[int, int]  # of the video, in pixels

MICROSECONDS = 1_000_000
# Each addition has a track of its own there; texts are broken into lines by themselves.
PASSED_OVER = frozenset({"track_name", "relative_index", "fixed_width", "fixed_height", "width", "height"})
SUBTITLE_Y = -0.8  # VectCut's own place for captions
IMAGE_S, TEXT_S, STICKER_S, EFFECT_S = 3, 3, 5, 3  # how long things are shown, unless it is said
PLACE = {"scale_x": "scale_x", "scale_y": "scale_y", "alpha": "alpha"}
STYLE = {  # of texts, ours -> theirs
    "font": "font",
    "font_color": "text_color",
    "color": "text_color",
    "shadow_enabled": "has_shadow",
    "border_color": "border_color",
    "bold": "bold",
    "italic": "italic",
    "underline": "underline",
    "font_alpha": "alpha",
}
SIZES = ("font_size", "size")
PIXELS = ("transform_x", "transform_y")
TRANSITION = ("transition", "transition_duration")
_CUE = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{1,3})[^\n]*\n(.*)", re.DOTALL)


def translated(operation: Operation, size: Size) -> tuple[str, Fields]:
    """The name of an operation there, and its fields; those that hold a list have it still as one. InvalidPayload."""
    known = _OPERATIONS.get(operation.name)
    if known is None:
        raise InvalidPayload(f"capcut-mate has no operation like {operation.name}.", code="not_offered")
    name, takes, make = known
    unknown = operation.params.keys() - takes - PASSED_OVER
    if unknown:
        raise InvalidPayload(
            f"{operation.name}: capcut-mate has nothing like {', '.join(sorted(unknown))}.", code="not_offered"
        )
    return name, make(operation.params, size)


def texts(fields: Fields) -> Fields:
    """Lists as JSON in a text, which is how they are sent."""
    return {name: jsontext.text(each) if isinstance(each, list) else each for name, each in fields.items()}


def _micro(seconds: Any) -> int:
    return round(float(seconds) * MICROSECONDS)


def _placed(params: Params, size: Size) -> Fields:
    """Where and how large: positions of half a side become pixels."""
    sides = dict(zip(PIXELS, size, strict=True))
    moved = {name: round(float(params[name]) * side / 2) for name, side in sides.items() if params.get(name)}
    return {**{theirs: params[ours] for ours, theirs in PLACE.items() if params.get(ours) is not None}, **moved}


def _shown(params: Params, seconds: float) -> Fields:
    start = params.get("start") or 0
    return {"start": _micro(start), "end": _micro(params.get("end") or float(start) + seconds)}


def _change(params: Params) -> Fields:
    """How one clip becomes the next."""
    lasts = {"transition_duration": _micro(params.get("transition_duration") or 0.5)}
    return {"transition": params["transition"], **lasts} if params.get("transition") else {}


def _clip(params: Params, what: str) -> Fields:
    """Where on the time line a clip is; only its begin can be played."""
    if params.get("start") or params.get("speed") not in (None, 1, 1.0):
        raise InvalidPayload(f"{what}: capcut-mate plays from the begin, at its own speed.", code="not_offered")
    lasts = params.get("end") or params.get("duration")
    if not lasts:
        raise InvalidPayload(f"{what} needs `end` or `duration` for capcut-mate.", code="parameter_missing")
    at = float(params.get("target_start") or 0)
    whole = {"duration": _micro(params["duration"])} if params.get("duration") else {}
    volume = {"volume": params["volume"]} if params.get("volume") is not None else {}
    return {"start": _micro(at), "end": _micro(at + float(lasts)), **whole, **volume}


def _video(params: Params, size: Size) -> Fields:
    info = {"video_url": params["video_url"], **_clip(params, "add_video"), **_change(params)}
    return {"video_infos": [info], **_placed(params, size)}


def _audio(params: Params, size: Size) -> Fields:
    effect = {"audio_effect": params["effect_type"]} if params.get("effect_type") else {}
    return {"audio_infos": [{"audio_url": params["audio_url"], **_clip(params, "add_audio"), **effect}]}


def _image(params: Params, size: Size) -> Fields:
    entrance = {"in_animation": params["intro_animation"]} if params.get("intro_animation") else {}
    info = {"image_url": params["image_url"], **_shown(params, IMAGE_S), **entrance, **_change(params)}
    return {"image_infos": [info], **_placed(params, size)}


def _text(params: Params, size: Size) -> Fields:
    return {"captions": [{"text": params["text"], **_shown(params, TEXT_S)}], **_styled(params, size)}


def _subtitle(params: Params, size: Size) -> Fields:
    offset = float(params.get("time_offset") or 0)
    return {"captions": _cues(params["srt"], offset), **_styled({"transform_y": SUBTITLE_Y, **params}, size)}


def _styled(params: Params, size: Size) -> Fields:
    letters = next((params[name] for name in SIZES if params.get(name)), None)
    given = {theirs: params[ours] for ours, theirs in STYLE.items() if params.get(ours) is not None}
    sized = {"font_size": round(float(letters))} if letters else {}
    return {**_placed({name: each for name, each in params.items() if name != "alpha"}, size), **given, **sized}


def _cues(srt: Any, offset_s: float) -> list[Fields]:
    """SRT as captions. InvalidPayload for an address: it would have to be fetched and read here."""
    blocks = re.split(r"\n\s*\n", str(srt).replace("\r\n", "\n").strip())
    found = [match for block in blocks if (match := _CUE.search(block))]
    if not found:
        raise InvalidPayload("captions has no cue: capcut-mate takes no file of them.", code="captions_unreadable")
    return [
        {"start": _at(each.groups()[:4], offset_s), "end": _at(each.groups()[4:8], offset_s), "text": each[9].strip()}
        for each in found
    ]


def _at(clock: tuple[str | Any, ...], offset_s: float) -> int:
    hours, minutes, seconds, fraction = clock
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + int(fraction.ljust(3, "0")) / 1000
    return max(0, _micro(whole + offset_s))


def _sticker(params: Params, size: Size) -> Fields:
    scale = {"scale": params["scale_x"]} if params.get("scale_x") is not None else {}
    moved = {name: each for name, each in _placed(params, size).items() if name in PIXELS}
    return {"sticker_id": params["sticker_id"], **_shown(params, STICKER_S), **scale, **moved}


def _effect(params: Params, size: Size) -> Fields:
    return {"effect_infos": [{"effect_title": params["effect_type"], **_shown(params, EFFECT_S)}]}


def _takes(*names: str) -> frozenset[str]:
    return frozenset(names)


_WHERE = (*PLACE, *PIXELS)
_TIME = ("start", "end")
_CLIP = (*_TIME, "target_start", "duration", "speed", "volume")
_LETTERS = (*STYLE, *SIZES, *PIXELS, "scale_x", "scale_y")
_OPERATIONS: Mapping[str, tuple[str, frozenset[str], Callable[[Params, Size], Fields]]] = {
    "add_video": ("add_videos", _takes("video_url", *_CLIP, *_WHERE, *TRANSITION), _video),
    "add_audio": ("add_audios", _takes("audio_url", *_CLIP, "effect_type"), _audio),
    "add_image": ("add_images", _takes("image_url", *_TIME, *_WHERE, *TRANSITION, "intro_animation"), _image),
    "add_text": ("add_captions", _takes("text", *_TIME, *_LETTERS), _text),
    "add_subtitle": ("add_captions", _takes("srt", "time_offset", *_LETTERS), _subtitle),
    "add_sticker": ("add_sticker", _takes("sticker_id", *_TIME, "scale_x", *PIXELS), _sticker),
    "add_effect": ("add_effects", _takes("effect_type", "effect_category", *_TIME), _effect),
}

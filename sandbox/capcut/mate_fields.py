"""The fields of capcut-mate's operations: their types, and which must be there. Segments are JSON in a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.capcut.mate_errors import INVALID, MateRefused

Fields = Mapping[str, str]  # by name the type; a ! behind it says that the field must be there

TEXT, TEXT_NEEDED, WHOLE, NUMBER = "string", "string!", "integer", "number"
DRAFT: Final[Fields] = {"draft_url": TEXT_NEEDED}
PLACE: Final[Fields] = {"alpha": NUMBER, "scale_x": NUMBER, "scale_y": NUMBER}

FIELDS: Final[Mapping[str, Fields]] = {
    "create_draft": {"width": WHOLE, "height": WHOLE},
    "add_videos": {
        **DRAFT,
        **PLACE,
        "video_infos": TEXT_NEEDED,
        "scene_timelines": "array",
        "transform_x": WHOLE,
        "transform_y": WHOLE,
    },
    "add_images": {**DRAFT, **PLACE, "image_infos": TEXT_NEEDED, "transform_x": NUMBER, "transform_y": NUMBER},
    "add_audios": {**DRAFT, "audio_infos": TEXT_NEEDED},
    "add_captions": {
        **DRAFT,
        **PLACE,
        "captions": TEXT_NEEDED,
        "transform_x": NUMBER,
        "transform_y": NUMBER,
        "alignment": WHOLE,
        "bold": "boolean",
        "border_color": TEXT,
        "font": TEXT,
        "font_size": WHOLE,
        "has_shadow": "boolean",
        "italic": "boolean",
        "letter_spacing": NUMBER,
        "line_spacing": NUMBER,
        "shadow_info": "object",
        "style_text": WHOLE,
        "text_color": TEXT,
        "text_effect": TEXT,
        "underline": "boolean",
    },
    "add_effects": {**DRAFT, "effect_infos": TEXT_NEEDED},
    "add_filters": {**DRAFT, "filter_infos": TEXT_NEEDED},
    "add_masks": {
        **DRAFT,
        "segment_ids": "array!",
        "name": TEXT_NEEDED,
        "X": WHOLE,
        "Y": WHOLE,
        "width": WHOLE,
        "height": WHOLE,
        "feather": WHOLE,
        "rotation": WHOLE,
        "invert": "boolean",
        "roundCorner": WHOLE,
    },
    "add_keyframes": {**DRAFT, "keyframes": TEXT_NEEDED},
    "add_sticker": {
        **DRAFT,
        "sticker_id": TEXT_NEEDED,
        "start": "integer!",
        "end": "integer!",
        "scale": NUMBER,
        "transform_x": WHOLE,
        "transform_y": WHOLE,
    },
    "add_text_style": {
        "text": TEXT_NEEDED,
        "keyword": TEXT_NEEDED,
        "font_size": WHOLE,
        "keyword_color": TEXT,
        "keyword_font_size": WHOLE,
    },
    "easy_create_material": {
        **DRAFT,
        "audio_url": TEXT_NEEDED,
        "img_url": TEXT,
        "video_url": TEXT,
        "text": TEXT,
        "text_color": TEXT,
        "font_size": WHOLE,
        "text_transform_y": WHOLE,
    },
    "timelines": {"duration": "integer!", "num": "integer!", "start": WHOLE, "type": WHOLE},
    "save_draft": DRAFT,
    "gen_video": {**DRAFT, "apiKey": TEXT},  # needed by theirs unless ENABLE_APIKEY is off, as in the recordings
    "gen_video_status": DRAFT,
}
TYPES: Final[Mapping[str, tuple[str, type | tuple[type, ...]]]] = {
    TEXT: ("string", str),
    WHOLE: ("integer", int),
    NUMBER: ("number", (int, float)),
    "boolean": ("boolean", bool),
    "array": ("list", list),
    "object": ("dictionary", dict),
}


def checked(given: object, fields: Fields) -> Mapping[str, Any]:
    """The fields of a body, those that are null left out; others than known are ignored. Raises MateRefused."""
    if not isinstance(given, dict):
        raise MateRefused(INVALID, "Input should be a valid dictionary or object to extract fields from")
    data = {name: value for name, value in given.items() if value is not None}
    for name, kind in fields.items():
        if name not in data and kind.endswith("!"):
            raise MateRefused(INVALID, f"{name}: Field required")
        words, types = TYPES[kind.removesuffix("!")]
        if name in data and not isinstance(data[name], types):
            raise MateRefused(INVALID, f"{name}: Input should be a valid {words}")
    return data

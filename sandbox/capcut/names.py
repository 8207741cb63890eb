"""Names of effects, fonts and the like: closed lists there, a few of each here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

TEXT_FONT: Final = "文轩体"  # the default of /add_text
SUBTITLE_FONT: Final = "思源粗宋"  # the default of /add_subtitle
FONTS: Final = (
    "CC_Captial",
    "CC_Moderno",
    "JYruantang",
    "JYshiduo",
    "ALEGREYA",
    "AlexBrush",
    TEXT_FONT,
    SUBTITLE_FONT,
)
EFFECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "scene": ("Beat_Shots", "Betamax", "Blinking"),
    "character": ("CRASH", "Pop_Out"),
}


def parameter(name: str, default: float) -> dict[str, Any]:
    """A parameter of an effect, between 0 and 100."""
    return {"default_value": default, "max_value": 100.0, "min_value": 0.0, "name": name}


AUDIO_EFFECTS: Final = (
    {"name": "Big_House", "params": [parameter("strength", 100.0)], "type": "Voice_filters"},
    {
        "name": "Low",
        "params": [parameter("change_voice_param_pitch", 37.5), parameter("change_voice_param_timbre", 25.0)],
        "type": "Voice_filters",
    },
)


def named(*names: str) -> list[dict[str, Any]]:
    """Names as a list answers them."""
    return [{"name": name} for name in names]


LISTS: Final[Mapping[str, list[dict[str, Any]]]] = {
    "/get_intro_animation_types": named("Chroma_Wave", "Crisscross_Shake", "Cross_Open"),
    "/get_outro_animation_types": named("Cash_Out", "Chroma_Wave", "Cross_Close"),
    "/get_combo_animation_types": named("三分割", "上升旋转"),
    "/get_transition_types": named("Montage_Snippets", "Mix", "Mix_1", "Mix_2"),
    "/get_mask_types": named("圆形", "矩形", "爱心"),
    "/get_font_types": named(*FONTS),
    "/get_audio_effect_types": [dict(one) for one in AUDIO_EFFECTS],
    "/get_text_intro_types": named("Bumper_Car", "Click", "Golden_Dust"),
    "/get_text_outro_types": named("Wiping_Out"),
    "/get_text_loop_anim_types": named("上弧", "刷屏"),
    "/get_video_scene_effect_types": named(*EFFECTS["scene"]),
    "/get_video_character_effect_types": named(*EFFECTS["character"]),
}

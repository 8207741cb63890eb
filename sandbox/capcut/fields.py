"""The fields of each editing operation of VectCut. A field that is not here is refused, where theirs would ignore it:
a misspelt one is to be found here, and not on the day it would have mattered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CANVAS: Final = frozenset({"width", "height", "draft_id"})
PLACE: Final = frozenset({"transform_x", "transform_y", "scale_x", "scale_y"})
MASK: Final = frozenset(
    {
        "mask_type",
        "mask_center_x",
        "mask_center_y",
        "mask_size",
        "mask_rotation",
        "mask_feather",
        "mask_invert",
        "mask_rect_width",
        "mask_round_corner",
    }
)
CLIP: Final = (
    CANVAS
    | PLACE
    | MASK
    | {"draft_folder", "start", "end", "track_name", "relative_index", "transition", "transition_duration"}
    | {"background_blur"}
)
BORDER: Final = frozenset({"border_alpha", "border_color", "border_width"})
BACKGROUND: Final = frozenset({"background_color", "background_style", "background_alpha"})
LETTERS: Final = CANVAS | BORDER | BACKGROUND | {"font", "font_size", "font_color", "vertical", "alpha", "track_name"}

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "/create_draft": frozenset({"width", "height"}),
    "/add_video": CLIP | {"video_url", "speed", "target_start", "duration", "volume"},
    "/add_audio": CANVAS
    | {"draft_folder", "audio_url", "start", "end", "volume", "target_start", "speed", "track_name", "duration"}
    | {"effect_type", "effect_params"},
    "/add_image": CLIP
    | {"image_url", "animation", "animation_duration", "intro_animation", "intro_animation_duration"}
    | {"outro_animation", "outro_animation_duration", "combo_animation", "combo_animation_duration"},
    "/add_text": LETTERS
    | {"text", "start", "end", "transform_x", "transform_y", "color", "size", "font_alpha", "fixed_width"}
    | {"fixed_height", "background_round_radius", "background_height", "background_width"}
    | {"background_horizontal_offset", "background_vertical_offset", "shadow_enabled", "shadow_alpha", "shadow_angle"}
    | {"shadow_color", "shadow_distance", "shadow_smoothing", "bubble_effect_id", "bubble_resource_id"}
    | {"effect_effect_id", "intro_animation", "intro_duration", "outro_animation", "outro_duration", "text_styles"},
    "/add_subtitle": LETTERS | PLACE | {"srt", "time_offset", "bold", "italic", "underline", "rotation"},
    "/add_sticker": CANVAS
    | PLACE
    | {"sticker_id", "start", "end", "alpha", "flip_horizontal", "flip_vertical", "rotation", "track_name"}
    | {"relative_index"},
    "/add_effect": CANVAS | {"effect_type", "start", "effect_category", "end", "track_name", "params"},
    "/add_video_keyframe": frozenset(
        {"draft_id", "track_name", "property_type", "time", "value", "property_types", "times", "values"}
    ),
    "/query_script": frozenset({"draft_id", "force_update"}),
    "/save_draft": frozenset({"draft_id", "draft_folder"}),
    "/query_draft_status": frozenset({"task_id"}),
    "/generate_draft_url": frozenset({"draft_id", "draft_folder"}),
}
RENDER: Final = frozenset({"draft_id", "resolution", "framerate", "license_key"})
# What only the cloud takes: more fields, and more operations.
CLOUD_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "/create_draft": frozenset({"name", "cover"}),
    "/save_draft": frozenset({"is_capcut"}),
    "/generate_video": RENDER,
    "/generate_idle_video": RENDER,
    "/task_status": frozenset({"task_id"}),
    "/modify_draft": frozenset({"draft_id", "name", "cover"}),
    "/add_preset": CANVAS
    | PLACE
    | {"preset_id", "replacements", "target_start", "start", "end", "transform_x_px", "transform_y_px", "rotation"}
    | {"track_name"},
    "/execute_workflow": frozenset({"draft_id", "inputs", "script"}),
    "/publish_workflow": frozenset({"script"}),
    "/agent/submit_agent_task": frozenset({"agent_id", "params"}),
}

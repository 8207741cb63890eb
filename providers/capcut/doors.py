"""The operations of VectCut's protocol: where each is, which servers have it, and how well it is known.

https://github.com/sun-guannan/VectCutAPI https://github.com/sun-guannan/VectCutSkill
CapCut publishes no API. Another service of the same kind is spoken to by replacing paths (`CAPCUT_PATHS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LOCAL, CLOUD = "local", "cloud"  # a server of one's own has it (and the cloud too), or only the cloud
SOURCE = "source"  # of the open server, whose answers were recorded
CLIENT = "client"  # of the vendor's own clients and exported description
OBSERVED = "observed"  # in other people's clients only


@dataclass(frozen=True, slots=True)
class Door:
    """One operation."""

    path: str
    needs: str = LOCAL
    evidence: str = SOURCE
    method: str = "POST"


def _list(name: str) -> Door:
    return Door(f"/get_{name}_types", method="GET")


EDITING: Mapping[str, Door] = {
    "add_video": Door("/add_video"),
    "add_audio": Door("/add_audio"),
    "add_image": Door("/add_image"),
    "add_text": Door("/add_text"),
    "add_subtitle": Door("/add_subtitle"),
    "add_sticker": Door("/add_sticker"),
    "add_effect": Door("/add_effect"),
    "add_video_keyframe": Door("/add_video_keyframe"),
    "add_preset": Door("/add_preset", CLOUD, CLIENT),
    "execute_workflow": Door("/execute_workflow", CLOUD, CLIENT),
}
LISTS: Mapping[str, Door] = {  # of names, which are closed lists
    "intro_animations": _list("intro_animation"),
    "outro_animations": _list("outro_animation"),
    "combo_animations": _list("combo_animation"),
    "transitions": _list("transition"),
    "masks": _list("mask"),
    "fonts": _list("font"),
    "audio_effects": _list("audio_effect"),
    "text_intros": _list("text_intro"),
    "text_outros": _list("text_outro"),
    "text_loops": Door("/get_text_loop_anim_types", method="GET"),
    "scene_effects": _list("video_scene_effect"),
    "character_effects": _list("video_character_effect"),
}
DOORS: Mapping[str, Door] = {
    "create_draft": Door("/create_draft"),
    **EDITING,
    "query_script": Door("/query_script"),
    "save_draft": Door("/save_draft"),
    "query_draft_status": Door("/query_draft_status"),
    "generate_draft_url": Door("/generate_draft_url"),
    "modify_draft": Door("/modify_draft", CLOUD, CLIENT),
    "generate_video": Door("/generate_video", CLOUD, CLIENT),
    "generate_idle_video": Door("/generate_idle_video", CLOUD, OBSERVED),
    "task_status": Door("/task_status", CLOUD, CLIENT),
    "submit_agent_task": Door("/agent/submit_agent_task", CLOUD, CLIENT),
    "agent_task_status": Door("/agent/task_status", CLOUD, CLIENT, "GET"),
    "publish_workflow": Door("/publish_workflow", CLOUD, CLIENT),
    "list_workflows": Door("/list_workflows", CLOUD, CLIENT, "GET"),
    "get_workflow": Door("/get_workflow", CLOUD, CLIENT, "GET"),
    **LISTS,
}
MATE = (  # of capcut-mate, another kind of server: behind its own base URL each is its name
    "create_draft",
    "add_videos",
    "add_images",
    "add_audios",
    "add_captions",
    "add_effects",
    "add_sticker",
    "save_draft",
    "gen_video",
    "gen_video_status",
)
PATHS: Mapping[str, str] = {
    **{name: door.path for name, door in DOORS.items()},
    **{f"mate_{name}": f"/{name}" for name in MATE},
}

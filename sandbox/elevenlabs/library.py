"""Voices of others that one may add, and voices made of a description.

https://elevenlabs.io/docs/api-reference/voices/voice-library
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from sandbox.audio import sound
from sandbox.elevenlabs.errors import Refusal
from sandbox.elevenlabs.fields import FLAG, LIST, MAP, NUMBER, TEXT, Kinds, json_body, page_size, whole_number
from sandbox.elevenlabs.generation import DEFAULT_FORMAT, SECONDS_PER_CHARACTER
from sandbox.elevenlabs.making import base64_audio
from sandbox.elevenlabs.voice import ACCENTS, GENDERS, STARTED_UNIX, Voice
from sandbox.elevenlabs.voices import check_slots
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer, json_answer

PAGE: Final = (30, 100)  # default and greatest page size
OWNER: Final = "pub_sandbox"
NAMES: Final = ("Almond", "Birch", "Cedar", "Elder", "Fern", "Hazel")
FILTERS: Final = ("category", "gender", "age", "accent", "language", "owner_id")
DESIGN: Final[Kinds] = {
    "voice_description": (str,),
    "text": TEXT,
    "auto_generate_text": FLAG,
    "model_id": TEXT,
    "seed": NUMBER,
    "loudness": NUMBER,
    "guidance_scale": NUMBER,
    "quality": NUMBER,
    "reference_audio_base64": TEXT,
}
CREATE: Final[Kinds] = {
    "voice_name": (str,),
    "voice_description": (str,),
    "generated_voice_id": (str,),
    "labels": MAP,
    "played_not_selected_voice_ids": LIST,
}
DESCRIPTION: Final = (20, 1_000)  # characters
SPOKEN: Final = (100, 1_000)
PREVIEWS: Final = 3
GENERATED_TEXT: Final = "The sandbox wrote this text, since none was given, so that a voice has something to say. " * 2


def shared(number: int) -> dict[str, Any]:
    """One voice of the library."""
    return {
        "public_owner_id": OWNER,
        "voice_id": f"lib{number:017d}",
        "date_unix": STARTED_UNIX + number,
        "name": NAMES[number],
        "accent": ACCENTS[number % len(ACCENTS)],
        "gender": GENDERS[number % len(GENDERS)],
        "age": "young",
        "descriptive": "calm",
        "use_case": "narrative_story",
        "category": "professional",
        "language": "en",
        "description": f"{NAMES[number]}, shared by the sandbox.",
        "usage_character_count_1y": 1_000 * number,
        "usage_character_count_7d": 10 * number,
        "play_api_usage_character_count_1y": 0,
        "cloned_by_count": number,
        "free_users_allowed": False,
        "live_moderation_enabled": False,
        "featured": number == 0,
    }


SHARED: Final[Mapping[str, dict[str, Any]]] = {one["voice_id"]: one for one in map(shared, range(len(NAMES)))}


def listing(call: Call) -> Answer:
    """One page of the library; pages count from 0."""
    args = call.args
    size, number = page_size(args, PAGE), whole_number(args, "page", 0)
    known = {"owner_id": "public_owner_id"}
    found = [
        one
        for one in SHARED.values()
        if all(args.get(name, one[known.get(name, name)]) == one[known.get(name, name)] for name in FILTERS)
        and args.get("search", "").lower() in f"{one['name']} {one['description']}".lower()
    ]
    page = found[number * size : (number + 1) * size]
    more = (number + 1) * size < len(found)
    return json_answer({"voices": page, "has_more": more, "last_sort_id": None, "total_count": len(found)})


def add(call: Call) -> Answer:
    """A voice of the library becomes one's own; raises Refusal without a paid plan."""
    name = json_body(call.request, {"new_name": (str,), "bookmarked": FLAG}, ("new_name",))["new_name"]
    one = SHARED.get(call.params["voice_id"])
    if one is None or one["public_owner_id"] != call.params["public_user_id"]:
        raise Refusal("voice_not_found", "No such voice in the library.", "voice_id")
    if not call.workspace.plan.library:
        raise Refusal("paid_plan_required", "Library voices need a paid plan over the API.")
    check_slots(call.workspace)
    labels = {label: one[label] for label in ("language", "accent", "gender", "age", "use_case")}
    keep(call, Voice(one["voice_id"], name, "professional", one["description"], labels, made_unix=int(call.now)))
    return json_answer({"voice_id": one["voice_id"]})


def design(call: Call) -> Answer:
    """Three previews of a voice that nobody has."""
    body = json_body(call.request, DESIGN, ("voice_description",))
    check_length(body["voice_description"], DESCRIPTION, "voice_description")
    text = body.get("text")
    if text is None and not body.get("auto_generate_text"):
        raise Refusal("missing_required_field", "Send text, or auto_generate_text.", "text")
    spoken = GENERATED_TEXT if text is None else text
    check_length(spoken, SPOKEN, "text")
    seconds = round(len(spoken) * SECONDS_PER_CHARACTER, 3)
    call.workspace.check_quota(len(spoken))
    call.workspace.charge(len(spoken))
    ids = [f"gen{uuid4().hex[:17]}" for _ in range(PREVIEWS)]
    call.workspace.previews.update(ids)
    previews = [
        {
            "audio_base_64": base64_audio(sound(DEFAULT_FORMAT, seconds)),
            "generated_voice_id": one,
            "media_type": "audio/mpeg",
            "duration_secs": seconds,
            "language": "en",
        }
        for one in ids
    ]
    return json_answer({"previews": previews, "text": spoken})


def create(call: Call) -> Answer:
    """One of the previews becomes a voice."""
    body = json_body(call.request, CREATE, ("voice_name", "voice_description", "generated_voice_id"))
    made_id = body["generated_voice_id"]
    if made_id not in call.workspace.previews:
        raise Refusal("voice_not_found", f"No preview {made_id}.", "generated_voice_id")
    check_length(body["voice_description"], DESCRIPTION, "voice_description")
    check_slots(call.workspace)
    labels = {name: str(value) for name, value in (body.get("labels") or {}).items()}
    made = Voice(made_id, body["voice_name"], "generated", body["voice_description"], labels, made_unix=int(call.now))
    keep(call, made)
    return json_answer(made.as_json())


def keep(call: Call, made: Voice) -> None:
    """One more voice of the workspace, even if it was deleted before."""
    call.workspace.voices[made.id] = made
    call.workspace.deleted_voices.discard(made.id)


def check_length(text: str, bounds: tuple[int, int], param: str) -> None:
    """Raise Refusal for a text that is too short or too long."""
    if len(text) < bounds[0]:
        raise Refusal("text_too_short", f"{param} has {bounds[0]} characters or more.", param)
    if len(text) > bounds[1]:
        raise Refusal("text_too_long", f"{param} has {bounds[1]} characters or fewer.", param)

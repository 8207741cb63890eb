"""The voices of a workspace: all of them at once, page by page with filters, one by one, and their settings.

https://elevenlabs.io/docs/api-reference/voices
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from sandbox.elevenlabs.errors import Invalid, OldRefusal, Refusal
from sandbox.elevenlabs.fields import FLAG, NUMBER, check_settings, json_body, page_size
from sandbox.elevenlabs.making import existing_voice
from sandbox.elevenlabs.multipart import Form, read_form
from sandbox.elevenlabs.samples import samples_of
from sandbox.elevenlabs.voice import DEFAULT_SETTINGS, VOICES, Voice, premade
from sandbox.elevenlabs.workspace import Call, Workspace
from sandbox.wire import Answer, json_answer

PAGE: Final = (10, 100)  # default and greatest page size
IDS_MAX: Final = 100
OK: Final = {"status": "ok"}
LABELS: Final = {"language": "language", "accent": "accent", "gender": "gender", "age": "age", "use_cases": "use_case"}
OWN: Final = ("cloned", "generated")
ADDED: Final = ("professional",)  # from the library
TYPES: Final[Mapping[str, Sequence[str]]] = {  # by voice_type: the categories
    "personal": OWN,
    "community": ADDED,
    "default": ("premade",),
    "workspace": OWN,
    "non-default": (*OWN, *ADDED),
    "non-community": (*OWN, "premade"),
    "saved": (*OWN, *ADDED),
}
EVERY: Final = (*OWN, *ADDED, "premade")
SORTS: Final = {"name": lambda voice: voice.name.lower(), "created_at_unix": lambda voice: voice.made_unix}
SETTINGS: Final = {
    **dict.fromkeys(("stability", "similarity_boost", "style", "speed", "clone_strength"), NUMBER),
    "use_speaker_boost": FLAG,
}


def everything(call: Call) -> Answer:
    """All voices at once, the old way."""
    return json_answer({"voices": [one.as_json() for one in all_voices(call.workspace)]})


def page(call: Call) -> Answer:
    """One page of those asked for."""
    args = {name: values[-1] for name, values in call_query(call).items()}
    size, token = page_size(args, PAGE), args.get("next_page_token") or "0"
    if not token.isdecimal():
        raise Refusal("invalid_cursor", "Unknown next_page_token.", "next_page_token")
    found = [one for one in all_voices(call.workspace) if is_wanted(one, call_query(call))]
    total, beside = len(found), []
    if "sort" in args:
        found.sort(key=sort_key(args["sort"]), reverse=args.get("sort_direction", "desc") == "desc")
    else:  # the first page has the premade ones too, whatever its size
        beside = [one for one in found if one.category == "premade"]
        found = [one for one in found if one.category != "premade"]
    start, end = int(token), int(token) + size
    return json_answer(
        {
            "voices": [one.as_json() for one in [*found[start:end], *(beside if start == 0 else ())]],
            "has_more": end < len(found),
            "total_count": total,
            "next_page_token": str(end) if end < len(found) else None,
        }
    )


def read(call: Call) -> Answer:
    """One voice; of a training this look is a step."""
    voice = voice_of(call)
    answer = json_answer(voice.as_json())
    if voice.training is not None:
        voice.training.step()
    return answer


def delete(call: Call) -> Answer:
    """End one voice for good."""
    voice_id = voice_of(call).id
    call.workspace.voices.pop(voice_id, None)
    call.workspace.deleted_voices.add(voice_id)
    return json_answer(OK)


def add(call: Call) -> Answer:
    """An instant clone of recordings; the speaker's consent is the caller's affair, no field asks for it."""
    workspace, form = call.workspace, read_form(call.request)
    check_may_clone(workspace)
    name, labels = form.required("name"), labels_of(form)
    samples = samples_of(form.uploads("files"), required=True)
    number = workspace.extras.get("clones", 0) + 1
    made = Voice(
        f"clone{number:015d}",
        name,
        "cloned",
        form.text("description") or "",
        labels,
        made_unix=int(call.now),
        samples=samples,
        requires_verification=workspace.plan.verification,
    )
    workspace.voices[made.id] = made
    workspace.count("clones")
    verify = made.requires_verification
    return json_answer({"voice_id": made.id, "requires_verification": verify, "library_voice_match": None})


def edit(call: Call) -> Answer:
    """Another name, description, labels; more samples."""
    voice, form = voice_of(call), read_form(call.request)
    voice.name = form.required("name")
    voice.description = form.text("description") or voice.description
    voice.labels = labels_of(form) or voice.labels
    voice.samples += samples_of(form.uploads("files"), required=False)
    call.workspace.voices[voice.id] = voice
    return json_answer(OK)


def delete_sample(call: Call) -> Answer:
    """Take a recording away."""
    voice, wanted = voice_of(call), call.params["sample_id"]
    if wanted not in [one.id for one in voice.samples]:
        raise Refusal("sample_not_found", f"No sample {wanted}.", "sample_id")
    voice.samples = tuple(one for one in voice.samples if one.id != wanted)
    return json_answer(OK)


def default_settings(call: Call) -> Answer:
    """Those of a voice without its own."""
    return json_answer(dict(DEFAULT_SETTINGS))


def settings(call: Call) -> Answer:
    """Those of one voice."""
    return json_answer(dict(voice_of(call).settings))


def edit_settings(call: Call) -> Answer:
    """Other settings for one voice; those not given stay."""
    voice, body = voice_of(call), json_body(call.request, SETTINGS)
    check_settings(body, "voice_settings")
    voice.settings = {**voice.settings, **{name: body[name] for name in SETTINGS if body.get(name) is not None}}
    call.workspace.voices[voice.id] = voice
    return json_answer(OK)


def all_voices(workspace: Workspace) -> list[Voice]:
    """The premade ones and those of the workspace."""
    shown = {voice_id: premade(voice_id) for voice_id in VOICES} | workspace.voices
    return [one for voice_id, one in shown.items() if voice_id not in workspace.deleted_voices]


def voice_of(call: Call) -> Voice:
    """The voice of the path, verified or not; raises Refusal."""
    voice_id = call.params["voice_id"]
    return call.workspace.voices.get(voice_id) or premade(existing_voice(call.workspace, voice_id))


def call_query(call: Call) -> Mapping[str, list[str]]:
    """The query with all values of a repeated name."""
    return parse_qs(call.request.query)


def is_wanted(voice: Voice, query: Mapping[str, list[str]]) -> bool:
    """Whether a voice is among those asked for; raises Refusal."""
    args = {name: values[-1] for name, values in query.items()}
    ids = query.get("voice_ids", [voice.id])
    if len(ids) > IDS_MAX:
        raise Refusal("invalid_parameters", f"voice_ids takes {IDS_MAX} of them.", "voice_ids")
    kinds = TYPES.get(args["voice_type"]) if "voice_type" in args else EVERY
    if kinds is None:
        raise Refusal("invalid_parameters", "Unknown voice_type.", "voice_type")
    words = " ".join((voice.name, voice.description, *voice.labels.values())).lower()
    return (
        voice.id in ids
        and voice.category in kinds
        and args.get("category", voice.category) == voice.category
        and "collection_id" not in args  # there are no collections here
        and args.get("search", "").lower() in words
        and all(voice.labels.get(label) in query[name] for name, label in LABELS.items() if name in query)
    )


def sort_key(name: str) -> Any:
    """What to sort by; raises Refusal."""
    if name not in SORTS:
        raise Refusal("invalid_parameters", f"sort is one of {', '.join(SORTS)}.", "sort")
    return SORTS[name]


def check_may_clone(workspace: Workspace) -> None:
    """Raise OldRefusal when the plan does not clone, or has no slot left."""
    if not workspace.plan.cloning:
        raise OldRefusal("can_not_use_instant_voice_cloning", "Your plan has no instant voice cloning.")
    check_slots(workspace)


def check_slots(workspace: Workspace) -> None:
    """Raise OldRefusal when no slot for a voice is left."""
    if slots_used(workspace) >= workspace.plan.voice_limit:
        raise OldRefusal("voice_limit_reached", f"Your plan has {workspace.plan.voice_limit} voices.")


def slots_used(workspace: Workspace) -> int:
    """The voices of its own that a workspace has."""
    return sum(one.category != "premade" for one in workspace.voices.values())


def labels_of(form: Form) -> dict[str, str]:
    """The labels: here a text that holds a JSON object; raises Invalid."""
    try:
        labels = json.loads(form.text("labels") or "{}")
    except ValueError:
        labels = None
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise Invalid("body", "labels", "Input should be a JSON object of texts", "json_type")
    return labels

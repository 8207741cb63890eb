"""Voices made of words, taken from the library, removed.

https://elevenlabs.io/docs/api-reference/text-to-voice/design
A design is paid for by its text, and its previews are in no history. A preview, or a voice of the library, becomes one
of the account's own under a name, by which it is looked for after a lost answer.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from model import Done, MediaAsset, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, cloning, editing, namesakes, training, verification
from providers.elevenlabs.audio import Audio, unusable
from providers.errors import InvalidPayload, OutcomeUnknown
from providers.http import api_request

DESIGNED, SAVED, REMOVED = "voice.designed", "voice.saved", "voice.removed"
DESIGN_OPTIONS = ("model_id", "seed", "loudness", "guidance_scale", "quality")  # passed on as they are
EXTENSIONS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/ogg": "opus"}
NOT_THERE = ("voice_not_found", "voice_does_not_exist")  # said with a 404, by older answers with a 400


# ------------------------------------------------------------------------------------------------------ designed


def design(call: Call) -> Done:
    """voice.design_requested {description, text?} -> the previews as files, and voice.designed."""
    data = call.event.data
    spoken = {"text": data["text"]} if data.get("text") else {"auto_generate_text": True}
    body = {
        "voice_description": api.required("description", data.get("description")),
        **spoken,
        **api.optional(data, DESIGN_OPTIONS),
    }
    answer = call.send(api.post(call, api.path(call, "voice_design"), body, max_bytes=api.MAX_TIMED_BYTES))
    made = api.object_in(answer.json())
    rows = made.get("previews")
    if not isinstance(rows, list) or not rows:
        raise OutcomeUnknown("The answer holds no previews.", code="answer_unreadable")
    kept = [_preview(call, row, number) for number, row in enumerate(rows)]
    facts = {
        "description": data["description"],
        "previews": [facts for _, facts in kept],
        **({"text": made["text"]} if isinstance(made.get("text"), str) else {}),
        **api.named(call),
    }
    return Done(
        result=facts,
        assets=tuple(asset for asset, _ in kept),
        events=(api.published(call, DESIGNED, facts),),
        cost=api.cost(api.billed(answer)),
    )


def _preview(call: Call, row: Any, number: int) -> tuple[MediaAsset, dict[str, Any]]:
    """One preview, kept; and what is told of it."""
    preview = api.object_in(row, "preview")
    generated_voice_id = preview.get("generated_voice_id")
    if not isinstance(generated_voice_id, str):
        raise OutcomeUnknown("A preview has no id.", code="answer_unreadable")
    mime = str(preview.get("media_type") or "audio/mpeg")
    extension = EXTENSIONS.get(mime, "bin")
    audio = Audio(_sound(preview), mime, extension)
    asset = api.keep(call, f"{call.delivery_id}-{number}.{extension}", audio, generated_voice_id=generated_voice_id)
    facts = {"generated_voice_id": generated_voice_id, "duration_s": preview.get("duration_secs")}
    return asset, {**api.facts_of(asset), **{name: value for name, value in facts.items() if value is not None}}


def _sound(preview: Mapping[str, Any]) -> bytes:
    try:
        content = b64decode(preview.get("audio_base_64") or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise unusable("is not base64") from None
    if not content:
        raise unusable("is empty")
    return content


# --------------------------------------------------------------------------------------------------------- saved


def save(call: Call) -> Outcome:
    """voice.save_requested {generated_voice_id, name, description} -> a preview becomes a voice, and voice.saved."""
    data = call.event.data
    name = api.required("name", data.get("name"))
    body = {
        "voice_name": name,
        "voice_description": api.required("description", data.get("description")),
        "generated_voice_id": api.required("generated_voice_id", data.get("generated_voice_id")),
        **api.optional(data, ("labels", "played_not_selected_voice_ids")),
    }
    if "known" not in call.progress:
        return Wait(0, {"known": namesakes.known(call, name, "generated")})
    return _saved(call, api.object_in(call.send(api.post(call, api.path(call, "voice_design_keep"), body)).json()))


def find_saved(call: Call) -> Done | None:
    """The voice that a lost answer told of; None when it was not made."""
    voice = namesakes.made_since(call, api.required("name", call.event.data.get("name")), "generated")
    return None if voice is None else _saved(call, voice, recovered=True)


def add(call: Call) -> Outcome:
    """voice.add_requested {public_user_id, voice_id, name} -> a voice of the library becomes one's own: voice.saved."""
    data = call.event.data
    name = api.required("name", data.get("name"))
    pieces = {each: api.required(each, data.get(each)) for each in ("public_user_id", "voice_id")}
    if "known" not in call.progress:
        return Wait(0, {"known": namesakes.known(call, name)})
    request = api.post(call, api.path(call, "shared_voice_add", **pieces), {"new_name": name})
    return _saved(call, api.object_in(call.send(request).json()))


def find_added(call: Call) -> Done | None:
    """The same for a voice of the library, whose kind is not known."""
    voice = namesakes.made_since(call, api.required("name", call.event.data.get("name")))
    return None if voice is None else _saved(call, voice, recovered=True)


def _saved(call: Call, voice: Mapping[str, Any], *, recovered: bool = False) -> Done:
    voice_id = voice.get("voice_id")
    if not isinstance(voice_id, str) or not voice_id:
        raise OutcomeUnknown("The answer names no voice.", code="answer_unreadable")
    facts = {
        "voice_id": voice_id,
        "name": call.event.data["name"],
        **api.optional(call.event.data, ("description", "generated_voice_id", "public_user_id")),
        **({"recovered": True} if recovered else {}),
    }
    return Done(result=facts, external_id=voice_id, events=(api.published(call, SAVED, facts),))


# ------------------------------------------------------------------------------------------------------- removed


def remove(call: Call) -> Done:
    """voice.remove_requested {voice_id} -> the voice is gone, and voice.removed; also when it was gone before."""
    voice_id = api.required("voice_id", call.event.data.get("voice_id"))
    path = api.path(call, "voice", voice_id=voice_id)
    try:
        call.send(api_request("DELETE", call.base_url, path, headers=api.headers(call)))
        was_gone = False
    except InvalidPayload as error:
        if not any(code in str(error) for code in NOT_THERE):
            raise
        was_gone = True
    facts = {"voice_id": voice_id, "was_gone": was_gone}
    return Done(result=facts, external_id=voice_id, events=(api.published(call, REMOVED, facts),))


ACTIONS: Mapping[str, Action] = {
    **cloning.ACTIONS,
    **editing.ACTIONS,
    **training.ACTIONS,
    **verification.ACTIONS,
    "voice.design_requested": Action(design, Repeat.NEVER, publishes=(DESIGNED,)),
    "voice.save_requested": Action(save, namesakes.repeat, find_saved, publishes=(SAVED,)),
    "voice.add_requested": Action(add, namesakes.repeat, find_added, publishes=(SAVED,)),
    "voice.remove_requested": Action(remove, Repeat.SAFE, publishes=(REMOVED,)),
}

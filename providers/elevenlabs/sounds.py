"""Sound that is not spoken from text: another voice over a recording, effects, music, a voice without its noise.

https://elevenlabs.io/docs/api-reference/text-to-sound-effects/convert
Effects, music and isolated voices are in no history: after a lost answer a person decides. A changed voice is in it,
but without anything that tells which recording it was made of: it is only repeated when there is none it could be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsontext
from model import Done
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, cast, flowing, recordings
from providers.elevenlabs.audio import playable
from providers.elevenlabs.history import Wanted, look_up
from providers.errors import InvalidPayload, OutcomeUnknown, Refused
from providers.http import Answer, Part

RENDERED, PLANNED = "audio.rendered", "music.planned"
CHANGER_MODEL = "eleven_multilingual_sts_v2"
EFFECT_MODEL = "eleven_text_to_sound_v2"
MUSIC_MODEL = "music_v1"
EFFECT = {"duration_s": "duration_seconds", "prompt_influence": "prompt_influence", "loop": "loop"}
MUSIC = {
    "prompt": "prompt",
    "composition_plan": "composition_plan",
    "length_ms": "music_length_ms",
    "force_instrumental": "force_instrumental",
    "seed": "seed",
}
PLAN = {"length_ms": "music_length_ms", "source_composition_plan": "source_composition_plan"}


# -------------------------------------------------------------------------------------------------- another voice


def change(call: Call) -> Done:
    """voice.change_requested {asset_id, voice_id?} -> the recording in another voice, and audio.rendered."""
    asset = recordings.chosen(call, "asset_id", call.event.data.get("asset_id"))
    voice_id, model_id = _voice_id(call), _changer(call)
    form = {"model_id": model_id, **api.optional(call.event.data, ("seed", "remove_background_noise", "file_format"))}
    if call.event.data.get("voice_settings"):
        form["voice_settings"] = jsontext.text(call.event.data["voice_settings"])
    parts = [*_fields(form), recordings.part(call, "audio", asset)]
    path = api.path(call, flowing.operation("voice_changer", call.event.data), voice_id=voice_id)
    kind = call.event.data.get("output_format") or call.config.get("output_format") or api.FORMAT
    request = api.post_form(call, path, parts, {"output_format": kind}, max_bytes=api.MAX_AUDIO_BYTES)
    facts = {"voice_id": voice_id, "model_id": model_id, "source_asset_id": str(asset.id)}
    return _rendered(call, call.send(request), kind, facts)


def find_changed(call: Call) -> None:
    """None when the history has nothing by this voice since then. Refused when it has: it may be this recording's."""
    wanted = Wanted({"voice_id": _voice_id(call), "model_id": _changer(call), "source": "STS"}, lambda item: True)
    since = int(call.first_attempt_at.timestamp())
    item = api.reading(lambda: look_up(call, wanted, since, ()))
    if item is not None:
        raise Refused(
            f"An answer was lost, and the account's history has a recording by this voice since then ({item.id}):"
            " whether it is this one cannot be told. Listen to it; redeliver this when it is not, which is paid for.",
            code="not_told_apart",
        )


def _voice_id(call: Call) -> str:
    asked = call.event.data.get("voice_id") or call.config.get("voice_id")
    return cast.voice_id(call, api.required("voice_id", asked))


def _changer(call: Call) -> str:
    """Models that speak text do not change voices: the account's own is not meant here."""
    return call.event.data.get("model_id") or CHANGER_MODEL


# --------------------------------------------------------------------------------------------- effects and music


def effect(call: Call) -> Done:
    """sound.render_requested {text} -> a sound effect, and audio.rendered."""
    data = call.event.data
    text = api.required("text", data.get("text"))
    body = {"text": text, "model_id": data.get("model_id") or EFFECT_MODEL, **_renamed(data, EFFECT)}
    return _made(call, "sound", body, {"characters": len(text), "model_id": body["model_id"]})


def music(call: Call) -> Done:
    """music.render_requested {prompt | composition_plan} -> a piece of music, and audio.rendered."""
    data = call.event.data
    if bool(data.get("prompt")) == bool(data.get("composition_plan")):
        raise InvalidPayload("Give either `prompt` or `composition_plan`.", code="one_of")
    body = {"model_id": data.get("model_id") or MUSIC_MODEL, **_renamed(data, MUSIC)}
    return _made(call, flowing.operation("music", data), body, {"model_id": body["model_id"]})


def plan(call: Call) -> Done:
    """music.plan_requested {prompt} -> a composition plan, and music.planned. Nothing is made of it yet."""
    data = call.event.data
    model_id = data.get("model_id") or MUSIC_MODEL
    body = {"prompt": api.required("prompt", data.get("prompt")), "model_id": model_id, **_renamed(data, PLAN)}
    answer = call.send(api.post(call, api.path(call, "music_plan"), body))
    made = api.object_in(answer.json(), "plan")
    if not made:
        raise OutcomeUnknown("The plan that came back is empty.", code="answer_unreadable")
    facts = {"composition_plan": dict(made), "model_id": model_id, **api.named(call)}
    return Done(facts, events=(api.published(call, PLANNED, facts),), cost=api.cost(api.billed(answer)))


def _renamed(data: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {theirs: data[ours] for ours, theirs in names.items() if data.get(ours) is not None}


def _made(call: Call, operation: str, body: Mapping[str, Any], facts: Mapping[str, Any]) -> Done:
    """The format is always said, because what they choose themselves differs by model. The account's is for speech."""
    kind = call.event.data.get("output_format") or api.FORMAT
    query = {"output_format": kind}
    request = api.post(call, api.path(call, operation), body, query, max_bytes=api.MAX_AUDIO_BYTES)
    return _rendered(call, call.send(request), kind, facts)


# ------------------------------------------------------------------------------------------------ without its noise


def isolate(call: Call) -> Done:
    """audio.isolate_requested {asset_id} -> the voice of a recording alone, and audio.rendered."""
    asset = recordings.chosen(call, "asset_id", call.event.data.get("asset_id"))
    form = api.optional(call.event.data, ("file_format",))
    parts = [*_fields(form), recordings.part(call, "audio", asset)]
    path = api.path(call, flowing.operation("isolation", call.event.data))
    answer = call.send(api.post_form(call, path, parts, max_bytes=api.MAX_AUDIO_BYTES))
    return _rendered(call, answer, api.FORMAT, {"source_asset_id": str(asset.id)})


# ------------------------------------------------------------------------------------------------------ in common


def _fields(form: Mapping[str, Any]) -> list[Part]:
    return [recordings.field(name, value) for name, value in form.items()]


def _rendered(call: Call, answer: Answer, output_format: str, facts: Mapping[str, Any]) -> Done:
    song_id, billed = answer.headers.get("song-id"), api.billed(answer)
    told = {
        **facts,
        "output_format": output_format,
        **({"song_id": song_id} if song_id else {}),
        **({"character_cost": str(billed)} if billed is not None else {}),
    }
    streamed = call.event.data.get("stream") is True
    audio = playable(flowing.sound(answer, output_format) if streamed else answer.content, output_format)
    request_id = answer.headers.get("request-id") or song_id
    return api.done_with_audio(call, audio, told, request_id=request_id, cost=api.cost(billed))


ACTIONS: Mapping[str, Action] = {
    "voice.change_requested": Action(change, Repeat.LOOKUP, find_changed, publishes=(RENDERED,)),
    "sound.render_requested": Action(effect, Repeat.NEVER, publishes=(RENDERED,)),
    "music.render_requested": Action(music, Repeat.NEVER, publishes=(RENDERED,)),
    "music.plan_requested": Action(plan, Repeat.SAFE, publishes=(PLANNED,)),
    "audio.isolate_requested": Action(isolate, Repeat.NEVER, publishes=(RENDERED,)),
}

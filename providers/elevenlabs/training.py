"""Professional cloning: a voice that is trained on much of a speaker's recordings, in steps over days.

https://elevenlabs.io/docs/api-reference/voices/pvc/create
The voice is made, gets its recordings one by one, waits for a person (its speaker proves to be who it is), is trained,
and is looked at until it is ready. Each step is looked up before it is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from model import Done, MediaAsset, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, looking, namesakes, plan, recordings
from providers.elevenlabs.cloning import SAMPLES
from providers.elevenlabs.consent import consent_of
from providers.errors import OutcomeUnknown, Refused

TRAINED = "voice.trained"
CATEGORY = "professional"
FIRST_LOOK_S = 300.0
RAREST_LOOK_S = 3 * 3600.0
SPEAKER_S = 14 * 24 * 3600.0  # a person has to act
TRAINING_S = 7 * 24 * 3600.0  # hours, in their words
READY, FAILED = "fine_tuned", "failed"
BEGUN = frozenset({"queued", "fine_tuning", READY, "delayed"})


@dataclass(frozen=True, slots=True)
class Step:
    """One of the steps; `find` is the outcome of one whose answer was lost."""

    run: Callable[[Call], Outcome]
    find: Callable[[Call], Outcome | None] | None = None


def train(call: Call) -> Outcome:
    """voice.train_requested {name, language, sample_asset_ids, consent} -> one trained voice, and voice.trained."""
    return _STEPS[call.progress.get("step", "plan")].run(call)


def find(call: Call) -> Outcome | None:
    """The step whose answer was lost; None when it was not done."""
    look = _STEPS[call.progress.get("step", "plan")].find
    return look(call) if look is not None else None


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """Steps that only look may be repeated."""
    return Repeat.LOOKUP if _STEPS[progress.get("step", "plan")].find is not None else Repeat.SAFE


# --------------------------------------------------------------------------------------------------- the voice


def _plan(call: Call) -> Wait:
    """Whether this can become a voice at all; and the voices of that name, before there is another."""
    consent_of(call.event.data)
    for each in recordings.ids(call, SAMPLES):
        recordings.chosen(call, SAMPLES, each)
    api.required("language", call.event.data.get("language"))
    name = _name(call)
    plan.check(call, plan.PROFESSIONAL)
    return Wait(0, {"step": "create", "known": namesakes.known(call, name, CATEGORY)})


def _create(call: Call) -> Wait:
    data = call.event.data
    body = {"name": _name(call), **api.optional(data, ("language", "description", "labels"))}
    return _created(api.object_in(call.send(api.post(call, api.path(call, "pvc"), body)).json()))


def _find_created(call: Call) -> Wait | None:
    voice = namesakes.made_since(call, _name(call), CATEGORY)
    return None if voice is None else _created(voice)


def _created(voice: Mapping[str, Any]) -> Wait:
    voice_id = voice.get("voice_id")
    if not isinstance(voice_id, str) or not voice_id:
        raise OutcomeUnknown("The answer names no voice.", code="answer_unreadable")
    return Wait(0, {"step": "samples", "voice_id": voice_id, "added": []}, external_id=voice_id)


# ---------------------------------------------------------------------------------------------- its recordings


def _add_sample(call: Call) -> Wait:
    """Send the next recording."""
    number = len(call.progress["added"])
    parts = [recordings.part(call, "files", _sample(call, number), number)]
    if call.event.data.get("remove_background_noise") is not None:
        parts.append(recordings.field("remove_background_noise", call.event.data["remove_background_noise"]))
    answer = call.send(api.post_form(call, api.path(call, "pvc_samples", voice_id=_voice_id(call)), parts)).json()
    rows = answer if isinstance(answer, list) else []
    ids = [row["sample_id"] for row in rows if isinstance(row, dict) and isinstance(row.get("sample_id"), str)]
    if not ids:
        raise OutcomeUnknown("The answer names no recording that was added.", code="answer_unreadable")
    return _added(call, ids[0])


def _find_sample(call: Call) -> Wait | None:
    """The recording whose answer was lost, by its file name, else by its size among those that are not known yet."""
    number = len(call.progress["added"])
    asset = _sample(call, number)
    rows = api.reading(lambda: _voice(call)).get("samples")
    new = [row for row in rows or () if isinstance(row, dict) and row.get("sample_id") not in call.progress["added"]]
    name = recordings.file_name(call, asset, number)
    named = [row for row in new if row.get("file_name") == name]
    sized = [row for row in new if row.get("size_bytes") == asset.size_bytes]
    found = named or sized
    return _added(call, str(found[0].get("sample_id"))) if found else None


def _sample(call: Call, number: int) -> MediaAsset:
    return recordings.chosen(call, SAMPLES, recordings.ids(call, SAMPLES)[number])


def _added(call: Call, sample_id: str) -> Wait:
    added = [*call.progress["added"], sample_id]
    of = len(recordings.ids(call, SAMPLES))
    progress = {**call.progress, "added": added, "done": len(added), "of": of}
    return Wait(0, progress if len(added) < of else _waiting_for_speaker(call))


# ------------------------------------------------------------------------------------------------- its speaker


def _waiting_for_speaker(call: Call) -> dict[str, Any]:
    return {
        "step": "speaker",
        "voice_id": _voice_id(call),
        **looking.begun(call),
        "waits_for": f"The speaker of {_name(call)!r} has to be verified: open this voice ({_voice_id(call)}) at"
        " elevenlabs.io under Voices and read its text aloud, or publish voice.verify_requested.",
    }


def _speaker(call: Call) -> Wait:
    """Look whether the speaker was verified, which a person does. What is not told is not guessed."""
    state = _voice(call).get("voice_verification")
    told = state if isinstance(state, dict) else {}
    if told.get("is_verified") is True or told.get("requires_verification") is False:
        return Wait(0, {"step": "train", "voice_id": _voice_id(call)})
    return looking.again(
        call,
        call.progress,
        first_s=FIRST_LOOK_S,
        most_s=RAREST_LOOK_S,
        until_s=SPEAKER_S,
        still=f"The speaker of voice {_voice_id(call)} is not verified{_failures(told)}",
    )


def _failures(told: Mapping[str, Any]) -> str:
    failed = told.get("verification_failures")
    return f" ({'; '.join(map(str, failed))[:200]})" if isinstance(failed, list) and failed else ""


# ------------------------------------------------------------------------------------------------ its training


def _train(call: Call) -> Wait:
    body = {"model_id": _model(call)}
    call.send(api.post(call, api.path(call, "pvc_train", voice_id=_voice_id(call)), body))
    return _in_training(call)


def _find_training(call: Call) -> Wait | None:
    return _in_training(call) if _state(call, api.reading(lambda: _voice(call))) in BEGUN else None


def _in_training(call: Call) -> Wait:
    return Wait(FIRST_LOOK_S, {"step": "ready", "voice_id": _voice_id(call), **looking.begun(call)})


def _ready(call: Call) -> Outcome:
    """Look how far the training is."""
    voice = _voice(call)
    state = _state(call, voice)
    if state == READY:
        return _done(call)
    if state == FAILED:
        raise Refused(f"Training voice {_voice_id(call)} failed{_message(call, voice)}.", code="training_failed")
    waiting = looking.again(
        call,
        call.progress,
        first_s=FIRST_LOOK_S,
        most_s=RAREST_LOOK_S,
        until_s=TRAINING_S,
        still=f"Voice {_voice_id(call)} is not trained ({state or 'its state is not told'})",
    )
    return replace(waiting, progress={**waiting.progress, "state": state})


def _done(call: Call) -> Done:
    facts = {
        "voice_id": _voice_id(call),
        "name": _name(call),
        "model_id": _model(call),
        "language": call.event.data["language"],
        "consent": consent_of(call.event.data),
        "sample_asset_ids": list(recordings.ids(call, SAMPLES)),
    }
    return Done(result=facts, external_id=_voice_id(call), events=(api.published(call, TRAINED, facts),))


def _state(call: Call, voice: Mapping[str, Any]) -> str | None:
    """How far the training of this model is."""
    return _of_model(call, voice, "state")


def _message(call: Call, voice: Mapping[str, Any]) -> str:
    said = _of_model(call, voice, "message")
    return f": {said[:200]}" if said else ""


def _of_model(call: Call, voice: Mapping[str, Any], name: str) -> str | None:
    tuning = voice.get("fine_tuning")
    by_model = tuning.get(name) if isinstance(tuning, dict) else None
    found = by_model.get(_model(call)) if isinstance(by_model, dict) else None
    return found if isinstance(found, str) else None


# --------------------------------------------------------------------------------------------------- in common


def _voice(call: Call) -> Mapping[str, Any]:
    return api.object_in(call.send(api.get(call, api.path(call, "voice", voice_id=_voice_id(call)))).json(), "voice")


def _voice_id(call: Call) -> str:
    return str(call.progress["voice_id"])


def _name(call: Call) -> str:
    return api.required("name", call.event.data.get("name"))


def _model(call: Call) -> str:
    return call.event.data.get("model_id") or api.MODEL


_STEPS: Mapping[str, Step] = {
    "plan": Step(_plan),
    "create": Step(_create, _find_created),
    "samples": Step(_add_sample, _find_sample),
    "speaker": Step(_speaker),
    "train": Step(_train, _find_training),
    "ready": Step(_ready),
}


ACTIONS: Mapping[str, Action] = {"voice.train_requested": Action(train, repeat, find, publishes=(TRAINED,))}

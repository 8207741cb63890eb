"""A voice that is there already: its name and labels, its stored settings, its recordings.

https://elevenlabs.io/docs/api-reference/voices/edit
Each change is a step. What an edit does not say may be gone afterwards, so it says all of it: what the event leaves out
is as it was a moment before. All of it may be repeated: a recording that was added is known by its file's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jsontext
from model import Done, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, cast, cloning, recordings
from providers.elevenlabs.consent import consent_of
from providers.errors import InvalidPayload
from providers.http import api_request

UPDATED = "voice.updated"
DETAILS = ("name", "description", "labels")
REMOVED = "remove_sample_ids"
SAMPLE_DOORS: Mapping[str, str] = {"professional": "pvc_sample"}  # by the voice's category; else `voice_sample`


def update(call: Call) -> Outcome:
    """voice.update_requested {voice_id, …} -> the voice is as it says, and voice.updated; a step for each change."""
    changes = _changes(call)
    number = int(call.progress.get("done", 0))
    changes[number]()
    if number + 1 < len(changes):
        return Wait(0, {"done": number + 1, "of": len(changes)})
    data = call.event.data
    facts = {
        "voice_id": _voice_id(call),
        **api.optional(data, (*DETAILS, "settings", REMOVED, cloning.SAMPLES)),
        **({"consent": consent_of(data)} if data.get(cloning.SAMPLES) else {}),
    }
    return Done(result=facts, external_id=facts["voice_id"], events=(api.published(call, UPDATED, facts),))


def _changes(call: Call) -> list[Callable[[], None]]:
    """What is to be done, in this order. InvalidPayload where that is nothing."""
    data = call.event.data
    changes: list[Callable[[], None]] = []
    if any(data.get(name) is not None for name in (*DETAILS, cloning.SAMPLES)):
        changes.append(lambda: _edit(call))
    if data.get("settings"):
        changes.append(lambda: _settle(call))
    changes += [lambda sample=str(each): _remove(call, sample) for each in data.get(REMOVED) or ()]  # type: ignore[misc]
    if not changes:
        raise InvalidPayload("Nothing is said that should change.", code="missing_field")
    return changes


def _voice_id(call: Call) -> str:
    return cast.voice_id(call, api.required("voice_id", call.event.data.get("voice_id")))


def _voice(call: Call) -> Mapping[str, Any]:
    return _stored(call, "voice")


def _stored(call: Call, operation: str) -> Mapping[str, Any]:
    return api.object_in(call.send(api.get(call, api.path(call, operation, voice_id=_voice_id(call)))).json())


def _edit(call: Call) -> None:
    """Name, description, labels, and further recordings."""
    added = _added(call)
    voice = _voice(call)
    said = {**api.optional(voice, DETAILS), **api.optional(call.event.data, (*DETAILS, "remove_background_noise"))}
    if "labels" in said:
        said["labels"] = jsontext.text(said["labels"])
    there = {each.get("file_name") for each in voice.get("samples") or () if isinstance(each, dict)}
    files = [
        recordings.part(call, "files", asset, number)
        for number, asset in enumerate(added)
        if recordings.file_name(call, asset, number) not in there
    ]
    parts = [*(recordings.field(name, value) for name, value in said.items()), *files]
    call.send(api.post_form(call, api.path(call, "voice_edit", voice_id=_voice_id(call)), parts))


def _added(call: Call) -> list[Any]:
    if not call.event.data.get(cloning.SAMPLES):
        return []
    consent_of(call.event.data)
    return [cloning.sample(call, each) for each in cloning.sample_ids(call)]


def _settle(call: Call) -> None:
    """The settings that requests without their own are spoken with; what the event leaves out stays."""
    stored = _stored(call, "voice_settings")
    said = {name: value for name, value in {**stored, **call.event.data["settings"]}.items() if value is not None}
    call.send(api.post(call, api.path(call, "voice_settings_edit", voice_id=_voice_id(call)), said))


def _remove(call: Call, sample_id: str) -> None:
    """A recording is gone, also when it was gone before."""
    voice = _voice(call)
    if sample_id not in {each.get("sample_id") for each in voice.get("samples") or () if isinstance(each, dict)}:
        return
    operation = SAMPLE_DOORS.get(str(voice.get("category")), "voice_sample")
    path = api.path(call, operation, voice_id=_voice_id(call), sample_id=sample_id)
    call.send(api_request("DELETE", call.base_url, path, headers=api.headers(call)))


ACTIONS: Mapping[str, Action] = {
    "voice.update_requested": Action(update, Repeat.SAFE, publishes=(UPDATED,)),
}

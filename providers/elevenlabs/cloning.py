"""Instant cloning: a voice from recordings, usable at once.

https://elevenlabs.io/docs/api-reference/voices/ivc/create
A clone takes one of the plan's places and one of its additions, and nothing is deduplicated. So the plan and the voices
of that name are looked at first, in a step of its own; a lost answer is looked for among the account's voices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsontext
from model import Done, MediaAsset, Outcome, Wait
from providers.contract import Action, Call
from providers.elevenlabs import api, namesakes, plan, recordings
from providers.elevenlabs.consent import consent_of
from providers.errors import InvalidPayload, OutcomeUnknown
from providers.http import Part

CLONED = "voice.cloned"
CATEGORY = "cloned"
SAMPLES = "sample_asset_ids"
MAX_SAMPLES = 25  # not confirmed; setting max_samples
MAX_SAMPLE_BYTES = 10 * 1024 * 1024  # of one, not confirmed; setting max_sample_bytes
SETTINGS = ("max_samples", "max_sample_bytes")


def sample_ids(call: Call) -> tuple[str, ...]:
    """The recordings that an event names, each once; InvalidPayload for none or too many."""
    ids, most = recordings.ids(call, SAMPLES), _cap(call, "max_samples", MAX_SAMPLES)
    if len(ids) > most:
        raise InvalidPayload(f"A voice is made of 1 to {most} recordings, not of {len(ids)}.", code="sample_count")
    return ids


def sample(call: Call, asset_id: str) -> MediaAsset:
    """One of them; InvalidPayload for one that is not there or too large."""
    asset = recordings.chosen(call, SAMPLES, asset_id)
    most = _cap(call, "max_sample_bytes", MAX_SAMPLE_BYTES)
    if asset.size_bytes > most:
        raise InvalidPayload(
            f"The recording {asset_id} has {asset.size_bytes} bytes, more than {most}: cut it into parts.",
            code="sample_too_large",
        )
    return asset


def _cap(call: Call, setting: str, usual: int) -> int:
    said = call.settings.get(setting, "")
    return int(said) if said.isdecimal() and int(said) > 0 else usual


def clone(call: Call) -> Outcome:
    """voice.clone_requested {name, sample_asset_ids, consent} -> one voice, and voice.cloned."""
    consent_of(call.event.data)
    name, samples = _name(call), [sample(call, each) for each in sample_ids(call)]
    if "known" not in call.progress:
        plan.check(call, plan.INSTANT)
        return Wait(0, {"known": namesakes.known(call, name, CATEGORY)})
    files = [recordings.part(call, "files", asset, number) for number, asset in enumerate(samples)]
    request = api.post_form(call, api.path(call, "voice_add"), [*_fields(call), *files])
    made = api.object_in(call.send(request).json())
    return _done(call, made, made.get("requires_verification"))


def find(call: Call) -> Outcome | None:
    """The clone whose answer was lost, among the account's voices; None when it was not made."""
    voice = namesakes.made_since(call, _name(call), CATEGORY)
    if voice is None:
        return None
    state = voice.get("voice_verification")
    needed = isinstance(state, dict) and bool(state.get("requires_verification")) and not state.get("is_verified")
    return _done(call, voice, needed, recovered=True)


def _name(call: Call) -> str:
    return api.required("name", call.event.data.get("name"))


def _fields(call: Call) -> list[Part]:
    """The form's plain fields; labels are one text that holds a JSON object."""
    given = api.optional(call.event.data, ("name", "description", "remove_background_noise"))
    if call.event.data.get("labels"):
        given["labels"] = jsontext.text(call.event.data["labels"])
    return [recordings.field(name, value) for name, value in given.items()]


def _done(call: Call, voice: Mapping[str, Any], unverified: Any, *, recovered: bool = False) -> Done:
    voice_id = voice.get("voice_id")
    if not isinstance(voice_id, str) or not voice_id:
        raise OutcomeUnknown("The answer names no voice.", code="answer_unreadable")
    facts = {
        "voice_id": voice_id,
        "name": _name(call),
        "requires_verification": bool(unverified),
        "consent": consent_of(call.event.data),
        "sample_asset_ids": list(sample_ids(call)),
        **({"recovered": True} if recovered else {}),
    }
    return Done(result=facts, external_id=voice_id, events=(api.published(call, CLONED, facts),))


ACTIONS: Mapping[str, Action] = {
    "voice.clone_requested": Action(clone, namesakes.repeat, find, publishes=(CLONED,)),
}

"""The proof that a professional clone's speaker is who they are, handed in by an event.

https://elevenlabs.io/docs/api-reference/voices/pvc/verification/captcha/verify
How the captcha is shown is not documented (their client declares no body), so it is read where they show it.
"""

from __future__ import annotations

from collections.abc import Mapping

from model import Done
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, recordings
from providers.errors import InvalidPayload
from providers.http import Part


def verify(call: Call) -> Done:
    """voice.verify_requested {voice_id, recording_asset_id | file_asset_ids} -> the speaker's proof is handed in.

    A recording of the captcha is judged at once; files (and `extra_text`) are looked at by their people.
    """
    data = call.event.data
    voice_id = api.required("voice_id", data.get("voice_id"))
    if bool(data.get("recording_asset_id")) == bool(data.get("file_asset_ids")):
        raise InvalidPayload("Give either `recording_asset_id` or `file_asset_ids`.", code="one_of")
    operation, parts = ("pvc_captcha", _spoken(call)) if _by_captcha(call) else ("pvc_verification", _files(call))
    call.send(api.post_form(call, api.path(call, operation, voice_id=voice_id), parts))
    return _handed_in(call)


def _spoken(call: Call) -> list[Part]:
    asset = recordings.chosen(call, "recording_asset_id", call.event.data["recording_asset_id"])
    return [recordings.part(call, "recording", asset)]


def _files(call: Call) -> list[Part]:
    chosen = [recordings.chosen(call, "file_asset_ids", each) for each in call.event.data["file_asset_ids"]]
    text = call.event.data.get("extra_text")
    return [
        *(recordings.part(call, "files", asset, number) for number, asset in enumerate(chosen)),
        *([recordings.field("extra_text", text)] if text else []),
    ]


def _by_captcha(call: Call) -> bool:
    return bool(call.event.data.get("recording_asset_id"))


def find(call: Call) -> Done | None:
    """Whether what was handed in has arrived: attempts are counted there."""
    voice_id = api.required("voice_id", call.event.data.get("voice_id"))
    voice = api.read(call, api.path(call, "voice", voice_id=voice_id))
    told = voice if isinstance(voice, dict) else {}
    verification, tuning = told.get("voice_verification"), told.get("fine_tuning")
    verified = isinstance(verification, dict) and verification.get("is_verified") is True
    asked = isinstance(tuning, dict) and tuning.get("manual_verification_requested") is True
    return _handed_in(call) if verified or (asked and not _by_captcha(call)) else None


def _handed_in(call: Call) -> Done:
    voice_id = call.event.data["voice_id"]
    return Done(
        result={"voice_id": voice_id, "proof": "captcha" if _by_captcha(call) else "files"}, external_id=voice_id
    )


ACTIONS: Mapping[str, Action] = {"voice.verify_requested": Action(verify, Repeat.LOOKUP, find)}

"""Requests to ElevenLabs' API, and what is kept of its answers.

https://elevenlabs.io/docs/api-reference/introduction
The key is a header. There is no idempotency key: a repeat of what makes something is made and billed again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from urllib.parse import quote

from model import Cost, Done, MediaAsset, NewEvent
from providers.contract import Call
from providers.elevenlabs.audio import Audio
from providers.errors import InvalidPayload, OutcomeUnknown, Unavailable
from providers.http import Answer, Part, Request, api_request, multipart_request

BASE_URL = "https://api.elevenlabs.io"
MODEL = "eleven_multilingual_v2"
FORMAT = "mp3_44100_128"
CHARACTERS = "characters"  # the unit of what calls cost; other models than speech count theirs in the same credits
MAX_AUDIO_BYTES = 64 * 1024 * 1024  # 70 minutes at 128 kbit/s, 11 minutes of pcm_48000
MAX_TIMED_BYTES = 2 * MAX_AUDIO_BYTES  # the same as base64, with the times of its characters
MAX_PAGE_BYTES = 8 * 1024 * 1024  # 100 voices with their samples take some hundred kilobytes

PATHS: Mapping[str, str] = {  # by operation; names in braces are filled in, quoted
    "speech": "/v1/text-to-speech/{voice_id}",
    "speech_timed": "/v1/text-to-speech/{voice_id}/with-timestamps",
    "speech_stream": "/v1/text-to-speech/{voice_id}/stream",
    "speech_timed_stream": "/v1/text-to-speech/{voice_id}/stream/with-timestamps",
    "dialogue": "/v1/text-to-dialogue",
    "dialogue_stream": "/v1/text-to-dialogue/stream",
    "dialogue_timed_stream": "/v1/text-to-dialogue/stream/with-timestamps",
    "dialogue_timed": "/v1/text-to-dialogue/with-timestamps",
    "history": "/v1/history",
    "history_item": "/v1/history/{history_item_id}",
    "history_audio": "/v1/history/{history_item_id}/audio",
    "models": "/v1/models",
    "subscription": "/v1/user/subscription",
    "usage": "/v1/usage/character-stats",
    "voices": "/v2/voices",
    "voice": "/v1/voices/{voice_id}",
    "voice_edit": "/v1/voices/{voice_id}/edit",
    "voice_settings": "/v1/voices/{voice_id}/settings",
    "voice_settings_edit": "/v1/voices/{voice_id}/settings/edit",
    "voice_sample": "/v1/voices/{voice_id}/samples/{sample_id}",
    "voice_add": "/v1/voices/add",
    "shared_voice_add": "/v1/voices/add/{public_user_id}/{voice_id}",
    "voice_design": "/v1/text-to-voice/design",
    "voice_design_keep": "/v1/text-to-voice",
    "pvc": "/v1/voices/pvc",
    "pvc_samples": "/v1/voices/pvc/{voice_id}/samples",
    "pvc_sample": "/v1/voices/pvc/{voice_id}/samples/{sample_id}",
    "pvc_captcha": "/v1/voices/pvc/{voice_id}/captcha",
    "pvc_verification": "/v1/voices/pvc/{voice_id}/verification",
    "pvc_train": "/v1/voices/pvc/{voice_id}/train",
    "voice_changer": "/v1/voice-changer/{voice_id}",  # in the specification of 2025: /v1/speech-to-speech/{voice_id}
    "voice_changer_stream": "/v1/voice-changer/{voice_id}/stream",
    "sound": "/v1/sound-generation",
    "music": "/v1/music",
    "music_stream": "/v1/music/stream",
    "music_plan": "/v1/music/plan",
    "isolation": "/v1/audio-isolation",
    "isolation_stream": "/v1/audio-isolation/stream",
    "transcripts": "/v1/speech-to-text",
    "transcript": "/v1/speech-to-text/transcripts/{transcription_id}",
    "podcasts": "/v1/studio/podcasts",
    "projects": "/v1/studio/projects",
    "project": "/v1/studio/projects/{project_id}",
    "project_content": "/v1/studio/projects/{project_id}/content",
    "project_convert": "/v1/studio/projects/{project_id}/convert",
    "project_snapshots": "/v1/studio/projects/{project_id}/snapshots",
    "project_snapshot_audio": "/v1/studio/projects/{project_id}/snapshots/{snapshot_id}/stream",
    "project_snapshot_archive": "/v1/studio/projects/{project_id}/snapshots/{snapshot_id}/archive",
    "chapters": "/v1/studio/projects/{project_id}/chapters",
    "chapter": "/v1/studio/projects/{project_id}/chapters/{chapter_id}",
    "chapter_convert": "/v1/studio/projects/{project_id}/chapters/{chapter_id}/convert",
    "chapter_snapshots": "/v1/studio/projects/{project_id}/chapters/{chapter_id}/snapshots",
    "chapter_snapshot_audio": "/v1/studio/projects/{project_id}/chapters/{chapter_id}/snapshots/{snapshot_id}/stream",
    "webhooks": "/v1/workspace/webhooks",
    "webhook": "/v1/workspace/webhooks/{webhook_id}",
    "dictionaries": "/v1/pronunciation-dictionaries",
    "dictionary_add": "/v1/pronunciation-dictionaries/add-from-rules",
    "dubbing": "/v1/dubbing",
    "dub": "/v1/dubbing/{dubbing_id}",
    "dub_audio": "/v1/dubbing/{dubbing_id}/audio/{language_code}",
}

T = TypeVar("T")


def path(call: Call, operation: str, **pieces: str) -> str:
    """An operation's path with its pieces, quoted."""
    return call.paths[operation].format_map({name: quote(piece, safe="") for name, piece in pieces.items()})


def headers(call: Call) -> dict[str, str]:
    """What every request says."""
    return {"xi-api-key": call.secrets["api_key"], "User-Agent": "AgentMesh/1"}


def get(call: Call, path: str, query: Mapping[str, str] | None = None, max_bytes: int = MAX_PAGE_BYTES) -> Request:
    """A GET."""
    return api_request("GET", call.base_url, path, headers=headers(call), query=query, max_answer_bytes=max_bytes)


def post(
    call: Call, path: str, body: Any, query: Mapping[str, str] | None = None, max_bytes: int = MAX_PAGE_BYTES
) -> Request:
    """A POST of JSON."""
    return api_request(
        "POST", call.base_url, path, headers=headers(call), query=query, json_body=body, max_answer_bytes=max_bytes
    )


def post_form(
    call: Call,
    path: str,
    parts: Sequence[Part],
    query: Mapping[str, str] | None = None,
    max_bytes: int = MAX_PAGE_BYTES,
) -> Request:
    """A POST of a form that may carry files."""
    return multipart_request(
        "POST", call.base_url, path, headers=headers(call), query=query, parts=parts, max_answer_bytes=max_bytes
    )


def read(call: Call, path: str, query: Mapping[str, str] | None = None) -> Any:
    """What a GET answers, as JSON."""
    return reading(lambda: call.send(get(call, path, query)).json())


def reading(look: Callable[[], T]) -> T:
    """What a look that changes nothing finds. Whatever goes wrong in it may simply be tried again: Unavailable."""
    try:
        return look()
    except OutcomeUnknown as error:
        again = Unavailable(str(error), code=error.code)
        again.holds = error.holds
        raise again from error


def object_in(value: Any, what: str = "answer") -> Mapping[str, Any]:
    """An answer's body, which must be an object."""
    if not isinstance(value, dict):
        raise OutcomeUnknown(f"The {what} that came back is not an object.", code="answer_unreadable")
    return value


def required(name: str, value: Any) -> str:
    """A text that must be there: InvalidPayload before anything is paid."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidPayload(f"`{name}` is missing.", code="missing_field")
    return value


def optional(data: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Those fields of an event that it has, to be passed on as they are."""
    return {name: data[name] for name in names if data.get(name) is not None}


def billed(answer: Answer, characters: int | None = None) -> Decimal | None:
    """The characters that an answer says it cost; else as many as were sent."""
    said = answer.headers.get("character-cost", "")
    try:
        amount = Decimal(said)
    except InvalidOperation:
        amount = Decimal("NaN")
    if amount.is_finite() and amount >= 0:
        return amount
    return None if characters is None else Decimal(characters)


def cost(amount: Decimal | None) -> Cost | None:
    """The cost of one call."""
    return None if amount is None else Cost(amount, CHARACTERS)


def keep(call: Call, name: str, audio: Audio, **details: Any) -> MediaAsset:
    """Store what was paid for. OutcomeUnknown where it cannot be stored: it is looked for rather than bought twice."""
    try:
        return call.media.keep(name=name, content=audio.content, mime=audio.mime, **details)
    except Exception as error:  # whatever a storage raises
        lost = OutcomeUnknown("The audio was made but could not be stored.", code="media_not_kept")
        lost.holds = False  # the account there has nothing to do with it
        raise lost from error


def facts_of(asset: MediaAsset) -> dict[str, Any]:
    """Where a file is and what it is."""
    return {"asset_id": str(asset.id), "uri": asset.uri, "mime": asset.mime, "size_bytes": asset.size_bytes}


def published(call: Call, event_type: str, facts: Mapping[str, Any]) -> NewEvent:
    """The event that tells of a delivery's result, once."""
    data = {**facts, "source_event_id": str(call.event.id)}
    return NewEvent(call.event.tenant_id, event_type, data, f"{event_type}:{call.delivery_id}")


def named(call: Call) -> dict[str, Any]:
    """The name that the event gave, for people."""
    return {"name": call.event.data["name"]} if call.event.data.get("name") else {}


def done_with_audio(
    call: Call,
    audio: Audio,
    facts: Mapping[str, Any],
    *,
    request_id: str | None = None,
    cost: Cost | None = None,
    **details: Any,
) -> Done:
    """One file kept, told as `audio.rendered`. `facts` go into the result, `details` stay with the file."""
    asset = keep(call, f"{call.delivery_id}.{audio.extension}", audio, **details)
    told = {**facts_of(asset), **named(call), **facts}
    return Done(
        result=told,
        external_id=request_id,
        assets=(asset,),
        events=(published(call, "audio.rendered", told),),
        cost=cost,
    )

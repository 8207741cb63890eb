"""ElevenLabs text to speech, API v1.

https://elevenlabs.io/docs/api-reference/text-to-speech/convert
No idempotency key: a repeat is billed again. After a lost answer the account's history is searched for the
text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from model import Done, MediaAsset, NewEvent
from providers.contract import Action, Call, Field, Provider, Repeat
from providers.elevenlabs.audio import Audio, playable, recovered
from providers.elevenlabs.errors import REFUSALS
from providers.errors import InvalidPayload, OutcomeUnknown, Unavailable
from providers.http import Answer, Request, api_request

MODEL = "eleven_multilingual_v2"
FORMAT = "mp3_44100_128"
TEXT_LIMITS = {  # code points for one request
    "eleven_v3": 3_000,
    "eleven_flash_v2_5": 40_000,
    "eleven_turbo_v2_5": 40_000,
    "eleven_flash_v2": 30_000,
    "eleven_turbo_v2": 30_000,
    "eleven_multilingual_v2": 10_000,
    "eleven_multilingual_v1": 10_000,
    "eleven_monolingual_v1": 10_000,
}
PASSED_ON = ("voice_settings", "seed", "language_code")  # event fields that the API takes as they are
MAX_AUDIO_BYTES = 64 * 1024 * 1024  # 70 minutes at 128 kbit/s, 11 minutes of pcm_48000
MAX_PAGE_BYTES = 8 * 1024 * 1024  # 100 texts of 10,000 characters
PAGES = 10  # of 100 items, newest first, since the first attempt
CLOCKS_APART_S = 60


@dataclass(frozen=True, slots=True)
class Speech:
    """What is to be spoken, by whom and how."""

    text: str
    voice_id: str
    model_id: str
    output_format: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, call: Call) -> Speech:
        """From an event's data, with the integration's defaults. InvalidPayload before anything is paid."""
        data, config = call.event.data, call.config
        speech = cls(
            text=_required("text", data.get("text")),
            voice_id=_required("voice_id", data.get("voice_id") or config.get("voice_id")),
            model_id=_required("model_id", data.get("model_id") or config.get("model_id") or MODEL),
            output_format=_required(
                "output_format", data.get("output_format") or config.get("output_format") or FORMAT
            ),
            options={name: data[name] for name in PASSED_ON if data.get(name) is not None},
        )
        limit = TEXT_LIMITS.get(speech.model_id)
        if limit is not None and len(speech.text) > limit:
            raise InvalidPayload(
                f"The text has {len(speech.text)} characters; {speech.model_id} takes {limit} a request.",
                code="text_too_long",
            )
        return speech


def _required(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidPayload(f"`{name}` must be a text that is not empty.", code="missing_field")
    return value


def synthesize(call: Call) -> Done:
    """audio.render_requested {text} -> one audio file, and audio.rendered."""
    speech = Speech.of(call)
    answer = call.send(
        api_request(
            "POST",
            call.base_url,
            f"/v1/text-to-speech/{quote(speech.voice_id, safe='')}",
            headers=_headers(call),
            query={"output_format": speech.output_format},
            json_body={"text": speech.text, "model_id": speech.model_id, **speech.options},
            max_answer_bytes=MAX_AUDIO_BYTES,
        )
    )
    audio = playable(answer.content, speech.output_format)
    billed = answer.headers.get("character-cost")
    return _done(call, speech, audio, answer.headers.get("request-id"), {"character_cost": billed} if billed else {})


def find(call: Call) -> Done | None:
    """The file of a request whose answer was lost, from the account's history; None when it is not there.

    Raises Unavailable while it is being made. Reading has no outcome that could stay unknown: whatever goes
    wrong in here may simply be tried again.
    """
    speech = Speech.of(call)
    try:
        item = next((item for item in _history(call, speech) if _is_ours(item, speech)), None)
        if item is None:
            return None
        if item.get("state") == "processing":
            raise Unavailable("The audio is still being made.", code="in_progress", wait_s=10.0)
        audio = recovered(_audio_of(call, item).content, speech.output_format)
    except OutcomeUnknown as error:
        raise Unavailable(str(error), code=error.code) from error
    return _done(call, speech, audio, item.get("request_id"), {"recovered": True})


def _history(call: Call, speech: Speech) -> Iterator[Mapping[str, Any]]:
    """The account's generations with this voice and model since the first attempt, newest first."""
    query = {
        "page_size": "100",
        "voice_id": speech.voice_id,
        "model_id": speech.model_id,
        "source": "TTS",  # the API wants it beside model_id
        "date_after_unix": str(int(call.first_attempt_at.timestamp()) - CLOCKS_APART_S),
    }
    for _ in range(PAGES):
        page = call.send(_read(call, "/v1/history", query, MAX_PAGE_BYTES)).json()
        items = page.get("history") if isinstance(page, dict) else None
        if not isinstance(items, list):
            raise OutcomeUnknown("The history that came back is not a list.", code="answer_unreadable")
        yield from (item for item in items if isinstance(item, dict))
        last = page.get("last_history_item_id")
        if not page.get("has_more") or not last:
            return
        query["start_after_history_item_id"] = str(last)
    # More than a thousand generations since then: not found is not proof, and a person would not look
    # further.
    raise OutcomeUnknown("The history is too long to be searched.", code="history_too_long")


def _is_ours(item: Mapping[str, Any], speech: Speech) -> bool:
    return (
        item.get("text") == speech.text
        and item.get("voice_id") in (None, speech.voice_id)
        and item.get("state") != "deleted"
        and isinstance(item.get("history_item_id"), str)
    )


def _audio_of(call: Call, item: Mapping[str, Any]) -> Answer:
    path = f"/v1/history/{quote(str(item['history_item_id']), safe='')}/audio"
    return call.send(_read(call, path, None, MAX_AUDIO_BYTES))


def _read(call: Call, path: str, query: Mapping[str, str] | None, max_bytes: int) -> Request:
    return api_request("GET", call.base_url, path, headers=_headers(call), query=query, max_answer_bytes=max_bytes)


def _headers(call: Call) -> dict[str, str]:
    return {"xi-api-key": call.secrets["api_key"], "User-Agent": "AgentMesh/1"}


def _done(call: Call, speech: Speech, audio: Audio, request_id: str | None, more: Mapping[str, Any]) -> Done:
    asset = _keep(call, speech, audio)
    facts = {
        "asset_id": str(asset.id),
        "uri": asset.uri,
        "mime": asset.mime,
        "size_bytes": asset.size_bytes,
        "characters": len(speech.text),
        "voice_id": speech.voice_id,
        "model_id": speech.model_id,
        "output_format": speech.output_format,
        **({"name": call.event.data["name"]} if call.event.data.get("name") else {}),
        **more,
    }
    rendered = NewEvent(
        tenant_id=call.event.tenant_id,
        type="audio.rendered",
        data={**facts, "source_event_id": str(call.event.id)},
        key=f"audio.rendered:{call.delivery_id}",
    )
    return Done(result=facts, external_id=request_id, assets=(asset,), events=(rendered,))


def _keep(call: Call, speech: Speech, audio: Audio) -> MediaAsset:
    try:
        return call.media.keep(
            name=f"{call.delivery_id}.{audio.extension}",
            content=audio.content,
            mime=audio.mime,
            characters=len(speech.text),
            voice_id=speech.voice_id,
            model_id=speech.model_id,
        )
    except Exception as error:  # whatever a storage raises
        # The audio is paid for and in the history: look there next time, rather than buy it twice.
        raise OutcomeUnknown("The audio was made but could not be stored.", code="media_not_kept") from error


PROVIDER = Provider(
    name="elevenlabs",
    title="ElevenLabs",
    base_url="https://api.elevenlabs.io",
    docs_url="https://elevenlabs.io/docs/api-reference/text-to-speech/convert",
    api_version="v1",
    auth="api_key",
    actions={"audio.render_requested": Action(synthesize, Repeat.LOOKUP, find)},
    fields=(
        Field("api_key", "API key", sensitive=True, help="Needs Text to Speech and History."),
        Field("voice_id", "Voice", help="Spoken by default; an event may name another."),
        Field("model_id", "Model", required=False, default=MODEL),
        Field("output_format", "Output format", required=False, default=FORMAT),
    ),
    refusals=REFUSALS,
    deadline_s=120.0,  # ten thousand characters are ten minutes of speech, made at several times its speed
    publishes=("audio.rendered",),
)

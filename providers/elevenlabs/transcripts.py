"""Speech to text: what is said in a recording, and by whom.

https://elevenlabs.io/docs/api-reference/speech-to-text/convert
At once, or later (`webhook` in the event): then they tell the end to the workspace's webhooks, and the transcript is
fetched by its id. They take the second kind only from a workspace that has a webhook for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import jsontext
from model import Cost, Done, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, looking, recordings
from providers.elevenlabs.audio import Audio
from providers.errors import InvalidPayload, OutcomeUnknown
from providers.http import Part

TRANSCRIBED = "audio.transcribed"
MODEL = "scribe_v1"
PASSED_ON = (
    "language_code",
    "diarize",
    "num_speakers",
    "tag_audio_events",
    "timestamps_granularity",
    "use_multi_channel",
    "seed",
    "temperature",
)
MAX_TRANSCRIPT_BYTES = 64 * 1024 * 1024  # of a day of speech with its words
TEXT_CHARACTERS = 20_000  # in events and results; the file holds all
FIRST_LOOK_S = 15.0
RAREST_LOOK_S = 600.0
UNTIL_S = 24 * 3600.0
NOT_YET = "transcript_not_found"  # also said while it is being made


def transcribe(call: Call) -> Outcome:
    """audio.transcribe_requested {asset_id | url} -> the transcript as a file, and audio.transcribed."""
    if "transcription_id" in call.progress:
        return _look(call)
    parts = [*_fields(call), recordings.source(call)]
    request = api.post_form(call, api.path(call, "transcripts"), parts, max_bytes=MAX_TRANSCRIPT_BYTES)
    answer = call.send(request)
    said = api.object_in(answer.json())
    request_id = answer.headers.get("request-id") or _text(said.get("request_id"))
    return _later(call, said, request_id) if answer.status == 202 else _done(call, said, request_id)


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """A lost transcript has no id by which it could be fetched; one that has an id may be looked at again and again."""
    return Repeat.SAFE if "transcription_id" in progress else Repeat.NEVER


def _fields(call: Call) -> list[Part]:
    data = call.event.data
    fields = {"model_id": data.get("model_id") or MODEL, **api.optional(data, PASSED_ON)}
    if data.get("webhook"):
        ours = {"delivery_id": str(call.delivery_id), "source_event_id": str(call.event.id)}
        fields |= {"webhook": True, "webhook_metadata": jsontext.text(ours), **api.optional(data, ("webhook_id",))}
    return [recordings.field(name, value) for name, value in fields.items()]


# --------------------------------------------------------------------------------------------------------- later


def _later(call: Call, said: Mapping[str, Any], request_id: str | None) -> Wait:
    transcription_id = _text(said.get("transcription_id"))
    if transcription_id is None:
        raise OutcomeUnknown(
            f"The transcript {request_id or ''} comes by webhook only: the answer has no id to fetch it by.",
            code="answer_unreadable",
        )
    progress = {"transcription_id": transcription_id, "request_id": request_id, **looking.begun(call)}
    return Wait(FIRST_LOOK_S, progress, external_id=transcription_id)


def _look(call: Call) -> Outcome:
    """Fetch the transcript; look again later while it is not there."""
    transcription_id = call.progress["transcription_id"]
    path = api.path(call, "transcript", transcription_id=transcription_id)
    try:
        answer = call.send(api.get(call, path, max_bytes=MAX_TRANSCRIPT_BYTES))
    except InvalidPayload as error:
        if NOT_YET not in str(error):
            raise
        return looking.again(
            call,
            call.progress,
            first_s=FIRST_LOOK_S,
            most_s=RAREST_LOOK_S,
            until_s=UNTIL_S,
            still=f"Transcript {transcription_id} is not there",
        )
    return _done(call, api.object_in(answer.json()), call.progress.get("request_id"))


# ---------------------------------------------------------------------------------------------------------- done


def _done(call: Call, transcript: Mapping[str, Any], request_id: str | None) -> Done:
    told = facts_of(transcript)
    whole = Audio(jsontext.encoded(transcript), "application/json", "json")
    asset = api.keep(call, f"{call.delivery_id}.json", whole, words=told["words"])
    transcription_id = call.progress.get("transcription_id") or told.get("transcription_id")
    facts = {
        **told,
        "transcript_asset_id": str(asset.id),
        "transcript_uri": asset.uri,
        "model_id": call.event.data.get("model_id") or MODEL,
        **({"transcription_id": transcription_id} if transcription_id else {}),
        **api.optional(call.event.data, ("asset_id",)),
        **api.named(call),
    }
    seconds = told.get("duration_s")
    return Done(
        result=facts,
        external_id=transcription_id or request_id,
        assets=(asset,),
        events=(api.published(call, TRANSCRIBED, facts),),
        cost=Cost(Decimal(str(seconds)), "seconds") if seconds is not None else None,
    )


def facts_of(transcript: Mapping[str, Any]) -> dict[str, Any]:
    """What an event tells of a transcript: its text as far as it fits, language, length, speakers."""
    channels = transcript.get("transcripts")
    parts = [each for each in channels if isinstance(each, dict)] if isinstance(channels, list) else [transcript]
    texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    if not texts:
        raise OutcomeUnknown("The answer holds no text.", code="answer_unreadable")
    text = "\n\n".join(texts)
    words = [word for part in parts for word in part.get("words") or () if isinstance(word, dict)]
    speakers = sorted({word["speaker_id"] for word in words if isinstance(word.get("speaker_id"), str)})
    known = {
        "language_code": _text(parts[0].get("language_code")),
        "duration_s": _number(transcript.get("audio_duration_secs")) or _end(words),
        "transcription_id": _text(transcript.get("transcription_id")),
        "speakers": speakers or None,
        "text_cut": True if len(text) > TEXT_CHARACTERS else None,
    }
    return {
        "text": text[:TEXT_CHARACTERS],
        "words": sum(word.get("type") == "word" for word in words),
        **{name: value for name, value in known.items() if value is not None},
    }


def told_by_webhook(data: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The event that a message about a transcript means. None for one that a delivery of ours asked for: it fetches
    the transcript itself, and tells of it once.
    """
    transcript = data.get("transcription")
    if _asked_by_us(data.get("webhook_metadata")) or not isinstance(transcript, dict):
        return None
    try:
        return TRANSCRIBED, facts_of(transcript)
    except OutcomeUnknown:
        return None


def _asked_by_us(metadata: Any) -> bool:
    """Metadata comes back as it was sent, or as the text of it."""
    try:
        given = jsontext.decoded(metadata) if isinstance(metadata, str) else metadata
    except ValueError:
        return False
    return isinstance(given, dict) and "delivery_id" in given


def _end(words: list[dict[str, Any]]) -> float | None:
    """When the last word ends: so long it is at least."""
    return max((end for word in words if (end := _number(word.get("end"))) is not None), default=None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


ACTIONS: Mapping[str, Action] = {
    "audio.transcribe_requested": Action(transcribe, repeat, publishes=(TRANSCRIBED,)),
}

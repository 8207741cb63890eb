"""Text to speech: at once or as a stream, as sound or as JSON with the time of every character.

https://elevenlabs.io/docs/api-reference/text-to-speech
There is no idempotency key: a repeated generation is made and billed again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Any, Final

from sandbox.elevenlabs.errors import Refusal
from sandbox.elevenlabs.fields import FLAG, MAP, SPEECH, TEXT, Kinds, check_seed, check_settings, json_body
from sandbox.elevenlabs.generation import SECONDS_PER_CHARACTER, Generation, Line, character_times
from sandbox.elevenlabs.making import (
    base64_audio,
    check_dictionaries,
    draft,
    existing_voice,
    hand_out,
    json_bytes,
    json_lines,
    make,
)
from sandbox.elevenlabs.models import DEFAULT_MODEL, speaking_model
from sandbox.elevenlabs.stitching import neighbours
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import JSON_TYPE, Answer

BODY: Final[Kinds] = {
    **SPEECH,
    "text": (str,),
    "voice_settings": MAP,
    "next_text": TEXT,
    "apply_language_text_normalization": FLAG,
}
PIECE: Final = 40  # characters in a line of a stream with timestamps


def convert(call: Call) -> Answer | Awaitable[Answer]:
    """All of the sound."""
    return hand_out(call, spoken(call), Generation.audio)


def stream(call: Call) -> Answer | Awaitable[Answer]:
    """The sound in pieces."""
    return hand_out(call, spoken(call), Generation.audio, chunked=True)


def with_timestamps(call: Call) -> Answer | Awaitable[Answer]:
    """Sound and times as one JSON object."""
    return hand_out(call, spoken(call, timed=True), lambda made: json_bytes(timed_whole(made)), JSON_TYPE)


def stream_with_timestamps(call: Call) -> Answer | Awaitable[Answer]:
    """Sound and times, a JSON object in each line."""
    made = spoken(call, timed=True)
    return hand_out(call, made, lambda made: json_lines(timed_pieces(made)), JSON_TYPE, chunked=True)


def spoken(call: Call, timed: bool = False) -> Generation:
    """What a request for speech asks for, made; raises Refusal."""
    body = json_body(call.request, BODY, ("text",))
    text = body["text"]
    if not text.strip():
        raise Refusal("empty_text", "The text is empty.", "text")
    voice_id = existing_voice(call.workspace, call.params["voice_id"])
    model_id = body.get("model_id") or DEFAULT_MODEL
    model = speaking_model(model_id)
    drafted = draft(call, [Line(text, voice_id)], model_id, settings=body.get("voice_settings"), timed=timed)
    check_length(text, model_id, model.max_characters)
    check_seed(body)
    check_settings(body.get("voice_settings"), "voice_settings")
    check_dictionaries(call.workspace, body)
    previous, following = neighbours(body, call.workspace, call.now, model, dialogue=False)
    return make(call, drafted.stitched(previous, following))


def check_length(text: str, model_id: str, limit: int) -> None:
    """Raise Refusal for a text that is longer than its model takes."""
    if len(text) > limit:
        raise Refusal("text_too_long", f"{len(text)} characters; {model_id} takes {limit} in a request.", "text")


def timed_whole(made: Generation) -> dict[str, Any]:
    """All the sound with the times of its text."""
    times = character_times(made.text)
    return {"audio_base64": base64_audio(made.audio()), "alignment": times, "normalized_alignment": times}


def timed_pieces(made: Generation) -> Iterator[dict[str, Any]]:
    """The sound and its times, piece by piece; the pieces of sound together are all of it."""
    text, audio = made.text, made.audio()
    for start in range(0, len(text), PIECE):
        end = min(start + PIECE, len(text))
        piece = audio[len(audio) * start // len(text) : len(audio) * end // len(text)]
        times = character_times(text[start:end], start * SECONDS_PER_CHARACTER)
        yield {"audio_base64": base64_audio(piece), "alignment": times, "normalized_alignment": times}

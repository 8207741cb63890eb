"""Text to dialogue: several voices in one piece.

https://elevenlabs.io/docs/api-reference/text-to-dialogue
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from typing import Any, Final

from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.fields import MAP, SPEECH, TEXT, Kinds, check_seed, check_settings, json_body
from sandbox.elevenlabs.generation import (
    SECONDS_PER_CHARACTER,
    Generation,
    Line,
    character_times,
    voice_segments,
)
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
from sandbox.elevenlabs.models import DIALOGUE_MODEL, speaking_model
from sandbox.elevenlabs.stitching import neighbours
from sandbox.elevenlabs.workspace import Call, Workspace
from sandbox.wire import JSON_TYPE, Answer

BODY: Final[Kinds] = {**SPEECH, "inputs": (list,), "settings": MAP, "future_text": TEXT}
VOICES_MAX: Final = 10
CHARACTERS_MAX: Final = 2_000  # "about", in their words
FUTURE_MAX: Final = 100  # characters


def convert(call: Call) -> Answer | Awaitable[Answer]:
    """All of the sound."""
    return hand_out(call, spoken(call), Generation.audio)


def stream(call: Call) -> Answer | Awaitable[Answer]:
    """The sound in pieces."""
    return hand_out(call, spoken(call), Generation.audio, chunked=True)


def with_timestamps(call: Call) -> Answer | Awaitable[Answer]:
    """Sound, times and who speaks when, as one JSON object."""
    return hand_out(call, spoken(call), lambda made: json_bytes(timed(made)), JSON_TYPE)


def stream_with_timestamps(call: Call) -> Answer | Awaitable[Answer]:
    """The same, a JSON object in each line."""
    return hand_out(call, spoken(call), lambda made: json_lines(timed_lines(made)), JSON_TYPE, chunked=True)


def spoken(call: Call) -> Generation:
    """What a request for a dialogue asks for, made; raises Refusal."""
    body = json_body(call.request, BODY, ("inputs",))
    lines = [line(call.workspace, one, number) for number, one in enumerate(body["inputs"])]
    check_lines(lines)
    model_id = body.get("model_id") or DIALOGUE_MODEL
    model = speaking_model(model_id)
    if model_id != DIALOGUE_MODEL:
        raise Refusal("unsupported_model", f"{model_id} does not do dialogue.", "model_id")
    drafted = draft(call, lines, model_id, dialogue=True, settings=body.get("settings"))
    if len(body.get("future_text") or "") > FUTURE_MAX:
        raise Refusal("invalid_parameters", f"future_text takes {FUTURE_MAX} characters.", "future_text")
    check_seed(body)
    check_settings(body.get("settings"), "settings")
    check_dictionaries(call.workspace, body)
    previous, following = neighbours(body, call.workspace, call.now, model, dialogue=True)
    return make(call, drafted.stitched(previous, following))


def line(workspace: Workspace, given: Any, number: int) -> Line:
    """One input; raises Refusal."""
    for name in ("text", "voice_id"):
        if not isinstance(given, dict) or not isinstance(given.get(name), str):
            raise Invalid("body", f"inputs.{number}.{name}", "Field required", "missing")
    return Line(given["text"], existing_voice(workspace, given["voice_id"]))


def check_lines(lines: Sequence[Line]) -> None:
    """Raise Refusal for a dialogue without words, with too many, or with too many voices."""
    characters = sum(len(one.text) for one in lines)
    if not any(one.text.strip() for one in lines):
        raise Refusal("empty_text", "The dialogue is empty.", "inputs")
    if characters > CHARACTERS_MAX:
        raise Refusal("text_too_long", f"{characters} characters; a dialogue takes {CHARACTERS_MAX}.", "inputs")
    if len({one.voice_id for one in lines}) > VOICES_MAX:
        raise Refusal("invalid_parameters", f"A dialogue takes {VOICES_MAX} voices.", "inputs")


def timed(made: Generation) -> dict[str, Any]:
    """All the sound with its times and voices."""
    times = character_times(made.text)
    return {
        "audio_base64": base64_audio(made.audio()),
        "alignment": times,
        "normalized_alignment": times,
        "voice_segments": list(voice_segments(made.lines)),
    }


def timed_lines(made: Generation) -> Iterator[dict[str, Any]]:
    """The same line by line; times and positions count from the begin of the dialogue."""
    audio, characters = made.audio(), len(made.text)
    for segment in voice_segments(made.lines):
        start, end = segment["character_start_index"], segment["character_end_index"]
        piece = audio[len(audio) * start // characters : len(audio) * end // characters]
        times = character_times(made.text[start:end], start * SECONDS_PER_CHARACTER)
        yield {
            "audio_base64": base64_audio(piece),
            "alignment": times,
            "normalized_alignment": times,
            "voice_segments": [segment],
        }

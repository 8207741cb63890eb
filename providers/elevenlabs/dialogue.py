"""Text to dialogue: several voices that answer each other, in one recording.

https://elevenlabs.io/docs/api-reference/text-to-dialogue/convert
A request takes about 2,000 characters and ten voices; a longer dialogue is several requests, stitched and joined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model import Done, Outcome
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, cast, flowing, rendering, speech
from providers.elevenlabs.history import Wanted, dialogue_wanted
from providers.elevenlabs.job import Job, Rendered, Take
from providers.elevenlabs.models import DIALOGUE, DIALOGUE_MODEL
from providers.elevenlabs.script import Line, Piece, Script, head, packed, tail
from providers.errors import InvalidPayload
from providers.http import Request

CHARACTERS = 2_000  # of one request; "about", in their words
VOICES = 10
CONTEXT_CHARACTERS = 100
PASSED_ON = (
    "settings",
    "seed",
    "language_code",
    "pronunciation_dictionary_locators",
    "apply_text_normalization",
    "use_pvc_as_ivc",
    "audio_effects",
)


def render(call: Call) -> Outcome:
    """dialogue.render_requested {inputs} -> one audio file; a long dialogue in several steps."""
    return rendering.run(call, job_of(call))


def find(call: Call) -> Outcome | None:
    """The step whose answer was lost, from the account's history; None when it is not there."""
    return rendering.find(call, job_of(call))


def job_of(call: Call) -> Job:
    """What an event asks for. InvalidPayload before anything is paid."""
    data, plan = call.event.data, call.progress.get("plan", {})
    # An account's own model is one for text to speech: dialogues have theirs.
    model_id = plan.get("model_id") or data.get("model_id") or DIALOGUE_MODEL
    manner = speech.Manner.of(call)
    lines = _lines(data)
    voices = plan.get("voices") or {
        line.voice_id: cast.voice_id(call, line.voice_id) for line in lines if line.voice_id
    }
    script = Script(
        pieces=packed([Line(line.text, voices[line.voice_id], line.number) for line in lines], CHARACTERS, VOICES),
        model_id=model_id,
        output_format=manner.output_format,
        options=api.optional(data, PASSED_ON),
        timed=data.get("timestamps") is True,
        streamed=data.get("stream") is True,
    )
    kept = {"model_id": model_id, "output_format": manner.output_format, "voices": voices}
    return Job(script, kept, ask, context, wanted, _finish)


def _lines(data: Mapping[str, Any]) -> list[Line]:
    given = data.get("inputs")
    inputs = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    if not inputs:
        raise InvalidPayload("`inputs` is missing.", code="missing_field")
    return [
        Line(
            api.required(f"inputs[{number}].text", each.get("text")),
            api.required(f"inputs[{number}].voice_id", each.get("voice_id")),
            number,
        )
        for number, each in enumerate(inputs)
    ]


def ask(call: Call, script: Script, piece: Piece, context: Mapping[str, Any]) -> Request:
    """The request for one piece."""
    inputs = [{"text": line.text, "voice_id": line.voice_id} for line in piece.lines]
    return api.post(
        call,
        api.path(call, flowing.operation("dialogue_timed" if script.timed else "dialogue", call.event.data)),
        {"inputs": inputs, "model_id": script.model_id, **script.options, **context},
        {"output_format": script.output_format},
        max_bytes=api.MAX_TIMED_BYTES if script.timed else api.MAX_AUDIO_BYTES,
    )


def wanted(script: Script, piece: Piece) -> Wanted:
    """The piece in the history."""
    return dialogue_wanted(script, piece.lines)


def context(call: Call, script: Script, number: int, takes: tuple[Take, ...]) -> Iterator[Mapping[str, Any]]:
    """What a piece follows and what follows it, best first: ids of earlier requests, else their last words."""
    following = script.pieces[number + 1 : number + 2]
    after = {"future_text": head(following[0].text, CONTEXT_CHARACTERS)} if following else {}
    ids = speech.fresh_ids(call, list(takes))
    if ids:
        yield {"previous_request_ids": ids, **after}
    if number:
        yield {"previous_text": tail(script.pieces[number - 1].text, CONTEXT_CHARACTERS), **after}
    elif after:
        yield after


def _finish(call: Call, script: Script, rendered: Rendered) -> Done:
    voices = sorted({voice for piece in script.pieces for voice in piece.voices})
    return speech.told(call, script, rendered, {"voice_ids": voices})


ACTIONS: Mapping[str, Action] = {
    DIALOGUE: Action(render, Repeat.LOOKUP, find, publishes=(speech.RENDERED,)),
}

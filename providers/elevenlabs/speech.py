"""Text to speech: one voice, one text, one file.

https://elevenlabs.io/docs/api-reference/text-to-speech/convert
No idempotency key: a repeat is billed again. After a lost answer the account's history is searched for the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model import Done, Outcome
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, flowing, rendering
from providers.elevenlabs.cast import voice_id
from providers.elevenlabs.history import Wanted, speech_wanted
from providers.elevenlabs.job import Finish, Job, Rendered, Take
from providers.elevenlabs.models import NO_LANGUAGE_CODE, NOT_STITCHED, limit_of
from providers.elevenlabs.script import Line, Piece, Script, cut, head, tail
from providers.http import Request

RENDERED = "audio.rendered"
PASSED_ON = (  # event fields that the API takes as they are
    "voice_settings",
    "seed",
    "language_code",
    "pronunciation_dictionary_locators",
    "apply_text_normalization",
    "apply_language_text_normalization",
    "use_pvc_as_ivc",
    "audio_effects",
)
STITCHED_S = 2 * 3600 - 300  # so long a request's id may be named, less what the next one may take to begin
IDS = 3  # that a request may name
CONTEXT_CHARACTERS = 500  # of what is said before and after


@dataclass(frozen=True, slots=True)
class Manner:
    """How something is to be spoken: an event's word, else the integration's."""

    model_id: str
    output_format: str

    @classmethod
    def of(cls, call: Call, model: str = api.MODEL) -> Manner:
        """As it was in the first step, whatever the integration says by now. InvalidPayload before anything is paid."""
        data, config, plan = call.event.data, call.config, call.progress.get("plan", {})
        return cls(
            api.required("model_id", plan.get("model_id") or data.get("model_id") or config.get("model_id") or model),
            api.required(
                "output_format",
                plan.get("output_format") or data.get("output_format") or config.get("output_format") or api.FORMAT,
            ),
        )


def render(call: Call) -> Outcome:
    """audio.render_requested {text} -> one audio file; a long text in several steps."""
    return rendering.run(call, job_of(call))


def find(call: Call) -> Outcome | None:
    """The step whose answer was lost, from the account's history; None when it is not there."""
    return rendering.find(call, job_of(call))


def job_of(call: Call) -> Job:
    """What an event asks for, with the integration's defaults. InvalidPayload before anything is paid."""
    data, plan = call.event.data, call.progress.get("plan", {})
    text = api.required("text", data.get("text"))
    asked = api.required("voice_id", data.get("voice_id") or call.config.get("voice_id"))
    manner = Manner.of(call)
    voice = plan.get("voice_id") or voice_id(call, asked)
    limit = plan["limit"] if plan else limit_of(call, manner.model_id, manner.output_format, len(text))
    script = Script(
        pieces=tuple(Piece((Line(each, voice),)) for each in cut(text, limit)),
        model_id=manner.model_id,
        output_format=manner.output_format,
        options=options(data, manner.model_id),
        before=data.get("previous_text") or "",
        after=data.get("next_text") or "",
        timed=data.get("timestamps") is True,
        streamed=data.get("stream") is True,
    )
    return job(script, {**_kept(manner), "voice_id": voice, "limit": limit}, _finish)


def _kept(manner: Manner) -> dict[str, str]:
    return {"model_id": manner.model_id, "output_format": manner.output_format}


def options(data: Mapping[str, Any], model_id: str) -> dict[str, Any]:
    """What each request of an event says beside its text."""
    given = api.optional(data, PASSED_ON)
    if model_id in NO_LANGUAGE_CODE:
        given.pop("language_code", None)
    return given


def job(script: Script, plan: Mapping[str, Any], finish: Finish) -> Job:
    """Text to speech of a script in which each piece has one line."""
    return Job(script, plan, ask, context, wanted, finish)


# ------------------------------------------------------------------------------------------------- what is asked for


def ask(call: Call, script: Script, piece: Piece, context: Mapping[str, Any]) -> Request:
    """The request for one piece."""
    (line,) = piece.lines
    return api.post(
        call,
        api.path(
            call,
            flowing.operation("speech_timed" if script.timed else "speech", call.event.data),
            voice_id=line.voice_id,
        ),
        {"text": line.text, "model_id": script.model_id, **script.options, **context},
        {"output_format": script.output_format},
        max_bytes=api.MAX_TIMED_BYTES if script.timed else api.MAX_AUDIO_BYTES,
    )


def wanted(script: Script, piece: Piece) -> Wanted:
    """The piece in the history."""
    return speech_wanted(script, piece.lines[0])


def context(call: Call, script: Script, number: int, takes: tuple[Take, ...]) -> Iterator[Mapping[str, Any]]:
    """What a piece follows and what follows it, best first: ids of earlier requests of its voice, else their text."""
    voices = script.pieces[number].voices
    earlier = [at for at in range(number) if script.pieces[at].voices == voices]
    before = script.pieces[earlier[-1]].text if earlier else script.before
    after = {"next_text": head(text, CONTEXT_CHARACTERS)} if (text := _after(script, number)) else {}
    ids = fresh_ids(call, [takes[at] for at in earlier])
    if ids and script.model_id not in NOT_STITCHED:
        yield {"previous_request_ids": ids, **after}
    if before or after:
        yield {**({"previous_text": tail(before, CONTEXT_CHARACTERS)} if before else {}), **after}


def fresh_ids(call: Call, takes: list[Take]) -> list[str]:
    """The request ids that a piece may be stitched to, oldest first."""
    oldest = call.now.timestamp() - STITCHED_S
    return [take.request_id for take in takes if take.request_id and take.at >= oldest][-IDS:]


def _after(script: Script, number: int) -> str:
    """What the same voice says next without a pause between."""
    if number + 1 == len(script.pieces):
        return script.after
    here, following = script.pieces[number], script.pieces[number + 1]
    return following.text if (here.part_of, here.voices) == (following.part_of, following.voices) else ""


# ------------------------------------------------------------------------------------------------- what comes of it


def _finish(call: Call, script: Script, rendered: Rendered) -> Done:
    (voice,) = script.pieces[0].voices
    return told(call, script, rendered, {"voice_id": voice})


def told(call: Call, script: Script, rendered: Rendered, who: Mapping[str, Any]) -> Done:
    """One file, told as `audio.rendered`."""
    sound, *times = rendered.assets
    ids = [take.request_id for take in rendered.takes if take.request_id]
    facts = {
        **api.facts_of(sound),
        "characters": script.characters,
        **who,
        **_kept(Manner(script.model_id, script.output_format)),
        **api.named(call),
        **({"duration_s": rendered.seconds} if rendered.seconds is not None else {}),
        **({"character_cost": str(rendered.cost)} if rendered.cost is not None else {}),
        **({"request_ids": ids} if len(rendered.takes) > 1 else {}),
        **({"alignment_asset_id": str(times[0].id), "alignment_uri": times[0].uri} if times else {}),
        **({"recovered": True} if rendered.recovered else {}),
    }
    return Done(
        result=facts,
        external_id=ids[-1] if ids else None,
        assets=rendered.assets,
        events=(api.published(call, RENDERED, facts),),
    )


ACTIONS: Mapping[str, Action] = {
    "audio.render_requested": Action(render, Repeat.LOOKUP, find, publishes=(RENDERED,)),
}

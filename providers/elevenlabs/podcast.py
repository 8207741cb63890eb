"""Podcasts: segments of several speakers, each spoken by its voice, as one file.

https://elevenlabs.io/docs/developer-guides/how-to-use-request-stitching
Every piece is a request of its own (see `rendering`): what was paid for is never paid for again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from model import Done, Outcome
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, cast, rendering, speech
from providers.elevenlabs.job import Job, Rendered
from providers.elevenlabs.models import limit_of
from providers.elevenlabs.script import Line, Piece, Script, cut
from providers.errors import InvalidPayload

REQUESTED, RENDERED = "podcast.render_requested", "podcast.rendered"


def render(call: Call) -> Outcome:
    """podcast.render_requested {segments} -> one audio file, a request a step."""
    return rendering.run(call, job_of(call))


def find(call: Call) -> Outcome | None:
    """The step whose answer was lost, from the account's history; None when it is not there."""
    return rendering.find(call, job_of(call))


def job_of(call: Call) -> Job:
    """What an event asks for. InvalidPayload before anything is paid."""
    data, plan = call.event.data, call.progress.get("plan", {})
    segments = _segments(data)
    manner = speech.Manner.of(call)
    voices = plan.get("voices") or _voices(call, segments)
    longest = max(len(text) for _, text in segments)
    limit = plan["limit"] if plan else limit_of(call, manner.model_id, manner.output_format, longest)
    script = Script(
        pieces=tuple(_pieces(segments, voices, limit)),
        model_id=manner.model_id,
        output_format=manner.output_format,
        options=speech.options(data, manner.model_id),
        pause_ms=int(data.get("pause_ms") or 0),
        timed=data.get("timestamps") is True,
        streamed=data.get("stream") is True,
    )
    kept = {"model_id": manner.model_id, "output_format": manner.output_format, "voices": voices, "limit": limit}
    return speech.job(script, kept, _finish)


def _segments(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Who says what."""
    given = data.get("segments")
    segments = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    if not segments:
        raise InvalidPayload("`segments` is missing.", code="missing_field")
    return [
        (str(each.get("speaker") or ""), api.required(f"segments[{number}].text", each.get("text")))
        for number, each in enumerate(segments)
    ]


def _voices(call: Call, segments: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The id of each speaker's voice: as `voices` says, else the speaker's own name, else the integration's voice."""
    given = call.event.data.get("voices") or {}
    found: dict[str, str] = {}
    for speaker, _ in segments:
        if speaker not in found:
            asked = given.get(speaker) or speaker or call.config.get("voice_id")
            found[speaker] = cast.voice_id(call, api.required(f"voices.{speaker}", asked))
    return found


def _pieces(segments: Sequence[tuple[str, str]], voices: Mapping[str, str], limit: int | None) -> Iterator[Piece]:
    for number, (speaker, text) in enumerate(segments):
        for each in cut(text, limit):
            yield Piece((Line(each, voices[speaker], number),), part_of=number)


def _finish(call: Call, script: Script, rendered: Rendered) -> Done:
    sound, *times = rendered.assets
    data = call.event.data
    name = data.get("title") or data.get("name")
    facts = {
        **api.facts_of(sound),
        **({"name": name} if name else {}),
        "duration_s": rendered.seconds,
        "characters": script.characters,
        "cost": _number(rendered.cost),
        "model_id": script.model_id,
        "output_format": script.output_format,
        "segments": _rendered_segments(data, script, rendered),
        "request_ids": [take.request_id for take in rendered.takes if take.request_id],
        **({"alignment_asset_id": str(times[0].id), "alignment_uri": times[0].uri} if times else {}),
        **({"recovered": True} if rendered.recovered else {}),
    }
    told = {name: value for name, value in facts.items() if value is not None}
    return Done(
        result=told,
        external_id=rendered.takes[-1].request_id,
        assets=rendered.assets,
        events=(api.published(call, RENDERED, told),),
    )


def _number(cost: Decimal | None) -> int | float | None:
    """A sum of characters as JSON has it."""
    if cost is None:
        return None
    return int(cost) if cost == cost.to_integral_value() else float(cost)


def _rendered_segments(data: Mapping[str, Any], script: Script, rendered: Rendered) -> list[dict[str, Any]]:
    """Where each segment is in the file. What cannot be measured is left out."""
    segments: list[dict[str, Any]] = []
    for piece, take, offset in zip(script.pieces, rendered.takes, rendered.offsets, strict=True):
        if piece.part_of == len(segments):
            speaker = data["segments"][piece.part_of].get("speaker") or ""
            segments.append(
                {"speaker": speaker, "voice_id": piece.lines[0].voice_id, "offset_s": offset, "characters": 0}
            )
        segment = segments[-1]
        segment["characters"] += len(piece.text)
        if take.seconds is not None:
            segment["duration_s"] = round(offset + take.seconds - segment["offset_s"], 3)
    return segments


ACTIONS: Mapping[str, Action] = {
    REQUESTED: Action(render, Repeat.LOOKUP, find, publishes=(RENDERED,)),
}

"""How a script becomes one file: a request a step, each paid once.

A script of one piece is done when its answer is kept. A longer one walks: each finished piece is kept in media
storage and noted in the progress; then the pieces are joined into one file, which is noted too; then the pieces are
dropped. Whatever dies in between, the next step begins where the last commit was, and what was in the air then is
looked for in the account's history before it is asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from model import Done, Outcome, Wait
from providers.contract import Call
from providers.elevenlabs import api, flowing, joining, parts, timing
from providers.elevenlabs.audio import NotThisFormat, playable, recovered, unusable
from providers.elevenlabs.history import audio_of, look_up
from providers.elevenlabs.job import Job, Rendered, State, Take
from providers.elevenlabs.models import SLOWEST, bytes_per_s
from providers.elevenlabs.script import Piece, Script
from providers.errors import InvalidPayload, Refused
from providers.http import Answer
from providers.waiting import aside

MAX_FILE_BYTES = 512 * 1024 * 1024  # of the joined file, which is held in memory once


def run(call: Call, job: Job) -> Outcome:
    """One step of a job."""
    state = State.of(call)
    if state.assets:
        return _finish(call, job, state)
    if len(state.takes) == len(job.script.pieces):
        return _join(call, job, state)
    _check(job.script)
    return _take(call, job, state)


def find(call: Call, job: Job) -> Outcome | None:
    """The step whose answer was lost, from the account's history; None where there was nothing to lose, or is nothing.

    Raises Unavailable while it is being made. Reading has no outcome that could stay unknown: whatever goes wrong in
    here may simply be tried again.
    """
    state = State.of(call)
    if len(state.takes) == len(job.script.pieces):
        return None
    return api.reading(lambda: _found(call, job, state))


# ------------------------------------------------------------------------------------------------------------- pieces


def _take(call: Call, job: Job, state: State) -> Outcome:
    """Have the next piece made."""
    piece = job.script.pieces[len(state.takes)]
    answer = _asked(call, job, state, piece)
    content, times = _heard(job.script, answer)
    cost = api.billed(answer)
    request_id = answer.headers.get("request-id")
    take = Take(
        request_id=request_id,
        item_id=None if request_id else answer.headers.get("history-item-id"),
        at=int(call.now.timestamp()),
        seconds=None,
        cost=None if cost is None else str(cost),
    )
    paid = api.cost(api.billed(answer, len(piece.text)))
    outcome = _taken(call, job, state, take, content, times)
    return replace(outcome, cost=paid)


def _heard(script: Script, answer: Answer) -> tuple[bytes, Mapping[str, Any] | None]:
    """The sound of an answer, and its times where they were asked for."""
    if script.timed:
        return flowing.lines(answer, script.output_format) if script.streamed else timing.heard(answer)
    return flowing.sound(answer, script.output_format) if script.streamed else answer.content, None


def _asked(call: Call, job: Job, state: State, piece: Piece) -> Answer:
    """The answer to a request for a piece. What it was to follow may be refused (an id that is too old, a model that
    takes none): then it is asked for with less. A refusal costs nothing.
    """
    contexts = [*job.context(call, job.script, len(state.takes), state.takes), {}]
    for context in contexts[:-1]:
        try:
            return call.send(job.ask(call, job.script, piece, context))
        except InvalidPayload:
            continue
    return call.send(job.ask(call, job.script, piece, contexts[-1]))


def _found(call: Call, job: Job, state: State) -> Outcome | None:
    piece = job.script.pieces[len(state.takes)]
    used = {each for take in state.takes for each in take.ids()}
    item = look_up(call, job.wanted(job.script, piece), state.since, used)
    if item is None:
        return None
    take = Take(
        request_id=item.request_id,
        item_id=None if item.request_id else item.id,
        at=state.since,
        seconds=None,
        cost=None if item.cost is None else str(item.cost),
        recovered=True,
    )
    content = audio_of(call, item.id)
    if not content:
        raise unusable("is empty")
    try:
        return _taken(call, job, state, take, content, item.times if job.script.timed else None)
    except NotThisFormat:  # the history may keep another format, which nothing can be joined to
        return None


def _taken(
    call: Call, job: Job, state: State, take: Take, content: bytes, times: Mapping[str, Any] | None
) -> Done | Wait:
    """What comes after a piece: the end, where it is the only one; else the next step."""
    script = job.script
    if len(script.pieces) == 1:
        return _alone(call, job, take, content, times)
    try:
        bare = parts.apart(content, script.output_format)
    except NotThisFormat:
        if take.recovered:
            raise
        raise unusable(f"is not {script.output_format}") from None
    parts.keep(call, len(state.takes), bare, script.output_format, times)
    after = replace(state, takes=(*state.takes, replace(take, seconds=round(bare.seconds, 6))))
    return Wait(0, after.progress(call, job), external_id=take.request_id)


def _alone(call: Call, job: Job, take: Take, content: bytes, times: Mapping[str, Any] | None) -> Done:
    script = job.script
    audio = recovered(content, script.output_format) if take.recovered else playable(content, script.output_format)
    seconds = aside(partial(joining.seconds_of, content, script.output_format))
    timed = [timing.Timed(times, 0.0, script.pieces[0].text, _inputs(script.pieces[0]))]
    assets = parts.keep_file(call, script, audio, timed)
    return job.finish(call, script, Rendered(assets, (replace(take, seconds=seconds),), (0.0,), seconds))


# ------------------------------------------------------------------------------------------------------------- joining


def _check(script: Script) -> None:
    """InvalidPayload, before anything is paid, for pieces that could not become one file in the end."""
    if len(script.pieces) == 1:
        return
    if joining.codec_of(script.output_format) is None:
        raise InvalidPayload(
            f"This takes {len(script.pieces)} requests, and files of {script.output_format} cannot be joined into one:"
            " ask for mp3, pcm, wav, ulaw or alaw.",
            code="not_joinable",
        )
    size = script.characters // SLOWEST * bytes_per_s(script.output_format)
    if size > MAX_FILE_BYTES:
        raise InvalidPayload(
            f"{script.characters} characters as {script.output_format} may make a file of {size >> 20} MiB, more than"
            f" {MAX_FILE_BYTES >> 20}: ask for an mp3 format, or publish it in parts.",
            code="file_too_large",
        )


def _join(call: Call, job: Job, state: State) -> Outcome:
    """Put the pieces together, and note the file."""
    script = job.script
    contents: list[tuple[bytes, float]] = []
    for number in range(len(script.pieces)):
        content = parts.read(call, number)
        if content is None:
            return api.reading(partial(_restored, call, job, state, number))
        contents.append((content, script.pause_ms / 1000 if script.pauses_after(number) else 0.0))
    audio = parts.together(contents, script.output_format)
    assets = parts.stored(lambda: parts.keep_file(call, script, audio, _timed(call, script, state)))
    return Wait(0, replace(state, assets=assets).progress(call, job))


def _timed(call: Call, script: Script, state: State) -> list[timing.Timed]:
    """What is known of when everything is said; nothing, where nobody wants it."""
    offsets = _offsets(script, state.takes) if script.timed else ()
    return [
        timing.Timed(parts.times_of(call, number), offset, script.pieces[number].text, _inputs(script.pieces[number]))
        for number, offset in enumerate(offsets)
    ]


def _finish(call: Call, job: Job, state: State) -> Outcome:
    """Drop the pieces, and say what was made."""
    parts.drop(call, job.script)
    offsets = _offsets(job.script, state.takes)
    seconds = round(offsets[-1] + (state.takes[-1].seconds or 0.0), 3)
    return job.finish(call, job.script, Rendered(state.assets, state.takes, offsets, seconds))


def _restored(call: Call, job: Job, state: State, number: int) -> Outcome:
    """Fetch a piece again that is not in media storage any more: it was paid for, and the history may have it."""
    take = state.takes[number]
    others = {each for one in state.takes if one is not take for each in one.ids()}
    since = int(call.first_attempt_at.timestamp())
    item = look_up(call, job.wanted(job.script, job.script.pieces[number]), since, others)
    content = audio_of(call, item.id) if item else b""
    try:
        bare = parts.apart(content, job.script.output_format)
    except NotThisFormat:
        parts.drop(call, job.script)  # no attempt can put them together any more
        raise Refused(
            f"Piece {number + 1} of {len(job.script.pieces)} was made, but it is gone from media storage and from the"
            " account's history: publish the event again.",
            code="piece_lost",
        ) from None
    parts.stored(partial(parts.keep, call, number, bare, job.script.output_format, None))
    return Wait(0, state.progress(call, job))


def _offsets(script: Script, takes: tuple[Take, ...]) -> tuple[float, ...]:
    """Where each piece begins in the file, in seconds."""
    at, offsets = 0.0, []
    silence_s = joining.silence_s(script.output_format, script.pause_ms / 1000)
    for number, take in enumerate(takes):
        offsets.append(round(at, 3))
        at += (take.seconds or 0.0) + (silence_s if script.pauses_after(number) else 0.0)
    return tuple(offsets)


def _inputs(piece: Piece) -> tuple[int, ...]:
    return tuple(line.number for line in piece.lines)

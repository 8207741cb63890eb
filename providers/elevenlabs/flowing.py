"""Answers that come while they are made: sound in pieces, or lines of JSON with sound and times.

https://elevenlabs.io/docs/api-reference/text-to-speech/stream
What fails after the first byte has no status: the answer only ends early. So an end is believed where the answer's
framing or its length tells it, no frame is cut, and every line is what it must be; else the outcome is unknown, and
what was made is looked for like any other lost answer.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from functools import partial
from typing import Any

import jsontext
from providers.elevenlabs import joining, timing
from providers.elevenlabs.audio import unusable
from providers.http import Answer
from providers.waiting import aside

SHOWN_CHARACTERS = 120  # of a line that is not understood

STREAMED: Mapping[str, str] = {  # by operation: the one that answers while it is made
    "speech": "speech_stream",
    "speech_timed": "speech_timed_stream",
    "dialogue": "dialogue_stream",
    "dialogue_timed": "dialogue_timed_stream",
    "music": "music_stream",
    "voice_changer": "voice_changer_stream",
    "isolation": "isolation_stream",
}


def operation(name: str, data: Mapping[str, Any]) -> str:
    """The operation that an event means: with `stream`, the one that answers while it is made."""
    return STREAMED[name] if data.get("stream") is True else name


def sound(answer: Answer, output_format: str) -> bytes:
    """The sound of a stream that has come to its end. OutcomeUnknown for one that may have broken off."""
    _check_end(answer)
    if aside(partial(joining.breaks_off, answer.content, output_format)):
        raise unusable("breaks off in the middle of a frame")
    return answer.content


def lines(answer: Answer, output_format: str) -> tuple[bytes, Mapping[str, Any]]:
    """The sound and the times of a stream of lines. OutcomeUnknown for a line that is not what it must be."""
    _check_end(answer)
    read = [_line(answer, number, line) for number, line in enumerate(answer.content.split(b"\n"), 1) if line.strip()]
    content = b"".join(piece for piece, _ in read)
    if aside(partial(joining.breaks_off, content, output_format)):
        raise unusable("breaks off in the middle of a frame")
    times: dict[str, Any] = {}
    for _, piece in read:
        timing.extend(times, piece)
    return content, times


def _check_end(answer: Answer) -> None:
    """What is neither counted nor in chunks ends when the connection does, for whatever reason."""
    chunked = answer.headers.get("transfer-encoding", "").lower().endswith("chunked")
    if not chunked and "content-length" not in answer.headers:
        raise unusable("has no end that could be told from a break")


def _line(answer: Answer, number: int, line: bytes) -> tuple[bytes, Mapping[str, Any]]:
    """One line's sound and times."""
    try:
        body = jsontext.decoded(line)
        encoded = body.pop("audio_base64") if isinstance(body, dict) else None
        content = b64decode(encoded, validate=True) if isinstance(encoded, str) else None
    except (binascii.Error, KeyError, ValueError, RecursionError):
        content = None
    if content is None or not timing.is_whole(body):
        said = answer.shown(line[:SHOWN_CHARACTERS].decode("utf-8", "replace"))
        raise unusable(f"has a line that is not understood ({number}: {said})")
    return content, body

"""When each character is said: as one answer tells it, and for several pieces as one list.

Times are seconds from the begin of the file. What is not known of a piece (its answer was lost, and the history has
no times) is missing from the list, and named.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import jsontext
from providers.elevenlabs.audio import unusable
from providers.http import Answer

_ALIGNMENTS = ("alignment", "normalized_alignment")
_CHARACTERS = "characters"
_STARTS, _ENDS = "character_start_times_seconds", "character_end_times_seconds"
_SPOKEN_FROM_TO = ("start_time_seconds", "end_time_seconds")
_COUNTED_FROM_TO = ("character_start_index", "character_end_index")


@dataclass(frozen=True, slots=True)
class Timed:
    """A piece's times, and where the piece stands in the file."""

    times: Mapping[str, Any] | None
    offset_s: float
    text: str
    inputs: tuple[int, ...] = ()  # which inputs of the whole dialogue its lines are


def heard(answer: Answer) -> tuple[bytes, Mapping[str, Any]]:
    """The sound of an answer that tells times too, and the times."""
    body = answer.json()
    sound = body.pop("audio_base64", None) if isinstance(body, dict) else None
    try:
        return b64decode(sound or "", validate=True), body if isinstance(body, dict) else {}
    except (binascii.Error, TypeError, ValueError):
        raise unusable("is not base64") from None


def is_whole(times: Mapping[str, Any]) -> bool:
    """Whether each alignment, where there is one, says of every character when it begins and ends."""
    for name in _ALIGNMENTS:
        given = times.get(name)
        if given is not None:
            counts = {len(_list(given, each)) for each in (_CHARACTERS, _STARTS, _ENDS)} if _is_map(given) else ()
            if len(counts) != 1:
                return False
    return True


def extend(times: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add the times of a stream's next line, which are counted from the begin of the stream."""
    for name in _ALIGNMENTS:
        given = more.get(name)
        if _is_map(given):
            whole = times.setdefault(name, {_CHARACTERS: [], _STARTS: [], _ENDS: []})
            for each in (_CHARACTERS, _STARTS, _ENDS):
                whole[each] += _list(given, each)
    if segments := _list(more, "voice_segments"):
        times.setdefault("voice_segments", []).extend(segments)


def _is_map(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def together(pieces: Sequence[Timed]) -> dict[str, Any]:
    """The times of a whole file."""
    whole: dict[str, Any] = {name: _aligned(name, pieces) for name in _ALIGNMENTS}
    segments = [segment for piece in pieces for segment in _segments(piece, _characters_before(pieces, piece))]
    missing = [{"offset_s": piece.offset_s, "text": piece.text} for piece in pieces if piece.times is None]
    return {**whole, **({"voice_segments": segments} if segments else {}), **({"missing": missing} if missing else {})}


def encoded(times: Mapping[str, Any]) -> bytes:
    """As a file."""
    return jsontext.encoded(times)


def _aligned(name: str, pieces: Sequence[Timed]) -> dict[str, list[Any]] | None:
    """One alignment of all pieces; None where no piece has it."""
    whole: dict[str, list[Any]] = {"characters": [], _STARTS: [], _ENDS: []}
    for piece in pieces:
        given = (piece.times or {}).get(name)
        if isinstance(given, dict):
            whole["characters"] += _list(given, "characters")
            for times in (_STARTS, _ENDS):
                whole[times] += [_later(each, piece.offset_s) for each in _list(given, times)]
    return whole if whole["characters"] else None


def _segments(piece: Timed, characters: int) -> list[dict[str, Any]]:
    """Who speaks when in a dialogue."""
    shifted = []
    for segment in _list(piece.times or {}, "voice_segments"):
        if isinstance(segment, dict):
            moved = {name: _later(segment.get(name), piece.offset_s) for name in _SPOKEN_FROM_TO}
            counted = {name: _later(segment.get(name), characters) for name in _COUNTED_FROM_TO}
            number = {"dialogue_input_index": _input(piece, segment.get("dialogue_input_index"))}
            shifted.append({**segment, **moved, **counted, **number})
    return shifted


def _input(piece: Timed, line: Any) -> Any:
    known = isinstance(line, int) and 0 <= line < len(piece.inputs)
    return piece.inputs[line] if known else line


def _characters_before(pieces: Sequence[Timed], piece: Timed) -> int:
    """Characters of the whole alignment before this piece."""
    before = pieces[: list(pieces).index(piece)]
    return sum(len(_list((each.times or {}).get("alignment") or {}, "characters")) for each in before)


def _list(given: Mapping[str, Any], name: str) -> list[Any]:
    found = given.get(name)
    return found if isinstance(found, list) else []


def _later(value: Any, by: float) -> Any:
    return round(value + by, 3) if isinstance(value, (int, float)) else value

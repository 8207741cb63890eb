"""What is to be spoken, cut into requests: the same cut for every step of a delivery.

A text that is longer than its model takes is cut where it hurts least: between paragraphs, else sentences, else
clauses, else words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

# Where a text may be cut, best first: behind a paragraph, a sentence (with what closes it), a clause, a word. Texts
# without spaces between sentences (Chinese, Japanese) are cut behind their own full stops.
_CUTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\n\s*\n\s*",
        r"[.!?…]+[\"'”’»)\]]*\s+|[。！？]+[」』”’）]*\s*|\n\s*",
        r"[,;:–—]\s+|[、，；：]\s*",
        r"\s+",
    )
)
_LEAST = 0.5  # of what fits: a better place that leaves less is not taken


@dataclass(frozen=True, slots=True)
class Line:
    """What one voice says."""

    text: str
    voice_id: str
    number: int = 0  # of the input that it belongs to


@dataclass(frozen=True, slots=True)
class Piece:
    """What one request asks for. `part_of` is the segment of the script that it belongs to, by number."""

    lines: tuple[Line, ...]
    part_of: int = 0

    @property
    def text(self) -> str:
        """Everything that is said in it."""
        return "".join(line.text for line in self.lines)

    @property
    def voices(self) -> frozenset[str]:
        """Who speaks in it."""
        return frozenset(line.voice_id for line in self.lines)


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that one event wants spoken."""

    pieces: tuple[Piece, ...]
    model_id: str
    output_format: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of each request, as the API takes them
    pause_ms: int = 0  # of silence between segments
    before: str = ""  # what would have been said before and after: context, not spoken
    after: str = ""
    timed: bool = False  # when each character is said is wanted too
    streamed: bool = False  # asked for as an answer that comes while it is made

    @property
    def characters(self) -> int:
        """How many there are to be spoken."""
        return sum(len(piece.text) for piece in self.pieces)

    def pauses_after(self, number: int) -> bool:
        """Whether a segment ends with this piece, and another one follows."""
        following = self.pieces[number + 1 : number + 2]
        return bool(self.pause_ms and following) and following[0].part_of != self.pieces[number].part_of


def cut(text: str, limit: int | None) -> tuple[str, ...]:
    """A text in pieces that a request takes, each with its words whole where they fit. White space between goes.

    Progress holds no texts: whoever changes where this cuts changes what is under way.
    """
    return tuple(_pieces(text, limit)) if limit is not None and len(text) > limit else (text,)


def _pieces(text: str, limit: int) -> Iterator[str]:
    rest = text.strip()
    while len(rest) > limit:
        end = _end(rest, limit)
        piece, rest = rest[:end].rstrip(), rest[end:].lstrip()
        yield piece
    if rest:
        yield rest


def _end(text: str, limit: int) -> int:
    """Where the first piece of a text ends. What is behind it begins with something that is no white space."""
    window = text[: limit + 1]
    for pattern in _CUTS:
        ends = [at for found in pattern.finditer(window) if 0 < (at := _spoken_to(window, found.end())) <= limit]
        if ends and ends[-1] >= limit * _LEAST:
            return ends[-1]
    return limit


def _spoken_to(text: str, end: int) -> int:
    return len(text[:end].rstrip())


def packed(lines: Sequence[Line], limit: int, voices: int) -> tuple[Piece, ...]:
    """Lines of a dialogue in requests of at most so many characters and voices, in their order."""
    pieces: list[tuple[Line, ...]] = []
    for line in (replace(whole, text=text) for whole in lines for text in cut(whole.text, limit)):
        joined = Piece((*pieces[-1], line)) if pieces else None
        if joined and len(joined.text) <= limit and len(joined.voices) <= voices:
            pieces[-1] = joined.lines
        else:
            pieces.append((line,))
    return tuple(Piece(lines) for lines in pieces)


def tail(text: str, characters: int) -> str:
    """The last words of a text."""
    return text if len(text) <= characters else text[-characters:].partition(" ")[2] or text[-characters:]


def head(text: str, characters: int) -> str:
    """The first words of a text."""
    return text if len(text) <= characters else text[:characters].rpartition(" ")[0] or text[:characters]

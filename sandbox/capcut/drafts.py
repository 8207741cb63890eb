"""Drafts: canvases with segments on tracks, kept for a while."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

KEPT: Final = 10_000
MICROSECONDS: Final = 1_000_000


class Overlap(Exception):
    """A segment would lie over another one of its track."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Something on a track, from and to so many seconds; `url` is where its media lies."""

    track: str
    kind: str
    start: float
    end: float
    url: str | None = None
    id: str = field(default_factory=lambda: uuid4().hex)


@dataclass(slots=True)
class Draft:
    """One project."""

    id: str
    width: int
    height: int
    name: str = ""
    cover: str = ""
    segments: list[Segment] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long the video is."""
        return max((segment.end for segment in self.segments), default=0.0)

    @property
    def media(self) -> list[str]:
        """What has to be fetched for it, one address for each segment."""
        return [segment.url for segment in self.segments if segment.url is not None]

    @property
    def tracks(self) -> dict[str, list[Segment]]:
        """Its segments by track."""
        by_track: dict[str, list[Segment]] = {}
        for segment in self.segments:
            by_track.setdefault(segment.track, []).append(segment)
        return by_track

    def add(self, segment: Segment) -> None:
        """Put a segment on its track; raises Overlap."""
        for other in self.tracks.get(segment.track, ()):
            if segment.start < other.end and other.start < segment.end:
                span = f"[start: {microseconds(segment.start)}, end: {microseconds(segment.end)}]"
                raise Overlap(f"New segment overlaps with existing segment {span}")
        self.segments.append(segment)

    def script(self) -> str:
        """The project as a JSON text, times in microseconds."""
        return json.dumps(
            {
                "canvas_config": {"width": self.width, "height": self.height, "ratio": "original"},
                "duration": microseconds(self.seconds),
                "id": self.id,
                "name": self.name,
                "tracks": [
                    {"name": name, "type": segments[0].kind, "segments": [segment_json(one) for one in segments]}
                    for name, segments in self.tracks.items()
                ],
            },
            indent=4,
            ensure_ascii=False,
        )


def segment_json(segment: Segment) -> dict[str, Any]:
    """A segment as a script shows it."""
    start, length = microseconds(segment.start), microseconds(segment.end - segment.start)
    shown: dict[str, Any] = {"id": segment.id, "target_timerange": {"start": start, "duration": length}}
    return shown if segment.url is None else {**shown, "remote_url": segment.url}


def microseconds(seconds: float) -> int:
    """Seconds in the unit of scripts."""
    return round(seconds * MICROSECONDS)


class Drafts:
    """The drafts that are remembered: the last ones, as after a restart none."""

    def __init__(self) -> None:
        self.kept = KEPT
        self._drafts: OrderedDict[str, Draft] = OrderedDict()

    def __iter__(self) -> Iterator[Draft]:
        return iter(list(self._drafts.values()))

    def find(self, draft_id: object) -> Draft | None:
        """A draft, which is thereby the last one used."""
        found = self._drafts.get(draft_id) if isinstance(draft_id, str) else None
        if found is not None:
            self._drafts.move_to_end(found.id)
        return found

    def keep(self, draft: Draft) -> Draft:
        """One more; the one that was not used for longest may go."""
        self._drafts[draft.id] = draft
        self.trim()
        return draft

    def trim(self) -> None:
        """No more than are to be kept."""
        while len(self._drafts) > self.kept:
            self._drafts.popitem(last=False)

    def forget(self, draft_id: str | None) -> int:
        """One of them, or all; how many went."""
        gone = [one.id for one in self if draft_id in (None, one.id)]
        for one in gone:
            del self._drafts[one]
        return len(gone)

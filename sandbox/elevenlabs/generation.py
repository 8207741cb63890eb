"""One generation: who says what, what it cost, how long it sounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sandbox.audio import sound
from sandbox.elevenlabs.voice import VOICES

SECONDS_PER_CHARACTER: Final = 0.06
DEFAULT_FORMAT: Final = "mp3_44100_128"


@dataclass(frozen=True, slots=True)
class Line:
    """What one voice says."""

    text: str = field(repr=False)
    voice_id: str

    def as_json(self) -> dict[str, Any]:
        """A line of a dialogue, as the history shows it."""
        return {"text": self.text, "voice_id": self.voice_id, "voice_name": VOICES.get(self.voice_id, self.voice_id)}


@dataclass(frozen=True, slots=True)
class Generation:
    """One item of a history."""

    id: str
    request_id: str
    source: str  # TTS or STS
    lines: tuple[Line, ...]
    dialogue: bool
    model_id: str
    made_at: float
    ready_at: float
    cost: int  # characters
    used_before: int
    output_format: str
    settings: Mapping[str, Any] | None
    seconds: float  # of sound
    logged: bool = True
    previous: tuple[str, ...] = ()  # request ids that it was stitched to
    following: tuple[str, ...] = ()
    timed: bool = False  # asked for with the times of its characters

    @property
    def text(self) -> str:
        """Everything that is said."""
        return "".join(line.text for line in self.lines)

    def stitched(self, previous: tuple[str, ...], following: tuple[str, ...]) -> Generation:
        """The same, between its neighbours."""
        return replace(self, previous=previous, following=following)

    def audio(self) -> bytes:
        """Its sound."""
        return sound(self.output_format, self.seconds)

    def as_json(self, now: float) -> dict[str, Any]:
        """The item as the history shows it; of a dialogue the lines are set, and `text` and `voice_id` are not."""
        voice_id = self.lines[0].voice_id
        spoken = {
            "voice_id": None if self.dialogue else voice_id,
            "voice_name": None if self.dialogue else VOICES.get(voice_id, voice_id),
            "voice_category": "premade" if voice_id in VOICES else "cloned",
            "text": None if self.dialogue else self.text,
            "dialogue": [line.as_json() for line in self.lines] if self.dialogue else None,
        }
        return {
            "history_item_id": self.id,
            "request_id": self.request_id,
            **spoken,
            "model_id": self.model_id,
            "date_unix": int(self.made_at),
            "character_count_change_from": self.used_before,
            "character_count_change_to": self.used_before + self.cost,
            "content_type": "audio/mpeg",
            "state": "processing" if now < self.ready_at else "created",
            "settings": self.settings,
            "source": self.source,
            "output_format": self.output_format,
            "alignments": alignments(self.text) if self.timed and not self.dialogue else None,
        }

    def summary(self) -> dict[str, Any]:
        """What the operator of the sandbox sees of it."""
        return {
            "request_id": self.request_id,
            "history_item_id": self.id,
            "source": self.source,
            "dialogue": self.dialogue,
            "voice_ids": [line.voice_id for line in self.lines],
            "text": self.text,
            "model_id": self.model_id,
            "output_format": self.output_format,
            "characters": self.cost,
            "made_at": self.made_at,
            "previous_request_ids": list(self.previous),
            "next_request_ids": list(self.following),
        }


def character_times(text: str, begins_s: float = 0.0) -> dict[str, Any]:
    """When each character is said: an alignment, in seconds."""
    starts = [round(begins_s + at * SECONDS_PER_CHARACTER, 3) for at in range(len(text) + 1)]
    return {
        "characters": list(text),
        "character_start_times_seconds": starts[:-1],
        "character_end_times_seconds": starts[1:],
    }


def alignments(text: str) -> dict[str, Any]:
    """The times of a text as the history shows them; when it does is unconfirmed."""
    return {"alignment": character_times(text), "normalized_alignment": character_times(text)}


def voice_segments(lines: tuple[Line, ...]) -> Iterator[dict[str, Any]]:
    """Which voice says which characters of a dialogue, and when."""
    at = 0
    for number, line in enumerate(lines):
        end = at + len(line.text)
        yield {
            "voice_id": line.voice_id,
            "start_time_seconds": round(at * SECONDS_PER_CHARACTER, 3),
            "end_time_seconds": round(end * SECONDS_PER_CHARACTER, 3),
            "character_start_index": at,
            "character_end_index": end,
            "dialogue_input_index": number,
        }
        at = end

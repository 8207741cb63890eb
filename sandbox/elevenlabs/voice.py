"""A voice: the premade ones, and what a workspace makes of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.elevenlabs.models import DEFAULT_MODEL

STARTED_UNIX: Final = 1_750_000_000  # of the made-up account and its premade voices

VOICES: Final[Mapping[str, str]] = {
    "v_host": "Host",
    "v_guest": "Guest",
    "v_narrator": "Narrator",
    "v_anchor": "Anchor",
    "v_critic": "Critic",
    "v_poet": "Poet",
    "v_scout": "Scout",
    "v_baker": "Baker",
    "v_pilot": "Pilot",
    "v_judge": "Judge",
    "v_tutor": "Tutor",
    "v_clerk": "Clerk",
}
TRAINING: Final = ("not_started", "queued", "fine_tuning", "fine_tuned")
FAILED: Final = "failed"
ACCENTS: Final = ("british", "american", "irish")
GENDERS: Final = ("female", "male")
DEFAULT_SETTINGS: Final[Mapping[str, Any]] = {
    "stability": 0.5,
    "similarity_boost": 0.75,
    "style": 0.0,
    "speed": 1.0,
    "use_speaker_boost": True,
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A recording that a clone was made of."""

    id: str
    file_name: str
    mime_type: str
    size: int  # bytes
    hash: str

    def as_json(self) -> dict[str, Any]:
        """As a voice shows it."""
        return {
            "sample_id": self.id,
            "file_name": self.file_name,
            "mime_type": self.mime_type,
            "size_bytes": self.size,
            "hash": self.hash,
        }


@dataclass(slots=True)
class Training:
    """How the training of a professional clone goes: by model, how often it was looked at."""

    looks: dict[str, int] = field(default_factory=dict)
    by_hand: bool = False  # their people were asked to verify the speaker
    fails: bool = False

    def state(self, model_id: str) -> str:
        """Queued at the first look, under way at the second, then done."""
        if model_id not in self.looks:
            return TRAINING[0]
        state = TRAINING[min(self.looks[model_id] + 1, len(TRAINING) - 1)]
        return FAILED if self.fails and state == TRAINING[-1] else state

    def as_json(self) -> dict[str, Any]:
        """As a voice shows it."""
        states = {model_id: self.state(model_id) for model_id in self.looks}
        said = {model_id: "The sandbox was told that it fails." for model_id in states if states[model_id] == FAILED}
        return {
            "state": states,
            "message": said,
            "is_allowed_to_fine_tune": True,
            "manual_verification_requested": self.by_hand,
        }

    def step(self) -> None:
        """It was looked at."""
        for model_id in self.looks:
            self.looks[model_id] += 1


@dataclass(slots=True)
class Voice:
    """One voice of a workspace."""

    id: str
    name: str
    category: str  # premade or cloned
    description: str = "Played by the sandbox."
    labels: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=lambda: dict(DEFAULT_SETTINGS))
    made_unix: int = STARTED_UNIX
    samples: tuple[Sample, ...] = ()
    requires_verification: bool = False
    training: Training | None = None  # of a professional clone

    def as_json(self) -> dict[str, Any]:
        """As they list it."""
        shown = {
            "voice_id": self.id,
            "name": self.name,
            "category": self.category,
            "labels": dict(self.labels),
            "description": self.description,
            "settings": dict(self.settings),
            "samples": [one.as_json() for one in self.samples] or None,
            "available_for_tiers": [],
            "high_quality_base_model_ids": [DEFAULT_MODEL],
            "created_at_unix": self.made_unix,
            "is_owner": True,
            "is_legacy": False,
        }
        if self.training is not None:
            shown["fine_tuning"] = self.training.as_json()
        return shown if self.category == "premade" else {**shown, "voice_verification": verification(self)}


def verification(voice: Voice) -> dict[str, Any]:
    """Where the speaker's verification stands."""
    return {
        "requires_verification": voice.requires_verification,
        "is_verified": not voice.requires_verification,
        "verification_failures": [],
        "verification_attempts_count": 0,
        "language": voice.labels.get("language"),
    }


def premade(voice_id: str) -> Voice:
    """One of VOICES, or a voice of an account that the sandbox does not know: it is somebody's clone."""
    number = list(VOICES).index(voice_id) if voice_id in VOICES else 0
    labels = {
        "language": "en",
        "accent": ACCENTS[number % len(ACCENTS)],
        "gender": GENDERS[number % len(GENDERS)],
        "age": "middle_aged",
        "use_case": "narrative_story",
    }
    name, category = (VOICES[voice_id], "premade") if voice_id in VOICES else (f"Voice {voice_id}", "cloned")
    return Voice(voice_id, name, category, labels=labels, made_unix=STARTED_UNIX + number)

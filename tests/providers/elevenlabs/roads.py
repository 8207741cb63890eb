"""A delivery's way to ElevenLabs' stand-in, step by step, each with nothing but the progress of the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from model import Done, Outcome, Wait
from providers.contract import Call, Known, NothingKnown, Repeat
from providers.elevenlabs import PROVIDER
from providers.errors import OutcomeUnknown
from sandbox.process import Sandbox
from tests.providers.doubles import Memory, transport
from tests.providers.elevenlabs.calls import KEY, calling
from worker.catalog import event_types

ASSET = "01930000-0000-7000-8000-00000000a55e"
SECOND = "01930000-0000-7000-8000-00000000a55f"
MP3 = b"ID3\x04\x00" + bytes(32_000)  # two seconds, as the stand-in counts
CONSENT = {"given": True, "by": "Dana Reyes", "at": "2026-11-02T09:30:00Z"}


def recordings() -> Memory:
    """Media storage with two recordings in it."""
    media = Memory()
    media.stored(ASSET, MP3, "audio/mpeg")
    media.stored(SECOND, MP3 + b"more", "audio/wav")
    return media


@dataclass
class Road:
    """One delivery."""

    sandbox: Sandbox
    event_type: str
    data: Mapping[str, Any]
    key: str = KEY
    media: Memory = field(default_factory=recordings)
    known: Known = field(default_factory=NothingKnown)
    more: Mapping[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    later_s: float = 0.0

    def call(self, using: Any) -> Call:
        """The call of the next step."""
        now = datetime.now(UTC)
        given = {
            "base_url": self.sandbox.url,
            "secrets": {"api_key": self.key},
            "media": self.media,
            "known": self.known,
            "progress": self.progress,
            "first_attempt_at": now,
            "now": now + timedelta(seconds=self.later_s),
            **self.more,
        }
        return calling(using, self.event_type, self.data, **given)

    def step(self) -> Outcome:
        """The next step."""
        with transport() as real:
            return self._taken(PROVIDER.actions[self.event_type].run(self.call(real)))

    def find(self) -> Outcome | None:
        """What is found of a step whose answer was lost."""
        action = PROVIDER.actions[self.event_type]
        assert action.repeat_after(self.progress) is Repeat.LOOKUP
        assert action.find is not None
        with transport() as real:
            found = action.find(self.call(real))
        return None if found is None else self._taken(found)

    def lose(self, path: str, when: str = "after") -> None:
        """The next step's answer is lost, before or after its work was done."""
        self.sandbox.control.add_rule(path, {"drop": when}, times=1)
        try:
            outcome = self.step()
        except OutcomeUnknown:
            return
        raise AssertionError(f"nothing was lost: {outcome}")

    def to(self, step: str) -> None:
        """All steps before one."""
        while self.progress.get("step") != step:
            assert isinstance(self.step(), Wait)

    def end(self, steps: int = 40) -> Done:
        """All steps; what they publish fits the catalog."""
        for _ in range(steps):
            outcome = self.step()
            if isinstance(outcome, Done):
                return checked(outcome)
        raise AssertionError(f"no end after {steps} steps: {self.progress}")

    def _taken(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Wait):
            self.progress = json.loads(json.dumps(outcome.progress))
            self.waits.append(outcome.wait_s)
        return outcome


def checked(done: Outcome | None) -> Done:
    """An end whose events fit the catalog."""
    assert isinstance(done, Done)
    for event in done.events:
        assert event_types()[event.type].problem(event.data) is None
        assert event.type in PROVIDER.publishes
        assert event.data["source_event_id"]
    return done


def bill(sandbox: Sandbox, key: str = KEY) -> Any:
    """What an account would pay for."""
    return sandbox.control.bill().get("elevenlabs", {}).get(key, {})

"""Calls of ElevenLabs' actions, and answers as it gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model import Outcome, Wait
from providers.contract import Call, NothingKnown
from providers.elevenlabs import PROVIDER
from providers.http import Answer
from sandbox.audio import sound
from tests.providers.doubles import Memory, a_call, answer

KEY = "sk_0123456789abcdef"
FORMAT = "mp3_44100_128"
VOICES = [
    {"id": "v_host", "name": "Rachel - calm", "category": "premade", "labels": {}},
    {"id": "v_guest", "name": "Tom", "category": "cloned", "labels": {}},
    {"id": "v_tom2", "name": "tom ", "category": "cloned", "labels": {}},
    {"id": "v_anna", "name": "Anna", "category": "cloned", "labels": {}},
]


class Cached(NothingKnown):
    """What was read of an account."""

    def __init__(self, **streams: Mapping[str, Any]) -> None:
        self.asked: list[str] = []
        self._streams = streams

    def cursor(self, stream: str) -> Mapping[str, Any]:
        """The value of a stream."""
        self.asked.append(stream)
        return self._streams.get(stream, {})


def calling(using: Any, event_type: str, data: Mapping[str, Any], **more: Any) -> Call:
    """A call for an account with a voice."""
    given = {"secrets": {"api_key": KEY}, "config": {"voice_id": "v_host"}, **more}
    return a_call(PROVIDER, using, event_type, data, **given)


def spoken(seconds: float = 1.0, number: int = 1, output_format: str = FORMAT, **headers: str) -> Answer:
    """A recording."""
    said = {"request-id": f"rq_{number}", "character-cost": "10", **headers}
    return answer(200, sound(output_format, seconds), said)


def found(number: int, text: str | None, voice_id: str | None = "v_host", **more: Any) -> dict[str, Any]:
    """An item of the history."""
    return {
        "history_item_id": f"h{number}",
        "request_id": f"rq_{number}",
        "voice_id": voice_id,
        "text": text,
        "state": "created",
        "character_count_change_from": 100,
        "character_count_change_to": 107,
        **more,
    }


def page(*items: Any) -> Answer:
    """The only page of a history."""
    last = items[-1]["history_item_id"] if items else None
    return answer(200, {"history": items, "has_more": False, "last_history_item_id": last})


def stepped(outcome: Outcome | None) -> Mapping[str, Any]:
    """The progress that a step leaves."""
    assert isinstance(outcome, Wait)
    return outcome.progress


__all__ = ["KEY", "VOICES", "Cached", "Memory", "calling", "found", "page", "spoken", "stepped"]

"""The account's history, where a generation is looked for whose answer was lost.

https://elevenlabs.io/docs/api-reference/history/list
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from providers.contract import Call
from providers.elevenlabs.api import MAX_AUDIO_BYTES, get, path
from providers.elevenlabs.script import Line, Script
from providers.errors import OutcomeUnknown, Unavailable

MAX_PAGE_BYTES = 64 * 1024 * 1024  # 100 texts of 10,000 characters, each with its time
PAGES = 10  # of 100 items, newest first, since the step began
CLOCKS_APART_S = 60
STILL_MADE_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: how the history is asked, and which of its items it is."""

    query: Mapping[str, str]
    is_it: Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Item:
    """A generation that the account has paid for."""

    id: str
    request_id: str | None
    cost: Decimal | None
    times: Mapping[str, Any] | None  # when each character is said, where the history has it


def speech_wanted(script: Script, line: Line) -> Wanted:
    """One voice's text with its model."""
    return Wanted(
        {"voice_id": line.voice_id, "model_id": script.model_id, "source": "TTS"},  # the API wants it beside model_id
        lambda item: (
            item.get("text") == line.text
            and item.get("voice_id") in (None, line.voice_id)
            and item.get("model_id") in (None, script.model_id)
        ),
    )


def dialogue_wanted(script: Script, lines: tuple[Line, ...]) -> Wanted:
    """The lines of a dialogue. Under which source and voice the history lists those is not documented: under any."""
    wanted = [(line.text, line.voice_id) for line in lines]
    return Wanted({}, lambda item: _said_in(item) == wanted and item.get("model_id") in (None, script.model_id))


def _said_in(item: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    lines = item.get("dialogue")
    if not isinstance(lines, list):
        return []
    return [(line.get("text"), line.get("voice_id")) for line in lines if isinstance(line, dict)]


def look_up(call: Call, wanted: Wanted, since: int, used: Collection[str]) -> Item | None:
    """A generation made since then (unix seconds) that nobody has used yet, by its request's id or its own; or None.

    Raises Unavailable while it is being made.
    """
    for item in _items(call, {**wanted.query, "date_after_unix": str(since - CLOCKS_APART_S)}):
        if _is_there(item) and wanted.is_it(item) and not {item.get("request_id"), item["history_item_id"]} & {*used}:
            if item.get("state") == "processing":
                raise Unavailable("The audio is still being made.", code="in_progress", wait_s=STILL_MADE_S)
            return Item(item["history_item_id"], _text(item.get("request_id")), _cost(item), _times(item))
    return None


def audio_of(call: Call, item_id: str) -> bytes:
    """The sound of an item again, at no cost."""
    where = path(call, "history_audio", history_item_id=item_id)
    return call.send(get(call, where, max_bytes=MAX_AUDIO_BYTES)).content


def _items(call: Call, query: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Generations, newest first."""
    asked = {"page_size": "100", **query}
    for _ in range(PAGES):
        page = call.send(get(call, path(call, "history"), asked, MAX_PAGE_BYTES)).json()
        items = page.get("history") if isinstance(page, dict) else None
        if not isinstance(items, list):
            raise OutcomeUnknown("The history that came back is not a list.", code="answer_unreadable")
        yield from (item for item in items if isinstance(item, dict))
        last = page.get("last_history_item_id")
        if not page.get("has_more") or not last:
            return
        asked["start_after_history_item_id"] = str(last)
    # More than a thousand generations since then: not found is not proof, and a person would not look
    # further.
    raise OutcomeUnknown("The history is too long to be searched.", code="history_too_long")


def _is_there(item: Mapping[str, Any]) -> bool:
    return item.get("state") != "deleted" and isinstance(item.get("history_item_id"), str)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _cost(item: Mapping[str, Any]) -> Decimal | None:
    before, after = item.get("character_count_change_from"), item.get("character_count_change_to")
    return Decimal(after - before) if isinstance(before, int) and isinstance(after, int) and after >= before else None


def _times(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = item.get("alignments")
    return found if isinstance(found, dict) else None

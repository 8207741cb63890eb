"""Voices by their name: which there are before one is made, and which one was made by a call whose answer was lost.

https://elevenlabs.io/docs/api-reference/voices/search
A voice has no key of ours. It is known again by what it was not before: a voice of that name and kind that was not
there when the step before looked. Where its recordings' file names are ours, they decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from providers.contract import Call, Repeat
from providers.elevenlabs import api
from providers.errors import OutcomeUnknown, Refused

PAGES = 20  # of 100 voices
CLOCKS_APART_S = 60
NEWEST_FIRST = {"page_size": "100", "sort": "created_at_unix", "sort_direction": "desc"}
# As `recordings.file_name` makes them.
_OURS = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-\d+(?:\.\w+)?")

Voice = Mapping[str, Any]


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """The first step only looks which namesakes there are; the second makes the voice."""
    return Repeat.LOOKUP if "known" in progress else Repeat.SAFE


def known(call: Call, name: str, category: str | None = None) -> list[str]:
    """The ids of the voices that have this name already."""
    return [voice["voice_id"] for voice in _named(call, name, category)]


def made_since(call: Call, name: str, category: str | None = None) -> Voice | None:
    """The voice that an earlier attempt of this delivery has made; None when there is none.

    Raises Refused where several may be it.
    """
    return api.reading(lambda: _made_since(call, name, category))


def _made_since(call: Call, name: str, category: str | None) -> Voice | None:
    since = call.first_attempt_at.timestamp() - CLOCKS_APART_S
    named = [voice for voice in _named(call, name, category) if voice["voice_id"] not in call.progress["known"]]
    new = [voice for voice in named if _is_after(voice, since)]
    marks = {voice["voice_id"]: _marks(voice) for voice in new}
    ours = [voice for voice in new if str(call.delivery_id) in marks[voice["voice_id"]]]
    found = ours or [voice for voice in new if not marks[voice["voice_id"]]]  # marked by another delivery: that one's
    if len(found) > 1:
        ids = ", ".join(voice["voice_id"] for voice in found[:5])
        raise Refused(
            f"An answer was lost, and {len(found)} voices named {name!r} were made since then ({ids}): which is this"
            " one cannot be told. Remove those that are not wanted; a replay makes another one.",
            code="not_told_apart",
        )
    return found[0] if found else None


def _named(call: Call, name: str, category: str | None) -> Iterator[Voice]:
    query = {**NEWEST_FIRST, **({"category": category} if category else {})}
    return (
        voice
        for voice in _voices(call, query)
        if voice.get("name") == name and (category is None or voice.get("category") in (None, category))
    )


def _voices(call: Call, query: Mapping[str, str]) -> Iterator[Voice]:
    """Every voice of the account that is asked for. A page may hold more than its size."""
    asked = dict(query)
    for _ in range(PAGES):
        page = api.object_in(call.send(api.get(call, api.path(call, "voices"), asked)).json(), "page of voices")
        rows = page.get("voices")
        if not isinstance(rows, list):
            raise OutcomeUnknown("The voices that came back are no list.", code="answer_unreadable")
        yield from (row for row in rows if isinstance(row, dict) and isinstance(row.get("voice_id"), str))
        following = page.get("next_page_token")
        if not page.get("has_more") or not following:
            return
        asked["next_page_token"] = str(following)
    raise OutcomeUnknown("The account has more voices than are looked through.", code="voices_too_many")


def _is_after(voice: Voice, since: float) -> bool:
    made = voice.get("created_at_unix")
    return not isinstance(made, (int, float)) or made >= since


def _marks(voice: Voice) -> set[str]:
    """The deliveries that a voice's recordings name."""
    samples = voice.get("samples")
    names = [each.get("file_name") for each in samples if isinstance(each, dict)] if isinstance(samples, list) else []
    return {found[1] for name in names if isinstance(name, str) and (found := _OURS.fullmatch(name))}

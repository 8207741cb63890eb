"""Who speaks: a voice by its id or by its name, as the account's own list of voices has it (stream `voices`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from providers.contract import Call
from providers.errors import InvalidPayload

STREAM = "voices"
_NAMED = 3  # close names in a message
_CLOSE = 0.5
_ID = re.compile(r"[A-Za-z0-9]{20}")  # what all their ids look like; one that is not listed may be new, or shared


def voice_id(call: Call, asked: str) -> str:
    """The id of a voice that an event names by id or name. While no list was read yet, it is taken for an id.

    InvalidPayload for a name that is unknown, or that several voices have.
    """
    if _ID.fullmatch(asked):
        return asked
    voices = _known(call)
    if not voices or any(voice["id"] == asked for voice in voices):
        return asked
    wanted = asked.strip().casefold()
    found = [voice for voice in voices if str(voice.get("name", "")).strip().casefold() == wanted]
    if len(found) == 1:
        return str(found[0]["id"])
    if found:
        raise InvalidPayload(
            f"{len(found)} voices are named {asked!r}: {_shown(found)}. Use an id.", code="voice_ambiguous"
        )
    raise InvalidPayload(f"No voice is named {asked!r}{_close(wanted, voices)}.", code="voice_unknown")


def _known(call: Call) -> Sequence[Mapping[str, Any]]:
    voices = call.known.cursor(STREAM).get("voices")
    return [each for each in voices if isinstance(each, dict) and each.get("id")] if isinstance(voices, list) else []


def _close(wanted: str, voices: Sequence[Mapping[str, Any]]) -> str:
    """What may have been meant; or what there is to do where the voice is new."""
    by_name = {str(voice.get("name", "")).casefold(): voice for voice in voices}
    begun = [name for name in by_name if wanted and (name.startswith(wanted) or wanted in name.split())]
    names = dict.fromkeys([*begun, *get_close_matches(wanted, by_name, _NAMED, _CLOSE)])
    near = [by_name[name] for name in names][:_NAMED]
    if near:
        return f"; close: {_shown(near)}"
    return " in the list that was read last: use its id, or read stream `voices` again"


def _shown(voices: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{voice.get('name')} ({voice['id']})" for voice in voices)

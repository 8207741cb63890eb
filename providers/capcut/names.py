"""Names of fonts, effects, animations and transitions: closed lists there, read daily, and looked at before a draft.

They differ between servers, so those of another server than the one that is called say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from model import Cursor, Done, Outcome, Records, Wait
from providers.capcut.api import ask, output, unreadable
from providers.capcut.doors import LISTS
from providers.capcut.layers import Operation
from providers.contract import Call
from providers.errors import InvalidPayload

STREAM = "names"
MAX_LIST_BYTES = 4 * 1024 * 1024

Choose = Callable[[Mapping[str, Any]], str]


def _fixed(name: str) -> Choose:
    return lambda params: name


def _effects(params: Mapping[str, Any]) -> str:
    return "character_effects" if params.get("effect_category") == "character" else "scene_effects"


_CLIP: Mapping[str, Choose] = {"transition": _fixed("transitions"), "mask_type": _fixed("masks")}
_LETTERS: Mapping[str, Choose] = {"font": _fixed("fonts")}
PARAMETERS: Mapping[str, Mapping[str, Choose]] = {  # by operation and parameter, the list that its name is of
    "add_video": _CLIP,
    "add_image": {
        **_CLIP,
        "animation": _fixed("intro_animations"),
        "intro_animation": _fixed("intro_animations"),
        "outro_animation": _fixed("outro_animations"),
        "combo_animation": _fixed("combo_animations"),
    },
    "add_audio": {"effect_type": _fixed("audio_effects")},
    "add_text": {**_LETTERS, "intro_animation": _fixed("text_intros"), "outro_animation": _fixed("text_outros")},
    "add_subtitle": _LETTERS,
    "add_effect": {"effect_type": _effects},
}


def check(call: Call, operations: Sequence[Operation]) -> None:
    """InvalidPayload for a name that is not on its list, as far as lists have been read."""
    used = [each for operation in operations for each in _used(operation)]
    known = call.known.cursor(STREAM) if used else {}
    lists = known.get("lists", {}) if known.get("server") == call.base_url else {}
    for operation, parameter, name, kind in used:
        names = lists.get(kind)
        if names and name not in names:
            close = get_close_matches(name, names, n=3, cutoff=0.5)
            hint = f" Close to it: {', '.join(close)}." if close else ""
            raise InvalidPayload(f"{operation} has no {parameter} {name[:80]!r}.{hint}", code="name_unknown")


def _used(operation: Operation) -> Iterator[tuple[str, str, str, str]]:
    for parameter, choose in PARAMETERS.get(operation.name, {}).items():
        name = operation.params.get(parameter)
        if isinstance(name, str) and name:
            yield operation.name, parameter, name, choose(operation.params)


def read(call: Call) -> Outcome:
    """sync.due of `names`: one list a step; each is kept as it comes."""
    at = int(call.progress.get("at", 0))
    kind = list(LISTS)[at]
    names = _names(output(ask(call, kind, max_answer_bytes=MAX_LIST_BYTES)))
    before = call.known.cursor(STREAM) if at else {}
    lists = {**before.get("lists", {}), kind: names}
    last = at + 1 == len(LISTS)
    records = Records(cursor=Cursor(STREAM, {"server": call.base_url, "lists": lists}, finished=last))
    if last:
        return Done(result={"names": {each: len(found) for each, found in lists.items()}}, records=records)
    return Wait(0, {"at": at + 1}, records=records)


def _names(listed: Any) -> list[str]:
    if not isinstance(listed, list):
        raise unreadable("no list")
    return [each["name"] for each in listed if isinstance(each, dict) and isinstance(each.get("name"), str)]

"""What is done to a draft, in order: an event's data as a list of operations. Pure: the list is the same every time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from providers.capcut.doors import EDITING
from providers.capcut.layers import WORDS, Found, Operation, above, below, seconds_in_all
from providers.capcut.media import check_written, places
from providers.capcut.templates import filled, played
from providers.errors import InvalidPayload

OURS = ("draft_id", "draft_folder", "license_key")  # said by the mesh itself
NEEDS: Mapping[str, tuple[str, ...]] = {
    "add_video": ("video_url",),
    "add_audio": ("audio_url",),
    "add_image": ("image_url",),
    "add_text": ("text", "start", "end"),
    "add_subtitle": ("srt",),
    "add_sticker": ("sticker_id",),
    "add_effect": ("effect_type",),
    "add_preset": ("preset_id",),
}
CONTENTS = (*WORDS, "template", "operations", "preset", "workflow")


def operations(data: Mapping[str, Any], found: Found) -> tuple[Operation, ...]:
    """The list of an event. InvalidPayload where something in it cannot be done."""
    made = tuple(_all(data, found))
    if not made:
        raise InvalidPayload(f"There is nothing to show: give one of {', '.join(CONTENTS)}.", code="nothing_to_show")
    for each in made:
        check(each)
    return made


def _all(data: Mapping[str, Any], found: Found) -> Iterator[Operation]:
    yield from below(data, found)
    if data.get("preset"):
        yield Operation("add_preset", _preset(data["preset"]))
    if data.get("workflow"):
        yield Operation("execute_workflow", _workflow(data["workflow"]))
    values = {"duration_s": seconds_in_all(data, found), **(data.get("values") or {})}
    yield from (_operation(filled(each, values)) for each in data.get("template") or ())
    yield from (_operation(each) for each in data.get("operations") or ())
    yield from above(data, found)


def _operation(given: Mapping[str, Any]) -> Operation:
    return Operation(str(given.get("op")), given.get("params") or {})


def _preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """What takes the places of a preset is a list of objects with one key each there."""
    places_taken = given.get("replacements") or {}
    return {**given, "replacements": [{name: value} for name, value in places_taken.items()]}


def _workflow(given: Mapping[str, Any]) -> dict[str, Any]:
    inputs = given.get("inputs") or {}
    if "script" in given:
        return {"script": played(given["script"], inputs), "inputs": inputs}
    named = {name: given[name] for name in ("workflow_id", "name") if given.get(name)}
    if not named:
        raise InvalidPayload("workflow needs a script, a workflow_id or a name.", code="workflow_missing")
    return {**named, "inputs": inputs}


def check(operation: Operation) -> None:
    if operation.name not in EDITING:
        close = get_close_matches(operation.name, EDITING, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(EDITING)}."
        raise InvalidPayload(f"There is no operation {operation.name[:80]}: {hint}", code="operation_unknown")
    for name in NEEDS.get(operation.name, ()):
        if operation.params.get(name) in (None, ""):
            raise InvalidPayload(f"{operation.name} needs {name}.", code="parameter_missing")
    ours = [name for name in OURS if name in operation.params]
    if ours:
        raise InvalidPayload(f"{operation.name} may not say {ours[0]}: the mesh does.", code="parameter_not_yours")
    for place in places(operation.params):
        check_written(place, operation.name)

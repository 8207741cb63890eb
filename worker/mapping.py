"""How the data of one event becomes that of the next: templates, as data.

A mapping is JSON in which "{{path}}" stands for something of the event that happened. A text that is one placeholder
becomes the value with its own type; within a longer text the value is written out. Lists and objects are filled in all
the way down.

    {{summary}}                    of the event that happened: dots go deeper, numbers are places in a list
    {{report.generated:title}}     of the nearest event of that type that it came of
    {{$event.id}}                  also $event.type, $event.occurred_at, $event.tenant_id and $trace_id
    {{title?}}                     left out where there is no such thing; otherwise that is an error
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model import Event

_PLACEHOLDER = re.compile(r"\{\{\s*(?P<path>[^{}]*?)\s*\}\}")
_PATH = re.compile(
    r"(?:(?P<type>[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+):)?(?P<keys>\$?[^.:?\s{}$]+(?:\.[^.:?\s{}$]+)*)(?P<optional>\?)?"
)
_ABSENT = object()
_OF_EVENT: Mapping[str, Callable[[Event], Any]] = {
    "$event.id": lambda event: str(event.id),
    "$event.type": lambda event: event.type,
    "$event.occurred_at": lambda event: event.occurred_at.isoformat(),
    "$event.tenant_id": lambda event: event.tenant_id,
    "$trace_id": lambda event: str(event.trace),
}


class MappingError(ValueError):
    """A mapping cannot be filled in; the message is one sentence that says what is wrong with which placeholder."""


@dataclass(frozen=True, slots=True)
class Path:
    """What one placeholder asks for."""

    text: str
    event_type: str | None  # None = of the event that happened
    keys: tuple[str, ...]
    optional: bool

    @property
    def of_event(self) -> bool:
        """Whether it asks for something of the event itself, not of its data."""
        return self.keys[0].startswith("$")


@dataclass(frozen=True, slots=True)
class Source:
    """The event that happened, and what it came of, nearest first: looked up only when a placeholder asks."""

    event: Event
    ancestors: Callable[[], Sequence[Event]]

    def of_type(self, event_type: str | None) -> Event | None:
        """The event that a path means."""
        if event_type is None or event_type == self.event.type:
            return self.event
        return next((each for each in self.ancestors() if each.type == event_type), None)


def fill(mapping: Mapping[str, Any], source: Source) -> dict[str, Any]:
    """The data that a mapping makes of an event. Raises MappingError."""
    return {name: value for name, each in mapping.items() if (value := _filled(each, source)) is not _ABSENT}


def paths(mapping: Any) -> Iterator[Path]:
    """Every placeholder of a mapping. Raises MappingError for one that is not well formed."""
    if isinstance(mapping, Mapping):
        for value in mapping.values():
            yield from paths(value)
    elif isinstance(mapping, list):
        for value in mapping:
            yield from paths(value)
    elif isinstance(mapping, str):
        yield from (_path(found["path"]) for found in _PLACEHOLDER.finditer(mapping))


def _path(text: str) -> Path:
    found = _PATH.fullmatch(text)
    if found is None or (found["keys"].startswith("$") and found["keys"] not in _OF_EVENT):
        raise MappingError(
            f"{{{{{text}}}}} is not a placeholder: write {{{{name}}}}, {{{{name.deeper}}}}, {{{{event.type:name}}}} or"
            f" one of {', '.join(_OF_EVENT)}, with a ? behind it where it may be absent."
        )
    keys = (found["keys"],) if found["keys"].startswith("$") else tuple(found["keys"].split("."))
    return Path(text, found["type"], keys, bool(found["optional"]))


def _filled(value: Any, source: Source) -> Any:
    if isinstance(value, Mapping):
        return fill(value, source)
    if isinstance(value, list):
        return [each for item in value if (each := _filled(item, source)) is not _ABSENT]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole is not None:
        return _value(_path(whole["path"]), source)
    return _PLACEHOLDER.sub(lambda found: _written(_value(_path(found["path"]), source)), value)


def _written(value: Any) -> str:
    if value is _ABSENT or value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _value(path: Path, source: Source) -> Any:
    event = source.of_type(path.event_type)
    if event is None:
        if path.optional:
            return _ABSENT
        raise MappingError(f"{{{{{path.text}}}}} names an event that {source.event.type} did not come of.")
    found = _OF_EVENT[path.keys[0]](event) if path.of_event else _deeper(event.data, path.keys)
    if found is _ABSENT and not path.optional:
        raise MappingError(f"{{{{{path.text}}}}} is not in the data of {event.type}.")
    return found


def _deeper(data: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if isinstance(data, Mapping) and key in data:
            data = data[key]
        elif isinstance(data, list) and key.isdecimal() and int(key) < len(data):
            data = data[int(key)]
        else:
            return _ABSENT
    return data

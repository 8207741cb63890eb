"""The catalog of event types: a JSON schema each, from `worker/event_types/<type>.json`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

_FOLDER = Path(__file__).parent / "event_types"


@dataclass(frozen=True, slots=True)
class EventType:
    """One kind of event: what it means, what its data must look like, and an example."""

    name: str
    description: str
    schema: Mapping[str, Any]
    example: Mapping[str, Any]
    addressed: bool  # goes to the one account that its `integration_id` names, and to no webhook
    addressable: bool  # does so where its data has an `integration_id`
    _validate: Callable[[Any], Any] = field(repr=False)

    def names_account(self, data: Mapping[str, Any]) -> bool:
        """Whether an event with this data is for one account only."""
        return self.addressed or (self.addressable and "integration_id" in data)

    def problem(self, data: Any) -> str | None:
        """What is wrong with this data, in one sentence; None when nothing is."""
        try:
            self._validate(data)
        except fastjsonschema.JsonSchemaValueException as error:
            return str(error.message)
        return None


@cache
def event_types() -> Mapping[str, EventType]:
    """The catalog by name, compiled once."""
    found = {}
    for path in sorted(_FOLDER.glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        validate = fastjsonschema.compile(facts["schema"], use_default=False)
        found[path.stem] = EventType(
            path.stem,
            facts["description"],
            facts["schema"],
            facts["example"],
            facts.get("addressed") is True,
            "addressed" in facts,
            validate,
        )
    return found


def rows() -> Iterable[tuple[str, str, Mapping[str, Any]]]:
    """The catalog as the database keeps it."""
    return [(kind.name, kind.description, kind.schema) for kind in event_types().values()]


def unknown(name: str) -> str:
    """What to tell somebody who used a type that is not in the catalog."""
    close = get_close_matches(name, event_types(), n=1)
    hint = f"did you mean {close[0]}?" if close else "`mesh events types` lists those that are."
    return f"Event type {json.dumps(name[:100])} is not in the catalog: {hint}"

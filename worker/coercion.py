"""Data that comes as text, from forms and no-code tools: read as what an event type's schema says. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_BOOLEANS = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}


def coerced(data: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The same with numbers, booleans and lists where the schema wants them; an empty text is left out.

    What cannot be read stays as it is: the schema's own check says then what is wrong with it.
    """
    properties = schema.get("properties", {})
    given = {name: value for name, value in data.items() if value not in ("", None)}
    return {name: _read(value, properties.get(name, {})) for name, value in given.items()}


def _read(value: Any, schema: Mapping[str, Any]) -> Any:
    wanted = schema.get("type")
    kinds = [wanted] if isinstance(wanted, str) else list(wanted or ())
    if isinstance(value, Mapping):
        return coerced(value, schema) if "object" in kinds else value
    if isinstance(value, list):
        return [_read(each, schema.get("items", {})) for each in value]
    if not isinstance(value, str) or "string" in kinds:
        return value
    return _from_text(value.strip(), kinds, value)


def _from_text(text: str, kinds: list[str], default: Any) -> Any:
    if "boolean" in kinds and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if {"number", "integer", "array", "object"}.isdisjoint(kinds):
        return default
    try:
        found = json.loads(text)
    except ValueError:
        return default
    fits = {
        "number": isinstance(found, int | float) and not isinstance(found, bool),
        "integer": isinstance(found, int) and not isinstance(found, bool),
        "array": isinstance(found, list),
        "object": isinstance(found, dict),
    }
    return found if any(fits.get(kind) for kind in kinds) else default

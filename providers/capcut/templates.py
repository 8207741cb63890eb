"""Templates: our own lists with placeholders, and scripts that the service plays.

`{{name}}` and `${name}` stand for a value. A text that is one placeholder becomes the value with its own type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from providers.capcut.layers import Operation
from providers.errors import InvalidPayload

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}|\$\{\s*(\w+)\s*\}")
_SCRIPT_NAMES = {"add_subtitle": {"srt": "srt_path"}}  # fields that scripts know by another name


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Placeholders replaced, all the way down. InvalidPayload for one without a value."""
    return _filled(value, values, strict=True)


def _filled(value: Any, values: Mapping[str, Any], *, strict: bool) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(each, values, strict=strict) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, values, strict=strict) for each in value]
    if not isinstance(value, str):
        return value

    def found(hit: re.Match[str]) -> Any:
        name = hit[1] or hit[2]
        if name in values:
            return values[name]
        if strict:
            raise InvalidPayload(f"The template needs a value for {name}.", code="value_missing")
        return hit[0]

    whole = _PLACEHOLDER.fullmatch(value)
    return found(whole) if whole else _PLACEHOLDER.sub(lambda hit: _written(found(hit)), value)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def played(script: Sequence[Any], inputs: Mapping[str, Any]) -> list[Any]:
    """A script with its inputs filled in and its parameters as objects.

    The inputs are filled in here: within a text that is JSON a quotation mark would break it. What loops and
    conditions set stays for the service.
    """
    return [_step(step, lambda params: _filled(_opened(params), inputs, strict=False)) for step in script]


def written(script: Sequence[Any]) -> list[Any]:
    """The same script as it is sent: parameters are a text of JSON whose values are texts."""
    return [_step(step, _closed) for step in script]


def _step(value: Any, change: Any) -> Any:
    """A step, and those inside it, with other parameters."""
    if isinstance(value, list):
        return [_step(each, change) for each in value]
    if not isinstance(value, Mapping):
        return value
    has_params = "action_type" in value and "params" in value
    return {
        name: change(each) if has_params and name == "params" else _step(each, change) for name, each in value.items()
    }


def _opened(params: Any) -> Any:
    if not isinstance(params, str):
        return params
    try:
        return json.loads(params)
    except ValueError:
        raise InvalidPayload("The params of a step are a text that is not JSON.", code="script_wrong") from None


def _closed(params: Any) -> str:
    if not isinstance(params, Mapping):
        return _written(params)
    return json.dumps({name: _written(value) for name, value in params.items()}, ensure_ascii=False)


def compiled(operations: Sequence[Operation]) -> list[dict[str, Any]]:
    """Our own list as a script for the service; its placeholders become the script's inputs."""
    return [
        {
            "type": "action",
            "id": f"s{index + 1}",
            "index": index,
            "action_type": operation.name,
            "params": _closed(_renamed(operation)),
        }
        for index, operation in enumerate(operations)
    ]


def _renamed(operation: Operation) -> dict[str, Any]:
    names = _SCRIPT_NAMES.get(operation.name, {})
    inputs = _as_inputs(operation.params)
    return {names.get(name, name): value for name, value in inputs.items()}


def _as_inputs(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _as_inputs(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_inputs(each) for each in value]
    return _PLACEHOLDER.sub(lambda hit: f"${{{hit[1] or hit[2]}}}", value) if isinstance(value, str) else value

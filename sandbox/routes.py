"""Which stand-in answers which request."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from sandbox.faults import Fault
from sandbox.wire import Answer, Request

Handler = Callable[[Request], Answer | Awaitable[Answer]]
Action = Callable[[Mapping[str, Any]], Any]  # the fields of a JSON object -> a JSON value, or an awaitable one


@dataclass(frozen=True, slots=True)
class Route:
    """One door of a provider. `{name}` in the template is one segment of the path, `{name*}` all the rest."""

    method: str
    template: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class StandIn:
    """A provider played by the sandbox: its doors, what it would put on the bill, its own errors as named faults,
    and what may be done there by other means than its HTTP API."""

    routes: Sequence[Route]
    bill: Callable[[], Mapping[str, Any]] = field(default=dict)
    faults: Mapping[str, Fault] = field(default_factory=dict)  # asked for as "<provider>:<name>"
    actions: Mapping[str, Action] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """The door for a request: whose it is, and what its names stand for."""

    provider: str
    handler: Handler
    params: Mapping[str, str]
    path: str  # without the provider's prefix


class Router:
    """All doors. Every provider also answers under `/<its name>/…`, should two of them share a path."""

    def __init__(self, stand_ins: Mapping[str, StandIn]) -> None:
        self._doors = {
            name: [(route.method, compiled(route.template), route.handler) for route in stand_in.routes]
            for name, stand_in in stand_ins.items()
        }

    def find(self, method: str, path: str) -> Match | int:
        """The door for a request, or the status that says there is none: 404, or 405 for another method."""
        status = 404
        for name, inner in self._candidates(path):
            for wanted, pattern, handler in self._doors[name]:
                found = pattern.fullmatch(inner)
                if found and wanted == method:
                    return Match(name, handler, {k: unquote(v) for k, v in found.groupdict().items()}, inner)
                status = 405 if found else status
        return status

    def _candidates(self, path: str) -> Iterator[tuple[str, str]]:
        """The providers that may be meant, each with the path as it would see it."""
        prefix, _, rest = path[1:].partition("/")
        if prefix in self._doors:
            yield prefix, "/" + rest
        for name in self._doors:
            yield name, path


def compiled(template: str) -> re.Pattern[str]:
    """The template as a pattern; a slash at the end does not matter."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template.replace(".", r"\."))
    pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.*)", pattern)
    return re.compile(pattern + "/?")


def action(function: Callable[..., Any]) -> Action:
    """An action from a function whose parameters are the fields of the JSON object; others are a ValueError."""
    signature = inspect.signature(function)

    def act(given: Mapping[str, Any]) -> Any:
        try:
            bound = signature.bind(**given)
        except TypeError as problem:
            raise ValueError(f"{function.__name__.strip('_')}{signature}: {problem}") from None
        return function(*bound.args, **bound.kwargs)

    return act

"""The door of the API: the key, the limits, the JSON body, then the operation; refusals as answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sandbox.mindstudio.callbacks import Callbacks
from sandbox.mindstudio.errors import Refusal
from sandbox.mindstudio.workspaces import Settings, Workspace
from sandbox.routes import Handler, Route
from sandbox.wire import Answer, Request

PREFIX: Final = "/developer/v2"
LIMIT: Final = 1_000_000  # what x-ratelimit-limit says while there is no limit


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a known workspace; `body` is empty without one."""

    request: Request
    workspace: Workspace
    body: Mapping[str, Any]

    @property
    def now(self) -> float:
        """Unix seconds of its arrival."""
        return self.request.now

    def text(self, name: str) -> str:
        """A field of the body with a text in it; raises Refusal."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise Refusal("invalid_request", f"{name} is required and must be a string.")
        return value

    def optional(self, name: str) -> str | None:
        """A text of the body, or None; raises Refusal."""
        return None if self.body.get(name) is None else self.text(name)

    def object(self, name: str, problem: str = "invalid_request") -> Mapping[str, Any]:
        """An object of the body, empty when there is none; raises Refusal."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, dict):
            raise Refusal(problem, f"{name} must be an object.")
        return value or {}


Operation = Callable[[Call], Answer]


class Gateway:
    """All workspaces behind one door."""

    def __init__(self, settings: Settings, callbacks: Callbacks) -> None:
        self.workspaces: dict[str, Workspace] = {}
        self._settings = settings
        self._callbacks = callbacks

    def route(self, method: str, path: str, operation: Operation) -> Route:
        """An operation behind the check of the key."""
        return Route(method, PREFIX + path, self._behind_key(operation))

    def _behind_key(self, operation: Operation) -> Handler:
        def handle(request: Request) -> Answer:
            try:
                workspace = self._workspace(request.headers.get("authorization", ""))
                self._callbacks.tick(workspace)
                self._admit(request)
                answer = operation(Call(request, workspace, body_of(request)))
            except Refusal as refusal:
                answer = refusal.answer()
            return replace(answer, headers={**answer.headers, **self._limit_headers(request)})

        return handle

    def _workspace(self, authorization: str) -> Workspace:
        """The workspace of a key; raises Refusal."""
        scheme, _, key = authorization.partition(" ")
        if scheme != "Bearer" or not key:
            raise Refusal("missing_key")
        if key.startswith("bad"):
            raise Refusal("invalid_key")
        return self.workspaces.setdefault(key, Workspace(key))

    def _admit(self, request: Request) -> None:
        """Count the request; raises Refusal when there are too many."""
        settings = self._settings
        if request.in_flight > settings.concurrency:
            raise Refusal("concurrency_limited")
        if settings.requests_left == 0:
            raise Refusal("rate_limited")
        if settings.requests_left is not None:
            settings.requests_left -= 1

    def _limit_headers(self, request: Request) -> dict[str, str]:
        left, concurrency = self._settings.requests_left, self._settings.concurrency
        return {
            "x-ratelimit-limit": str(LIMIT),
            "x-ratelimit-remaining": str(LIMIT if left is None else left),
            "x-ratelimit-concurrency-limit": str(concurrency),
            "x-ratelimit-concurrency-remaining": str(max(0, concurrency - request.in_flight)),
        }


def body_of(request: Request) -> Mapping[str, Any]:
    """The JSON object of a request, empty without a body; raises Refusal."""
    if not request.body:
        return {}
    try:
        body = request.json()
    except ValueError:
        raise Refusal("invalid_request", "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Refusal("invalid_request", "The body is not a JSON object.")
    return body


def check_credits(workspace: Workspace) -> None:
    """Raise Refusal for a workspace without credits: those whose key begins with `empty`."""
    if workspace.key.startswith("empty"):
        raise Refusal("no_credits")

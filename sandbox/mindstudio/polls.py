"""Work that is asked for first and looked at later. The token is all that a look needs: no key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.mindstudio.errors import Refusal
from sandbox.mindstudio.gateway import PREFIX
from sandbox.mindstudio.workspaces import Settings, new_id
from sandbox.routes import Handler, Route
from sandbox.wire import Answer, Request, json_answer

PATHS: Final[Mapping[str, str]] = {
    "run": "/agents/run/poll/{token}",
    "step": "/steps/{step_type}/execute-async/poll/{token}",
    "batch": "/steps/execute-batch-async/poll/{token}",
    "task": "/task/poll/{token}",
}


@dataclass(slots=True)
class Pending:
    """Something under way: so many looks find it so, then they find its end."""

    kind: str
    left: int
    end: Mapping[str, Any]
    meanwhile: Mapping[str, Any]


class Polls:
    """All that is under way, or has ended and is not forgotten."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pending: dict[str, Pending] = {}

    def routes(self) -> tuple[Route, ...]:
        """A door for each kind."""
        return tuple(Route("GET", PREFIX + path, self._look_at(kind)) for kind, path in PATHS.items())

    def begin(self, kind: str, end: Mapping[str, Any], meanwhile: Mapping[str, Any] | None = None) -> str:
        """The token of something new, with what its last look says, and what those before add to `pending`."""
        token = new_id()
        self._pending[token] = Pending(kind, self._settings.polls, end, meanwhile or {})
        return token

    def forget(self) -> int:
        """All tokens expire; how many there were."""
        count = len(self._pending)
        self._pending.clear()
        return count

    def _look_at(self, kind: str) -> Handler:
        def look(request: Request) -> Answer:
            found = self._pending.get(request.params["token"])
            if found is None or found.kind != kind:
                return Refusal("poll_expired").answer()
            if found.left > 0:
                found.left -= 1
                return json_answer({"status": "pending", **found.meanwhile})
            return json_answer(found.end)

        return look

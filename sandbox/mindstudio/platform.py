"""The whole of it put together: its doors, its bill, and what may be done there by other means."""

from __future__ import annotations

from typing import Any

from sandbox.mindstudio.callbacks import Callbacks
from sandbox.mindstudio.discovery import Discovery
from sandbox.mindstudio.errors import FAULTS
from sandbox.mindstudio.files import Files
from sandbox.mindstudio.gateway import Gateway
from sandbox.mindstudio.polls import Polls
from sandbox.mindstudio.runs import Runs
from sandbox.mindstudio.steps import Steps
from sandbox.mindstudio.tasks import Tasks
from sandbox.mindstudio.workspaces import CONCURRENCY, ENDS, POLLS, SHAPES, Run, Settings
from sandbox.routes import StandIn, action

ERROR: str = Settings().error


class MindStudio:
    """One platform: what its doors and its own screens share."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.callbacks = Callbacks(self.settings)
        self.gateway = Gateway(self.settings, self.callbacks)
        self.polls = Polls(self.settings)

    def stand_in(self) -> StandIn:
        """Its doors."""
        files = Files()
        parts = (
            Runs(self.settings, self.callbacks, self.polls),
            Steps(self.settings, self.polls, files),
            Tasks(self.settings, self.polls),
            Discovery(),
            files,
        )
        acts = (self.set_runs, self.set_callbacks, self.set_limits, self.send_callbacks, self.forget_polls, self.runs)
        return StandIn(
            routes=(*(route for part in parts for route in part.routes(self.gateway)), *self.polls.routes()),
            bill=self.bill,
            faults=FAULTS,
            actions={one.__name__: action(one) for one in acts},
        )

    def bill(self) -> dict[str, Any]:
        """By key, what it would be charged, for those that used anything."""
        return {key: one.bill() for key, one in self.gateway.workspaces.items() if one.used}

    def set_runs(
        self,
        polls: int = POLLS,
        end: str = ENDS[0],
        error: str = ERROR,
        shape: str = SHAPES[0],
        outputs_by_url: bool = False,
    ) -> None:
        """How runs, steps and tasks begun from now on go: looks that find them pending, their end, their result."""
        one_of("end", end, ENDS)
        one_of("shape", shape, SHAPES)
        self.settings.polls = at_least("polls", polls, 0)
        self.settings.end, self.settings.error = end, error
        self.settings.shape, self.settings.outputs_by_url = shape, outputs_by_url

    def set_callbacks(self, after: int | None = 0, times: int = 1) -> None:
        """When a callback is sent: at once, after so many requests of the same key, or (null) never by itself."""
        self.settings.callback_after = None if after is None else at_least("after", after, 0)
        self.settings.callback_times = at_least("times", times, 1)

    def set_limits(self, requests: int | None = None, concurrency: int = CONCURRENCY) -> None:
        """Requests until all get 429, and requests at once; what is not given is as at the start."""
        self.settings.requests_left = None if requests is None else at_least("requests", requests, 0)
        self.settings.concurrency = at_least("concurrency", concurrency, 1)

    async def send_callbacks(self, thread_id: str | None = None) -> list[dict[str, Any]]:
        """Send those that were never sent, or one run's again: what became of each."""
        chosen = [one for one in self._runs() if one.callback_url and one.thread_id == (thread_id or one.thread_id)]
        if thread_id is None:
            chosen = [one for one in chosen if not one.callbacks]
        elif not chosen:
            raise ValueError(f"no run {thread_id!r} has a callback")
        return [await self.callbacks.send(one) for one in chosen]

    def forget_polls(self) -> int:
        """All tokens to poll with expire: how many there were."""
        return self.polls.forget()

    def runs(self) -> list[dict[str, Any]]:
        """All runs, oldest first of each key, with what became of their callbacks."""
        return [one.as_json() for one in self._runs()]

    def _runs(self) -> list[Run]:
        return [run for workspace in self.gateway.workspaces.values() for run in workspace.runs]


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ValueError for another value."""
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}")


def at_least(name: str, value: int, least: int) -> int:
    """The number, if it is one and not less; raises ValueError."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is a whole number of {least} or more")
    return value


def stand_in() -> StandIn:
    """A fresh MindStudio: nobody has run anything."""
    return MindStudio().stand_in()

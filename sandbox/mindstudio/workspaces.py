"""What a workspace has: its bill, its conversations, its runs. One key, one workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from sandbox.mindstudio.agents import Agent, Result, Workflow, stable_id

POLLS: Final = 2
COMPLETE, ERROR, UNSUCCESSFUL = "complete", "error", "unsuccessful"
ENDS: Final = (COMPLETE, ERROR, UNSUCCESSFUL)
SHAPES: Final = ("plain", "text", "spaced")
CONCURRENCY: Final = 20  # requests at once; theirs counts by key, this one all of them


@dataclass(slots=True)
class Settings:
    """How what is begun from now on goes."""

    polls: int = POLLS  # looks that find it pending
    end: str = COMPLETE
    error: str = "The model did not answer in time."
    shape: str = SHAPES[0]
    outputs_by_url: bool = False
    callback_after: int | None = 0  # requests of the same key until the callback is sent; None: only by an action
    callback_times: int = 1
    requests_left: int | None = None  # until 429; None: no limit
    concurrency: int = CONCURRENCY


@dataclass(slots=True)
class Run:
    """One run of an agent; `end` is one of ENDS."""

    thread_id: str
    agent: Agent
    workflow: Workflow
    variables: Mapping[str, Any]
    result: Result
    end: str
    error: str
    cost_usd: Decimal
    started_at: float  # unix seconds
    billed: bool  # whether the answer says what it cost
    callback_url: str | None = None
    callbacks: list[dict[str, Any]] = field(default_factory=list)  # what became of those that were sent
    left: int | None = None  # requests until the callback is sent; None: not by itself

    def as_json(self) -> dict[str, Any]:
        """The run as the action `runs` shows it."""
        return {
            "thread_id": self.thread_id,
            "app_id": self.agent.id,
            "workflow": self.workflow.name,
            "variables": dict(self.variables),
            "end": self.end,
            "callback_url": self.callback_url,
            "callbacks": self.callbacks,
        }


@dataclass(slots=True)
class Workspace:
    """The account behind a key."""

    key: str = field(repr=False)
    runs: list[Run] = field(default_factory=list)
    steps: int = 0
    tasks: int = 0
    nano_credits: int = 0  # of steps and tasks, in 1e-9 credits
    threads: dict[str, int] = field(default_factory=dict)  # messages in each conversation

    @property
    def id(self) -> str:
        """The organisation's id."""
        return stable_id("organization", self.key)

    @property
    def app_id(self) -> str:
        """The app that steps without one run in."""
        return stable_id("service-app", self.key)

    def speak(self, thread_id: str) -> int:
        """One more message in a conversation: the how-manieth it is."""
        self.threads[thread_id] = self.threads.get(thread_id, 0) + 1
        return self.threads[thread_id]

    def bill(self) -> dict[str, Any]:
        """What it would be charged."""
        return {
            "runs": len(self.runs),
            "usd": str(sum((run.cost_usd for run in self.runs), Decimal(0))),
            "steps": self.steps,
            "tasks": self.tasks,
            "nano_credits": self.nano_credits,
        }

    @property
    def used(self) -> bool:
        """Whether there is anything to charge."""
        return bool(self.runs or self.steps or self.tasks)


def new_id() -> str:
    """An id as they give to threads and tokens."""
    return str(uuid4())

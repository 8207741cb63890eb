"""What belongs to an API key: its plan, its bill, its history, its voices; and the door that asks for the key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.elevenlabs.concurrency import Lane, concurrency_headers
from sandbox.elevenlabs.errors import OldRefusal, Refusal
from sandbox.elevenlabs.generation import Generation
from sandbox.elevenlabs.models import STANDARD, TURBO
from sandbox.elevenlabs.voice import Voice
from sandbox.routes import Handler
from sandbox.wire import Answer, Request

CHARACTER_LIMIT: Final = 500_000
CEILINGS: Final[Mapping[str, int]] = {STANDARD: 10, TURBO: 20}  # of their plan "Pro"
QUEUE: Final = 100  # unconfirmed: how many they let wait before they say 429
VOICE_LIMIT: Final = 160
# The numbers on the bill beside characters and generations, shown once there are any.
EXTRAS: Final = ("clones", "trainings", "dubs", "transcriptions", "podcasts", "conversions")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a workspace may do, and how fast it is served."""

    character_limit: int = CHARACTER_LIMIT
    ceilings: Mapping[str, int] = field(default_factory=lambda: dict(CEILINGS))
    queue: int = QUEUE
    pace_s: float = 0.0  # how long a generation takes
    voice_limit: int = VOICE_LIMIT
    cloning: bool = True
    library: bool = True  # whether voices of others may be added
    verification: bool = False  # new clones wait for the speaker's verification
    professional: bool = True  # whether the plan trains voices
    studio: bool = False  # whether their sales people let it make podcasts
    podcast_polls: int = 2  # so many looks find a new podcast under way
    podcast_outcome: str = "success"


@dataclass(slots=True)
class Workspace:
    """What belongs to one API key."""

    key: str = field(repr=False)
    plan: Plan
    characters: int = 0
    generations: int = 0
    history: dict[str, Generation] = field(default_factory=dict)  # by item id, oldest first
    made: dict[str, Generation] = field(default_factory=dict)  # by request id, all of them
    stale: set[str] = field(default_factory=set)  # request ids that a test made too old to be stitched to
    lanes: dict[str, Lane] = field(default_factory=dict)  # by group of models
    voices: dict[str, Voice] = field(default_factory=dict)  # its own, and those it changed
    deleted_voices: set[str] = field(default_factory=set)
    previews: set[str] = field(default_factory=set)  # ids of designed voices that may become voices
    dictionaries: dict[str, Any] = field(default_factory=dict)
    webhooks: dict[str, Any] = field(default_factory=dict)
    dubs: dict[str, Any] = field(default_factory=dict)
    transcripts: dict[str, Any] = field(default_factory=dict)
    projects: dict[str, Any] = field(default_factory=dict)
    extras: dict[str, int] = field(default_factory=dict)

    def check_quota(self, cost: int) -> None:
        """Raise OldRefusal when the plan has not so many characters left."""
        left = self.plan.character_limit - self.characters
        if cost > left:
            message = f"This request exceeds your quota. You have {left} credits, and it needs {cost}."
            raise OldRefusal("quota_exceeded", message)

    def enter(self, group: str, now: float) -> float:
        """When a generation that begins now is done; raises Refusal when too many are under way."""
        plan = self.plan
        lane = self.lanes.setdefault(group, Lane())
        return lane.enter(now, plan.ceilings[group], plan.queue, plan.pace_s)

    def concurrency(self, group: str, now: float) -> Mapping[str, str]:
        """The headers that say how many run."""
        lane = self.lanes.setdefault(group, Lane())
        return concurrency_headers(lane.running(now), self.plan.ceilings[group])

    def charge(self, cost: int) -> None:
        """One generation more on the bill."""
        self.characters += cost
        self.generations += 1

    def record(self, made: Generation) -> None:
        """On the bill and, unless it asks for zero retention, in the history."""
        self.charge(made.cost)
        self.made[made.request_id] = made
        if made.logged:
            self.history[made.id] = made

    def count(self, extra: str) -> None:
        """One more of EXTRAS on the bill."""
        self.extras[extra] = self.extras.get(extra, 0) + 1

    def bill(self) -> dict[str, int]:
        """What it would pay for."""
        return {"characters": self.characters, "generations": self.generations, **self.extras}


class Workspaces:
    """All of them; one is made when its key is first seen."""

    def __init__(self) -> None:
        self.plan = Plan()  # of those that come
        self.by_key: dict[str, Workspace] = {}

    def of(self, key: str) -> Workspace:
        """The workspace of a key; raises Refusal."""
        if not key:
            raise Refusal("missing_api_key", "Send your key as xi-api-key.")
        if key.startswith("bad"):
            raise Refusal("invalid_api_key", "Invalid API key")
        if key not in self.by_key:
            plan = Plan(character_limit=0) if key.startswith("empty") else self.plan
            self.by_key[key] = Workspace(key, plan)
        return self.by_key[key]

    def bill(self) -> dict[str, Any]:
        """By API key, for those that have anything on it."""
        return {key: one.bill() for key, one in self.by_key.items() if any(one.bill().values())}


@dataclass(frozen=True, slots=True)
class Call:
    """A request with a key that is good."""

    request: Request
    workspace: Workspace

    @property
    def args(self) -> Mapping[str, str]:
        """Its query."""
        return self.request.args

    @property
    def params(self) -> Mapping[str, str]:
        """What the names in its path stand for."""
        return self.request.params

    @property
    def now(self) -> float:
        """When it came, in unix seconds."""
        return self.request.now


Door = Callable[[Call], Answer | Awaitable[Answer]]


def behind_key(workspaces: Workspaces, door: Door) -> Handler:
    """The door behind the `xi-api-key` check, its refusals as answers."""

    def checked(request: Request) -> Answer | Awaitable[Answer]:
        try:
            return door(Call(request, workspaces.of(request.headers.get("xi-api-key", ""))))
        except Refusal as refusal:
            return refusal.answer()

    return checked

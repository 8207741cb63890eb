"""How far a script has come to be one file: what is asked for, the takes of its pieces, and what progress says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from model import Done, MediaAsset
from providers.contract import Call
from providers.elevenlabs.history import Wanted
from providers.elevenlabs.script import Piece, Script
from providers.http import Request


@dataclass(frozen=True, slots=True)
class Take:
    """A piece that was made. Kept short: it is written into the progress, once for each piece."""

    request_id: str | None
    item_id: str | None  # in the history; noted only where nobody told the request's
    at: int  # unix seconds
    seconds: float | None
    cost: str | None  # in characters
    recovered: bool = False

    def ids(self) -> set[str]:
        """What it is known by."""
        return {each for each in (self.request_id, self.item_id) if each}

    def row(self) -> list[Any]:
        """As progress has it."""
        return [self.request_id, self.item_id, self.at, self.seconds, self.cost, self.recovered]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One file and what is known of it."""

    assets: tuple[MediaAsset, ...]  # the sound; then, where they are wanted, its times
    takes: tuple[Take, ...]
    offsets: tuple[float, ...]  # of the pieces in the file
    seconds: float | None

    @property
    def cost(self) -> Decimal | None:
        """Of all pieces, also those whose answers were lost; None where nothing said it."""
        said = [Decimal(take.cost) for take in self.takes if take.cost is not None]
        return sum(said, Decimal(0)) if said else None

    @property
    def recovered(self) -> bool:
        """Whether a piece of it was found in the history."""
        return any(take.recovered for take in self.takes)


Finish = Callable[[Call, Script, Rendered], Done]


@dataclass(frozen=True, slots=True)
class Job:
    """What an event asks for, and what is different about its kind."""

    script: Script
    plan: Mapping[str, Any]  # what later steps must find as it was in the first: goes into the progress
    ask: Callable[[Call, Script, Piece, Mapping[str, Any]], Request]
    context: Callable[[Call, Script, int, tuple[Take, ...]], Iterator[Mapping[str, Any]]]  # best first
    wanted: Callable[[Script, Piece], Wanted]  # in the history
    finish: Finish


@dataclass(frozen=True, slots=True)
class State:
    """How far a job is."""

    takes: tuple[Take, ...] = ()
    since: int = 0  # unix seconds: what is in the air was asked for after that
    assets: tuple[MediaAsset, ...] = field(default=())

    @classmethod
    def of(cls, call: Call) -> State:
        """From the progress."""
        progress = call.progress
        return cls(
            takes=tuple(Take(*row) for row in progress.get("takes", ())),
            since=int(progress.get("since", call.first_attempt_at.timestamp())),
            assets=tuple(_asset(each) for each in progress.get("files", ())),
        )

    def progress(self, call: Call, job: Job) -> dict[str, Any]:
        """What is handed back to the next step."""
        return {
            "plan": dict(job.plan),
            "since": int(call.now.timestamp()),
            "takes": [take.row() for take in self.takes],
            "done": len(self.takes),
            "of": len(job.script.pieces),
            **({"files": [_facts(asset) for asset in self.assets]} if self.assets else {}),
        }


def _facts(asset: MediaAsset) -> dict[str, Any]:
    return {
        "id": str(asset.id),
        "uri": asset.uri,
        "mime": asset.mime,
        "size_bytes": asset.size_bytes,
        "sha256": asset.sha256,
        "details": dict(asset.details),
    }


def _asset(facts: Mapping[str, Any]) -> MediaAsset:
    return MediaAsset(**{**facts, "id": UUID(facts["id"])})

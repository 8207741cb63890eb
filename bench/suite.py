"""Which rounds are played, and on which mesh: the named faults one by one, or random mixes of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bench.faults import FAULTS, Fault, Planned, in_turn, mix
from bench.ground import Ground
from bench.rounds import Mesh, Report, Round

Say = Callable[[str], None]
Done = Callable[[Mesh, Report], None]

STRIDE = 11  # rounds between those that are played one after another
MIX_EVENTS = 2000
MIX_TAIL_S = 2.0  # of load after a mix's last fault


@dataclass(frozen=True, slots=True)
class Scale:
    """The load around each fault."""

    events: int
    before_s: float
    during_s: float  # at least, so that a fault that waits for work to strike at finds it
    after_s: float
    deadline_s: float  # of a call; what a killed worker held is free again 4 s after it
    settle_s: float
    short: bool

    def seconds(self, fault: Fault) -> float:
        """How long a fault lasts."""
        return fault.short_s if self.short else fault.seconds


# The deadline of the full form suits what comes at once when a server is back: the receiver needs a while for it.
FULL = Scale(events=2500, before_s=2, during_s=4, after_s=4, deadline_s=5, settle_s=90, short=False)
SHORT = Scale(events=150, before_s=0.4, during_s=0.8, after_s=0.6, deadline_s=2, settle_s=40, short=True)


def named(chosen: Sequence[Fault], seed: int, scale: Scale) -> list[Round]:
    """A round for each fault. The same seed gives a fault the same round, whichever others are played."""
    return [_alone(fault, seed, scale) for fault in chosen]


def spread(rounds: Sequence[Round]) -> list[Round]:
    """An order in which rounds that stand side by side come far apart, those with stepped clocks last.

    A worker that is killed twice within seconds starts again later and later: that is no finding.
    """
    plain = [asked for asked in rounds if not _clocked(asked)]
    far = [plain[place] for first in range(STRIDE) for place in range(first, len(plain), STRIDE)]
    return far + [asked for asked in rounds if _clocked(asked)]


def _clocked(asked: Round) -> bool:
    return any(planned.fault.clocked for planned in asked.faults)


def _alone(fault: Fault, seed: int, scale: Scale) -> Round:
    seconds, place = scale.seconds(fault), FAULTS.index(fault) + 1
    return Round(
        name=fault.name,
        place=place,
        tenant_id=f"chaos-{place}",
        seed=f"{seed} {fault.name}",
        events=scale.events,
        publish_s=scale.before_s + max(seconds, scale.during_s),
        tail_s=scale.after_s,
        faults=[Planned(scale.before_s, fault, seconds)],
        settle_s=scale.settle_s,
    )


def mixes(rounds: int, seed: int, chosen: Sequence[Fault]) -> Iterator[Round]:
    """Rounds with the seeds `seed`, `seed` + 1, …: each a random mix, or the chosen faults in their order."""
    for number in range(seed, seed + rounds):
        rng = random.Random(number)
        planned = in_turn(rng, chosen) if chosen else mix(rng)
        last = planned[-1]
        yield Round(
            name=f"seed {number}",
            place=number,
            tenant_id=f"mix-{number}",
            seed=str(number),
            events=MIX_EVENTS,
            publish_s=last.at_s + last.seconds,
            tail_s=MIX_TAIL_S,
            faults=planned,
            settle_s=FULL.settle_s,
        )


def play(
    ground: Ground, rounds: Sequence[Round], say: Say, done: Done, *, deadline_s: float, keep: bool
) -> list[Report]:
    """Play the rounds. With `keep` a mesh goes on from round to round, until a promise was broken on it."""
    reports: list[Report] = []
    mesh: Mesh | None = None
    try:
        for asked in rounds:
            clocked = _clocked(asked)
            if mesh is not None and (not keep or mesh.clocked != clocked or reports[-1].broken):
                _end(mesh)
                mesh = None
            if mesh is None:
                ground.redis.start()
                ground.redis.flushall()
                mesh = Mesh(ground, f"mesh-{asked.tenant_id}", say, deadline_s=deadline_s, clocked=clocked).__enter__()
            reports.append(mesh.play(asked))
            done(mesh, reports[-1])
    finally:
        if mesh is not None:
            _end(mesh)
    return reports


def _end(mesh: Mesh) -> None:
    mesh.__exit__(None, None, None)

"""The named faults, as a table, and which of them strike in a random mix."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench import clock_faults, server_faults, worker_faults
from bench.target import Effect, Target
from worker.faults import PHASES

Strike = Callable[[Target, float], Effect]

MIXED = 8  # faults in a random mix, worker kills included
MIXED_KILLS = 2
WORKER_KILL = "kill a worker at a random moment"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong. `strike` gets how many seconds it lasts, and returns when it is over."""

    name: str
    strike: Strike
    seconds: float = 0.0
    short_s: float = 0.0  # the same in the short form and in mixes
    mixes: bool = True  # whether others may strike beside it
    clocked: bool = False  # whether it needs a mesh whose clocks can be stepped
    missing: Callable[[], str] = lambda: ""  # what this machine lacks for it


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and its moment, in seconds from the first publishing."""

    at_s: float
    fault: Fault
    seconds: float


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened."""

    at_s: float
    name: str
    took_s: float
    over_at: float  # unix time
    effect: Effect


def _clock(name: str, seconds: int, *processes: str) -> Fault:
    strike = clock_faults.stepped(seconds, *processes)
    return Fault(name, strike, 2, 2, mixes=False, clocked=True, missing=clock_faults.missing)


_PHASE_NAMES = {"send": "kill a worker before send", "sent": "kill a worker after send"}

FAULTS: Sequence[Fault] = (
    *(
        Fault(_PHASE_NAMES.get(phase, f"kill a worker after {phase}"), worker_faults.at_phase(phase))
        for phase in PHASES
    ),
    Fault(WORKER_KILL, worker_faults.one),
    Fault("SIGTERM, then SIGKILL a worker", worker_faults.terminated_and_killed),
    Fault("kill all workers", worker_faults.all_at_once),
    Fault("deploy: SIGTERM each worker in turn", worker_faults.deployed, 20, 5),
    Fault("a delivery that kills its worker", worker_faults.poisoned, 55, 35, mixes=False),
    Fault("kill beat", worker_faults.beat),
    Fault("two beats", worker_faults.two_beats, 6, 3),
    Fault("many reconcilers at once", worker_faults.many_reconcilers, 5, 2),
    Fault("Redis: FLUSHALL", server_faults.redis_flushed),
    Fault("Redis killed, back empty", server_faults.redis_back_empty),
    Fault("Redis killed, back with its data", server_faults.redis_back),
    Fault("Redis unreachable", server_faults.redis_unreachable, 60, 4),
    Fault("Redis paused", server_faults.redis_paused, 25, 3),
    Fault("Redis: every connection killed", server_faults.redis_clients_killed),
    Fault("PostgreSQL restarted", server_faults.postgres_restarted),
    Fault("PostgreSQL crashed", server_faults.postgres_crashed),
    Fault("PostgreSQL: every backend terminated", server_faults.postgres_cut_off),
    Fault("PostgreSQL: no connection left", server_faults.postgres_exhausted, 6, 2),
    Fault("PostgreSQL: disk full", server_faults.disk_full, 6, 2),
    Fault("PostgreSQL: read-only", server_faults.read_only, 6, 2),
    Fault("PostgreSQL paused", server_faults.postgres_paused, 12, 3),
    Fault("PostgreSQL away, longer than leases", server_faults.postgres_away, 15, 8, mixes=False),
    _clock("clocks jump an hour ahead", 3600),
    _clock("clocks jump an hour back", -3600),
    _clock("beat's clock an hour behind", -3600, "beat"),
)


def matching(text: str) -> list[Fault]:
    """The faults whose names contain a text, whatever its case; one that is named exactly is meant alone."""
    wanted = text.casefold()
    exact = [fault for fault in FAULTS if fault.name.casefold() == wanted]
    return exact or [fault for fault in FAULTS if wanted in fault.name.casefold()]


def mix(rng: random.Random) -> list[Planned]:
    """Some faults of all kinds, in random order, each a while after the one before."""
    kinds = [fault for fault in FAULTS if fault.mixes and fault.name != WORKER_KILL]
    (kill,) = matching(WORKER_KILL)
    chosen = [*rng.sample(kinds, MIXED - MIXED_KILLS), *[kill] * MIXED_KILLS]
    rng.shuffle(chosen)
    return in_turn(rng, chosen)


def in_turn(rng: random.Random, chosen: Sequence[Fault]) -> list[Planned]:
    """These faults in this order, at random moments."""
    planned, at_s = [], 0.0
    for fault in chosen:
        at_s += rng.uniform(0.3, 1.5)
        planned.append(Planned(at_s, fault, fault.short_s))
        at_s += fault.short_s
    return planned


def strike(planned: Planned, target: Target, began: float) -> Struck:
    """Do it now; `began` is the monotonic time of the first publishing."""
    now = time.monotonic()
    effect = planned.fault.strike(target, planned.seconds)
    return Struck(now - began, planned.fault.name, time.monotonic() - now, time.time(), effect)

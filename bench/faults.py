"""What chaos does, when, and what was in the air at that moment."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.ground import Ground, query
from cli.stack import Stack

Answer = TypeVar("Answer")

DEATH_S = 5.0  # how long a killed process may take to be gone
BUSY_S = 2.0  # how long a worker that is to be killed may take to have calls in the air
BIRTH_S = 5.0  # how long we wait for a process that is to be killed, while its supervisor starts it again

# A dead worker's open attempts: claimed and not settled. Read after its death, when nothing moves them until their
# leases end, so the set is exact. The receiver's gauge would miss what it has answered and nobody has settled yet,
# which is repeated too; and it cannot tell whose a request is.
HELD = "select delivery_id::text from integration_sync_logs where state = 'started' and worker = %(worker)s"


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault and its moment, in seconds from the first publishing."""

    at_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that happened."""

    at_s: float
    name: str
    took_s: float
    held: Sequence[str] = ()  # deliveries that a killed worker had claimed and not settled


@dataclass(frozen=True, slots=True)
class Target:
    """What faults act on."""

    ground: Ground
    stack: Stack
    database_url: str


def _kill_worker(target: Target, name: str) -> Sequence[str]:
    """Kill it at work rather than while it starts; after a while, whatever it does."""
    _until(lambda: _held(target, target.stack.supervisor.pid(name)), BUSY_S)
    return _held(target, _kill(target.stack, name))


def _held(target: Target, pid: int | None) -> Sequence[str]:
    worker = f"{socket.gethostname()}:{pid}"  # as `worker.resources` names itself
    return [row[0] for row in query(target.database_url, HELD, {"worker": worker})] if pid else []


def _kill_beat(target: Target) -> Sequence[str]:
    _kill(target.stack, "beat")
    return ()


def _kill(stack: Stack, name: str) -> int | None:
    """SIGKILL; the process id once it is gone, None when none ran."""
    pid = _until(lambda: stack.supervisor.pid(name), BIRTH_S)
    if pid is not None:
        stack.supervisor.kill(name)
        _until(lambda: stack.supervisor.pid(name) != pid, DEATH_S)
    return pid


def _until(ask: Callable[[], Answer], seconds: float) -> Answer:
    deadline = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer


def _flush(target: Target) -> Sequence[str]:
    target.ground.redis.flushall()
    return ()


def _kill_redis(target: Target) -> Sequence[str]:
    target.ground.redis.kill()
    target.ground.redis.restart(empty=True)
    return ()


def _crash_postgres(target: Target) -> Sequence[str]:
    target.ground.postgres.restart("immediate")
    return ()


def _restart_postgres(target: Target) -> Sequence[str]:
    target.ground.postgres.restart("fast")
    return ()


FAULTS: Mapping[str, Callable[[Target], Sequence[str]]] = {
    "kill worker-1": lambda target: _kill_worker(target, "worker-1"),
    "kill worker-2": lambda target: _kill_worker(target, "worker-2"),
    "kill beat": _kill_beat,
    "flush redis": _flush,
    "kill redis": _kill_redis,
    "crash postgres": _crash_postgres,
    "restart postgres": _restart_postgres,
}
WORKERS = ("kill worker-1", "kill worker-2")
OTHERS = ("kill beat", "flush redis", "kill redis", "crash postgres", "restart postgres")


def plan(rng: random.Random, over_s: float, worker_kills: int = 3) -> list[Planned]:
    """All kinds of faults once and workers several times, in random order, at random moments."""
    names = [*OTHERS, *(rng.choice(WORKERS) for _ in range(worker_kills))]
    rng.shuffle(names)
    moments = sorted(rng.uniform(0.05, 0.95) * over_s for _ in names)
    return [Planned(at_s, name) for at_s, name in zip(moments, names, strict=True)]


def strike(planned: Planned, target: Target, began: float) -> Struck:
    """Do it now; `began` is the monotonic time of the first publishing."""
    now = time.monotonic()
    held = FAULTS[planned.name](target)
    return Struck(now - began, planned.name, time.monotonic() - now, held)

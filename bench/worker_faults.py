"""Faults of our own processes: killed at a phase, at random, all at once, by what they deliver; deployed; doubled."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial

from bench.ground import START_S, WORKERS, listeners, plain_environment, query
from bench.producers import SqlDoor
from bench.target import DEATH_S, WORKER_NAMES, Effect, NotStruck, Target, until
from cli.processes import ProcessSpec, Supervisor
from cli.stack import CELERY, WORKER_GRACE_S
from worker.reconcile import MAX_LOST

CROWDED = ("dispatch", "claim")  # phases that deliveries skip while workers have room for them at once
BURST = 600
PHASE_S = 15.0  # within which a worker under load gets to a phase
BUSY_S = 2.0  # how long a worker that is to be killed may take to have calls in the air
TERM_LEAD_S = 0.5  # at most between SIGTERM and SIGKILL
TICKS_AT_ONCE = 20
TICKS_EVERY_S = 0.2
POISON_DEATH_S = 20.0  # for one of the poison's deaths: a lease, a tick, and a worker that starts again

DEAD = (
    "select count(*) from deliveries d join events e on e.id = d.event_id"
    " where e.idempotency_key = %(key)s and d.state = 'failed'"
)


def at_phase(phase: str) -> Callable[[Target, float], Effect]:
    """The first worker that gets to this phase is killed there."""

    def strike(target: Target, _seconds: float) -> Effect:
        before = target.running()
        with target.ordered(phase):
            burst = _burst(target) if phase in CROWDED else ()
            struck, dead = until(lambda: target.gone(before), bool, PHASE_S)
        if not struck:
            raise NotStruck(f"no worker got to the phase {phase} within {PHASE_S:g} s", burst)
        return Effect(target.held(dead), published=burst)

    return strike


def _burst(target: Target) -> Sequence[str]:
    """More events at once than workers claim as they come, so that some go over the queues."""
    keys = [f"{target.tenant_id}-burst-{number}" for number in range(BURST)]
    with closing(SqlDoor(target.database_url, target.tenant_id)) as door:
        door.send(keys)
    return keys


def one(target: Target, _seconds: float) -> Effect:
    """A worker is killed while it has calls in the air; after a while, whatever it does."""
    name = target.rng.choice(WORKER_NAMES)
    pid = target.running()[name]
    until(lambda: _frozen_at_work(target, name, pid), bool, BUSY_S, BUSY_S / 20)
    return _killed(target, {name: pid})


def _frozen_at_work(target: Target, name: str, pid: int) -> bool:
    """Freeze it; when it has nothing in the air, let it go on."""
    target.stack.supervisor.kill(name, signal.SIGSTOP)
    if target.held([pid]):
        return True
    target.stack.supervisor.kill(name, signal.SIGCONT)
    return False


def all_at_once(target: Target, _seconds: float) -> Effect:
    """Every worker is killed."""
    return _killed(target, target.running())


def _killed(target: Target, victims: Mapping[str, int]) -> Effect:
    for name in victims:
        target.stack.supervisor.kill(name)
    until(lambda: target.gone(victims), lambda gone: len(gone) == len(victims), DEATH_S)
    return Effect(target.held(list(victims.values())))


def terminated_and_killed(target: Target, _seconds: float) -> Effect:
    """A worker that was asked to end is killed before it could."""
    name = target.rng.choice(WORKER_NAMES)
    victim = {name: target.running()[name]}
    target.stack.supervisor.kill(name, signal.SIGTERM)
    time.sleep(target.rng.uniform(0, TERM_LEAD_S))
    return _killed(target, victim)


def deployed(target: Target, seconds: float) -> Effect:
    """Each worker is asked to end, and the next one only when its successor works; again and again."""
    deadline = time.monotonic() + seconds
    while True:
        for name in WORKER_NAMES:
            before = {name: target.running()[name]}
            target.stack.supervisor.kill(name, signal.SIGTERM)
            until(partial(target.gone, before), bool, WORKER_GRACE_S)
            until(lambda: listeners(target.database_url), lambda count: count >= WORKERS, START_S, 0.05)
        if time.monotonic() > deadline:
            return Effect()


def poisoned(target: Target, _seconds: float) -> Effect:
    """A delivery kills every worker that makes its call, until it is a dead letter."""
    key = f"{target.tenant_id}-poison"
    held: list[str] = []
    with target.ordered(f"sent {key}"), closing(SqlDoor(target.database_url, target.tenant_id)) as door:
        door.send([key])
        for _ in range(MAX_LOST):
            before = target.running()
            struck, dead = until(lambda before=before: target.gone(before), bool, POISON_DEATH_S)  # type: ignore[misc]
            if not struck:
                break
            held += target.held(dead)
        until(lambda: query(target.database_url, DEAD, {"key": key})[0][0], bool, POISON_DEATH_S, 0.1)
    return Effect(held, published=(key,), poison=(key,))


def beat(target: Target, _seconds: float) -> Effect:
    """Beat is killed."""
    _, pid = until(lambda: target.stack.supervisor.pid("beat"), bool, DEATH_S)
    target.stack.supervisor.kill("beat")
    until(lambda: target.stack.supervisor.pid("beat"), lambda now: now != pid, DEATH_S)
    return Effect()


def two_beats(target: Target, seconds: float) -> Effect:
    """A second beat runs beside the first one."""
    with _second_beat(target):
        time.sleep(seconds)
    return Effect()


@contextmanager
def _second_beat(target: Target) -> Iterator[None]:
    home = target.stack.home / "second-beat"
    env = {**plain_environment(), **{name.upper(): value for name, value in target.stack.settings.items()}}
    argv = [*CELERY, "beat", "--schedule", str(home / "schedule"), "--pidfile="]
    supervisor = Supervisor(home, say=lambda line: None)
    try:
        supervisor.start([ProcessSpec("beat", argv, env)])
        yield
    finally:
        supervisor.hurry()
        supervisor.close()


def many_reconcilers(target: Target, seconds: float) -> Effect:
    """Reconcile ticks come by the dozen, so that many run at the same time."""
    from worker.app import app  # reads its settings at first use: those of the mesh that runs by then

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for _ in range(TICKS_AT_ONCE):
            app.send_task("deliveries.reconcile", queue="control")
        time.sleep(TICKS_EVERY_S)
    return Effect()

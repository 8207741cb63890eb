"""One run of one way to do the job: events per second from the first publishing to the last committed row.

One definition for all: the publisher is a process of its own, and the clock runs from its first event until every row
is committed, so it counts publishing, queueing, calling and recording together. The drain rate is a second run: the
consumers are frozen (SIGSTOP) while everything is published, and the clock starts when they go on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

import psutil

from bench.ground import Ground, query
from bench.meter import Meter, Pids, machine_s, tree
from bench.part import NotMeasured
from bench.publisher import Published, Publisher

DONE_S = 120.0  # for one run; longer means that something is broken
POLL_S = 0.02


class Role(Enum):
    """What a way to do the job is in a comparison."""

    MESH = "mesh"
    PEER = "peer"  # another task queue
    LIMIT = "limit"  # no queue at all: what the machine can do


@dataclass(frozen=True, slots=True)
class Lane:
    """One way to do the job."""

    name: str
    role: Role
    kind: str  # of publishing
    events: int
    path: str  # at the receiver, below which each run has its own
    publisher: Publisher = field(repr=False)
    database_url: str = field(repr=False)
    rows: str = field(repr=False)  # how many rows of a tenant are committed
    processes: Pids = field(repr=False)  # all that work for it, without the publisher
    prepare: Callable[[str, str], None] = field(repr=False)  # a run's tenant and its path at the receiver


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to."""

    events: int
    seconds: float
    cpu_us: Mapping[str, float]  # a delivery, by part
    requests: int
    ids: int
    others: float = 0.0  # the share of this machine that programs which are no part of the run took

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.events / self.seconds

    @property
    def exact(self) -> bool:
        """Whether the receiver got each event exactly once."""
        return self.requests == self.ids == self.events


class Unfinished(NotMeasured):
    """A run did not end in time; the text says how far it came."""


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU of a time: microseconds per delivery by part, and the share of the machine that others took."""

    cpu_us: Mapping[str, float]
    others: float


class Account:
    """CPU of one way to do the job and of the servers, from now until `read`."""

    def __init__(self, ground: Ground, processes: Pids) -> None:
        self._meter = Meter(
            {
                "consumers": processes,
                "PostgreSQL": lambda: _pids(ground.postgres.pid),
                "Redis": lambda: _pids(ground.redis.pid),
                "receiver": lambda: _pids(ground.sandbox_pid),
            }
        )
        self._began = time.monotonic()
        self._machine_s = machine_s() - time.process_time()  # this process only looks on
        self._meter.start()

    def read(self, publisher_s: float, events: int) -> Spent:
        """What these deliveries cost."""
        parts = {**self._meter.read(), "publisher": publisher_s}
        machine = machine_s() - time.process_time() - self._machine_s
        there = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        others = max(0.0, machine - sum(parts.values())) / there
        return Spent({part: seconds / events * 1e6 for part, seconds in parts.items()}, others)


def measure(ground: Ground, lane: Lane, tenant_id: str, *, events: int, drain: bool = False) -> Run:
    """One run: publish, wait for the last row."""
    path = f"{lane.path}/{tenant_id}"
    lane.prepare(tenant_id, path)
    lane.publisher.prepare(lane.kind, tenant_id, events)
    account = Account(ground, lane.processes)
    if drain:
        with frozen(lane.processes):
            published = _published(lane)
        began = time.time()
        ended = _done(ground, lane, tenant_id, events)
    else:
        lane.publisher.go()
        ended = _done(ground, lane, tenant_id, events)
        published = lane.publisher.wait()
        began = published.first_at
    spent = account.read(published.cpu_s, events)
    counts = ground.control.counts(path)
    return Run(events, ended - began, spent.cpu_us, counts["requests"], len(counts["by_id"]), spent.others)


@contextmanager
def frozen(pids: Pids) -> Iterator[None]:
    """Stop these processes and all their children for the time of the block."""
    freeze(pids)
    try:
        yield
    finally:
        thaw(pids)


def freeze(pids: Pids) -> None:
    """Stop these processes and all their children where they are."""
    _send(pids, signal.SIGSTOP)


def thaw(pids: Pids) -> None:
    """Let them go on."""
    _send(pids, signal.SIGCONT)


def _send(pids: Pids, number: int) -> None:
    for pid in pids():
        for process in tree(pid):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)


def _published(lane: Lane) -> Published:
    lane.publisher.go()
    return lane.publisher.wait()


def _done(ground: Ground, lane: Lane, tenant_id: str, events: int) -> float:
    """When all rows were committed. The receiver is asked first: that costs PostgreSQL nothing."""
    deadline = time.monotonic() + DONE_S
    received = rows = 0
    while time.monotonic() < deadline:
        if received < events:
            received = ground.control.counts(f"{lane.path}/{tenant_id}", ids=False)["requests"]
        else:
            rows = int(query(lane.database_url, lane.rows, {"tenant": tenant_id})[0][0])
        if rows >= events:
            return time.time()
        time.sleep(POLL_S)
    raise Unfinished(
        f"{lane.name}: of {events} events {received} were received and {rows} rows committed in {DONE_S:g} s."
    )


def _pids(pid: int | None) -> Sequence[int]:
    return [] if pid is None else [pid]

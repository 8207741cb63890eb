"""Events per second from the first publishing to the last committed row, and what each part costs.

One definition for all: the publisher is a process of its own, and the clock runs from its first event until every row
is committed, so it counts publishing, queueing, calling and recording together. The drain rate is a second run: the
consumers are frozen (SIGSTOP) while everything is published, and the clock starts when they go on.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from bench.ground import Ground, query
from bench.meter import Meter, Pids, tree
from bench.publisher import Published, Publisher

DONE_S = 120.0  # for one run; longer means that something is broken
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Lane:
    """One way to do the job."""

    name: str
    kind: str  # of publishing
    events: int
    path: str  # at the receiver, below which each run has its own
    publisher: Publisher = field(repr=False)
    database_url: str = field(repr=False)
    rows: str = field(repr=False)  # how many rows of a tenant are committed
    consumers: Pids
    prepare: Callable[[str, str], None] = field(repr=False)  # a run's tenant and its path at the receiver


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to."""

    tenant_id: str
    events: int
    seconds: float
    cpu_us: Mapping[str, float]  # a delivery, by part
    requests: int
    ids: int

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.events / self.seconds


class Unfinished(RuntimeError):
    """A run did not end in time; the text says how far it came."""


def measure(ground: Ground, lane: Lane, *, drain: bool) -> Run:
    """One run: publish, wait for the last row."""
    tenant_id = f"{lane.kind.replace(' ', '-')}{'-drain' if drain else ''}"
    path = f"{lane.path}/{tenant_id}"
    lane.prepare(tenant_id, path)
    lane.publisher.prepare(lane.kind, tenant_id, lane.events)
    meter = Meter(
        {
            "consumers": lane.consumers,
            "PostgreSQL": lambda: _pids(ground.postgres.pid),
            "Redis": lambda: _pids(ground.redis.pid),
            "receiver": lambda: _pids(ground.sandbox_pid),
        }
    )
    published, began, ended = _clocked(ground, lane, meter, tenant_id, path, drain)
    cpu = {**meter.read(), "publisher": published.cpu_s}
    counts = ground.control.counts(path)
    return Run(
        tenant_id,
        lane.events,
        ended - began,
        {part: seconds / lane.events * 1e6 for part, seconds in cpu.items()},
        counts["requests"],
        len(counts["by_id"]),
    )


def _clocked(
    ground: Ground, lane: Lane, meter: Meter, tenant_id: str, path: str, drain: bool
) -> tuple[Published, float, float]:
    """The publisher's word, and when the clock began and ended."""
    frozen = [process for pid in lane.consumers() for process in tree(pid)] if drain else []
    meter.start()
    try:
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        lane.publisher.go()
        published = lane.publisher.wait() if drain else None
        began = time.time()
    finally:
        for process in frozen:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    ended = _done(ground, lane, tenant_id, path)
    published = published or lane.publisher.wait()
    return published, began if drain else published.first_at, ended


def _done(ground: Ground, lane: Lane, tenant_id: str, path: str) -> float:
    """When all rows were committed. The receiver is asked first: that costs PostgreSQL nothing."""
    deadline = time.monotonic() + DONE_S
    received = rows = 0
    while time.monotonic() < deadline:
        if received < lane.events:
            received = ground.control.counts(path, ids=False)["requests"]
        else:
            rows = int(query(lane.database_url, lane.rows, {"tenant": tenant_id})[0][0])
        if rows >= lane.events:
            return time.time()
        time.sleep(POLL_S)
    raise Unfinished(f"{lane.name}: of {lane.events} events {received} were received and {rows} rows committed")


def _pids(pid: int | None) -> Sequence[int]:
    return [] if pid is None else [pid]

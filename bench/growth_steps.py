"""The engine's own statements, executed by its own functions, timed on two databases in turn.

A `Side` is one database and one session, as a worker has many. `road` and `upkeep` take fifty deliveries through
everything that a worker and the reconciler do with them, and leave them settled.
"""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine

import db.deliveries
import db.events
from bench.growth_fill import EVENT_TYPE, TENANTS
from db.deliveries import Again, GiveBack, Settlement
from db.engine import Rows, connect, run
from model import NewEvent
from worker import ids
from worker.catalog import event_types
from worker.enqueue import accept, store_deliveries
from worker.event_checks import MESSAGE_KEY
from worker.recipients import Recipients

BATCH = 50  # deliveries in a statement: as many as travel in one message
WARM_UP = 60  # rounds that are not counted: plans are made, and each tenant's newest pages are read and logged once
PROVIDER = "zapier"
LEASE_S = 60.0
OPEN_SQL_DOOR = "select publish_event(t, %(type)s, %(data)s::jsonb) from unnest(%(tenants)s::text[]) t"


@dataclass
class Side:
    """One database, and how long each step took there: microseconds a delivery, one number a batch."""

    name: str
    engine: Engine
    us: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # the same, of the server's process
    wal: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # bytes a delivery

    @contextmanager
    def step(self, name: str) -> Iterator[Connection]:
        """One transaction of the engine; its statements are timed, its commit is not."""
        with self.engine.begin() as connection:
            pid, before = run(connection, _ACCOUNT)[0]
            cpu, began = _on_cpu_ns(pid), time.perf_counter()
            yield connection
            seconds, cpu = time.perf_counter() - began, _on_cpu_ns(pid) - cpu
            after = run(connection, _ACCOUNT)[0][1]
            self.us[name].append(seconds / BATCH * 1e6)
            self.cpu[name].append(cpu / BATCH / 1e3)
            self.wal[name].append(float(after - before) / BATCH)

    def forget(self) -> None:
        """Start counting anew."""
        for each in (self.us, self.cpu, self.wal):
            each.clear()


def side(name: str, database_url: str) -> Side:
    """A session as workers have them."""
    return Side(name, connect(database_url, name="bench-growth", pool_size=1, by_index=True))


_ACCOUNT = "select pg_backend_pid(), pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


def _on_cpu_ns(pid: int) -> int:
    """How long a process was on a CPU: unlike the clock, that does not count what others do on the same machine."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


Round = Callable[[Side, random.Random], None]


def alternate(sides: Sequence[Side], rounds: Sequence[Round], repeats: int, seed: int = 1) -> None:
    """Every round on every side, over and over; who begins changes each time, and all get the same events."""
    for turn in range(WARM_UP + repeats):
        if turn == WARM_UP:
            for each in sides:
                each.forget()
        for play in rounds:
            for each in sides if turn % 2 else reversed(sides):
                play(each, random.Random(seed + turn))


def road(on: Side, dice: random.Random) -> None:
    """Accepted under ids like those that our messages give their events, sent by the reconciler, claimed, settled."""
    batch = some_events(dice, ids.new)
    with on.step("accept, ids in order") as connection:
        accept(connection, batch)
    with on.step("accept, known ids") as connection:
        known = accept(connection, batch)
    assert not any(each.new for each in known)
    with on.step("take backlog") as connection:
        wanted = db.deliveries.take_backlog(connection, PROVIDER, limit=BATCH, per_tenant=BATCH)
    assert len(wanted) == BATCH, "nothing else waits"
    with on.step("claim") as connection:
        rows = claim(connection, wanted)
    with on.step("settle") as connection:
        moved = db.deliveries.settle(connection, [settlement(row) for row in rows])
    assert len(moved) == BATCH


def upkeep(on: Side, dice: random.Random) -> None:
    """What the reconciler does for the lost and the dead, and a worker for what it tries again or cannot call now."""
    with on.step("accept, random ids") as connection:
        accepted = accept(connection, some_events(dice, uuid4), dispatched=True)
    wanted = [delivery_id for each in accepted for _, delivery_id in each.deliveries]
    with on.step("forget dispatch") as connection:
        assert db.deliveries.forget_dispatch(connection, PROVIDER, older_than_s=-1, limit=BATCH) == BATCH
    with on.engine.begin() as connection:
        assert len(claim(connection, wanted, lease_s=0)) == BATCH
    with on.step("notice leases") as connection:
        assert not db.deliveries.expire_leases(connection, limit=BATCH, max_lost=5, grace_s=0)
    with on.step("expire leases") as connection:
        assert len(db.deliveries.expire_leases(connection, limit=BATCH, max_lost=5, grace_s=0)) == BATCH
    with on.engine.begin() as connection:
        rows = claim(connection, wanted)
    with on.step("reopen") as connection:
        tries = [Again(settlement(row, "retryable"), ids.new()) for row in rows]
        again = db.deliveries.reopen(connection, tries, lease_s=LEASE_S, worker="bench")
    with on.step("give back") as connection:
        db.deliveries.give_back(connection, [GiveBack(row.id, row.attempt_id, 0) for row in again])
    finish(on.engine, wanted)


def sql_door(on: Side, dice: random.Random) -> None:
    """Events that were published by SQL get their deliveries."""
    batch = some_events(dice, None)
    with on.engine.begin() as connection:
        tenants = [event.tenant_id for event in batch]
        run(connection, OPEN_SQL_DOOR, type=EVENT_TYPE, data=json.dumps(batch[0].data), tenants=tenants)
    with on.step("route events") as connection:
        events = db.events.lock_unrouted(connection, BATCH)
        made = store_deliveries(connection, events, Recipients.of(connection, events), dispatched=True)
        db.events.mark_routed(connection, [event.id for event in events])
    assert len(made) == BATCH
    finish(on.engine, [delivery_id for pairs in made.values() for _, delivery_id in pairs])


ROUNDS: Sequence[Round] = (road, upkeep, sql_door)


def some_events(dice: random.Random, name: Callable[[], UUID] | None) -> list[NewEvent]:
    """Fifty events of many tenants, large ones more often. Rows as wide as those of the history, so that they find no
    room between these: a loaded table has a gap on every page, one that has grown has none left.
    """
    data = {**event_types()[EVENT_TYPE].example, "note": "x" * 256}
    return [
        NewEvent(
            f"tenant-{1 + int((TENANTS - 1) * dice.random() ** 3)}", EVENT_TYPE, data,
            f"{MESSAGE_KEY}{name()}:0" if name else None,
        )
        for _ in range(BATCH)
    ]  # fmt: skip


def claim(connection: Connection, wanted: Sequence[UUID], *, lease_s: float = LEASE_S) -> Rows:
    """A worker's claim."""
    attempts = [ids.new() for _ in wanted]
    return db.deliveries.claim(connection, wanted, attempts, lease_s=lease_s, worker="bench:1")


def settlement(row: Any, state: str = "succeeded") -> Settlement:
    """The end of a call as a healthy receiver makes it, or a transient fault."""
    return Settlement(
        row.id, row.attempt_id, row.started_at, "succeeded", state, 12, http_status=200, method="POST",
        error_code=None if state == "succeeded" else "unavailable", url="https://hooks.example.com/…c123",
        answer='{"status": "success", "id": "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e"}',
    )  # fmt: skip


def finish(engine: Engine, wanted: Sequence[UUID]) -> None:
    """Claim and settle, uncounted."""
    with engine.begin() as connection:
        rows = claim(connection, wanted)
    with engine.begin() as connection:
        assert len(db.deliveries.settle(connection, [settlement(row) for row in rows])) == len(wanted)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step costs on one side, a delivery."""

    cpu_us: float  # of the server, median
    us: float  # by the clock, median
    p95_us: float
    wal: float  # bytes, mean: much of it is images of pages, now and then


@dataclass(frozen=True, slots=True)
class Compared:
    """One step on both sides."""

    step: str
    batches: int
    empty: Cost
    full: Cost

    @property
    def ratio(self) -> float:
        """Full to empty."""
        return self.full.cpu_us / self.empty.cpu_us


def compare(empty: Side, full: Side) -> list[Compared]:
    """All steps, in the order in which they were first made."""
    return [Compared(step, len(empty.us[step]), _cost(empty, step), _cost(full, step)) for step in empty.us]


def _cost(of: Side, step: str) -> Cost:
    return Cost(median(of.cpu[step]), median(of.us[step]), p95(of.us[step]), sum(of.wal[step]) / len(of.wal[step]))


def p95(values: Sequence[float]) -> float:
    """The value that 95 of 100 do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]

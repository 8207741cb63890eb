"""Retention: what has been kept long enough goes, without anybody having to wait for it.

Events go with their deliveries in short transactions, the attempt log by whole partitions. A run has a time budget, and
rests three times as long as it works: it takes a quarter of a core of PostgreSQL at the most, and what is left goes in
the next run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import structlog
from sqlalchemy import Connection, Engine

import db.retention
from db.retention import Step
from worker import stopping

STEP = 200  # events that one transaction looks at: some twenty milliseconds
REJECTED_STEP = 50  # their bodies may have megabytes
RUN_S = 30.0  # of one run; a tick comes every minute
REST = 3.0  # between two transactions, times as long as one took
CHAINS_REST_DAYS = 30  # that what was begun may take, after the last event that a step may still have to follow
LOCK_WAIT_MS = 50  # for a partition's lock: the engine waits behind us so long, once a run

log = structlog.get_logger("mesh.retention")


@dataclass(frozen=True, slots=True)
class Deleted:
    """What one run deleted."""

    events: int = 0  # each with its deliveries
    rejected: int = 0
    inbox: int = 0  # messages of providers
    chain_steps: int = 0  # that were replaced or removed
    attempts: int = 0  # of the default partition
    partitions: tuple[str, ...] = ()


def retain(engine: Engine, *, events_days: float, attempts_days: float) -> Deleted:
    """One run. Days of 0 mean: keep for ever."""
    until = time.monotonic() + RUN_S
    partitions: tuple[str, ...] = ()
    events = rejected = inbox = steps = attempts = 0
    if attempts_days:
        partitions = _drop_partitions(engine, attempts_days)
        attempts = _delete(engine, partial(db.retention.delete_stray_attempts, days=attempts_days, limit=STEP), until)
    if events_days:
        rejected = _delete(engine, partial(db.retention.delete_rejected, days=events_days, limit=REJECTED_STEP), until)
        inbox = _delete(engine, partial(db.retention.delete_inbox, days=events_days, limit=REJECTED_STEP), until)
        rest = events_days + CHAINS_REST_DAYS
        steps = _delete(engine, partial(db.retention.delete_chain_steps, days=rest, limit=STEP), until)
        events = _delete(engine, partial(db.retention.delete_events, days=events_days, limit=STEP), until)
    deleted = Deleted(events, rejected, inbox, steps, attempts, partitions)
    if deleted != Deleted():
        log.info("old_rows_deleted", **asdict(deleted))
    return deleted


def _delete(engine: Engine, step: Callable[[Connection], Step], until: float) -> int:
    """Step until nothing is left, the time is up, or somebody else is at it; once at least. How many rows went."""
    total = 0
    while not stopping.requested.is_set():
        began = time.monotonic()
        with engine.begin() as connection:
            if not db.retention.lock_turn(connection):
                break
            done = step(connection)
        total += done.deleted
        if not done.more or time.monotonic() > until:
            break
        stopping.requested.wait((time.monotonic() - began) * REST)
    return total


def _drop_partitions(engine: Engine, days: float) -> tuple[str, ...]:
    """Drop the log's old partitions; the first that somebody uses, and those after it, wait for the next run."""
    dropped: list[str] = []
    with engine.begin() as connection:
        old = db.retention.old_log_partitions(connection, days=days)
    for row in old:
        with engine.begin() as connection:
            free = db.retention.lock_turn(connection) and db.retention.drop_log_partition(
                connection, row.name, wait_ms=LOCK_WAIT_MS
            )
        if not free:
            log.info("partition_in_use", partition=row.name)
            break
        dropped.append(row.name)
    return tuple(dropped)

"""The threads that make calls: few while calls are quick, many while they wait, never more than there are slots."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from worker.calls import BUSY_THREADS, CallPool

PATIENCE_S = 10


@pytest.fixture
def pool() -> Iterator[CallPool]:
    made = CallPool(64)
    yield made
    made.close()


def start(pool: CallPool, call: object) -> None:
    assert pool.slots.take(1, PATIENCE_S) == 1
    pool.start(call)  # type: ignore[arg-type]


def test_every_call_runs_once_and_gives_its_slot_back(pool: CallPool) -> None:
    done: list[int] = []
    for number in range(1000):
        start(pool, lambda number=number: done.append(number))
    pool.close()
    assert sorted(done) == list(range(1000))
    assert pool.slots.used == 0


def test_quick_calls_share_few_threads(pool: CallPool) -> None:
    names: set[int] = set()
    for _ in range(200):
        start(pool, lambda: names.add(threading.get_ident()))
    pool.close()
    assert 1 <= len(names) <= BUSY_THREADS + 14


def test_calls_that_hang_let_all_others_run(pool: CallPool) -> None:
    release, ran = threading.Event(), threading.Semaphore(0)
    for _ in range(40):
        start(pool, lambda: release.wait(PATIENCE_S))
    for _ in range(20):
        start(pool, ran.release)
    assert all(ran.acquire(timeout=PATIENCE_S) for _ in range(20))
    release.set()


def test_as_many_calls_as_slots_are_in_flight_at_once(pool: CallPool) -> None:
    everybody = threading.Barrier(65)
    for _ in range(64):
        start(pool, lambda: everybody.wait(PATIENCE_S))
    assert pool.slots.take(1, 0) == 0
    everybody.wait(PATIENCE_S)


def test_a_call_that_raises_frees_its_slot_and_its_thread(pool: CallPool) -> None:
    def fault() -> None:
        raise ValueError("on purpose")

    for _ in range(100):
        start(pool, fault)
    ran = threading.Event()
    start(pool, ran.set)
    assert ran.wait(PATIENCE_S)
    pool.close()
    assert pool.slots.used == 0


def test_closing_waits_for_the_calls_in_flight(pool: CallPool) -> None:
    release = threading.Event()
    started, ended = threading.Event(), threading.Event()

    def call() -> None:
        started.set()
        release.wait(PATIENCE_S)
        ended.set()

    start(pool, call)
    assert started.wait(PATIENCE_S)
    closing = threading.Thread(target=pool.close)
    closing.start()
    assert closing.is_alive()
    release.set()
    closing.join(PATIENCE_S)
    assert ended.is_set()
    assert not closing.is_alive()

"""Calls in flight: a window of quick ones, slow ones beside it, never more than there are slots."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from providers.waiting import aside, pause
from tests.mesh import eventually
from worker import calls
from worker.calls import AHEAD, WINDOW, CallLoop, Slots

PATIENCE_S = 10
SIZE = 64


class Pauses:
    """What is called on a pause; the test may look at how things were each time."""

    def __init__(self) -> None:
        self.look: Callable[[], Any] = lambda: None
        self.seen: list[Any] = []
        self.happened = threading.Event()

    def __call__(self) -> None:
        self.seen.append(self.look())
        self.happened.set()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def loop(pauses: Pauses) -> Iterator[CallLoop]:
    made = CallLoop(SIZE, on_pause=pauses)
    yield made
    made.close()


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call counts as slow, however long the test takes."""
    monkeypatch.setattr(calls, "SLOW_S", 3600.0)


def start(loop: CallLoop, *made: Callable[[], Any]) -> None:
    """Start calls as slots come free."""
    for call in made:
        assert loop.slots.take(1, PATIENCE_S) == 1
        loop.start([call])


def broken() -> None:
    raise ValueError("on purpose")


class Together:
    """Calls that end when the test lets them; how many there are, and were at most."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.go = threading.Event()

    def __call__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        aside(lambda: self.go.wait(PATIENCE_S))
        self.now -= 1


def test_every_call_runs_once_and_gives_its_slot_back(loop: CallLoop) -> None:
    done: list[int] = []
    start(loop, *(partial(done.append, number) for number in range(1000)))
    loop.slots.wait_until_free()
    assert sorted(done) == list(range(1000))
    assert loop.slots.used == 0


def test_calls_run_on_one_thread_in_order(loop: CallLoop) -> None:
    ran: list[tuple[int, str]] = []
    given = [partial(lambda n: ran.append((n, threading.current_thread().name)), n) for n in range(SIZE)]
    assert loop.slots.take(SIZE, PATIENCE_S) == SIZE
    loop.start(given)
    loop.slots.wait_until_free()
    assert ran == [(number, "calls") for number in range(SIZE)]


def test_nothing_to_start_is_nothing(loop: CallLoop) -> None:
    loop.start([])
    assert loop.slots.used == 0


@pytest.mark.usefixtures("unhurried")
def test_who_is_ahead_begins_before_those_that_wait(loop: CallLoop) -> None:
    together, order = Together(), list[str]()
    start(loop, *[together] * WINDOW)
    eventually(lambda: together.now == WINDOW, "the window is full")
    for name, ahead in (("second", False), ("third", False), ("first", True)):
        assert loop.slots.take(1, PATIENCE_S) == 1
        loop.start([partial(order.append, name)], ahead=ahead)
    together.go.set()
    loop.slots.wait_until_free()
    assert order == ["first", "second", "third"]


@pytest.mark.usefixtures("unhurried")
def test_a_window_of_quick_calls_is_in_flight_and_the_rest_waits(loop: CallLoop) -> None:
    together = Together()
    start(loop, *[together] * SIZE)
    eventually(lambda: together.now == WINDOW, "the window is full")
    assert loop.slots.used == SIZE
    together.go.set()
    loop.slots.wait_until_free()
    assert together.most == WINDOW


def test_beside_slow_calls_others_begin_as_many_as_there_are_slots(loop: CallLoop) -> None:
    together = Together()
    start(loop, *[together] * SIZE)
    eventually(lambda: together.now == SIZE, "all are in flight, though none has ended")
    assert loop.slots.take(1, 0) == 0
    together.go.set()
    loop.slots.wait_until_free()
    assert together.most == SIZE


def test_never_more_than_there_are_slots_are_in_flight() -> None:
    loop, together = CallLoop(3, on_pause=lambda: None), Together()
    with ThreadPoolExecutor(4) as threads:
        started = [threads.submit(start, loop, *[together] * 5) for _ in range(4)]
        eventually(lambda: together.now == 3, "all slots are taken")
        together.go.set()
        for each in started:
            each.result(PATIENCE_S)
    loop.close()
    assert together.most == 3


def test_calls_that_hang_let_quick_ones_run(loop: CallLoop) -> None:
    hanging, ran = Together(), threading.Semaphore(0)
    start(loop, *[hanging] * (WINDOW + 8))
    start(loop, *[ran.release] * 20)
    assert all(ran.acquire(timeout=PATIENCE_S) for _ in range(20))
    hanging.go.set()


def test_a_call_that_raises_frees_its_slot_and_stops_nobody(loop: CallLoop) -> None:
    ran = threading.Event()
    start(loop, *[broken] * 100, ran.set)
    assert ran.wait(PATIENCE_S)
    loop.slots.wait_until_free()
    assert loop.slots.used == 0


# -------------------------------------------------------------------------------------------------------- the pauses


@pytest.mark.usefixtures("unhurried")
def test_there_is_a_pause_when_nothing_is_in_flight_any_more(loop: CallLoop, pauses: Pauses) -> None:
    ended: list[int] = []
    pauses.look = lambda: len(ended)
    assert loop.slots.take(5, PATIENCE_S) == 5
    loop.start([partial(ended.append, number) for number in range(5)])
    assert pauses.happened.wait(PATIENCE_S)
    loop.close()
    assert pauses.seen[-1] == 5, "after the last one"


def test_there_are_pauses_while_a_call_waits(loop: CallLoop, pauses: Pauses) -> None:
    """What ended beside a call that hangs is not kept until that one ends."""
    together = Together()
    start(loop, together)
    assert pauses.happened.wait(PATIENCE_S)
    assert together.now == 1, "it still waits"
    together.go.set()


def test_closing_comes_after_the_last_pause(pauses: Pauses) -> None:
    """Whatever the last call left to be done in a pause is done when the loop is closed."""
    for _ in range(50):
        left: list[int] = []
        pauses.look = left.clear
        loop = CallLoop(1, on_pause=pauses)
        start(loop, partial(left.append, 1))
        loop.close()
        assert left == []


# ----------------------------------------------------------------------------------------------------------- closing


def test_closing_waits_for_the_calls_in_flight() -> None:
    loop, together = CallLoop(SIZE, on_pause=lambda: None), Together()
    start(loop, *[together] * (WINDOW + 1))
    eventually(lambda: together.now > 0)
    left: list[int] = []

    def close() -> None:
        loop.close()
        left.append(together.now)

    closing = threading.Thread(target=close)
    closing.start()
    eventually(lambda: together.now == WINDOW + 1, "it goes on meanwhile")
    assert left == []
    together.go.set()
    closing.join(PATIENCE_S)
    assert left == [0]


def test_closing_ends_its_threads() -> None:
    loop = CallLoop(4, on_pause=lambda: None)
    start(loop, lambda: aside(lambda: None), lambda: pause(0))
    mine = [thread for thread in threading.enumerate() if thread in (loop._loop._thread, *loop._loop._threads._threads)]
    loop.close()
    assert mine
    assert not any(thread.is_alive() for thread in mine)


# ------------------------------------------------------------------------------------------------------------- slots


def test_as_many_places_are_given_as_there_are() -> None:
    slots = Slots(5)
    assert slots.take(3, 0) == 3
    assert slots.take(3, 0) == 2
    assert slots.take(1, 0) == 0
    slots.begin(5)
    slots.give(2)
    assert slots.take(9, 0) == 2


def test_no_more_are_claimed_ahead_than_can_be_called_soon() -> None:
    slots = Slots(10 * AHEAD)
    assert slots.take(3 * AHEAD, 0) == AHEAD
    assert slots.take(1, 0) == 0, "although there are free places"
    slots.begin(10)
    assert slots.take(11, 0) == 0, "for all that one message brings, or for none of it"
    assert slots.take(10, 0) == 10
    slots.begin(AHEAD)
    assert slots.used == AHEAD + 10


def test_a_place_that_no_call_was_found_for_holds_nobody_back() -> None:
    slots = Slots(10 * AHEAD)
    for _ in range(3):
        assert slots.take(AHEAD, 0) == AHEAD
        slots.give_back(AHEAD)
    assert slots.used == 0
    slots.give_back(0)
    assert slots.take(AHEAD, 0) == AHEAD


def test_at_once_as_many_as_there_are_right_now() -> None:
    slots = Slots(AHEAD + 10)
    assert slots.take_at_once(0) == 0
    assert slots.take_at_once(AHEAD - 1) == AHEAD - 1
    assert slots.take_at_once(5) == 1, "no more ahead"
    assert slots.take_at_once(5) == 0
    slots.begin(AHEAD)
    assert slots.take_at_once(50) == 10, "no more places"
    assert slots.take_at_once(1) == 0


def test_some_places_may_be_kept_for_others() -> None:
    slots = Slots(10 * AHEAD)
    assert slots.take_at_once(AHEAD, keep=30) == AHEAD - 30
    assert slots.take_at_once(1, keep=30) == 0
    assert slots.take(1, 0, keep=30) == 0
    assert slots.take_at_once(AHEAD) == 30
    slots.give_back(AHEAD)
    assert slots.take(AHEAD, 0, keep=30) == AHEAD - 30


@pytest.mark.parametrize("change", ["begin", "give", "give_back"])
def test_who_waits_for_a_place_gets_it_when_one_comes_free(change: str) -> None:
    slots = Slots(1 if change == "give" else 2 * AHEAD)
    taken = slots.take(AHEAD, 0)
    if change == "give":
        slots.begin(1)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(slots.take, 1, PATIENCE_S)
        assert not waiting.done()
        getattr(slots, change)(taken)
        assert waiting.result(PATIENCE_S) == 1

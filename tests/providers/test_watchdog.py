"""The watchdog alone: what it shuts down, what it leaves alone, and when it is woken."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from providers.watchdog import Watchdog

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    far.settimeout(5)
    near.settimeout(5)
    yield near, far
    near.close()
    far.close()


def test_an_overdue_socket_is_shut_down_and_says_so(pair: Pair) -> None:
    near, _far = pair
    dog = Watchdog()
    watch = dog.start(near, time.monotonic() + 0.05)
    assert near.recv(1) == b""
    assert dog.stop(watch) is False


def test_a_deadline_in_the_past_is_kept_at_once(pair: Pair) -> None:
    near, _far = pair
    dog = Watchdog()
    watch = dog.start(near, time.monotonic() - 1)
    assert near.recv(1) == b""
    assert dog.stop(watch) is False


def test_a_socket_whose_watch_ended_is_left_alone(pair: Pair) -> None:
    near, far = pair
    other_near, other_far = socket.socketpair()
    dog = Watchdog()
    ended = dog.start(near, time.monotonic() + 0.03)
    assert dog.stop(ended) is True
    later = dog.start(other_near, time.monotonic() + 0.06)  # its end shows that the first deadline has passed
    assert other_near.recv(1) == b""
    far.sendall(b"still here")
    assert near.recv(100) == b"still here"
    dog.stop(later)
    other_near.close()
    other_far.close()


def test_an_earlier_deadline_wakes_the_thread_and_a_later_one_does_not(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, _far = pair
    dog = Watchdog()
    woken = []
    rouse = dog._rouse

    def counted() -> None:
        woken.append(1)
        rouse()

    monkeypatch.setattr(dog, "_rouse", counted)
    long = dog.start(near, time.monotonic() + 60)
    while dog._wakes_at > time.monotonic() + 61:  # until the thread has seen it
        pass
    for _ in range(100):
        dog.stop(dog.start(near, time.monotonic() + 90))
    assert len(woken) == 1
    short = dog.start(near, time.monotonic() + 0.02)
    assert near.recv(1) == b""
    assert len(woken) == 2
    assert (dog.stop(short), dog.stop(long)) == (False, True)


def test_a_forked_child_starts_with_nothing_to_watch(pair: Pair) -> None:
    near, _far = pair
    dog = Watchdog()
    dog.start(near, time.monotonic() + 60)
    dog._reset()
    watch = dog.start(near, time.monotonic() + 0.02)
    assert near.recv(1) == b""
    assert dog.stop(watch) is False

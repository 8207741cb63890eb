"""How calls wait: many of them on one loop, and the same functions on a plain thread."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import pytest
from greenlet import getcurrent

from providers.http import HttpTransport
from providers.waiting import READ, TICK_S, WRITE, Loop, _Task, aside, pause, until
from tests.mesh import eventually
from tests.providers.doubles import OK, Peer, hook, serving, transport
from tests.providers.loops import PATIENCE_S, on_loop, run

SHORT_S = 0.05


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop("test-loop", threads=4)
    yield made
    made.close()


@pytest.fixture(params=["thread", "loop"])
def do(request: pytest.FixtureRequest, loop: Loop) -> Callable[[Callable[[], Any]], Any]:
    """Do work on a plain thread, or as a call on a loop: it is the same to the work."""
    return partial(on_loop, loop) if request.param == "loop" else lambda work: work()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one connection."""
    with ExitStack() as stack:
        mine, other = socket.socketpair()
        for end in (mine, other):
            stack.enter_context(end)
            end.setblocking(False)
        yield mine, other


# ------------------------------------------------------------------------------------------ on a thread and on a loop


def test_what_can_be_read_is_not_waited_for(do: Any, pair: Any) -> None:
    mine, other = pair
    other.send(b"x")
    do(lambda: until(mine, READ, time.monotonic() + PATIENCE_S))
    assert mine.recv(1) == b"x"


def test_a_wait_ends_when_something_comes(do: Any, pair: Any) -> None:
    mine, other = pair
    asked = threading.Event()

    def wait() -> bytes:
        asked.set()
        until(mine, READ, time.monotonic() + PATIENCE_S)
        return bytes(mine.recv(1))

    answering = threading.Thread(target=lambda: asked.wait(PATIENCE_S) and other.send(b"y"))
    answering.start()
    assert do(wait) == b"y"
    answering.join(PATIENCE_S)


def test_a_wait_for_room_ends_when_the_other_side_reads(do: Any, pair: Any) -> None:
    mine, other = pair
    full = threading.Event()

    def fill() -> bool:
        with suppress(BlockingIOError):
            while mine.send(bytes(65536)):
                pass
        full.set()
        until(mine, WRITE, time.monotonic() + PATIENCE_S)
        return bool(mine.send(b"x"))

    def drain() -> None:
        assert full.wait(PATIENCE_S)
        other.setblocking(True)
        while len(other.recv(1 << 20)) == 1 << 20:
            pass

    reading = threading.Thread(target=drain)
    reading.start()
    assert do(fill)
    reading.join(PATIENCE_S)


def test_a_wait_ends_at_its_deadline(do: Any, pair: Any) -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        do(lambda: until(pair[0], READ, started + SHORT_S))
    assert time.monotonic() - started >= SHORT_S


def test_a_deadline_that_is_over_ends_it_at_once(do: Any, pair: Any) -> None:
    with pytest.raises(TimeoutError):
        do(lambda: until(pair[0], READ, time.monotonic() - 1))


def test_a_socket_whose_other_end_is_gone_is_ready(do: Any, pair: Any) -> None:
    mine, other = pair
    other.close()
    do(lambda: until(mine, READ, time.monotonic() + PATIENCE_S))
    assert mine.recv(1) == b""


def test_after_a_deadline_the_same_socket_can_be_waited_for_again(do: Any, pair: Any) -> None:
    mine, other = pair

    def twice() -> bytes:
        with pytest.raises(TimeoutError):
            until(mine, READ, time.monotonic())
        other.send(b"z")
        until(mine, READ, time.monotonic() + PATIENCE_S)
        return bytes(mine.recv(1))

    assert do(twice) == b"z"


def test_aside_brings_back_a_result(do: Any) -> None:
    assert do(lambda: aside(lambda: 7)) == 7


def test_aside_brings_back_what_was_raised(do: Any) -> None:
    def broken() -> None:
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        do(lambda: aside(broken))


def test_a_pause_lasts(do: Any) -> None:
    started = time.monotonic()
    do(lambda: pause(SHORT_S))
    assert time.monotonic() - started >= SHORT_S


# --------------------------------------------------------------------------------------------------- on a loop only


def test_aside_runs_elsewhere_and_comes_back(loop: Loop) -> None:
    def where() -> tuple[str, str, str]:
        before = threading.current_thread().name
        beside = aside(lambda: threading.current_thread().name)
        return before, beside, threading.current_thread().name

    before, beside, after = on_loop(loop, where)
    assert (before, after) == ("test-loop", "test-loop")
    assert beside.startswith("test-loop-aside")


def test_on_a_thread_aside_is_here() -> None:
    assert aside(threading.get_ident) == threading.get_ident()


def test_while_one_waits_aside_pauses_or_waits_for_a_socket_others_run(loop: Loop, pair: Any) -> None:
    over = threading.Event()
    waits: list[Callable[[], Any]] = [
        lambda: aside(lambda: over.wait(PATIENCE_S)),
        lambda: until(pair[0], READ, time.monotonic() + PATIENCE_S),
        lambda: pause(SHORT_S),
    ]
    waiting_calls = [run(loop, wait) for wait in waits]
    assert on_loop(loop, lambda: "ran") == "ran"
    assert not waiting_calls[0].done()
    assert not waiting_calls[1].done()
    over.set()
    pair[1].send(b"x")
    for call in waiting_calls:
        call.result(PATIENCE_S)


def test_no_more_is_done_aside_at_once_than_there_are_threads(loop: Loop) -> None:
    together = threading.Barrier(5)

    def meet(patience_s: float) -> None:
        aside(lambda: together.wait(patience_s))

    four = [run(loop, partial(meet, PATIENCE_S)) for _ in range(4)]
    together.wait(PATIENCE_S)  # this thread is the fifth
    for call in four:
        call.result(PATIENCE_S)
    five = [run(loop, partial(meet, 0.1)) for _ in range(5)]
    for call in five:
        with pytest.raises(threading.BrokenBarrierError):
            call.result(PATIENCE_S)


def test_many_calls_overlap_on_one_loop(loop: Loop) -> None:
    """The server answers nobody before all have asked."""
    count = 200
    everybody = threading.Barrier(count)

    def answer_together(peer: Peer) -> None:
        if peer.request():
            everybody.wait(PATIENCE_S)
            peer.say(OK)

    with serving(answer_together) as server, transport() as http:
        calls = [run(loop, lambda: http.send(hook(server.url), PATIENCE_S).status) for _ in range(count)]
        assert [call.result(PATIENCE_S) for call in calls] == [200] * count


def test_each_call_gets_its_own_answer(loop: Loop) -> None:
    def echo(peer: Peer) -> None:
        while request := peer.request():
            body = request.partition(b"\r\n\r\n")[2]
            peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def ask(http: HttpTransport, url: str, number: int) -> list[bytes]:
        return [http.send(hook(url, b"%d-%d" % (number, n)), PATIENCE_S).content for n in range(10)]

    with serving(echo) as server, transport() as http:
        calls = [run(loop, partial(ask, http, server.url, number)) for number in range(40)]
        for number, call in enumerate(calls):
            assert call.result(PATIENCE_S) == [b"%d-%d" % (number, n) for n in range(10)]
        assert server.connections <= 40, "and connections are kept"


def test_deadlines_of_many_calls_end_each_its_own(loop: Loop, pair: Any) -> None:
    sockets = [socket.socketpair() for _ in range(20)]
    started = time.monotonic()

    def wait(number: int) -> float:
        with pytest.raises(TimeoutError):
            until(sockets[number][0], READ, started + number * 0.01)
        return time.monotonic() - started

    calls = [run(loop, partial(wait, number)) for number in range(20)]
    for number, call in enumerate(calls):
        assert call.result(PATIENCE_S) >= number * 0.01
    for each in sockets:
        for end in each:
            end.close()


def test_a_call_that_raises_ends_neither_the_loop_nor_other_calls(loop: Loop, pair: Any) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    def broken_later() -> None:
        pause(0)
        raise ZeroDivisionError

    other = run(loop, lambda: until(pair[0], READ, time.monotonic() + PATIENCE_S))
    for work in (broken, broken_later):
        for _ in range(3):
            loop.submit(partial(loop.spawn, work))
    loop.submit(broken)  # not even a call
    on_loop(loop, lambda: pause(3 * TICK_S))
    pair[1].send(b"x")
    other.result(PATIENCE_S)


def test_a_tick_that_raises_ends_nothing() -> None:
    ticks: list[int] = []
    enough = threading.Event()

    def broken() -> None:
        ticks.append(len(ticks))
        if len(ticks) == 3:
            enough.set()
        raise ZeroDivisionError

    loop = Loop("test-loop", threads=1, on_tick=broken)
    assert on_loop(loop, lambda: aside(lambda: enough.wait(PATIENCE_S))), "it ticks while something is done aside"
    loop.close()


def test_nothing_is_lost_of_what_many_threads_submit(loop: Loop) -> None:
    """Each waits for its own before it hands in the next, so a bell that is not rung would stop it for good."""
    done: list[tuple[int, int]] = []
    senders, each = 8, 300

    def note(sender: int, number: int, ran: threading.Event) -> None:
        done.append((sender, number))
        ran.set()

    def submit(sender: int) -> None:
        for number in range(each):
            ran = threading.Event()
            loop.submit(partial(note, sender, number, ran))
            if not ran.wait(PATIENCE_S):
                return

    threads = [threading.Thread(target=submit, args=(sender,)) for sender in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(6 * PATIENCE_S)
    assert sorted(done) == [(sender, number) for sender in range(senders) for number in range(each)]


def test_what_one_thread_submits_runs_in_order(loop: Loop) -> None:
    ran: list[int] = []
    for number in range(1000):
        loop.submit(partial(ran.append, number))
    on_loop(loop, lambda: None)
    assert ran == list(range(1000))


def test_a_full_bell_stops_nobody(loop: Loop) -> None:
    """While the loop is busy its bell may be rung more often than it holds."""
    busy, go = threading.Event(), threading.Event()

    def block() -> None:
        busy.set()
        assert go.wait(PATIENCE_S)

    loop.submit(block)
    assert busy.wait(PATIENCE_S)
    for _ in range(20_000):
        loop._asleep = True  # as it is just before it looks for the last time
        loop.submit(lambda: None)
    go.set()
    assert on_loop(loop, lambda: "ran") == "ran"


def test_closing_a_loop_that_is_busy_ends_it() -> None:
    """What wakes it to end is handed out in the same turn as what it was busy with."""
    loop = Loop("busy-loop", threads=1)
    busy, go = threading.Event(), threading.Event()

    def block() -> None:
        busy.set()
        assert go.wait(PATIENCE_S)

    loop.submit(block)
    assert busy.wait(PATIENCE_S)
    closing = threading.Thread(target=loop.close, daemon=True)
    closing.start()
    eventually(lambda: loop._closed and loop._inbox, "it is asked to end")
    go.set()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()


def test_closing_ends_the_loops_threads() -> None:
    loop = Loop("closing-loop", threads=3)
    on_loop(loop, lambda: aside(lambda: None))
    named = [thread for thread in threading.enumerate() if thread.name.startswith("closing-loop")]
    assert len(named) == 2, "the loop and the one thread that was needed"
    loop.close()
    assert not any(thread.is_alive() for thread in named)


def test_an_idle_loop_costs_nothing(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without calls it does not tick: it sleeps until it is rung."""
    on_loop(loop, lambda: None)
    waits: list[float | None] = []
    real = loop._poll

    class Watched:
        def poll(self, wait_ms: float | None) -> list[tuple[int, int]]:
            waits.append(wait_ms)
            return real.poll(wait_ms)

    monkeypatch.setattr(loop, "_poll", Watched())
    on_loop(loop, lambda: None)  # it leaves the wait of before, and waits once more by our poll
    on_loop(loop, lambda: None)
    assert waits
    assert {wait for wait in waits if wait != 0} == {None}


def test_the_functions_know_a_call_from_its_loop(loop: Loop) -> None:
    def inside() -> bool:
        return isinstance(getcurrent(), _Task)

    assert on_loop(loop, inside)
    assert not inside()
    assert not on_loop(loop, lambda: aside(inside)), "what is done aside is on a plain thread"

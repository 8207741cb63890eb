"""How a call waits: on a thread it blocks; on a `Loop` it lets the loop's other calls run meanwhile.

A loop is one thread that carries many calls, each in a greenlet. While one waits for its socket, the next is made;
so requests go out and answers come in many at a time, and thousands of quick calls a second cost no change of
threads. Adapters know nothing of it: they are plain functions. What cannot wait on a socket (a lookup, a handshake,
a file, a commit) goes `aside`, to a thread.

Between threads and calls only two things are shared: `Loop.submit`, and what `aside` hands back.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

from greenlet import getcurrent, greenlet

Result = TypeVar("Result")

TICK_S = 0.02  # how late a deadline or the end of a pause may be noticed
READ = select.POLLIN
WRITE = select.POLLOUT

log = logging.getLogger("mesh.loop")


def until(sock: socket.socket, events: int, at: float) -> None:
    """Wait until a socket can be read (READ) or written (WRITE). TimeoutError at `at` (`time.monotonic()`)."""
    task = getcurrent()
    if isinstance(task, _Task):
        task.loop.until(sock.fileno(), events, at)
        return
    poll = select.poll()
    poll.register(sock, events)
    if not poll.poll(max(0.0, at - time.monotonic()) * 1000):
        raise TimeoutError


def aside(work: Callable[[], Result]) -> Result:
    """Do what blocks: here on a thread, on a loop beside it. Raises what it raises."""
    task = getcurrent()
    return task.loop.aside(work) if isinstance(task, _Task) else work()


def pause(seconds: float) -> None:
    """Sleep."""
    task = getcurrent()
    if isinstance(task, _Task):
        task.loop.pause(seconds)
    else:
        time.sleep(seconds)


class _Task(greenlet):
    """One call on a loop."""

    def __init__(self, loop: Loop, work: Callable[[], None]) -> None:
        super().__init__(work, loop.home)
        self.loop = loop
        self.at = 0.0  # when its wait must be over


class Loop:
    """A thread that carries many calls. `threads` is how many things may be done aside at once.

    `on_tick` runs on the loop every 20 ms or so while anything waits.
    """

    def __init__(self, name: str, *, threads: int, on_tick: Callable[[], None] = lambda: None) -> None:
        self._inbox: deque[Callable[[], None]] = deque()
        self._asleep = False
        self._closed = False
        self._alarm, self._bell = socket.socketpair()
        for end in (self._alarm, self._bell):
            end.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._alarm, READ)
        self._waiting: dict[int, _Task] = {}  # by descriptor
        self._pausing: set[_Task] = set()
        self._aside = 0
        self._on_tick = on_tick
        self._ticked_at = time.monotonic()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"{name}-aside")
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.home: greenlet
        self._thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Have something done on the loop. From any thread; it must not wait."""
        self._inbox.append(work)
        if self._asleep:
            self._asleep = False
            with contextlib.suppress(BlockingIOError):  # it has been rung already
                self._bell.send(b"!")

    def spawn(self, work: Callable[[], None]) -> None:
        """Begin a call. Only on the loop itself; `work` may wait, and must not raise."""
        _Task(self, work).switch()

    def close(self) -> None:
        """End the loop and its threads. The caller knows that no call is in flight."""
        self._closed = True
        self.submit(lambda: None)
        self._thread.join()
        self._threads.shutdown()
        self._alarm.close()
        self._bell.close()

    def until(self, descriptor: int, events: int, at: float) -> None:
        """Let others run until the descriptor is ready. TimeoutError at `at`."""
        task = cast(_Task, getcurrent())
        task.at = at
        self._waiting[descriptor] = task
        self._poll.register(descriptor, events)
        if not self.home.switch():
            raise TimeoutError

    def pause(self, seconds: float) -> None:
        """Let others run for a while."""
        task = cast(_Task, getcurrent())
        task.at = time.monotonic() + seconds
        self._pausing.add(task)
        self.home.switch()

    def aside(self, work: Callable[[], Result]) -> Result:
        """Let others run while a thread does this."""
        task = cast(_Task, getcurrent())
        self._aside += 1
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self.submit(lambda: self._back(task)))
        self.home.switch()
        return future.result()

    def _back(self, task: _Task) -> None:
        self._aside -= 1
        task.switch()

    def _run(self) -> None:
        self.home = getcurrent()
        while not self._closed:
            try:
                self._turn()
            except Exception:
                log.exception("a call broke its loop's turn")

    def _turn(self) -> None:
        """Hand out what has come, then wait for more."""
        for _ in range(len(self._inbox)):  # what comes meanwhile waits for the next turn: sockets must not
            self._inbox.popleft()()
        for descriptor, _ in self._events():
            if descriptor == self._alarm.fileno():
                self._alarm.recv(4096)
            else:
                self._resume(descriptor, True)
        if time.monotonic() - self._ticked_at >= TICK_S:
            self._tick()

    def _events(self) -> list[tuple[int, int]]:
        """Descriptors that are ready; waits for the first one, at most a tick while anything has a deadline."""
        self._asleep = True  # said before the last look, so that whoever comes after it rings
        try:
            if self._inbox or self._closed:
                return self._poll.poll(0)
            return self._poll.poll(TICK_S * 1000 if self._waiting or self._pausing or self._aside else None)
        finally:
            self._asleep = False

    def _resume(self, descriptor: int, ready: bool) -> None:
        task = self._waiting.pop(descriptor, None)
        if task is not None:
            self._poll.unregister(descriptor)
            task.switch(ready)

    def _tick(self) -> None:
        """End what is overdue."""
        now = self._ticked_at = time.monotonic()
        for descriptor, task in [each for each in self._waiting.items() if each[1].at <= now]:
            if self._waiting.get(descriptor) is task:
                self._resume(descriptor, False)
        for task in [each for each in self._pausing if each.at <= now]:
            self._pausing.discard(task)
            task.switch()
        self._on_tick()

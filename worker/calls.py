"""Where the calls of one process are made: a bounded number in flight, on threads of their own.

A Celery task claims and hands over; it never waits for a call. So a hanging call holds one slot here and delays nobody.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

QUICK_CALL_S = 0.005  # a call that lasts longer waits for its receiver
BUSY_THREADS = 2  # that make quick calls at once
BUSY_BESIDE_SLOW = 14  # more, one for each that waits: most of them will wait too

log = structlog.get_logger("mesh.calls")


class Slots:
    """A counter of free places that is taken several at a time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._changed = threading.Condition()

    @property
    def used(self) -> int:
        """How many places are taken."""
        return self.size - self._free

    def take(self, wanted: int, timeout_s: float) -> int:
        """Take 1 to `wanted` places, waiting for the first. 0 when none came free in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0, timeout_s)
            taken = min(wanted, self._free)
            self._free -= taken
            return taken

    def give(self, count: int) -> None:
        """Free places."""
        if count:
            with self._changed:
                self._free += count
                self._changed.notify(count)


class CallPool:
    """Threads for calls: few while calls are quick, as many as there are slots while they wait for slow receivers.

    Python runs one thread at a time, so many threads that all have work only disturb each other. A call that lasts is
    taken to be waiting, and lets another thread work beside it.
    """

    def __init__(self, size: int) -> None:
        self.slots = Slots(size)
        self._calls: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._calls_wait = threading.Condition(self._lock)
        self._at_rest = threading.Condition(self._lock)
        self._idle: list[_CallThread] = []
        self._active: set[_CallThread] = set()
        self._slow = 0  # of the active ones, those whose call lasts
        self._closed = False
        threading.Thread(target=self._watch, name="calls-warden", daemon=True).start()

    def start(self, call: Callable[[], None]) -> None:
        """Run a call that holds a slot; the slot is freed when it ends."""
        with self._lock:
            self._calls.append(call)
            self._employ()
            self._calls_wait.notify()

    def close(self) -> None:
        """Let the calls in flight end: each has its deadline."""
        with self._lock:
            self._at_rest.wait_for(lambda: not self._calls and not self._active)
            self._closed = True
            for thread in self._idle:
                thread.wake.release()
            self._calls_wait.notify()

    def next(self, thread: _CallThread) -> Callable[[], None] | None:
        """The thread's next call; None when it is to rest. Its last one has ended."""
        with self._lock:
            if thread.slow:
                thread.slow = False
                self._slow -= 1
            if self._calls:
                thread.since = time.monotonic()
                return self._calls.popleft()
            self._active.discard(thread)
            self._idle.append(thread)
            if not self._active:
                self._at_rest.notify_all()
            return None

    @property
    def closed(self) -> bool:
        """Whether idle threads are to end."""
        return self._closed

    def _employ(self) -> None:
        """Put threads to work while calls wait and not enough threads are busy. Called with the lock held."""
        busy = len(self._active) - self._slow
        wanted = min(BUSY_THREADS + min(self._slow, BUSY_BESIDE_SLOW) - busy, len(self._calls))
        for _ in range(min(wanted, self.slots.size - len(self._active))):
            thread = self._idle.pop() if self._idle else _CallThread(self)
            thread.since = time.monotonic()
            self._active.add(thread)
            if thread.is_alive():
                thread.wake.release()
            else:
                thread.start()

    def _watch(self) -> None:
        """Notice calls that last, and let others work beside them."""
        while True:
            with self._lock:
                self._calls_wait.wait_for(lambda: self._closed or bool(self._calls))
                if self._closed:
                    return
                late = time.monotonic() - QUICK_CALL_S
                for thread in self._active:
                    if not thread.slow and thread.since < late:
                        thread.slow = True
                        self._slow += 1
                self._employ()
            time.sleep(QUICK_CALL_S)


class _CallThread(threading.Thread):
    """One thread that makes calls, one after another."""

    def __init__(self, pool: CallPool) -> None:
        super().__init__(name="call", daemon=True)
        self.wake = threading.Semaphore(0)
        self.since = 0.0  # when its current call began
        self.slow = False  # whether that was long ago
        self._pool = pool

    def run(self) -> None:
        """Make calls until the pool is closed."""
        while not self._pool.closed:
            while call := self._pool.next(self):
                try:
                    call()
                except Exception:  # one call's fault must not end the thread; its lease will
                    log.exception("call_failed")
                finally:
                    self._pool.slots.give(1)
            self.wake.acquire()

"""Where the calls of one process are made: a bounded number in flight, on threads of their own.

A Celery task claims and hands over; it never waits for a call. So a hanging call holds one slot here and delays nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


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
    """Threads for calls, as many as there are slots."""

    def __init__(self, size: int) -> None:
        self.slots = Slots(size)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="call")

    def start(self, call: Callable[[], None]) -> None:
        """Run a call that holds a slot; the slot is freed when it ends."""
        self._threads.submit(self._run, call)

    def _run(self, call: Callable[[], None]) -> None:
        try:
            call()
        finally:
            self.slots.give(1)

    def close(self) -> None:
        """Let the calls in flight end (each has its deadline), then stop."""
        self._threads.shutdown(wait=True)

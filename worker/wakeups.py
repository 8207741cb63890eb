"""Waiting for messages without taking any: one blocked connection for each list, all behind one file descriptor.

`BLMOVE list list RIGHT RIGHT` blocks until the list has an element, and leaves it as it was. So a process that is
killed while it waits, or just after it was woken, has nothing in its hands. A wake-up is only a hint: another worker
may be faster. Redis before 6.2 has no such command.
"""

from __future__ import annotations

import select
import selectors
import time
from collections.abc import Callable, Iterable
from typing import Any


def possible() -> bool:
    """Whether this system can watch many sockets through one file descriptor (Linux, macOS and the BSDs can)."""
    return hasattr(selectors.DefaultSelector, "fileno")


class Waiter:
    """One connection that blocks on one list."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.socket: Any = None
        self.since: float | None = None  # of the question that is not answered yet, by the monotonic clock


class Wakeups:
    """The blocked connections of one channel."""

    def __init__(self, connect: Callable[[], Any], block_s: float) -> None:
        """`connect` makes a Redis connection; a question blocks for at most `block_s` seconds."""
        self._connect = connect
        self._block_s = block_s
        self._selector = selectors.DefaultSelector()
        self._waiters: dict[str, Waiter] = {}

    def fileno(self) -> int:
        """The file descriptor that is readable when any question is answered."""
        return int(self._selector.fileno())

    def wait_for(self, lists: Iterable[str]) -> None:
        """Ask to be woken by each of these lists, where that is not asked yet."""
        for name in lists:
            waiter = self._waiters.get(name)
            if waiter is None:
                waiter = self._waiters[name] = Waiter(self._connect())
            if waiter.since is None:
                self._ask(name, waiter)

    def forget_all_but(self, lists: Iterable[str]) -> None:
        """Wait no longer for other lists than these."""
        for name in self._waiters.keys() - set(lists):
            self._hang_up(self._waiters.pop(name))

    def read(self) -> bool:
        """Read the answers that came; whether any list had an element. Raises what the connection raises."""
        woken = False
        for key, _ in self._selector.select(0):
            waiter: Waiter = key.data
            waiter.since = None
            try:
                woken |= waiter.connection.read_response() is not None
            except BaseException:
                self._hang_up(waiter)
                raise
        return woken

    def hang_up_overdue(self, patience_s: float) -> float | None:
        """End connections whose answer is overdue by `patience_s`; they are asked anew. The longest wait in seconds."""
        now = time.monotonic()
        overdue = [
            (now - waiter.since, waiter)
            for waiter in self._waiters.values()
            if waiter.since is not None
            and now - waiter.since >= self._block_s + patience_s
            and not select.select([waiter.socket], [], [], 0)[0]
        ]
        for _, waiter in overdue:
            self._hang_up(waiter)
        return max((waited for waited, _ in overdue), default=None)

    def close(self) -> None:
        """End all connections. Nothing is lost by it."""
        self._selector.close()  # first: in a forked child the sockets stay in the parent's selector
        for waiter in self._waiters.values():
            waiter.connection.disconnect()
        self._waiters.clear()

    def _ask(self, name: str, waiter: Waiter) -> None:
        try:
            waiter.connection.send_command("BLMOVE", name, name, "RIGHT", "RIGHT", self._block_s)
        except BaseException:
            self._hang_up(waiter)
            raise
        if waiter.socket is not waiter.connection._sock:  # it has just connected
            self._unwatch(waiter)
            waiter.socket = waiter.connection._sock
            self._selector.register(waiter.socket, selectors.EVENT_READ, waiter)
        waiter.since = time.monotonic()

    def _hang_up(self, waiter: Waiter) -> None:
        self._unwatch(waiter)
        waiter.socket, waiter.since = None, None
        waiter.connection.disconnect()

    def _unwatch(self, waiter: Waiter) -> None:
        if waiter.socket is not None and waiter.socket.fileno() >= 0:
            self._selector.unregister(waiter.socket)

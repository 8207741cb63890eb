"""One deadline for a whole exchange, kept by shutting its socket down.

A socket's own timeout starts anew with every byte, so a peer that drips one byte a second holds a thread for
ever. One thread of the process watches all exchanges instead. Starting and stopping a watch is a set
operation each and takes no lock; the thread sleeps until the earliest deadline it knows of, and only an
earlier one wakes it.

A socket is never shut down after its watch was stopped: whoever takes the watch out of the set owns the
socket, and a caller that comes second waits until the shutdown is over, so a connection that went back to a
pool is never hit.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import threading
import time


class Watch:
    """One socket and the time by which its exchange must be over (`time.monotonic()`)."""

    __slots__ = ("at", "sock")

    def __init__(self, sock: socket.socket, at: float) -> None:
        self.sock = sock
        self.at = at


class Watchdog:
    """Shuts down the sockets of exchanges that outlive their deadline. Safe to use from any thread."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._live: set[Watch] = set()
        self._wake = threading.Condition()
        self._cutting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wakes_at = math.inf  # an earlier deadline than this must wake the thread
        self._woken = False

    def start(self, sock: socket.socket, at: float) -> Watch:
        """Watch a connected socket until `stop`."""
        watch = Watch(sock, at)
        self._live.add(watch)
        # Added first, compared second: the thread raises `_wakes_at` before it looks at the set, so either it
        # sees this watch, or this thread sees a time to beat.
        if at < self._wakes_at:
            self._rouse()
        return watch

    def stop(self, watch: Watch) -> bool:
        """End a watch. True when the socket is untouched, and stays so; False when it was shut down."""
        try:
            self._live.remove(watch)
        except KeyError:
            with self._cutting:  # the shutdown may be under way: the descriptor must not be closed before its end
                return False
        return True

    def _rouse(self) -> None:
        with self._wake:
            self._woken = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="http-deadlines", daemon=True)
                self._thread.start()
            self._wake.notify()

    def _run(self) -> None:
        while True:
            earliest = self._cut_overdue()
            with self._wake:
                if not self._woken:
                    self._wakes_at = earliest
                    self._wake.wait(None if earliest == math.inf else max(earliest - time.monotonic(), 0))
                self._woken = False
                self._wakes_at = math.inf

    def _cut_overdue(self) -> float:
        """Shut down what is overdue. Returns the earliest deadline of the rest."""
        now = time.monotonic()
        earliest = math.inf
        for watch in self._live.copy():
            if watch.at > now:
                earliest = min(earliest, watch.at)
            else:
                self._cut(watch)
        return earliest

    def _cut(self, watch: Watch) -> None:
        with self._cutting:
            try:
                self._live.remove(watch)
            except KeyError:
                return  # it ended just now
            # The plain socket's own method: an SSLSocket's would first drop the TLS state under its reader's
            # feet.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(watch.sock, socket.SHUT_RDWR)


WATCHDOG = Watchdog()
os.register_at_fork(after_in_child=WATCHDOG._reset)  # threads do not survive a fork

"""Where the calls of one process are made: a bounded number in flight, on one loop.

A Celery task claims and hands over; it never waits for a call. A hanging call holds one slot here and delays nobody.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from providers.waiting import Loop

SLOW_S = 0.02  # a call that lasts longer waits for its receiver
WINDOW = 32  # quick calls in flight at once: enough to keep the loop at work, few enough not to be a burst
AHEAD = 128  # claimed calls that may wait for their turn: enough to fill the time of a claim
KEPT = 32  # of those, for tenants of which little waits

Call = Callable[[], None]

log = structlog.get_logger("mesh.calls")


class Slots:
    """Places for calls. One is taken before a delivery is claimed and held until its call has ended.

    No more than `AHEAD` are given out for calls that still wait for their turn: what is claimed too early is lost
    longer when this process dies, and everything new would queue behind it.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0
        self._ahead = 0  # of the used ones, those whose calls have not begun
        self._changed = threading.Condition()

    def take(self, wanted: int, timeout_s: float, *, keep: int = 0) -> int:
        """Take 1 to `wanted` places, at most `AHEAD` less `keep`. 0 when none came free in time."""
        most = AHEAD - keep
        wanted = min(wanted, most)
        with self._changed:
            if not self._changed.wait_for(lambda: self.used < self.size and self._ahead + wanted <= most, timeout_s):
                return 0
            return self._take(min(wanted, self.size - self.used))

    def take_at_once(self, wanted: int, *, keep: int = 0) -> int:
        """Take as many places as there are right now, 0 to `wanted`, leaving `keep` of those for calls that wait."""
        with self._changed:
            return self._take(max(0, min(wanted, self.size - self.used, AHEAD - self._ahead - keep)))

    def _take(self, count: int) -> int:
        self.used += count
        self._ahead += count
        return count

    def begin(self, count: int) -> None:
        """The calls of so many places begin."""
        with self._changed:
            self._ahead -= count
            self._changed.notify_all()

    def give(self, count: int) -> None:
        """Free places whose calls have ended."""
        with self._changed:
            self.used -= count
            self._changed.notify_all()

    def give_back(self, count: int) -> None:
        """Free places that no call was found for."""
        if count:
            self.begin(count)
            self.give(count)

    def wait_until_free(self) -> None:
        """Wait until no place is taken."""
        with self._changed:
            self._changed.wait_for(lambda: self.used == 0)


class CallLoop:
    """Calls in flight: a window of quick ones, and beside them as many that wait for slow receivers as there are slots.

    `on_pause` is called on the loop when there is nothing to do at once, and while calls wait every 20 ms or so.
    """

    def __init__(self, size: int, *, on_pause: Call) -> None:
        self.slots = Slots(size)
        self._on_pause = on_pause
        self._waiting: deque[Call] = deque()
        self._quick: dict[int, float] = {}  # since when, by number of the call
        self._slow: set[int] = set()
        self._last = 0
        self._loop = Loop("calls", threads=size, on_tick=self._tick)

    def start(self, calls: Sequence[Call], *, ahead: bool = False) -> None:
        """Make calls that hold a slot each, before or behind those that wait. From any thread.

        A slot is freed when its call ends.
        """
        if calls:
            self._loop.submit(partial(self._take, calls, ahead))

    def close(self) -> None:
        """Let the calls in flight end: each has its deadline."""
        self.slots.wait_until_free()
        self._loop.close()

    def _take(self, calls: Sequence[Call], ahead: bool) -> None:
        if ahead:
            self._waiting.extendleft(reversed(calls))
        else:
            self._waiting.extend(calls)
        self._launch()

    def _launch(self) -> None:
        """Begin calls while the window has room."""
        room = min(WINDOW - len(self._quick), len(self._waiting))
        if room > 0:
            self.slots.begin(room)
        for call in [self._waiting.popleft() for _ in range(room)]:
            self._last += 1
            self._quick[self._last] = time.monotonic()
            self._loop.spawn(partial(self._make, self._last, call))

    def _make(self, number: int, call: Call) -> None:
        try:
            call()
        except Exception:  # one call's fault must not end the loop; its lease will
            log.exception("call_failed")
        self._quick.pop(number, None)
        self._slow.discard(number)
        self.slots.give(1)
        if self._waiting:
            self._loop.submit(self._launch)
        elif not self._quick:
            self._on_pause()

    def _tick(self) -> None:
        """Notice calls that last, and let others begin beside them."""
        late = time.monotonic() - SLOW_S
        for number in [number for number, since in self._quick.items() if since < late]:
            del self._quick[number]
            self._slow.add(number)
        self._on_pause()
        self._launch()

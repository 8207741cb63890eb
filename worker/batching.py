"""Group commit: many threads hand in items, one thread settles all that wait in one transaction.

Nothing waits for a batch to fill: while one batch is written the next one gathers, so batches are small when little
happens and large under load.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import structlog

Item = TypeVar("Item")
Result = TypeVar("Result")


SMALL = 10  # items of a group that goes before larger ones

log = structlog.get_logger("mesh.batching")


class GroupCommit(Generic[Item, Result]):
    """A queue whose waiting items are handled together. `handle` gets a batch and returns a result for each item.

    A batch has at most `limit` items, or is one larger group. Small groups do not wait behind large ones: they have
    batches of their own, every other one while both wait.
    """

    def __init__(self, name: str, handle: Callable[[Sequence[Item]], Sequence[Result]], *, limit: int) -> None:
        self._handle = handle
        self._limit = limit
        self._small: deque[tuple[Sequence[Item], Future[Sequence[Result]]]] = deque()
        self._large: deque[tuple[Sequence[Item], Future[Sequence[Result]]]] = deque()
        self._took_small = False
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item]) -> Future[Sequence[Result]]:
        """Hand in items that belong together. Their future ends when they were handled, with a result for each."""
        future: Future[Sequence[Result]] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("this process is shutting down")
            (self._small if len(items) <= SMALL else self._large).append((items, future))
            self._changed.notify()
        return future

    def close(self, timeout_s: float) -> None:
        """Handle what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while groups := self._next():
            batch = [item for items, _ in groups for item in items]
            try:
                results = self._handle(batch)
                if len(results) != len(batch):
                    raise ValueError(f"{len(results)} results for {len(batch)} items")
            except Exception as error:
                log.exception("batch_failed", batch=self._thread.name, size=len(batch))
                for _, future in groups:
                    future.set_exception(error)
                continue
            start = 0
            for items, future in groups:
                future.set_result(results[start : start + len(items)])
                start += len(items)

    def _next(self) -> list[tuple[Sequence[Item], Future[Sequence[Result]]]]:
        with self._changed:
            while not self._small and not self._large and not self._closed:
                self._changed.wait()
            self._took_small = bool(self._small) and not (self._large and self._took_small)
            waiting = self._small if self._took_small else self._large
            groups: list[tuple[Sequence[Item], Future[Sequence[Result]]]] = []
            room = self._limit
            while waiting and (not groups or len(waiting[0][0]) <= room):
                room -= len(waiting[0][0])
                groups.append(waiting.popleft())
            return groups

"""Group commit: many threads hand in one item each, one thread settles all that wait in one transaction.

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


log = structlog.get_logger("mesh.batching")


class GroupCommit(Generic[Item, Result]):
    """A queue whose waiting items are handled together. `handle` gets a batch and returns a result for each item."""

    def __init__(self, name: str, handle: Callable[[Sequence[Item]], Sequence[Result]], *, limit: int) -> None:
        self._handle = handle
        self._limit = limit
        self._waiting: deque[tuple[Item, Future[Result]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> Future[Result]:
        """Hand in one item. Its future ends when its batch was handled."""
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("this process is shutting down")
            self._waiting.append((item, future))
            self._changed.notify()
        return future

    def close(self, timeout_s: float) -> None:
        """Handle what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while batch := self._next():
            try:
                pairs = list(zip(batch, self._handle([item for item, _ in batch]), strict=True))
            except Exception as error:
                log.exception("batch_failed", batch=self._thread.name, size=len(batch))
                for _, future in batch:
                    future.set_exception(error)
            else:
                for (_, future), result in pairs:
                    future.set_result(result)

    def _next(self) -> list[tuple[Item, Future[Result]]]:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._limit))]

"""Work as a call on a loop, for tests that run it there and on a plain thread alike."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from providers.waiting import Loop

Result = TypeVar("Result")

PATIENCE_S = 10


def run(loop: Loop, work: Callable[[], Result]) -> Future[Result]:
    """Begin a call on the loop. Its future has what it returns or raises."""
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - whoever asks the future gets it
            future.set_exception(error)

    loop.submit(lambda: loop.spawn(call))
    return future


def on_loop(loop: Loop, work: Callable[[], Result]) -> Result:
    """What work returns or raises as a call on the loop."""
    return run(loop, work).result(PATIENCE_S)

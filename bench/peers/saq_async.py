"""SAQ: asyncio in processes; a job stays in its list of active ones until the function has returned.

Tried: 8, 32 or 64 jobs at once in place of 16, 4 or 16 connections to PostgreSQL in place of 8. uvloop, orjson, no
deadline per job, no results.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import orjson
import uvloop
from saq import Queue, Worker

from bench.peers.async_job import Caller
from bench.peers.job import QUEUE, place

AT_ONCE = 50  # messages that a publisher has on their way
FORGET = -1  # no results: the job's key goes when it is done

PLACE = place()


def queue() -> Any:
    """The queue; made on the loop that will use it."""
    return Queue.from_url(
        PLACE.redis_url, name=f"{QUEUE}-saq", dump=orjson.dumps, load=orjson.loads, max_concurrent_ops=AT_ONCE
    )


async def deliver(context: dict[str, Any], *, event: dict[str, Any]) -> None:
    """The whole job."""
    await context["caller"].deliver(event)


async def _open(context: dict[str, Any]) -> None:
    context["caller"] = await Caller.open(PLACE, "saq")


async def _work(concurrency: int) -> None:
    worker = Worker(queue(), functions=[deliver], concurrency=concurrency, startup=_open)
    await worker.start()


def publish(events: Sequence[Any]) -> None:
    """A job for each event, some at a time: it has no bulk means."""
    _Publisher.loop.run_until_complete(_publish(events))


async def _publish(events: Sequence[Any]) -> None:
    for start in range(0, len(events), AT_ONCE):
        some = events[start : start + AT_ONCE]
        await asyncio.gather(
            *(_Publisher.queue.enqueue("deliver", event=event, timeout=0, ttl=FORGET) for event in some)
        )


class _Publisher:
    """What a publisher keeps open."""

    loop: asyncio.AbstractEventLoop
    queue: Any


async def _queue() -> Any:
    made = queue()
    await made.connect()
    return made


def connect() -> None:
    """Be ready to publish."""
    _Publisher.loop = asyncio.new_event_loop()
    _Publisher.queue = _Publisher.loop.run_until_complete(_queue())


if __name__ == "__main__":
    uvloop.run(_work(int(sys.argv[1])))

"""TaskIQ: asyncio in processes, over a Redis stream; it acknowledges after the task has returned.

Tried: 8, 16 and 32 tasks at once in place of 100, a prefetch of 32, reading 500 messages at once in place of 100,
4 or 16 connections to PostgreSQL in place of 8. Its broker over a list costs about the same, but loses what a killed
worker has. uvloop, orjson, no parsing of arguments, no results.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from taskiq import TaskiqEvents, TaskiqState
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisStreamBroker

from bench.peers.async_job import Caller
from bench.peers.job import QUEUE, place

AT_ONCE = 50  # messages that a publisher has on their way

PLACE = place()
broker = RedisStreamBroker(
    PLACE.redis_url, queue_name=f"{QUEUE}-taskiq", max_connection_pool_size=AT_ONCE, maxlen=100_000
).with_serializer(ORJSONSerializer())


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def _open(state: TaskiqState) -> None:
    state.caller = await Caller.open(PLACE, "taskiq")


@broker.task(task_name="deliver")
async def deliver(event: dict[str, Any]) -> None:
    """The whole job."""
    await broker.state.caller.deliver(event)


def publish(events: Sequence[Any]) -> None:
    """A message for each event, some at a time: it has no bulk means."""
    _LOOP.run_until_complete(_publish(events))


async def _publish(events: Sequence[Any]) -> None:
    for start in range(0, len(events), AT_ONCE):
        await asyncio.gather(*(deliver.kiq(event) for event in events[start : start + AT_ONCE]))


def connect() -> None:
    """Be ready to publish."""
    _LOOP.run_until_complete(broker.startup())


_LOOP = asyncio.new_event_loop()

"""Dramatiq: threads in processes; it acknowledges after the actor has returned.

Tried: 1, 2, 4 or 8 threads in place of 16, a prefetch of 64 messages, and its default middleware, which costs half
of the drain rate: here is none, so it neither retries nor limits time or age. orjson in place of json.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import dramatiq
import orjson
from dramatiq.brokers.redis import RedisBroker

from bench.peers.job import QUEUE, place
from bench.peers.sync_job import Caller

PLACE = place()
_THREAD = threading.local()


class _Orjson(dramatiq.Encoder):
    """Its own format, written faster."""

    def encode(self, data: Any) -> bytes:
        """A message as bytes."""
        return orjson.dumps(data)

    def decode(self, data: bytes) -> Any:
        """A message from bytes."""
        return orjson.loads(data)


class _Open(dramatiq.Middleware):
    """Connects every thread before its first message."""

    def after_worker_thread_boot(self, broker: Any, thread: Any) -> None:
        """Called in the thread."""
        _THREAD.caller = Caller(PLACE, "dramatiq")


dramatiq.set_encoder(_Orjson())
dramatiq.set_broker(RedisBroker(url=PLACE.redis_url, middleware=[_Open()]))


@dramatiq.actor(queue_name=f"{QUEUE}-dramatiq")
def deliver(event: dict[str, Any]) -> None:
    """The whole job."""
    _THREAD.caller.deliver(event)


def publish(events: Sequence[Any]) -> None:
    """A message for each event: it has no bulk means."""
    for event in events:
        deliver.send(event)


def connect() -> None:
    """Be ready to publish."""
    dramatiq.get_broker().client.ping()

"""Plain Celery: prefork children that acknowledge after the row is committed.

Tried: 4 children in place of 2, a prefetch multiplier of 1 or 4 in place of 64, two workers with a child each, early
acknowledgement: none was faster beyond the noise; 4 children cost a fifth more CPU. No results, events, gossip, mingle,
heartbeats, rate limits or priorities; bodies without base64. A publisher sends batches of 500 in one round trip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from bench.peers.job import QUEUE, place
from bench.peers.sync_job import Caller

BATCH = 500  # messages that a publisher sends in one round trip

PLACE = place()
app = Celery("plain", broker=PLACE.redis_url)
app.conf.update(
    task_default_queue=f"{QUEUE}-celery",
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    accept_content=["json"],
    broker_transport_options={"priority_steps": [0], "body_encoding": "utf-8"},
)


class _Child:
    """What one process keeps open."""

    caller: Caller


@worker_process_init.connect
def _open(**_: Any) -> None:
    _Child.caller = Caller(PLACE, "celery")


@app.task(name="plain.deliver")
def deliver(event: dict[str, Any]) -> None:
    """The whole job."""
    _Child.caller.deliver(event)


def publish(events: Sequence[Any]) -> None:
    """A message for each event, sent in batches of kombu's own."""
    with app.producer_pool.acquire(block=True) as producer, producer.batch(max_size=BATCH):
        for event in events:
            deliver.apply_async((event,), producer=producer)


def connect() -> None:
    """Be ready to publish."""
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=3)

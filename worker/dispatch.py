"""Sending delivery ids to their providers' queues, in small batches. Only ids travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import redis
import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from worker.app import EVENTS_QUEUE, deliver_queue
from worker.logs import first_line

BATCH = 50  # ids in a message: enough to share one claim, few enough to spread over workers
# Where kombu puts messages that have a priority: lists beside the queue's own.
PRIORITY_MARK = "\x06\x16"
PRIORITY_STEPS = (3, 6, 9)
GATHER_LIMIT = 1000  # in one tick

QUEUE_LIMIT = 40  # messages waiting per provider; the rest waits in Postgres, where tenants take turns

log = structlog.get_logger("mesh.dispatch")


class Dispatcher:
    """Publishes ids over one broker connection pool."""

    def __init__(self, app: Celery, client: redis.Redis, key_prefix: str) -> None:
        self._app = app
        self._client = client
        self._key_prefix = key_prefix

    def waiting(self, provider: str) -> int | None:
        """How many messages wait in a provider's queue; None when Redis does not answer."""
        try:
            return int(self._client.llen(self._key_prefix + deliver_queue(provider)))
        except redis.RedisError:
            return None

    def gather_priorities(self) -> int:
        """Put events that were sent with a priority where workers look: there are no priorities here. How many."""
        queue = self._key_prefix + EVENTS_QUEUE
        moved = 0
        try:
            for step in PRIORITY_STEPS:
                while moved < GATHER_LIMIT and self._client.lmove(
                    f"{queue}{PRIORITY_MARK}{step}", queue, "RIGHT", "LEFT"
                ):
                    moved += 1
        except redis.RedisError as error:
            log.warning("priorities_not_gathered", error=first_line(error))
        return moved

    def send(self, deliveries: Iterable[tuple[str, UUID]]) -> list[UUID]:
        """Send (provider, id) pairs. The ids that were not sent: their queue is full, or Redis is away."""
        by_provider: dict[str, list[UUID]] = {}
        for provider, delivery_id in deliveries:
            by_provider.setdefault(provider, []).append(delivery_id)
        unsent: list[UUID] = []
        for provider, ids in by_provider.items():
            unsent += self._send(provider, ids)
        return unsent

    def _send(self, provider: str, ids: Sequence[UUID]) -> list[UUID]:
        waiting = self.waiting(provider)
        if waiting is None or waiting >= QUEUE_LIMIT:
            return list(ids)
        batches = list(_batches(ids))
        for position, batch in enumerate(batches):
            try:
                self._publish(provider, batch)
            except (OperationalError, redis.RedisError, OSError) as error:
                log.warning("dispatch_failed", provider=provider, error=first_line(error))
                return [unsent for rest in batches[position:] for unsent in rest]
        return []

    def _publish(self, provider: str, batch: Sequence[UUID]) -> None:
        self._app.send_task(
            "deliveries.deliver",
            args=([str(delivery_id) for delivery_id in batch],),
            queue=deliver_queue(provider),
            argsrepr=f"({len(batch)} ids)",
            kwargsrepr="{}",
        )


def _batches(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]

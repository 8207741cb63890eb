"""Sending delivery ids to their providers' queues, in small batches. Only ids travel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import redis
import structlog
from kombu.exceptions import OperationalError

from worker import faults
from worker.app import EVENTS_QUEUE, deliver_queue
from worker.logs import first_line
from worker.sending import PRIORITY_MARK, Message, Sender

BATCH = 50  # ids in a message: enough to share one claim, few enough to spread over workers
PRIORITY_STEPS = (3, 6)
GATHER_LIMIT = 1000  # in one tick

LATER = 9  # the priority of a backlog: its list is looked at when all others are empty
FEW = 5  # of a tenant go before those of tenants with more
QUEUE_LIMIT = 40  # messages waiting per provider; the rest waits in Postgres, where tenants take turns
LATER_LIMIT = 12  # the same, of a backlog: enough for the time between two refills

log = structlog.get_logger("mesh.dispatch")


class Dispatcher:
    """Publishes ids; what Redis does not take stays in Postgres."""

    def __init__(self, sender: Sender, client: redis.Redis, key_prefix: str) -> None:
        self._sender = sender
        self._client = client
        self._key_prefix = key_prefix

    def waiting(self, provider: str, *, later: bool = False) -> int | None:
        """How many messages wait in a provider's queue, or in its list for later; None when Redis does not answer."""
        queue = self._key_prefix + deliver_queue(provider)
        try:
            return int(self._client.llen(f"{queue}{PRIORITY_MARK}{LATER}" if later else queue))
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

    def send(self, deliveries: Iterable[tuple[str, UUID]], *, later: bool = False) -> list[UUID]:
        """Send (provider, id) pairs. The ids that were not sent: their queue is full, or Redis is away."""
        by_provider: dict[str, list[UUID]] = {}
        for provider, delivery_id in deliveries:
            by_provider.setdefault(provider, []).append(delivery_id)
        unsent: list[UUID] = []
        for provider, ids in by_provider.items():
            unsent += self._send(provider, ids, later)
        return unsent

    def _send(self, provider: str, ids: Sequence[UUID], later: bool) -> list[UUID]:
        waiting = self.waiting(provider, later=later)
        if waiting is None or waiting >= (LATER_LIMIT if later else QUEUE_LIMIT):
            return list(ids)
        batches = list(_batches(ids))
        for position, batch in enumerate(batches):
            try:
                self._publish(provider, batch, LATER if later else 0)
                faults.reached("dispatch")
            except (OperationalError, redis.RedisError, OSError) as error:
                log.warning("dispatch_failed", provider=provider, error=first_line(error))
                return [unsent for rest in batches[position:] for unsent in rest]
        return []

    def _publish(self, provider: str, batch: Sequence[UUID], priority: int) -> None:
        self._sender.send(
            Message(
                "deliveries.deliver",
                ([str(delivery_id) for delivery_id in batch],),
                deliver_queue(provider),
                f"({len(batch)} ids)",
                priority,
            )
        )


def _batches(ids: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]

"""The Redis door: `events.publish`, and the functions that send it.

A producer in any language sends the task `events.publish` to queue `events` with one JSON object as its only argument:
{"type": ..., "tenant_id": ..., "data": {...}, "id": optional idempotency key, "occurred_at": optional ISO time}.
A list of such objects is taken too, and is the fast way to publish many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from celery import Task
from celery.exceptions import Reject

from settings import current
from worker.app import EVENTS_QUEUE, app
from worker.dispatch import LATER
from worker.event_checks import parse
from worker.sending import Message, Sender, redis_client

BATCH = 50  # events in a message of publish_many


class _EventTask(Task):
    """Reads the body before the task is queued, and shows no payload anywhere."""

    Strategy = "worker.consumer:accepting"
    Request = "worker.consumer:QuietRequest"


@app.task(base=_EventTask, bind=True, name="events.publish", typing=False)
def _accept(self: Any, *messages: Any, **fields: Any) -> None:
    from worker import stopping
    from worker.logs import first_line
    from worker.receive import GIVE_BACK_S, arrivals
    from worker.resources import resources

    try:
        resources().accepter.submit(arrivals(self.request.id, messages, fields)).result()
    except Exception as error:
        # Nothing of it may be stored. Celery would acknowledge a task that failed: the message goes back instead, and
        # what of it was stored is recognised by its name.
        stopping.requested.wait(GIVE_BACK_S)
        raise Reject(first_line(error), requeue=True) from error


def publish(
    type: str,
    tenant_id: str,
    data: Mapping[str, Any],
    *,
    id: str | None = None,
    occurred_at: datetime | None = None,
) -> str:
    """Publish one event over Redis. Returns the message's id.

    Raises EventRejected when the type, the data or the size is wrong. An unknown tenant is known only to the workers:
    such an event is kept in `rejected_events`. The event is accepted when a worker has stored it; where it must not be
    lost with Redis, publish inside your own transaction (`worker.enqueue.accept`, or SQL `publish_event`).
    """
    return publish_many([{"type": type, "tenant_id": tenant_id, "data": data, "id": id, "occurred_at": occurred_at}])[0]


def publish_many(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Publish events in lists of 50, all checked before the first is sent. Returns the messages' ids."""
    checked = [_wire(event) for event in events]
    batches = [checked[start : start + BATCH] for start in range(0, len(checked), BATCH)]
    priority = LATER if len(batches) > 1 else 0
    return [_send(batch, priority) for batch in batches]


def _wire(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as it travels: plain JSON, times as text, nothing that is not set."""
    moment = event.get("occurred_at")
    plain = {**event, "occurred_at": moment.isoformat() if isinstance(moment, datetime) else moment}
    parse(plain)
    return {key: value for key, value in plain.items() if value is not None}


def _send(batch: Sequence[Mapping[str, Any]], priority: int) -> str:
    argument: Any = batch[0] if len(batch) == 1 else list(batch)
    return _sender().send(Message("events.publish", (argument,), EVENTS_QUEUE, f"({len(batch)} events)", priority))


@cache
def _sender() -> Sender:
    settings = current()
    return Sender(app, redis_client(settings), settings)

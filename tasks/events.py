"""The Redis door: `events.publish`, and the functions that send it.

A producer in any language sends the task `events.publish` to queue `events` with one JSON object as its only argument:
{"type": ..., "tenant_id": ..., "data": {...}, "id": optional idempotency key, "occurred_at": optional ISO time}.
A list of such objects is taken too, and is the fast way to publish many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from celery import Task
from celery.exceptions import Reject

from worker.app import EVENTS_QUEUE, app
from worker.enqueue import parse

GIVE_BACK_S = 1.0  # before a message that could not be stored is offered again
BATCH = 50  # events in a message of publish_many


class _EventTask(Task):
    """Reads the body before the task is queued, and shows no payload anywhere."""

    Strategy = "worker.consumer:checked"
    Request = "worker.consumer:QuietRequest"


@app.task(base=_EventTask, bind=True, name="events.publish", typing=False)
def _accept(self: Any, *messages: Any, **fields: Any) -> None:
    from worker import stopping
    from worker.logs import first_line
    from worker.receive import Arrival
    from worker.resources import resources

    given: list[Any] = [*messages, *([fields] if fields else [])] or [None]
    events = [event for message in given for event in (message if isinstance(message, list) else [message])]
    accepter = resources().accepter
    arrivals = [Arrival(event, f"{self.request.id}:{n}") for n, event in enumerate(events)]
    try:
        for future in [accepter.submit(arrival) for arrival in arrivals]:
            future.result()
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
    return [_send(batch) for batch in batches]


def _wire(event: Mapping[str, Any]) -> dict[str, Any]:
    """An event as it travels: plain JSON, times as text, nothing that is not set."""
    moment = event.get("occurred_at")
    plain = {**event, "occurred_at": moment.isoformat() if isinstance(moment, datetime) else moment}
    parse(plain)
    return {key: value for key, value in plain.items() if value is not None}


def _send(batch: Sequence[Mapping[str, Any]]) -> str:
    argument: Any = batch[0] if len(batch) == 1 else list(batch)
    sent = app.send_task(
        "events.publish",
        args=(argument,),
        queue=EVENTS_QUEUE,
        argsrepr=f"({len(batch)} events)",
        kwargsrepr="{}",
    )
    return str(sent.id)

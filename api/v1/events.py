"""Events: published by the product, seen with everything that came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

from fastapi import APIRouter, Header, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

import db.attempts
import db.chains
import db.deliveries
import db.events
import db.rejected
import jsontext
from api.callers import Caller, Publisher, Reader, Tenant
from api.parts import Parts, Shared
from api.v1.shapes import (
    PROBLEMS,
    AttemptShape,
    Before,
    Body,
    DeliveryShape,
    Limit,
    Page,
    Shape,
    attempt,
    paged,
)
from worker.catalog import event_types, unknown
from worker.coercion import coerced
from worker.enqueue import Accepted, accept
from worker.event_checks import EventRejected, parse

MOST_EVENTS = 1_000  # in one request
MOST_IN_TREE = 500

router = APIRouter(tags=["Events"], responses=PROBLEMS)
Key = Annotated[
    str | None, Header(alias="Idempotency-Key", max_length=255, description="The event's id, where its body has none.")
]


class NewEvent(Body):
    """Something that happened in the product."""

    type: str = Field(examples=["campaign.created"], description="One of `GET /v1/event-types`.")
    data: dict[str, Any] = Field(description="As the event type's schema says.")
    id: str | None = Field(None, description="Your id of it: the same again makes nothing new.", examples=["cmp_1:1"])
    occurred_at: str | None = Field(None, examples=["2026-03-01T12:00:00Z"])
    tenant_id: str | None = Field(None, description="Needed with an operator's key.")


class Taken(Shape):
    """An event that is stored."""

    id: UUID
    new: bool = Field(description="false: it was published before, and nothing was done again.")
    deliveries: int = Field(description="How many accounts and webhooks it goes to.")


class TakenMany(Shape):
    """Events that are stored, in the order in which they were sent."""

    events: list[Taken]


class EventShape(Shape):
    """An event as it was accepted."""

    id: UUID
    tenant_id: str
    type: str
    idempotency_key: str | None
    occurred_at: datetime
    accepted_at: datetime
    caused_by: UUID | None


class EventWhole(EventShape):
    """The same with what it says."""

    data: dict[str, Any]
    trace_id: UUID | None
    chain_step_id: UUID | None


class DeliveryWithAttempts(DeliveryShape):
    """A delivery with its calls."""

    attempts: list[AttemptShape]


class ChainStepShape(Shape):
    """The step of a chain that published an event."""

    chain: str
    position: int


class Told(Shape):
    """An event, where it went, and what came of it."""

    event: EventWhole
    step: ChainStepShape | None
    deliveries: list[DeliveryWithAttempts]
    rejected: list[str] = Field(description="Why something that it should have led to was rejected.")
    caused: list[Told]


class Sums(Shape):
    """What all of it took and cost."""

    calls: int
    began_at: datetime | None
    ended_at: datetime | None
    costs: dict[str, str]


class Tree(Shape):
    """All that came of one event."""

    root: Told
    sums: Sums


@router.post("/events", status_code=202, response_model=Taken | TakenMany)
def publish(
    body: NewEvent | list[NewEvent], caller: Publisher, shared: Shared, idempotency_key: Key = None
) -> dict[str, Any]:
    """Publish one event, or up to 1,000 in a list: all are stored, or none. Publishing the same `id` again is safe."""
    if not isinstance(body, list):
        (taken,) = _accept(shared, [_message(body, caller, idempotency_key)])
        return _taken(taken)
    if not 1 <= len(body) <= MOST_EVENTS:
        raise HTTPException(422, f"Send 1 to {MOST_EVENTS} events at once, not {len(body)}.")
    messages = [_message(each, caller, None) for each in body]
    for place, message in enumerate(messages):
        try:
            parse(message)
        except EventRejected as error:
            raise HTTPException(422, f"Event {place + 1} of {len(body)}: {error} None was stored.") from None
    return {"events": [_taken(each) for each in _accept(shared, messages)]}


@router.post(
    "/events/{event_type}",
    status_code=202,
    response_model=Taken,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": {"type": "object", "additionalProperties": True}}
                for kind in ("application/json", "application/x-www-form-urlencoded")
            },
        }
    },
)
async def publish_fields(
    event_type: str,
    request: Request,
    caller: Publisher,
    shared: Shared,
    tenant: Tenant = None,
    key: Annotated[
        str | None, Query(max_length=100, description="The field whose value tells one event from another.")
    ] = None,
    idempotency_key: Key = None,
) -> dict[str, Any]:
    """Publish one event whose fields are the body itself, as JSON or as a form: for tools that send text.

    "59.9" is read as a number and "true" as a boolean where the event type's schema wants them; empty texts are left
    out.
    """
    kind = event_types().get(event_type)
    if kind is None:
        raise HTTPException(404, unknown(event_type))
    data = coerced(_fields(await request.body(), request.headers.get("content-type", "")), kind.schema)
    if key is not None and data.get(key) in (None, ""):
        raise HTTPException(422, f"key={key}: the body has no {key!r}.")
    made = idempotency_key or (f"{event_type}:{data[key]}" if key is not None else None)
    message = {"type": event_type, "tenant_id": caller.one_tenant(tenant), "data": data, **_named(made)}
    (taken,) = await run_in_threadpool(_accept, shared, [message])
    return _taken(taken)


def _fields(body: bytes, content_type: str) -> Mapping[str, Any]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=1_000))
        except ValueError:
            raise HTTPException(422, "The body is not a form.") from None
    if kind not in ("application/json", ""):
        raise HTTPException(415, "Send application/json or application/x-www-form-urlencoded.")
    try:
        found = jsontext.decoded(body)
    except ValueError:
        raise HTTPException(422, "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise HTTPException(422, "The body must be a JSON object: the event's fields.")
    return found


def _message(event: NewEvent, caller: Caller, key: str | None) -> dict[str, Any]:
    """An event as the other doors take it."""
    tenant = caller.one_tenant(event.tenant_id)
    when = {"occurred_at": event.occurred_at} if event.occurred_at is not None else {}
    return {"type": event.type, "tenant_id": tenant, "data": event.data, **when, **_named(event.id or key)}


def _named(key: str | None) -> dict[str, str]:
    return {"id": key} if key is not None else {}


def _accept(shared: Parts, messages: Sequence[Mapping[str, Any]]) -> list[Accepted]:
    with shared.engine.begin() as connection:
        return accept(connection, messages)


def _taken(accepted: Accepted) -> dict[str, Any]:
    return {"id": accepted.event_id, "new": accepted.new, "deliveries": len(accepted.deliveries)}


@router.get("/events", response_model=Page[EventShape])
def every(
    caller: Reader,
    shared: Shared,
    tenant: Tenant = None,
    type: Annotated[str | None, Query(description="Of this event type only.")] = None,
    before: Before = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """The newest events first. With `type` a page may hold few rows, or none, before the end: go on by `next`."""
    with shared.engine.begin() as connection:
        if type is None:
            rows = db.events.page(connection, tenant_id=caller.tenant(tenant), before=before, limit=limit + 1)
            return paged(rows, limit, EventShape.model_validate)
        rows, after = db.events.page_of_type(
            connection, type, tenant_id=caller.tenant(tenant), before=before, limit=limit
        )
    return {"data": [EventShape.model_validate(row) for row in rows], "next": after}


@router.get("/events/{event_id}", response_model=EventWhole)
def one(event_id: UUID, caller: Reader, shared: Shared) -> Any:
    """One event with what it says."""
    with shared.engine.begin() as connection:
        return EventWhole.model_validate(caller.own(db.events.get(connection, event_id), "event"))


@router.get("/events/{event_id}/tree", response_model=Tree)
def tree(event_id: UUID, caller: Reader, shared: Shared) -> dict[str, Any]:
    """Everything that came of an event: where it went, every call, what the results started, times and costs."""
    with shared.engine.begin() as connection:
        event = caller.own(db.events.get(connection, event_id), "event")
        sums = db.attempts.that_came_of(connection, event_id)
        root = _told(connection, event, [MOST_IN_TREE])
    costs = {unit: f"{amount.normalize():f}" for unit, amount in sorted(sums.costs.items())}
    return {
        "root": root,
        "sums": {"calls": sums.calls, "began_at": sums.began_at, "ended_at": sums.ended_at, "costs": costs},
    }


def _told(connection: Any, event: Any, left: list[int]) -> dict[str, Any]:
    """An event and what came of it, as long as `left[0]` events are left to show."""
    left[0] -= 1
    step = db.chains.get(connection, event.chain_step_id) if event.chain_step_id else None
    return {
        "event": EventWhole.model_validate(event),
        "step": None if step is None else ChainStepShape.model_validate(step),
        "deliveries": [_delivery(connection, row) for row in db.deliveries.of_event(connection, event.id)],
        "rejected": [row.reason for row in db.rejected.of_event(connection, event.id) if row.resolved_at is None],
        "caused": [_told(connection, each, left) for each in db.events.caused(connection, event.id) if left[0] > 0],
    }


def _delivery(connection: Any, row: Any) -> dict[str, Any]:
    attempts = [attempt(each) for each in db.attempts.of_delivery(connection, row.id)]
    return {**DeliveryShape.model_validate(row).model_dump(), "attempts": attempts}

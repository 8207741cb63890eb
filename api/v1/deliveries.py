"""Deliveries and attempts: where events went, and every call that was made."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

import db.attempts
import db.deliveries
import db.delivery_search
from api.callers import Manager, Reader, Tenant
from api.parts import Shared
from api.v1.shapes import PROBLEMS, AttemptShape, Before, DeliveryShape, Limit, Page, Shape, attempt, paged
from model import DeliveryState
from worker import redelivery

router = APIRouter(tags=["Deliveries"], responses=PROBLEMS)
Provider = Annotated[str | None, Query(max_length=64, description="At this provider only.")]


class DeliveryWhole(DeliveryShape):
    """A delivery with its calls and what came of it."""

    external_id: str | None
    result: dict[str, Any] | None
    attempts: list[AttemptShape]


class AttemptPage(Shape):
    """Some attempts, newest first; `next` goes into `before` for those after them."""

    data: list[AttemptShape]
    next: datetime | None


@router.get("/deliveries", response_model=Page[DeliveryShape])
def every(
    caller: Reader,
    shared: Shared,
    tenant: Tenant = None,
    state: DeliveryState | None = None,
    provider: Provider = None,
    webhook: Annotated[UUID | None, Query(description="To this webhook only.")] = None,
    error: Annotated[
        str | None,
        Query(max_length=200, description='Words of the error: `timeout`, `"no credits"`, `503 -retry`.'),
    ] = None,
    before: Before = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """The newest deliveries first; `state=failed` are the dead letters."""
    with shared.engine.begin() as connection:
        rows = db.delivery_search.page(
            connection,
            tenant_id=caller.tenant(tenant),
            state=state,
            provider=provider,
            webhook_id=webhook,
            error=error,
            before=before,
            limit=limit + 1,
        )
    return paged(rows, limit, DeliveryShape.model_validate)


@router.get("/deliveries/{delivery_id}", response_model=DeliveryWhole)
def one(delivery_id: UUID, caller: Reader, shared: Shared) -> dict[str, Any]:
    """One delivery with all its calls."""
    with shared.engine.begin() as connection:
        row = caller.own(db.deliveries.get(connection, delivery_id), "delivery")
        attempts = db.attempts.of_delivery(connection, delivery_id)
    whole = {"external_id": row.external_id, "result": row.result, "attempts": [attempt(each) for each in attempts]}
    return {**DeliveryShape.model_validate(row).model_dump(), **whole}


@router.post("/deliveries/{delivery_id}/replay", status_code=202, response_model=DeliveryShape)
def replay(delivery_id: UUID, caller: Manager, shared: Shared) -> Any:
    """Try a dead letter, or a cancelled delivery, again, with a fresh budget of tries."""
    with shared.engine.begin() as connection:
        caller.own(db.deliveries.get(connection, delivery_id), "delivery")
        redelivery.redeliver(connection, delivery_id)
        return DeliveryShape.model_validate(db.deliveries.get(connection, delivery_id))


@router.get("/attempts", response_model=AttemptPage)
def attempts(
    caller: Reader,
    shared: Shared,
    tenant: Tenant = None,
    provider: Provider = None,
    before: Annotated[AwareDatetime | None, Query(description="Begun before this: `next` of the page before.")] = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """The newest attempts first: the log of all calls. Those of one delivery stand with the delivery."""
    with shared.engine.begin() as connection:
        rows = db.attempts.page(
            connection, tenant_id=caller.tenant(tenant), provider=provider, before=before, limit=limit + 1
        )
    shown = rows[:limit]
    more = shown[-1].started_at if len(rows) > limit else None
    return {"data": [attempt(each) for each in shown], "next": more}

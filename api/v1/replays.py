"""Bulk redelivery: many dead letters tried again, durable, in steps that nobody waits behind."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field

import db.delivery_search
import db.replays
import db.webhooks
from api.callers import Manager, Reader, Tenant
from api.parts import Shared
from api.v1.shapes import PROBLEMS, Body, Limit, Shape
from worker import redelivery

router = APIRouter(prefix="/replays", tags=["Deliveries"], responses=PROBLEMS)


class ReplayAsked(Body):
    """Which dead letters to try again."""

    provider: str | None = Field(None, max_length=64)
    webhook_id: UUID | None = None
    since: AwareDatetime | None = Field(None, description="Those that failed since then.")
    dry_run: bool = Field(False, description="Only say how many there are.")
    tenant_id: str | None = Field(None, description="For operators' keys; none = of all tenants.")


class Counted(Shape):
    """What a replay would do."""

    dead_letters: int


class ReplayShape(Shape):
    """A bulk redelivery and how far it is."""

    id: UUID
    tenant_id: str | None
    provider: str | None
    webhook_id: UUID | None
    since: datetime | None
    replayed: int = Field(description="Dead letters that are due again so far.")
    requested_by: str
    created_at: datetime
    finished_at: datetime | None


@router.post(
    "",
    status_code=202,
    response_model=ReplayShape | Counted,
    responses={200: {"model": Counted, "description": "With `dry_run`."}},
)
def begin(body: ReplayAsked, caller: Manager, shared: Shared, response: Response) -> Any:
    """Try all dead letters that match again; with `dry_run` (200) only count them."""
    filters: dict[str, Any] = {
        "tenant_id": caller.tenant(body.tenant_id),
        "webhook_id": body.webhook_id,
        "provider": body.provider,
        "since": body.since,
    }
    with shared.engine.begin() as connection:
        if body.webhook_id is not None:
            caller.own(db.webhooks.get(connection, body.webhook_id), "webhook")
        if body.dry_run:
            response.status_code = 200
            return {"dead_letters": db.delivery_search.count_dead(connection, **filters)}
        asked = redelivery.redeliver_all(connection, requested_by=f"API key {caller.name}", **filters)
        return ReplayShape.model_validate(db.replays.get(connection, asked))


@router.get("", response_model=list[ReplayShape])
def every(caller: Reader, shared: Shared, tenant: Tenant = None, limit: Limit = 50) -> list[Any]:
    """The newest ones first."""
    with shared.engine.begin() as connection:
        rows = db.replays.page(connection, tenant_id=caller.tenant(tenant), limit=limit)
    return [ReplayShape.model_validate(row) for row in rows]


@router.get("/{replay_id}", response_model=ReplayShape)
def one(replay_id: UUID, caller: Reader, shared: Shared) -> Any:
    """One, with how far it is."""
    with shared.engine.begin() as connection:
        return ReplayShape.model_validate(caller.own(db.replays.get(connection, replay_id), "replay"))

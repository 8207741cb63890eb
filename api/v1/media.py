"""Media: what providers made."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import RedirectResponse
from pydantic import Field

import db.media
from api.callers import Reader, Tenant
from api.parts import Shared
from api.v1.shapes import PROBLEMS, Before, Limit, Page, Shape, paged

LINK_S = 3600.0

router = APIRouter(prefix="/media", tags=["Media"], responses=PROBLEMS)


class MediaShape(Shape):
    """A file in media storage."""

    id: UUID
    tenant_id: str
    provider: str
    event_id: UUID | None
    delivery_id: UUID | None
    mime: str
    size_bytes: int
    sha256: str
    details: dict[str, Any]
    created_at: datetime


class MediaWhole(MediaShape):
    """The same with an address at which anybody may fetch it for an hour."""

    url: str = Field(description="Good for an hour, for whoever has it.")


@router.get("", response_model=Page[MediaShape])
def every(
    caller: Reader, shared: Shared, tenant: Tenant = None, before: Before = None, limit: Limit = 50
) -> dict[str, Any]:
    """The newest files first."""
    with shared.engine.begin() as connection:
        rows = db.media.page(connection, tenant_id=caller.tenant(tenant), before=before, limit=limit + 1)
    return paged(rows, limit, MediaShape.model_validate)


@router.get("/{asset_id}", response_model=MediaWhole)
def one(asset_id: UUID, caller: Reader, shared: Shared) -> dict[str, Any]:
    """One file's facts, and where to fetch it."""
    with shared.engine.begin() as connection:
        row = caller.own(db.media.row(connection, asset_id), "file")
    return {**MediaShape.model_validate(row).model_dump(), "url": shared.links.media(asset_id, LINK_S)}


@router.get("/{asset_id}/content", response_class=RedirectResponse, status_code=307)
def content(asset_id: UUID, caller: Reader, shared: Shared) -> RedirectResponse:
    """The file itself, by way of its address."""
    with shared.engine.begin() as connection:
        caller.own(db.media.row(connection, asset_id), "file")
    return RedirectResponse(shared.links.media(asset_id, LINK_S), 307)

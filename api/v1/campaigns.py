"""Campaigns: the product's own, with what the ad platforms hold of them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

import db.campaigns
from api.callers import Reader, Tenant
from api.parts import Shared
from api.v1.shapes import PROBLEMS, Before, Limit, Page, Shape, paged

router = APIRouter(prefix="/campaigns", tags=["Campaigns"], responses=PROBLEMS)


class CampaignShape(Shape):
    """A campaign of the product."""

    id: UUID
    tenant_id: str
    external_key: str = Field(description="The product's own id of it.")
    name: str
    objective: str | None
    state: str
    budget: str | None
    currency: str | None
    created_at: datetime
    updated_at: datetime


class LinkShape(Shape):
    """A campaign at one platform."""

    integration_id: UUID
    provider: str
    external_id: str
    external_state: str | None
    seen_at: datetime | None
    deleted_at: datetime | None


class DayShape(Shape):
    """What a campaign did at one platform on one day of its account."""

    provider: str
    integration_id: UUID
    day: date
    impressions: int | None
    clicks: int | None
    spend: str | None
    conversions: str | None
    currency: str | None


class CampaignWhole(CampaignShape):
    """The same with where it is, and its last days."""

    links: list[LinkShape]
    days: list[DayShape]


@router.get("", response_model=Page[CampaignShape])
def every(
    caller: Reader,
    shared: Shared,
    tenant: Tenant = None,
    key: Annotated[str | None, Query(max_length=255, description="With the product's own id.")] = None,
    before: Before = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    """The newest campaigns first."""
    with shared.engine.begin() as connection:
        rows = db.campaigns.page(connection, tenant_id=caller.tenant(tenant), key=key, before=before, limit=limit + 1)
    return paged(rows, limit, _shape)


@router.get("/{campaign_id}", response_model=CampaignWhole)
def one(
    campaign_id: UUID,
    caller: Reader,
    shared: Shared,
    days: Annotated[int, Query(ge=0, le=366, description="Of so many days what it did.")] = 28,
) -> dict[str, Any]:
    """One campaign with the platforms that hold it, and what it did there."""
    with shared.engine.begin() as connection:
        row = caller.own(db.campaigns.get(connection, campaign_id), "campaign")
        links = db.campaigns.links_of(connection, campaign_id)
        found = db.campaigns.days_of(connection, campaign_id, days=days)
    return {
        **_shape(row),
        "links": [LinkShape.model_validate(each) for each in links],
        "days": [_day(each) for each in found],
    }


def _shape(row: Any) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in CampaignShape.model_fields}
    return {**shown, "budget": _amount(row.budget)}


def _day(row: Any) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in DayShape.model_fields}
    return {**shown, "spend": _amount(row.spend), "conversions": _amount(row.conversions)}


def _amount(value: Any) -> str | None:
    """As text, so that nothing is rounded on the way."""
    return None if value is None else f"{value:f}"

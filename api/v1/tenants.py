"""Tenants, the product's customers: added by an operator's key."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Response
from pydantic import Field

import db.tenants
from api.callers import Manager, Reader
from api.parts import Shared
from api.v1.shapes import PROBLEMS, Body, Shape
from worker import tenants

router = APIRouter(prefix="/tenants", tags=["Tenants"], responses=PROBLEMS)
Id = Annotated[str, Path(pattern=f"^{tenants.TENANT_ID.pattern}$", description="The product's own id of the customer.")]


class TenantShape(Shape):
    """A customer of the product."""

    id: str
    name: str
    state: str
    created_at: datetime


class Named(Body):
    """What a tenant is called."""

    name: str = Field("", max_length=tenants.LONGEST_NAME, description="For people; the id by default.")


@router.get("", response_model=list[TenantShape])
def every(caller: Reader, shared: Shared) -> list[Any]:
    """All tenants, oldest first; for a tenant's key that one."""
    with shared.engine.begin() as connection:
        rows = db.tenants.every(connection)
    return [TenantShape.model_validate(row) for row in rows if caller.tenant_id in (None, row.id)]


@router.put(
    "/{tenant}",
    status_code=201,
    response_model=TenantShape,
    responses={200: {"model": TenantShape, "description": "It was there already, and nothing changed."}},
)
def create(tenant: Id, caller: Manager, shared: Shared, response: Response, body: Named | None = None) -> Any:
    """Add a tenant. Doing it again changes nothing."""
    if caller.tenant_id is not None:
        raise HTTPException(403, "Tenants are added by an operator's key: this one is for one tenant.")
    with shared.engine.begin() as connection:
        if not tenants.create(connection, tenant, body.name if body else ""):
            response.status_code = 200
        (row,) = db.tenants.some(connection, [tenant])
    return TenantShape.model_validate(row)

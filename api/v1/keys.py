"""API keys: each for one tenant, or for an operator, and for what it may do."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, HTTPException
from pydantic import AwareDatetime, Field

import db.api_keys
from api.callers import Manager, Tenant
from api.parts import Shared
from api.v1.shapes import PROBLEMS, Body, Shape
from worker import api_keys

router = APIRouter(prefix="/keys", tags=["API keys"], responses=PROBLEMS)


class KeyShape(Shape):
    """A key, never itself."""

    id: UUID
    tenant_id: str | None = Field(description="null: an operator's.")
    name: str
    hint: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None = Field(description="To the minute.")
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKey(Body):
    """A key to make."""

    name: str = Field(min_length=1, max_length=100, description="Who uses it.")
    scopes: list[str] = Field(list(api_keys.SCOPES), description="publish, read, manage")
    expires_at: AwareDatetime | None = None
    tenant_id: str | None = Field(None, description="For operators' keys; none = another operator's.")


class KeyMade(KeyShape):
    """A new key: shown this once."""

    key: str


@router.get("", response_model=list[KeyShape])
def every(caller: Manager, shared: Shared, tenant: Tenant = None) -> list[Any]:
    """All keys, those too that have ended, oldest first."""
    with shared.engine.begin() as connection:
        return [KeyShape.model_validate(row) for row in db.api_keys.every(connection, caller.tenant(tenant))]


@router.post("", status_code=201, response_model=KeyMade)
def create(body: NewKey, caller: Manager, shared: Shared) -> dict[str, Any]:
    """Make a key: for no more than what this one may do."""
    more = sorted(set(body.scopes) - caller.scopes)
    if more and set(more) <= set(api_keys.SCOPES):
        raise HTTPException(403, f"The API key has no scope {more[0]} itself.")
    with shared.engine.begin() as connection:
        made = api_keys.create(
            connection,
            name=body.name,
            tenant_id=caller.tenant(body.tenant_id),
            scopes=body.scopes,
            expires_at=body.expires_at,
        )
        row = db.api_keys.get(connection, made.id)
    return {**KeyShape.model_validate(row).model_dump(), "key": made.key}


@router.delete("/{key_id}", status_code=204)
def revoke(key_id: UUID, caller: Manager, shared: Shared) -> None:
    """End a key at once. Doing it again is no error."""
    with shared.engine.begin() as connection:
        caller.own(db.api_keys.get(connection, key_id), "key")
        db.api_keys.revoke(connection, key_id)

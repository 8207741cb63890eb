"""API keys: who may use the HTTP API. A key is shown once, on the page that its making answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response
from sqlalchemy import Connection

import db.api_keys
import db.tenants
from api.parts import Parts, Shared
from api.ui.guard import Managed, Viewer, Visitor
from api.ui.render import go, page
from worker import api_keys, audit
from worker.api_keys import SCOPES, ApiKeyError

router = APIRouter(prefix="/keys")


@router.get("")
def every(shared: Shared, visitor: Viewer, tenant: str = "") -> Response:
    """All keys, never the keys themselves."""
    return _list(shared, visitor, tenant)


@router.post("")
def create(shared: Shared, change: Managed) -> Response:
    """Make one, and show it."""
    tenant, name, days = change.visitor.scope(change.text("tenant")), change.text("name"), change.text("days")
    if days and not (days.isdecimal() and 0 < int(days) <= 3650):
        return _list(shared, change.visitor, error="The days must be a number from 1 to 3650.")
    ends = datetime.now(UTC) + timedelta(days=int(days)) if days else None
    scopes = change.lists.get("scope", [])
    try:
        with shared.engine.begin() as connection:
            made = api_keys.create(connection, name=name, tenant_id=tenant, scopes=scopes, expires_at=ends)
            audit.record(
                connection,
                change.visitor.actor,
                "create key",
                tenant_id=tenant,
                subject="api key",
                subject_id=made.id,
                name=name,
                scopes=scopes,
            )
    except ApiKeyError as error:
        return _list(shared, change.visitor, error=str(error))
    return page(change.visitor, "key", key=made.key, name=name)


@router.post("/{key_id}/revoke")
def revoke(key_id: UUID, shared: Shared, change: Managed) -> Response:
    """End one, at once."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, key_id)
        if not db.api_keys.revoke(connection, key_id):
            raise HTTPException(422, "This key has ended before.")
        audit.record(
            connection,
            change.visitor.actor,
            "revoke key",
            tenant_id=row.tenant_id,
            subject="api key",
            subject_id=key_id,
            name=row.name,
        )
    return go(shared, change.visitor, "/keys", f"Key {row.name} is revoked: whoever uses it is refused from now on.")


def _own(connection: Connection, visitor: Visitor, key_id: UUID) -> Any:
    return visitor.own(db.api_keys.get(connection, key_id), "key")


def _list(shared: Parts, visitor: Visitor, tenant: str = "", *, error: str = "") -> Response:
    scope = visitor.scope(tenant)
    with shared.engine.begin() as connection:
        rows = db.api_keys.every(connection, scope)
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    return page(
        visitor,
        "keys",
        status=422 if error else 200,
        rows=rows,
        tenants=tenants,
        tenant=scope or "",
        scopes=SCOPES,
        error=error,
        now=datetime.now(UTC),
    )

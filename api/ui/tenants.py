"""Tenants, the product's customers: everything else belongs to one."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

import db.tenants
from api.parts import Parts, Shared
from api.ui.guard import Managed, Viewer, Visitor
from api.ui.render import go, page
from worker import audit, tenants
from worker.tenants import TenantError

router = APIRouter(prefix="/tenants")


@router.get("")
def every(shared: Shared, visitor: Viewer) -> Response:
    """All of them, or the one that somebody is bound to."""
    return _page(shared, visitor)


@router.post("")
def create(shared: Shared, change: Managed) -> Response:
    """Add one."""
    if change.visitor.person.tenant_id is not None:
        raise HTTPException(403, "Tenants are added by admins of all tenants.")
    tenant, name = change.text("id"), change.text("name")
    try:
        with shared.engine.begin() as connection:
            new = tenants.create(connection, tenant, name)
            if new:
                audit.record(
                    connection, change.visitor.actor, "create", tenant_id=tenant, subject="tenant", subject_id=tenant
                )
    except TenantError as error:
        return _page(shared, change.visitor, error=str(error))
    said = f"Tenant {tenant} is there." if new else f"Tenant {tenant} was there already: nothing changed."
    return go(shared, change.visitor, "/tenants", said)


def _page(shared: Parts, visitor: Visitor, *, error: str = "") -> Response:
    own = visitor.person.tenant_id
    with shared.engine.begin() as connection:
        rows = db.tenants.every(connection) if own is None else db.tenants.some(connection, [own])
    return page(visitor, "tenants", status=422 if error else 200, rows=rows, error=error)

"""Events, and everything that came of one: a tree with times and costs. What was rejected, too."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

import db.attempts
import db.events
import db.pages
import db.rejected
import db.tenants
from api.parts import Shared
from api.ui import fields, tree
from api.ui.guard import Change, Changed, Viewer, Visitor
from api.ui.render import address, go, page
from api.ui.words import cost
from worker import audit, rejections
from worker.catalog import event_types

router = APIRouter()


@router.get("/events")
def every(
    shared: Shared,
    visitor: Viewer,
    tenant: str = "",
    type: str = "",
    key: str = "",
    before: str = "",
    fragment: bool = False,
) -> Response:
    """The newest events."""
    scope, older_than = visitor.scope(tenant), fields.an_id(before, "Before")
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
        found = db.pages.events(
            connection, tenant_id=scope, type=type, key=key.strip(), before=older_than, limit=fields.ROWS + 1
        )
    rows, last = fields.cut(found)
    query = {"tenant": scope, "type": type, "key": key}
    return page(
        visitor,
        "events",
        fragment=fragment,
        rows=rows,
        tenants=tenants,
        tenant=scope or "",
        type=type,
        key=key,
        types=event_types(),
        older=address("/events", before=last, **query) if last else "",
        newest=address("/events", **query) if before else "",
        live=address("/events", fragment=1, before=before, **query),
    )


@router.get("/events/{event_id}")
def one(event_id: UUID, shared: Shared, visitor: Viewer, fragment: bool = False) -> Response:
    """One event."""
    with shared.engine.begin() as connection:
        row = visitor.own(db.events.get(connection, event_id), "event")
        grown = tree.grow(connection, row)
        sums = db.attempts.that_came_of(connection, event_id)
        rejected = db.rejected.of_event(connection, event_id)
    return page(
        visitor,
        "event",
        fragment=fragment,
        row=row,
        tree=grown,
        sums=sums,
        costs=[cost(amount, unit) for unit, amount in sorted(sums.costs.items())],
        rejected=rejected,
        live=address(f"/events/{event_id}", fragment=1),
    )


# -------------------------------------------------------------------------------------------------- what was rejected


@router.get("/rejected")
def rejected(shared: Shared, visitor: Viewer, tenant: str = "", all: bool = False) -> Response:
    """What came through a door that cannot answer, and could not be accepted."""
    scope = visitor.scope(tenant)
    with shared.engine.begin() as connection:
        rows = db.pages.rejections(connection, scope, only_open=not all, limit=200)
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    return page(visitor, "rejected", rows=rows, tenants=tenants, tenant=scope or "", all=all)


@router.get("/rejected/{rejected_id}")
def one_rejected(rejected_id: UUID, shared: Shared, visitor: Viewer) -> Response:
    """One of them, whole."""
    with shared.engine.begin() as connection:
        row = _rejected(connection, visitor, rejected_id)
    return page(visitor, "rejection", row=row)


@router.post("/rejected/{rejected_id}/accept")
def accept(rejected_id: UUID, shared: Shared, change: Changed) -> Response:
    """Accept it as if it came now."""
    with shared.engine.begin() as connection:
        row = _rejected(connection, change.visitor, rejected_id)
        event_id = rejections.retry(connection, rejected_id)
        _note(connection, change, "accept", row, event=str(event_id))
    return go(shared, change.visitor, f"/events/{event_id}", "It is accepted, as this event.")


@router.post("/rejected/{rejected_id}/dismiss")
def dismiss(rejected_id: UUID, shared: Shared, change: Changed) -> Response:
    """Note that it needs nothing more."""
    with shared.engine.begin() as connection:
        row = _rejected(connection, change.visitor, rejected_id)
        rejections.dismiss(connection, rejected_id)
        _note(connection, change, "dismiss", row)
    return go(shared, change.visitor, "/rejected", "It is dismissed.")


def _rejected(connection: Connection, visitor: Visitor, rejected_id: UUID) -> Any:
    rows = db.rejected.get(connection, rejected_id)
    return visitor.own(rows[0] if rows else None, "rejected event")


def _note(connection: Connection, change: Change, action: str, row: Any, **details: Any) -> None:
    actor, tenant = change.visitor.actor, row.tenant_id
    audit.record(connection, actor, action, tenant_id=tenant, subject="rejected event", subject_id=row.id, **details)

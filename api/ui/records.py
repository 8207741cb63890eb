"""The audit: who did what, when, to which row. And the people, for those who manage them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

import db.audit_log
import db.people
import db.tenants
from api.parts import Parts, Shared
from api.ui import fields
from api.ui.guard import Administrator, Change, Managed, Viewer, Visitor
from api.ui.render import address, go, page
from worker import audit, people
from worker.people import PeopleError, Role

# Where the row that something was done to is shown.
PAGES = {
    "integration": "/integrations/",
    "webhook": "/webhooks/",
    "delivery": "/deliveries/",
    "replay": "/replays/",
    "rejected event": "/rejected/",
}

router = APIRouter()


@router.get("/audit")
def every(
    shared: Shared, visitor: Viewer, tenant: str = "", actor: str = "", subject: str = "", before: str = ""
) -> Response:
    """The newest rows."""
    scope = visitor.scope(tenant)
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
        found = db.audit_log.page(
            connection,
            tenant_id=scope,
            actor=actor.strip() or None,
            subject_id=subject.strip() or None,
            before=fields.an_id(before, "Before"),
            limit=fields.ROWS + 1,
        )
    rows, last = fields.cut(found)
    query = {"tenant": scope, "actor": actor, "subject": subject}
    return page(
        visitor,
        "audit",
        rows=rows,
        pages=PAGES,
        tenants=tenants,
        tenant=scope or "",
        actor=actor,
        subject=subject,
        older=address("/audit", before=last, **query) if last else "",
        newest=address("/audit", **query) if before else "",
    )


@router.get("/people")
def everybody(shared: Shared, visitor: Administrator) -> Response:
    """Who may use the pages."""
    return _people(shared, visitor)


@router.post("/people")
def add(shared: Shared, change: Managed) -> Response:
    """Let somebody in."""
    tenant, name, role = change.visitor.scope(change.text("tenant")), change.text("name"), change.text("role")
    try:
        with shared.engine.begin() as connection:
            person_id = people.add(connection, name, role, change.form.get("password", ""), tenant)
            _note(connection, change, "add person", tenant, person_id, name=people.named(name), role=role)
    except PeopleError as error:
        return _people(shared, change.visitor, error=str(error))
    return go(shared, change.visitor, "/people", f"{people.named(name)} may log in.")


@router.post("/people/{name}/{state}")
def turn(name: str, state: str, shared: Shared, change: Managed) -> Response:
    """Let somebody in again, or not any more."""
    if state not in ("active", "disabled"):
        raise PeopleError("Somebody is active or disabled.")
    if name == change.visitor.person.name:
        raise PeopleError("You cannot lock yourself out: ask another admin.")
    with shared.engine.begin() as connection:
        row = change.visitor.own(db.people.by_name(connection, name), "person")
        people.set_state(connection, name, state)
        _note(connection, change, f"make person {state}", row.tenant_id, row.id, name=name)
    return go(shared, change.visitor, "/people", f"{name} is {state}.")


def _note(
    connection: Connection, change: Change, action: str, tenant: str | None, person_id: Any, **details: Any
) -> None:
    actor = change.visitor.actor
    audit.record(connection, actor, action, tenant_id=tenant, subject="person", subject_id=person_id, **details)


def _people(shared: Parts, visitor: Visitor, *, error: str = "") -> Response:
    own = visitor.person.tenant_id
    with shared.engine.begin() as connection:
        rows = [row for row in db.people.every(connection) if own in (None, row.tenant_id)]
        tenants = db.tenants.every(connection) if own is None else ()
    status = 422 if error else 200
    return page(visitor, "people", status=status, rows=rows, tenants=tenants, roles=list(Role), error=error)

"""Chains: what one provider's result starts at the next, shown, changed, switched on and off."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response
from sqlalchemy import Connection

import db.chains
import db.tenants
from api.parts import Parts, Shared
from api.ui.guard import Change, Changed, Viewer, Visitor
from api.ui.render import go, page
from api.ui.words import many, pretty
from worker import audit, chain_setup
from worker.chain_setup import ChainError

EXAMPLE: Mapping[str, Any] = {
    "name": "weekly-report",
    "steps": [
        {"on": "report.generated", "do": "agent.run_requested", "integration": "…", "data": {"variables": {}}},
    ],
}

router = APIRouter(prefix="/chains")


@router.get("")
def every(shared: Shared, visitor: Viewer, tenant: str = "") -> Response:
    """All chains, each with its steps."""
    scope = visitor.scope(tenant)
    with shared.engine.begin() as connection:
        rows = db.chains.of_tenant(connection, scope)
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    chains: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        chains.setdefault((row.tenant_id, row.chain), []).append(row)
    return page(visitor, "chains", chains=chains, tenants=tenants, tenant=scope or "")


@router.get("/new")
def form(shared: Shared, visitor: Viewer, tenant: str = "") -> Response:
    """The form for a new one."""
    return _form(shared, visitor, visitor.scope(tenant) or "", pretty(EXAMPLE))


@router.post("/new")
def apply(shared: Shared, change: Changed) -> Response:
    """Set a chain up, or put another definition in its place."""
    tenant, text = change.visitor.scope(change.text("tenant")) or "", change.text("definition")
    try:
        definition = _parsed(text)
        with shared.engine.begin() as connection:
            made = chain_setup.apply(connection, tenant, definition)
            _note(connection, change, "apply", tenant, made.chain, steps=made.steps, what=made.what)
    except ChainError as error:
        return _form(shared, change.visitor, tenant, text, error=str(error))
    notes = "".join(f" Note: {note}" for note in made.notes)
    said = f"The chain is {made.what}, with {many(made.steps, 'step', 'steps')}.{notes}"
    return go(shared, change.visitor, "/chains/one", said, tenant=tenant, name=made.chain)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ChainError(f"This is not JSON: {error}.") from None


@router.get("/one")
def one(shared: Shared, visitor: Viewer, tenant: str, name: str) -> Response:
    """One chain."""
    with shared.engine.begin() as connection:
        rows = _own(connection, visitor, tenant, name)
    definition = pretty({"name": name, "steps": chain_setup.steps_of(rows)})
    return page(visitor, "chain", rows=rows, tenant=tenant, name=name, definition=definition)


@router.post("/one/{act}")
def turn(act: str, shared: Shared, change: Changed) -> Response:
    """Enable, disable or remove one."""
    states = {"enable": "active", "disable": "disabled", "remove": "removed"}
    if act not in states:
        raise HTTPException(404, "There is no such page.")
    tenant, name = change.text("tenant"), change.form.get("name", "")
    with shared.engine.begin() as connection:
        _own(connection, change.visitor, tenant, name)
        chain_setup.set_state(connection, tenant, name, states[act])
        _note(connection, change, act, tenant, name)
    if act == "remove":
        return go(shared, change.visitor, "/chains", f"Chain {name} is removed.")
    return go(shared, change.visitor, "/chains/one", f"The chain is {states[act]}.", tenant=tenant, name=name)


def _own(connection: Connection, visitor: Visitor, tenant: str, name: str) -> Sequence[Any]:
    rows = db.chains.of_tenant(connection, visitor.scope(tenant) or "", chain=name)
    if not rows:
        raise HTTPException(404, "There is no such chain.")
    return rows


def _note(connection: Connection, change: Change, action: str, tenant: str, name: str, **details: Any) -> None:
    actor = change.visitor.actor
    audit.record(connection, actor, action, tenant_id=tenant, subject="chain", subject_id=name, **details)


def _form(shared: Parts, visitor: Visitor, tenant: str, text: str, *, error: str = "") -> Response:
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    status = 422 if error else 200
    return page(visitor, "chain_new", status=status, tenants=tenants, tenant=tenant, text=text, error=error)

"""Chains: one provider's result as the start of the next one's work, as definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import Field

import db.chains
from api.callers import Manager, Reader, Tenant
from api.parts import Shared
from api.v1.shapes import PROBLEMS, Body, Shape
from worker import chain_setup

router = APIRouter(prefix="/chains", tags=["Chains"], responses=PROBLEMS)


class Definition(Body):
    """A chain's steps, as docs/chains.md says."""

    steps: list[dict[str, Any]] = Field(min_length=1, max_length=chain_setup.MAX_STEPS)


class ChainShape(Shape):
    """A chain as it can be stored again."""

    tenant_id: str
    name: str
    state: str
    steps: list[dict[str, Any]]


class Stored(Shape):
    """What came of storing a chain. `notes` say what may be a slip, though it is allowed."""

    chain: str
    steps: int
    what: str
    notes: list[str]


@router.get("", response_model=list[ChainShape])
def every(caller: Reader, shared: Shared, tenant: Tenant = None) -> list[dict[str, Any]]:
    """All chains."""
    with shared.engine.begin() as connection:
        rows = db.chains.of_tenant(connection, caller.tenant(tenant))
    found: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        found.setdefault((row.tenant_id, row.chain), []).append(row)
    return [_shape(steps) for steps in found.values()]


@router.get("/{name}", response_model=ChainShape)
def one(name: str, caller: Reader, shared: Shared, tenant: Tenant = None) -> dict[str, Any]:
    """One chain."""
    with shared.engine.begin() as connection:
        rows = db.chains.of_tenant(connection, caller.one_tenant(tenant), chain=name)
    if not rows:
        raise HTTPException(404, "There is no such chain.")
    return _shape(rows)


@router.put("/{name}", response_model=Stored)
def store(name: str, body: Definition, caller: Manager, shared: Shared, tenant: Tenant = None) -> Any:
    """Set a chain up, or change it: what the old one has begun goes on as it was."""
    with shared.engine.begin() as connection:
        made = chain_setup.apply(connection, caller.one_tenant(tenant), {"name": name, "steps": body.steps})
    return Stored.model_validate(made)


@router.post("/{name}/enable", response_model=ChainShape)
def enable(name: str, caller: Manager, shared: Shared, tenant: Tenant = None) -> dict[str, Any]:
    """Let events start it again."""
    return _turned(name, caller.one_tenant(tenant), shared, "active")


@router.post("/{name}/disable", response_model=ChainShape)
def disable(name: str, caller: Manager, shared: Shared, tenant: Tenant = None) -> dict[str, Any]:
    """Stop it, and what it has begun before its next step."""
    return _turned(name, caller.one_tenant(tenant), shared, "disabled")


@router.delete("/{name}", status_code=204)
def remove(name: str, caller: Manager, shared: Shared, tenant: Tenant = None) -> None:
    """End it, and what it has begun before its next step."""
    with shared.engine.begin() as connection:
        _there(connection, caller.one_tenant(tenant), name)
        chain_setup.set_state(connection, caller.one_tenant(tenant), name, "removed")


def _turned(name: str, tenant: str, shared: Any, state: str) -> dict[str, Any]:
    with shared.engine.begin() as connection:
        _there(connection, tenant, name)
        chain_setup.set_state(connection, tenant, name, state)
        return _shape(db.chains.of_tenant(connection, tenant, chain=name))


def _there(connection: Any, tenant: str, name: str) -> None:
    if not db.chains.of_tenant(connection, tenant, chain=name):
        raise HTTPException(404, "There is no such chain.")


def _shape(rows: Sequence[Any]) -> dict[str, Any]:
    first = rows[0]
    return {
        "tenant_id": first.tenant_id,
        "name": first.chain,
        "state": first.state,
        "steps": chain_setup.steps_of(rows),
    }

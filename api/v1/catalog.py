"""What there is to choose from: event types with their schemas, and providers with their connect forms."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import Field

import db.events
from api.callers import Known, Reader, Tenant
from api.parts import Shared
from api.v1.shapes import PROBLEMS, Shape
from providers import PROVIDERS
from providers.contract import Provider
from worker.catalog import event_types, unknown

router = APIRouter(tags=["Catalog"], responses=PROBLEMS)


class EventTypeShape(Shape):
    """One kind of event."""

    name: str
    description: str
    data_schema: dict[str, Any] = Field(alias="schema")
    example: dict[str, Any]


class FieldShape(Shape):
    """One field of a connect form."""

    name: str
    label: str
    required: bool
    sensitive: bool
    default: str | None
    help: str


class ProviderShape(Shape):
    """An outside platform."""

    name: str
    title: str
    api_version: str
    docs_url: str
    connects_by: str = Field(description="login: a browser logs in there; fields: a form; webhook: by registering one")
    fields: list[FieldShape]
    acts_on: list[str] = Field(description="Event types that its accounts do something about.")
    streams: list[str] = Field(description="What is read from it periodically.")
    publishes: list[str] = Field(description="Event types that its results become.")


class Caller(Shape):
    """Whose key this is."""

    id: str
    name: str
    tenant_id: str | None
    scopes: list[str]


@router.get("/me", response_model=Caller)
def me(caller: Known) -> dict[str, Any]:
    """Whose key this is, and what it may do: a check of a connection."""
    return {
        "id": str(caller.key_id),
        "name": caller.name,
        "tenant_id": caller.tenant_id,
        "scopes": sorted(caller.scopes),
    }


@router.get("/event-types", response_model=list[EventTypeShape])
def types(caller: Known) -> list[dict[str, Any]]:
    """All event types."""
    return [_type(name) for name in event_types()]


@router.get("/event-types/{name}", response_model=EventTypeShape)
def one_type(name: str, caller: Known) -> dict[str, Any]:
    """One event type with its schema and an example."""
    if name not in event_types():
        raise HTTPException(404, unknown(name))
    return _type(name)


def _type(name: str) -> dict[str, Any]:
    kind = event_types()[name]
    return {
        "name": kind.name,
        "description": kind.description,
        "schema": kind.schema,
        "example": kind.example,
    }


class Sent(Shape):
    """An event as webhooks get it."""

    id: str
    type: str
    occurred_at: str
    tenant_id: str
    data: dict[str, Any]


@router.get("/event-types/{name}/recent", response_model=list[Sent])
def recent(
    name: str,
    caller: Reader,
    shared: Shared,
    tenant: Tenant = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 3,
) -> list[dict[str, Any]]:
    """The newest events of a type just as webhooks get them, a list, newest first: for tools that show samples or poll.

    Where there is none, the catalog's example stands for one.
    """
    kind = event_types().get(name)
    if kind is None:
        raise HTTPException(404, unknown(name))
    asked = caller.tenant(tenant)
    with shared.engine.begin() as connection:
        rows, _ = db.events.page_of_type(connection, name, tenant_id=asked, before=None, limit=limit)
    found = [_sent(str(row.id), name, row.occurred_at.isoformat(), row.tenant_id, row.data) for row in rows]
    return found or [_sent(f"example-{name}", name, "2026-01-01T00:00:00+00:00", asked or "tenant", kind.example)]


def _sent(id: str, type: str, occurred_at: str, tenant_id: str, data: Any) -> dict[str, Any]:
    return {"id": id, "type": type, "occurred_at": occurred_at, "tenant_id": tenant_id, "data": data}


@router.get("/providers", response_model=list[ProviderShape])
def providers(caller: Known) -> list[dict[str, Any]]:
    """The providers, with the fields of their connect forms."""
    return [_provider(facts) for facts in PROVIDERS.values()]


@router.get("/providers/{name}", response_model=ProviderShape)
def one_provider(name: str, caller: Known) -> dict[str, Any]:
    """One provider."""
    if name not in PROVIDERS:
        raise HTTPException(404, f"There is no provider {name!r}: there are {', '.join(sorted(PROVIDERS))}.")
    return _provider(PROVIDERS[name])


def _provider(facts: Provider) -> dict[str, Any]:
    acts_on = sorted(name for name in facts.actions if name != "*" and not event_types()[name].addressed)
    return {
        "name": facts.name,
        "title": facts.title,
        "api_version": facts.api_version,
        "docs_url": facts.docs_url,
        "connects_by": "login" if facts.oauth else "webhook" if facts.by_webhook else "fields",
        "fields": [FieldShape.model_validate(each) for each in facts.fields],
        "acts_on": acts_on,
        "streams": [each.name for each in facts.streams],
        "publishes": sorted({kind for action in facts.actions.values() for kind in action.publishes}),
    }

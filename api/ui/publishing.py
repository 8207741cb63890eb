"""An event published by hand: to try a webhook or a new account, or for what a producer missed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

import db.tenants
from api.parts import Parts, Shared
from api.ui.fields import FormError
from api.ui.guard import Changed, Viewer, Visitor
from api.ui.render import go, page
from api.ui.words import many, pretty
from worker import audit
from worker.catalog import event_types
from worker.enqueue import Accepted, accept
from worker.event_checks import EventRejected

router = APIRouter(prefix="/events/publish")


@router.get("")
def form(shared: Shared, visitor: Viewer, tenant: str = "", type: str = "") -> Response:
    """The form: first which type of event, then its data, which begins as the type's example."""
    kind = event_types().get(type)
    data = pretty(kind.example) if kind else ""
    return _form(shared, visitor, {"tenant": visitor.scope(tenant) or "", "type": type, "data": data, "id": ""})


@router.post("")
def publish(shared: Shared, change: Changed) -> Response:
    """Accept it, as from any producer."""
    given = {name: change.text(name) for name in ("tenant", "type", "data", "id")}
    given["tenant"] = change.visitor.scope(given["tenant"]) or ""
    try:
        message = _message(given)
        with shared.engine.begin() as connection:
            (taken,) = accept(connection, [message])
            audit.record(
                connection,
                change.visitor.actor,
                "publish",
                tenant_id=given["tenant"],
                subject="event",
                subject_id=taken.event_id,
                type=given["type"],
            )
    except (EventRejected, FormError) as error:
        return _form(shared, change.visitor, given, error=str(error))
    return go(shared, change.visitor, f"/events/{taken.event_id}", _came_to(taken))


def _message(given: Mapping[str, str]) -> dict[str, Any]:
    """What the form says, as a producer would send it. Raises FormError."""
    try:
        data = json.loads(given["data"] or "{}")
    except ValueError as error:
        raise FormError(f"The data is not JSON: {error}.") from None
    own = {"id": given["id"]} if given["id"] else {}
    return {"type": given["type"], "tenant_id": given["tenant"], "data": data, **own}


def _came_to(taken: Accepted) -> str:
    if not taken.new:
        return "An event with this id was published before: this is it, and nothing is done again."
    if not taken.deliveries:
        return "It is accepted. No account and no webhook of the tenant takes it."
    return f"It is accepted, and goes to {many(len(taken.deliveries), 'account or webhook', 'accounts and webhooks')}."


def _form(shared: Parts, visitor: Visitor, given: Mapping[str, str], *, error: str = "") -> Response:
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    return page(
        visitor,
        "publish",
        status=422 if error else 200,
        tenants=tenants,
        given=given,
        types=event_types(),
        kind=event_types().get(given["type"]),
        error=error,
    )

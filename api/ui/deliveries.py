"""Deliveries: lists by what people look for, one with every attempt, dead letters, and replays of one or of many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response
from sqlalchemy import Connection

import db.attempts
import db.deliveries
import db.delivery_search
import db.events
import db.integrations
import db.pages
import db.replays
import db.tenants
import db.webhooks
from api.parts import Shared
from api.ui import fields
from api.ui.guard import Change, Changed, Viewer, Visitor
from api.ui.render import address, go, page
from api.ui.words import many
from model import DeliveryState
from providers import PROVIDERS
from worker import audit, redelivery
from worker.catalog import event_types

router = APIRouter()

NAMES = ("tenant", "state", "provider", "type", "webhook", "integration", "error")


@router.get("/deliveries")
def every(
    shared: Shared,
    visitor: Viewer,
    tenant: str = "",
    state: str = "",
    provider: str = "",
    type: str = "",
    webhook: str = "",
    integration: str = "",
    error: str = "",
    before: str = "",
    fragment: bool = False,
) -> Response:
    """The newest deliveries, by any of the filters."""
    given = dict(zip(NAMES, (tenant, state, provider, type, webhook, integration, error), strict=True))
    return _list(shared, visitor, "deliveries", given, before, fragment)


@router.get("/letters")
def letters(
    shared: Shared,
    visitor: Viewer,
    tenant: str = "",
    provider: str = "",
    webhook: str = "",
    error: str = "",
    before: str = "",
    fragment: bool = False,
) -> Response:
    """Dead letters: what was given up, and bulk replays."""
    given = {**dict.fromkeys(NAMES, ""), "tenant": tenant, "provider": provider, "webhook": webhook, "error": error}
    return _list(shared, visitor, "letters", {**given, "state": "failed"}, before, fragment)


def _list(shared: Any, visitor: Visitor, name: str, given: Mapping[str, str], before: str, fragment: bool) -> Response:
    scope = visitor.scope(given["tenant"])
    query = {**given, "tenant": scope or ""}
    if name == "letters":
        query.pop("state")
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
        replays = db.replays.page(connection, tenant_id=scope, limit=5) if name == "letters" else ()
        found = db.pages.deliveries(
            connection, limit=fields.ROWS + 1, before=fields.an_id(before, "Before"), **_filters(scope, given)
        )
    rows, last = fields.cut(found)
    return page(
        visitor,
        name,
        fragment=fragment,
        rows=rows,
        replays=replays,
        tenants=tenants,
        given={**given, "tenant": scope or ""},
        states=list(DeliveryState),
        types=event_types(),
        providers=PROVIDERS,
        older=address(f"/{name}", before=last, **query) if last else "",
        newest=address(f"/{name}", **query) if before else "",
        live=address(f"/{name}", fragment=1, before=before, **query),
    )


def _filters(scope: str | None, given: Mapping[str, str]) -> dict[str, Any]:
    """The filters as statements take them. Raises a 422 for what cannot be meant."""
    state = given["state"]
    if state and state not in list(DeliveryState):
        raise HTTPException(422, f"There is no such state: there are {', '.join(DeliveryState)}.")
    return {
        "tenant_id": scope,
        "state": state or None,
        "provider": given["provider"] or None,
        "event_type": given["type"] or None,
        "webhook_id": fields.an_id(given["webhook"], "Webhook"),
        "integration_id": fields.an_id(given["integration"], "Integration"),
        "error": given["error"].strip()[:200] or None,
    }


@router.get("/deliveries/{delivery_id}")
def one(delivery_id: UUID, shared: Shared, visitor: Viewer, fragment: bool = False) -> Response:
    """One delivery, with the timeline of its attempts."""
    with shared.engine.begin() as connection:
        row = _own(connection, visitor, delivery_id)
        attempts = db.attempts.of_delivery(connection, delivery_id)
        event = db.events.get(connection, row.event_id)
        hook = db.webhooks.get(connection, row.webhook_id) if row.webhook_id else None
        account = db.integrations.get(connection, row.integration_id)
    return page(
        visitor,
        "delivery",
        fragment=fragment,
        row=row,
        attempts=attempts,
        event=event,
        hook=hook,
        account=account,
        live=address(f"/deliveries/{delivery_id}", fragment=1),
    )


def _own(connection: Connection, visitor: Visitor, delivery_id: UUID) -> Any:
    return visitor.own(db.deliveries.get(connection, delivery_id), "delivery")


@router.post("/deliveries/{delivery_id}/replay")
def replay(delivery_id: UUID, shared: Shared, change: Changed) -> Response:
    """Try one again."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, delivery_id)
        redelivery.redeliver(connection, delivery_id)
        _note(connection, change, "replay", row.tenant_id, "delivery", delivery_id, event_type=row.event_type)
    return go(shared, change.visitor, f"/deliveries/{delivery_id}", "It is due now, with a fresh budget of tries.")


@router.post("/letters/replay")
def replay_many(shared: Shared, change: Changed) -> Response:
    """Say how many dead letters would be tried again; then, asked once more, do it."""
    scope = change.visitor.scope(change.text("tenant"))
    webhook, since = fields.an_id(change.text("webhook"), "Webhook"), fields.a_time(change.text("since"), "Since")
    filters: dict[str, Any] = {
        "tenant_id": scope,
        "provider": change.text("provider") or None,
        "webhook_id": webhook,
        "since": since,
    }
    with shared.engine.begin() as connection:
        if webhook is not None:
            change.visitor.own(db.webhooks.get(connection, webhook), "webhook")
        count = db.delivery_search.count_dead(connection, **filters)
        if change.text("sure") != "yes" or not count:
            again = {**filters, "since": since.isoformat() if since else None}
            return page(change.visitor, "replay", count=count, filters=again, shown=filters)
        replay_id = redelivery.redeliver_all(connection, requested_by=change.visitor.person.name, **filters)
        said = {name: str(value) for name, value in filters.items() if value is not None and name != "tenant_id"}
        _note(connection, change, "replay many", scope, "replay", replay_id, count=count, **said)
    return go(shared, change.visitor, f"/replays/{replay_id}", f"{_letters(count)} will be tried again.")


def _letters(count: int) -> str:
    return many(count, "dead letter", "dead letters")


@router.get("/replays/{replay_id}")
def progress(replay_id: UUID, shared: Shared, visitor: Viewer, fragment: bool = False) -> Response:
    """How far a bulk replay is."""
    with shared.engine.begin() as connection:
        row = visitor.own(db.replays.get(connection, replay_id), "replay")
        left = 0 if row.finished_at else _left(connection, row)
    live = address(f"/replays/{replay_id}", fragment=1)
    return page(visitor, "replay_progress", fragment=fragment, row=row, left=left, live=live)


def _left(connection: Connection, row: Any) -> int:
    filters = {name: getattr(row, name) for name in ("tenant_id", "provider", "webhook_id", "since")}
    return db.delivery_search.count_dead(connection, **filters)


def _note(
    connection: Connection,
    change: Change,
    action: str,
    tenant: str | None,
    subject: str,
    subject_id: UUID,
    **details: Any,
) -> None:
    actor = change.visitor.actor
    audit.record(connection, actor, action, tenant_id=tenant, subject=subject, subject_id=subject_id, **details)

"""Webhooks: subscriptions of URLs to event types. A secret is shown once, on the page that its making answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

import db.integrations
import db.pages
import db.tenants
import db.webhooks
from api.parts import Parts, Shared
from api.ui import fields
from api.ui.guard import Change, Changed, Viewer, Visitor
from api.ui.render import address, go, page
from providers.errors import ProviderError, TargetForbidden
from worker import audit, webhook_calls
from worker.catalog import event_types
from worker.subscriptions import SubscriptionError

DAYS = 7  # of deliveries that are looked through
FIELDS = ("tenant", "event_type", "url", "user", "rate", "at_once")

router = APIRouter(prefix="/webhooks")


@router.get("")
def every(shared: Shared, visitor: Viewer, tenant: str = "", fragment: bool = False) -> Response:
    """All webhooks."""
    scope = visitor.scope(tenant)
    with shared.engine.begin() as connection:
        rows = db.webhooks.every(connection, scope)
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    live = address("/webhooks", fragment=1, tenant=scope)
    return page(visitor, "webhooks", fragment=fragment, rows=rows, tenants=tenants, tenant=scope or "", live=live)


@router.get("/new")
def form(shared: Shared, visitor: Viewer, tenant: str = "") -> Response:
    """The form for a new one."""
    return _form(shared, visitor, {"tenant": visitor.scope(tenant) or ""})


@router.post("/new")
def register(shared: Shared, change: Changed) -> Response:
    """Subscribe a URL, and show the secret."""
    try:
        given = _given(change)
        with shared.engine.begin() as connection:
            made = shared.subscriptions.register(connection, **given)
            row = db.webhooks.get(connection, made.webhook_id)
            if made.new:
                _note(connection, change, "register", row, event_type=given["event_type"], filters=given["filters"])
    except (fields.FormError, SubscriptionError, TargetForbidden) as error:
        return _form(shared, change.visitor, change.form, fields.pairs(change), error=str(error))
    if made.secret is None:
        said = "This webhook was there already: nothing was changed."
        return go(shared, change.visitor, f"/webhooks/{made.webhook_id}", said)
    return page(change.visitor, "secret", row=row, secret=made.secret, rotated=False)


def _given(change: Change) -> dict[str, Any]:
    """What the form says. Raises FormError."""
    return {
        "tenant_id": change.visitor.scope(change.text("tenant")) or "",
        "event_type": change.text("event_type"),
        "url": change.text("url"),
        "user_id": change.text("user"),
        **_changes(change),
    }


def _changes(change: Change) -> dict[str, Any]:
    """What of a webhook can be changed, as a form says it. Raises FormError."""
    return {
        "filters": fields.filters(change),
        "rate_per_s": fields.a_number(change.text("rate"), "Calls a second", float),
        "max_in_flight": fields.a_number(change.text("at_once"), "Calls at once", int),
    }


@router.get("/{webhook_id}")
def one(webhook_id: UUID, shared: Shared, visitor: Viewer, fragment: bool = False) -> Response:
    """One webhook, with what became of its last events."""
    with shared.engine.begin() as connection:
        row = _own(connection, visitor, webhook_id)
        latest = db.pages.lately(connection, row.tenant_id, days=DAYS, webhook_id=webhook_id)
    live = address(f"/webhooks/{webhook_id}", fragment=1)
    pairs = fields.shown(fields.as_pairs(row.filters))
    return page(visitor, "webhook", fragment=fragment, row=row, latest=latest, days=DAYS, pairs=pairs, live=live)


@router.post("/{webhook_id}/change")
def alter(webhook_id: UUID, shared: Shared, change: Changed) -> Response:
    """Which events it gets, and how fast."""
    given = _changes(change)
    with shared.engine.begin() as connection:
        row = change.visitor.own(db.webhooks.get(connection, webhook_id, lock=True), "webhook")
        db.webhooks.change(connection, webhook_id, **given)
        _note(connection, change, "change", row, **given)
    return go(shared, change.visitor, f"/webhooks/{webhook_id}", "Its filters and limits are changed.")


@router.post("/{webhook_id}/rotate")
def rotate(webhook_id: UUID, shared: Shared, change: Changed) -> Response:
    """Make a new secret, and show it."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, webhook_id)
        secret = shared.subscriptions.rotate_secret(connection, webhook_id)
        _note(connection, change, "rotate secret", row)
    return page(change.visitor, "secret", row=row, secret=secret, rotated=True)


@router.post("/{webhook_id}/test")
def test(webhook_id: UUID, shared: Shared, change: Changed) -> Response:
    """Send one signed example now."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, webhook_id)
        account = db.integrations.get(connection, row.integration_id)
        if account is None or row.state in ("gone", "unregistered"):
            raise SubscriptionError(f"The webhook is {row.state}: register its URL anew.")
        _note(connection, change, "test", row)
    done = webhook_calls.send_test(row, account.provider, shared.vault, shared.transport)
    if done.error is not None:
        said = f"The test of {done.event_type} failed after {done.duration_ms} ms: {_why(done.error)}"
    else:
        status = done.exchange.status if done.exchange else None
        said = f"The receiver took {done.event_type}: it answered {status} within {done.duration_ms} ms."
    return go(shared, change.visitor, f"/webhooks/{webhook_id}", said)


def _why(error: ProviderError) -> str:
    return f"{str(error).rstrip('.')}."


@router.post("/{webhook_id}/enable")
def enable(webhook_id: UUID, shared: Shared, change: Changed) -> Response:
    """Make it work again."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, webhook_id)
        shared.subscriptions.enable(connection, webhook_id)
        _note(connection, change, "enable", row)
    said = "It is active again. Its dead letters stay until they are replayed."
    return go(shared, change.visitor, f"/webhooks/{webhook_id}", said)


@router.post("/{webhook_id}/disable")
def disable(webhook_id: UUID, shared: Shared, change: Changed) -> Response:
    """Stop it."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, webhook_id)
        shared.subscriptions.disable(connection, webhook_id)
        _note(connection, change, "disable", row)
    said = "It is disabled: what waits for it becomes dead letters, which can be replayed."
    return go(shared, change.visitor, f"/webhooks/{webhook_id}", said)


@router.post("/{webhook_id}/unregister")
def unregister(webhook_id: UUID, shared: Shared, change: Changed) -> Response:
    """End it, and tell the platform behind it."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, webhook_id)
        account = db.integrations.get(connection, row.integration_id)
        shared.subscriptions.unregister(connection, webhook_id)
        _note(connection, change, "unregister", row)
    told = account is not None and webhook_calls.say_farewell(row, account.provider, shared.vault, shared.transport)
    said = f"The webhook is unregistered{', and the platform behind it was told' if told else ''}."
    return go(shared, change.visitor, "/webhooks", said)


def _own(connection: Connection, visitor: Visitor, webhook_id: UUID) -> Any:
    return visitor.own(db.webhooks.get(connection, webhook_id), "webhook")


def _note(connection: Connection, change: Change, action: str, row: Any, **details: Any) -> None:
    audit.record(
        connection,
        change.visitor.actor,
        action,
        tenant_id=row.tenant_id,
        subject="webhook",
        subject_id=row.id,
        url=row.url_hint,
        **details,
    )


def _form(
    shared: Parts,
    visitor: Visitor,
    given: Mapping[str, str],
    pairs: Sequence[tuple[str, str]] = (),
    *,
    error: str = "",
) -> Response:
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    return page(
        visitor,
        "webhook_new",
        status=422 if error else 200,
        tenants=tenants,
        given={**dict.fromkeys(FIELDS, ""), **given},
        pairs=fields.shown(pairs),
        types=event_types(),
        error=error,
    )

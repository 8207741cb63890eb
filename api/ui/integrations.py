"""Integrations: how each account stands, and what can be done with it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

import db.integrations
import db.pages
import db.tenants
from api.parts import Parts, Shared
from api.ui import accounts as shown
from api.ui import fields
from api.ui.guard import Change, Changed, Viewer, Visitor
from api.ui.render import address, go, page
from api.ui.words import many
from providers import PROVIDERS
from providers.contract import Provider
from worker import accounts, audit
from worker.oauth import Revocation
from worker.probes import probe
from worker.syncs import sync_now

MOST = 200  # accounts of one page
DAYS = 7  # of deliveries that are looked through
TOLD = {
    Revocation.DONE: "The provider was told, and has ended the permission.",
    Revocation.SHARED: "The provider was not told: another integration lives by the same login.",
    Revocation.FAILED: "The provider could not be told: take the permission back there.",
}

router = APIRouter(prefix="/integrations")


@router.get("")
def every(shared: Shared, visitor: Viewer, tenant: str = "", provider: str = "", fragment: bool = False) -> Response:
    """All accounts, as cards by provider."""
    scope = visitor.scope(tenant)
    with shared.engine.begin() as connection:
        rows = db.pages.integrations(connection, scope, provider=provider, limit=MOST + 1)
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    names = [name for name in PROVIDERS if provider in ("", name)]
    groups = {name: [row for row in rows[:MOST] if row.provider == name] for name in names}
    return page(
        visitor,
        "integrations",
        fragment=fragment,
        groups=groups,
        most=MOST if len(rows) > MOST else 0,
        facts=PROVIDERS,
        shown=shown,
        tenants=tenants,
        tenant=scope or "",
        provider=provider,
        live=address("/integrations", fragment=1, tenant=scope, provider=provider),
    )


@router.get("/{integration_id}")
def one(integration_id: UUID, shared: Shared, visitor: Viewer, fragment: bool = False) -> Response:
    """One account."""
    with shared.engine.begin() as connection:
        row = _own(connection, visitor, integration_id)
        streams = db.pages.streams(connection, integration_id)
        latest = db.pages.lately(connection, row.tenant_id, days=DAYS, integration_id=integration_id)
    facts = PROVIDERS.get(row.provider)
    return page(
        visitor,
        "integration",
        fragment=fragment,
        row=row,
        facts=facts,
        shown=shown,
        streams=shown.with_streams(streams, facts),
        latest=latest,
        days=DAYS,
        hooks=_hooks(shared, facts, row),
        live=address(f"/integrations/{integration_id}", fragment=1),
    )


def _hooks(shared: Parts, facts: Provider | None, row: Any) -> str:
    """Where the provider's own webhooks for an account go."""
    if facts is None or facts.inbound is None:
        return ""
    base = f"{shared.links.base_url.rstrip('/')}/hooks/{facts.name}"
    return base if facts.inbound.by_app else f"{base}/{row.id}"


def _own(connection: Connection, visitor: Visitor, integration_id: UUID) -> Any:
    rows = db.pages.integrations(connection, None, ids=[integration_id])
    return visitor.own(rows[0] if rows else None, "integration")


def _note(connection: Connection, change: Change, action: str, row: Any, **details: Any) -> None:
    audit.record(
        connection,
        change.visitor.actor,
        action,
        tenant_id=row.tenant_id,
        subject="integration",
        subject_id=row.id,
        provider=row.provider,
        name=row.name,
        **details,
    )


def _back(shared: Parts, change: Change, integration_id: UUID, said: str) -> Response:
    return go(shared, change.visitor, f"/integrations/{integration_id}", said)


@router.post("/{integration_id}/pause")
def pause(integration_id: UUID, shared: Shared, change: Changed) -> Response:
    """Stop calling."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, integration_id)
        accounts.pause(connection, integration_id)
        _note(connection, change, "pause", row)
    return _back(shared, change, integration_id, "It is paused: its deliveries wait until it is resumed.")


@router.post("/{integration_id}/resume")
def resume(integration_id: UUID, shared: Shared, change: Changed) -> Response:
    """Call again."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, integration_id)
        due = accounts.resume(connection, integration_id)
        _note(connection, change, "resume", row, due=due)
    return _back(shared, change, integration_id, f"It is active again; {_due(due)} now.")


def _due(count: int) -> str:
    return many(count, "waiting delivery is due", "waiting deliveries are due")


@router.post("/{integration_id}/limits")
def limit(integration_id: UUID, shared: Shared, change: Changed) -> Response:
    """How fast it is called."""
    rate = fields.a_number(change.text("rate"), "Calls a second", float)
    at_once = fields.a_number(change.text("at_once"), "Calls at once", int)
    with shared.engine.begin() as connection:
        row = change.visitor.own(db.integrations.get(connection, integration_id, lock=True), "integration")
        db.integrations.set_limits(
            connection, integration_id, event_types=row.event_types, rate_per_s=rate, max_in_flight=at_once
        )
        _note(connection, change, "change limits", row, rate_per_s=rate, max_in_flight=at_once)
    return _back(shared, change, integration_id, "Its limits are changed.")


@router.post("/{integration_id}/disconnect")
def disconnect(integration_id: UUID, shared: Shared, change: Changed) -> Response:
    """End it, and tell the provider as far as it listens."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, integration_id)
        _note(connection, change, "disconnect", row)
    told = shared.logins.disconnect(integration_id)
    said = f"It is disconnected; what waited for it is cancelled. {TOLD.get(told, '')}"
    return _back(shared, change, integration_id, said.strip())


@router.post("/{integration_id}/test")
def test(integration_id: UUID, shared: Shared, change: Changed) -> Response:
    """Ask the provider something harmless, and say what it answered."""
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, integration_id)
        _note(connection, change, "test", row)
    good, said = probe(shared.engine, row)
    return _back(shared, change, integration_id, f"{'The test went well' if good else 'The test failed'}: {said}")


@router.post("/{integration_id}/sync")
def sync(integration_id: UUID, shared: Shared, change: Changed) -> Response:
    """Read streams of the account now."""
    stream = change.text("stream")
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, integration_id)
        started = sync_now(connection, integration_id, streams=[stream] if stream else ())
        _note(connection, change, "sync", row, streams=[each.stream for each in started])
    names = ", ".join(each.stream for each in started)
    return _back(shared, change, integration_id, f"Reading {names}: how far that is stands below.")


@router.get("/{integration_id}/choose")
def accounts_of(integration_id: UUID, shared: Shared, visitor: Viewer) -> Response:
    """The accounts that a login reaches, asked of the provider now."""
    with shared.engine.begin() as connection:
        row = _own(connection, visitor, integration_id)
    return page(visitor, "choose", row=row, reached=shared.logins.accounts(integration_id))


@router.post("/{integration_id}/choose")
def choose(integration_id: UUID, shared: Shared, change: Changed) -> Response:
    """Use one of them."""
    account = change.text("account")
    with shared.engine.begin() as connection:
        row = _own(connection, change.visitor, integration_id)
    connected = shared.logins.choose(integration_id, account)
    with shared.engine.begin() as connection:
        _note(connection, change, "choose account", row, account=account)
    return _back(shared, change, integration_id, f"It uses account {account} now; {_due(connected.resumed)}.")

"""Connecting an account, or connecting it again: by a form of the provider's fields, or by a login there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

import db.integrations
import db.tenants
from api.parts import Parts, Shared
from api.ui import accounts as shown
from api.ui.guard import BASE, Change, Changed, Viewer, Visitor
from api.ui.render import go, page
from api.ui.words import many
from providers import PROVIDERS
from providers.contract import Provider
from worker import accounts, audit, oauth_requests
from worker.accounts import AccountError

router = APIRouter()


@router.get("/connect/{provider}")
def form(provider: str, shared: Shared, visitor: Viewer, tenant: str = "") -> Response:
    """The form for a new account."""
    facts = _facts(provider)
    return _form(shared, visitor, facts, {"tenant": visitor.scope(tenant) or "", "name": "default"}, {})


@router.post("/connect/{provider}")
def connect(provider: str, shared: Shared, change: Changed) -> Response:
    """Connect it, or go on to the login."""
    facts = _facts(provider)
    tenant, name = change.visitor.scope(change.text("tenant")) or "", change.text("name") or "default"
    given = shown.filled(facts, change.form)
    try:
        if facts.oauth is not None:
            shared.logins.check(tenant_id=tenant, provider=provider, name=name, fields=given)
            return _log_in(shared, change, facts, tenant, name, given)
        made = _connected(shared, change, facts, tenant, name, given)
    except AccountError as error:
        return _form(shared, change.visitor, facts, {"tenant": tenant, "name": name}, given, error=str(error))
    return go(shared, change.visitor, f"/integrations/{made}", f"{facts.title} is connected.")


@router.get("/integrations/{integration_id}/reconnect")
def form_again(integration_id: UUID, shared: Shared, visitor: Viewer) -> Response:
    """The form of an account that is there: secrets are not shown, and stay where they are left empty."""
    row = _own(shared, visitor, integration_id)
    return _form(shared, visitor, _facts(row.provider), {"tenant": row.tenant_id, "name": row.name}, {}, row=row)


@router.post("/integrations/{integration_id}/reconnect")
def connect_again(integration_id: UUID, shared: Shared, change: Changed) -> Response:
    """Change its fields, or log in again; what waited is due then."""
    row = _own(shared, change.visitor, integration_id)
    facts = _facts(row.provider)
    given = shown.filled(facts, change.form)
    names = {"tenant": row.tenant_id, "name": row.name}
    try:
        if facts.oauth is not None:
            shared.logins.check(tenant_id=row.tenant_id, provider=facts.name, name=row.name, fields=given)
            return _log_in(shared, change, facts, row.tenant_id, row.name, given, row)
        installed = shared.installed[facts.name].credentials
        with shared.engine.begin() as connection:
            due = accounts.reconnect(connection, shared.vault, integration_id, given, installed=installed)
            _note(connection, change, "reconnect", row.tenant_id, integration_id, facts, row.name, given)
    except AccountError as error:
        return _form(shared, change.visitor, facts, names, given, row=row, error=str(error))
    said = f"It is active; {many(due, 'waiting delivery is due', 'waiting deliveries are due')} now."
    return go(shared, change.visitor, f"/integrations/{integration_id}", said)


def _facts(provider: str) -> Provider:
    facts = PROVIDERS.get(provider)
    if facts is None or facts.by_webhook:
        raise HTTPException(404, "There is nothing to connect under this name.")
    return facts


def _own(shared: Parts, visitor: Visitor, integration_id: UUID) -> Any:
    with shared.engine.begin() as connection:
        return visitor.own(db.integrations.get(connection, integration_id), "integration")


def _connected(
    shared: Parts, change: Change, facts: Provider, tenant: str, name: str, given: Mapping[str, str]
) -> UUID:
    installed = shared.installed[facts.name]
    with shared.engine.begin() as connection:
        made = accounts.connect(
            connection,
            shared.vault,
            tenant_id=tenant,
            provider=facts.name,
            fields=given,
            name=name,
            installed=installed.credentials,
            base_url=installed.base_url,
        )
        _note(connection, change, "connect", tenant, made, facts, name, given)
    return made


def _log_in(
    shared: Parts,
    change: Change,
    facts: Provider,
    tenant: str,
    name: str,
    given: Mapping[str, str],
    row: Any | None = None,
) -> Response:
    """The page from which the browser goes to the provider: a form's answer may not lead to another host."""
    there = f"{BASE}/integrations/{row.id}" if row else f"{BASE}/integrations?{urlencode({'provider': facts.name})}"
    token = oauth_requests.seal(shared.vault, tenant, facts.name, name, given, there)
    with shared.engine.begin() as connection:
        _note(connection, change, "begin login", tenant, row.id if row else "", facts, name, given)
    begin = f"{shared.public_url}/oauth/{facts.name}/authorize?{urlencode({'request': token})}"
    return page(change.visitor, "leaving", facts=facts, begin=begin, tenant=tenant, name=name)


def _note(
    connection: Any,
    change: Change,
    action: str,
    tenant: str,
    integration_id: UUID | str,
    facts: Provider,
    name: str,
    given: Mapping[str, str],
) -> None:
    """Names of fields only: their values may be secrets."""
    audit.record(
        connection,
        change.visitor.actor,
        action,
        tenant_id=tenant,
        subject="integration",
        subject_id=integration_id,
        provider=facts.name,
        name=name,
        fields=sorted(given),
    )


def _form(
    shared: Parts,
    visitor: Visitor,
    facts: Provider,
    names: Mapping[str, str],
    given: Mapping[str, str],
    *,
    row: Any | None = None,
    error: str = "",
) -> Response:
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
    return page(
        visitor,
        "connect",
        status=422 if error else 200,
        facts=facts,
        row=row,
        inputs=shown.inputs(facts, shared, given, row),
        tenants=tenants,
        names=names,
        error=error,
    )

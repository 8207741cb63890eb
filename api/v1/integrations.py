"""Integrations: a tenant's accounts at the providers. Secrets go in, and never come out."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import Field

import db.cursors
import db.integrations
import db.tokens
from api.callers import Caller, Manager, Reader, Tenant
from api.parts import Parts, Shared
from api.v1.shapes import PROBLEMS, Body, IfMatch, Shape, changed_meanwhile, etag, given, version_of
from providers import PROVIDERS
from worker import accounts, oauth_requests
from worker.probes import probe
from worker.syncs import sync_now

MASKED = "****"  # stands for a secret that is set; sent back, it means: keep it

router = APIRouter(prefix="/integrations", tags=["Integrations"], responses=PROBLEMS)


class TokenShape(Shape):
    """The login behind an account."""

    scopes: list[str]
    expires_at: datetime | None
    next_refresh_at: datetime | None
    refresh_state: str
    last_error: str | None


class StreamShape(Shape):
    """What is read from the account periodically."""

    name: str
    read_at: datetime | None


class IntegrationShape(Shape):
    """One account."""

    id: UUID
    tenant_id: str
    provider: str
    name: str
    state: str = Field(description="active, paused, needs_reconnect, blocked, disconnected")
    state_reason: str
    account_id: str | None = Field(description="The account there, after a login.")
    fields: dict[str, str] = Field(description=f'The connect form\'s fields; secrets that are set read "{MASKED}".')
    event_types: list[str] | None = Field(description="null: all that its provider acts on.")
    rate_per_s: float | None
    max_in_flight: int | None
    held_until: datetime | None
    hold_reason: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class IntegrationWhole(IntegrationShape):
    """The same with its login and its streams."""

    token: TokenShape | None
    streams: list[StreamShape]


class NewIntegration(Body):
    """An account to connect."""

    provider: str = Field(examples=["elevenlabs"])
    name: str = Field("default", min_length=1, max_length=100, description="To tell several accounts apart.")
    fields: dict[str, str] = Field({}, description="As `GET /v1/providers` says.")
    tenant_id: str | None = Field(None, description="Needed with an operator's key.")
    return_to: str | None = Field(
        None, description="After a login: a path of ours to show.", pattern=r"^/([^/\\][^\\]*)?$"
    )


class Connecting(Shape):
    """What came of connecting: an account, or the address at which a browser logs in (good for ten minutes)."""

    integration: IntegrationShape | None = None
    authorize_url: str | None = None


class IntegrationChange(Body):
    """What is to change; what is not named stays."""

    fields: dict[str, str] | None = Field(None, description=f'"{MASKED}" keeps what is there.')
    event_types: list[str] | None = Field(None, description="null: all that its provider acts on.")
    rate_per_s: float | None = Field(None, gt=0, le=1_000_000)
    max_in_flight: int | None = Field(None, ge=1, le=1_000_000)


class Due(Shape):
    """How many deliveries that waited are due now."""

    due: int


class SyncAsked(Body):
    """What to read."""

    streams: list[str] = Field([], description="none = all")
    since: date | None = None
    full: bool = False


class SyncShape(Shape):
    """A sync: follow its event."""

    stream: str
    event_id: UUID
    new: bool = Field(description="false: one was under way already.")


class Verdict(Shape):
    """What a provider said to a harmless question."""

    ok: bool
    said: str


class AccountShape(Shape):
    """An account that a login reaches."""

    id: str
    name: str
    unusable: str = Field(description="Why it cannot be used; empty where it can.")


class Chosen(Body):
    """The account to use."""

    account_id: str


@router.get("", response_model=list[IntegrationShape])
def every(
    caller: Reader,
    shared: Shared,
    tenant: Tenant = None,
    provider: Annotated[str | None, Query(max_length=64)] = None,
) -> list[dict[str, Any]]:
    """All accounts, oldest first."""
    with shared.engine.begin() as connection:
        rows = db.integrations.whole(connection, caller.tenant(tenant))
    return [_shape(row, shared) for row in rows if provider in (None, row.provider)]


@router.post(
    "",
    status_code=201,
    response_model=Connecting,
    responses={202: {"model": Connecting, "description": "A browser has to log in first."}},
)
def connect(body: NewIntegration, caller: Manager, shared: Shared, response: Response) -> dict[str, Any]:
    """Connect an account: by its fields at once, or by a login, whose address is answered (202) for a browser."""
    tenant, facts = caller.one_tenant(body.tenant_id), PROVIDERS.get(body.provider)
    if facts is not None and facts.oauth is not None:
        shared.logins.check(tenant_id=tenant, provider=body.provider, name=body.name, fields=body.fields)
        response.status_code = 202
        return {"authorize_url": authorize_url(shared, tenant, body)}
    installed = shared.installed.get(body.provider)
    with shared.engine.begin() as connection:
        made = accounts.connect(
            connection,
            shared.vault,
            tenant_id=tenant,
            provider=body.provider,
            fields=body.fields,
            name=body.name,
            installed=installed.credentials if installed else (),
            base_url=installed.base_url if installed else "",
        )
        return {"integration": _shape(db.integrations.get(connection, made), shared)}


def authorize_url(shared: Parts, tenant: str, body: NewIntegration) -> str:
    """Where a browser begins a login."""
    token = oauth_requests.seal(shared.vault, tenant, body.provider, body.name, body.fields, body.return_to)
    return f"{shared.public_url}/oauth/{body.provider}/authorize?{urlencode({'request': token})}"


@router.get("/{integration_id}", response_model=IntegrationWhole)
def one(integration_id: UUID, caller: Reader, shared: Shared, response: Response) -> dict[str, Any]:
    """One account, with its login and its streams."""
    with shared.engine.begin() as connection:
        row = caller.own(db.integrations.get(connection, integration_id), "integration")
        token = db.tokens.get(connection, integration_id)
        read = db.cursors.synced(connection, integration_id)
    etag(response, row.version)
    facts = PROVIDERS.get(row.provider)
    return {
        **_shape(row, shared),
        "token": None if token is None else TokenShape.model_validate(token),
        "streams": [{"name": each.name, "read_at": read.get(each.name)} for each in (facts.streams if facts else ())],
    }


@router.patch("/{integration_id}", response_model=IntegrationShape)
def change(
    integration_id: UUID,
    body: IntegrationChange,
    caller: Manager,
    shared: Shared,
    response: Response,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    """Change an account's fields and limits. New fields make what waited for them due."""
    named = given(body)
    with shared.engine.begin() as connection:
        row = caller.own(db.integrations.get(connection, integration_id, lock=True), "integration")
        if version_of(if_match) not in (None, row.version):
            raise changed_meanwhile()
        fields = {name: value for name, value in (body.fields or {}).items() if value != MASKED}
        if fields:
            installed = shared.installed[row.provider].credentials
            accounts.reconnect(connection, shared.vault, integration_id, fields, installed=installed)
        limits = {name: named[name] for name in ("event_types", "rate_per_s", "max_in_flight") if name in named}
        if limits:
            db.integrations.set_limits(connection, integration_id, **{**_limits(row), **limits})
        row = caller.own(db.integrations.get(connection, integration_id), "integration")
    etag(response, row.version)
    return _shape(row, shared)


def _limits(row: Any) -> dict[str, Any]:
    return {"event_types": row.event_types, "rate_per_s": row.rate_per_s, "max_in_flight": row.max_in_flight}


@router.delete("/{integration_id}", status_code=204)
def disconnect(integration_id: UUID, caller: Manager, shared: Shared) -> None:
    """End an account: its secrets are forgotten, what waits is cancelled, and the provider is told where it listens."""
    _own(integration_id, caller, shared)
    shared.logins.disconnect(integration_id)


@router.post("/{integration_id}/pause", response_model=IntegrationShape)
def pause(integration_id: UUID, caller: Manager, shared: Shared) -> dict[str, Any]:
    """Stop calling; deliveries wait."""
    with shared.engine.begin() as connection:
        caller.own(db.integrations.get(connection, integration_id), "integration")
        accounts.pause(connection, integration_id)
        return _shape(db.integrations.get(connection, integration_id), shared)


@router.post("/{integration_id}/resume", response_model=Due)
def resume(integration_id: UUID, caller: Manager, shared: Shared) -> dict[str, Any]:
    """Call again; what waited is due now."""
    with shared.engine.begin() as connection:
        caller.own(db.integrations.get(connection, integration_id), "integration")
        return {"due": accounts.resume(connection, integration_id)}


@router.post(
    "/{integration_id}/reconnect",
    response_model=Connecting,
    responses={202: {"model": Connecting, "description": "A browser has to log in first."}},
)
def reconnect(integration_id: UUID, caller: Manager, shared: Shared, response: Response) -> dict[str, Any]:
    """Connect again: the address of a login (202), or, where fields are the credential, the account made active."""
    row = _own(integration_id, caller, shared)
    if PROVIDERS[row.provider].oauth is None:
        with shared.engine.begin() as connection:
            accounts.activate(connection, integration_id)
            return {"integration": _shape(db.integrations.get(connection, integration_id), shared)}
    shared.logins.checked(row.provider)
    response.status_code = 202
    wanted = NewIntegration(provider=row.provider, name=row.name, fields={}, tenant_id=row.tenant_id, return_to=None)
    return {"authorize_url": authorize_url(shared, row.tenant_id, wanted)}


@router.post("/{integration_id}/test", response_model=Verdict)
def test(integration_id: UUID, caller: Manager, shared: Shared) -> dict[str, Any]:
    """Ask the provider something harmless by the account's own credentials, and say what it answered."""
    row = _own(integration_id, caller, shared)
    ok, said = probe(shared.engine, row)
    return {"ok": ok, "said": said}


@router.post("/{integration_id}/sync", status_code=202, response_model=list[SyncShape])
def sync(integration_id: UUID, body: SyncAsked, caller: Manager, shared: Shared) -> list[Any]:
    """Read the account's streams now."""
    with shared.engine.begin() as connection:
        caller.own(db.integrations.get(connection, integration_id), "integration")
        started = sync_now(connection, integration_id, streams=body.streams, since=body.since, full=body.full)
    return [SyncShape.model_validate(each) for each in started]


@router.get("/{integration_id}/accounts", response_model=list[AccountShape])
def reached(integration_id: UUID, caller: Manager, shared: Shared) -> list[Any]:
    """What the login reaches, asked of the provider now."""
    _own(integration_id, caller, shared)
    return [AccountShape.model_validate(each) for each in shared.logins.accounts(integration_id)]


@router.put("/{integration_id}/account", response_model=IntegrationShape)
def choose(integration_id: UUID, body: Chosen, caller: Manager, shared: Shared) -> dict[str, Any]:
    """Use one of the accounts that the login reaches."""
    _own(integration_id, caller, shared)
    shared.logins.choose(integration_id, body.account_id)
    return _shape(_own(integration_id, caller, shared), shared)


@router.get("/{integration_id}/streams/{stream}", response_model=Any)
def cached(integration_id: UUID, stream: str, caller: Reader, shared: Shared) -> Any:
    """What the last sync of a stream left: the voices of an account, its agents, its stores …"""
    with shared.engine.begin() as connection:
        row = caller.own(db.integrations.get(connection, integration_id), "integration")
        value = db.cursors.get(connection, integration_id, stream)
    if stream not in [each.name for each in PROVIDERS[row.provider].streams]:
        raise HTTPException(404, f"{PROVIDERS[row.provider].title} has no stream {stream!r}.")
    return value


def _own(integration_id: UUID, caller: Caller, shared: Parts) -> Any:
    with shared.engine.begin() as connection:
        return caller.own(db.integrations.get(connection, integration_id), "integration")


def _shape(row: Any, shared: Parts) -> dict[str, Any]:
    facts = PROVIDERS.get(row.provider)
    names = [each.name for each in facts.fields] if facts else []
    secret = [each.name for each in facts.fields if each.sensitive] if facts else []
    own = accounts.secret_names(shared.vault, row)
    shown = {name: str(row.config[name]) for name in names if name in row.config}
    return {
        **{name: getattr(row, name) for name in IntegrationShape.model_fields if hasattr(row, name)},
        "account_id": row.external_account_id,
        "fields": {**shown, **{name: MASKED for name in secret if name in own}},
    }

"""Webhooks: URLs that are told of events, by signed POST."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import Field

import db.integrations
import db.webhooks
from api.callers import Caller, Manager, Reader, Tenant
from api.parts import Parts, Shared
from api.v1.shapes import PROBLEMS, Body, IfMatch, Shape, changed_meanwhile, etag, given, version_of
from worker import webhook_calls
from worker.subscriptions import SECRET_OVERLAP

router = APIRouter(prefix="/webhooks", tags=["Webhooks"], responses=PROBLEMS)


class WebhookShape(Shape):
    """A subscription of one event type to one URL."""

    id: UUID
    tenant_id: str
    event_type: str = Field(description='One event type, or "*" for all.')
    url: str = Field(description="Masked: a webhook's URL is a credential.", validation_alias="url_hint")
    filters: dict[str, Any]
    user_id: str
    state: str = Field(description="active, disabled, gone (it answered 410), unregistered")
    state_reason: str
    rate_per_s: float | None
    max_in_flight: int | None
    consecutive_failures: int
    failing_since: datetime | None
    held_until: datetime | None
    version: int
    created_at: datetime


class NewWebhook(Body):
    """A URL to subscribe."""

    url: str = Field(min_length=1, max_length=4_096, examples=["https://hooks.zapier.com/hooks/catch/1/abc/"])
    event_type: str = Field(examples=["campaign.created"], description='"*" = all event types.')
    filters: dict[str, Any] = Field({}, description="What an event's data must hold; a list = one of; dots go deeper.")
    user_id: str = Field("", max_length=255, description="Whose webhook it is, where a tenant has several users.")
    rate_per_s: float | None = Field(None, gt=0, le=1_000_000)
    max_in_flight: int | None = Field(None, ge=1, le=1_000_000)
    tenant_id: str | None = Field(None, description="Needed with an operator's key.")


class Registered(WebhookShape):
    """A webhook with its signing secret, which is shown this once."""

    secret: str | None = Field(None, description="null: the webhook was there already.")


class WebhookChange(Body):
    """What is to change; what is not named stays."""

    filters: dict[str, Any] | None = None
    rate_per_s: float | None = Field(None, gt=0, le=1_000_000)
    max_in_flight: int | None = Field(None, ge=1, le=1_000_000)


class Secret(Shape):
    """A new signing secret, shown this once."""

    secret: str


class Rotation(Body):
    """How long the old secret signs beside the new one."""

    overlap_s: int = Field(int(SECRET_OVERLAP.total_seconds()), ge=0, le=30 * 24 * 3600)


class Tested(Shape):
    """What a receiver answered to a signed example."""

    ok: bool
    event_type: str
    message_id: str
    duration_ms: int
    http_status: int | None
    answer: str | None
    said: str


@router.get("", response_model=list[WebhookShape])
def every(
    caller: Reader,
    shared: Shared,
    tenant: Tenant = None,
    event_type: Annotated[str | None, Query(max_length=255)] = None,
) -> list[Any]:
    """All webhooks that were not unregistered, oldest first."""
    with shared.engine.begin() as connection:
        rows = db.webhooks.every(connection, caller.tenant(tenant))
    return [WebhookShape.model_validate(row) for row in rows if event_type in (None, row.event_type)]


@router.post(
    "",
    status_code=201,
    response_model=Registered,
    responses={200: {"model": Registered, "description": "It was there already."}},
)
def register(body: NewWebhook, caller: Manager, shared: Shared, response: Response) -> dict[str, Any]:
    """Subscribe a URL. The same again (200) is the first one, without its secret."""
    with shared.engine.begin() as connection:
        made = shared.subscriptions.register(
            connection, **{**body.model_dump(), "tenant_id": caller.one_tenant(body.tenant_id)}
        )
        row = caller.own(db.webhooks.get(connection, made.webhook_id), "webhook")
    if not made.new:
        response.status_code = 200
    return {**WebhookShape.model_validate(row).model_dump(), "url_hint": row.url_hint, "secret": made.secret}


@router.get("/{webhook_id}", response_model=WebhookShape)
def one(webhook_id: UUID, caller: Reader, shared: Shared, response: Response) -> Any:
    """One webhook."""
    row = _own(webhook_id, caller, shared)
    etag(response, row.version)
    return WebhookShape.model_validate(row)


@router.patch("/{webhook_id}", response_model=WebhookShape)
def change(
    webhook_id: UUID,
    body: WebhookChange,
    caller: Manager,
    shared: Shared,
    response: Response,
    if_match: IfMatch = None,
) -> Any:
    """Change its filters and limits. Another URL or event type is another webhook."""
    with shared.engine.begin() as connection:
        row = caller.own(db.webhooks.get(connection, webhook_id, lock=True), "webhook")
        if version_of(if_match) not in (None, row.version):
            raise changed_meanwhile()
        there = {name: getattr(row, name) for name in WebhookChange.model_fields}
        db.webhooks.change(connection, webhook_id, **{**there, **given(body)})
        row = caller.own(db.webhooks.get(connection, webhook_id), "webhook")
    etag(response, row.version)
    return WebhookShape.model_validate(row)


@router.delete("/{webhook_id}", status_code=204)
def unregister(webhook_id: UUID, caller: Manager, shared: Shared) -> None:
    """End a subscription; what waits for it is cancelled. Doing it again is no error."""
    row = _own(webhook_id, caller, shared)
    if row.state == "unregistered":
        return
    with shared.engine.begin() as connection:
        account = db.integrations.get(connection, row.integration_id)
        shared.subscriptions.unregister(connection, webhook_id)
    if account is not None:
        webhook_calls.say_farewell(row, account.provider, shared.vault, shared.transport)


@router.post("/{webhook_id}/rotate-secret", response_model=Secret)
def rotate(webhook_id: UUID, body: Rotation, caller: Manager, shared: Shared) -> dict[str, str]:
    """Make a new signing secret; until the overlap ends messages are signed with both."""
    with shared.engine.begin() as connection:
        caller.own(db.webhooks.get(connection, webhook_id), "webhook")
        secret = shared.subscriptions.rotate_secret(connection, webhook_id, overlap=timedelta(seconds=body.overlap_s))
    return {"secret": secret}


@router.post("/{webhook_id}/test", response_model=Tested)
def test(webhook_id: UUID, caller: Manager, shared: Shared) -> dict[str, Any]:
    """Send one signed example now, and say what came back. It is no delivery."""
    row = _own(webhook_id, caller, shared)
    with shared.engine.begin() as connection:
        account = db.integrations.get(connection, row.integration_id)
    if account is None or row.state in ("gone", "unregistered"):
        raise HTTPException(409, f"The webhook is {row.state}: register the URL anew.")
    done = webhook_calls.send_test(row, account.provider, shared.vault, shared.transport)
    status = done.exchange.status if done.exchange else None
    return {
        "ok": done.error is None,
        "event_type": done.event_type,
        "message_id": done.message_id,
        "duration_ms": done.duration_ms,
        "http_status": status,
        "answer": done.exchange.excerpt if done.exchange else None,
        "said": str(done.error) if done.error else f"It answered {status} within {done.duration_ms} ms.",
    }


@router.post("/{webhook_id}/enable", response_model=WebhookShape)
def enable(webhook_id: UUID, caller: Manager, shared: Shared) -> Any:
    """Make a disabled webhook work again; its dead letters stay until they are replayed."""
    return _turned(webhook_id, caller, shared, on=True)


@router.post("/{webhook_id}/disable", response_model=WebhookShape)
def disable(webhook_id: UUID, caller: Manager, shared: Shared) -> Any:
    """Stop a webhook; what waits for it becomes dead letters."""
    return _turned(webhook_id, caller, shared, on=False)


def _turned(webhook_id: UUID, caller: Caller, shared: Parts, *, on: bool) -> Any:
    with shared.engine.begin() as connection:
        caller.own(db.webhooks.get(connection, webhook_id), "webhook")
        turn = shared.subscriptions.enable if on else shared.subscriptions.disable
        turn(connection, webhook_id)
        return WebhookShape.model_validate(db.webhooks.get(connection, webhook_id))


def _own(webhook_id: UUID, caller: Caller, shared: Parts) -> Any:
    with shared.engine.begin() as connection:
        return caller.own(db.webhooks.get(connection, webhook_id), "webhook")

"""webhooks: subscriptions of one event type to one URL."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, run

_SHOWN = (
    "id, tenant_id, integration_id, user_id, event_type, url_hint, filters, state, state_reason, rate_per_s,"
    " max_in_flight, consecutive_failures, failing_since, held_until, hold_reason, created_at"
)


def register(
    connection: Connection,
    *,
    webhook_id: UUID,
    tenant_id: str,
    integration_id: UUID,
    user_id: str,
    event_type: str,
    url_sealed: str,
    url_hash: bytes,
    url_hint: str,
    filters: Mapping[str, Any],
    secrets: Sequence[Mapping[str, Any]],
    rate_per_s: float | None,
    max_in_flight: int | None,
) -> UUID | None:
    """Add a subscription. None when the same user has one of this type to this URL already."""
    rows = run(
        connection,
        "insert into webhooks (id, tenant_id, integration_id, user_id, event_type, url_sealed, url_hash, url_hint,"
        " filters, secrets, rate_per_s, max_in_flight) values (%(id)s, %(tenant)s, %(integration)s, %(user)s,"
        " %(type)s, %(sealed)s, %(hash)s, %(hint)s, %(filters)s::jsonb, %(secrets)s::jsonb, %(rate)s, %(cap)s)"
        " on conflict (tenant_id, user_id, event_type, url_hash) where state in ('active', 'disabled') do nothing"
        " returning id",
        id=webhook_id,
        tenant=tenant_id,
        integration=integration_id,
        user=user_id,
        type=event_type,
        sealed=url_sealed,
        hash=url_hash,
        hint=url_hint,
        filters=json.dumps(filters),
        secrets=json.dumps(secrets),
        rate=rate_per_s,
        cap=max_in_flight,
    )
    return rows[0][0] if rows else None


def find(connection: Connection, tenant_id: str, user_id: str, event_type: str, url_hash: bytes) -> UUID | None:
    """The id of a live subscription."""
    rows = run(
        connection,
        "select id from webhooks where tenant_id = %(tenant)s and user_id = %(user)s and event_type = %(type)s"
        " and url_hash = %(hash)s and state in ('active', 'disabled')",
        tenant=tenant_id,
        user=user_id,
        type=event_type,
        hash=url_hash,
    )
    return rows[0][0] if rows else None


def get(connection: Connection, webhook_id: UUID, *, lock: bool = False) -> Any | None:
    """One subscription with everything, or None."""
    rows = run(
        connection,
        "select * from webhooks where id = %(id)s" + (" for update" if lock else ""),
        id=webhook_id,
    )
    return rows[0] if rows else None


def every(connection: Connection, tenant_id: str | None = None) -> Rows:
    """All subscriptions, of one tenant or of all, oldest first; no secret among the columns."""
    return run(
        connection,
        f"select {_SHOWN} from webhooks where (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " and state <> 'unregistered' order by created_at, id",
        tenant=tenant_id,
    )


def set_secrets(connection: Connection, webhook_id: UUID, secrets: Sequence[Mapping[str, Any]]) -> None:
    """Replace the signing secrets, newest first."""
    run(
        connection,
        "update webhooks set secrets = %(secrets)s::jsonb, updated_at = now(), version = version + 1 where id = %(id)s",
        id=webhook_id,
        secrets=json.dumps(secrets),
    )


def change(
    connection: Connection,
    webhook_id: UUID,
    *,
    filters: Mapping[str, Any],
    rate_per_s: float | None,
    max_in_flight: int | None,
) -> None:
    """Which events a subscription gets, and how fast."""
    run(
        connection,
        "update webhooks set filters = %(filters)s::jsonb, rate_per_s = %(rate)s, max_in_flight = %(cap)s,"
        " updated_at = now(), version = version + 1 where id = %(id)s",
        id=webhook_id,
        filters=json.dumps(filters),
        rate=rate_per_s,
        cap=max_in_flight,
    )


def set_state(connection: Connection, webhook_ids: Collection[UUID], state: str, reason: str) -> list[UUID]:
    """Enable, disable or end subscriptions. Those that changed. Enabling forgets failures and holds."""
    rows = run(
        connection,
        "update webhooks set state = %(state)s, state_reason = %(reason)s, updated_at = now(), version = version + 1,"
        " consecutive_failures = case when %(state)s = 'active' then 0 else consecutive_failures end,"
        " failing_since = case when %(state)s = 'active' then null else failing_since end,"
        " held_until = case when %(state)s = 'active' then null else held_until end"
        " where id = any(%(ids)s::uuid[]) and state <> %(state)s and state not in ('gone', 'unregistered')"
        " returning id",
        ids=[str(webhook_id) for webhook_id in webhook_ids],
        state=state,
        reason=reason,
    )
    return [row[0] for row in rows]


def failing_longer_than(connection: Connection, days: float, *, limit: int) -> Rows:
    """Active subscriptions that have only failed for this long."""
    return run(
        connection,
        "select w.id, w.tenant_id, w.url_sealed, w.failing_since, i.provider from webhooks w"
        " join integrations i on i.id = w.integration_id"
        " where w.state = 'active' and w.failing_since < now() - %(days)s * interval '1 day'"
        " order by w.failing_since limit %(limit)s for update of w skip locked",
        days=days,
        limit=limit,
    )

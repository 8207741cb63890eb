"""integrations: one tenant's accounts at the providers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, run


def create(
    connection: Connection,
    *,
    integration_id: UUID,
    tenant_id: str,
    provider: str,
    name: str,
    config: Mapping[str, Any],
    secrets_sealed: str | None,
) -> UUID | None:
    """Add an account. None when the tenant has one of this provider and name already."""
    rows = run(
        connection,
        "insert into integrations (id, tenant_id, provider, name, config, secrets_sealed)"
        " values (%(id)s, %(tenant)s, %(provider)s, %(name)s, %(config)s::jsonb, %(secrets)s)"
        " on conflict (tenant_id, provider, name) do nothing returning id",
        id=integration_id,
        tenant=tenant_id,
        provider=provider,
        name=name,
        config=json.dumps(config),
        secrets=secrets_sealed,
    )
    return rows[0][0] if rows else None


def find(connection: Connection, tenant_id: str, provider: str, name: str) -> UUID | None:
    """The id of a tenant's account by provider and name."""
    rows = run(
        connection,
        "select id from integrations where tenant_id = %(tenant)s and provider = %(provider)s and name = %(name)s",
        tenant=tenant_id,
        provider=provider,
        name=name,
    )
    return rows[0][0] if rows else None


def get(connection: Connection, integration_id: UUID, *, lock: bool = False) -> Any | None:
    """One account with everything, or None. Its lock hinders nobody who only refers to it."""
    locked = " for no key update" if lock else ""
    rows = run(connection, f"select * from integrations where id = %(id)s{locked}", id=integration_id)
    return rows[0] if rows else None


def known_as(connection: Connection, provider: str, name: str, fields: Sequence[str]) -> Rows:
    """The accounts whose id there, whose login's person, or one of whose fields is `name`, with everything."""
    return run(
        connection,
        "select i.* from integrations i left join integration_tokens t on t.integration_id = i.id"
        " where i.provider = %(provider)s and i.state <> 'disconnected' and (i.external_account_id = %(name)s"
        " or t.details->>'user_id' = %(name)s"
        " or exists (select from unnest(%(fields)s::text[]) as field where i.config->>field = %(name)s))"
        " order by i.id",
        provider=provider,
        name=name,
        fields=list(fields),
    )


def set_fields(
    connection: Connection, integration_id: UUID, config: Mapping[str, Any], secrets_sealed: str | None
) -> None:
    """Put other fields in place of an account's."""
    run(
        connection,
        "update integrations set config = %(config)s::jsonb, secrets_sealed = %(secrets)s, updated_at = now(),"
        " version = version + 1 where id = %(id)s",
        id=integration_id,
        config=json.dumps(config),
        secrets=secrets_sealed,
    )


def set_account(
    connection: Connection, integration_id: UUID, external_account_id: str | None, config: Mapping[str, Any]
) -> None:
    """Which account there it is, with the fields that belong to it."""
    run(
        connection,
        "update integrations set external_account_id = %(account)s, config = %(config)s::jsonb, updated_at = now(),"
        " version = version + 1 where id = %(id)s",
        id=integration_id,
        account=external_account_id,
        config=json.dumps(dict(config)),
    )


def stopped(connection: Connection) -> int:
    """How many accounts wait for a person to mend them."""
    return int(run(connection, "select count(*) from integrations where state in ('needs_reconnect', 'blocked')")[0][0])


def every(connection: Connection, tenant_id: str | None = None) -> Rows:
    """All accounts, of one tenant or of all, oldest first; no secret among the columns."""
    return run(
        connection,
        "select i.id, i.tenant_id, i.provider, i.name, i.state, i.state_reason, i.external_account_id, i.config,"
        " i.consecutive_failures, i.held_until, i.hold_reason, i.created_at, t.version as token_version,"
        " t.expires_at as token_expires_at, t.next_refresh_at as token_next_refresh_at,"
        " t.refresh_state as grant_state"
        " from integrations i left join integration_tokens t on t.integration_id = i.id"
        " where (%(tenant)s::text is null or i.tenant_id = %(tenant)s) order by i.created_at, i.id",
        tenant=tenant_id,
    )


def whole(connection: Connection, tenant_id: str | None = None) -> Rows:
    """All accounts with everything, of one tenant or of all, oldest first."""
    return run(
        connection,
        "select * from integrations where (%(tenant)s::text is null or tenant_id = %(tenant)s) order by created_at, id",
        tenant=tenant_id,
    )


def set_limits(
    connection: Connection,
    integration_id: UUID,
    *,
    event_types: Sequence[str] | None,
    rate_per_s: float | None,
    max_in_flight: int | None,
) -> None:
    """Which events an account takes, and how fast it is called."""
    run(
        connection,
        "update integrations set event_types = %(types)s::text[], rate_per_s = %(rate)s, max_in_flight = %(cap)s,"
        " updated_at = now(), version = version + 1 where id = %(id)s",
        id=integration_id,
        types=None if event_types is None else list(event_types),
        rate=rate_per_s,
        cap=max_in_flight,
    )


def set_state(
    connection: Connection, integration_id: UUID, state: str, reason: str, *, token_version: int | None = None
) -> bool:
    """Pause, resume or mark an account. False when there is none. Resuming forgets failures and holds.

    `token_version`: only while its token is still this one (0 = it has none); whoever gives it has locked the row.
    """
    return bool(
        run(
            connection,
            "update integrations set state = %(state)s, state_reason = %(reason)s, updated_at = now(),"
            " version = version + 1,"
            " consecutive_failures = case when %(state)s = 'active' then 0 else consecutive_failures end,"
            " failing_since = case when %(state)s = 'active' then null else failing_since end,"
            " held_until = case when %(state)s = 'active' then null else held_until end,"
            " hold_reason = case when %(state)s = 'active' then null else hold_reason end"
            " where id = %(id)s and (%(token_version)s::int is null or %(token_version)s = coalesce("
            "(select version from integration_tokens where integration_id = %(id)s), 0)) returning id",
            id=integration_id,
            state=state,
            reason=reason,
            token_version=token_version,
        )
    )

"""oauth_states: logins that have begun, each to be finished once, by the browser that began it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from db.engine import count, run

KEPT_S = 3600.0  # after its end: so long a late callback is told why it comes to nothing


def insert(
    connection: Connection,
    *,
    state_hash: bytes,
    browser_hash: bytes,
    tenant_id: str,
    provider: str,
    pkce_sealed: str | None,
    redirect_uri: str,
    redirect_to: str | None,
    name: str,
    fields: Mapping[str, str],
) -> None:
    """Remember a login that begins; it ends by itself after ten minutes."""
    run(
        connection,
        "insert into oauth_states (state_hash, browser_hash, tenant_id, provider, pkce_sealed, redirect_uri,"
        " redirect_to, name, fields) values (%(state)s, %(browser)s, %(tenant)s, %(provider)s, %(pkce)s, %(uri)s,"
        " %(to)s, %(name)s, %(fields)s::jsonb)",
        state=state_hash,
        browser=browser_hash,
        tenant=tenant_id,
        provider=provider,
        pkce=pkce_sealed,
        uri=redirect_uri,
        to=redirect_to,
        name=name,
        fields=json.dumps(dict(fields)),
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What a callback shows of a login."""

    state_hash: bytes
    browser_hash: bytes
    provider: str


def use(connection: Connection, asked: Asked) -> Any | None:
    """Take a login that may be finished; None when it may not. In one statement: nobody takes it twice."""
    rows = run(
        connection,
        "update oauth_states set used_at = now() where state_hash = %(state)s and browser_hash = %(browser)s"
        " and provider = %(provider)s and used_at is null and expires_at > now() returning *",
        state=asked.state_hash,
        browser=asked.browser_hash,
        provider=asked.provider,
    )
    return rows[0] if rows else None


def look(connection: Connection, asked: Asked) -> Any | None:
    """Why a login of this provider cannot be taken: (used, expired). None when there is none."""
    rows = run(
        connection,
        "select used_at is not null as used, expires_at <= now() as expired from oauth_states"
        " where state_hash = %(state)s and provider = %(provider)s",
        state=asked.state_hash,
        provider=asked.provider,
    )
    return rows[0] if rows else None


def forget_old(connection: Connection) -> int:
    """Delete those that ended a while ago. How many."""
    return count(
        connection,
        "delete from oauth_states where expires_at < now() - %(kept_s)s::float8 * interval '1 second'",
        kept_s=KEPT_S,
    )

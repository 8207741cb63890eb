"""api_keys: who may use the HTTP API, for which tenant, and for what. Only hashes are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Prepared, Rows, run

_SHOWN = "id, tenant_id, name, hint, scopes, created_at, last_used_at, expires_at, revoked_at"


def insert(
    connection: Connection,
    *,
    key_id: UUID,
    tenant_id: str | None,
    name: str,
    key_hash: bytes,
    hint: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
) -> None:
    """Store one."""
    run(
        connection,
        "insert into api_keys (id, tenant_id, name, key_hash, hint, scopes, expires_at)"
        " values (%(id)s, %(tenant)s, %(name)s, %(hash)s, %(hint)s, %(scopes)s::text[], %(expires)s)",
        id=key_id,
        tenant=tenant_id,
        name=name,
        hash=key_hash,
        hint=hint,
        scopes=list(scopes),
        expires=expires_at,
    )


def find(connection: Connection, key_hash: bytes) -> Any | None:
    """The key with this hash, if it is good now; its tenant's state beside it."""
    rows = _FIND(connection, hash=key_hash)
    return rows[0] if rows else None


_FIND = Prepared(
    "find_api_key",
    "select k.id, k.tenant_id, k.name, k.scopes, t.state as tenant_state,"
    " coalesce(k.last_used_at < now() - interval '1 minute', true) as is_stale"
    " from api_keys k left join tenants t on t.id = k.tenant_id where k.key_hash = %(hash)s::bytea"
    " and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())",
)


def used(connection: Connection, key_id: UUID) -> None:
    """Note that a key was used, once a minute at most. Whoever else notes it now is not waited for."""
    run(
        connection,
        "update api_keys set last_used_at = now() where id in (select id from api_keys where id = %(id)s"
        " for update skip locked)",
        id=key_id,
    )


def every(connection: Connection, tenant_id: str | None = None) -> Rows:
    """All keys, of one tenant or of all, oldest first: never the keys themselves."""
    return run(
        connection,
        f"select {_SHOWN} from api_keys where (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " order by created_at, id",
        tenant=tenant_id,
    )


def get(connection: Connection, key_id: UUID) -> Any | None:
    """One key, or None."""
    rows = run(connection, f"select {_SHOWN} from api_keys where id = %(id)s", id=key_id)
    return rows[0] if rows else None


def revoke(connection: Connection, key_id: UUID) -> bool:
    """End a key. False when there is none, or it has ended."""
    return bool(
        run(
            connection,
            "update api_keys set revoked_at = now() where id = %(id)s and revoked_at is null returning id",
            id=key_id,
        )
    )

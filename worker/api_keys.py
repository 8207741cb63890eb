"""API keys: made once and shown once, kept as a hash, for one tenant or for an operator, each for what it may do."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.api_keys
import db.tenants
from worker import ids
from worker.tenants import unknown as unknown_tenant

PREFIX = "mesh_"  # by which a key that slipped into a log or a repository is found
SECRET_BYTES = 32
# What a key may be for: to publish events, to see what a tenant has, to change it.
SCOPES = ("publish", "read", "manage")


class ApiKeyError(ValueError):
    """A key cannot be made or ended; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new key: shown this once."""

    id: UUID
    key: str = field(repr=False)


def create(
    connection: Connection,
    *,
    name: str,
    tenant_id: str | None,
    scopes: Collection[str] = SCOPES,
    expires_at: datetime | None = None,
) -> Made:
    """Make a key for a tenant, or for an operator who may act for all. Raises ApiKeyError."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        named = f"There is no scope {unknown[0]!r}" if unknown else "A key needs a scope"
        raise ApiKeyError(f"{named}: there are {', '.join(SCOPES)}.")
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise ApiKeyError("A key needs a name of 1 to 100 characters that says who uses it.")
    if tenant_id is not None and tenant_id not in db.tenants.states(connection, [tenant_id]):
        raise ApiKeyError(unknown_tenant(tenant_id))
    key_id, key = ids.new(), PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    db.api_keys.insert(
        connection,
        key_id=key_id,
        tenant_id=tenant_id,
        name=name,
        key_hash=hashed(key),
        hint=f"{key[: len(PREFIX) + 4]}…{key[-4:]}",
        scopes=[scope for scope in SCOPES if scope in scopes],
        expires_at=expires_at,
    )
    return Made(key_id, key)


def find(connection: Connection, key: str) -> Any | None:
    """The row of a key that is good now, and the note that it was used; None for any other text."""
    row = db.api_keys.find(connection, hashed(key))
    if row is not None and row.is_stale:
        db.api_keys.used(connection, row.id)
    return row


def hashed(key: str) -> bytes:
    """What is stored of a key. It is long and random, so that a plain hash cannot be searched."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()

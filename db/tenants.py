"""tenants: the product's customers."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection

from db.engine import Prepared, Rows, run

_ROWS = "select id, name, state, created_at from tenants"


def create(connection: Connection, tenant_id: str, name: str) -> bool:
    """Add a tenant. False when it was there already."""
    return bool(
        run(
            connection,
            "insert into tenants (id, name) values (%(id)s, %(name)s) on conflict (id) do nothing returning id",
            id=tenant_id,
            name=name,
        )
    )


def states(connection: Connection, tenant_ids: Collection[str]) -> dict[str, str]:
    """The state of each tenant that exists, by id."""
    return {row.id: row.state for row in _STATES(connection, ids=list(tenant_ids))}


_STATES = Prepared("tenant_states", "select id, state from tenants where id = any(%(ids)s::text[])")


def every(connection: Connection) -> Rows:
    """All tenants, oldest first."""
    return run(connection, f"{_ROWS} order by created_at, id")


def some(connection: Connection, tenant_ids: Collection[str]) -> Rows:
    """Those of these that exist."""
    return run(connection, f"{_ROWS} where id = any(%(ids)s::text[]) order by id", ids=list(tenant_ids))

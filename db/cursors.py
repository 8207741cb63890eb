"""sync_cursors: how far each stream of an account was read."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import run


def get(connection: Connection, integration_id: UUID, stream: str) -> dict[str, Any]:
    """A stream's cursor; empty where it was never read."""
    rows = run(
        connection,
        "select cursor from sync_cursors where integration_id = %(id)s and stream = %(stream)s",
        id=integration_id,
        stream=stream,
    )
    return dict(rows[0][0]) if rows else {}

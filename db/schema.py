"""Applying `schema.sql` and the catalog of event types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from db.engine import run

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "schema.sql"
_LOCK = 0x6D657368  # "mesh": one application at a time


def apply(connection: Connection, event_types: Iterable[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Bring the database to this version's schema. Safe to repeat, and to run from two places at once."""
    run(connection, "select pg_advisory_xact_lock(%(key)s)", key=_LOCK)
    connection.exec_driver_sql(SCHEMA_FILE.read_text().replace("%", "%%"), {})
    for name, description, schema in event_types:
        run(
            connection,
            "insert into event_types (name, description, schema)"
            " values (%(name)s, %(description)s, %(schema)s::jsonb) on conflict (name) do update"
            " set description = excluded.description, schema = excluded.schema"
            " where event_types.description <> excluded.description or event_types.schema <> excluded.schema",
            name=name,
            description=description,
            schema=json.dumps(schema),
        )


def ensure_log_partitions(connection: Connection) -> int:
    """Make the attempt log's partitions of the coming weeks. How many were new."""
    return int(run(connection, "select ensure_log_partitions()")[0][0])


def is_applied(connection: Connection) -> bool:
    """Whether the schema is there at all."""
    return bool(run(connection, "select to_regclass('integration_sync_logs') is not null")[0][0])

"""Applying `schema.sql` and the catalog of event types."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from db.engine import run

SCHEMA_FILE = Path(__file__).resolve().parent.parent / "schema.sql"
_LOCK = 0x6D657368  # "mesh": one application at a time
_LOCK_WAIT_MS = 500  # for a table: who comes after us stands behind us for so long
_TRIES = 20
_PAUSE_S = 1.0  # in which those who stood behind us go on
_LOCK_NOT_AVAILABLE = "55P03"


def apply(
    connection: Connection,
    event_types: Iterable[tuple[str, str, Mapping[str, Any]]],
    pause: Callable[[float], object] = time.sleep,
) -> None:
    """Bring the database to this version's schema. Safe to repeat, to run from two places at once, and under load.

    Raises OperationalError when a transaction holds a table for longer than 20 s; nothing is changed then.
    """
    run(connection, "select pg_advisory_xact_lock(%(key)s)", key=_LOCK)
    _apply_between_others(connection, pause)
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


def _apply_between_others(connection: Connection, pause: Callable[[float], object]) -> None:
    """Run the file; where a table is in use, let go of all locks and try again a little later."""
    text = SCHEMA_FILE.read_text().replace("%", "%%")
    for left in reversed(range(_TRIES)):
        try:
            with connection.begin_nested():
                run(connection, f"set local lock_timeout = {_LOCK_WAIT_MS}")
                connection.exec_driver_sql(text, {})
            return
        except OperationalError as error:
            if not left or getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
                raise
            pause(_PAUSE_S)


def ensure_log_partitions(connection: Connection) -> int:
    """Make the attempt log's partitions of the coming weeks. How many were new."""
    return int(run(connection, "select ensure_log_partitions()")[0][0])


def is_applied(connection: Connection) -> bool:
    """Whether the schema is there at all."""
    return bool(run(connection, "select to_regclass('integration_sync_logs') is not null")[0][0])

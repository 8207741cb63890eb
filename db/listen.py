"""Being woken by NOTIFY."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection

from db.engine import run


def wakeups(url: str, channel: str, *, timeout_s: Callable[[], float]) -> Iterator[bool]:
    """Yield True after notifications on a channel (many at once count as one), False after `timeout_s()` without.

    Raises psycopg2.Error when the connection fails; call again to go on.
    """
    connection = psycopg2.connect(url, connect_timeout=5, application_name="mesh-listener")
    try:
        connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(f'listen "{channel}"')
        while True:
            ready, _, _ = select.select([connection], [], [], timeout_s())
            if ready:
                connection.poll()
                connection.notifies.clear()
            yield bool(ready)
    finally:
        connection.close()


def listening(connection: Connection) -> int:
    """How many processes listen on this server now."""
    return int(
        run(
            connection,
            "select count(*) from pg_stat_activity"
            " where application_name = 'mesh-listener' and datname = current_database()",
        )[0][0]
    )

"""Being woken by NOTIFY."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection

from db.engine import run


def wakeups(url: str, channel: str, *, timeout_s: Callable[[], float]) -> Iterator[set[str]]:
    """Yield what notifications on a channel said, each word once; nothing after `timeout_s()` without any.

    Raises psycopg2.Error when the connection fails; call again to go on.
    """
    connection = psycopg2.connect(url, connect_timeout=5, application_name="mesh-listener")
    try:
        connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        with connection.cursor() as cursor:
            cursor.execute(f'listen "{channel}"')
        poll = select.poll()  # not select(): a busy worker has more than a thousand descriptors
        poll.register(connection.fileno(), select.POLLIN)
        while True:
            said: set[str] = set()
            if poll.poll(timeout_s() * 1000):
                connection.poll()
                said = {each.payload for each in connection.notifies}
                connection.notifies.clear()
            yield said
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

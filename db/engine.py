"""Connections to PostgreSQL."""

from __future__ import annotations

import re
import select
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
import psycopg2.extras
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import jsontext

psycopg2.extras.register_uuid()  # type: ignore[no-untyped-call]

# What a dead, restarting, read-only or full server raises: the same statement may succeed later.
AWAY = (OperationalError, InterfaceError, PoolTimeout)

# No statement of ours takes a second; these only end what went wrong.
_SESSION = "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=30000"

Rows = Sequence[Any]  # rows of named columns; SQLAlchemy cannot know their types


# The engine's statements find a few rows of tables that may be tiny or huge: a plan made while they were empty must
# not scan them once they are full, and one that fits all values need not be made for each.
_BY_INDEX = " -c enable_seqscan=off -c plan_cache_mode=force_generic_plan"


def connect(
    url: str,
    *,
    name: str,
    pool_size: int = 8,
    max_overflow: int = 8,
    by_index: bool = False,
    autocommit: bool = False,
) -> Engine:
    """An engine with a pool. `name` is what pg_stat_activity shows. Nothing connects before the first query.

    `by_index` is for the engine's own statements: they never scan a whole table where an index will do. `autocommit`
    is for transactions of one statement: it saves the round trips of BEGIN and COMMIT.
    """
    engine = create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://", 1),
        isolation_level="AUTOCOMMIT" if autocommit else "READ COMMITTED",
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_recycle=1800,
        pool_timeout=10,
        json_deserializer=jsontext.decoded,
        hide_parameters=True,  # an error's text reaches logs; what was posted to us does not
        connect_args={"connect_timeout": 5, "application_name": name, "options": _SESSION + _BY_INDEX * by_index},
    )
    event.listen(engine, "checkout", _refuse_dead)
    return engine


def _refuse_dead(connection: Any, _record: Any, _proxy: Any) -> None:
    """A server that ended or restarted has hung up on its idle connections: seen without asking it anything.

    SQLAlchemy's own ping costs a round trip for each transaction.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        raise InvalidatePoolError("the server closed the connection")


def run(connection: Connection, sql: str, **parameters: Any) -> Rows:
    """Execute one statement as written; its rows, or none."""
    result = connection.exec_driver_sql(sql, parameters or None)
    return result.fetchall() if result.returns_rows else ()


class Prepared:
    """A statement that each connection plans once. For the hot ones: planning costs more than running them.

    Written like any other, with `%(name)s::type` parameters; the type is needed wherever it cannot be inferred.
    """

    _PARAMETER = re.compile(r"%\((\w+)\)s((?:::\w+(?:\[\])?)?)")

    def __init__(self, name: str, sql: str) -> None:
        places: dict[str, str] = {}
        for parameter, cast in self._PARAMETER.findall(sql):
            places[parameter] = places.get(parameter) or cast
        order = list(places)
        self._key = f"prepared:{name}"
        self._prepare = f"prepare {name} as " + self._PARAMETER.sub(
            lambda found: f"${order.index(found[1]) + 1}{found[2]}", sql
        )
        self._execute = f"execute {name} (" + ", ".join(f"%({p})s{cast}" for p, cast in places.items()) + ")"

    def __call__(self, connection: Connection, **parameters: Any) -> Rows:
        """Execute; its rows, or none."""
        if self._key not in connection.info:
            connection.exec_driver_sql(self._prepare)
            connection.info[self._key] = True
        result = connection.exec_driver_sql(self._execute, parameters)
        return result.fetchall() if result.returns_rows else ()


def count(connection: Connection, sql: str, **parameters: Any) -> int:
    """Execute one statement and say how many rows it changed."""
    return int(connection.exec_driver_sql(sql, parameters or None).rowcount)


def columns(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> Mapping[str, list[Any]]:
    """Turn rows into one list per column: the parameters of `unnest`."""
    return {name: [row[index] for row in rows] for index, name in enumerate(names)}


_READ_ONLY = "25006"  # psycopg2 calls it an internal error: a server before its failover, or one that is full


def is_away(error: BaseException) -> bool:
    """Whether the server, not the statement, is at fault."""
    code = getattr(getattr(error, "orig", None), "pgcode", None) or ""
    if code == _READ_ONLY:
        return True
    if code.startswith("54"):  # a limit of the program (too deep, too many columns): the same the next time
        return False
    return isinstance(error, AWAY) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def is_bad_data(error: BaseException) -> bool:
    """Whether a value, not the server or the statement, is at fault: NUL, half a character, a time out of range."""
    if isinstance(error, DBAPIError):
        return (getattr(error.orig, "pgcode", None) or "").startswith("22")
    return isinstance(error, UnicodeEncodeError) or (isinstance(error, ValueError) and "NUL" in str(error))

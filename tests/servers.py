"""The real servers of the tests: a PostgreSQL and a Redis in `.mesh/test/`, shared by all sessions that run at once.

The data folder stays between runs, so initdb happens once. The last session that ends stops the servers. A session has
a database of its own, made from a template that holds the applied schema, and a prefix of its own on Redis.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg2
import redis

import db.schema
from cli.embedded import Postgres, Redis
from db.engine import connect
from worker import catalog

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".mesh" / "test"
TEMPLATE = "mesh_template"
_COMMENT = "select shobj_description(oid, 'pg_database') from pg_database where datname = %s"
_PREPARED = re.compile(r"mesh_test_(\d+)_\w+")  # holds the pid of its session


@dataclass(frozen=True)
class Servers:
    """Where a session's servers answer, and what is its own on them."""

    name: str
    postgres: Postgres
    database_url: str
    redis_url: str

    @property
    def key_prefix(self) -> str:
        """What this session's keys on Redis begin with."""
        return f"{self.name}:"

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Another database, without a schema, that goes at the end of the block."""
        name = f"{self.name}_{uuid4().hex[:8]}"
        try:
            yield self.postgres.url(name)
        finally:
            _drop(self.postgres, name)

    def forget_keys(self) -> None:
        """Delete this session's keys."""
        with closing(redis.Redis.from_url(self.redis_url)) as client:
            keys = list(client.scan_iter(match=f"{self.key_prefix}*", count=1000))
            if keys:
                client.delete(*keys)


@contextmanager
def running() -> Iterator[Servers]:
    """Servers for one session."""
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    users = os.open(HOME / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    postgres, redis_server = Postgres(HOME, durable=False), Redis(HOME, persist=False)
    try:
        fcntl.flock(users, fcntl.LOCK_SH)  # held for the whole session
        postgres.start()
        redis_server.start()
        name = f"mesh_test_{os.getpid()}_{uuid4().hex[:8]}"
        database_url = _prepared(postgres, name)
        servers = Servers(name, postgres, database_url, redis_server.url())
        try:
            yield servers
        finally:
            servers.forget_keys()
            _drop(postgres, name)
    finally:
        if _last(users):
            redis_server.stop()
            postgres.stop()
        os.close(users)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One session at a time in this block."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _last(users: int) -> bool:
    """Whether nobody else uses the servers; then nobody can begin to before our lock is closed."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _prepared(postgres: Postgres, name: str) -> str:
    """A database with the schema applied. The template is brought to today's schema by whoever comes first."""
    admin = postgres.url("postgres")
    with alone(HOME / "template.lock"):
        _drop_abandoned(postgres)
        stamp = _stamp()
        if _ask(admin, _COMMENT, TEMPLATE) != stamp:
            _drop(postgres, TEMPLATE)
            engine = connect(postgres.url(TEMPLATE), name="mesh-tests")
            with engine.begin() as connection:
                db.schema.apply(connection, catalog.rows())
            engine.dispose()
            _do(admin, f"comment on database {TEMPLATE} is '{stamp}'")
        _do(admin, f"create database {name} template {TEMPLATE}")
    return postgres.url(name)


def _stamp() -> str:
    """Changes when the schema or the catalog does, and each week: partitions are made for the weeks to come."""
    facts = f"{db.schema.SCHEMA_FILE.read_text()}{list(catalog.rows())}{datetime.now(UTC):%G-%V}"
    return hashlib.sha256(facts.encode()).hexdigest()


def _drop_abandoned(postgres: Postgres) -> None:
    """Databases of sessions that were killed."""
    for (name,) in _rows(postgres.url("postgres"), "select datname from pg_database"):
        prepared = _PREPARED.fullmatch(name)
        if prepared and not psutil.pid_exists(int(prepared[1])):
            _drop(postgres, name)


def _drop(postgres: Postgres, name: str) -> None:
    _do(postgres.url("postgres"), f"drop database if exists {name} with (force)")


def _do(url: str, statement: str) -> None:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def _rows(url: str, question: str, *parameters: Any) -> Sequence[Any]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(question, parameters or None)
        return cursor.fetchall()


def _ask(url: str, question: str, *parameters: Any) -> Any:
    rows = _rows(url, question, *parameters)
    return rows[0][0] if rows else None

"""The ground that chaos runs and measurements stand on: real servers, one sandbox, and a mesh for each run.

PostgreSQL, Redis and the sandbox start once and are kept; each run has a database of its own and an empty Redis. When
this process is killed, the guard of its stack ends them all.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg2
from sqlalchemy import Connection

import db.schema
import db.tenants
from cli.embedded import Postgres, Redis
from cli.stack import Plan, ProcessSpec, Stack, specs
from db.engine import connect
from providers.addresses import AddressPolicy
from providers.addresses import networks as parse_networks
from sandbox.control import Control
from settings import Settings
from worker import catalog, vault
from worker.subscriptions import Subscriptions

LOOPBACK = "127.0.0.0/8"
WORKERS = 2
EVENT_TYPE = "campaign.created"
START_S = 60.0  # for two workers to import everything and listen, on a busy machine
AWAY_S = 30.0  # how long a query waits for a PostgreSQL that restarts
AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError)


class Ground:
    """Servers and sandbox in a home of their own."""

    def __init__(self, home: Path, *, durable: bool, say: Callable[[str], None] = lambda line: None) -> None:
        self.home = home
        self._say = say
        self._port_file = home / "sandbox.port"
        self._stack = Stack(home, flower=False, sandbox=False, durable=durable, env=plain_environment(),
                            plan=self._only_sandbox, say=say)  # fmt: skip

    def __enter__(self) -> Self:
        self._stack.start()
        self._stack.wait_ready(START_S)
        self.sandbox_url = f"http://127.0.0.1:{self._port_file.read_text()}"
        self.control = Control(self.sandbox_url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.supervisor.hurry()
        self._stack.stop()

    @property
    def postgres(self) -> Postgres:
        """The server of all runs."""
        assert self._stack.postgres is not None, "the environment given to the stack names no server"
        return self._stack.postgres

    @property
    def redis(self) -> Redis:
        """The server of all runs."""
        assert self._stack.redis is not None, "the environment given to the stack names no server"
        return self._stack.redis

    @property
    def sandbox_pid(self) -> int | None:
        """The receiver's process."""
        return self._stack.supervisor.pid("sandbox")

    def _only_sandbox(self, plan: Plan) -> list[ProcessSpec]:
        """Port 0 and a port file: several runs on one machine never take each other's receiver for their own."""
        argv = [sys.executable, "-m", "sandbox", "--port", "0", "--port-file", str(self._port_file)]
        return [ProcessSpec("sandbox", argv, plan.env, ready=self._port_file.exists, restart=False)]

    def mesh(
        self,
        name: str,
        *,
        say: Callable[[str], None] | None = None,
        plan: Callable[[Plan], Sequence[ProcessSpec]] = specs,
        **settings: str,
    ) -> Stack:
        """A mesh with a fresh database, not started yet. `settings` are environment variables of its processes."""
        database_url = self.postgres.url(name)
        env = {
            **plain_environment(),
            "DATABASE_URL": database_url,
            "REDIS_URL": self.redis.url(),
            "MESH_PRIVATE_TARGETS": LOOPBACK,
            **settings,
        }
        return Stack(
            self.home / name,
            workers=WORKERS,
            flower=False,
            sandbox=False,
            env=env,
            prepare=apply_schema,
            worker_ready=lambda _worker: listeners(database_url) >= WORKERS,
            say=say or self._say,
            plan=lambda planned: list(plan(planned)),
        )


def plain_environment() -> dict[str, str]:
    """Our environment without any setting of the mesh: a run measures what it says, not what is exported here."""
    return {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}


def enter_environment(stack: Stack) -> None:
    """Make this process a producer of a mesh: `tasks.events` reads the settings at its first use."""
    os.environ.update({name.upper(): value for name, value in stack.settings.items()})


def apply_schema(database_url: str) -> None:
    """Schema and catalog into an empty database."""
    with_connection(database_url, lambda connection: db.schema.apply(connection, catalog.rows()))


def with_connection(database_url: str, work: Callable[[Connection], None]) -> None:
    """Do something in one transaction of its own."""
    engine = connect(database_url, name="bench", pool_size=1)
    try:
        with engine.begin() as connection:
            work(connection)
    finally:
        engine.dispose()


def subscribe(stack: Stack, tenant_id: str, url: str) -> None:
    """A tenant with one webhook at `url`."""
    keys = vault.parse(stack.settings["mesh_encryption_keys"])
    subscriptions = Subscriptions(keys, AddressPolicy(parse_networks([LOOPBACK])))

    def work(connection: Connection) -> None:
        db.tenants.create(connection, tenant_id, tenant_id)
        subscriptions.register(connection, tenant_id=tenant_id, event_type=EVENT_TYPE, url=url)

    with_connection(stack.settings["database_url"], work)


def listeners(database_url: str) -> int:
    """How many workers listen for notifications: the last thing a worker does when it starts."""
    rows = query(
        database_url,
        "select count(*) from pg_stat_activity"
        " where application_name = 'mesh-listener' and datname = current_database()",
    )
    return int(rows[0][0])


def query(database_url: str, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[tuple[Any, ...]]:
    """Rows of one statement, on a connection of its own; waits while PostgreSQL restarts."""
    deadline = time.monotonic() + AWAY_S
    while True:
        try:
            with (
                closing(psycopg2.connect(database_url, connect_timeout=5)) as connection,
                connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(sql, parameters)
                return cursor.fetchall()
        except psycopg2.Error as error:
            if not is_away(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def is_away(error: psycopg2.Error) -> bool:
    """Whether the connection, not the statement, is at fault: psycopg2 does not always call that operational."""
    return isinstance(error, AWAY) or (type(error) is psycopg2.DatabaseError and error.pgcode is None)

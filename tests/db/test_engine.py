"""Whose fault an error is: of the server, which may come back, or of the statement, which stays wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from db.engine import connect, is_away, run
from tests.servers import Servers


@pytest.fixture
def engine(servers: Servers) -> Iterator[Engine]:
    engine = connect(servers.database_url, name="mesh-tests", pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def ended_by_the_server(connection: Connection) -> None:
    run(connection, "select pg_terminate_backend(pg_backend_pid())")


def too_slow(connection: Connection) -> None:
    run(connection, "set local statement_timeout = 1")
    run(connection, "select pg_sleep(10)")


@pytest.mark.parametrize("wrong", [ended_by_the_server, too_slow])
def test_the_server(engine: Engine, wrong: Callable[[Connection], None]) -> None:
    with pytest.raises(SQLAlchemyError) as caught, engine.connect() as connection:
        wrong(connection)
    assert is_away(caught.value)


def test_no_server() -> None:
    engine = connect("postgresql://nobody@127.0.0.1:1/nothing", name="mesh-tests")
    with pytest.raises(SQLAlchemyError) as caught, engine.connect():
        pass
    assert is_away(caught.value)


def test_a_full_pool(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.pool, "_timeout", 0)
    with engine.connect(), pytest.raises(SQLAlchemyError) as caught, engine.connect():
        pass
    assert is_away(caught.value)


@pytest.mark.parametrize(
    "statement",
    [
        "selec",
        "select * from nothing",
        "select 1 / 0",
        "select '{'::jsonb",
        "select repeat('[', 100000)::jsonb",  # deeper than the server's stack: psycopg2 calls it operational
        "insert into tenants (id, name) values ('/', '')",
    ],
)
def test_the_statement(engine: Engine, statement: str) -> None:
    with pytest.raises(SQLAlchemyError) as caught, engine.begin() as connection:
        run(connection, statement)
    assert not is_away(caught.value)


def test_a_session_that_the_server_ended_is_replaced(engine: Engine) -> None:
    with engine.connect() as connection:
        pid = run(connection, "select pg_backend_pid()")[0][0]
    other = connect(str(engine.url.render_as_string(hide_password=False)).replace("+psycopg2", ""), name="mesh-tests")
    with other.begin() as connection:
        run(connection, "select pg_terminate_backend(%(pid)s, 5000)", pid=pid)
    other.dispose()
    with engine.connect() as connection:
        assert run(connection, "select 1")[0][0] == 1

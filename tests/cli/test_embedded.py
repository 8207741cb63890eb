"""The embedded servers, for real: what goes wrong with them on a user's machine, and that it does not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, text

from cli.embedded import EmbeddedError, Postgres, Redis, free_port

ROOT = Path(__file__).parents[2]
NO_RETRY = Retry(NoBackoff(), 0)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres(tmp_path_factory.mktemp("servers"), durable=False)
    server.start()
    yield server
    server.stop("immediate")


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("servers"))
    server.start()
    yield server
    server.kill()


def ask(url: str, question: str) -> Any:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(question)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def client(server: Redis) -> redis.Redis:
    return redis.Redis.from_url(server.url(), socket_timeout=5, retry=NO_RETRY)


def in_another_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.strip()


def test_a_missing_database_is_created_and_the_settings_hold(postgres: Postgres) -> None:
    url = postgres.url("fresh")
    assert postgres.url("fresh") == url
    assert ask(url, "select current_database()") == "fresh"
    settings = ("timezone", "jit", "listen_addresses", "fsync", "autovacuum_naptime")
    assert [ask(url, f"show {name}") for name in settings] == ["UTC", "off", "", "off", "10s"]


def test_sqlalchemy_takes_the_url(postgres: Postgres) -> None:
    engine = create_engine(postgres.url().replace("postgresql:", "postgresql+psycopg2:"))
    with engine.connect() as connection:
        assert connection.execute(text("select 1")).scalar() == 1
    engine.dispose()


def test_nobody_else_can_enter_the_folder_of_the_socket(postgres: Postgres) -> None:
    assert postgres.cluster.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_postgres_keeps_what_was_committed_over_a_restart(postgres: Postgres, mode: Any) -> None:
    ask(postgres.url(), f"create table kept_{mode} as select 7 as seven")
    before = postgres.pid
    postgres.restart(mode)
    assert postgres.pid != before
    assert ask(postgres.url(), f"select seven from kept_{mode}") == 7


def test_postgres_starts_after_its_server_was_killed(postgres: Postgres) -> None:
    assert postgres.pid is not None
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.start()
    assert ask(postgres.url(), "select 1") == 1


def test_a_pid_file_that_names_somebody_else_is_not_believed(postgres: Postgres) -> None:
    postgres.stop()
    (postgres.cluster / "postmaster.pid").write_text(f"{os.getpid()}\n{postgres.cluster}\n0\n5432\n/nowhere\n\n")
    assert postgres.pid is None
    postgres.start()
    assert postgres.pid not in (None, os.getpid())
    assert ask(postgres.url(), "select 1") == 1


def test_a_second_process_uses_the_running_servers_and_its_end_ends_nothing(
    postgres: Postgres, redis_server: Redis
) -> None:
    before = (postgres.pid, redis_server.pid)
    found = in_another_process(
        "from pathlib import Path; from cli.embedded import Postgres, Redis\n"
        f"p = Postgres(Path({str(postgres.data)!r}), durable=False); p.start()\n"
        f"r = Redis(Path({str(redis_server.data)!r})); r.start()\n"
        "print((p.pid, r.pid))"
    )
    assert found == str(before)
    assert (postgres.pid, redis_server.pid) == before
    assert ask(postgres.url(), "select 1") == 1


def test_two_clusters_run_at_once_also_below_a_long_path_with_odd_characters(
    postgres: Postgres, tmp_path: Path
) -> None:
    other = Postgres(tmp_path / ("a long, 'quoted' name " * 6), durable=False)
    with closing(socket.socket()) as taken:  # nothing of ours may need the usual port
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody has it already, which is as good
            taken.bind(("127.0.0.1", 5432))
        other.start()
    try:
        assert ask(other.url("theirs"), "select current_database()") == "theirs"
        assert ask(postgres.url(), "select count(*) from pg_database where datname = 'theirs'") == 0
    finally:
        other.stop("immediate")
    assert other.pid is None


def test_the_older_version_runs_beside_the_newer_in_the_same_folder(postgres: Postgres) -> None:
    older = Postgres(postgres.data, version=16, durable=False)
    older.start()
    try:
        assert ask(older.url(), "show server_version").startswith("16.")
        assert ask(postgres.url(), "show server_version").startswith("18.")
    finally:
        older.stop("immediate")


def test_a_start_that_fails_says_what_to_do_and_where_the_log_is(tmp_path: Path) -> None:
    server = Postgres(tmp_path, durable=False, max_connections=-1)
    with pytest.raises(EmbeddedError, match=r"see .*server\.log, or set DATABASE_URL") as caught:
        server.start()
    assert "\n" not in str(caught.value)


def test_an_unknown_version_and_a_stopped_server_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="no PostgreSQL 9 here"):
        Postgres(tmp_path, version=9).start()
    with pytest.raises(EmbeddedError, match="start it first"):
        Postgres(tmp_path).url()


def test_redis_keeps_its_data_port_and_password_over_a_restart(redis_server: Redis) -> None:
    url = redis_server.url()
    client(redis_server).set("kept", "1")
    redis_server.restart()
    assert redis_server.url() == url
    assert client(redis_server).get("kept") == b"1"


def test_redis_can_be_emptied_by_a_restart_or_a_flush(redis_server: Redis) -> None:
    client(redis_server).set("gone", "1")
    redis_server.restart(empty=True)
    assert client(redis_server).dbsize() == 0
    client(redis_server).set("gone", "1")
    redis_server.flushall()
    assert client(redis_server).dbsize() == 0


def test_redis_wants_its_password_and_hides_it(redis_server: Redis) -> None:
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=redis_server.port, retry=NO_RETRY).ping()
    assert redis_server.pid is not None
    password = redis_server.url().split(":")[2].split("@")[0]
    assert password not in " ".join(psutil.Process(redis_server.pid).cmdline())
    for name in ("password", "redis.conf"):
        assert (redis_server.folder / name).stat().st_mode & 0o077 == 0


def test_redis_never_evicts_and_writes_what_it_holds(redis_server: Redis) -> None:
    wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "everysec", "save": ""}
    found = [client(redis_server).config_get(name) for name in wanted]
    assert found == [{name: value} for name, value in wanted.items()]


def test_redis_takes_another_port_when_its_own_was_taken(redis_server: Redis) -> None:
    before = redis_server.port
    redis_server.kill()
    with closing(socket.socket()) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", before))
        taken.listen()
        redis_server.start()
        assert redis_server.port != before
        assert client(redis_server).ping()


def test_redis_that_hangs_answers_again_afterwards(redis_server: Redis) -> None:
    connected = client(redis_server)
    connected.ping()
    began = time.monotonic()
    redis_server.pause(0.2)
    assert connected.ping()
    assert time.monotonic() - began >= 0.2


def test_a_frozen_leftover_redis_is_replaced(redis_server: Redis) -> None:
    frozen = redis_server.pid
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    fresh = Redis(redis_server.data)
    fresh.start()
    try:
        assert fresh.pid not in (None, frozen)
        assert client(fresh).ping()
    finally:
        fresh.stop()
        redis_server.start()


def test_stopping_twice_is_nothing(tmp_path: Path) -> None:
    for server in (Postgres(tmp_path), Redis(tmp_path)):
        server.stop()
        assert server.pid is None


def test_a_free_port_is_the_preferred_one_unless_it_is_taken() -> None:
    preferred = free_port()
    assert free_port(preferred) == preferred
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", preferred))
        taken.listen()
        assert free_port(preferred) != preferred

"""Faults of the servers: wiped, killed, frozen, cut off, full."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import psutil
import psycopg2
import redis

from bench.target import Effect, Target

EXHAUST_ROUNDS = 3  # who is cut off connects again at once: take what it had, and cut off who came in between
HOT_TABLES = ("events", "deliveries", "integration_sync_logs")

CUT_OFF = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where backend_type = 'client backend' and datname = current_database() and pid <> all(%s)"
)
NO_SPACE = """
create or replace function chaos_disk_full() returns trigger language plpgsql as $$
begin
    raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
end $$
"""


def redis_flushed(target: Target, _seconds: float) -> Effect:
    """FLUSHALL."""
    target.ground.redis.flushall()
    return Effect()


def redis_back_empty(target: Target, _seconds: float) -> Effect:
    """Redis is killed and starts with nothing."""
    target.ground.redis.kill()
    target.ground.redis.restart(empty=True)
    return Effect()


def redis_back(target: Target, _seconds: float) -> Effect:
    """Redis is killed and starts with what its append-only file holds."""
    target.ground.redis.kill()
    target.ground.redis.start()
    return Effect()


def redis_unreachable(target: Target, seconds: float) -> Effect:
    """Connections to Redis are refused for a while."""
    target.ground.redis.kill()
    try:
        time.sleep(seconds)
    finally:
        target.ground.redis.start()
    return Effect()


def redis_paused(target: Target, seconds: float) -> Effect:
    """Redis takes connections and answers nothing."""
    target.ground.redis.pause(seconds)
    return Effect()


def redis_clients_killed(target: Target, _seconds: float) -> Effect:
    """CLIENT KILL of every connection."""
    with redis.Redis.from_url(target.ground.redis.url(), socket_timeout=5) as client:
        for kind in ("normal", "pubsub"):
            client.execute_command("CLIENT", "KILL", "TYPE", kind)
    return Effect()


def postgres_restarted(target: Target, _seconds: float) -> Effect:
    """A fast shutdown, and a start."""
    target.ground.postgres.restart("fast")
    return Effect()


def postgres_crashed(target: Target, _seconds: float) -> Effect:
    """An immediate shutdown; the start recovers as after a crash."""
    target.ground.postgres.restart("immediate")
    return Effect()


def postgres_away(target: Target, seconds: float) -> Effect:
    """PostgreSQL is down for a while."""
    target.ground.postgres.stop("fast")
    try:
        time.sleep(seconds)
    finally:
        target.ground.postgres.start()
    return Effect()


def postgres_paused(target: Target, seconds: float) -> Effect:
    """The server and all its backends are frozen: connections stay open, nothing answers."""
    pid = target.ground.postgres.pid
    assert pid is not None
    server = psutil.Process(pid)
    with ExitStack() as frozen:
        for process in (server, *server.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.suspend()
                frozen.callback(_go_on, process)
        time.sleep(seconds)
    return Effect()


def _go_on(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.resume()


def postgres_cut_off(target: Target, _seconds: float) -> Effect:
    """Every backend is terminated."""
    with psycopg2.connect(target.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(CUT_OFF, ([connection.info.backend_pid],))
    connection.close()
    return Effect()


def postgres_exhausted(target: Target, seconds: float) -> Effect:
    """Somebody takes every connection there is, those of the mesh too."""
    taken: list[Any] = []
    try:
        for _ in range(EXHAUST_ROUNDS):
            _take_all(target.database_url, taken)
            with taken[0].cursor() as cursor:
                cursor.execute(CUT_OFF, ([each.info.backend_pid for each in taken],))
            taken[0].commit()
        _take_all(target.database_url, taken)
        time.sleep(seconds)
    finally:
        for connection in taken:
            connection.close()
    return Effect()


def _take_all(database_url: str, taken: list[Any]) -> None:
    with suppress(psycopg2.OperationalError):
        while True:
            taken.append(psycopg2.connect(database_url, application_name="chaos", connect_timeout=5))


def _lasting(begin: Callable[[Target], None], end: Callable[[Target], None]) -> Callable[[Target, float], Effect]:
    @contextmanager
    def during(target: Target) -> Iterator[None]:
        begin(target)
        try:
            yield
        finally:
            end(target)

    def strike(target: Target, seconds: float) -> Effect:
        with during(target):
            time.sleep(seconds)
        return Effect()

    return strike


def _fill_disk(target: Target) -> None:
    create = "create or replace trigger chaos_disk_full before insert or update on {} for each statement"
    triggers = (f"{create.format(table)} execute function chaos_disk_full()" for table in HOT_TABLES)
    target.execute(NO_SPACE, *triggers)


def _free_disk(target: Target) -> None:
    target.execute("drop function chaos_disk_full() cascade")


def _forbid_writes(target: Target) -> None:
    target.execute("alter system set default_transaction_read_only = on", "select pg_reload_conf()")


def _allow_writes(target: Target) -> None:
    target.execute("alter system reset default_transaction_read_only", "select pg_reload_conf()")


disk_full = _lasting(_fill_disk, _free_disk)  # writes fail with 53100, raised inside the server
read_only = _lasting(_forbid_writes, _allow_writes)  # writes fail with 25006, as after a failover

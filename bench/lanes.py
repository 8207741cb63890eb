"""The mesh and its peers, started one after another on the same ground."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
import psycopg2

from bench.ground import START_S, Ground, plain_environment, subscribe
from bench.peers.job import TABLE, Place
from bench.throughput import Lane
from cli.processes import ProcessSpec, Supervisor
from cli.stack import Stack
from providers.signatures import new_secret

PATH = "/receive/bench"
DOORS = (("mesh, lists", "lists"), ("mesh, one by one", "one by one"), ("mesh, SQL door", "sql"))
PROCESSES = 2  # of each peer, as of the mesh
CELERY_SHARE = 3  # plain Celery gets a third of the events: its rate needs no more to be steady

MESH_ROWS = (
    "select count(*) from integration_sync_logs l join deliveries d on d.id = l.delivery_id"
    " where l.tenant_id = %(tenant)s and l.state = 'succeeded' and d.state = 'succeeded'"
)
PEER_ROWS = "select count(*) from bench_rows where tenant_id = %(tenant)s and state = 'succeeded'"


def mesh_lanes(ground: Ground, stack: Stack, events: int) -> list[Lane]:
    """A running mesh by its three doors."""
    workers = [name for name in stack.supervisor.pids() if name.startswith("worker")]

    def pids() -> Sequence[int]:
        return [pid for name in workers if (pid := stack.supervisor.pid(name)) is not None]

    def prepare(tenant_id: str, path: str) -> None:
        subscribe(stack, tenant_id, ground.sandbox_url + path)

    env = {**plain_environment(), **{name.upper(): value for name, value in stack.settings.items()}}
    url = stack.settings["database_url"]
    return [Lane(name, kind, events, PATH, env, url, MESH_ROWS, pids, prepare) for name, kind in DOORS]


@contextmanager
def celery_lane(ground: Ground, events: int) -> Iterator[Lane]:
    """Plain Celery, prefork."""
    options = ["--pool", "prefork", "--concurrency", str(PROCESSES), "-n", "plain@%h", "-l", "ERROR"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    argv = [sys.executable, "-m", "celery", "-A", "bench.peers.celery_plain", "worker", *options, *quiet]
    with _peer(ground, "celery", [argv], _has_children) as lane:
        yield lane("plain Celery", max(1, events // CELERY_SHARE))


@contextmanager
def loop_lane(ground: Ground, events: int) -> Iterator[Lane]:
    """The loop written by hand."""
    argv = [sys.executable, "-m", "bench.peers.loop"]
    with _peer(ground, "loop", [argv] * PROCESSES, lambda pid: True) as lane:
        yield lane("hand-written loop", events)


@contextmanager
def _peer(
    ground: Ground, kind: str, commands: Sequence[Sequence[str]], ready: Callable[[int], bool]
) -> Iterator[Callable[[str, int], Lane]]:
    """A peer's processes, running; given a name and a number of events, its lane."""
    database_url = ground.postgres.url("peers")
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
    connection.close()
    place = Place(database_url, ground.redis.url(), f"{ground.sandbox_url}{PATH}/", new_secret())
    env = {**plain_environment(), **place.environment(), "DATABASE_URL": database_url, "REDIS_URL": place.redis_url}
    supervisor = Supervisor(ground.home / kind, say=lambda line: None)
    names = [f"{kind}-{number}" for number in range(1, len(commands) + 1)]

    def pids() -> Sequence[int]:
        return [pid for name in names if (pid := supervisor.pid(name)) is not None]

    def spec(name: str, argv: Sequence[str]) -> ProcessSpec:
        return ProcessSpec(name, argv, env, ready=lambda: ready(supervisor.pid(name) or os.getpid()))

    def lane(title: str, events: int) -> Lane:
        return Lane(title, kind, events, PATH, env, database_url, PEER_ROWS, pids, lambda tenant_id, path: None)

    try:
        supervisor.start(spec(name, argv) for name, argv in zip(names, commands, strict=True))
        supervisor.wait_ready(START_S)
        yield lane
    finally:
        supervisor.hurry()
        supervisor.close()


def _has_children(pid: int) -> bool:
    """Whether a prefork worker has forked its processes."""
    return len(psutil.Process(pid).children()) >= PROCESSES

"""The mesh and its peers, started one after another on the same ground."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg2

from bench.ground import START_S, Ground, plain_environment, query, subscribe
from bench.peers.job import TABLE, Place
from bench.publisher import Publisher
from bench.throughput import Lane
from cli.processes import ProcessSpec, Supervisor
from cli.stack import Stack
from providers.signatures import new_secret

PATH = "/receive/bench"
SHARE = 3  # what takes a message for each event gets a third of the events: its rate needs no more to be steady
DOORS = (("mesh, lists", "lists", 1), ("mesh, one by one", "one by one", SHARE), ("mesh, SQL door", "sql", 1))
PROCESSES = 2  # of each peer, as of the mesh

MESH_ROWS = (
    "select count(*) from integration_sync_logs l join deliveries d on d.id = l.delivery_id"
    " where l.tenant_id = %(tenant)s and l.state = 'succeeded' and d.state = 'succeeded'"
)
CONNECTED = "select count(*) from pg_stat_activity where application_name = %(name)s"
PEER_ROWS = "select count(*) from bench_rows where tenant_id = %(tenant)s and state = 'succeeded'"


@contextmanager
def mesh_lanes(ground: Ground, stack: Stack, events: int) -> Iterator[list[Lane]]:
    """A running mesh by its three doors."""
    workers = [name for name in stack.supervisor.pids() if name.startswith("worker")]

    def pids() -> Sequence[int]:
        return [pid for name in workers if (pid := stack.supervisor.pid(name)) is not None]

    def prepare(tenant_id: str, path: str) -> None:
        subscribe(stack, tenant_id, ground.sandbox_url + path)

    env = {**plain_environment(), **{name.upper(): value for name, value in stack.settings.items()}}
    url = stack.settings["database_url"]
    with Publisher(env) as publisher:
        yield [
            Lane(name, kind, max(1, events // share), PATH, publisher, url, MESH_ROWS, pids, prepare)
            for name, kind, share in DOORS
        ]


@contextmanager
def celery_lane(ground: Ground, events: int) -> Iterator[Lane]:
    """Plain Celery, prefork."""
    options = ["--pool", "prefork", "--concurrency", str(PROCESSES), "-n", "plain@%h", "-l", "ERROR"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    argv = [sys.executable, "-m", "celery", "-A", "bench.peers.celery_plain", "worker", *options, *quiet]
    with _peer(ground, "celery", [argv]) as lane:
        yield lane("plain Celery", max(1, events // SHARE))


@contextmanager
def loop_lane(ground: Ground, events: int) -> Iterator[Lane]:
    """The loop written by hand."""
    argv = [sys.executable, "-m", "bench.peers.loop"]
    with _peer(ground, "loop", [argv] * PROCESSES) as lane:
        yield lane("hand-written loop", events)


@contextmanager
def _peer(ground: Ground, kind: str, commands: Sequence[Sequence[str]]) -> Iterator[Callable[[str, int], Lane]]:
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

    def ready() -> bool:
        return int(query(database_url, CONNECTED, {"name": kind})[0][0]) >= PROCESSES

    try:
        supervisor.start(ProcessSpec(name, argv, env, ready=ready) for name, argv in zip(names, commands, strict=True))
        with Publisher(env) as publisher:
            supervisor.wait_ready(START_S)
            yield lambda title, events: Lane(
                title, kind, events, PATH, publisher, database_url, PEER_ROWS, pids, lambda tenant_id, path: None
            )
    finally:
        supervisor.hurry()
        supervisor.close()

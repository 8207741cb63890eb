"""The mesh and its peers, all started on the same ground; each is frozen but while it is measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg2

from bench.ground import START_S, Ground, enter_environment, plain_environment, query, subscribe
from bench.lane import Lane, Role, freeze, thaw
from bench.meter import Pids
from bench.peers.job import TABLE, Place
from bench.publisher import Publisher
from cli.processes import ProcessSpec, Supervisor
from cli.stack import Stack
from providers.signatures import new_secret

PATH = "/receive/bench"
PROCESSES = 2  # of each peer, as of the mesh
SLOWER = 3  # who takes a message for each event gets a third of the events: its rate needs no more to be steady

MESH_ROWS = (
    "select count(*) from integration_sync_logs l join deliveries d on d.id = l.delivery_id"
    " where l.tenant_id = %(tenant)s and l.state = 'succeeded' and d.state = 'succeeded'"
)
CONNECTED = "select count(*) from pg_stat_activity where application_name = %(name)s"
PEER_ROWS = "select count(*) from bench_rows where tenant_id = %(tenant)s and state = 'succeeded'"


@dataclass(frozen=True, slots=True)
class Door:
    """A way to publish to the mesh."""

    name: str
    kind: str
    share: int  # its runs have that part of the events


@dataclass(frozen=True, slots=True)
class Peer:
    """Another way to do the job: a module of `bench.peers`, and what runs it."""

    name: str
    kind: str  # its module
    application: str  # its name at PostgreSQL
    connections: int  # it is ready when it has so many to PostgreSQL
    command: str  # a module and its arguments
    started: int = 1  # how often: most start their processes themselves
    share: int = SLOWER
    role: Role = Role.PEER


DOORS = (
    Door("mesh, lists", "lists", 1),
    Door("mesh, one by one", "one by one", SLOWER),
    Door("mesh, SQL door", "sql", 1),
)
MESH_NAMES: Mapping[str, str] = {door.kind: door.name for door in DOORS}

PEERS = (
    Peer(
        "plain Celery", "celery_plain", "celery", PROCESSES,
        f"celery -A bench.peers.celery_plain worker --pool prefork --concurrency {PROCESSES} -n plain@%h -l ERROR"
        " --without-gossip --without-mingle --without-heartbeat",
    ),
    Peer(
        "dramatiq", "dramatiq_threads", "dramatiq", PROCESSES * 16,
        f"dramatiq --processes {PROCESSES} --threads 16 bench.peers.dramatiq_threads",
    ),
    Peer(
        "taskiq", "taskiq_async", "taskiq", PROCESSES,
        f"taskiq worker --workers {PROCESSES} --max-async-tasks 100 --ack-type when_executed --no-parse"
        " --log-level ERROR bench.peers.taskiq_async:broker",
    ),
    Peer("saq", "saq_async", "saq", PROCESSES, "bench.peers.saq_async 16", started=PROCESSES),
    Peer(
        "hand-written loop", "loop", "loop", PROCESSES, "bench.peers.loop", started=PROCESSES, share=1, role=Role.LIMIT
    ),
)  # fmt: skip


@contextmanager
def lanes(ground: Ground, events: int) -> Iterator[list[Lane]]:
    """Every way to do the job, ready and frozen."""
    with ExitStack() as running:
        stack = running.enter_context(mesh(ground, "mesh"))
        found = running.enter_context(mesh_lanes(ground, stack, events))
        for lane in found:
            freeze(lane.processes)
        found += running.enter_context(peer_lanes(ground, PEERS, events))
        yield found


@contextmanager
def mesh(ground: Ground, name: str, **settings: Any) -> Iterator[Stack]:
    """A mesh that runs, and this process as one of its producers."""
    with ground.mesh(name, **settings) as stack:
        try:
            stack.wait_ready(START_S)
            enter_environment(stack)
            yield stack
        finally:
            stack.supervisor.hurry()


@contextmanager
def mesh_lanes(ground: Ground, stack: Stack, events: int) -> Iterator[list[Lane]]:
    """A running mesh by its doors."""

    def prepare(tenant_id: str, path: str) -> None:
        subscribe(stack, tenant_id, ground.sandbox_url + path)

    env = {**plain_environment(), **{name.upper(): value for name, value in stack.settings.items()}}
    url = stack.settings["database_url"]
    pids = _pids_of(stack.supervisor, list(stack.supervisor.pids()))
    with Publisher(env) as publisher:
        yield [
            Lane(door.name, Role.MESH, door.kind, max(1, events // door.share), PATH, publisher, url, MESH_ROWS, pids,
                 prepare)
            for door in DOORS
        ]  # fmt: skip


@contextmanager
def peer_lanes(ground: Ground, peers: Sequence[Peer], events: int) -> Iterator[list[Lane]]:
    """Peers, ready and frozen."""
    database_url = ground.postgres.url("peers")
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
    connection.close()
    place = Place(database_url, ground.redis.url(), f"{ground.sandbox_url}{PATH}/", new_secret())
    env = {**plain_environment(), **place.environment(), "DATABASE_URL": database_url, "REDIS_URL": place.redis_url}
    supervisor = Supervisor(ground.home / "peers", say=lambda line: None)
    with ExitStack() as running:
        running.callback(supervisor.close)
        running.callback(supervisor.hurry)
        yield [_peer(running, supervisor, peer, env, events) for peer in peers]


def _peer(running: ExitStack, supervisor: Supervisor, peer: Peer, env: Mapping[str, str], events: int) -> Lane:
    """Start a peer and its publisher; freeze it when it is ready."""
    database_url = env["DATABASE_URL"]
    names = [f"{peer.kind}-{number}" for number in range(1, peer.started + 1)]
    argv = [sys.executable, "-m", *peer.command.split()]

    def ready() -> bool:
        return int(query(database_url, CONNECTED, {"name": peer.application})[0][0]) >= peer.connections

    supervisor.start(ProcessSpec(name, argv, env, restart=False, ready=ready) for name in names)
    publisher = running.enter_context(Publisher(env))
    supervisor.wait_ready(START_S)
    pids = _pids_of(supervisor, names)
    freeze(pids)
    running.callback(thaw, pids)
    return Lane(
        peer.name, peer.role, peer.kind, max(1, events // peer.share), PATH, publisher, database_url,
        PEER_ROWS, pids, lambda tenant_id, path: None,
    )  # fmt: skip


def _pids_of(supervisor: Supervisor, names: Sequence[str]) -> Pids:
    """The process ids of these, as far as they run."""
    return partial(_running, supervisor, names)


def _running(supervisor: Supervisor, names: Sequence[str]) -> Sequence[int]:
    return [pid for name in names if (pid := supervisor.pid(name)) is not None]

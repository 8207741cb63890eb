"""The publisher of measurements, in a process of its own: `python -m bench.publisher`.

It reads jobs, a line of JSON each, says "ready" once what that job needs is imported and connected, publishes when it
reads a line more, and then says in JSON when it began and ended and what it cost. DATABASE_URL and REDIS_URL come from
the environment, as for any producer; a peer's producer finds its place there too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib import import_module
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from bench.ground import EVENT_TYPE
from bench.part import NotMeasured
from bench.producers import SqlDoor, data, over_redis
from settings import current

LIST = 1000  # events handed to publish_many at once; it sends messages of 50
TRANSACTION = 50  # events in one transaction of the SQL door

Publish = Callable[[str, Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Published:
    """What a publisher says at the end; times in unix seconds."""

    first_at: float
    last_at: float
    cpu_s: float


def in_lists(tenant_id: str, keys: Sequence[str]) -> None:
    """`publish_many` over Redis."""
    for start in range(0, len(keys), LIST):
        over_redis(tenant_id, keys[start : start + LIST])


def one_by_one(tenant_id: str, keys: Sequence[str]) -> None:
    """`publish` over Redis, a message for each event."""
    for key in keys:
        over_redis(tenant_id, [key])


def in_transactions(tenant_id: str, keys: Sequence[str]) -> None:
    """SQL `publish_event`, 50 in a transaction."""
    door = SqlDoor(current().database_url, tenant_id)
    for start in range(0, len(keys), TRANSACTION):
        door.send(keys[start : start + TRANSACTION])
    door.close()


def to_peer(publish: Callable[[Sequence[Any]], None], tenant_id: str, keys: Sequence[str]) -> None:
    """A peer's own way; see its module."""
    publish([event(tenant_id, key) for key in keys])


def event(tenant_id: str, key: str) -> Mapping[str, Any]:
    """An event as the peers take it."""
    moment = datetime.now(UTC).isoformat()
    return {"id": str(uuid4()), "type": EVENT_TYPE, "tenant_id": tenant_id, "occurred_at": moment, "data": data(key)}


DOORS: Mapping[str, Publish] = {"lists": in_lists, "one by one": one_by_one, "sql": in_transactions}


def main() -> None:
    """Job after job, until the input ends."""
    for line in sys.stdin:
        job = json.loads(line)
        publish = ready(job["kind"])
        keys = [f"{job['tenant_id']}-{number}" for number in range(job["events"])]
        print("ready", flush=True)
        sys.stdin.readline()
        began, cpu = time.time(), time.process_time()
        publish(job["tenant_id"], keys)
        said = {"first_at": began, "last_at": time.time(), "cpu_s": time.process_time() - cpu}
        print(json.dumps(said), flush=True)


@cache
def ready(kind: str) -> Publish:
    """The way to publish, imported and connected: a producer is a running program, not one that starts.

    The kind is a door of the mesh, or a peer's module.
    """
    if kind not in DOORS:
        peer = import_module(f"bench.peers.{kind}")
        peer.connect()
        return partial(to_peer, peer.publish)
    if kind != "sql":
        _connect()
    return DOORS[kind]


def _connect() -> None:
    from worker.app import app
    from worker.catalog import event_types

    event_types()
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=3)


class Publisher:
    """A publisher's process, from the outside."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.publisher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(env),
            text=True,
        )

    def prepare(self, kind: str, tenant_id: str, events: int) -> None:
        """Return once it is ready for this job."""
        self._say(json.dumps({"kind": kind, "tenant_id": tenant_id, "events": events}))
        self._hear()

    def go(self) -> None:
        """Begin."""
        self._say("go")

    def wait(self) -> Published:
        """What it says at the end of the job."""
        return Published(**json.loads(self._hear()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise NotMeasured("The publisher has ended; what it said stands above.")
        return line


if __name__ == "__main__":
    main()

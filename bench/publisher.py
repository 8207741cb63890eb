"""The publisher of a measurement, in a process of its own: `python -m bench.publisher KIND TENANT EVENTS`.

It says "ready" once everything is imported and connected, publishes when it reads a line, and then says in JSON when it
began and ended and what it cost. DATABASE_URL and REDIS_URL come from the environment, as for any producer.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import redis

from bench.ground import EVENT_TYPE
from bench.producers import SqlDoor, data, over_redis
from settings import current

LIST = 1000  # events handed to publish_many at once; it sends messages of 50
TRANSACTION = 50  # events in one transaction of the SQL door
PIPELINE = 500  # events of the loop's producer in one round trip

Publish = Callable[[str, Sequence[str]], None]
READY_S = 30.0


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


def to_plain_celery(tenant_id: str, keys: Sequence[str]) -> None:
    """`delay` of the plain task, one by one."""
    from bench.peers.celery_plain import deliver

    for key in keys:
        deliver.delay(event(tenant_id, key))


def to_the_loop(tenant_id: str, keys: Sequence[str]) -> None:
    """JSON pushed in pipelines."""
    client = redis.Redis.from_url(current().redis_url)
    for start in range(0, len(keys), PIPELINE):
        client.rpush("bench", *(json.dumps(event(tenant_id, key)) for key in keys[start : start + PIPELINE]))


def event(tenant_id: str, key: str) -> Mapping[str, Any]:
    """An event as the peers take it."""
    moment = datetime.now(UTC).isoformat()
    return {"id": str(uuid4()), "type": EVENT_TYPE, "tenant_id": tenant_id, "occurred_at": moment, "data": data(key)}


KINDS: Mapping[str, Publish] = {
    "lists": in_lists,
    "one by one": one_by_one,
    "sql": in_transactions,
    "celery": to_plain_celery,
    "loop": to_the_loop,
}


def main(kind: str, tenant_id: str, events: int) -> None:
    """Prepare, wait for the word, publish, report."""
    _warm_up(kind)
    keys = [f"{tenant_id}-{number}" for number in range(events)]
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu = time.time(), time.process_time()
    KINDS[kind](tenant_id, keys)
    print(json.dumps({"first_at": began, "last_at": time.time(), "cpu_s": time.process_time() - cpu}), flush=True)


def _warm_up(kind: str) -> None:
    """Import what the kind needs: a producer is a running program, not one that starts."""
    if kind in ("lists", "one by one"):
        from worker.app import app
        from worker.catalog import event_types

        event_types()
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=3)
    elif kind == "celery":
        import bench.peers.celery_plain  # noqa: F401


class Publisher:
    """A publisher's process, from the outside."""

    def __init__(self, kind: str, tenant_id: str, events: int, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.publisher", kind, tenant_id, str(events)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(env),
            text=True,
        )
        if self._line() != "ready":
            raise RuntimeError("the publisher did not become ready; what it said stands above")

    def go(self) -> None:
        """Begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def wait(self) -> Published:
        """What it says at its end."""
        said = self._line()
        self._process.communicate()
        if not said:
            raise RuntimeError("the publisher ended early; what it said stands above")
        return Published(**json.loads(said))

    def end(self) -> None:
        """Whatever it does."""
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

"""A loop written by hand, as the limit: bulk pops, one kept connection, COPY. What it holds is lost when it dies."""

from __future__ import annotations

import io
import json
import signal
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import redis

from bench.peers.job import COLUMNS, QUEUE, Place, place, row, signed

KEY = f"{QUEUE}-loop"
BATCH = 100
PIPELINE = 500  # events that a publisher sends in one round trip
IDLE_S = 0.002


def main() -> None:
    """Work until SIGTERM."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    here = place()
    target = urlsplit(here.target_url)
    queue = redis.Redis.from_url(here.redis_url)
    http = HTTPConnection(target.hostname or "", target.port)
    connection = psycopg2.connect(here.database_url, application_name="loop")
    while not stopped.is_set():
        batch: Any = queue.lpop(KEY, BATCH)
        if not batch:
            time.sleep(IDLE_S)
            continue
        _store(connection, [_deliver(http, target.path, json.loads(raw), here) for raw in batch])


def _deliver(http: HTTPConnection, path: str, event: dict[str, Any], here: Place) -> str:
    """One POST; its row as COPY takes it."""
    body, headers = signed(event, here.secret)
    started_at = datetime.now(UTC)
    http.request("POST", path + event["tenant_id"], body, headers)
    answer = http.getresponse()
    answer.read()
    return "\t".join(map(str, row(event, answer.status, started_at))) + "\n"


def _store(connection: Any, rows: list[str]) -> None:
    with connection, connection.cursor() as cursor:
        cursor.copy_from(io.StringIO("".join(rows)), "bench_rows", columns=COLUMNS)


def publish(events: Sequence[Any]) -> None:
    """JSON pushed in pipelines."""
    client = redis.Redis.from_url(place().redis_url)
    for start in range(0, len(events), PIPELINE):
        client.rpush(KEY, *map(json.dumps, events[start : start + PIPELINE]))


def connect() -> None:
    """Nothing to make ready."""


if __name__ == "__main__":
    main()

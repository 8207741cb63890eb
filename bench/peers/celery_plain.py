"""Plain Celery: a prefork worker whose task posts with a requests.Session and inserts one row with psycopg2.

The best settings found for it: early acknowledgement, deep prefetch, no results, no events, quiet logging, one session
and one connection per process.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import psycopg2
import requests
from celery import Celery
from celery.signals import worker_process_init

from bench.peers.job import COLUMNS, QUEUE, place, signed

INSERT = f"insert into bench_rows ({', '.join(COLUMNS)}) values ({', '.join(['%s'] * len(COLUMNS))})"

PLACE = place()
app = Celery("plain", broker=PLACE.redis_url)
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=64,
    worker_disable_rate_limits=True,
    worker_send_task_events=False,
    accept_content=["json"],
    broker_transport_options={"priority_steps": [0], "body_encoding": "utf-8"},
)


class _Child:
    """What one process keeps open."""

    session: requests.Session
    connection: Any


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _open(**_: Any) -> None:
    _Child.session = requests.Session()
    _Child.session.trust_env = False
    _Child.connection = psycopg2.connect(PLACE.database_url, application_name="celery")
    _Child.connection.autocommit = True


@app.task(name="plain.deliver")  # type: ignore[untyped-decorator]
def deliver(event: dict[str, Any]) -> None:
    """The whole job."""
    body, headers = signed(event, PLACE.secret)
    started_at = datetime.now(UTC)
    url = PLACE.target_url + event["tenant_id"]
    answer = _Child.session.post(url, data=body, headers=headers, timeout=30, allow_redirects=False)
    duration_ms = int((datetime.now(UTC) - started_at).total_seconds() * 1000)
    state = "succeeded" if answer.ok else "failed"
    row = (event["id"], event["tenant_id"], event["type"], state, answer.status_code, duration_ms, started_at,
           str(os.getpid()))  # fmt: skip
    with _Child.connection.cursor() as cursor:
        cursor.execute(INSERT, row)

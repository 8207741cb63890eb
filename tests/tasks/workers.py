"""Real workers as processes, and a producer that knows nothing of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from sandbox.process import Sandbox
from tests.conftest import KEYS
from tests.mesh import eventually
from tests.servers import ROOT, Servers

START_S = 30


class Worker:
    """One worker process and what it logged."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """Everything it said so far."""
        return self._log.read_text(errors="replace")

    def send(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(START_S)


def environment(servers: Servers, sandbox: Sandbox, home: Path, **more: str) -> dict[str, str]:
    """The whole environment of a worker: nothing of whoever runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "MESH_HOME": str(home),
        "MESH_KEY_PREFIX": servers.key_prefix,
        "MESH_ENCRYPTION_KEYS": KEYS,
        "MESH_PRIVATE_TARGETS": "127.0.0.0/8",
        "MESH_WORKER_THREADS": "4",
        "MESH_CALLS_IN_FLIGHT": "32",
        "MESH_CALL_DEADLINE_S": "10",
        "MESH_LOG_LEVEL": "INFO",
        "ELEVENLABS_BASE_URL": sandbox.url,
        **more,
    }


@contextmanager
def running_worker(
    servers: Servers, sandbox: Sandbox, home: Path, *, app: str = "worker.app", **more: str
) -> Iterator[Worker]:
    """A worker of all queues, ready; killed at the end of the block when it still runs."""
    log = home / "worker.log"
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "--pool", "threads", "--concurrency", "4"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle", "--hostname", f"{home.name}@test"],
            cwd=home,  # where no .env is
            env=environment(servers, sandbox, home, **more),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    worker = Worker(process, log)
    try:
        eventually(
            lambda: " ready." in worker.log or process.poll() is not None, "the worker is ready", seconds=START_S
        )
        assert process.poll() is None, worker.log
        yield worker
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Shop:
    """A producer: a plain Celery application that has nothing but the broker's address, as the documentation says."""

    def __init__(self, servers: Servers) -> None:
        self.celery = Celery("shop", broker=servers.redis_url, set_as_current=False)
        self.celery.conf.broker_transport_options = {"global_keyprefix": servers.key_prefix}
        self.redis = redis.Redis.from_url(servers.redis_url)
        self.prefix = servers.key_prefix

    def close(self) -> None:
        """End its connections."""
        self.celery.close()
        self.redis.close()

    def send(self, *args: Any, task: str = "events.publish", **kwargs: Any) -> str:
        """Send a task to queue `events`; the message's id."""
        return str(self.celery.send_task(task, args=args, kwargs=kwargs, queue="events").id)

    def push(self, raw: bytes) -> None:
        """Put anything at all onto the queue."""
        self.redis.lpush(f"{self.prefix}events", raw)

    def message(self, event: Any, **changes: Any) -> dict[str, Any]:
        """A message of ours as it lies on Redis. `headers` and `properties` change those; the rest replaces parts."""
        self.celery.send_task("events.publish", args=[event], queue="scratch")
        raw = self.redis.rpop(f"{self.prefix}scratch")
        assert isinstance(raw, bytes)
        message: dict[str, Any] = json.loads(raw)
        message["properties"]["delivery_info"] = {"exchange": "", "routing_key": "events"}
        for part in ("headers", "properties"):
            changed = {**message[part], **changes.pop(part, {})}
            message[part] = {name: value for name, value in changed.items() if value is not DROP}
        return {**message, **changes}

    def plain(self, event: Any, body: str, **changes: Any) -> dict[str, Any]:
        """A message with this text as its body."""
        properties = {"body_encoding": "utf-8", **changes.pop("properties", {})}
        return self.message(event, body=body, properties=properties, **changes)

    def unacked(self) -> int:
        """Messages in workers' hands."""
        return int(self.redis.hlen(f"{self.prefix}unacked"))

    def waiting(self) -> int:
        """Messages on queue `events`."""
        return int(self.redis.llen(f"{self.prefix}events"))


DROP = object()  # a header that is to be missing


def event(user: str = "u", **more: Any) -> dict[str, Any]:
    """One event as the documentation has it."""
    return {"type": "user.signup", "tenant_id": "acme", "data": {"user_id": user}, **more}


Message = Mapping[str, Any]

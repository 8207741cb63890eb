"""Careful producers: each event has an id, errors are answered by trying again, so nothing depends on luck."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import psycopg2
import redis
from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

import db.engine
from bench.ground import AWAY, EVENT_TYPE, is_away
from worker.enqueue import accept

AWAY_PAUSE_S = 0.05
PUBLISH = "select publish_event(%s, %s, %s::jsonb, %s)"

READ_ONLY = "25006"  # the code of a server that takes no writes for now

Send = Callable[[Sequence[str]], None]  # events of these ids, all or an exception


class Stopped(Exception):
    """The run ends early."""


def data(key: str) -> dict[str, Any]:
    """The payload of an event."""
    return {"campaign_id": key, "name": "Spring launch", "objective": "sales", "budget": 250, "currency": "EUR"}


def over_redis(tenant_id: str, keys: Sequence[str]) -> None:
    """Send a list as `publish_many` does, or a single one as `publish` does."""
    from tasks.events import publish, publish_many  # the app reads its settings at its first use

    if len(keys) == 1:
        publish(EVENT_TYPE, tenant_id, data(keys[0]), id=keys[0])
    else:
        publish_many({"type": EVENT_TYPE, "tenant_id": tenant_id, "data": data(key), "id": key} for key in keys)


class SqlDoor:
    """A producer with a connection of its own, which it makes again when it was lost."""

    def __init__(self, database_url: str, tenant_id: str) -> None:
        self._database_url = database_url
        self._tenant_id = tenant_id
        self._connection: Any = None

    def send(self, keys: Sequence[str]) -> None:
        """One transaction with a `publish_event` for each id; when it returns, they are committed."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg2.connect(self._database_url, connect_timeout=5)
        try:
            with self._connection, self._connection.cursor() as cursor:
                for key in keys:
                    cursor.execute(PUBLISH, (self._tenant_id, EVENT_TYPE, json.dumps(data(key)), key))
        except psycopg2.Error as error:
            if not _passes(error):
                raise
            self.close()
            self._connection = None
            raise psycopg2.OperationalError(str(error)) from error

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            with suppress(*AWAY):
                self._connection.close()


class AcceptDoor:
    """A producer in Python that accepts events in a transaction of its own."""

    def __init__(self, database_url: str, tenant_id: str) -> None:
        self._engine = db.engine.connect(database_url, name="producer", pool_size=1)
        self._tenant_id = tenant_id

    def send(self, keys: Sequence[str]) -> None:
        """One transaction with `accept`; when it returns, they are committed."""
        events = [{"type": EVENT_TYPE, "tenant_id": self._tenant_id, "data": data(key), "id": key} for key in keys]
        try:
            with self._engine.begin() as connection:
                accept(connection, events)
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None)
            if not db.engine.is_away(error) and not (isinstance(cause, psycopg2.Error) and _passes(cause)):
                raise
            raise psycopg2.OperationalError(str(error)) from error

    def close(self) -> None:
        """Give the connection back."""
        self._engine.dispose()


def _passes(error: psycopg2.Error) -> bool:
    """Whether the server, not the statement, is at fault."""
    return is_away(error) or error.pgcode == READ_ONLY


def insist(send: Send, keys: Sequence[str], stop: threading.Event) -> int:
    """Send until it worked; how many tries it took. Raises Stopped when the run ends first."""
    tries = 1
    while True:
        try:
            send(keys)
        except (*AWAY, OperationalError, redis.RedisError, OSError):
            if stop.wait(AWAY_PAUSE_S):
                raise Stopped from None
            tries += 1
        else:
            return tries


class Producer(threading.Thread):
    """Sends its ids in groups, evenly over a time, whatever happens meanwhile; then, when told, those of its tail."""

    def __init__(
        self,
        name: str,
        send: Send,
        groups: Sequence[Sequence[str]],
        over_s: float,
        *,
        tail: Sequence[Sequence[str]] = (),
        tail_s: float = 0.0,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._send = send
        self._parts = ((groups, over_s), (tail, tail_s))
        self._stop_asked = threading.Event()
        self._tail_asked = threading.Event()
        self.sent: set[str] = set()  # whose sending returned without an error
        self.retries = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Thread body. A fault of ours ends the round with it."""
        main, tail = self._parts
        try:
            self._publish(*main)
            if tail[0]:
                self._tail_asked.wait()
                self._publish(*tail)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by `finish`
            self.error = error

    def _publish(self, groups: Sequence[Sequence[str]], over_s: float) -> None:
        began = time.monotonic()
        for place, group in enumerate(groups):
            due = began + over_s * place / len(groups)
            if self._stop_asked.wait(max(0.0, due - time.monotonic())):
                raise Stopped
            self.retries += insist(self._send, group, self._stop_asked) - 1
            self.sent.update(group)

    def end(self) -> None:
        """Stop as soon as possible."""
        self._stop_asked.set()
        self._tail_asked.set()

    def finish_with_tail(self) -> None:
        """Send the tail too, as soon as all else is sent."""
        self._tail_asked.set()

    def finish(self, timeout_s: float) -> None:
        """Wait until all is sent. Raises what went wrong, or TimeoutError."""
        self.join(timeout_s)
        if self.error is not None:
            raise self.error
        if self.is_alive():
            raise TimeoutError(f"{self.name} could not send its events within {timeout_s:g} s")


def groups(rng: random.Random, keys: Sequence[str], largest: int) -> Iterator[Sequence[str]]:
    """Split ids into groups of random size; a third are single ones."""
    start = 0
    while start < len(keys):
        size = 1 if rng.random() < 1 / 3 else rng.randint(2, largest)
        yield keys[start : start + size]
        start += size

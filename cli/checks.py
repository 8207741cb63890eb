"""What `mesh doctor` looks at. A check returns what it found; one that cannot be made is a problem by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import redis
from sqlalchemy import Connection

import db.health
import db.integrations
import db.rejected
import db.schema
import db.sealed
import db.tokens
from cli import errors, session
from cli.show import lasting, many
from settings import Settings, load
from worker import media
from worker.app import app, queues
from worker.sending import redis_client
from worker.vault import VaultError

OK, WARNING, PROBLEM = "ok", "warning", "problem"
POSTGRES_MIN = 140000
REDIS_MIN = (6, 0)
SKEW_S = 2.0
ANSWER_S = 1.0  # for workers to answer
BEAT_S = 2.5  # within which beat's tick of one second must have run
LOGIN_DAYS = 14  # before which a person is asked to log in again
DOORS_S = 3.0  # for the doors to answer
LATE_S = 60.0  # a due delivery that waits longer is a warning
LONG_QUEUE = 1_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    subject: str
    state: str
    found: str
    mend: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything, in order; what needs a server that does not answer is left out."""
    yield Finding("settings", OK, "embedded servers" if load().embedded else "DATABASE_URL and REDIS_URL")
    yield from _server("PostgreSQL", _postgres)
    yield from _server("Redis", lambda: _redis(settings))
    yield from _own(settings)


def _server(name: str, checks: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Findings about a server, ending with the one that says that it does not answer."""
    try:
        yield from checks()
    except Exception as error:
        said = errors.sentence(error)
        if said is None:
            raise
        found, _, mend = said.partition(": ")
        yield Finding(name, PROBLEM, found, mend)


def _postgres() -> Iterator[Finding]:
    with session.transaction() as connection:
        yield from _postgres_server(db.health.server(connection))
        if not db.schema.is_applied(connection):
            yield Finding("schema", PROBLEM, "not applied", "run `mesh db apply`")
            return
        yield Finding("schema", OK, "applied")
        yield _partitions(connection)
        yield _waiting(connection)
        yield _rejected(connection)
        yield _integrations(connection)
        yield _logins(connection)
        yield _keys(connection)


def _postgres_server(server: db.health.Server) -> Iterator[Finding]:
    version = f"version {server.version // 10000}"
    if server.version < POSTGRES_MIN:
        yield Finding("PostgreSQL", PROBLEM, version, f"use version {POSTGRES_MIN // 10000} or later")
    else:
        yield Finding("PostgreSQL", OK, version)
    skew_s = abs((datetime.now(UTC) - server.now).total_seconds())
    if skew_s > SKEW_S:
        yield Finding("clocks", WARNING, f"{lasting(skew_s)} apart", "let NTP set the clocks of all machines")
    else:
        yield Finding("clocks", OK, f"{lasting(skew_s)} apart")


def _partitions(connection: Connection) -> Finding:
    until = db.health.log_partitions_until(connection)
    left = (until - datetime.now(UTC)) if until else timedelta(0)
    if left < timedelta(days=7):
        return Finding("log partitions", WARNING, f"made for {max(left.days, 0)} days", "let beat run")
    return Finding("log partitions", OK, f"made for {left.days} days")


def _waiting(connection: Connection) -> Finding:
    late_s = db.health.oldest_due_s(connection)
    dead = db.health.dead_letters(connection)
    letters = f"; {many(dead, 'dead letter', 'dead letters')}" if dead else ""
    if late_s > LATE_S:
        return Finding("deliveries", WARNING, f"one is due for {lasting(late_s)}{letters}", "run more workers")
    return Finding("deliveries", OK, f"none is late{letters}")


def _rejected(connection: Connection) -> Finding:
    count = db.rejected.count_open(connection)
    if count:
        return Finding("rejected events", WARNING, f"{count} open", "`mesh events rejected` says why")
    return Finding("rejected events", OK, "none")


def _integrations(connection: Connection) -> Finding:
    count = db.integrations.stopped(connection)
    if count:
        found = many(count, "needs a person", "need a person")
        return Finding("integrations", WARNING, found, "`mesh integrations list` says why")
    return Finding("integrations", OK, "none needs a person")


def _logins(connection: Connection) -> Finding:
    count = db.tokens.logins_ending(connection, within_days=LOGIN_DAYS)
    if count:
        found = many(count, f"ends within {LOGIN_DAYS} days", f"end within {LOGIN_DAYS} days")
        return Finding("logins", WARNING, found, "`mesh integrations show ID` says when: reconnect those")
    return Finding("logins", OK, "none ends soon")


def _keys(connection: Connection) -> Finding:
    try:
        keys = session.keys()
        for column in db.sealed.COLUMNS:
            for row in db.sealed.newest(connection, column):
                if not column.many:
                    keys.open(row.value, f"{column.place}:{row.id}")
    except VaultError as error:
        return Finding("encryption keys", PROBLEM, str(error).rstrip("."), "correct MESH_ENCRYPTION_KEYS")
    used = db.sealed.key_ids(connection)
    old = sum(count for key_id, count in used.items() if key_id != keys.sealing_key)
    if old:
        found = many(old, "value is sealed with an older key", "values are sealed with older keys")
        return Finding("encryption keys", WARNING, found, "run `mesh keys rotate`")
    total = sum(used.values())
    values = many(total, "value", "values")
    found = f"{values}, all sealed with {keys.sealing_key}; the newest open" if total else "set"
    return Finding("encryption keys", OK, found)


def _redis(settings: Settings) -> Iterator[Finding]:
    client = redis_client(settings)
    try:
        info: Mapping[str, Any] = client.info()
        yield _redis_server(info)
        yield _memory(client)
        yield _persistence(client, info)
        yield _queues(client, settings)
    finally:
        client.close()
    yield from _workers()


def _redis_server(info: Mapping[str, Any]) -> Finding:
    version = str(info["redis_version"])
    if tuple(map(int, version.split(".")[:2])) < REDIS_MIN:
        return Finding("Redis", PROBLEM, f"version {version}", "use version 6.0 or later")
    return Finding("Redis", OK, f"version {version}, {info.get('used_memory_human', '?')} used")


def _setting(client: redis.Redis, name: str) -> str | None:
    """A setting of the server; None where it may not be read (most managed ones)."""
    try:
        found: Mapping[Any, Any] = client.config_get(name)
    except redis.ResponseError:
        return None
    return next((_text(value) for value in found.values()), None)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _memory(client: redis.Redis) -> Finding:
    policy = _setting(client, "maxmemory-policy")
    if policy is None:
        return Finding("Redis memory", WARNING, "its policy cannot be read", "see that it is noeviction")
    if policy != "noeviction":
        return Finding("Redis memory", PROBLEM, f"may drop messages ({policy})", "set maxmemory-policy to noeviction")
    return Finding("Redis memory", OK, "full memory refuses instead of dropping (noeviction)")


def _persistence(client: redis.Redis, info: Mapping[str, Any]) -> Finding:
    if info.get("aof_enabled"):
        return Finding("Redis persistence", OK, "append-only file")
    if _setting(client, "save"):
        return Finding("Redis persistence", OK, "snapshots; events of the last minutes may go with a crash")
    mend = "set appendonly yes, or publish through SQL only: what Redis holds of events is not in PostgreSQL yet"
    return Finding("Redis persistence", WARNING, "none", mend)


def _queues(client: redis.Redis, settings: Settings) -> Finding:
    lengths = {name: int(client.llen(settings.mesh_key_prefix + name)) for name in queues()}
    shown = ", ".join(f"{name} {length}" for name, length in lengths.items() if length) or "all empty"
    if max(lengths.values()) > LONG_QUEUE:
        return Finding("queues", WARNING, shown, "run more workers")
    return Finding("queues", OK, shown)


def _workers() -> Iterator[Finding]:
    """Who answers, and whether beat's tick of every second has run between two looks."""
    first = _stats()
    if not first:
        yield Finding("workers", PROBLEM, "none answers", "start them: `mesh up`, or `celery -A worker.app worker`")
        yield Finding("beat", WARNING, "cannot be judged without workers")
        return
    yield Finding("workers", OK, ", ".join(sorted(first)))
    deadline = time.monotonic() + BEAT_S
    before = _ticks(first)
    while time.monotonic() < deadline:
        if _ticks(_stats()) > before:
            yield Finding("beat", OK, "ticks")
            return
    yield Finding("beat", PROBLEM, f"no tick within {BEAT_S:.0f} s", "start one: `celery -A worker.app beat`")


def _stats() -> Mapping[str, Any]:
    return app.control.inspect(timeout=ANSWER_S).stats() or {}


def _ticks(stats: Mapping[str, Any]) -> int:
    return sum(int(each.get("total", {}).get("deliveries.reconcile", 0)) for each in stats.values())


def _own(settings: Settings) -> Iterator[Finding]:
    """What needs no server."""
    yield _media(settings)
    if settings.flower_basic_auth.get_secret_value():
        yield Finding("Flower", OK, "asks for a password")
    else:
        yield Finding("Flower", WARNING, "would be open to everybody", "set FLOWER_BASIC_AUTH=user:password")
    yield _public_url(settings)
    yield _doors(settings)


def _media(settings: Settings) -> Finding:
    try:
        media.probe(settings.media_url)
    except Exception as error:  # noqa: BLE001 - whatever a storage raises
        return Finding("media", PROBLEM, f"cannot be written ({error})", "correct MESH_MEDIA_URL or its permissions")
    return Finding("media", OK, f"{settings.media_url} can be written")


def _doors(settings: Settings) -> Finding:
    """Whether the doors answer where providers are told that they are."""
    try:
        with urlopen(f"{settings.hooks_url.rstrip('/')}/readyz", timeout=DOORS_S) as answer:  # noqa: S310 - http(s) only
            answer.read(1024)
    except OSError as error:
        mend = "start them: `uvicorn --factory api.app:serve`, or correct MESH_HOOKS_URL; callbacks and files need them"
        return Finding("doors", WARNING, f"{settings.hooks_url} does not answer ({_reason(error)})", mend)
    return Finding("doors", OK, f"{settings.hooks_url} answers")


def _reason(error: OSError) -> str:
    """What went wrong, in a word or two."""
    return str(getattr(error, "reason", error))


def _public_url(settings: Settings) -> Finding:
    parts = urlsplit(settings.mesh_public_url)
    if parts.scheme == "https" and parts.hostname:
        return Finding("public URL", OK, settings.mesh_public_url)
    mend = "set MESH_PUBLIC_URL to the https address under which providers reach us"
    return Finding("public URL", WARNING, f"{settings.mesh_public_url} is for this machine only", mend)

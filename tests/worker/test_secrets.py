"""Planted secrets are looked for in every row, key, log line and repr that a whole life leaves behind."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

import db.integrations
import db.webhooks
from model import Done
from providers.http import webhook_request
from tests.db.claims import claim
from tests.mesh import Mesh
from worker import outcomes
from worker.deliver import _as_claim, prepare

TOKEN = "tokPLANTEDinURL0123456789"
QUERY = "querPLANTEDinURL0123456789"
API_KEY = "sk_PLANTEDkey0123456789abcdef"


@pytest.fixture
def logged() -> Iterator[LogCapture]:
    """Every log entry, with its values."""
    capture, before = LogCapture(), structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.format_exc_info, capture],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    yield capture
    structlog.configure(**before)


def echoing(mesh: Mesh) -> None:
    """Receivers and providers that say back everything they were told, in errors and in successes."""
    said = {"error": f"no hook {TOKEN}?key={QUERY}", "url": f"{mesh.sandbox.url}/receive/{TOKEN}?key={QUERY}"}
    detail = {"detail": {"status": "odd", "message": f"key {API_KEY} may not"}, "xi-api-key": API_KEY}
    for status in (200, 400, 500, 429):
        mesh.sandbox.control.add_rule(f"/receive/{TOKEN}*", {"status": status, "body": said}, times=1)
    for status in (400, 500):
        mesh.sandbox.control.add_rule("/v1/text-to-speech/*", {"status": status, "body": detail}, times=1)


def a_whole_life(mesh: Mesh) -> list[str]:
    """Everything goes wrong once and then well. The secrets."""
    registered = mesh.hook(f"/receive/{TOKEN}/{TOKEN}?key={QUERY}")
    mesh.account(API_KEY)
    echoing(mesh)
    for _ in range(6):
        mesh.deliver(mesh.signup())
        mesh.deliver(mesh.speak())
        mesh.due_now()
        mesh.holds_over()
        mesh.drain()
    with mesh.engine.begin() as connection:
        rotated = mesh.subscriptions.rotate_secret(connection, registered.webhook_id)
    mesh.sandbox.control.add_rule(f"/receive/{TOKEN}*", {"drop": "after"}, times=1)
    mesh.sandbox.control.add_rule(f"/receive/{TOKEN}*", "302", times=1)
    mesh.sandbox.control.add_rule(f"/receive/{TOKEN}*", {"truncate": True}, times=1)
    for _ in range(4):
        mesh.deliver(mesh.signup())
    mesh.sql("update webhooks set url_sealed = 'v1:k1:AAAA'")  # and one that cannot be opened
    mesh.deliver(mesh.signup())
    mesh.receive({"type": "user.signup", "tenant_id": "acme", "data": {"user_id": "u"}}, "nonsense")
    mesh.reconcile()
    return [registered.secret or "", rotated, TOKEN, QUERY, API_KEY]


def forms(secret: str) -> set[str]:
    """A secret in the ways it may be written."""
    plain = secret.removeprefix("whsec_")
    raw = {secret, plain, base64.b64encode(secret.encode()).decode().rstrip("="), urllib.parse.quote(secret)}
    return {form[:n] for form in raw for n in (len(form), max(12, len(form) * 2 // 3))}


def found_in(text: str, secrets: list[str]) -> list[str]:
    return [secret for secret in secrets for form in forms(secret) if form in text]


def test_the_finder_finds() -> None:
    assert found_in(f"https://x/{TOKEN}", [TOKEN])
    assert found_in("cut: " + API_KEY[:24], [API_KEY])
    assert not found_in("https://x/tokP****", [TOKEN])


def test_no_secret_anywhere(mesh: Mesh, logged: LogCapture, capfd: pytest.CaptureFixture[str]) -> None:
    secrets = a_whole_life(mesh)
    assert mesh.count("integration_sync_logs") > 15
    assert mesh.count("integration_sync_logs", "state <> 'succeeded' and answer <> ''") >= 4, (
        "there was something to hide"
    )
    tables = [row[0] for row in mesh.sql("select tablename from pg_tables where schemaname = 'public'")]
    for table in tables:
        for row in mesh.sql(f'select * from "{table}" as t'):
            text = " ".join(written(value) for value in row)
            assert found_in(text, secrets) == [], f"a row of {table}: {text[:600]}"
    for key in mesh.redis.scan_iter(match="*"):
        assert found_in(repr((key, content(mesh, key))), secrets) == [], f"Redis key {key!r}"
    assert len(logged.entries) > 10
    for entry in logged.entries:
        assert found_in(repr(entry), secrets) == [], f"a log entry: {entry}"
    out, err = capfd.readouterr()
    assert found_in(out + err, secrets) == []


def written(value: Any) -> str:
    """A column as text, JSON and bytes included."""
    if isinstance(value, dict | list):
        return json.dumps(value)
    return bytes(value).decode("latin-1") if isinstance(value, memoryview) else str(value)


def content(mesh: Mesh, key: Any) -> Any:
    readers: dict[bytes, Callable[[], Any]] = {
        b"string": lambda: mesh.redis.get(key),
        b"list": lambda: mesh.redis.lrange(key, 0, -1),
        b"set": lambda: mesh.redis.smembers(key),
        b"zset": lambda: mesh.redis.zrange(key, 0, -1),
        b"hash": lambda: mesh.redis.hgetall(key),
    }
    kind = mesh.redis.type(key)
    assert isinstance(kind, bytes)
    return readers[kind]()


def test_no_secret_in_reprs(mesh: Mesh) -> None:
    registered = mesh.hook(f"/receive/{TOKEN}?key={QUERY}")
    mesh.account(API_KEY)
    secrets = [registered.secret or "", TOKEN, QUERY, API_KEY]
    claims = [_as_claim(row) for row in claim(mesh, mesh.signup(), mesh.speak())]
    for held in claims:
        call = prepare(held, mesh.resources)
        assert found_in(call.target_url + str(call.secrets), secrets), "it is there, to be used"
        ended = outcomes.ending(held, Done(), exchange=call.exchange, duration_ms=1)
        request = webhook_request("POST", call.target_url or "https://x/y", {"authorization": API_KEY}, TOKEN.encode())
        for thing in (held, call, ended, request, registered, mesh.resources, mesh.settings, mesh.subscriptions):
            assert found_in(repr(thing) + str(thing), secrets) == [], type(thing)


def test_what_lists_show_holds_no_secret(mesh: Mesh) -> None:
    registered = mesh.hook(f"/receive/{TOKEN}?key={QUERY}")
    mesh.account(API_KEY)
    with mesh.engine.begin() as connection:
        rows = [*db.webhooks.every(connection), *db.integrations.every(connection)]
    assert len(rows) == 3
    for row in rows:
        assert not {"url_sealed", "secrets", "secrets_sealed"}.intersection(row._fields)
        assert found_in(str(row), [registered.secret or "", TOKEN, QUERY, API_KEY]) == []

"""Eight processes, one refresh token that works once, an endpoint slower than the lease; holders that are killed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from sandbox.process import Sandbox
from settings import Settings
from tests.mesh import Mesh, eventually
from tests.oauth import (
    NAME,
    TOKEN_DOOR,
    Logins,
    asked,
    expire,
    make_due,
    mesh_with_logins,
    one_account,
    token_row,
)
from tests.servers import Servers

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 8
LEASE_S = 1.0
SLOW_S = 4.0  # of the token endpoint: several leases
TOLD = ("database_url", "redis_url", "mesh_key_prefix", "mesh_encryption_keys", "mesh_home")
OURS = ("base_url", "api_key", "secret")


@pytest.fixture
def mesh(
    servers: Servers, mesh_settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mesh]:
    with mesh_with_logins(servers, mesh_settings, sandbox, monkeypatch) as mesh:
        one_account(sandbox)
        yield mesh


@pytest.fixture
def account(mesh: Mesh) -> UUID:
    """Its token has expired."""
    made = Logins(mesh).connect().integration_id
    expire(mesh, made)
    return made


class Caller:
    """A worker process that needs the token."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def heard(self) -> dict[str, Any]:
        """Its next line."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended with {self.process.wait()}"
        return dict(json.loads(line))

    def go(self) -> None:
        """Let it ask."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()


@contextmanager
def callers(mesh: Mesh, account: UUID, count: int, *, lease_s: float = LEASE_S) -> Iterator[list[Caller]]:
    """Processes that are ready to ask."""
    values = {name: getattr(mesh.settings, name) for name in (*TOLD, *(f"{NAME}_{each}" for each in OURS))}
    shown = {
        name: value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
        for name, value in values.items()
    }
    told = {"settings": shown, "account": str(account), "lease_s": lease_s, "patience_s": 60.0}
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.worker.token_caller", json.dumps(told)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            made.append(Caller(process))
        for each in made:
            assert each.heard() == {"ready": True}
        yield made


def holder(mesh: Mesh, among: list[Caller]) -> Caller:
    """Whose request the token endpoint is working on: found by its open lease, then by its connection."""
    return next(each for each in among if each.process.pid in pids_at(mesh.sandbox.port))


def pids_at(port: int) -> set[int]:
    """Processes that have an open connection to a port of this machine."""
    wanted = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if is_to(line, port)}
    return {int(link.parts[2]) for link in Path("/proc").glob("[0-9]*/fd/*") if socket_of(link) in wanted}


def is_to(line: str, port: int) -> bool:
    fields = line.split()
    return int(fields[2].rpartition(":")[2], 16) == port and fields[3] == "01"


def socket_of(link: Path) -> str:
    try:
        return os.readlink(link).removeprefix("socket:[").rstrip("]")
    except OSError:
        return ""


def digest(mesh: Mesh, account: UUID) -> str:
    return hashlib.sha256(mesh.resources.tokens.access(account).token.encode()).hexdigest()


def test_eight_processes_make_one_call_and_all_get_its_token(mesh: Mesh, account: UUID) -> None:
    before = mesh.sandbox.control.counts(TOKEN_DOOR)["requests"]
    mesh.sandbox.control.add_rule(TOKEN_DOOR, {"delay_s": SLOW_S})
    with callers(mesh, account, WORKERS) as all_of_them:
        for each in all_of_them:
            each.go()
        got = [each.heard() for each in all_of_them]
        assert [each.process.wait(20) for each in all_of_them] == [0] * WORKERS
    assert mesh.sandbox.control.counts(TOKEN_DOOR)["requests"] - before == 1
    assert [each["version"] for each in got] == [2] * WORKERS
    assert {each["token"] for each in got} == {digest(mesh, account)}
    status = mesh.sandbox.control.do("oauth2", "status")
    assert (status["refreshes"], status["reuses"], status["alive"]) == (1, 0, 1), "no grant was lost"
    row = token_row(mesh, account)
    assert (row.refresh_state, row.refresh_failures, row.version) == ("idle", 0, 2)


def test_a_holder_that_is_killed_before_the_provider_worked_costs_nothing(mesh: Mesh, account: UUID) -> None:
    """It is noticed within its lease, and one of the others tries once more with the same refresh token."""
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "hang", times=1)
    with callers(mesh, account, 4) as all_of_them:
        for each in all_of_them:
            each.go()
        eventually(lambda: mesh.sandbox.control.state()["in_flight"] == 1, "one of them asks")
        dead = holder(mesh, all_of_them)
        os.kill(dead.process.pid, signal.SIGKILL)
        eventually(lambda: token_row(mesh, account).refresh_state == "answer_lost", "its end is noticed")
        row = token_row(mesh, account)
        assert (row.version, row.refresh_failures) == (1, 1)
        assert row.last_error == "The worker that refreshed the token ended before the answer came."
        got = [each.heard() for each in all_of_them if each is not dead]
    assert [each["version"] for each in got] == [2] * 3
    assert {each["token"] for each in got} == {digest(mesh, account)}
    status = mesh.sandbox.control.do("oauth2", "status")
    assert (status["refreshes"], status["reuses"], status["alive"]) == (1, 0, 1)


def test_a_holder_that_is_killed_after_the_provider_worked(mesh: Mesh, account: UUID) -> None:
    """The answer is lost for good: tried once more, then a person must log in again."""
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "hang-after", times=1)
    with callers(mesh, account, 3) as all_of_them:
        for each in all_of_them:
            each.go()
        eventually(lambda: mesh.sandbox.control.state()["in_flight"] == 1, "one of them asks")
        dead = holder(mesh, all_of_them)
        os.kill(dead.process.pid, signal.SIGKILL)
        got = [each.heard() for each in all_of_them if each is not dead]
    assert [each.get("error") for each in got] == ["credentials_rejected"] * 2
    assert asked(mesh.sandbox) == 2, "once more, and never again"
    row = token_row(mesh, account)
    assert row.refresh_state == "dead"
    assert row.last_error.startswith("An answer of Sample to a refresh was lost")
    assert mesh.one("select state from integrations") == "needs_reconnect"
    assert Logins(mesh).connect().integration_id == account
    assert mesh.resources.tokens.access(account).version == 2


def test_a_holder_that_died_is_found_by_the_tick(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "hang", times=1)
    with callers(mesh, account, 1) as (only,):
        only.go()
        eventually(lambda: token_row(mesh, account).refresh_state == "refreshing", "it holds the lease")
        eventually(lambda: mesh.sandbox.control.state()["in_flight"] == 1, "it asks")
        assert mesh.resources.tokens.due() == []
        os.kill(only.process.pid, signal.SIGKILL)
        only.process.wait()
    eventually(
        lambda: mesh.resources.tokens.due() is not None and token_row(mesh, account).refresh_state != "refreshing"
    )
    make_due(mesh, account)
    assert mesh.resources.tokens.due() == [account]
    mesh.resources.tokens.refresh(account)
    eventually(lambda: token_row(mesh, account).version == 2, "it is refreshed")
    assert mesh.sandbox.control.do("oauth2", "status")["reuses"] == 0


def test_a_slow_exchange_keeps_its_lease(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.add_rule(TOKEN_DOOR, {"delay_s": SLOW_S})
    with callers(mesh, account, 1) as (only,):
        only.go()
        eventually(lambda: token_row(mesh, account).refresh_state == "refreshing", "it holds the lease")
        first = token_row(mesh, account).refresh_lease_until
        eventually(lambda: (token_row(mesh, account).refresh_lease_until or first) > first, "a heartbeat renews it")
        assert only.heard()["version"] == 2

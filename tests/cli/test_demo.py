"""The whole project end to end: servers, workers, beat, Flower, sandbox, every door, and a ledger that balances."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from cli import demo_ledger, demo_traffic
from cli.demo_ledger import Ledger
from cli.demo_traffic import Bad, Published

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime.now(UTC)


def test_the_demo_runs_and_its_ledger_balances(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "demo", "--events", "60"],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MESH_HOME": str(tmp_path / "home"),
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
        }
        | {"REDIS_URL": "redis://127.0.0.1:1/0", "MESH_KEY_PREFIX": "other:"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "It balances." in done.stdout
    assert "✗" not in done.stdout
    assert "audio.rendered" in done.stdout
    assert list((tmp_path / "home" / "demo" / "media").rglob("*.mp3"))
    assert not (tmp_path / "home" / "demo" / "stack.json").exists(), "the stack has ended"


# ------------------------------------------------------------------------- the judge sees what does not balance


def row(**fields: Any) -> Any:
    return SimpleNamespace(**fields)


@pytest.fixture
def published() -> Published:
    return Published(keys={("acme", "demo-1")}, by_door={"SQL": 1}, bad=[Bad("a bad one", rejected_id=uuid4())])


def ledger(published: Published, **changes: Any) -> Ledger:
    """One event with one delivered webhook, and one rejection; with changes."""
    delivery = row(
        id=uuid4(),
        provider="zapier",
        event_type="user.signup",
        webhook_id=uuid4(),
        state="succeeded",
        due_at=None,
        attempt_count=1,
    )
    delivery.rows, delivery.open_rows = 1, 0
    event = row(
        id=uuid4(), tenant_id="acme", key="demo-1", caused_by=None, routed_at=NOW, deliveries=1, type="user.signup"
    )
    facts: dict[str, Any] = {
        "events": [event],
        "deliveries": [delivery],
        "rejected": [row(id=published.bad[0].rejected_id, event_id=None)],
        "files": [],
        "seen": {str(delivery.id): {"requests": 1, "ok": 1}},
        "bill": {},
        "now": NOW,
    }
    for name, change in changes.items():
        facts[name] = change(facts[name])
    return Ledger(**facts)


def found(published: Published, **changes: Any) -> list[str]:
    checks = demo_ledger.judge(ledger(published, **changes), published)
    return [difference for check in checks for difference in check.differences]


def test_a_ledger_that_balances(published: Published) -> None:
    assert found(published) == []


def set_(field: str, value: Any) -> Any:
    def change(rows: list[Any]) -> list[Any]:
        setattr(rows[0], field, value)
        return rows

    return change


DIFFERENCES = {
    "a lost event": ("events", lambda rows: [], "is missing"),
    "an event twice": ("events", lambda rows: rows * 2, "is there 2 times"),
    "an event without deliveries": ("events", set_("deliveries", 0), "has no delivery"),
    "a stuck delivery": ("deliveries", set_("state", "running"), "is running"),
    "a missing row": ("deliveries", set_("rows", 0), "counts 1 attempts and has 0 rows"),
    "an open row": ("deliveries", set_("open_rows", 1), "1 open"),
    "a duplicate": ("seen", lambda seen: {key: {"requests": 1, "ok": 2} for key in seen}, "said yes 2 times"),
    "a call without a row": (
        "seen",
        lambda seen: {key: {"requests": 2, "ok": 1} for key in seen},
        "was called 2 times",
    ),
    "a success that nobody saw": ("seen", lambda seen: {}, "said yes 0 times"),
    "a rejection that is gone": ("rejected", lambda rows: [], "neither refused nor kept"),
    "a bill without a file": ("bill", lambda bill: {"demo-acme": {"generations": 1}}, "1 on ElevenLabs' bill"),
    "a file that is gone": (
        "files",
        lambda rows: [row(tenant_id="acme", uri="file:///nowhere/a.mp3", size_bytes=1)],
        "cannot be read",
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_the_judge_names(published: Published, name: str) -> None:
    part, change, said = DIFFERENCES[name]
    assert any(said in difference for difference in found(published, **{part: change}))


@pytest.mark.parametrize("count", [40, 60, 300])
def test_the_traffic_holds_every_kind_for_both_tenants(count: int) -> None:
    made = demo_traffic.events(count)
    assert len(made) == count
    assert len({event["id"] for event in made}) == count
    assert {(event["type"], event["tenant_id"]) for event in made} == {
        (kind, tenant) for kind in demo_traffic.MIX for tenant in ("acme", "globex")
    }

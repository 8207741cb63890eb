"""The switch of chaos runs: which process dies, where, and how often."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from worker import faults

ROOT = Path(__file__).parents[2]

# A process that passes the phases in order, sends two requests, and says how far it came.
PASSES = """
from worker import faults
faults.arm()
for phase in faults.PHASES:
    for data in ((b"plain", b"a poisoned one") if phase == "sent" else (b"",)):
        faults.reached(phase, data)
        print(phase, data.decode(), flush=True)
"""

ADDRESSES = {"DATABASE_URL": "postgresql://nowhere/mesh", "REDIS_URL": "redis://nowhere"}  # nobody connects


def passing(order: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PASSES],
        cwd=ROOT,
        env={**ADDRESSES, "MESH_STOP_AT": str(order)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("phase", faults.PHASES)
def test_the_first_process_that_gets_there_dies_and_the_next_one_does_not(tmp_path: Path, phase: str) -> None:
    order = tmp_path / "stop-at"
    order.write_text(phase)
    died = passing(order)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert phase not in died.stdout.split()
    assert not order.exists()
    assert passing(order).returncode == 0


def test_a_text_kills_every_process_that_sends_it_and_only_then(tmp_path: Path) -> None:
    order = tmp_path / "stop-at"
    order.write_text("sent poisoned")
    for _ in range(2):
        died = passing(order)
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert died.stdout.splitlines()[-1] == "sent plain"
    order.unlink()
    assert passing(order).returncode == 0


def test_without_the_setting_nobody_dies() -> None:
    done = passing("")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(faults.PHASES) + 1


def test_an_order_that_is_given_later_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr(faults, "_order", tmp_path / "stop-at")
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append(number))
    faults.reached("claim")
    (tmp_path / "stop-at").write_text("claim")
    faults.reached("settle")
    assert killed == []
    faults.reached("claim")
    faults.reached("claim")
    assert killed == [signal.SIGKILL]

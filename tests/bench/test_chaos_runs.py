"""A few cheap faults, as `make chaos` plays them, on real servers; and a loss that was planted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

ROOT = Path(__file__).parents[2]
BUDGET_S = 170  # on a machine that does much else; some 20 s on one that does not


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "bench.chaos", *arguments]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that PostgreSQL's own account may pass through; pytest closes its folders whenever a session starts."""
    with TemporaryDirectory(prefix="mesh-test-") as folder:
        yield Path(folder)


def environment(home: Path) -> dict[str, str]:
    """Ours, with the run's folder below a folder of the test's own."""
    return {**os.environ, "TMPDIR": str(home)}


def test_a_killed_worker_and_a_wiped_redis_lose_nothing(home: Path) -> None:
    faults = ["--fault", "kill a worker after send", "--fault", "flushall", "--fault", "terminated"]
    done = subprocess.run(
        command("--short", "--seed", "5", "--markdown", "--dump", str(home / "dump"), *faults),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=BUDGET_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in done.stdout.splitlines() if "|" in line]
    judged = {cells[0]: cells for cells in rows[2:]}
    assert judged.keys() == {
        "kill a worker after send",
        "Redis: FLUSHALL",
        "PostgreSQL: every backend terminated",
        "all 3",
    }
    for cells in judged.values():
        lost, stuck, unlogged = cells[6:9]
        assert (lost, stuck, unlogged) == ("0", "0", "0")
    assert all(cells[1] == "150" for name, cells in judged.items() if name != "all 3")
    repeats, allowed = map(int, re.findall(r"\d+", judged["kill a worker after send"][5]))
    assert 1 <= repeats <= allowed  # it died after the request had left: somebody else had to send it again
    assert judged["Redis: FLUSHALL"][5] == "0 (0)"
    assert list(home.glob("mesh-chaos-*")) == []


def test_ctrl_c_ends_a_run_with_everything_it_started(home: Path) -> None:
    chaos = subprocess.Popen(
        command("--short", "--verbose", "--fault", "kill all workers"),
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert chaos.stdout is not None
    for line in chaos.stdout:
        if line.startswith("worker-1 was ended"):
            break
    started = psutil.Process(chaos.pid).children(recursive=True)
    assert started
    chaos.send_signal(signal.SIGINT)
    said = chaos.communicate(timeout=60)[0]
    assert said.splitlines()[-1] == "Stopped; everything has ended."
    assert chaos.returncode == 130
    _, alive = psutil.wait_procs(started, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert list(home.glob("mesh-chaos-*")) == []

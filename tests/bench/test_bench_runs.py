"""A tiny round of chaos and a tiny benchmark, as `make chaos` and `make bench` start them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import psutil

ROOT = Path(__file__).parents[2]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", *arguments]


def environment(tmp_path: Path) -> dict[str, str]:
    """Ours, with homes in a folder of the test's own."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


def test_a_kill_and_a_wipe_lose_nothing(tmp_path: Path) -> None:
    faults = ["--fault", "kill worker-1", "--fault", "flush redis"]
    size = ["--rounds", "1", "--seed", "5", "--events", "200", "--publish-s", "2"]
    done = run(tmp_path, "bench.chaos", *size, *faults, "--dump", str(tmp_path / "dump"))
    assert done.returncode == 0, done.stdout + done.stderr
    row = done.stdout.splitlines()[-2].split()
    assert row[:3] == ["5", "200", "200"]
    assert "every promise was kept" in done.stdout
    assert re.search(r"kill worker-1 \(\d+\), flush redis$", done.stdout, re.MULTILINE)
    assert list(tmp_path.glob("mesh-chaos-*")) == []


def test_the_benchmark_reports_every_part_and_its_ledger_balances(tmp_path: Path) -> None:
    chart = tmp_path / "rates.svg"
    done = run(tmp_path, "bench", "--events", "60", "--seconds", "0.2", "--chart", str(chart))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The ledger balances" in done.stdout
    rates, cpu, latency = done.stdout.split("\n\n")[-4:-1]
    for name in ("mesh, lists", "mesh, one by one", "mesh, SQL door", "plain Celery", "hand-written loop"):
        assert re.search(rf"^{name} +\d+ +[\d,]+/s +[\d.]+× +[\d,]+/s +[\d.]+×$", rates, re.MULTILINE), rates
        assert re.search(rf"^{name}( +\d+){{6}}$", cpu, re.MULTILINE), cpu
    for door, rate, events in (("Redis", 50, 10), ("SQL", 50, 10), ("Redis", 200, 40), ("SQL", 200, 40)):
        assert re.search(rf"^{door} +{rate}/s +{events} +{events}( +[\d.]+){{3}}$", latency, re.MULTILINE), latency
    assert len(ElementTree.parse(chart).getroot().findall("{http://www.w3.org/2000/svg}rect")) == 6


def test_ctrl_c_ends_a_run_with_everything_it_started(tmp_path: Path) -> None:
    chaos = subprocess.Popen(
        command("bench.chaos", "--rounds", "1", "--verbose", "--fault", "kill worker-1"),
        cwd=ROOT,
        env=environment(tmp_path),
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
    assert list(tmp_path.glob("mesh-chaos-*")) == []

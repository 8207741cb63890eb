"""Every peer at work, and a tiny benchmark as `make bench` starts it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from bench import slow
from bench.ground import Ground, query
from bench.lane import measure, thaw
from bench.lanes import DOORS, PEERS, Peer, peer_lanes
from bench.latency import DOORS as LATENCY_DOORS
from bench.latency import RATES
from bench.meter import tree
from bench.slow import Case

ROOT = Path(__file__).parents[2]
EVENTS = 20


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
        timeout=300,  # a machine that is busy with other tests needs minutes to start every peer
        check=False,
    )


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Servers and a receiver for small measurements in this process."""
    with Ground(tmp_path_factory.mktemp("ground"), durable=False) as ground:
        yield ground


@pytest.mark.parametrize("peer", PEERS, ids=[peer.name for peer in PEERS])
def test_a_peer_posts_each_event_once_and_leaves_a_row_for_it(ground: Ground, peer: Peer) -> None:
    shutil.rmtree(ground.home / "peers", ignore_errors=True)
    tenant_id = f"tenant-of-{peer.kind}"
    with peer_lanes(ground, [peer], EVENTS * peer.share) as (lane,):
        thaw(lane.processes)
        run = measure(ground, lane, tenant_id, events=lane.events)
        assert run.events == EVENTS
        assert run.exact
        rows = "select http_status, state, id::text from bench_rows where tenant_id = %(tenant)s"
        found = query(lane.database_url, rows, {"tenant": tenant_id})
        assert {row[:2] for row in found} == {(200, "succeeded")}
        assert {row[2] for row in found} == ground.control.counts(f"{lane.path}/{tenant_id}")["by_id"].keys()
        assert measure(ground, lane, f"{tenant_id}-frozen", events=EVENTS, drain=True).exact


def test_a_frozen_lane_does_nothing_until_it_is_thawed(ground: Ground) -> None:
    shutil.rmtree(ground.home / "peers", ignore_errors=True)
    with peer_lanes(ground, [PEERS[-1]], EVENTS) as (lane,):
        states = {process.status() for pid in lane.processes() for process in tree(pid)}
        assert states == {psutil.STATUS_STOPPED}


def test_the_benchmark_reports_every_part_and_its_ledger_balances(tmp_path: Path) -> None:
    chart, figures = tmp_path / "rates.svg", tmp_path / "figures.json"
    size = ["--events", "60", "--rounds", "1", "--seconds", "0.2"]
    parts = ["throughput", "latency"]
    done = run(tmp_path, "bench", *parts, *size, "--chart", str(chart), "--json", str(figures))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Every event, delivery and attempt agrees with the receiver's record.") == len(parts)
    names = [door.name for door in DOORS] + [peer.name for peer in PEERS]
    found = json.loads(figures.read_text())["parts"]
    assert list(found["throughput"]["lanes"]) == names
    for name in names:
        assert re.search(rf"^{name} +\d+ +[\d,]+/s ± +0 % +[\d.]+× +[\d.]+× +[\d,]+/s ±", done.stdout, re.MULTILINE)
        assert re.search(rf"^{name}( +\d+){{6}} +[\d,]+/s$", done.stdout, re.MULTILINE), name
    runs = [(door["door"], door["rate"], door["arrived"]) for door in found["latency"]["doors"]]
    assert runs == [(door, rate, rate // 5) for rate in RATES for door in LATENCY_DOORS]
    assert {text.text for text in ElementTree.parse(chart).iter() if text.text in names} == set(names)
    assert list(tmp_path.glob("mesh-bench-*")) == []


def test_calls_in_the_air_and_memory_are_measured_with_a_slow_receiver(ground: Ground) -> None:
    found, problems = slow.measure_case(ground, Case(delay_s=0.1, calls=4), "slow", seconds=0.1)
    assert problems == []
    assert 0 < found.used <= found.case.available
    assert 0 < found.rest.uss <= found.rest.rss
    assert 0 < found.loaded.uss <= found.loaded.rss
    assert ground.control.rules() == []


def test_ctrl_c_ends_a_run_with_everything_it_started(tmp_path: Path) -> None:
    bench = subprocess.Popen(
        command("bench", "latency", "--seconds", "0.2"),
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert bench.stdout is not None
    for line in bench.stdout:
        if line.startswith("Redis publish at 50/s"):
            break
    started = psutil.Process(bench.pid).children(recursive=True)
    assert started
    bench.send_signal(signal.SIGINT)
    said = bench.communicate(timeout=60)[0]
    assert said.splitlines()[-1] == "Stopped; everything has ended."
    assert bench.returncode == 130
    _, alive = psutil.wait_procs(started, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert list(tmp_path.glob("mesh-bench-*")) == []

"""`make bench`: throughput and latency of the mesh beside its peers, on this machine, in one go.

All do the same job: a JSON event in, one signed POST to a healthy receiver on this machine, one committed row for each
attempt. Only the mesh also keeps event and delivery rows, leases, and address checks.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import bench.latency as latency
from bench.chart import bars
from bench.ground import START_S, Ground, enter_environment, query, subscribe
from bench.lanes import PATH, SHARE, celery_lane, loop_lane, mesh_lanes
from bench.latency import Latency
from bench.producers import SqlDoor, over_redis
from bench.throughput import Lane, Run, measure
from cli.stack import Stack

RATES = (50, 200)  # events a second of the latency runs
PARTS = ("consumers", "PostgreSQL", "Redis", "receiver", "publisher")
REFERENCE = "plain Celery"
LEDGER = """
select (select count(*) from events where routed_at is null or not exists
          (select 1 from deliveries d where d.event_id = events.id)),
       (select count(*) from deliveries where state <> 'succeeded'),
       (select count(*) from integration_sync_logs where state <> 'succeeded'),
       (select count(*) from integration_sync_logs) - (select count(*) from deliveries)
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One lane's two runs."""

    lane: Lane
    whole: Run
    drain: Run

    @property
    def exact(self) -> bool:
        """Whether the receiver got each event exactly once."""
        return all(run.requests == run.ids == run.events for run in (self.whole, self.drain))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a ledger does not balance, 130 after Ctrl-C."""
    asked = _arguments(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    home = Path(tempfile.mkdtemp(prefix="mesh-bench-"))
    try:
        return _bench(asked, home)
    except KeyboardInterrupt:
        print("Stopped; everything has ended.", flush=True)
        return 130
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--events", type=int, default=10_000, help=f"a run; one by one and plain Celery get 1/{SHARE} of them"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="of each latency run")
    parser.add_argument("--chart", type=Path, help="draw the rates into this SVG file")
    return parser.parse_args(arguments)


def _bench(asked: argparse.Namespace, home: Path) -> int:
    began = time.monotonic()
    print(facts(), flush=True)
    with Ground(home, durable=True) as ground:
        measured, latencies, problems = _mesh(ground, asked)
        for peer in (celery_lane, loop_lane):
            ground.redis.flushall()
            with peer(ground, asked.events) as lane:
                measured.append(_both(ground, lane))
    print(throughput_table(measured))
    print(cpu_table(measured))
    print(latency_table(latencies))
    problems += [f"{each.lane.name}: the receiver's count is another one" for each in measured if not each.exact]
    print("\n".join(problems) or "The ledger balances: every event, delivery and attempt row agrees with the receiver.")
    print(f"{time.monotonic() - began:.0f} s in all")
    if asked.chart:
        asked.chart.write_text(bars("Deliveries per second, published and delivered", rates(measured)))
    return 1 if problems else 0


def _mesh(ground: Ground, asked: argparse.Namespace) -> tuple[list[Measured], list[Latency], list[str]]:
    with _running(ground) as stack:
        with mesh_lanes(ground, stack, asked.events) as lanes:
            measured = [_both(ground, lane) for lane in lanes]
        latencies = _latencies(ground, stack, asked.seconds)
        problems = _unbalanced(stack.settings["database_url"])
    return measured, latencies, problems


@contextmanager
def _running(ground: Ground) -> Iterator[Stack]:
    with ground.mesh("mesh") as stack:
        try:
            stack.wait_ready(START_S)
            enter_environment(stack)
            yield stack
        finally:
            stack.supervisor.hurry()


def _both(ground: Ground, lane: Lane) -> Measured:
    found = Measured(lane, measure(ground, lane, drain=False), measure(ground, lane, drain=True))
    print(f"{lane.name}: {found.whole.rate:,.0f}/s", flush=True)
    return found


def _latencies(ground: Ground, stack: Stack, seconds: float) -> list[Latency]:
    database_url = stack.settings["database_url"]
    found = []
    for rate in RATES:
        for door in ("Redis", "SQL"):
            tenant_id = f"pace-{door.lower()}-{rate}"
            path = f"{PATH}/{tenant_id}"
            subscribe(stack, tenant_id, ground.sandbox_url + path)
            sql = SqlDoor(database_url, tenant_id)
            send = sql.send if door == "SQL" else partial(over_redis, tenant_id)
            found.append(latency.measure(ground, database_url, door=door, send=send, tenant_id=tenant_id, path=path,
                                         rate=rate, seconds=seconds))  # fmt: skip
            sql.close()
    return found


def _unbalanced(database_url: str) -> list[str]:
    """What is wrong with the mesh's ledger after everything was settled; a moment is given to the last rows."""
    names = ("events without a delivery", "deliveries not succeeded", "attempts not succeeded", "attempts too many")
    deadline = time.monotonic() + 5
    while any(counts := query(database_url, LEDGER)[0]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [f"mesh: {count} {name}" for count, name in zip(counts, names, strict=True) if count]


def rates(measured: Sequence[Measured]) -> list[tuple[str, float]]:
    """Name and rate of each lane."""
    return [(each.lane.name, each.whole.rate) for each in measured]


def facts() -> str:
    """What was measured on what."""
    names = ("celery", "kombu", "redis", "psycopg2-binary", "requests")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.release()} {platform.machine()},"
        f" {os.cpu_count()} cores ({_processor()}), load {load}\n{packages};"
        " servers, receiver and publisher share the cores; 2 processes of each kind of consumer\n"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def throughput_table(measured: Sequence[Measured]) -> str:
    """Rates, and ratios to plain Celery."""
    by_name = {each.lane.name: each for each in measured}
    reference = by_name[REFERENCE]
    rows = [f"{'':18}  {'events':>7}  {'all in all':>10}  {'ratio':>6}  {'drain':>9}  {'ratio':>6}"]
    for name, each in by_name.items():
        whole, drain = each.whole.rate, each.drain.rate
        rows.append(
            f"{name:18}  {each.whole.events:7}  {whole:8,.0f}/s  {whole / reference.whole.rate:5.2f}×"
            f"  {drain:7,.0f}/s  {drain / reference.drain.rate:5.2f}×"
        )
    rows.append("all in all: from the first publishing to the last committed row")
    rows.append("drain: the consumers are frozen until all is published, the clock starts when they go on")
    return "\nThroughput, deliveries per second; ratios to plain Celery\n" + "\n".join(rows)


def cpu_table(measured: Sequence[Measured]) -> str:
    """What a delivery costs each part."""
    rows = [f"{'':18}" + "".join(f"  {part:>10}" for part in (*PARTS, "together"))]
    for each in measured:
        cpu = each.whole.cpu_us
        numbers = [cpu[part] for part in PARTS]
        rows.append(f"{each.lane.name:18}" + "".join(f"  {number:10.0f}" for number in (*numbers, sum(numbers))))
    return "\nCPU, microseconds per delivery\n" + "\n".join(rows)


def latency_table(latencies: Sequence[Latency]) -> str:
    """Percentiles of the latency runs."""
    rows = [f"{'door':6}  {'rate':>6}  {'events':>6}  {'arrived':>7}  {'p50':>7}  {'p95':>7}  {'p99':>7}"]
    for each in latencies:
        numbers = "  ".join(f"{each.percentile(share):7.1f}" for share in (0.5, 0.95, 0.99))
        rows.append(f"{each.door:6}  {each.rate:4}/s  {each.sent:6}  {len(each.ms):7}  {numbers}")
    return "\nLatency from publishing to the receiver, milliseconds\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())

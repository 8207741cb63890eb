"""Part `slow`: receivers that take their time. Are all allowed calls in the air, and what memory does that take?

The receiver's own gauge of open requests is the judge. It is read all the time; what counts is the mean between the end
of the ramp (all workers had time to fill twice) and the start of the drain (fewer events are left than calls may be in
the air). While the machine has CPU left, nothing but the engine can keep calls from being in the air.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import psutil

from bench import goals
from bench.goals import Goal
from bench.ground import WORKERS, Ground, query
from bench.lane import Account, Lane, Spent, Unfinished
from bench.lanes import mesh, mesh_lanes
from bench.meter import warning
from bench.part import Options, Report
from bench.throughput import unbalanced
from cli.stack import Stack
from settings import Settings

GOAL = 0.9  # of the calls that may be in the air
SAMPLE_S = 0.02
MEMORY_S = 1.0  # between looks at memory, which are not cheap
RAMP_S = 1.5  # beside two calls' time
RAMPS = 3  # the load lasts at least so many times the ramp
DONE_S = 120.0
MIB = 1024 * 1024
DEFAULT_CALLS = int(Settings.model_fields["mesh_calls_in_flight"].default)
METHOD = """\
calls in the air: by the receiver's gauge, of those that MESH_CALLS_IN_FLIGHT allows all workers together
held: how long the receiver held a call, which is more than its delay when the machine has no time for it
cores: busy, of those there are; wanted: what all calls in the air would take, at what a delivery costs here
others: what programs that are no part of it took of this machine's CPU meanwhile
memory: of the larger worker, MiB resident / only its own (USS)"""


@dataclass(frozen=True, slots=True)
class Case:
    """One receiver, and how many calls each worker may have in the air."""

    delay_s: float
    calls: int

    @property
    def available(self) -> int:
        """Calls that all workers together may have in the air."""
        return self.calls * WORKERS

    def __str__(self) -> str:
        return f"{self.delay_s:g} s, {self.available} calls"

    def events(self, seconds: float) -> int:
        """Enough for a load of so long after the ramp, and of several ramps, if all calls are in the air."""
        return int(self.available * (1 + max(seconds + self.ramp_s, RAMPS * self.ramp_s) / self.delay_s))

    @property
    def ramp_s(self) -> float:
        """From the first call until all workers had time to fill twice."""
        return RAMP_S + 2 * self.delay_s


CASES = (Case(2.0, DEFAULT_CALLS), Case(0.2, DEFAULT_CALLS), Case(0.2, 64))


@dataclass(frozen=True, slots=True)
class Sample:
    """What the receiver's gauges say at a moment."""

    at: float
    open: int
    received: int  # since the load began
    idle_s: float  # CPU time that nobody used, of all cores, since the machine started


@dataclass(frozen=True, slots=True, order=True)
class Memory:
    """One worker's memory in bytes: resident, and what would be free if it ended."""

    rss: int
    uss: int


@dataclass(frozen=True, slots=True)
class Found:
    """What one case came to."""

    case: Case
    events: int
    samples: Sequence[Sample]  # between ramp and drain
    spent: Spent
    rest: Memory  # of the larger worker
    loaded: Memory

    @property
    def used(self) -> float:
        """Calls in the air, on average."""
        return fmean(sample.open for sample in self.samples)

    @property
    def share(self) -> float:
        """Used calls of those available."""
        return self.used / self.case.available

    @property
    def rate(self) -> float:
        """Calls begun in a second."""
        first, last = self.samples[0], self.samples[-1]
        return (last.received - first.received) / (last.at - first.at)

    @property
    def held_s(self) -> float:
        """How long the receiver held a call, on average: its delay, and what it was late itself."""
        return self.used / self.rate

    @property
    def cores_wanted(self) -> float:
        """Cores that it takes to keep all available calls in the air, at what a delivery costs here."""
        return self.case.available / self.case.delay_s * sum(self.spent.cpu_us.values()) / 1e6

    @property
    def cores(self) -> float:
        """Cores of this machine that were busy, with whatever ran on it."""
        first, last = self.samples[0], self.samples[-1]
        return (os.cpu_count() or 1) - (last.idle_s - first.idle_s) / (last.at - first.at)

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "delay_s": self.case.delay_s,
            "events": self.events,
            "used": self.used,
            "available": self.case.available,
            "share": self.share,
            "rate": self.rate,
            "held_s": self.held_s,
            "cpu_us": dict(self.spent.cpu_us),
            "cores_wanted": self.cores_wanted,
            "busy_cores": self.cores,
            "others": self.spent.others,
            "rest_bytes": asdict(self.rest),
            "loaded_bytes": asdict(self.loaded),
        }


def run(options: Options) -> Report:
    """Measure every case, each with workers of its own: memory that was used is seldom given back."""
    found: list[Found] = []
    problems: list[str] = []
    with Ground(options.home, durable=True) as ground:
        for number, case in enumerate(CASES, 1):
            one, wrong = measure_case(ground, case, f"slow{number}", options.seconds)
            found.append(one)
            problems += wrong
            options.say(f"{case.delay_s:g} s: {one.used:.0f} of {case.available} calls in the air")
    return report(found, problems)


def measure_case(ground: Ground, case: Case, name: str, seconds: float) -> tuple[Found, list[str]]:
    """One load on a mesh of its own, and what is wrong with its ledger afterwards."""
    with mesh(ground, name, MESH_CALLS_IN_FLIGHT=str(case.calls)) as stack:
        events = case.events(seconds)
        with mesh_lanes(ground, stack, events) as (lane, *_):
            found = _measure(ground, stack, lane, case, events)
        return found, unbalanced(stack.settings["database_url"])


def report(found: Sequence[Found], problems: list[str]) -> Report:
    """The table, the goals and the figures."""
    aims = [Goal(str(each.case), each.share, GOAL) for each in found]
    out_of_reach = [
        f"  {each.case}: the machine is too small, {each.cores_wanted:.1f} cores would be needed"
        for each in found
        if each.cores_wanted > (os.cpu_count() or 1)
    ]
    figures = {"cases": [each.figures() for each in found], "goals": [aim.figures() for aim in aims]}
    return Report(
        "Slow receivers", [slow_table(found), "\n".join([goals.table(aims), *out_of_reach])], problems, figures
    )


def _measure(ground: Ground, stack: Stack, lane: Lane, case: Case, events: int) -> Found:
    tenant_id = "slow"
    path = f"{lane.path}/{tenant_id}-{case.delay_s:g}-{case.calls}"
    lane.prepare(tenant_id, path)
    lane.publisher.prepare(lane.kind, tenant_id, events)
    ground.control.rules([{"path": path, "fault": {"delay_s": case.delay_s}}])
    rest = memory(stack)
    account = Account(ground, lane.processes)
    try:
        lane.publisher.go()
        samples, loaded = _watch(ground, stack, events)
        published = lane.publisher.wait()
        _recorded(lane, tenant_id, events)
    finally:
        ground.control.clear_rules()
    spent = account.read(published.cpu_s, events)
    return Found(case, events, steady(samples, case, events), spent, rest, loaded)


def _watch(ground: Ground, stack: Stack, events: int) -> tuple[list[Sample], Memory]:
    """The receiver's gauges from the first call to the last, and the most memory that a worker had."""
    before = ground.control.state()["seq"]
    samples: list[Sample] = []
    loaded = Memory(0, 0)
    deadline = time.monotonic() + DONE_S
    look_at = 0.0
    while not samples or samples[-1].received < events:
        if time.monotonic() > deadline:
            raise Unfinished(f"of {events} events {samples[-1].received if samples else 0} came to the receiver.")
        state = ground.control.state()
        samples.append(Sample(time.monotonic(), state["in_flight"], state["seq"] - before, psutil.cpu_times().idle))
        if time.monotonic() >= look_at:
            loaded = max(loaded, memory(stack))
            look_at = time.monotonic() + MEMORY_S
        time.sleep(SAMPLE_S)
    return samples, loaded


def steady(samples: Sequence[Sample], case: Case, events: int) -> list[Sample]:
    """The samples between ramp and drain."""
    begun = next(sample.at for sample in samples if sample.received)
    found = [s for s in samples if s.at >= begun + case.ramp_s and s.received <= events - case.available]
    if len(found) < 2:
        raise Unfinished(f"{events} events were too few to fill {case.available} calls: ask for more --seconds.")
    return found


def memory(stack: Stack) -> Memory:
    """That of the larger worker."""
    pids = [pid for name, pid in stack.supervisor.pids().items() if name.startswith("worker")]
    infos = [psutil.Process(pid).memory_full_info() for pid in pids]
    return max(Memory(info.rss, info.uss) for info in infos)


def _recorded(lane: Lane, tenant_id: str, events: int) -> None:
    """Wait until every attempt has its row."""
    deadline = time.monotonic() + DONE_S
    while (rows := int(query(lane.database_url, lane.rows, {"tenant": tenant_id})[0][0])) < events:
        if time.monotonic() > deadline:
            raise Unfinished(f"{lane.name}: {rows} of {events} rows were committed.")
        time.sleep(0.1)


def slow_table(found: Sequence[Found]) -> str:
    """Calls in the air, rates, CPU and memory."""
    there = os.cpu_count()
    rows = [
        f"{'receiver':>8}  {'calls in the air':>16}  {'share':>5}  {'rate':>7}  {'held':>6}  {'cores':>9}"
        f"  {'wanted':>6}  {'others':>6}  {'memory at rest':>14}  {'loaded':>14}"
    ]
    for each in found:
        rows.append(
            f"{each.case.delay_s:6g} s  {each.used:8.0f} of {each.case.available:4}  {each.share:5.2f}"
            f"  {each.rate:5,.0f}/s  {each.held_s:4.2f} s  {each.cores:4.2f} of {there}  {each.cores_wanted:6.2f}"
            f"  {100 * each.spent.others:4.0f} %  {_mib(each.rest)}  {_mib(each.loaded)}"
        )
    return "\n".join([*rows, METHOD, *warning(max(each.spent.others for each in found))])


def _mib(memory: Memory) -> str:
    return f"{memory.rss / MIB:6.0f} /{memory.uss / MIB:6.0f}"

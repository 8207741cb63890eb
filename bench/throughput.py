"""Part `throughput`: what the mesh and its peers deliver in a second, and what a delivery costs each part.

All do the same job: a JSON event in, one signed POST to a healthy receiver on this machine, one committed row for each
attempt. Only the mesh also keeps event and delivery rows, leases, and address checks. The machine is never quite the
same for minutes, so the ways to do the job take turns, each once a round, and ratios are taken within a round.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from bench import goals
from bench.goals import Goal
from bench.ground import Ground, query
from bench.lane import Lane, Role, Run, freeze, measure, thaw
from bench.lanes import MESH_NAMES, lanes
from bench.meter import warning
from bench.part import Options, Report

PARTS = ("consumers", "PostgreSQL", "Redis", "receiver", "publisher")
WARM_UP = 100  # events before each turn: who was frozen is awake, connected and has its code at hand
REFERENCE = "plain Celery"
SETTLED_S = 5.0  # for the last rows of the mesh's ledger
LEDGER = """
select (select count(*) from events where routed_at is null or not exists
          (select 1 from deliveries d where d.event_id = events.id)),
       (select count(*) from deliveries where state <> 'succeeded'),
       (select count(*) from integration_sync_logs where state <> 'succeeded'),
       (select count(*) from integration_sync_logs) - (select count(*) from deliveries)
"""
LEDGER_NAMES = ("events without a delivery", "deliveries not succeeded", "attempts not succeeded", "attempts too many")
METHOD = """\
all in all: from the first publishing to the last committed row
drain: the consumers are frozen until all is published, the clock starts when they go on
others: what programs that are no part of it took of this machine's CPU meanwhile
medians of the rounds, ± half the spread; ratios are medians of those within a round"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One way to do the job, with its runs of each round."""

    name: str
    role: Role
    whole: list[Run] = field(default_factory=list)
    drain: list[Run] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Deliveries a second, all in all."""
        return middle(self.whole)

    @property
    def exact(self) -> bool:
        """Whether the receiver got each event exactly once, in all runs."""
        return all(run.exact for run in (*self.whole, *self.drain))

    @property
    def others(self) -> float:
        """The share of this machine that programs which are no part of the runs took."""
        return median(run.others for run in (*self.whole, *self.drain))

    def cpu_us(self, part: str) -> float:
        """What a delivery costs a part, in microseconds of CPU."""
        return median(run.cpu_us[part] for run in self.whole)


def run(options: Options) -> Report:
    """Measure every way to do the job."""
    with Ground(options.home, durable=True) as ground, lanes(ground, options.events) as found:
        measured = [Measured(lane.name, lane.role) for lane in found]
        for number in range(1, options.rounds + 1):
            for lane, each in zip(found, measured, strict=True):
                _turn(ground, lane, each, number)
            rates = ", ".join(f"{each.name} {each.whole[-1].rate:,.0f}" for each in measured)
            options.say(f"round {number} of {options.rounds}: {rates}")
        problems = unbalanced(found[0].database_url)
    problems += [f"{each.name}: the receiver's count is another one" for each in measured if not each.exact]
    return report(measured, problems)


def report(measured: Sequence[Measured], problems: list[str]) -> Report:
    """The tables and figures of what was measured."""
    aims = aims_of(measured)
    tables = [rate_table(measured), cpu_table(measured), goals.table(aims)]
    figures = {"lanes": {each.name: _figures(each) for each in measured}, "goals": [aim.figures() for aim in aims]}
    return Report("Throughput, deliveries per second", tables, problems, figures)


def _turn(ground: Ground, lane: Lane, measured: Measured, number: int) -> None:
    name = f"{lane.kind.replace(' ', '-').replace('_', '-')}-{number}"
    thaw(lane.processes)
    try:
        measure(ground, lane, f"{name}-warm", events=min(WARM_UP, lane.events))
        measured.whole.append(measure(ground, lane, f"{name}-whole", events=lane.events))
        measured.drain.append(measure(ground, lane, f"{name}-drain", events=lane.events, drain=True))
    finally:
        freeze(lane.processes)


def unbalanced(database_url: str) -> list[str]:
    """What is wrong with the mesh's ledger after everything was settled; a moment is given to the last rows."""
    deadline = time.monotonic() + SETTLED_S
    while any(counts := query(database_url, LEDGER)[0]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [f"mesh: {count} {name}" for count, name in zip(counts, LEDGER_NAMES, strict=True) if count]


def middle(runs: Iterable[Run]) -> float:
    """The median rate."""
    return median(run.rate for run in runs)


def spread(runs: Sequence[Run]) -> float:
    """Half the distance of the fastest from the slowest, as a share of the median."""
    rates = [run.rate for run in runs]
    return (max(rates) - min(rates)) / 2 / median(rates)


def ratio(ours: Sequence[Run], theirs: Sequence[Run]) -> float:
    """The median of the ratios within each round."""
    return median(mine.rate / other.rate for mine, other in zip(ours, theirs, strict=True))


def best_peer(measured: Sequence[Measured]) -> Measured:
    """The fastest of them, all in all."""
    return max((each for each in measured if each.role is Role.PEER), key=lambda each: each.rate)


def aims_of(measured: Sequence[Measured]) -> list[Goal]:
    """The goals of throughput."""
    by_name = {each.name: each for each in measured}
    best = best_peer(measured)
    limit = next(each for each in measured if each.role is Role.LIMIT)
    lists, one_by_one = by_name[MESH_NAMES["lists"]], by_name[MESH_NAMES["one by one"]]
    rows = ((lists, best, 2.0), (one_by_one, best, 1.0), (lists, limit, 0.75))
    return [
        Goal(f"{ours.name}, beside {theirs.name}", ratio(ours.whole, theirs.whole), bound)
        for ours, theirs, bound in rows
    ]


def rate_table(measured: Sequence[Measured]) -> str:
    """Rates, and ratios to the best peer and to plain Celery."""
    best = best_peer(measured)
    reference = next(each for each in measured if each.name == REFERENCE)
    rows = [
        f"{'':18}  {'events':>6}  {'all in all':>17}  {'best peer':>9}  {'Celery':>7}  {'drain':>17}  {'others':>6}"
    ]
    for each in measured:
        rows.append(
            f"{each.name:18}  {each.whole[0].events:6}  {_rate(each.whole)}  {ratio(each.whole, best.whole):8.2f}×"
            f"  {ratio(each.whole, reference.whole):6.2f}×  {_rate(each.drain)}  {100 * each.others:4.0f} %"
        )
    rows += [METHOD, f"best peer: {best.name}; × is the ratio to it, and to {REFERENCE}"]
    return "\n".join([*rows, *warning(max(each.others for each in measured))])


def _rate(runs: Sequence[Run]) -> str:
    return f"{middle(runs):8,.0f}/s ±{100 * spread(runs):3.0f} %"


def cpu_table(measured: Sequence[Measured]) -> str:
    """What a delivery costs each part."""
    heads = "".join(f"  {part:>10}" for part in (*PARTS, "together", "core's rate"))
    rows = ["CPU, microseconds per delivery", f"{'':18}{heads}"]
    for each in measured:
        numbers = [each.cpu_us(part) for part in PARTS]
        total = sum(numbers)
        cells = "".join(f"  {number:10.0f}" for number in (*numbers, total))
        rows.append(f"{each.name:18}{cells}  {1e6 / total if total else 0:9,.0f}/s")
    return "\n".join([*rows, "core's rate: deliveries per second that a core has the time for, with all it takes"])


def _figures(measured: Measured) -> Mapping[str, Any]:
    return {
        "role": measured.role.value,
        "events": measured.whole[0].events,
        "rate": measured.rate,
        "rates": [run.rate for run in measured.whole],
        "drain_rates": [run.rate for run in measured.drain],
        "others": measured.others,
        "cpu_us": {part: measured.cpu_us(part) for part in PARTS},
    }

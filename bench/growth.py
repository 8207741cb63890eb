"""Growth: what the engine's statements cost with millions of old rows, beside empty tables.

`python -m bench.growth --rows N` fills a database of its own with N settled deliveries, their events and attempts, and
plays the same rounds on it and on an empty one, in turn. The goal is a ratio, so other load on the machine matters
little; the cost is the CPU time of the server's process, which does not count other load at all.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

import db.deliveries
import db.events
import db.retention
from bench import growth_fill, growth_pages, growth_plans, growth_steps
from bench.growth_pages import GOAL_MS, Page
from bench.growth_steps import BATCH, LEASE_S, PROVIDER, Compared, Side, claim, p95, settlement, some_events
from bench.part import Options, Report
from cli.embedded import Postgres
from db.deliveries import Again, GiveBack
from db.engine import connect
from worker import ids
from worker.enqueue import accept
from worker.retention import Deleted, retain

ROWS = 10_000_000
REPEATS = 200  # of every round on each side
GOAL_RATIO = 1.1
KEEP_DAYS = (growth_fill.WEEKS - 1) * 7  # retention's: the oldest of the weeks goes
TITLE = "Growth"


def run(options: Options, rows: int = ROWS, repeats: int = REPEATS) -> Report:
    """Fill, compare, explain, look at pages, and delete what is old while the engine works."""
    try:
        growth_fill.need_room(options.home, rows)
    except growth_fill.NoRoom as error:
        return Report(TITLE, [], [str(error)])
    postgres = Postgres(options.home / "servers")
    postgres.start()
    try:
        return _measured(postgres, options.say, rows, repeats)
    finally:
        postgres.stop()


def _measured(postgres: Postgres, say: Callable[[str], None], rows: int, repeats: int) -> Report:
    began = time.monotonic()
    empty, full = (growth_steps.side(name, postgres.url(name)) for name in ("empty", "full"))
    looks = connect(postgres.url("full"), name="bench-pages", pool_size=1)
    try:
        _prepare(empty.engine, 0)
        _prepare(full.engine, rows)
        filled_s = time.monotonic() - began
        say(f"{rows:,} deliveries, events and attempts were made in {filled_s:.0f} s, indexes and vacuum included")
        growth_steps.alternate((empty, full), growth_steps.ROUNDS, repeats)
        compared = growth_steps.compare(empty, full)
        say("steps are compared")
        plans = _plans(full.engine)
        pages = growth_pages.measure(looks)
        say("pages are measured")
        retention = _retention(full, postgres.url("full"), repeats)
    finally:
        for engine in (empty.engine, full.engine, looks):
            engine.dispose()
    took = f"{rows:,} old rows made in {filled_s:.0f} s; {time.monotonic() - began:.0f} s in all"
    return Report(
        TITLE,
        [step_table(compared, rows), plan_table(plans), page_table(pages), retention_table(retention), took],
        [],
        {
            "rows": rows,
            "steps": [{**asdict(each), "ratio": each.ratio} for each in compared],
            "pages": [asdict(each) for each in pages],
            "retention": [{**asdict(each), "p95_ratio": each.p95_ratio} for each in retention],
        },
    )


def _prepare(engine: Engine, rows: int) -> None:
    with engine.begin() as connection:
        growth_fill.empty(connection)
    if rows:
        with engine.begin() as connection:
            growth_fill.fill(connection, rows)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        growth_fill.settle_down(connection)
    engine.dispose()  # what was set for filling ends with its session


# -------------------------------------------------------------------------------------------------------------- plans


def _plans(engine: Engine) -> list[tuple[str, str]]:
    """Each of the engine's functions with what its statements read of the tables that grow."""
    with engine.connect() as connection:
        accepted = accept(connection, some_events(random.Random(1), ids.new), dispatched=True)
        wanted = [delivery_id for each in accepted for _, delivery_id in each.deliveries]
        rows = claim(connection, wanted[:10])
        ends, faults = ([settlement(row, state) for row in rows] for state in ("succeeded", "retryable"))
        calls: dict[str, Callable[[Connection], object]] = {
            "accept": lambda c: accept(c, some_events(random.Random(2), ids.new)),
            "claim": lambda c: claim(c, wanted[10:]),
            "settle": lambda c: db.deliveries.settle(c, ends),
            "reopen": lambda c: db.deliveries.reopen(
                c, [Again(end, ids.new()) for end in faults], lease_s=LEASE_S, worker="bench"
            ),
            "give back": lambda c: db.deliveries.give_back(c, [GiveBack(e.id, e.attempt_id, 0) for e in ends]),
            "shelve": lambda c: db.deliveries.shelve(c, wanted),
            "take backlog": lambda c: db.deliveries.take_backlog(c, PROVIDER, limit=BATCH, per_tenant=BATCH),
            "forget dispatch": lambda c: db.deliveries.forget_dispatch(c, PROVIDER, older_than_s=10, limit=BATCH),
            "undo dispatch": lambda c: db.deliveries.undo_dispatch(c, wanted),
            "expire leases": lambda c: db.deliveries.expire_leases(c, limit=BATCH, max_lost=5, grace_s=0),
            "lock unrouted": lambda c: db.events.lock_unrouted(c, BATCH),
            "mark routed": lambda c: db.events.mark_routed(c, [each.event_id for each in accepted]),
            "retention": lambda c: db.retention.delete_events(c, days=KEEP_DAYS, limit=500),
        }
        found = [(name, _text(growth_plans.explain(connection, call))) for name, call in calls.items()]
        connection.rollback()
    return found


def _text(reads: Sequence[growth_plans.Reads]) -> str:
    return "; ".join(each.text for each in reads if each.searches) or "searches nothing that grows"


# ---------------------------------------------------------------------------------------------------------- retention


@dataclass(frozen=True, slots=True)
class Disturbed:
    """Claims and settlements while old rows go, beside the same without."""

    what: str
    batches: int
    quiet_ms: float  # a claim and a settlement of a batch, p95
    p95_ms: float
    worst_ms: float

    @property
    def p95_ratio(self) -> float:
        """While old rows go, to without."""
        return self.p95_ms / self.quiet_ms


def _retention(full: Side, database_url: str, repeats: int) -> list[Disturbed]:
    """Play the road alone, while events are deleted, and while a partition is dropped."""
    engine = connect(database_url, name="bench-retention", pool_size=1, by_index=True)
    try:
        quiet = _road_ms(full, repeats)
        partition = _beside(engine, full, quiet, repeats, attempts_days=KEEP_DAYS)
        quiet = [*quiet, *_road_ms(full, repeats)]
        events = _beside(engine, full, quiet, repeats, events_days=KEEP_DAYS)
    finally:
        engine.dispose()
    return [events, partition]


def _beside(
    engine: Engine,
    full: Side,
    quiet: Sequence[float],
    repeats: int,
    *,
    events_days: float = 0,
    attempts_days: float = 0,
) -> Disturbed:
    """Play the road from the start of one run of retention to its end, or for a while longer."""
    began = time.monotonic()
    ms: list[float] = []
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(retain, engine, events_days=events_days, attempts_days=attempts_days)
        while not running.done():
            ms += _road_ms(full, 1)
        seconds = time.monotonic() - began
    ms += _road_ms(full, max(0, repeats - len(ms)))
    return Disturbed(_went(running.result(), seconds), len(ms), p95(quiet), p95(ms), max(ms))


def _went(deleted: Deleted, seconds: float) -> str:
    if deleted.partitions:
        return f"{len(deleted.partitions)} partition(s) dropped"
    if not deleted.events:
        return "nothing was old"
    rate = deleted.events / seconds
    return f"{deleted.events:,} events with their deliveries deleted, {rate:,.0f}/s: a million in {1e6 / rate:.0f} s"


def _road_ms(full: Side, repeats: int) -> list[float]:
    full.forget()
    for turn in range(repeats):
        growth_steps.road(full, random.Random(turn))
    return [(c + s) * BATCH / 1000 for c, s in zip(full.us["claim"], full.us["settle"], strict=True)]


# ------------------------------------------------------------------------------------------------------------- tables


def step_table(compared: Sequence[Compared], rows: int) -> str:
    """Costs of the steps, empty and full."""
    head = ("step", "batches", "CPU", "full", "ratio", "goal", "clock", "full", "p95", "full", "WAL", "full")
    cells = [
        (
            each.step, f"{each.batches}", f"{each.empty.cpu_us:.1f}", f"{each.full.cpu_us:.1f}", f"{each.ratio:.2f}",
            "met" if each.ratio <= GOAL_RATIO else "missed", f"{each.empty.us:.0f}", f"{each.full.us:.0f}",
            f"{each.empty.p95_us:.0f}", f"{each.full.p95_us:.0f}", f"{each.empty.wal:.0f}", f"{each.full.wal:.0f}",
        )
        for each in compared
    ]  # fmt: skip
    return _table(
        f"Steps of {BATCH} deliveries on empty tables and beside {rows:,} old rows; microseconds and bytes a delivery",
        head,
        cells,
        "CPU: of the server's process, median. clock: of the whole call, median and p95, with whatever else this"
        f" machine did. The goal is a ratio of {GOAL_RATIO} at most",
    )


def plan_table(plans: Sequence[tuple[str, str]]) -> str:
    """How statements find their rows."""
    return _table("Plans on the full tables", ("statement", "what it reads of the tables that grow"), plans)


def page_table(pages: Sequence[Page]) -> str:
    """How long looking takes; what is quick in one line each, what is not first."""
    slow = [each for each in pages if not each.good]
    cells = [
        (each.name, f"{each.rows}", f"{each.first_ms:.1f}", f"{each.median_ms:.1f}", f"{each.worst_ms:.1f}",
         "met" if each.good else "missed")
        for each in sorted(pages, key=lambda page: page.good)
    ]  # fmt: skip
    return _table(
        f"Pages of the log and replay queries: {len(pages) - len(slow)} of {len(pages)} within {GOAL_MS:.0f} ms",
        ("query", "rows", "first ms", "median ms", "worst ms", "goal"),
        cells,
    )


def retention_table(disturbed: Sequence[Disturbed]) -> str:
    """What retention costs the engine."""
    cells = [
        (each.what, f"{each.batches}", f"{each.quiet_ms:.1f}", f"{each.p95_ms:.1f}", f"{each.p95_ratio:.2f}",
         f"{each.worst_ms:.1f}")
        for each in disturbed
    ]  # fmt: skip
    return _table(
        f"A claim and a settlement of {BATCH} deliveries while old rows go",
        ("what goes", "batches", "p95 ms without", "p95 ms", "ratio", "worst ms"),
        cells,
    )


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], note: str = "") -> str:
    """The first column to the left, numbers to the right, words to the left."""
    widths = [max(len(cells[place]) for cells in (head, *rows)) for place in range(len(head))]
    right = [all(_is_number(cells[place]) for cells in rows) for place in range(len(head))]
    lines = [
        "  ".join(
            f"{cell:>{width}}" if number else f"{cell:<{width}}"
            for cell, width, number in zip(cells, widths, right, strict=True)
        ).rstrip()
        for cells in (head, *rows)
    ]
    return "\n".join([title, *lines, *([note] if note else [])])


def _is_number(cell: str) -> bool:
    return cell.replace(".", "", 1).isdigit()


# --------------------------------------------------------------------------------------------------------- by itself


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when it could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS, help=f"old deliveries (default {ROWS:,})")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="batches of every step, on each side")
    asked = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="mesh-growth-"))
    try:
        report = run(Options(home), asked.rows, asked.repeats)
    except KeyboardInterrupt:
        print("Stopped; everything has ended.", flush=True)
        return 130
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print("\n\n".join([*report.tables, *report.problems]))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())

"""`make bench`: what the mesh reaches on this machine, part by part, and how that compares with its peers and goals."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bench.chart import Bar, bars
from bench.machine import facts
from bench.part import PARTS, NotMeasured, Options, Report
from cli.processes import StackError

ALL = "all"
CHARTED = "throughput"  # the part whose rates `--chart` draws
DEFAULTS = Options(home=Path())
MARGIN = 3  # between a goal and what `--sanity` asks for: both sides of a ratio are measured on the same busy machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a part's figures are worthless, 2 for a wrong wish, 130 after Ctrl-C."""
    asked = _arguments(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _bench(asked)
    except KeyboardInterrupt:
        print("Stopped; everything has ended.", flush=True)
        return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    table = "\n".join(f"  {name:11}{part.measures}" for name, part in PARTS.items())
    defaults = [name for name, part in PARTS.items() if part.by_default]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"{(__doc__ or '').splitlines()[0]}\n\nparts:\n{table}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"or {ALL}; without any: {' '.join(defaults)}")
    parser.add_argument("--events", type=int, default=DEFAULTS.events, help="of a throughput run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=DEFAULTS.rounds, help="of throughput (%(default)s)")
    parser.add_argument("--seconds", type=float, default=DEFAULTS.seconds, help="of a steady load (%(default)s)")
    parser.add_argument(
        "--sanity",
        action="store_true",
        help=f"fail where a ratio is below 1/{MARGIN} of its goal",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures into this file")
    parser.add_argument("--chart", type=Path, metavar="FILE", help=f"draw the rates of {CHARTED} into this SVG file")
    asked = parser.parse_args(arguments)
    wrong = [name for name in asked.parts if name not in PARTS and name != ALL]
    if wrong:
        parser.error(f"There is no part {wrong[0]!r}: choose from {', '.join(PARTS)}, or {ALL}.")
    asked.parts = list(PARTS) if ALL in asked.parts else asked.parts or defaults
    if asked.chart and CHARTED not in asked.parts:
        parser.error(f"--chart draws {CHARTED}: add that part.")
    for name in ("events", "rounds", "seconds"):
        if getattr(asked, name) <= 0:
            parser.error(f"--{name} must be more than 0.")
    return asked


def _bench(asked: argparse.Namespace) -> int:
    machine = facts()
    print("\n".join(f"{name:10} {text}" for name, text in machine.items()))
    print("Servers, receiver and publishers share these cores; 2 processes of each kind of consumer.", flush=True)
    reports = {name: _report(name, asked) for name in asked.parts}
    if asked.json:
        asked.json.write_text(json.dumps({"machine": machine, "parts": _figures(reports)}, indent=1) + "\n")
    if asked.chart and reports[CHARTED].figures:
        asked.chart.write_text(chart(reports[CHARTED]))
    insane = _far_off(reports) if asked.sanity else []
    print("".join(f"\nFar off: {line}" for line in insane), flush=True)
    return 1 if insane or any(report.problems for report in reports.values()) else 0


def _far_off(reports: Mapping[str, Report]) -> list[str]:
    """The ratios that no busy machine explains."""
    return [
        f"{goal['name']}: {goal['value']:.2f} ×, a third of the goal would be {goal['at_least'] / MARGIN:.2f} ×."
        for report in reports.values()
        for goal in report.figures.get("goals", ())
        if goal["unit"] == "×" and goal.get("at_least", 0) / MARGIN > goal["value"]
    ]


def _report(name: str, asked: argparse.Namespace) -> Report:
    """Run a part and print what it says. What it leaves is deleted, but when it failed: its logs say why."""
    print(f"\n== {name}: {PARTS[name].measures}", flush=True)
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="mesh-bench-"))
    options = Options(home, asked.events, asked.seconds, asked.rounds, say=_say)
    try:
        report = PARTS[name].load()(options)
    except (NotMeasured, StackError) as error:
        print(f"\nNot measured: {error}\nWhat it left, logs too, is kept in {home}.", flush=True)
        return Report("Not measured", [], [str(error)])
    except BaseException:
        shutil.rmtree(home, ignore_errors=True)
        raise
    shutil.rmtree(home, ignore_errors=True)
    print("\n" + "\n\n".join([report.title, *report.tables]))
    print("\n" + ("\n".join(report.problems) or "Every event, delivery and attempt agrees with the receiver's record."))
    print(f"{time.monotonic() - began:.0f} s for {name}", flush=True)
    return report


def _say(line: str) -> None:
    print(line, flush=True)


def _figures(reports: Mapping[str, Report]) -> Mapping[str, Any]:
    return {name: {**report.figures, "problems": report.problems} for name, report in reports.items()}


def chart(report: Report) -> str:
    """The rates of all ways to do the job, as SVG."""
    lanes = report.figures["lanes"]
    rows = [Bar(name, lane["rate"], lane["role"] == "mesh") for name, lane in lanes.items()]
    return bars(report.title, rows)


if __name__ == "__main__":
    sys.exit(main())

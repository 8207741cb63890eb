"""`make chaos`: kill workers, wipe Redis, crash Postgres while events flow, and count what got lost.

ROUNDS and SEED of the environment, or --rounds and --seed: round n plays with the seed SEED + n - 1, so
`--rounds 1 --seed <that of a row>` plays one again. Exit code 0 when every promise was kept.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from bench.faults import OTHERS, WORKERS, Planned
from bench.ground import Ground
from bench.rounds import Report, Round, dump, play

COLUMNS = (
    ("seed", 6), ("published", 9), ("accepted", 8), ("wiped", 5), ("parked", 6), ("deliveries", 10), ("attempts", 8),
    ("requests", 8), ("received", 8), ("duplicates", 10), ("allowed", 7), ("lost", 4), ("stuck", 5), ("unlogged", 8),
    ("other", 5), ("crashed", 7), ("seconds", 7), ("recovered", 9),
)  # fmt: skip
LEGEND = """\
wiped       published ids that were only on Redis when it was wiped, or on their way to a worker when it was killed:
            never accepted, sent again
parked      published ids whose message Redis keeps for a dead worker; sent again rather than waited for
requests    at the receiver; received = different deliveries among them
duplicates  requests beyond a delivery's first (in brackets: those answered in full); at most `allowed`, and each must
            be one of the deliveries that a worker held, claimed and not settled, when it was killed
other       events never accepted, dead letters, second deliveries of one event, duplicates that no kill explains
crashed     processes that ended although nobody killed them; no broken promise, but not what they should do
recovered   seconds from the last fault until every delivery was settled"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the rounds; 1 when a promise was broken, 130 after Ctrl-C."""
    asked = _arguments(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    home = Path(tempfile.mkdtemp(prefix="mesh-chaos-"))
    try:
        reports = _play(asked, home)
    except KeyboardInterrupt:
        print("Stopped; everything has ended.", flush=True)
        return 130
    finally:
        if not asked.keep:
            shutil.rmtree(home, ignore_errors=True)
    return 0 if all(report.clean for report in reports) else 1


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__.splitlines()[0])
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(100_000))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS") or 10))
    parser.add_argument("--seed", type=int, default=int(seed))
    parser.add_argument("--events", type=int, default=2000, help="a round")
    parser.add_argument("--publish-s", type=float, default=7.0, help="seconds over which they are published")
    parser.add_argument("--fault", action="append", choices=(*WORKERS, *OTHERS),
                        help="only these, in this order (repeatable); default: all kinds at random")  # fmt: skip
    parser.add_argument("--dump", type=Path, default=Path(".mesh/chaos"), help="folder for what was violated")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder: servers' data and all logs")
    parser.add_argument("--verbose", action="store_true", help="say what is struck, and what the supervisor does")
    return parser.parse_args(arguments)


def _play(asked: argparse.Namespace, home: Path) -> list[Report]:
    if asked.keep:
        print(f"Everything stays in {home}")
    print(LEGEND + "\n\n" + "  ".join(f"{name:>{width}}" for name, width in COLUMNS) + "  faults", flush=True)
    reports: list[Report] = []
    say = print if asked.verbose else lambda line: None
    with Ground(home, durable=False) as ground:
        for number in range(asked.rounds):
            report = play(ground, _round(asked, asked.seed + number), say)
            reports.append(report)
            print(_line(report), flush=True)
            if not report.clean:
                _explain(ground, report, asked.dump)
    print(_total(reports), flush=True)
    return reports


def _round(asked: argparse.Namespace, seed: int) -> Round:
    chosen = None
    if asked.fault:
        step = asked.publish_s / (len(asked.fault) + 1)
        chosen = [Planned(step * (place + 1), name) for place, name in enumerate(asked.fault)]
    return Round(seed, asked.events, asked.publish_s, faults=chosen)


def _numbers(report: Report) -> dict[str, float]:
    """A report's columns that can be added up."""
    verdict = report.verdict
    assert verdict is not None
    shown = ("lost", "stuck", "unlogged")
    return {
        "published": report.published,
        "accepted": verdict.accepted,
        "wiped": report.wiped,
        "parked": report.parked,
        "crashed": report.crashed,
        "deliveries": verdict.deliveries,
        "attempts": verdict.attempts,
        "requests": verdict.requests,
        "received": verdict.received,
        "repeats": verdict.repeats,
        "duplicates": verdict.duplicates,
        "allowed": verdict.allowed,
        **{name: len(verdict.violations[name]) for name in shown},
        "other": sum(len(keys) for name, keys in verdict.violations.items() if name not in shown),
        "seconds": report.seconds,
        "recovered": report.recovered_s,
    }


def _row(seed: str, numbers: dict[str, float], faults: str) -> str:
    texts = {name: f"{value:.1f}" if isinstance(value, float) else str(value) for name, value in numbers.items()}
    texts["duplicates"] = f"{texts.pop('repeats')} ({texts['duplicates']})"
    texts["seed"] = seed
    return "  ".join(f"{texts[name]:>{width}}" for name, width in COLUMNS) + f"  {faults}"


def _line(report: Report) -> str:
    struck = ", ".join(f"{each.name}{f' ({len(each.held)})' if each.name in WORKERS else ''}" for each in report.struck)
    return _row(str(report.seed), _numbers(report), struck)


def _total(reports: Sequence[Report]) -> str:
    rows = [_numbers(report) for report in reports]
    total = {name: sum(row[name] for row in rows) for name in rows[0]} if rows else {}
    if not total:
        return "No round was played."
    total["recovered"] = max(row["recovered"] for row in rows)
    broken = sum(not report.clean for report in reports)
    verdict = f"{broken} of {len(reports)} rounds broke a promise" if broken else "every promise was kept"
    return _row("total", total, f"{verdict}; recovered: the longest")


def _explain(ground: Ground, report: Report, folder: Path) -> None:
    assert report.verdict is not None
    path = dump(ground, report, folder)
    logs = folder / f"round-{report.seed}-logs"
    shutil.copytree(ground.home / f"round-{report.seed}" / "logs", logs, dirs_exist_ok=True)
    found = ", ".join(f"{len(keys)} {name}" for name, keys in report.verdict.violations.items() if keys)
    print(f"        VIOLATED: {found}; rows in {path}, logs in {logs}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

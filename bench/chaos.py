"""`make chaos`: every way we know to break a mesh, each against a running load, judged by the receiver's own record.

Without options each named fault strikes once. FAULT (--fault) picks those whose names contain a text; ROUNDS (--rounds)
plays random mixes instead, round n with the seed SEED + n - 1. The same SEED gives the same run. Exit code 0 when every
promise was kept.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from bench.faults import FAULTS, Fault, matching
from bench.ground import Ground
from bench.rounds import Mesh, Report, Round, dump
from bench.suite import FULL, SHORT, Scale, mixes, named, play, spread
from bench.tables import LEGEND, table
from cli.embedded import EmbeddedError
from cli.stack import StackError


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the rounds; 1 when a promise was broken, 130 after Ctrl-C."""
    asked = _arguments(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    home = Path(tempfile.mkdtemp(prefix="mesh-chaos-"))
    try:
        return _run(asked, home)
    except KeyboardInterrupt:
        print("Stopped; everything has ended.", flush=True)
        return 130
    except (StackError, EmbeddedError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    finally:
        if not asked.keep:
            shutil.rmtree(home, ignore_errors=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__.splitlines()[0])
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(100_000))
    parser.add_argument("--fault", action="append", default=[], type=_matching, metavar="TEXT",
                        help="only faults whose names contain this (repeatable)")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS") or 0),
                        help="random mixes instead; with --fault these faults in this order")  # fmt: skip
    parser.add_argument("--seed", type=int, default=int(seed))
    parser.add_argument("--short", action="store_true", help="small loads and short outages, as for CI")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--dump", type=Path, default=Path(".mesh/chaos"), help="folder for what was broken")
    parser.add_argument("--keep", action="store_true", help="keep the run's folder: servers' data and all logs")
    parser.add_argument("--verbose", action="store_true", help="say what the supervisor does")
    return parser.parse_args(arguments)


def _matching(text: str) -> list[Fault]:
    found = matching(text)
    if not found:
        names = "\n  ".join(fault.name for fault in FAULTS)
        raise argparse.ArgumentTypeError(f"no fault's name contains {text!r}; there are\n  {names}")
    return found


def _run(asked: argparse.Namespace, home: Path) -> int:
    began = time.monotonic()
    chosen = [fault for found in asked.fault for fault in found]
    missing = {} if asked.rounds else {f.name: why for f in chosen or FAULTS if (why := f.missing())}
    scale = SHORT if asked.short else FULL
    rounds = _rounds(asked, chosen, missing, scale)
    print(f"{len(rounds)} rounds, seed {asked.seed}", flush=True)
    if asked.keep:
        print(f"Everything stays in {home}")
    progress = _Progress(rounds, asked.dump)
    with Ground(home, durable=False) as ground:
        say = print if asked.verbose else lambda line: None
        reports = play(ground, rounds, say, progress.done, deadline_s=scale.deadline_s, keep=not asked.rounds)
    reports.sort(key=lambda report: report.asked.place)
    print(f"\n{table(reports, missing, markdown=asked.markdown)}\n\n{LEGEND}")
    print(f"\nseed {asked.seed}, {time.monotonic() - began:.0f} s in all", flush=True)
    return 1 if any(report.broken for report in reports) else 0


def _rounds(
    asked: argparse.Namespace, chosen: Sequence[Fault], missing: Mapping[str, str], scale: Scale
) -> list[Round]:
    if asked.rounds:
        return list(mixes(asked.rounds, asked.seed, chosen))
    present = [fault for fault in chosen or FAULTS if fault.name not in missing]
    return spread(named(present, asked.seed, scale))


class _Progress:
    """Says what has been done, and writes down what was broken."""

    def __init__(self, rounds: Sequence[Round], folder: Path) -> None:
        self._count = len(rounds)
        self._folder = folder
        self._done = 0

    def done(self, mesh: Mesh, report: Report) -> None:
        """A round was played."""
        self._done += 1
        word = ", ".join(report.broken) if report.broken else "kept"
        struck = [each.name for each in report.struck] if len(report.asked.faults) > 1 else []
        print(
            f"[{self._done:>{len(str(self._count))}}/{self._count}] {report.asked.name}: {word},"
            f" {report.seconds:.1f} s{''.join(f' · {name}' for name in struck)}",
            flush=True,
        )
        if report.broken:
            path = dump(mesh, report, self._folder)
            logs = path.with_suffix(".logs")
            shutil.copytree(mesh.stack.supervisor.logs, logs, dirs_exist_ok=True)
            print(f"    rows in {path}, logs in {logs}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Clocks that jump: libfaketime gives each process of a mesh a wall clock whose offset a file holds.

The mesh's own times are PostgreSQL's and the monotonic clock; these faults show whether that is true. PostgreSQL's own
clock stays right: it is one for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.target import Effect, Target
from bench.worker_faults import one
from cli.processes import ProcessSpec
from cli.stack import Plan, specs

NOTICED_S = 1.5  # the library reads its file once a second
LIBRARIES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",  # Debian, Ubuntu
    "/usr/lib*/faketime/libfaketimeMT.so.1",  # Fedora, Arch
)


def library() -> Path | None:
    """Where libfaketime is on this machine."""
    return next((path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))), None)


def missing() -> str:
    """Why clocks cannot be stepped here; empty where they can."""
    return "" if library() else "install libfaketime (Debian: apt-get install faketime)"


def clocked(home: Path) -> tuple[Mapping[str, Path], Callable[[Plan], Sequence[ProcessSpec]]]:
    """The clocks of a mesh by process, right for now, and the plan whose processes go by them."""
    found = library()
    assert found is not None, missing()
    home.mkdir(parents=True, exist_ok=True)
    clocks: dict[str, Path] = {}

    def plan(planned: Plan) -> list[ProcessSpec]:
        return [
            replace(each, argv=_awake(each.argv), env={**each.env, **_environment(found, clock(each.name))})
            for each in specs(planned)
        ]

    def clock(process: str) -> Path:
        clocks[process] = home / f"{process}.clock"
        clocks[process].write_text("+0")
        return clocks[process]

    return clocks, plan


def _awake(argv: Sequence[str]) -> Sequence[str]:
    """The same Python module, run by `bench.awake`."""
    python, dash_m, *module = argv
    assert dash_m == "-m"
    return [python, dash_m, "bench.awake", *module]


def _environment(found: Path, clock: Path) -> Mapping[str, str]:
    return {
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def stepped(seconds: int, *processes: str) -> Callable[[Target, float], Effect]:
    """These processes' clocks (all without a name) jump by so many seconds; then a worker is killed.

    What that worker held comes back only if the periodic work goes on.
    """

    def strike(target: Target, _seconds: float) -> Effect:
        for process in processes or target.clocks:
            target.clocks[process].write_text(f"{seconds:+d}")
        time.sleep(NOTICED_S)
        return one(target, 0)

    return strike

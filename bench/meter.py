"""CPU time of whole process trees, from the system's own accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import psutil

Pids = Callable[[], Sequence[int]]


QUIET = 0.1  # of the machine, at most for others, or figures say little


class Meter:
    """CPU seconds of named parts, from `start` to `read`."""

    def __init__(self, parts: Mapping[str, Pids]) -> None:
        self._parts = parts
        self._before: dict[str, float] = {}

    def start(self) -> None:
        """Count from now."""
        self._before = self._now()

    def read(self) -> dict[str, float]:
        """Seconds since the start, by part."""
        now = self._now()
        return {name: now[name] - self._before[name] for name in self._parts}

    def _now(self) -> dict[str, float]:
        return {name: sum(map(tree_s, pids())) for name, pids in self._parts.items()}


def machine_s() -> float:
    """CPU seconds of this whole machine since it started, on all cores, whoever used them."""
    times = psutil.cpu_times()
    return float(sum(times[:]) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def warning(others: float) -> list[str]:
    """A line where others took too much of the machine for rates to mean anything."""
    if others <= QUIET:
        return []
    return [
        f"Other programs took up to {100 * others:.0f} % of this machine: rates say little then, CPU per delivery more."
        " Measure again when it is quiet."
    ]


def tree_s(pid: int) -> float:
    """CPU seconds of a process and of all its children, those that have ended too."""
    return sum(_with_ended_children(process) for process in tree(pid))


def tree(pid: int) -> Iterable[psutil.Process]:
    """A process and its children, as far as they still run."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _with_ended_children(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)

"""CPU time of whole process trees, from the system's own accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import psutil

Pids = Callable[[], Sequence[int]]


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

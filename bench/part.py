"""The parts of `make bench`: what each is given, what it says, and the table of them.

A part starts its own ground in `options.home`, an empty folder of its own that is deleted afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked on the command line. Each part uses what concerns it."""

    home: Path  # an empty folder of the part's own
    events: int = 4500  # of a throughput run
    seconds: float = 5.0  # of one measured load at a steady pace
    rounds: int = 3  # how often each way to do the job is measured
    say: Callable[[str], None] = print  # progress, a line at a time


@dataclass(frozen=True, slots=True)
class Report:
    """What a part found out."""

    title: str
    tables: list[str]  # as they are printed
    problems: list[str] = field(default_factory=list)  # what makes the figures worthless; goals missed are none
    figures: Mapping[str, Any] = field(default_factory=dict)  # the same as the tables, as JSON can hold it


class NotMeasured(RuntimeError):
    """A part could not be measured; the text is one sentence that says why."""


Run = Callable[[Options], Report]


@dataclass(frozen=True, slots=True)
class Part:
    """One subject of measurement: a module with a function `run(options) -> Report`."""

    measures: str
    module: str
    by_default: bool = False

    def load(self) -> Run:
        """Its function; nothing of a part is imported before it is asked for."""
        run: Run = import_module(self.module).run
        return run


PARTS: Mapping[str, Part] = {
    "throughput": Part("deliveries per second beside other task queues", "bench.throughput", by_default=True),
    "slow": Part("calls in flight and memory with receivers that take their time", "bench.slow", by_default=True),
    "latency": Part("from publishing to the receiver, through each door", "bench.latency", by_default=True),
    "isolation": Part("what bad receivers and loud tenants do to the others", "bench.isolation"),
    "growth": Part("what millions of old rows cost", "bench.growth"),
}

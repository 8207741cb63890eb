"""A chart of stacked bars: where each bar stands, ready to be drawn as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

WIDTH, HEIGHT = 720, 160  # of the view box
LEFT, BOTTOM, TOP = 44, 22, 8
GAP = 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A line or a word at the edge."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn."""

    bars: Sequence[Bar]
    lines: Sequence[Mark]  # across, with their numbers
    times: Sequence[Mark]  # below
    titles: Sequence[tuple[float, float, str]]  # x, width, and what is said of a whole bar


def stacked(
    steps: Sequence[Mapping[str, int]], kinds: Sequence[str], since: datetime, step: timedelta, pattern: str
) -> Chart:
    """Bars of these kinds, the first one at the bottom, one bar for each step of time."""
    most = _round(max((sum(each.values()) for each in steps), default=0))
    wide = (WIDTH - LEFT) / max(len(steps), 1)
    bars, titles = [], []
    for place, each in enumerate(steps):
        x, level = LEFT + place * wide, 0
        for kind in kinds:
            value = each.get(kind, 0)
            if value:
                level += value
                height = _y(0, most) - _y(value, most)
                bars.append(Bar(kind, round(x, 1), _y(level, most), round(max(wide - GAP, 1), 1), round(height, 1)))
        said = ", ".join(f"{each.get(kind, 0):,} {kind}" for kind in kinds)
        titles.append((round(x, 1), round(wide, 1), f"{since + place * step:{pattern}}: {said}"))
    lines = (
        [Mark(_y(value, most), f"{value:,}") for value in (0, most // 2, most)] if most > 1 else [Mark(_y(0, 1), "0")]
    )
    every = max(1, len(steps) // 6)
    times = [
        Mark(round(LEFT + place * wide, 1), f"{since + place * step:{pattern}}")
        for place in range(0, len(steps) - every // 2, every)
    ]
    return Chart(bars, lines, times, titles)


def _y(value: float, most: int) -> float:
    room = HEIGHT - BOTTOM - TOP
    return round(HEIGHT - BOTTOM - room * value / max(most, 1), 1)


def _round(value: int) -> int:
    """The next number that reads well at the top of a chart, and halves well."""
    size = 1
    while True:
        for factor in (2, 4, 6, 8, 10, 12, 16):
            if factor * size >= value:
                return factor * size
        size *= 10

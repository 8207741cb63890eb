"""A bar chart as SVG, written by hand: one bar for each way to do the job, in the light or the dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, BAR, GAP, LABEL, VALUE, TOP = 760, 22, 12, 170, 150, 84
LEGEND = (("ours", "Agent Mesh: event, delivery and attempt rows, leases, address checks"), ("", "only the bare job"))
STYLE = """\
.ground { fill: #ffffff }
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.note { font-size: 12px; fill: #59636e }
.bar { fill: #8c959f }
.ours { fill: #0969da }
.axis { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  .ground { fill: #0d1117 }
  text { fill: #e6edf3 }
  .note { fill: #9198a1 }
  .bar { fill: #6e7681 }
  .ours { fill: #4493f8 }
  .axis { stroke: #3d444d }
}"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row: a name, its value, and whether it is ours."""

    name: str
    value: float
    ours: bool


def bars(title: str, rows: Sequence[Bar], unit: str = "/s") -> str:
    """The picture of the rows, on the scale of the longest."""
    longest = max((row.value for row in rows), default=0.0) or 1.0
    height = TOP + len(rows) * (BAR + GAP) + GAP
    said = ", ".join(f"{row.name} {row.value:,.0f}{unit}" for row in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-label="{escape(f"{title}: {said}")}">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="title" x="16" y="30">{escape(title)}</text>',
        *_legend(),
        f'<line class="axis" x1="{LABEL}" y1="{TOP - GAP / 2:g}" x2="{LABEL}" y2="{height - GAP / 2:g}"/>',
    ]
    for place, row in enumerate(rows):
        parts += _row(row, TOP + place * (BAR + GAP) + GAP // 2, (WIDTH - LABEL - VALUE) * row.value / longest, unit)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    parts, x = [], 16
    for kind, text in LEGEND:
        parts.append(f'<rect class="{_kind(kind)}" x="{x}" y="47" width="12" height="12" rx="2"/>')
        parts.append(f'<text class="note" x="{x + 18}" y="57">{escape(text)}</text>')
        x += 18 + 7 * len(text)
    return parts


def _row(row: Bar, top: int, length: float, unit: str) -> list[str]:
    middle = top + BAR / 2 + 4.5
    return [
        f'<text x="{LABEL - 10}" y="{middle:g}" text-anchor="end">{escape(row.name)}</text>',
        f'<rect class="{_kind("ours" if row.ours else "")}" x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR}"'
        ' rx="2"/>',
        f'<text x="{LABEL + length + 8:.1f}" y="{middle:g}">{row.value:,.0f}{escape(unit)}</text>',
    ]


def _kind(kind: str) -> str:
    return f"bar {kind}".strip()

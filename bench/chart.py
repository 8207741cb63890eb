"""A bar chart as SVG, written by hand: one bar for each way to do the job."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, BAR, GAP, LABEL = 760, 26, 12, 190


def bars(title: str, rows: Sequence[tuple[str, float]]) -> str:
    """The picture of (name, rate) rows, drawn on the widest one's scale."""
    widest = max((rate for _, rate in rows), default=1.0)
    height = 60 + len(rows) * (BAR + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
        ' font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (name, rate) in enumerate(rows):
        top = 48 + place * (BAR + GAP)
        length = (WIDTH - LABEL - 90) * rate / widest
        colour = "#2563eb" if name.startswith("mesh") else "#9ca3af"
        parts += [
            f'<text x="{LABEL - 10}" y="{top + 18}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{length:.0f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LABEL + length + 8:.0f}" y="{top + 18}">{rate:,.0f}/s</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"

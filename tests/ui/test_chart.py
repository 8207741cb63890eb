"""The chart of the first page: where each bar stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from api.ui.chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, Bar, Chart, stacked

KINDS = ("good", "bad")
SINCE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def drawn(*steps: dict[str, int]) -> Chart:
    return stacked(steps, KINDS, SINCE, timedelta(minutes=5), "%H:%M")


def test_pieces_of_a_bar_stand_on_each_other() -> None:
    good, bad = drawn({"good": 3, "bad": 1}).bars
    assert (good.kind, bad.kind) == KINDS
    assert good.y + good.height == HEIGHT - BOTTOM
    assert bad.y + bad.height == pytest.approx(good.y, abs=0.11)
    assert good.height == pytest.approx(3 * bad.height, abs=0.2)


def test_bars_stand_side_by_side_within_the_view() -> None:
    chart = drawn(*[{"good": 1}] * 10)
    places = [(bar.x, bar.x + bar.width) for bar in chart.bars]
    assert all(ended < begins for (_, ended), (begins, _) in pairwise(places))
    assert places[0][0] == LEFT
    assert places[-1][1] <= WIDTH


def test_a_step_without_anything_has_no_bar_but_says_so() -> None:
    chart = drawn({"good": 2}, {}, {"bad": 1})
    assert [bar.kind for bar in chart.bars] == ["good", "bad"]
    assert [said for _, _, said in chart.titles] == [
        "12:00: 2 good, 0 bad",
        "12:05: 0 good, 0 bad",
        "12:10: 0 good, 1 bad",
    ]


@pytest.mark.parametrize(
    ("most", "numbers"),
    [
        (1, ["0", "1", "2"]),
        (3, ["0", "2", "4"]),
        (11, ["0", "6", "12"]),
        (39, ["0", "20", "40"]),
        (101, ["0", "60", "120"]),
        (999_999, ["0", "500,000", "1,000,000"]),
    ],
)
def test_the_numbers_beside_it_read_well(most: int, numbers: list[str]) -> None:
    chart = drawn({"good": most})
    assert [line.text for line in chart.lines] == numbers
    (bar,) = chart.bars
    assert TOP <= bar.y < HEIGHT - BOTTOM, "the highest bar stays in the view"


def test_nothing_at_all_is_a_chart_too() -> None:
    chart = drawn({}, {})
    assert chart.bars == []
    assert chart.lines[0].text == "0"


def test_times_below_are_few() -> None:
    assert [mark.text for mark in drawn(*[{}] * 12).times] == ["12:00", "12:10", "12:20", "12:30", "12:40", "12:50"]


def test_a_bar_is_never_thinner_than_can_be_seen() -> None:
    assert all(isinstance(bar, Bar) and bar.width >= 1 for bar in drawn(*[{"good": 1}] * 700).bars)

"""What the isolation measurements make of arrivals, and that a report names every case it measured."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import isolation
from bench.isolation import CASES, Bench, Load, Row, busiest_second, latencies, p95, per_second, table
from bench.part import Options


def test_the_busiest_second_is_found_wherever_it_begins() -> None:
    assert busiest_second([]) == 0
    assert busiest_second([0.0, 0.9, 1.0, 1.1, 1.85, 5.0]) == 4
    assert busiest_second([0.0, 1.0, 2.0]) == 1, "a second does not hold its own end"


def test_calls_are_counted_by_the_second_from_the_first_on() -> None:
    assert per_second([10.5, 11.4, 11.6, 13.5, 99.0], 4) == [2, 1, 0, 1]
    assert per_second([], 2) == [0, 0]


def test_p95_is_what_one_in_twenty_exceeds() -> None:
    assert p95([float(n) for n in range(1, 101)]) == 96.0
    assert p95([7.0]) == 7.0


def test_a_load_gives_its_tenants_turns() -> None:
    events = Load("x", ["a", "b"], rate=2.0, seconds=1.5).events()
    assert events == [("a", "x-0"), ("b", "x-1"), ("a", "x-2")]


def watching(monkeypatch: pytest.MonkeyPatch) -> tuple[Bench, dict[str, float]]:
    """A bench whose receiver has seen what is put into the answer, and a clock that stands still."""
    came: dict[str, float] = {}
    control = SimpleNamespace(arrivals=lambda path: came)
    stack: Any = SimpleNamespace(settings={"database_url": ""})
    ground: Any = SimpleNamespace(control=control)
    monkeypatch.setattr(isolation, "query", lambda url, sql, given: [(key, key) for key in given["keys"]])
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    monkeypatch.setattr(time, "time", lambda: 100.0)
    return Bench(ground, stack, 1.0, print), came


def test_a_latency_counts_from_the_moment_that_was_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still here, so every event is sent too early; what counts is when it was due."""
    bench, came = watching(monkeypatch)
    sent: list[str] = []

    def door(tenant: str) -> Any:
        def send(keys: Any) -> None:
            sent.extend(keys)
            came.update(dict.fromkeys(keys, 101.0))

        return send

    load = Load("x", ["quiet", "other"], rate=10.0, seconds=0.4)
    found = latencies(bench, load, door, ["quiet"])
    assert sent == ["x-0", "x-1", "x-2", "x-3"]
    assert found == pytest.approx([1000 - 400, 1000 - 200], abs=1)


def test_an_event_that_never_comes_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, _ = watching(monkeypatch)
    monkeypatch.setattr(isolation, "SETTLE_S", 0.0)
    with pytest.raises(RuntimeError, match="only 0 of 2 watched events"):
        latencies(bench, Load("x", ["quiet"], rate=2.0, seconds=1.0), lambda tenant: lambda keys: None, ["quiet"])


def test_a_table_says_of_each_goal_whether_it_was_met() -> None:
    rows = [Row("a", "p95 ms", 10.0, 13.0, "<= 1.2 x", False), Row("b", "calls", None, 5.0, "<= 10", True)]
    _, first, second = table(rows).splitlines()
    assert first.split() == ["a", "p95", "ms", "10.0", "13.0", "1.30", "<=", "1.2", "x", "missed"]
    assert second.split() == ["b", "calls", "5.0", "<=", "10", "met"]


def test_a_case_that_cannot_be_measured_is_a_problem_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def case(ground: Any, name: str, options: Options) -> list[Row]:
        if name == "sick":
            raise RuntimeError("nothing came")
        return [Row(name, "p95 ms", 10.0, 11.0, "<= 1.2 x", True)]

    class NoGround:
        def __init__(self, home: Path, *, durable: bool) -> None:
            pass

        def __enter__(self) -> NoGround:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(isolation, "Ground", NoGround)
    monkeypatch.setattr(isolation, "_case", case)
    report = isolation.run(Options(tmp_path))
    assert report.problems == ["sick: nothing came"]
    assert [row["case"] for row in json.loads(json.dumps(report.figures))["rows"]] == [n for n in CASES if n != "sick"]
    assert report.figures["rows"][0]["ratio"] == pytest.approx(1.1)


def test_an_unknown_case_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        isolation.main(["nosy"])
    assert "there is no case nosy" in capsys.readouterr().err

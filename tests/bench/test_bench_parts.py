"""Producers, pacing, tables, goals and pictures, each on its own, with figures that are given."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import cast
from xml.etree import ElementTree

import psycopg2
import pytest

from bench import latency, slow, throughput
from bench.__main__ import _far_off, chart, main
from bench.chart import Bar, bars
from bench.goals import Goal
from bench.lane import Role, Run, Spent, Unfinished
from bench.lanes import DOORS, PEERS
from bench.latency import GOAL_RATE, NONE, Latency, pace
from bench.part import PARTS, Options, Part, Report
from bench.producers import Producer, Stopped, groups, insist
from bench.slow import Case, Found, Memory, Sample, steady
from bench.throughput import Measured, best_peer, ratio

SVG = "{http://www.w3.org/2000/svg}"


class Door:
    """Takes what is sent, after failing a few times."""

    def __init__(self, failures: Sequence[Exception] = ()) -> None:
        self.failures = list(failures)
        self.taken: list[str] = []

    def send(self, keys: Sequence[str]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.extend(keys)


def test_a_careful_producer_tries_again_while_a_server_is_away() -> None:
    door = Door([psycopg2.OperationalError("away"), ConnectionRefusedError()])
    assert insist(door.send, ["a", "b"], threading.Event()) == 3
    assert door.taken == ["a", "b"]


def test_a_careful_producer_gives_up_only_when_it_is_stopped() -> None:
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        insist(Door([OSError()]).send, ["a"], stopped)


def test_a_mistake_of_the_producer_ends_the_round() -> None:
    producer = Producer("wrong", Door([KeyError("no such thing")]).send, [["a"]], 0)
    producer.start()
    with pytest.raises(KeyError):
        producer.finish(5)
    assert producer.sent == set()


def test_a_producer_sends_every_id_once() -> None:
    keys = [str(number) for number in range(100)]
    door = Door()
    producer = Producer("door", door.send, list(groups(random.Random(1), keys, 10)), 0.05)
    producer.start()
    producer.finish(5)
    assert door.taken == keys
    assert producer.sent == set(keys)


def test_latency_counts_from_the_moment_an_event_was_due_even_when_the_sender_is_late() -> None:
    slept: list[float] = []
    due = pace(Door().send, ["a", "b", "c"], 10, sleep=slept.append)
    moments = list(due.values())
    assert [round(later - earlier, 3) for earlier, later in pairwise(moments)] == [0.1, 0.1]
    assert len(slept) == 3


def test_percentiles_are_latencies_that_were_measured() -> None:
    measured = Latency("SQL", 50, [float(number) for number in range(1, 101)], 100)
    assert [measured.percentile(share) for share in (0.5, 0.95, 0.99, 1)] == [51, 96, 100, 100]


def test_a_latency_report_judges_the_doors_at_the_goals_rate_and_counts_what_did_not_arrive() -> None:
    found = [
        Latency("Redis publish", GOAL_RATE, [10.0, 20.0], 2),
        Latency("SQL publish_event", GOAL_RATE, [10.0, 30.5], 3),
        Latency("SQL publish_event", 50, [90.0], 1),
        Latency(NONE, GOAL_RATE, [1.5], 1),
    ]
    report = latency.report(found)
    assert report.tables[1].splitlines()[1:] == [
        "  Redis publish at 200/s, p95: 20.00 ms, wanted at most 25 ms: met",
        "  SQL publish_event at 200/s, p95: 30.50 ms, wanted at most 25 ms: missed by 5.50 ms",
    ]
    assert report.problems == ["SQL publish_event at 200/s: 1 of 3 events did not arrive"]
    assert "the measuring itself takes 1.5 ms, p95 1.5 ms" in report.tables[0]
    assert "too busy" not in report.tables[0]
    assert [door["p95_ms"] for door in report.figures["doors"]] == [20.0, 30.5, 90.0, 1.5]


def test_a_machine_that_is_too_busy_to_measure_latency_is_named() -> None:
    found = [Latency("Redis publish", GOAL_RATE, [10.0], 1), Latency(NONE, GOAL_RATE, [0.7, 5.5], 2)]
    assert latency.report(found).tables[0].endswith("this machine was too busy with something else to judge.")


@pytest.mark.parametrize(
    ("value", "at_most", "line"),
    [
        (2.0, False, "rate: 2.00 ×, wanted at least 2 ×: met"),
        (1.25, False, "rate: 1.25 ×, wanted at least 2 ×: missed by 0.75 ×"),
        (2.0, True, "rate: 2.00 ×, wanted at most 2 ×: met"),
        (2.5, True, "rate: 2.50 ×, wanted at most 2 ×: missed by 0.50 ×"),
        (float("nan"), True, "rate: nan ×, wanted at most 2 ×: missed by nan ×"),
    ],
)
def test_a_goal_says_whether_it_is_met_or_by_how_much_it_is_missed(value: float, at_most: bool, line: str) -> None:
    assert str(Goal("rate", value, 2.0, at_most=at_most)) == line


def run(rate: float, cpu_us: float = 100.0) -> Run:
    return Run(1000, 1000 / rate, dict.fromkeys(throughput.PARTS, cpu_us), 1000, 1000, 0.25)


RATES = {
    "mesh, lists": (3000.0, 2000.0, 2400.0),
    "mesh, one by one": (900.0, 600.0, 700.0),
    "mesh, SQL door": (2000.0, 1500.0, 1600.0),
    "plain Celery": (600.0, 400.0, 500.0),
    "dramatiq": (1000.0, 650.0, 800.0),
    "taskiq": (1500.0, 1000.0, 1600.0),
    "saq": (900.0, 500.0, 700.0),
    "hand-written loop": (4000.0, 2500.0, 3200.0),
}


def measured() -> list[Measured]:
    roles = {door.name: Role.MESH for door in DOORS} | {peer.name: peer.role for peer in PEERS}
    return [
        Measured(name, roles[name], [run(rate) for rate in rates], [run(2 * rate, 50) for rate in rates])
        for name, rates in RATES.items()
    ]


def test_every_way_to_do_the_job_is_measured() -> None:
    assert [each.name for each in measured()] == [door.name for door in DOORS] + [peer.name for peer in PEERS]
    assert [peer.name for peer in PEERS if peer.role is Role.LIMIT] == ["hand-written loop"]


def test_ratios_are_taken_within_a_round() -> None:
    by_name = {each.name: each for each in measured()}
    lists, taskiq = by_name["mesh, lists"].whole, by_name["taskiq"].whole
    assert ratio(lists, taskiq) == pytest.approx(2.0)  # of 2.0, 2.0 and 1.5; that of the medians is 1.6
    assert by_name["mesh, lists"].rate == pytest.approx(2400)


def test_the_best_peer_is_a_queue_not_the_limit_and_not_ours() -> None:
    assert best_peer(measured()).name == "taskiq"


def test_the_rate_table_has_both_ratios_of_every_lane_and_the_goals_stand_below() -> None:
    report = throughput.report(measured(), [])
    table = report.tables[0].splitlines()
    assert " ".join(table[1].split()) == "mesh, lists 1000 2,400/s ± 21 % 2.00× 5.00× 4,800/s ± 21 % 25 %"
    assert " ".join(table[4].split()) == "plain Celery 1000 500/s ± 20 % 0.40× 1.00× 1,000/s ± 20 % 25 %"
    assert [line.split()[0] for line in table[1:9]] == [name.split()[0] for name in RATES]
    assert report.tables[2].splitlines()[1:] == [
        "  mesh, lists, beside taskiq: 2.00 ×, wanted at least 2 ×: met",
        "  mesh, one by one, beside taskiq: 0.60 ×, wanted at least 1 ×: missed by 0.40 ×",
        "  mesh, lists, beside hand-written loop: 0.75 ×, wanted at least 0.75 ×: met",
    ]
    assert [goal["met"] for goal in report.figures["goals"]] == [True, False, True]


def test_the_cpu_table_is_of_the_whole_runs_and_adds_up() -> None:
    line = throughput.report(measured(), []).tables[1].splitlines()[2]
    assert line.split() == ["mesh,", "lists", *["100"] * 5, "500", "2,000/s"]


@pytest.mark.parametrize(("others", "warned"), [(0.1, False), (0.11, True)])
def test_a_busy_machine_is_named_beside_the_rates(others: float, warned: bool) -> None:
    lanes = measured()
    for each in lanes:
        each.whole[:] = [replace(run, others=others) for run in each.whole]
        each.drain[:] = each.whole
    table = throughput.report(lanes, []).tables[0]
    assert ("Other programs took up to 11 % of this machine" in table) is warned


def test_a_run_is_exact_when_each_event_came_once() -> None:
    lane = measured()[0]
    assert lane.exact
    lane.drain[0] = replace(lane.drain[0], requests=1001)
    assert not lane.exact


def test_the_chart_of_a_report_names_every_lane_and_its_rate() -> None:
    picture = ElementTree.fromstring(chart(throughput.report(measured(), [])))
    words = [text.text for text in picture.findall(f"{SVG}text")]
    assert [word for word in words if word in RATES] == list(RATES)
    assert [word for word in words if word and word.endswith("/s")] == [f"{each.rate:,.0f}/s" for each in measured()]


def test_bars_are_as_long_as_their_values_and_ours_have_a_colour_of_their_own() -> None:
    text = bars("A & B", [Bar("mesh, lists", 3000.0, True), Bar("plain <Celery>", 600.0, False)])
    picture = ElementTree.fromstring(text)
    ours, theirs = (each for each in picture.findall(f"{SVG}rect") if each.get("height") == "22")
    assert float(ours.get("width", 0)) == pytest.approx(5 * float(theirs.get("width", 0)), rel=0.01)
    assert (ours.get("class"), theirs.get("class")) == ("bar ours", "bar")
    assert "prefers-color-scheme: dark" in text


def test_a_chart_of_nothing_is_a_picture_too() -> None:
    assert ElementTree.fromstring(bars("Nothing", [])).findall(f"{SVG}text")


SLOW = Case(delay_s=0.5, calls=10)


def samples() -> list[Sample]:
    """A tenth of a second apart: 10 s of ramp, load at 19 of 20 calls, and drain; one of two cores is idle."""
    load = [Sample(at / 10, 19, at * 4, at / 10) for at in range(2, 101)]
    return [Sample(0.0, 0, 0, 0.0), Sample(0.1, 2, 2, 0.1), *load, Sample(10.1, 3, 420, 10.1)]


def test_what_counts_lies_between_ramp_and_drain() -> None:
    counted = steady(samples(), SLOW, 420)
    assert counted[0].at == pytest.approx(0.1 + slow.RAMP_S + 2 * 0.5)
    assert counted[-1].received == 420 - SLOW.available


def test_a_load_without_a_steady_time_is_refused() -> None:
    with pytest.raises(Unfinished, match="ask for more --seconds"):
        steady(samples(), SLOW, 120)


def test_the_load_lasts_for_the_asked_time_and_several_ramps() -> None:
    for seconds in (0.1, 60):
        lasts_s = (SLOW.events(seconds) / SLOW.available - 1) * SLOW.delay_s
        assert lasts_s >= max(slow.RAMPS * SLOW.ramp_s, seconds + SLOW.ramp_s) - 0.1


def test_a_slow_report_has_share_rate_cores_and_memory() -> None:
    counted, spent = steady(samples(), SLOW, 420), Spent({"consumers": 30_000.0, "receiver": 20_000.0}, 0.4)
    rest, loaded = Memory(100 << 20, 80 << 20), Memory(120 << 20, 99 << 20)
    report = slow.report([Found(SLOW, 420, counted, spent, rest, loaded)], [])
    (case,) = report.figures["cases"]
    assert case["share"] == pytest.approx(0.95)
    assert case["rate"] == pytest.approx(40)
    assert case["held_s"] == pytest.approx(19 / 40)
    assert case["cores_wanted"] == pytest.approx(40 * 0.05)
    assert case["busy_cores"] == pytest.approx((os.cpu_count() or 1) - 1)
    row = " ".join(report.tables[0].splitlines()[1].split())
    assert row.startswith("0.5 s 19 of 20 0.95 40/s 0.47 s ")
    assert row.endswith(" 2.00 40 % 100 / 80 120 / 99")
    assert report.tables[1].endswith("0.5 s, 20 calls: 0.95 ×, wanted at least 0.9 ×: met")


def test_calls_that_no_machine_of_this_size_could_make_are_named() -> None:
    counted, cores = steady(samples(), SLOW, 420), (os.cpu_count() or 1) + 1
    cost_us = cores / 40 * 1e6  # 20 calls of half a second are 40 a second
    found = Found(SLOW, 420, counted, Spent({"consumers": cost_us}, 0.0), Memory(1, 1), Memory(1, 1))
    goal = slow.report([found], []).tables[1].splitlines()[-1]
    assert goal == f"  0.5 s, 20 calls: the machine is too small, {cores:.1f} cores would be needed"


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_found_by_its_name(name: str) -> None:
    assert callable(PARTS[name].load())


def told(options: Options) -> Report:
    """A part that works."""
    assert options.home.is_dir()
    options.say(f"told for {options.seconds:g} s")
    return Report("Told", ["a table"], figures={"answer": 42})


def run_of(monkeypatch: pytest.MonkeyPatch, name: str, part: Callable[[Options], Report]) -> None:
    module = ModuleType(f"bench_{name}")
    module.run = part  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cast(dict[str, Part], PARTS), name, Part("something", module.__name__))


def test_a_part_that_cannot_be_measured_is_a_sentence_and_the_next_one_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fails(options: Options) -> Report:
        raise Unfinished("It took too long.")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_of(monkeypatch, "slow", fails)
    run_of(monkeypatch, "latency", told)
    figures = tmp_path / "figures.json"
    assert main(["slow", "latency", "--seconds", "2", "--json", str(figures)]) == 1
    said = capsys.readouterr().out
    assert "It took too long." in said
    assert said.index("told for 2 s") < said.index("a table")
    (kept,) = tmp_path.glob("mesh-bench-*")
    assert f"What it left, logs too, is kept in {kept}." in said
    parts = json.loads(figures.read_text())["parts"]
    assert parts == {"slow": {"problems": ["It took too long."]}, "latency": {"answer": 42, "problems": []}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["latence"], "There is no part 'latence': choose from throughput, slow, latency, isolation, growth, or all."),
        (["slow", "--chart", "x.svg"], "--chart draws throughput: add that part."),
        (["--events", "0"], "--events must be more than 0."),
    ],
)
def test_a_wrong_wish_gets_one_sentence(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(said)


def test_sanity_asks_for_a_third_of_what_is_a_ratio_and_never_for_a_time() -> None:
    def report(*goals: Goal) -> Report:
        return Report("", [], figures={"goals": [goal.figures() for goal in goals]})

    fine = report(Goal("lists", 0.7, 2), Goal("p95", 900, 25, "ms", at_most=True))
    slow = report(Goal("lists", 0.6, 2))
    assert _far_off({"a": fine}) == []
    assert _far_off({"a": fine, "b": slow}) == ["lists: 0.60 ×, a third of the goal would be 0.67 ×."]

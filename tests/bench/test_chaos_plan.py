"""The table of faults, the rounds made of it, and the table of what came of them: all without a server."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from bench import chaos, suite
from bench.faults import FAULTS, MIXED, MIXED_KILLS, WORKER_KILL, Struck, matching, mix
from bench.rounds import RECOVER_S, Report, Round
from bench.suite import FULL, SHORT, Scale, mixes, named, spread
from bench.tables import HEADS, row, table
from bench.target import Effect
from bench.verdict import Delivery, Facts, Receipt, judge
from worker.faults import PHASES

SHORT_BUDGET_S = 130.0  # of load and outages in the short form; leases, starts and reckonings take the rest of 3.5 min

FACTS = Facts(
    published=["a"],
    vanished=[],
    events={"a": "event-a"},
    deliveries={"to-a": Delivery("event-a", "succeeded")},
    attempts={"to-a": 2},
    open_attempts=[],
    received={"to-a": Receipt(2, 2)},
    held=Counter({"to-a": 1}),
)


def report(facts: Facts = FACTS, recovered_s: float | None = 0.5) -> Report:
    """A report of the first fault's round."""
    (asked,) = named(FAULTS[:1], 7, SHORT)
    struck = [Struck(0.5, FAULTS[0].name, 0.1, 100.0, Effect(held=["to-a"]))]
    return Report(asked, struck, published=1, recovered_s=recovered_s, verdict=judge(facts), facts=facts)


def test_every_fault_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(fault.name for fault in FAULTS).items() if count > 1] == []


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_of_a_delivery_has_its_kill(phase: str) -> None:
    moment = {"send": "before send", "sent": "after send"}.get(phase, f"after {phase}")
    assert f"kill a worker {moment}" in {fault.name for fault in FAULTS}


def test_a_round_is_long_enough_for_its_fault_and_has_load_before_and_after() -> None:
    for scale in (FULL, SHORT):
        for asked, fault in zip(named(FAULTS, 1, scale), FAULTS, strict=True):
            (planned,) = asked.faults
            assert planned.fault is fault
            assert planned.at_s > 0
            assert asked.publish_s >= planned.at_s + planned.seconds
            assert asked.tail_s > 0


def test_the_short_form_plays_every_fault_within_its_time() -> None:
    rounds = named(FAULTS, 1, SHORT)
    assert [asked.name for asked in rounds] == [fault.name for fault in FAULTS]
    assert sum(asked.publish_s + asked.tail_s for asked in rounds) < SHORT_BUDGET_S


def test_what_stands_side_by_side_is_not_played_one_after_another_and_nothing_is_left_out() -> None:
    rounds = named(FAULTS, 1, SHORT)
    played = spread(rounds)
    assert sorted(played, key=lambda asked: asked.place) == rounds
    clocked = [any(planned.fault.clocked for planned in asked.faults) for asked in played]
    assert clocked == sorted(clocked)
    plain = played[: clocked.index(True)]
    assert all(abs(one.place - other.place) > 1 for one, other in pairwise(plain))


def test_a_seed_gives_a_fault_the_same_round_whichever_others_are_played() -> None:
    alone = named(FAULTS[3:4], 5, FULL)
    assert alone == named(FAULTS, 5, FULL)[3:4]
    assert alone != named(FAULTS[3:4], 6, FULL)


def test_a_seed_gives_the_same_mix_of_all_kinds_of_faults() -> None:
    assert list(mixes(2, 5, [])) == [*mixes(1, 5, []), *mixes(1, 6, [])]
    planned = mix(random.Random(5))
    assert len(planned) == MIXED
    assert sum(each.fault.name == WORKER_KILL for each in planned) == MIXED_KILLS
    assert [each.at_s for each in planned] == sorted(each.at_s for each in planned)
    seen = {each.fault.name for seed in range(200) for each in mix(random.Random(seed))}
    assert seen == {fault.name for fault in FAULTS if fault.mixes}


def test_faults_are_found_by_a_part_of_their_names_or_by_a_whole_one() -> None:
    assert [fault.name for fault in matching("flush")] == ["Redis: FLUSHALL"]
    assert [fault.name for fault in matching("redis killed, back empty")] == ["Redis killed, back empty"]
    assert len(matching("KILL A WORKER AFTER")) == len(PHASES) - 1
    assert matching("no such thing") == []


def test_a_wrong_name_lists_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        chaos.main(["--fault", "no such thing"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "no fault's name contains 'no such thing'" in said
    assert all(fault.name in said for fault in FAULTS)


def test_a_row_says_what_was_counted() -> None:
    cells = dict(zip(HEADS, row(report()), strict=True))
    assert cells["fault"] == FAULTS[0].name
    assert (cells["events"], cells["attempts"], cells["requests"]) == ("1", "2", "2")
    assert cells["duplicates (allowed)"] == "1 (1)"
    assert (cells["recovered s"], cells["verdict"]) == ("0.50", "kept")


BROKEN = {
    "1 duplicates": report(replace(FACTS, held=Counter())),
    "1 lost": report(replace(FACTS, vanished=["a"])),
    "1 unlogged": report(replace(FACTS, attempts={"to-a": 1})),
    "1 dead": report(replace(FACTS, deliveries={"to-a": Delivery("event-a", "failed")})),
    "no new delivery": report(recovered_s=None),
    "new deliveries only after 15.1 s": report(recovered_s=RECOVER_S + 0.1),
    "the workers slept": replace(report(), problem="the workers slept"),
    "2 crashed": replace(report(), crashed=2),
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_broken_promise_is_named_in_its_row_and_counted_below(words: str) -> None:
    assert BROKEN[words].broken == [words]
    printed = table([report(), BROKEN[words]], {}, markdown=False).splitlines()
    assert printed[1].endswith("kept")
    assert printed[2].endswith(f"BROKEN: {words}")
    assert printed[3].startswith("all 2")
    assert printed[3].endswith("1 BROKEN")


def test_what_cannot_run_here_stands_in_the_table_with_its_reason() -> None:
    printed = table([report()], {"clocks jump": "install it"}, markdown=False)
    assert "clocks jump" in printed
    assert "not run here: install it" in printed


def test_markdown_has_a_cell_for_each_column() -> None:
    lines = table([report()], {"clocks jump": "install it"}, markdown=True).splitlines()
    assert {line.count("|") for line in lines} == {len(HEADS) + 1}
    assert lines[1].startswith("| --- | ---: |")


class _Played:
    """A mesh that notes what is played on it, and how it came and went."""

    diary: list[str]

    def __init__(self, _ground: object, name: str, _say: object, *, deadline_s: float, clocked: bool) -> None:
        self.clocked = clocked
        self.diary.append(f"{name} starts")

    def __enter__(self) -> _Played:
        return self

    def __exit__(self, *_: object) -> None:
        self.diary.append("ends")

    def play(self, asked: Round) -> Report:
        self.diary.append(asked.name)
        return replace(report(), asked=asked, problem="spoiled" if asked.name == "second" else "")


class _Ground:
    """Servers that are always there."""

    @property
    def redis(self) -> _Ground:
        return self

    def start(self) -> None:
        """Nothing to do."""

    def flushall(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(
    ("keep", "meshes"),
    [
        (True, ["mesh-1 starts", "first", "second", "ends", "mesh-3 starts", "third", "ends"]),
        (
            False,
            ["mesh-1 starts", "first", "ends", "mesh-2 starts", "second", "ends", "mesh-3 starts", "third", "ends"],
        ),
    ],
)
def test_a_mesh_is_kept_until_a_promise_was_broken_on_it(
    monkeypatch: pytest.MonkeyPatch, keep: bool, meshes: list[str]
) -> None:
    monkeypatch.setattr(suite, "Mesh", _Played)
    _Played.diary = []
    plain = Round("", 1, "", "", 1, 1.0, 1.0, (), 1.0)
    rounds = [replace(plain, name=name, tenant_id=str(n)) for n, name in enumerate(("first", "second", "third"), 1)]
    ground: object = _Ground()
    reports = suite.play(ground, rounds, print, lambda mesh, report: None, deadline_s=1, keep=keep)  # type: ignore[arg-type]
    assert [each.asked.name for each in reports] == ["first", "second", "third"]
    assert _Played.diary == meshes


def test_scales_differ_in_size_only() -> None:
    assert isinstance(FULL, Scale)
    assert SHORT.events < FULL.events
    assert all(SHORT.seconds(fault) <= FULL.seconds(fault) for fault in FAULTS)

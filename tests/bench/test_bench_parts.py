"""Producers, fault plans, pacing and pictures, each on its own."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree

import psycopg2
import pytest

from bench import faults
from bench.chart import bars
from bench.latency import Latency, pace
from bench.producers import Producer, Stopped, groups, insist


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


def test_a_seed_gives_the_same_faults_and_all_kinds_of_them() -> None:
    planned = faults.plan(random.Random(7), 10)
    assert planned == faults.plan(random.Random(7), 10)
    assert planned != faults.plan(random.Random(8), 10)
    names = [each.name for each in planned]
    assert set(faults.OTHERS) < set(names)
    assert sum(name in faults.WORKERS for name in names) == 3
    assert all(0 < each.at_s < 10 for each in planned)
    assert {*faults.OTHERS, *faults.WORKERS} == faults.FAULTS.keys()


def test_latency_counts_from_the_moment_an_event_was_due_even_when_the_sender_is_late() -> None:
    slept: list[float] = []
    due = pace(Door().send, ["a", "b", "c"], 10, sleep=slept.append)
    moments = list(due.values())
    assert [round(later - earlier, 3) for earlier, later in pairwise(moments)] == [0.1, 0.1]
    assert len(slept) == 3


def test_percentiles_are_latencies_that_were_measured() -> None:
    measured = Latency("SQL", 50, [float(number) for number in range(1, 101)], 100)
    assert [measured.percentile(share) for share in (0.5, 0.95, 0.99, 1)] == [51, 96, 100, 100]


def test_the_chart_is_a_picture_with_a_bar_for_each_row() -> None:
    picture = ElementTree.fromstring(bars("A & B", [("mesh, lists", 3000.0), ("plain <Celery>", 600.0)]))
    rectangles = picture.findall("{http://www.w3.org/2000/svg}rect")
    assert len(rectangles) == 3
    assert float(rectangles[1].get("width", 0)) > 4 * float(rectangles[2].get("width", 0))

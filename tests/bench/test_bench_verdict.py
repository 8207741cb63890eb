"""The judge of chaos rounds has to be able to say no: every way to break a promise, planted one at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bench.verdict import Delivery, Facts, Receipt, judge, recovery_s

PLAIN = Facts(
    published=["a", "b", "c"],
    vanished=[],
    events={"a": "event-a", "b": "event-b", "c": "event-c"},
    deliveries={
        "to-a": Delivery("event-a", "succeeded"),
        "to-b": Delivery("event-b", "succeeded"),
        "to-c": Delivery("event-c", "succeeded"),
    },
    attempts={"to-a": 1, "to-b": 1, "to-c": 2},
    open_attempts=[],
    received={"to-a": Receipt(1, 1), "to-b": Receipt(1, 1), "to-c": Receipt(2, 2)},
    held=Counter({"to-c": 1, "to-a": 1}),
)

# What kills its workers: two of them held it, and it ended as a dead letter.
POISONED = replace(
    PLAIN,
    deliveries={**PLAIN.deliveries, "to-b": Delivery("event-b", "failed")},
    attempts={**PLAIN.attempts, "to-b": 2},
    received={**PLAIN.received, "to-b": Receipt(2, 0)},
    held=Counter({"to-c": 1, "to-b": 2}),
    poison=["to-b"],
    poison_calls=2,
)

PLANTED = {
    "never accepted": (replace(PLAIN, published=["a", "b", "c", "d"]), "not_accepted", ["d"]),
    "accepted, then gone": (replace(PLAIN, vanished=["b"]), "lost", ["b"]),
    "no delivery": (replace(PLAIN, events={**PLAIN.events, "d": "event-d"}), "lost", ["d"]),
    "succeeded, never received": (
        replace(PLAIN, received={"to-a": Receipt(1, 1), "to-c": Receipt(2, 2)}),
        "lost",
        ["to-b"],
    ),
    "received, never answered": (replace(PLAIN, received={**PLAIN.received, "to-b": Receipt(1, 0)}), "lost", ["to-b"]),
    "not settled": (
        replace(PLAIN, deliveries={**PLAIN.deliveries, "to-b": Delivery("event-b", "retrying")}),
        "stuck",
        ["to-b"],
    ),
    "an attempt still open": (replace(PLAIN, open_attempts=["to-a"]), "stuck", ["to-a"]),
    "a dead letter": (
        replace(PLAIN, deliveries={**PLAIN.deliveries, "to-b": Delivery("event-b", "failed")}),
        "dead",
        ["to-b"],
    ),
    "a call without a row": (replace(PLAIN, attempts={"to-a": 1, "to-b": 1, "to-c": 1}), "unlogged", ["to-c"]),
    "a call of nobody": (replace(PLAIN, received={**PLAIN.received, "to-x": Receipt(1, 1)}), "unlogged", ["to-x"]),
    "two deliveries of one event": (
        replace(PLAIN, deliveries={**PLAIN.deliveries, "to-c": Delivery("event-b", "succeeded")}),
        "doubled",
        ["to-b", "to-c"],
    ),
    "a duplicate that no kill explains": (replace(PLAIN, held=Counter({"to-a": 5})), "duplicates", ["to-c"]),
    "poison that is delivered": (
        replace(POISONED, deliveries={**PLAIN.deliveries, "to-b": Delivery("event-b", "succeeded")}),
        "undead",
        ["to-b"],
    ),
    "poison that kills too many": (replace(POISONED, poison_calls=1), "undead", ["to-b"]),
    "a dead letter beside the poison": (
        replace(POISONED, deliveries={**POISONED.deliveries, "to-c": Delivery("event-c", "failed")}),
        "dead",
        ["to-c"],
    ),
    "a duplicate nobody answered": (
        replace(PLAIN, attempts={**PLAIN.attempts, "to-b": 2}, received={**PLAIN.received, "to-b": Receipt(2, 1)}),
        "duplicates",
        ["to-b"],
    ),
}


def test_what_a_kill_explains_is_no_violation() -> None:
    verdict = judge(PLAIN)
    assert verdict.clean
    assert (verdict.accepted, verdict.deliveries, verdict.attempts, verdict.received) == (3, 3, 4, 3)
    assert (verdict.requests, verdict.repeats, verdict.duplicates, verdict.allowed) == (4, 1, 1, 2)


def test_poison_that_ends_as_a_dead_letter_is_no_violation() -> None:
    verdict = judge(POISONED)
    assert verdict.clean, verdict.violations
    assert (verdict.repeats, verdict.allowed) == (2, 3)


@pytest.mark.parametrize("name", PLANTED)
def test_a_broken_promise_is_found_and_named(name: str) -> None:
    facts, kind, ids = PLANTED[name]
    verdict = judge(facts)
    assert not verdict.clean
    assert verdict.violations[kind] == ids


def test_nothing_at_all_is_not_success() -> None:
    verdict = judge(replace(PLAIN, events={}, deliveries={}, attempts={}, received={}))
    assert verdict.violations["not_accepted"] == ["a", "b", "c"]


CLAIMED = {"before": 99.0, "after": 101.0, "later": 103.0, "never called": 100.5}
ARRIVED = {"before": 102.0, "after": 104.5, "later": 103.5}


def test_recovery_ends_with_the_first_call_of_what_was_claimed_after_the_fault() -> None:
    assert recovery_s(100.0, CLAIMED, ARRIVED) == 3.5


def test_calls_of_what_was_claimed_before_the_fault_ended_are_no_recovery() -> None:
    assert recovery_s(104.0, CLAIMED, ARRIVED) is None

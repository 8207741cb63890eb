"""Judging a chaos round: the receiver's own record against the ledger. Pure: facts in, violations out.

not_accepted   the producer gave it, again and again, and it is not in `events`
lost           acknowledged, then gone; accepted without a delivery; settled, yet the receiver never answered it
stuck          not settled, or an attempt row still open, after the wait
dead           a dead letter or a cancelled delivery, although the receiver says yes to everything
undead         what kills its worker is no dead letter, or was called more often than it may
unlogged       more requests at the receiver than attempt rows
doubled        a second delivery of one event: the receiver could not know it for a repetition
duplicates     more requests of one delivery than died with a killed worker explain
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

FINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of `deliveries`."""

    event_id: str
    state: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the receiver says of one webhook-id."""

    requests: int
    ok: int  # answered in full with a 2xx


@dataclass(frozen=True, slots=True)
class Facts:
    """What both sides say after a round. Events by the producer's ids; all else by delivery id."""

    published: Collection[str]
    vanished: Collection[str]  # of those that were once seen committed
    events: Mapping[str, str]
    deliveries: Mapping[str, Delivery]
    attempts: Mapping[str, int]
    open_attempts: Collection[str]
    received: Mapping[str, Receipt]
    held: Counter[str] = field(default_factory=Counter)  # how many killed workers held it when they died
    poison: Collection[str] = ()  # those that kill their workers, and must end as dead letters
    poison_calls: int = 0  # how often one of these may be called


@dataclass(frozen=True, slots=True)
class Verdict:
    """The counts of a round, and every id that breaks a promise."""

    accepted: int
    deliveries: int
    attempts: int
    received: int  # ids
    requests: int
    duplicates: int  # whole answers beyond the first
    repeats: int  # requests beyond the first; what a killed worker did not stay to hear is one
    allowed: int
    violations: Mapping[str, list[str]]

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.violations.values())


def recovery_s(over_at: float, claimed: Mapping[str, float], arrived: Mapping[str, float]) -> float | None:
    """Seconds from the end of a fault to the first call of a delivery that was first claimed after it.

    Both by delivery id, in unix seconds. None when there was no such call.
    """
    after = [arrived[key] for key, at in claimed.items() if at >= over_at and key in arrived]
    return min(after) - over_at if after else None


def judge(facts: Facts) -> Verdict:
    """Hold the receiver's record against the ledger."""
    answers = facts.received.values()
    return Verdict(
        accepted=len(facts.events),
        deliveries=len(facts.deliveries),
        attempts=sum(facts.attempts.values()),
        received=len(facts.received),
        requests=sum(each.requests for each in answers),
        duplicates=sum(max(0, each.ok - 1) for each in answers),
        repeats=sum(max(0, each.requests - 1) for each in answers),
        allowed=facts.held.total(),
        violations={
            "not_accepted": sorted(set(facts.published) - facts.events.keys()),
            "lost": _lost(facts),
            "stuck": _stuck(facts),
            "dead": sorted(
                key
                for key, each in facts.deliveries.items()
                if each.state in ("failed", "cancelled") and key not in facts.poison
            ),
            "undead": sorted(key for key in facts.poison if _is_undead(facts, key)),
            "unlogged": sorted(
                key for key, each in facts.received.items() if each.requests > facts.attempts.get(key, 0)
            ),
            "doubled": _doubled(facts),
            "duplicates": sorted(key for key, each in facts.received.items() if each.requests - 1 > facts.held[key]),
        },
    )


def _lost(facts: Facts) -> list[str]:
    """Ids of events (the producer's) or of deliveries."""
    routed = {each.event_id for each in facts.deliveries.values()}
    unrouted = [key for key, event_id in facts.events.items() if event_id not in routed]
    unheard = [
        key
        for key, each in facts.deliveries.items()
        if each.state in FINAL and key not in facts.poison and facts.received.get(key, Receipt(0, 0)).ok == 0
    ]
    return sorted(set(facts.vanished) | set(unrouted) | set(unheard))


def _stuck(facts: Facts) -> list[str]:
    waiting = {key for key, each in facts.deliveries.items() if each.state not in FINAL}
    return sorted(waiting | set(facts.open_attempts))


def _is_undead(facts: Facts, key: str) -> bool:
    called = facts.received.get(key, Receipt(0, 0)).requests
    return facts.deliveries[key].state != "failed" or called > facts.poison_calls


def _doubled(facts: Facts) -> list[str]:
    """Every delivery of an event that has more than one: each event here has one webhook."""
    made = Counter(each.event_id for each in facts.deliveries.values())
    return sorted(key for key, each in facts.deliveries.items() if made[each.event_id] > 1)

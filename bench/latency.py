"""Part `latency`: from publishing to the receiver's door, at a steady pace.

Open loop: every event has its moment, and its latency counts from that moment even where the publisher was late, so a
stall is not hidden. The arrival is the receiver's own clock; both clocks are this machine's. The door "none" checks the
measuring itself: the same pace, the same clocks, and a POST straight to the receiver, with no mesh between; what it
shows is in every other row too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import urllib3

from bench import goals
from bench.goals import Goal
from bench.ground import Ground, query, subscribe
from bench.lanes import PATH, mesh
from bench.part import Options, Report
from bench.producers import AcceptDoor, Send, SqlDoor, data, over_redis
from cli.stack import Stack

RATES = (50, 200)  # events a second
GOAL_RATE, GOAL_MS = 200, 25.0  # of the 95th percentile
MEASURING_MS = 5.0  # at most, of the 95th percentile; else something else keeps the machine busy
SHARES = (0.5, 0.95, 0.99)
WAIT_S = 30.0  # for the last arrivals
FIRST_S = 0.2  # between the start of a run and its first event
WARM_UP = 20  # events through each door before its run
NONE = "none"
IDS = (
    "select e.idempotency_key, d.id::text from deliveries d join events e on e.id = d.event_id"
    " where d.tenant_id = %(tenant)s"
)


@dataclass(frozen=True, slots=True)
class Latency:
    """One run's latencies in milliseconds, sorted, and how late the publisher itself began, sorted too."""

    door: str
    rate: int
    ms: Sequence[float]
    sent: int
    late_ms: Sequence[float] = (0.0,)

    def percentile(self, share: float) -> float:
        """The latency that this share of the events did not exceed."""
        return percentile(self.ms, share)

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        shares = {f"p{100 * share:g}_ms": self.percentile(share) for share in SHARES}
        return {"door": self.door, "rate": self.rate, "sent": self.sent, "arrived": len(self.ms), **shares,
                "late_p95_ms": percentile(self.late_ms, 0.95)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Course:
    """Where the events of one run go: a tenant, its path at the receiver, and the addresses of both."""

    tenant_id: str
    path: str
    url: str
    database_url: str


def run(options: Options) -> Report:
    """Measure every door at every rate."""
    with Ground(options.home, durable=True) as ground, mesh(ground, "mesh") as stack:
        found = []
        for rate in RATES:
            for door in DOORS:
                found.append(_through(ground, stack, door, rate, options.seconds))
                p95 = found[-1].percentile(0.95)
                options.say(f"{door} at {rate}/s: p95 {p95:.1f} ms")
    return report(found)


def report(found: Sequence[Latency]) -> Report:
    """The table, the goals, and what is wrong."""
    aims = [
        Goal(f"{each.door} at {each.rate}/s, p95", each.percentile(0.95), GOAL_MS, "ms", at_most=True)
        for each in found
        if each.rate == GOAL_RATE and each.door != NONE
    ]
    problems = [
        f"{each.door} at {each.rate}/s: {each.sent - len(each.ms)} of {each.sent} events did not arrive"
        for each in found
        if len(each.ms) < each.sent
    ]
    figures = {"doors": [each.figures() for each in found], "goals": [aim.figures() for aim in aims]}
    title = "Latency from publishing to the receiver, milliseconds"
    return Report(title, [latency_table(found), goals.table(aims)], problems, figures)


def pace(send: Send, keys: Sequence[str], rate: int, sleep: Callable[[float], None] = time.sleep) -> dict[str, float]:
    """Send one at a time, `rate` a second. When each was due, in unix seconds."""
    began = time.time() + FIRST_S
    due = {key: began + place / rate for place, key in enumerate(keys)}
    for key, moment in due.items():
        sleep(max(0.0, moment - time.time()))
        send([key])
    return due


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of sorted values did not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def _through(ground: Ground, stack: Stack, door: str, rate: int, seconds: float) -> Latency:
    """One run, after a few events that open connections."""
    tenant_id = f"pace-{door.split()[0].lower()}-{rate}"
    path = f"{PATH}/{tenant_id}"
    course = Course(tenant_id, path, ground.sandbox_url + path, stack.settings["database_url"])
    subscribe(stack, tenant_id, course.url)
    with DOORS[door](course) as send:
        measure(ground, course, door, send, [f"warm-{number}" for number in range(WARM_UP)], rate)
        keys = [f"{tenant_id}-{number}" for number in range(max(1, int(rate * seconds)))]
        return measure(ground, course, door, send, keys, rate)


def measure(ground: Ground, course: Course, door: str, send: Send, keys: Sequence[str], rate: int) -> Latency:
    """Publish at a pace, then compare with what the receiver wrote down."""
    began: dict[str, float] = {}

    def noted(some: Sequence[str]) -> None:
        began[some[0]] = time.time()
        send(some)

    due = pace(noted, keys, rate)
    arrived = _arrivals(ground, course, door, keys)
    took = sorted((arrived[key] - due[key]) * 1000 for key in keys if key in arrived)
    late = sorted((began[key] - due[key]) * 1000 for key in keys)
    return Latency(door, rate, took, len(keys), late)


def _arrivals(ground: Ground, course: Course, door: str, keys: Sequence[str]) -> Mapping[str, float]:
    """When the event of each key came to the receiver; waits for the last."""
    deadline = time.monotonic() + WAIT_S
    while True:
        arrived = ground.control.arrivals(course.path)
        if door != NONE:
            delivery_of = dict(query(course.database_url, IDS, {"tenant": course.tenant_id}))
            arrived = {key: arrived[id_] for key, id_ in delivery_of.items() if id_ in arrived}
        if all(key in arrived for key in keys) or time.monotonic() > deadline:
            return arrived
        time.sleep(0.1)


@contextmanager
def _redis(course: Course) -> Iterator[Send]:
    """`tasks.events.publish`."""
    yield partial(over_redis, course.tenant_id)


@contextmanager
def _transaction(door: type[SqlDoor] | type[AcceptDoor], course: Course) -> Iterator[Send]:
    """A door into a transaction of the producer's own."""
    opened = door(course.database_url, course.tenant_id)
    try:
        yield opened.send
    finally:
        opened.close()


@contextmanager
def _straight(course: Course) -> Iterator[Send]:
    """A POST to the receiver itself, under the event's key."""
    target = urlsplit(course.url)
    with urllib3.HTTPConnectionPool(target.hostname or "", target.port, maxsize=1) as http:
        yield partial(_post, http, target.path)


def _post(http: urllib3.HTTPConnectionPool, path: str, keys: Sequence[str]) -> None:
    for key in keys:
        http.urlopen("POST", path, json.dumps(data(key)), {"webhook-id": key, "Content-Type": "application/json"})


DOORS: Mapping[str, Callable[[Course], AbstractContextManager[Send]]] = {
    "Redis publish": _redis,
    "SQL publish_event": partial(_transaction, SqlDoor),
    "Python accept": partial(_transaction, AcceptDoor),
    NONE: _straight,
}


def latency_table(found: Sequence[Latency]) -> str:
    """Percentiles, and how late the publisher was."""
    rows = [
        f"{'door':17}  {'rate':>6}  {'events':>6}  {'arrived':>7}  {'p50':>7}  {'p95':>7}  {'p99':>7}  {'late p95':>8}"
    ]
    for each in found:
        numbers = "  ".join(f"{each.percentile(share):7.1f}" for share in SHARES)
        late = percentile(each.late_ms, 0.95)
        rows.append(f"{each.door:17}  {each.rate:4}/s  {each.sent:6}  {len(each.ms):7}  {numbers}  {late:8.1f}")
    rows.append("late: how long after its moment the publisher began with an event, included in its latency")
    own = [each for each in found if each.door == NONE]
    p50, p95 = (max(each.percentile(share) for each in own) for share in (0.5, 0.95))
    rows.append(f"none: a POST straight to the receiver: the measuring itself takes {p50:.1f} ms, p95 {p95:.1f} ms")
    if p95 > MEASURING_MS:
        rows.append(f"That is more than {MEASURING_MS:g} ms: this machine was too busy with something else to judge.")
    return "\n".join(rows)

"""What one tenant, endpoint or provider does to the others: each load without the disturbance, then with it.

sick endpoints   one in ten hangs to its deadline, one in ten answers 500: how late are the healthy ones?
noisy tenant     100,000 events wait, published in lists over Redis or by the SQL door: how late is a quiet tenant?
rate limit       hundreds wait for an endpoint that takes ten a second: does it get ten, and no retry is spent?
429 for a minute with Retry-After and without: what reaches the endpoint meanwhile, and what when it ends?
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.ground import EVENT_TYPE, START_S, Ground, enter_environment, query, subscribe
from bench.meter import tree
from bench.part import Options, Report
from bench.producers import Send, SqlDoor, over_redis
from cli.stack import Stack

DEADLINE_S = 5  # of a call: so long a hanging endpoint holds its place
SETTLE_S = 90.0  # for the last arrivals of a measured load, a whole backlog ahead of them at worst
WARM_EVENTS = 200
POLL_S = 0.2

ENDPOINTS = 50
SICK_RATE = 150  # events a second over all endpoints
SICK_TURNS = 3  # of both, one after the other: the medians are compared
SICK_GOAL = 1.2

QUIET_RATE = 20
QUIET_S = 2.0  # in units of `options.seconds`
NOISY = "noisy"
NOISY_EVENTS = 100_000
NOISY_GOAL = 1.5
LIST = 1000  # events handed to the Redis door at once, which sends messages of 50

LIMIT = 10  # calls a second
LIMITED_EVENTS = 400
LIMITED_S = 25.0
LIMITED_GOAL = 0.05  # how far the rate may be off, as a share
LIMITED_MOST = 11  # calls in any second

REFUSED_S = 60.0
REFUSED_EVENTS = 300  # that come once it is held
REFUSED_RATE = 2  # events a second all the time
REFUSALS: Mapping[str, Mapping[str, Any]] = {
    "asked": {"status": 429, "headers": {"Retry-After": "10"}},
    "unasked": {"status": 429},
}
TITLES = {"asked": "429, Retry-After", "unasked": "429, no word"}
HOLD_MOST_S = 90.0  # until it is called again
AFTER_S = 12.0  # how long we look from then on
FIRST_MOST = 10  # calls in its first second
STEEPEST = 2.0  # calls in a second, of all before it: as a ramp that doubles, with room for where a second begins
PROBES_MOST = 20  # calls that it refuses in the minute

HELD = "select bool_and(held_until > now()) from webhooks"
DONE = "select count(*) from deliveries where tenant_id = %(tenant)s and state = 'succeeded'"
DELIVERY_OF = (
    "select e.idempotency_key, d.id::text from deliveries d join events e on e.id = d.event_id"
    " where e.tenant_id = any(%(tenants)s) and e.idempotency_key = any(%(keys)s)"
)
COSTS = (
    "select (select coalesce(max(retry_count), 0) from deliveries where tenant_id = %(tenant)s),"
    " (select count(*) from integration_sync_logs where tenant_id = %(tenant)s and state <> 'started')"
)
MANY = (
    "select publish_event(%(tenant)s, %(type)s, jsonb_build_object('campaign_id', n::text, 'name', 'Spring launch',"
    " 'objective', 'sales', 'budget', 250, 'currency', 'EUR'), %(tenant)s || '-' || n)"
    " from generate_series(%(first)s::int, %(last)s::int) n"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a quantity without the disturbance and with it, or with it alone."""

    case: str
    quantity: str
    without: float | None
    with_it: float
    goal: str
    met: bool

    @property
    def ratio(self) -> float | None:
        """How many times as much."""
        return self.with_it / self.without if self.without else None


@dataclass(frozen=True, slots=True)
class Bench:
    """A running mesh, and what its measurements are told."""

    ground: Ground
    stack: Stack
    seconds: float
    say: Callable[[str], None]

    @property
    def database_url(self) -> str:
        """Of the mesh."""
        return self.stack.settings["database_url"]

    def endpoint(self, tenant_id: str, **limits: Any) -> str:
        """A tenant with one webhook to a path of its own; the path."""
        path = f"/receive/{tenant_id}"
        subscribe(self.stack, tenant_id, self.ground.sandbox_url + path)
        for column, value in limits.items():
            sql = f"update webhooks set {column} = %(value)s where tenant_id = %(tenant)s returning id"
            query(self.database_url, sql, {"value": value, "tenant": tenant_id})
        return path


# ------------------------------------------------------------------------------------------------- a steady load


@dataclass(frozen=True, slots=True)
class Load:
    """Events at a steady pace, the tenants taking turns."""

    name: str
    tenants: Sequence[str]
    rate: float
    seconds: float

    def events(self) -> list[tuple[str, str]]:
        """(tenant, key) of each event, in order."""
        count = max(1, int(self.rate * self.seconds))
        return [(self.tenants[n % len(self.tenants)], f"{self.name}-{n}") for n in range(count)]


def latencies(bench: Bench, load: Load, door: Callable[[str], Send], watched: Sequence[str]) -> list[float]:
    """Milliseconds from each event's due moment to its arrival, sorted, for the events of the watched tenants."""
    send = {tenant: door(tenant) for tenant in load.tenants}
    began = time.time() + POLL_S
    due: dict[str, float] = {}
    for place, (tenant, key) in enumerate(load.events()):
        moment = began + place / load.rate
        time.sleep(max(0.0, moment - time.time()))
        send[tenant]([key])
        if tenant in watched:
            due[key] = moment
    arrived = _arrivals(bench, watched, due.keys())
    return sorted((arrived[key] - moment) * 1000 for key, moment in due.items())


def _arrivals(bench: Bench, tenants: Sequence[str], keys: Collection[str]) -> Mapping[str, float]:
    """When each of these events first came to the receiver. Raises RuntimeError when one does not come in time."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        rows = query(bench.database_url, DELIVERY_OF, {"tenants": list(tenants), "keys": list(keys)})
        seen = bench.ground.control.arrivals("/receive/*")
        arrived = {key: seen[delivery_id] for key, delivery_id in rows if delivery_id in seen}
        if len(arrived) == len(keys):
            return arrived
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {len(arrived)} of {len(keys)} watched events arrived within {SETTLE_S:g} s")
        time.sleep(POLL_S)


def p95(sorted_ms: Sequence[float]) -> float:
    """The latency that 95 % did not exceed."""
    return sorted_ms[min(len(sorted_ms) - 1, int(0.95 * len(sorted_ms)))]


def by_redis(tenant_id: str) -> Send:
    """The Redis door of a tenant."""
    return partial(over_redis, tenant_id)


# ------------------------------------------------------------------------------------------------- sick endpoints


def sick_endpoints(bench: Bench) -> Iterator[Row]:
    """One in ten endpoints hangs, one in ten answers 500."""
    tenants = [f"sick-{n}" for n in range(ENDPOINTS)]
    paths = [bench.endpoint(tenant) for tenant in tenants]
    tenth = ENDPOINTS // 10
    healthy = tenants[2 * tenth :]

    control = bench.ground.control

    def measured(name: str) -> float:
        load = Load(name, tenants, SICK_RATE, bench.seconds)
        return p95(latencies(bench, load, by_redis, healthy))

    latencies(bench, Load("sick-warm", tenants, SICK_RATE, WARM_EVENTS / SICK_RATE), by_redis, tenants)
    without, with_it = [], []
    for turn in range(SICK_TURNS):
        control.clear_rules()
        without.append(measured(f"sick-without-{turn}"))
        control.rules([{"path": path, "fault": "hang"} for path in paths[:tenth]])
        for path in paths[tenth : 2 * tenth]:
            control.add_rule(path, "500")
        with_it.append(measured(f"sick-with-{turn}"))
    bench.say(f"sick endpoints: p95 without {_shown(without)}, with {_shown(with_it)}")
    load = f"{SICK_RATE}/s, {ENDPOINTS} endpoints"
    yield _latency_row("sick endpoints", load, median(without), median(with_it), SICK_GOAL)


def _shown(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.1f}" for number in numbers)


def _latency_row(case: str, load: str, without: float, with_it: float, goal: float) -> Row:
    return Row(case, f"p95 ms, {load}", without, with_it, f"<= {goal:g} x", with_it <= goal * without)


# ------------------------------------------------------------------------------------------------- a noisy tenant


def noisy_over_redis(bench: Bench) -> Iterator[Row]:
    """A hundred thousand events wait as lists in the queue `events`."""
    yield _noisy(bench, "noisy tenant, Redis", _lists, by_redis)


def noisy_by_sql(bench: Bench) -> Iterator[Row]:
    """A hundred thousand events wait in Postgres."""
    doors: list[SqlDoor] = []

    def by_sql(tenant_id: str) -> Send:
        doors.append(SqlDoor(bench.database_url, tenant_id))
        return doors[-1].send

    try:
        yield _noisy(bench, "noisy tenant, SQL", _statements, by_sql)
    finally:
        for door in doors:
            door.close()


def _noisy(bench: Bench, case: str, publish: Callable[[Bench], None], door: Callable[[str], Send]) -> Row:
    bench.endpoint("quiet")
    bench.endpoint(NOISY)

    def measured(name: str) -> float:
        load = Load(name, ["quiet"], QUIET_RATE, QUIET_S * bench.seconds)
        return p95(latencies(bench, load, door, ["quiet"]))

    latencies(bench, Load("quiet-warm", ["quiet"], SICK_RATE, WARM_EVENTS / SICK_RATE), door, ["quiet"])
    without = measured("quiet-without")
    with _frozen(bench.stack):
        publish(bench)
    with_it = measured("quiet-with")
    left = NOISY_EVENTS - int(query(bench.database_url, DONE, {"tenant": NOISY})[0][0])
    bench.say(f"{case}: {left} events still waited at the end of the measured time")
    if not left:
        raise RuntimeError("the noisy tenant's events were gone before the quiet one's were measured")
    return _latency_row(case, f"{QUIET_RATE}/s", without, with_it, NOISY_GOAL)


def _lists(bench: Bench) -> None:
    keys = [f"{NOISY}-{n}" for n in range(NOISY_EVENTS)]
    for start in range(0, NOISY_EVENTS, LIST):
        over_redis(NOISY, keys[start : start + LIST])


def _statements(bench: Bench) -> None:
    for first in range(0, NOISY_EVENTS, LIST):
        asked = {"tenant": NOISY, "type": EVENT_TYPE, "first": first, "last": first + LIST - 1}
        query(bench.database_url, MANY, asked)


@contextmanager
def _frozen(stack: Stack) -> Iterator[None]:
    """The workers stand still, so that all that is published waits."""
    workers = [process for name, pid in stack.supervisor.pids().items() if name.startswith("worker")
               for process in tree(pid)]  # fmt: skip
    for process in workers:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in workers:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


# ------------------------------------------------------------------------------------------------- a rate limit


def rate_limit(bench: Bench) -> Iterator[Row]:
    """Hundreds wait for an endpoint that takes ten calls a second."""
    path = bench.endpoint("limited", rate_per_s=LIMIT)
    over_redis("limited", [f"limited-{n}" for n in range(LIMITED_EVENTS)])
    moments = _watched(bench, path, LIMITED_S + 1)
    first = moments[0] + 1.0  # the first second may hold what an idle endpoint takes at once
    steady = [at for at in moments if first <= at < first + LIMITED_S - 1]
    rate = len(steady) / (LIMITED_S - 1)
    yield Row("rate limit", f"calls/s of {LIMIT} allowed", None, rate, f"{LIMIT} +- {LIMITED_GOAL:.0%}",
              abs(rate - LIMIT) <= LIMITED_GOAL * LIMIT)  # fmt: skip
    most = busiest_second(moments)
    yield Row("", "calls in its busiest second", None, most, f"<= {LIMITED_MOST}", most <= LIMITED_MOST)
    retries, attempts = query(bench.database_url, COSTS, {"tenant": "limited"})[0]
    extra = abs(attempts - bench.ground.control.counts(path, ids=False)["requests"])
    yield Row("", "retries spent, at most", None, retries, "0", retries == 0)
    yield Row("", "attempt rows beside its calls", None, extra, "<= 2", extra <= 2)  # calls end between the two counts


def _watched(bench: Bench, path: str, seconds: float) -> list[float]:
    """The moments of all calls that come to a path, from its first on, sorted."""
    deadline = time.monotonic() + SETTLE_S
    while not bench.ground.control.counts(path, ids=False)["requests"] and time.monotonic() < deadline:
        time.sleep(POLL_S)
    time.sleep(seconds)
    return _moments(bench, path)


def _moments(bench: Bench, path: str) -> list[float]:
    moments: list[float] = []
    after = 0
    while page := bench.ground.control.received(after, path=path):
        moments += [record["at"] for record in page]
        after = page[-1]["seq"]
    return sorted(moments)


def busiest_second(moments: Sequence[float]) -> int:
    """The most calls in any one second, wherever it begins."""
    return max((bisect_left(moments, at + 1.0) - place for place, at in enumerate(moments)), default=0)


# ------------------------------------------------------------------------------------------------- 429 for a minute


def refused_for_a_minute(bench: Bench) -> Iterator[Row]:
    """One endpoint says how long to wait, one does not; both have hundreds waiting once they are held."""
    paths = {name: bench.endpoint(f"refused-{name}") for name in REFUSALS}
    for name, path in paths.items():
        bench.ground.control.add_rule(path, REFUSALS[name])
    began = time.time()
    _trickle(began, 0.0, 1 / REFUSED_RATE)
    _until_held(bench)
    for name in REFUSALS:
        over_redis(f"refused-{name}", [f"refused-{name}-{n}" for n in range(REFUSED_EVENTS)])
    _trickle(began, 1 / REFUSED_RATE, REFUSED_S)
    bench.ground.control.clear_rules()
    ended = time.time()
    for name, title in TITLES.items():
        yield from _refused_rows(bench, title, paths[name], ended)


def _until_held(bench: Bench) -> None:
    """Wait until the first answer of each endpoint has been settled."""
    deadline = time.monotonic() + SETTLE_S
    while not query(bench.database_url, HELD)[0][0]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the endpoints were not held within {SETTLE_S:g} s")
        time.sleep(POLL_S)


def _trickle(began: float, first_s: float, last_s: float) -> None:
    """Events for both at a steady pace."""
    for number in range(int(first_s * REFUSED_RATE), int(last_s * REFUSED_RATE)):
        time.sleep(max(0.0, began + number / REFUSED_RATE - time.time()))
        for name in REFUSALS:
            over_redis(f"refused-{name}", [f"refused-{name}-late-{number}"])


def _refused_rows(bench: Bench, title: str, path: str, ended: float) -> Iterator[Row]:
    deadline = time.monotonic() + HOLD_MOST_S
    while not (after := [at for at in _moments(bench, path) if at > ended]) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    if not after:
        raise RuntimeError(f"{title}: it was not called again within {HOLD_MOST_S:g} s")
    time.sleep(max(0.0, after[0] + AFTER_S - time.time()))
    moments = _moments(bench, path)
    refused = bisect_left(moments, ended)
    counts = per_second(moments[refused:], AFTER_S)
    bench.say(
        f"{title}: calls in each second that it refused: {' '.join(map(str, per_second(moments[:refused], REFUSED_S)))}"
    )
    bench.say(f"{title}: calls in each second once it answers again: {' '.join(map(str, counts))}")
    yield Row(title, "calls it refused in the minute", None, refused, f"<= {PROBES_MOST}", refused <= PROBES_MOST)
    yield Row("", "calls in its first second after", None, counts[0], f"<= {FIRST_MOST}", counts[0] <= FIRST_MOST)
    steepest = max(counts[place] / max(sum(counts[:place]), FIRST_MOST) for place in range(1, len(counts)))
    yield Row("", "a second / all before it, at most", None, steepest, f"<= {STEEPEST:g}", steepest <= STEEPEST)


def per_second(moments: Sequence[float], seconds: float) -> list[int]:
    """How many in each second from the first on."""
    counts = [0] * int(seconds)
    for at in moments:
        place = int(at - moments[0])
        if place < len(counts):
            counts[place] += 1
    return counts


# ------------------------------------------------------------------------------------------------- all together

Case = Callable[[Bench], Iterator[Row]]

CASES: Mapping[str, Case] = {
    "sick": sick_endpoints,
    "noisy-redis": noisy_over_redis,
    "noisy-sql": noisy_by_sql,
    "rate": rate_limit,
    "refused": refused_for_a_minute,
}
RECORDED = frozenset({"rate", "refused"})  # whose calls are all written down by the receiver, not only counted


def run(options: Options, cases: Sequence[str] = tuple(CASES)) -> Report:
    """Each case on a fresh mesh."""
    rows: list[Row] = []
    problems: list[str] = []
    with Ground(options.home, durable=True) as ground:
        for name in cases:
            try:
                rows += _case(ground, name, options)
            except RuntimeError as error:
                problems.append(f"{name}: {error}")
    figures = {"rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}
    return Report("Isolation", [table(rows)], problems, figures)


def _case(ground: Ground, name: str, options: Options) -> list[Row]:
    ground.redis.flushall()
    ground.control.reset()
    ground.control.record_bodies(name in RECORDED)
    with ground.mesh(name, MESH_CALL_DEADLINE_S=str(DEADLINE_S)) as stack:
        try:
            stack.wait_ready(START_S)
            enter_environment(stack)
            rows = list(CASES[name](Bench(ground, stack, options.seconds, options.say)))
        finally:
            stack.supervisor.hurry()
    options.say("\n".join(map(line, rows)))
    return rows


HEAD = f"{'case':22}  {'quantity':34}  {'without':>8}  {'with':>8}  {'ratio':>6}  {'goal':>9}"


def line(row: Row) -> str:
    """A row as it is printed."""
    without = "" if row.without is None else f"{row.without:.1f}"
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    verdict = "met" if row.met else "missed"
    return f"{row.case:22}  {row.quantity:34}  {without:>8}  {row.with_it:8.1f}  {ratio:>6}  {row.goal:>9}  {verdict}"


def table(rows: Sequence[Row]) -> str:
    """All rows."""
    return "\n".join([HEAD, *map(line, rows)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Some cases by themselves; 1 when a figure is worthless."""
    parser = argparse.ArgumentParser(prog="python -m bench.isolation", description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"any of {', '.join(CASES)} (default: all)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a measured load (a noisy tenant: twice that)")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.cases) - set(CASES))
    if unknown:
        parser.error(f"there is no case {unknown[0]}: choose of {', '.join(CASES)}")
    home = Path(tempfile.mkdtemp(prefix="mesh-isolation-"))
    try:
        report = run(Options(home, seconds=asked.seconds), asked.cases or tuple(CASES))
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print("\n".join(["", report.title, *report.tables, *report.problems]), flush=True)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())

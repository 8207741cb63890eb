"""One round of chaos: a fresh mesh, events flowing in through two doors, faults, and then the reckoning."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

from bench import faults
from bench.faults import Planned, Struck, Target
from bench.ground import START_S, Ground, enter_environment, query, subscribe
from bench.producers import Producer, SqlDoor, groups, insist, over_redis
from bench.verdict import Delivery, Facts, Receipt, Verdict, judge
from cli.stack import Stack

TENANT = "chaos"
PATH = "/receive/chaos"
QUEUE = "mesh:events"
UNACKED = "mesh:unacked"
CALL_DEADLINE_S = 2
LEASE_MARGIN_S = 3  # a lease is both and 3 s of quick tries: what a killed worker held is free again within 8 s
SETTLE_S = 90.0  # after the last fault; what is not settled then is stuck
PRODUCE_S = 60.0  # beyond the planned time, for producers that had to try again
QUIET_S = 1.5  # after which what Redis held is taken to be accepted or gone
POLL_S = 0.2

# A receiver that takes its time, so that at any moment some tens of calls are in the air. The first rule that picks a
# request decides: (share, seconds).
DELAYS = ((0.05, 0.8), (0.25, 0.25), (0.5, 0.02))

STANDING = """
select (select count(*) from events),
       (select count(*) from events where routed_at is null),
       (select count(*) from deliveries where state not in ('succeeded', 'failed', 'cancelled')),
       (select count(*) from integration_sync_logs where state = 'started')
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What is asked of a round."""

    seed: int
    events: int = 2000
    publish_s: float = 7.0
    settle_s: float = SETTLE_S
    faults: Sequence[Planned] | None = None  # None: all kinds, from the seed


@dataclass(slots=True)
class Report:
    """What came of it."""

    seed: int
    struck: list[Struck] = field(default_factory=list)
    published: int = 0
    wiped: int = 0  # ids that sat only in Redis when it was wiped, or in a worker's hands when it was killed
    crashed: int = 0  # processes that ended although nobody killed them
    parked: int = 0  # ids that Redis keeps for a dead worker until its visibility timeout
    producer_retries: int = 0
    seconds: float = 0.0
    recovered_s: float = 0.0  # from the last fault until all was settled
    verdict: Verdict | None = None
    facts: Facts | None = None

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return self.verdict is not None and self.verdict.clean


def play(ground: Ground, asked: Round, say: Callable[[str], None]) -> Report:
    """Play one round and judge it; `say` hears what the supervisor does."""
    began = time.monotonic()
    report = Report(asked.seed)
    ground.redis.start()
    ground.redis.flushall()
    ground.control.reset()
    rng = random.Random(asked.seed)
    with ExitStack() as cleanup:
        stack = ground.mesh(
            f"round-{asked.seed}",
            say=partial(_hear, report, say),
            MESH_CALL_DEADLINE_S=str(CALL_DEADLINE_S),
            MESH_LEASE_MARGIN_S=str(LEASE_MARGIN_S),
        )
        cleanup.enter_context(stack)
        cleanup.callback(stack.supervisor.hurry)  # the verdict is in by then: nobody has to end politely
        stack.wait_ready(START_S)
        _prepare(ground, stack, asked.seed)
        play = _Play(Target(ground, stack, stack.settings["database_url"]), asked, report, rng)
        cleanup.callback(play.end)
        play.run()
    report.seconds = time.monotonic() - began
    return report


def _hear(report: Report, say: Callable[[str], None], line: str) -> None:
    """Our own kills are signals; who ends with a code did so alone."""
    report.crashed += "ended with code" in line
    say(line)


def _prepare(ground: Ground, stack: Stack, seed: int) -> None:
    enter_environment(stack)
    subscribe(stack, TENANT, ground.sandbox_url + PATH)
    for place, (share, delay_s) in enumerate(DELAYS):
        ground.control.add_rule(PATH, {"delay_s": delay_s}, share=share, seed=seed + place)


class _Play:
    """A round under way."""

    def __init__(self, target: Target, asked: Round, report: Report, rng: random.Random) -> None:
        self._target = target
        self._asked = asked
        self._report = report
        self._keys = [f"{asked.seed}-{number}" for number in range(asked.events)]
        self._faults = faults.plan(rng, asked.publish_s) if asked.faults is None else asked.faults
        self._seen: set[str] = set()  # once read from `events`
        self._vanished: set[str] = set()
        half = len(self._keys) // 2
        self._sql = SqlDoor(target.database_url, TENANT)
        self._doors = {
            "redis": Producer("redis door", partial(over_redis, TENANT), list(groups(rng, self._keys[:half], 50)),
                              asked.publish_s),
            "sql": Producer("sql door", self._sql.send, list(groups(rng, self._keys[half:], 25)), asked.publish_s),
        }  # fmt: skip

    def run(self) -> None:
        """Publish and strike, wait until all is settled, judge."""
        for door in self._doors.values():
            door.start()
        self._strike()
        last_fault = time.monotonic()
        for door in self._doors.values():
            door.finish(PRODUCE_S)
        self._report.published = len(self._keys)
        self._report.producer_retries = sum(door.retries for door in self._doors.values())
        self._settle(last_fault + self._asked.settle_s)
        self._report.recovered_s = time.monotonic() - last_fault
        self._report.facts = self._facts()
        self._report.verdict = judge(self._report.facts)

    def end(self) -> None:
        """Stop producing, whatever is left."""
        for door in self._doors.values():
            door.end()
        self._sql.close()

    def _strike(self) -> None:
        began = time.monotonic()
        for planned in self._faults:
            time.sleep(max(0.0, began + planned.at_s - time.monotonic()))
            self._report.struck.append(faults.strike(planned, self._target, began))
            self._look()

    def _look(self) -> set[str]:
        """The ids in `events` now. What was there before and is not any more has vanished."""
        rows = query(self._target.database_url, "select idempotency_key from events")
        now = {row[0] for row in rows}
        self._vanished |= self._seen - now
        self._seen |= now
        return now

    def _settle(self, deadline: float) -> None:
        """Wait until all is accepted and settled, sending again what did not arrive."""
        accepted, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            standing = query(self._target.database_url, STANDING)[0]
            if standing == (len(self._keys), 0, 0, 0):
                return
            if standing[0] != accepted:
                accepted, since = standing[0], time.monotonic()
            elif accepted < len(self._keys) and time.monotonic() - since > QUIET_S and not self._waiting():
                self._send_again()
                since = time.monotonic()
            time.sleep(POLL_S)

    def _waiting(self) -> int:
        return int(self._redis().llen(QUEUE))

    def _send_again(self) -> None:
        """What a careful producer does with the ids that it does not find in `events`."""
        missing = set(self._keys) - self._look()
        self._vanished |= missing & self._doors["sql"].sent  # committed, the producer was told
        held = b"".join(self._redis().hvals(UNACKED))  # type: ignore[arg-type]
        parked = {key for key in missing if f'"{key}"'.encode() in held or f'\\"{key}\\"'.encode() in held}
        self._report.parked += len(parked)
        self._report.wiped += len(missing - parked)
        insist(partial(over_redis, TENANT), sorted(missing), threading.Event())

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._target.ground.redis.url(), socket_timeout=5)

    def _facts(self) -> Facts:
        """Read in an order in which a mesh that still moves looks no worse than it is: rows that say "done" first, then
        the receiver, then the attempts, each of which was there before its request."""
        ask = partial(query, self._target.database_url)
        self._look()
        events = dict(_pairs(ask("select idempotency_key, id::text from events")))
        deliveries = {
            row[0]: Delivery(row[1], row[2]) for row in ask("select id::text, event_id::text, state from deliveries")
        }
        opened = ask("select delivery_id::text from integration_sync_logs where state = 'started'")
        receipts = self._target.ground.control.counts(PATH)["by_id"]
        attempts = ask("select delivery_id::text, count(*) from integration_sync_logs group by delivery_id")
        return Facts(
            published=self._keys,
            vanished=self._vanished,
            events=events,
            deliveries=deliveries,
            attempts=dict(_pairs(attempts)),
            open_attempts=[row[0] for row in opened],
            received={key: Receipt(each["requests"], each["ok"]) for key, each in receipts.items()},
            held=Counter(key for struck in self._report.struck for key in struck.held),
        )


def _pairs(rows: Iterable[Sequence[Any]]) -> Iterable[tuple[Any, Any]]:
    return ((row[0], row[1]) for row in rows)


def dump(ground: Ground, report: Report, folder: Path) -> Path:
    """Write down every violation with the rows and receipts that belong to it."""
    assert report.verdict is not None
    assert report.facts is not None
    database_url = ground.postgres.url(f"round-{report.seed}")
    wanted = sorted({key for keys in report.verdict.violations.values() for key in keys})
    content = {
        "seed": report.seed,
        "faults": [{"at_s": s.at_s, "name": s.name, "took_s": s.took_s, "held": len(s.held)} for s in report.struck],
        "violations": report.verdict.violations,
        "rows": {key: _rows(database_url, key) for key in wanted},
        "receipts": {
            key: [each.requests, each.ok] for key in wanted if (each := report.facts.received.get(key)) is not None
        },
        "held": {key: report.facts.held[key] for key in wanted},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"round-{report.seed}.json"
    path.write_text(json.dumps(content, indent=1, default=str))
    return path


ROWS = {
    "events": "select to_jsonb(e) from events e where id::text = %(key)s or idempotency_key = %(key)s",
    "deliveries": "select to_jsonb(d) from deliveries d join events e on e.id = d.event_id"
    " where d.id::text = %(key)s or e.idempotency_key = %(key)s",
    "attempts": "select to_jsonb(l) from integration_sync_logs l join events e on e.id = l.event_id"
    " where l.delivery_id::text = %(key)s or e.idempotency_key = %(key)s order by l.started_at",
}


def _rows(database_url: str, key: str) -> dict[str, list[Any]]:
    return {name: [row[0] for row in query(database_url, sql, {"key": key})] for name, sql in ROWS.items()}

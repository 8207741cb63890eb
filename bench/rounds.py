"""A round of chaos: events flow in through three doors, faults strike, and then the reckoning."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from bench import clock_faults, faults
from bench.faults import Planned, Struck
from bench.ground import START_S, Ground, enter_environment, query, subscribe
from bench.producers import AcceptDoor, Producer, Send, SqlDoor, groups, insist, over_redis
from bench.target import NotStruck, Target
from bench.verdict import Delivery, Facts, Receipt, Verdict, judge, recovery_s
from cli.stack import StackError, specs
from worker.reconcile import MAX_LOST

QUEUE = "mesh:events"
UNACKED = "mesh:unacked"
LEASE_MARGIN_S = 1  # a lease is the call's deadline, 3 s of quick tries, and this
PRODUCE_S = 60.0  # beyond the planned time, for producers that had to try again
LARGEST = 40  # events handed to a door at once
QUIET_S = 1.5  # after which what Redis held is taken to be accepted or gone
POLL_S = 0.1
RECOVER_S = 15.0  # within which new deliveries must flow again

# A receiver that takes its time, so that at any moment some tens of calls are in the air. The first rule that picks a
# request decides: (share, seconds).
DELAYS = ((0.05, 0.6), (0.25, 0.2), (0.5, 0.02))

STANDING = """
select (select count(*) from events where tenant_id = %(tenant)s),
       (select count(*) from events where tenant_id = %(tenant)s and routed_at is null),
       (select count(*) from deliveries where tenant_id = %(tenant)s
        and state not in ('succeeded', 'failed', 'cancelled')),
       (select count(*) from integration_sync_logs where tenant_id = %(tenant)s and state = 'started')
"""
EVENTS = "select idempotency_key, id::text from events where tenant_id = %(tenant)s"
DELIVERIES = "select id::text, event_id::text, state from deliveries where tenant_id = %(tenant)s"
OPEN = "select delivery_id::text from integration_sync_logs where tenant_id = %(tenant)s and state = 'started'"
ATTEMPTS = (
    "select delivery_id::text, count(*), extract(epoch from min(started_at))::float8 from integration_sync_logs"
    " where tenant_id = %(tenant)s group by delivery_id"
)


@dataclass(frozen=True, slots=True)
class Round:
    """What is asked of a round."""

    name: str  # of its row
    place: int  # of its row
    tenant_id: str
    seed: str
    events: int
    publish_s: float  # of the load until the faults are over
    tail_s: float  # of the load after them, at the same pace
    faults: Sequence[Planned]
    settle_s: float  # after the last fault; what is not settled then is stuck


@dataclass(slots=True)
class Report:
    """What came of it."""

    asked: Round
    struck: list[Struck] = field(default_factory=list)
    problem: str = ""  # why a fault could not be done
    published: int = 0
    sent_again: int = 0  # ids that only Redis had when it was wiped, or a worker when it was killed
    crashed: int = 0  # processes that ended by themselves, with an error
    seconds: float = 0.0
    recovered_s: float | None = None
    settled_s: float = 0.0  # from the last fault's end until all was settled
    verdict: Verdict | None = None
    facts: Facts | None = None

    @property
    def broken(self) -> list[str]:
        """Every promise that was not kept, in words; what ended by itself too."""
        if self.problem or self.verdict is None:
            return [self.problem or "not judged"]
        found = [f"{len(keys)} {name}" for name, keys in self.verdict.violations.items() if keys]
        if self.recovered_s is None:
            found.append("no new delivery")
        elif self.recovered_s > RECOVER_S:
            found.append(f"new deliveries only after {self.recovered_s:.1f} s")
        return found + ([f"{self.crashed} crashed"] if self.crashed else [])


class Mesh:
    """A running mesh on which rounds are played one after another, each with a tenant of its own."""

    def __init__(
        self, ground: Ground, name: str, say: Callable[[str], None], *, deadline_s: float, clocked: bool = False
    ) -> None:
        self.ground = ground
        self.clocked = clocked
        self.crashed = 0
        self._say = say
        self._order = ground.home / f"{name}.stop-at"
        self._clocks, plan = clock_faults.clocked(ground.home / name) if clocked else ({}, specs)
        self.stack = ground.mesh(
            name,
            say=self._hear,
            plan=plan,
            MESH_CALL_DEADLINE_S=str(deadline_s),
            MESH_LEASE_MARGIN_S=str(LEASE_MARGIN_S),
            MESH_STOP_AT=str(self._order),
        )

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self.stack)
            undo.callback(self.stack.supervisor.hurry)  # every verdict is in by then: nobody has to end politely
            self.stack.wait_ready(START_S)
            enter_environment(self.stack)
            self._running = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    @property
    def database_url(self) -> str:
        """Of its own database."""
        return self.stack.settings["database_url"]

    def _hear(self, line: str) -> None:
        """Our own kills are signals, and who was asked to end ends with 0; who ends otherwise did so alone."""
        self.crashed += "ended with code" in line and "ended with code 0;" not in line
        self._say(line)

    def play(self, asked: Round) -> Report:
        """Play one round and judge it; a mesh or a producer that does not come back is a finding too."""
        began, crashed = time.monotonic(), self.crashed
        report = Report(asked)
        try:
            self._prepare(asked)
            self._play(report)
        except (StackError, TimeoutError) as error:
            report.problem = str(error)
        report.seconds = time.monotonic() - began
        report.crashed = self.crashed - crashed
        return report

    def _play(self, report: Report) -> None:
        asked, rng = report.asked, random.Random(report.asked.seed)
        target = Target(self.ground, self.stack, self.database_url, asked.tenant_id, rng, self._order, self._clocks)
        play = _Play(target, report, rng)
        try:
            play.run()
        finally:
            play.end()

    def _prepare(self, asked: Round) -> None:
        """All processes at work, and a receiver that knows nothing of earlier rounds."""
        self.stack.wait_ready(START_S)
        path = _path(asked.tenant_id)
        self.ground.control.reset()
        for place, (share, delay_s) in enumerate(DELAYS):
            self.ground.control.add_rule(path, {"delay_s": delay_s}, share=share, seed=place)
        subscribe(self.stack, asked.tenant_id, self.ground.sandbox_url + path)


def _path(tenant_id: str) -> str:
    return f"/receive/{tenant_id}"


class _Play:
    """A round under way."""

    def __init__(self, target: Target, report: Report, rng: random.Random) -> None:
        asked = report.asked
        self._target = target
        self._report = report
        self._asked = asked
        self._keys = [f"{asked.tenant_id}-{number}" for number in range(asked.events)]
        self._seen: set[str] = set()  # once read from `events`
        self._vanished: set[str] = set()
        half, rest = len(self._keys) // 2, len(self._keys) * 3 // 4
        self._sql = SqlDoor(target.database_url, asked.tenant_id)
        self._accept = AcceptDoor(target.database_url, asked.tenant_id)
        self._doors = {
            "Redis": self._door("Redis", partial(over_redis, asked.tenant_id), self._keys[:half], rng),
            "SQL": self._door("SQL", self._sql.send, self._keys[half:rest], rng),
            "accept": self._door("accept", self._accept.send, self._keys[rest:], rng),
        }

    def _door(self, name: str, send: Send, keys: Sequence[str], rng: random.Random) -> Producer:
        asked = self._asked
        until_over = round(len(keys) * asked.publish_s / (asked.publish_s + asked.tail_s))
        return Producer(
            f"the producer of the {name} door",
            send,
            list(groups(rng, keys[:until_over], LARGEST)),
            asked.publish_s,
            tail=list(groups(rng, keys[until_over:], LARGEST)),
            tail_s=asked.tail_s,
        )

    def run(self) -> None:
        """Publish and strike, wait until all is settled, judge."""
        for door in self._doors.values():
            door.start()
        self._strike()
        over = time.monotonic()
        for door in self._doors.values():
            door.finish_with_tail()
        for door in self._doors.values():
            door.finish(self._asked.publish_s + self._asked.tail_s + PRODUCE_S)
        self._keys += [key for struck in self._report.struck for key in struck.effect.published]
        self._report.published = len(self._keys)
        self._settle(over + self._asked.settle_s)
        self._report.settled_s = time.monotonic() - over
        self._report.facts = self._facts()
        self._report.verdict = judge(self._report.facts)

    def end(self) -> None:
        """Stop producing, whatever is left."""
        for door in self._doors.values():
            door.end()
        for door in self._doors.values():
            door.join(1)
        self._sql.close()
        self._accept.close()

    def _strike(self) -> None:
        began = time.monotonic()
        for planned in self._asked.faults:
            time.sleep(max(0.0, began + planned.at_s - time.monotonic()))
            try:
                self._report.struck.append(faults.strike(planned, self._target, began))
            except NotStruck as error:
                self._report.problem = str(error)
                self._keys += error.published
            self._look()

    def _look(self) -> set[str]:
        """The ids in `events` now. What was there before and is not any more has vanished."""
        now = {row[0] for row in self._ask(EVENTS)}
        self._vanished |= self._seen - now
        self._seen |= now
        return now

    def _settle(self, deadline: float) -> None:
        """Wait until all is accepted and settled, sending again what did not arrive."""
        accepted, since = -1, time.monotonic()
        while time.monotonic() < deadline:
            standing = self._ask(STANDING)[0]
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
        self._vanished |= missing & (self._doors["SQL"].sent | self._doors["accept"].sent)  # the producer was told
        self._report.sent_again += len(missing)
        insist(partial(over_redis, self._asked.tenant_id), sorted(missing), threading.Event())

    def _redis(self) -> redis.Redis:
        return redis.Redis.from_url(self._target.ground.redis.url(), socket_timeout=5)

    def _ask(self, sql: str) -> Sequence[tuple[Any, ...]]:
        return query(self._target.database_url, sql, {"tenant": self._asked.tenant_id})

    def _facts(self) -> Facts:
        """Read in an order in which a mesh that still moves looks no worse than it is: rows that say "done" first, then
        the receiver, then the attempts, each of which was there before its request."""
        self._look()
        events = dict(_pairs(self._ask(EVENTS)))
        deliveries = {row[0]: Delivery(row[1], row[2]) for row in self._ask(DELIVERIES)}
        opened = self._ask(OPEN)
        control, path = self._target.ground.control, _path(self._asked.tenant_id)
        receipts, arrived = control.counts(path)["by_id"], control.arrivals(path)
        attempts = self._ask(ATTEMPTS)
        struck = self._report.struck
        if struck:
            claimed = {row[0]: row[2] for row in attempts}
            self._report.recovered_s = recovery_s(max(each.over_at for each in struck), claimed, arrived)
        return Facts(
            published=self._keys,
            vanished=self._vanished,
            events=events,
            deliveries=deliveries,
            attempts=dict(_pairs(attempts)),
            open_attempts=[row[0] for row in opened],
            received={key: Receipt(each["requests"], each["ok"]) for key, each in receipts.items()},
            held=Counter(key for each in struck for key in each.effect.held),
            poison=_of_events(deliveries, [events.get(key) for each in struck for key in each.effect.poison]),
            poison_calls=MAX_LOST,
        )


def _pairs(rows: Iterable[Sequence[Any]]) -> Iterable[tuple[Any, Any]]:
    return ((row[0], row[1]) for row in rows)


def _of_events(deliveries: Mapping[str, Delivery], event_ids: Sequence[str | None]) -> list[str]:
    return [key for key, each in deliveries.items() if each.event_id in event_ids]


def dump(mesh: Mesh, report: Report, folder: Path) -> Path:
    """Write down every violation with the rows and receipts that belong to it."""
    facts, verdict = report.facts, report.verdict
    wanted = sorted({key for keys in verdict.violations.values() for key in keys}) if verdict else []
    content = {
        "round": report.asked.name,
        "seed": report.asked.seed,
        "broken": report.broken,
        "faults": [
            {"at_s": s.at_s, "name": s.name, "took_s": s.took_s, "over_at": s.over_at, "held": list(s.effect.held)}
            for s in report.struck
        ],
        "violations": verdict.violations if verdict else {},
        "rows": {key: _rows(mesh.database_url, key) for key in wanted},
        "receipts": {key: [r.requests, r.ok] for key in wanted if facts and (r := facts.received.get(key))},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.asked.tenant_id}.json"
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

"""Pages of the log and replay queries, each with every filter that `mesh` has, on tables that are full."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from sqlalchemy import Connection, Engine

import db.attempts
import db.deliveries
import db.delivery_search
import db.events
import db.redelivery
import db.rejected
import db.replays
from bench.growth_fill import EVENT_TYPE, TENANTS, UNUSED_TYPE
from db.engine import run
from model import DeliveryState

GOAL_MS = 50.0
LOOKS = 5  # at each page, fewer once they have taken PATIENCE_MS
PATIENCE_MS = 1000.0
LARGE, QUIET = "tenant-1", f"tenant-{TENANTS}"
FILTERS = ("tenant_id", "webhook_id", "provider", "since")
Query = Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One question, and how long its answer took."""

    name: str
    rows: int
    first_ms: float
    median_ms: float
    worst_ms: float

    @property
    def good(self) -> bool:
        """Whether somebody who looks does not wait."""
        return self.median_ms <= GOAL_MS


def measure(engine: Engine) -> list[Page]:
    """Every question a few times; what they change is undone."""
    with engine.connect() as connection:
        run(connection, "set statement_timeout = 0")  # how slow it is, is the question
        facts = _facts(connection)
        connection.commit()
        return [_look(connection, name, query) for name, query in questions(facts)]


def _look(connection: Connection, name: str, query: Query) -> Page:
    ms: list[float] = []
    while len(ms) < LOOKS and sum(ms) < PATIENCE_MS:
        began = time.perf_counter()
        answer = query(connection)
        ms.append((time.perf_counter() - began) * 1000)
        connection.rollback()
    return Page(name, _size(answer), ms[0], median(ms), max(ms))


def _size(answer: Any) -> int:
    if isinstance(answer, tuple):  # a replay's step: how many, and where it stopped
        return int(answer[0])
    return answer if isinstance(answer, int) else len(answer)


def _facts(connection: Connection) -> dict[str, Any]:
    """What the questions ask for: webhooks of a large and of a quiet tenant, and ids near the beginning."""
    hook = "select id from webhooks where tenant_id = %(tenant)s and event_type = %(type)s"
    early = "select id from {table} where id > (select id from {table} order by id limit 1) order by id limit 1 offset"
    return {
        "large_hook": run(connection, hook, tenant=LARGE, type=EVENT_TYPE)[0][0],
        "quiet_hook": run(connection, hook, tenant=QUIET, type=EVENT_TYPE)[0][0],
        "unused_hook": run(connection, hook, tenant=LARGE, type=UNUSED_TYPE)[0][0],
        "delivery": run(connection, f"{early.format(table='deliveries')} 500")[0][0],
        "event": run(connection, f"{early.format(table='events')} 500")[0][0],
    }


def questions(facts: Mapping[str, Any]) -> Iterator[tuple[str, Query]]:
    """Name and query of each."""
    yield from _deliveries(facts)
    yield from _events(facts)
    yield "attempts of a delivery", lambda c: db.attempts.of_delivery(c, facts["delivery"])
    yield "rejected events", db.rejected.page
    yield "bulk replays", db.replays.page
    yield from _replays(facts)


def _deliveries(facts: Mapping[str, Any]) -> Iterator[tuple[str, Query]]:
    who: dict[str, dict[str, Any]] = {
        "all": {},
        "large tenant": {"tenant_id": LARGE},
        "quiet tenant": {"tenant_id": QUIET},
        "common provider": {"provider": "zapier"},
        "provider never used": {"provider": "capcut"},
        "large webhook": {"webhook_id": facts["large_hook"]},
        "quiet webhook": {"webhook_id": facts["quiet_hook"]},
        "unused webhook": {"webhook_id": facts["unused_hook"]},
    }
    for name, filters in who.items():
        yield f"deliveries: {name}", partial(db.delivery_search.page, **filters)
        yield f"deliveries: {name}, deep", partial(db.delivery_search.page, before=facts["delivery"], **filters)
    for state in DeliveryState:
        for name in ("all", "quiet tenant", "common provider", "quiet webhook"):
            given = {**who[name], "state": state.value}
            yield f"deliveries: {name}, {state.value}", partial(db.delivery_search.page, **given)


def _events(facts: Mapping[str, Any]) -> Iterator[tuple[str, Query]]:
    for name, tenant in (("all", None), ("large tenant", LARGE), ("quiet tenant", QUIET)):
        yield f"events: {name}", partial(db.events.page, tenant_id=tenant)
        yield f"events: {name}, deep", partial(db.events.page, tenant_id=tenant, before=facts["event"])
    yield (
        "an event with all that came of it",
        lambda c: [
            *db.events.caused(c, facts["event"]),
            *db.rejected.of_event(c, facts["event"]),
            *db.deliveries.of_event(c, facts["event"]),
        ],
    )


def _replays(facts: Mapping[str, Any]) -> Iterator[tuple[str, Query]]:
    now = datetime.now(UTC)
    filters: dict[str, dict[str, Any]] = {
        "large tenant": {"tenant_id": LARGE},
        "quiet tenant": {"tenant_id": QUIET},
        "common provider": {"provider": "zapier"},
        "provider never used": {"provider": "capcut"},
        "large webhook": {"webhook_id": facts["large_hook"]},
        "quiet webhook": {"webhook_id": facts["quiet_hook"]},
        "last hour": {"since": now - timedelta(hours=1)},
        "last week": {"since": now - timedelta(weeks=1)},
        "last hour, large tenant": {"since": now - timedelta(hours=1), "tenant_id": LARGE},
    }
    for name, given in filters.items():
        full = {**dict.fromkeys(FILTERS), **given}
        yield f"replay, how many: {name}", partial(db.delivery_search.count_dead, **full)
        step = {**full, "cursor": None, "until": now}
        yield f"replay, a step: {name}", partial(db.redelivery.redeliver_step, replay=step, limit=500)

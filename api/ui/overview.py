"""The first page: what goes on, what waits, and what needs a person."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, Engine

import db.pages
import db.tenants
from api.parts import Shared
from api.ui import accounts as shown
from api.ui import chart
from api.ui.guard import Viewer
from api.ui.render import address, page, title_of
from api.ui.words import ago, many
from db.engine import Rows
from db.pages import TooLong

KINDS = ("succeeded", "under way", "failed")
STATES = {"succeeded": "succeeded", "failed": "failed", "cancelled": "cancelled"}
LOGIN_DAYS = 14  # before which a person is asked to log in again
STOPPED = ("needs_reconnect", "blocked", "paused")
MOST_NEEDS = 50  # of a kind that are named
FRESH_S = 3.0  # everybody who looks within this sees the same counts

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Window:
    """How far back the page looks, in steps of one bar."""

    title: str
    step: timedelta
    steps: int
    pattern: str  # of a bar's time
    every_s: int  # between two looks: counting much takes a while


WINDOWS: Mapping[str, Window] = {
    "1h": Window("The last hour", timedelta(minutes=1), 60, "%H:%M", 5),
    "24h": Window("The last day", timedelta(minutes=30), 48, "%H:%M", 10),
    "7d": Window("The last week", timedelta(hours=4), 42, "%d %b %H:%M", 30),
}


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a person has to do."""

    what: str
    why: str
    path: str


@dataclass(slots=True)
class Line:
    """One provider."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    bars: Sequence[chart.Bar] = ()
    waits: Any | None = None

    @property
    def total(self) -> int:
        """All deliveries."""
        return self.counts.total()


@router.get("/")
def show(shared: Shared, visitor: Viewer, tenant: str = "", window: str = "24h", fragment: bool = False) -> Response:
    """The page."""
    scope, looked = visitor.scope(tenant), WINDOWS.get(window, WINDOWS["24h"])
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
        needs = list(_needs(connection, scope))
    counted = _counted(shared.engine, scope, looked, int(time.time() / FRESH_S))
    return page(
        visitor,
        "overview",
        fragment=fragment,
        needs=needs + _letters(counted),
        counted=counted,
        tenants=tenants,
        tenant=scope or "",
        windows=WINDOWS,
        window=window,
        every_s=looked.every_s,
        live=address("/", fragment=1, tenant=scope, window=window),
        kinds=KINDS,
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted; None where that would have taken too long."""

    chart: chart.Chart | None
    lines: Sequence[Line]
    oldest: datetime | None
    dead: int | None
    totals: Counter[str]


@lru_cache(maxsize=64)
def _counted(engine: Engine, tenant_id: str | None, window: Window, moment: int) -> Counted:
    """The counts of now, as `moment` tells one now from the next."""
    since = _start(datetime.now(UTC), window)
    rows, waiting, dead = (
        _in_time(engine, lambda c: db.pages.counts(c, since=since, step_s=_s(window), tenant_id=tenant_id)),
        _in_time(engine, lambda c: db.pages.waiting(c, tenant_id)),
        _in_time(engine, lambda c: db.pages.dead(c, tenant_id)),
    )
    oldest = min((row.oldest_due_at for row in waiting or () if row.oldest_due_at), default=None)
    drawn = None if rows is None else _drawn(rows, since, window)
    totals: Counter[str] = Counter()
    for row in rows or ():
        totals[STATES.get(row.state, "under way")] += row.count
    lines = _lines(rows or (), waiting or ())
    for line in lines:
        line.bars = _drawn([row for row in rows or () if row.provider == line.name], since, window).bars
    return Counted(drawn, lines, oldest, dead, totals)


def _drawn(rows: Rows, since: datetime, window: Window) -> chart.Chart:
    return chart.stacked(_steps(rows, window), KINDS, since, window.step, window.pattern)


def _in_time(engine: Engine, count: Any) -> Any | None:
    try:
        with engine.begin() as connection:
            return count(connection)
    except TooLong:
        return None


def _s(window: Window) -> float:
    return window.step.total_seconds()


def _start(now: datetime, window: Window) -> datetime:
    """When the first bar begins: bars begin at whole steps."""
    step_s = _s(window)
    this = datetime.fromtimestamp(now.timestamp() // step_s * step_s, UTC)
    return this - (window.steps - 1) * window.step


def _steps(rows: Rows, window: Window) -> list[Counter[str]]:
    made: list[Counter[str]] = [Counter() for _ in range(window.steps)]
    for row in rows:
        if 0 <= row.step < window.steps:
            made[row.step][STATES.get(row.state, "under way")] += row.count
    return made


def _lines(rows: Rows, waiting: Rows) -> list[Line]:
    lines: dict[str, Line] = {}
    for row in rows:
        line = lines.setdefault(row.provider, Line(row.provider))
        line.counts[STATES.get(row.state, "under way")] += row.count
        line.retries += row.retries
    for row in waiting:
        lines.setdefault(row.provider, Line(row.provider)).waits = row
    return sorted(lines.values(), key=lambda line: title_of(line.name))


def _letters(counted: Counted) -> list[Need]:
    if not counted.dead:
        return []
    said = many(counted.dead, "dead letter", "dead letters")
    return [Need(said, "Look why they were given up; then replay them.", address("/letters"))]


def _needs(connection: Connection, tenant_id: str | None) -> Iterator[Need]:
    """What the mesh cannot mend by itself."""
    for row in db.pages.integrations(connection, tenant_id, states=STOPPED, limit=MOST_NEEDS):
        act = shown.who_acts(row)
        if act and (row.state != "paused" or shown.waits_for_choice(row)):
            yield Need(_named(row), act.what, address(f"/integrations/{row.id}"))
    for row in db.pages.ending_logins(connection, tenant_id, within_days=LOGIN_DAYS):
        yield Need(_named(row), f"Its login ends {ago(row.ends_at)}: log in again.", address(f"/integrations/{row.id}"))
    for row in db.pages.stopped_webhooks(connection, tenant_id, limit=MOST_NEEDS):
        yield Need(f"Webhook to {row.url_hint}", f"{row.state}: {row.state_reason}", address(f"/webhooks/{row.id}"))
    rejected = len(db.pages.rejections(connection, tenant_id, limit=1_000))
    if rejected:
        said = many(rejected, "event was rejected", "events were rejected")
        yield Need(said, "Somebody accepts it after all, or dismisses it.", address("/rejected"))


def _named(row: Any) -> str:
    return f"{title_of(row.provider)} of {row.tenant_id}, {row.name}"

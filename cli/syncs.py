"""`mesh integrations sync`: read an account's streams now, and watch how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Protocol
from uuid import UUID

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn

import db.deliveries
import db.integrations
import db.links
import db.metrics
from cli import session
from cli.errors import Problem
from cli.show import ago, console, lasting, many, safe, say
from cli.times import since as parse_since
from worker.syncs import Sync, refusal, sync_now

LOOK_EVERY_S = 0.2
PATIENCE_S = 30.0  # for something that is due and that nobody takes
BAR = 34
PARTS = 10  # lines for a stream where there is no terminal


def sync(
    id: UUID,
    stream: Annotated[list[str] | None, typer.Option(help="This stream only; may be repeated.")] = None,
    since: Annotated[str | None, typer.Option(help="Read the days since then: 2026-09-01, 30d.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read all days again that a first sync would.")] = False,
    wait: Annotated[bool, typer.Option(help="Watch until it ends.")] = True,
) -> None:
    """Read an account's campaigns and numbers now, and watch how far it is."""
    if since is not None and full:
        raise Problem("Give either --since or --full: both say which days to read.")
    first_day = _day(since) if since is not None else None
    with session.transaction() as connection:
        syncs = sync_now(connection, id, streams=stream or (), since=first_day, full=full)
    for each in syncs:
        say(f"The sync of {each.stream} {'begins' if each.new else 'is under way already'}: event {each.event_id}.")
    if wait:
        _watch(id, syncs)
    else:
        for each in syncs:
            say(f"Follow it: mesh events show {each.event_id}")


def _day(text: str) -> date:
    try:
        day = parse_since(text).date()
    except Problem:
        raise Problem(f'--since "{text}" is no day: give one such as 2026-09-01, or a duration such as 30d.') from None
    if day > datetime.now(UTC).date():
        raise Problem(f"--since {text} is in the future: give a day that has been.")
    return day


# ----------------------------------------------------------------------------------------------------- while it runs


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where the sync of one stream stands: its delivery's row."""

    stream: str
    row: Any

    @property
    def parked(self) -> bool:
        """Whether it waits for its account to work again."""
        return self.row.due_at is not None and self.row.due_at.year > 9000  # infinity

    @property
    def over(self) -> bool:
        """Whether there is nothing to watch any more."""
        return self.parked or self.row.settled_at is not None

    @property
    def succeeded(self) -> bool:
        """Whether it ended well."""
        return bool(self.row.state == "succeeded")

    @property
    def part(self) -> tuple[int, int | None]:
        """How many steps are done, of how many; None while nobody knows."""
        progress: Mapping[str, Any] = self.row.progress or {}
        done, of = int(progress.get("done") or 0), progress.get("of")
        if self.succeeded:
            done = int(of or 1)
        return done, int(of) if of else done or None

    @property
    def said(self) -> str:
        """In words."""
        if self.over:
            return "done" if self.succeeded else "held" if self.parked else str(self.row.state)
        if self.row.state == "retrying":
            return f"{safe(self.row.error_message or '')} It is tried again {ago(self.row.due_at)}."
        done, of = self.part
        return f"{done} of {of}" if of else "begins"


class _Screen(Protocol):
    """Where the stands are shown."""

    def show(self, stands: Sequence[_Stand]) -> None:
        """Show them."""


class _Bars:
    """A bar for each stream."""

    def __init__(self, progress: Progress, syncs: Sequence[Sync]) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {
            each.stream: progress.add_task(each.stream, total=None, said="begins") for each in syncs
        }

    def show(self, stands: Sequence[_Stand]) -> None:
        """Move the bars."""
        for stand in stands:
            done, of = stand.part
            self._progress.update(self._tasks[stand.stream], completed=done, total=of, said=stand.said)


class _Lines:
    """A line now and then, for what is no terminal."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[Any, ...]] = {}

    def show(self, stands: Sequence[_Stand]) -> None:
        """Say what is new: each tenth of the way, and what went wrong."""
        for stand in stands:
            done, of = stand.part
            news = (stand.row.state == "retrying" and stand.row.due_at, stand.over, PARTS * done // of if of else 0)
            if self._shown.get(stand.stream) != news:
                self._shown[stand.stream] = news
                say(f"{stand.stream}: {stand.said}")


def _watch(account_id: UUID, syncs: Sequence[Sync]) -> None:
    """Show how far they are, until all have ended. Raises Problem when one did not end well."""
    try:
        with _screen(syncs) as screen:
            stands = _until_over(syncs, screen)
    except KeyboardInterrupt:
        raise Problem(f"The sync goes on without being watched: `mesh events show {syncs[0].event_id}`.") from None
    for stand in stands:
        if not stand.succeeded:
            raise Problem(_why(account_id, stand))
    say(_summary(account_id, stands))


def _screen(syncs: Sequence[Sync]) -> AbstractContextManager[_Screen]:
    return _drawn(syncs) if console.is_terminal else nullcontext(_Lines())


@contextmanager
def _drawn(syncs: Sequence[Sync]) -> Iterator[_Screen]:
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(BAR, complete_style="cyan", finished_style="green"),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=console) as progress:
        yield _Bars(progress, syncs)


def _until_over(syncs: Sequence[Sync], screen: _Screen) -> list[_Stand]:
    moved_at, before = time.monotonic(), None
    while True:
        stands = _look(syncs)
        screen.show(stands)
        if all(stand.over for stand in stands):
            return stands
        now = [(stand.row.state, stand.row.attempt_count, stand.row.due_at) for stand in stands]
        if now != before:
            moved_at, before = time.monotonic(), now
        if time.monotonic() - moved_at > PATIENCE_S and any(map(_is_due, stands)):
            raise Problem("Nobody takes what is due: `mesh doctor` says why. The sync is kept, and goes on then.")
        time.sleep(LOOK_EVERY_S)


def _is_due(stand: _Stand) -> bool:
    return stand.row.due_at is not None and stand.row.due_at <= datetime.now(UTC)


def _look(syncs: Sequence[Sync]) -> list[_Stand]:
    with session.transaction() as connection:
        return [_Stand(each.stream, row) for each in syncs for row in db.deliveries.of_event(connection, each.event_id)]


# ------------------------------------------------------------------------------------------------- when it has ended


def _why(account_id: UUID, stand: _Stand) -> str:
    """What went wrong, in a sentence."""
    if stand.parked:
        with session.transaction() as connection:
            account = db.integrations.get(connection, account_id)
        return refusal(account) or "The account works again: the sync goes on in a moment."
    reason = (stand.row.error_message or stand.row.error_code or stand.row.state).rstrip(".")
    return f"The sync of {stand.stream} ended: {reason}; `mesh deliveries show {stand.row.id}` shows every call."


def _summary(account_id: UUID, stands: Sequence[_Stand]) -> str:
    """What was stored since they began."""
    began = min(stand.row.created_at for stand in stands)
    took_s = (max(stand.row.settled_at for stand in stands) - began).total_seconds()
    with session.transaction() as connection:
        metrics = db.metrics.fetched_since(connection, account_id, began)
        campaigns = db.links.seen_since(connection, account_id, began)
    stored = f"{many(metrics.rows, 'row', 'rows')} of {many(metrics.days, 'day', 'days')} stored"
    seen = f"{many(campaigns.present, 'campaign', 'campaigns')} seen, {campaigns.deleted} deleted"
    found = [text for text, some in ((stored, metrics.rows), (seen, campaigns.present or campaigns.deleted)) if some]
    found = found or [fact for stand in stands for fact in _facts(stand)]
    return f"Synced in {lasting(took_s)}: {', '.join(found) or 'there was nothing to store'}."


def _facts(stand: _Stand) -> list[str]:
    """What the adapter itself counted: 25 products, 3 stores …"""
    counts = (stand.row.result or {}).items()
    return [f"{value:,} {name}" for name, value in counts if isinstance(value, int) and not isinstance(value, bool)]

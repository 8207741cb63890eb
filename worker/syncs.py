"""Periodic syncs: what is read from an account again and again (`Provider.streams`), published as `sync.due` events.

A sync is an event like others: its delivery walks the stream in committed steps. Here is only when one is published:
in the commit that plans the stream's next one, and never while the last is not settled.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

import db.cursors
import db.deliveries
import db.events
import db.integrations
from db.cursors import Plan
from model import NewEvent
from providers import PROVIDERS
from providers.contract import Provider, Stream
from worker.accounts import AccountError
from worker.enqueue import accept

SYNC_DUE = "sync.due"

STEP = 200  # streams that one commit publishes, accounts that one looks at
MAX_STEPS = 50  # in one run: a tick must end
JITTER = 0.1  # of a stream's interval
BUSY_S = 60.0  # until a stream is looked at again whose last sync is not settled
SPREAD_S = 300.0  # over which first syncs of accounts are spread that have been there for a while

log = structlog.get_logger("mesh.syncs")


class SyncError(AccountError):
    """An account cannot be synced now; the message is one sentence that says why."""


# ----------------------------------------------------------------------------------------------------- periodically


def publish_due(engine: Engine) -> int:
    """Publish the syncs whose time has come, those of newly connected accounts too. How many."""
    for provider in _with_streams():
        with engine.begin() as connection:
            _plan_page(connection, provider, before=None)
    total = 0
    for _ in range(MAX_STEPS):
        with engine.begin() as connection:
            rows = db.cursors.lock_due(connection, limit=STEP)
            total += _publish(connection, rows) if rows else 0
        if len(rows) < STEP:
            break
    if total:
        log.info("syncs_published", count=total)
    return total


def plan_all(engine: Engine) -> int:
    """Look through all accounts for streams that nobody has planned, in short transactions. How many there were."""
    total = 0
    for provider in _with_streams():
        before: UUID | None = None
        while True:
            with engine.begin() as connection:
                page = _plan_page(connection, provider, before=before)
            total += page.planned
            if page.last is None:
                break
            before = page.last
    return total


def _with_streams() -> Iterator[Provider]:
    return (provider for provider in PROVIDERS.values() if provider.streams)


@dataclass(frozen=True, slots=True)
class _Page:
    """What was done with a page of accounts. `last`: where the next one begins; None = this was the last page."""

    planned: int
    last: UUID | None


def _plan_page(connection: Connection, provider: Provider, *, before: UUID | None) -> _Page:
    """Plan what sleeps or is new among the next accounts of a provider, newest first."""
    rows = db.cursors.accounts(connection, provider.name, before=before, limit=STEP)
    plans = [
        Plan(row.id, stream.name, random.uniform(0, SPREAD_S) if row.old else 0.0)  # noqa: S311
        for row in rows
        if _can_be_synced(provider, row)
        for stream in provider.streams
        if stream.name not in row.planned
    ]
    if plans:
        db.cursors.wake(connection, plans)
    return _Page(len(plans), rows[-1].id if len(rows) == STEP else None)


def _can_be_synced(provider: Provider, account: Any) -> bool:
    """Whether a sync.due of this account would be delivered now."""
    action = provider.action(SYNC_DUE)
    return (
        action is not None
        and account.state == "active"
        and account.tenant_state == "active"
        and (account.event_types is None or SYNC_DUE in account.event_types)
        and action.is_able(account.config)
    )


def _publish(connection: Connection, rows: Sequence[Any]) -> int:
    """Publish what of these due streams may be, and plan them all anew. How many were published."""
    streams = {(row.integration_id, row.stream): _stream_of(row) for row in rows}
    ready = [row for row in rows if streams[row.integration_id, row.stream] and not row.busy]
    accepted = accept(connection, [_event(row) for row in ready])
    published = {(row.integration_id, row.stream): each.event_id for row, each in zip(ready, accepted, strict=True)}
    plans = [
        Plan(*place, _wait_s(stream, busy=place not in published), published.get(place))
        for place, stream in streams.items()
    ]
    db.cursors.plan(connection, plans)
    return len(published)


def _stream_of(row: Any) -> Stream | None:
    """The facts of a planned stream; None where its account is not synced now: its plan sleeps."""
    provider = PROVIDERS.get(row.provider)
    if provider is None or not _can_be_synced(provider, row):
        return None
    return next((stream for stream in provider.streams if stream.name == row.stream), None)


def _wait_s(stream: Stream | None, *, busy: bool = False) -> float | None:
    """Seconds until a stream is looked at again; None = its plan sleeps."""
    if stream is None:
        return None
    every_s = min(BUSY_S, stream.every_s) if busy else stream.every_s
    return every_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311


def _event(row: Any) -> NewEvent:
    due_at = row.next_sync_at.isoformat()
    return NewEvent(
        tenant_id=row.tenant_id,
        type=SYNC_DUE,
        data={"integration_id": str(row.integration_id), "stream": row.stream},
        key=f"{SYNC_DUE}:{row.integration_id}:{row.stream}:{due_at}",
    )


# ---------------------------------------------------------------------------------------------------------- by hand


@dataclass(frozen=True, slots=True)
class Sync:
    """A sync that is under way. `new`: published just now."""

    stream: str
    event_id: UUID
    new: bool


def sync_now(
    connection: Connection,
    integration_id: UUID,
    *,
    streams: Collection[str] = (),
    since: date | None = None,
    full: bool = False,
) -> list[Sync]:
    """Publish syncs of an account, of all its streams unless some are named. Raises SyncError.

    One that is under way is answered instead of a second one, if it reads the same days. `since` and `full` are days
    to read that an ordinary sync would not.
    """
    row = db.integrations.get(connection, integration_id)
    if row is None:
        raise SyncError(f"There is no integration {integration_id}: `mesh integrations list` shows those that are.")
    provider = _syncable(row)
    asked: dict[str, Any] = {**({"since": since.isoformat()} if since else {}), **({"full": True} if full else {})}
    wanted = _named(provider, streams)
    last = db.cursors.lock(connection, integration_id, [stream.name for stream in wanted])
    return [_sync_stream(connection, row, stream, asked, last[stream.name]) for stream in wanted]


def _syncable(row: Any) -> Provider:
    """The provider of an account that can be synced now. Raises SyncError."""
    provider = PROVIDERS.get(row.provider)
    if provider is None or not provider.streams:
        raise SyncError(f"{provider.title if provider else row.provider} has nothing to sync.")
    problem = refusal(row)
    if problem:
        raise SyncError(problem)
    return provider


def refusal(account: Any) -> str | None:
    """Why an account is not synced now, in a sentence; None when it is."""
    if account.state not in _REFUSALS:
        return None
    what, then = _REFUSALS[account.state]
    reason = account.state_reason.rstrip(".")
    if "mesh integrations" in reason:  # it says itself what to do
        return f"Integration {account.id} {what}: {reason}."
    why = f" ({reason})" if reason and account.state != "disconnected" else ""
    return f"Integration {account.id} {what}{why}: {then.format(id=account.id)}."


# What is said of a state, and what ends it.
_REFUSALS: Mapping[str, tuple[str, str]] = {
    "paused": ("is paused", "`mesh integrations resume {id}`, then sync"),
    "needs_reconnect": ("needs to be reconnected", "`mesh integrations reconnect {id}`, then sync"),
    "blocked": ("is blocked", "mend that there, then `mesh integrations resume {id}`"),
    "disconnected": ("is disconnected", "`mesh integrations reconnect {id}` connects it again"),
}


def _named(provider: Provider, names: Collection[str]) -> list[Stream]:
    """The provider's streams of these names, or all. Raises SyncError for a name that none has."""
    known = {stream.name: stream for stream in provider.streams}
    for name in names:
        if name not in known:
            raise SyncError(f"{provider.title} has no stream {name!r}: there are {', '.join(known)}.")
    return [stream for name, stream in known.items() if not names or name in names]


def _sync_stream(
    connection: Connection, account: Any, stream: Stream, asked: Mapping[str, Any], last: UUID | None
) -> Sync:
    """The sync of one stream, whose row is locked; `last` is the event of the one before."""
    under_way = _under_way(connection, last) if last else None
    data = {"integration_id": str(account.id), "stream": stream.name, **asked}
    if under_way is None:
        (accepted,) = accept(connection, [NewEvent(account.tenant_id, SYNC_DUE, data)])
        if not accepted.deliveries:
            raise SyncError(f"Integration {account.id} takes no {SYNC_DUE} events: reconnect it with all its fields.")
        db.cursors.plan(connection, [Plan(account.id, stream.name, _wait_s(stream), accepted.event_id)])
        return Sync(stream.name, accepted.event_id, new=True)
    if asked and data != under_way.data:
        raise SyncError(
            f"A sync of {stream.name} is under way that reads other days: wait for its end"
            f" (`mesh events show {under_way.id}`), then ask again."
        )
    return Sync(stream.name, under_way.id, new=False)


def _under_way(connection: Connection, event_id: UUID) -> Any | None:
    """The event of a sync that is not settled yet."""
    deliveries = db.deliveries.of_event(connection, event_id)
    if all(delivery.settled_at is not None for delivery in deliveries):
        return None
    return db.events.get(connection, event_id)

"""The reconciler: whatever died, what is due goes on its way. Safe to run twice at once, or late.

leases that ended        their holders are dead: attempt rows close as *lost*, deliveries are due again
events without routes    those of the SQL door get their deliveries
sent but never claimed   their messages are gone (Redis was wiped, a worker died with them): sent again
the backlog              due deliveries fill each provider's short queue, tenants taking turns
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

import db.deliveries
import db.events
import db.redelivery
import db.rejected
import db.replays
from model import Event
from providers import PROVIDERS
from worker.catalog import event_types, unknown
from worker.direct import Direct
from worker.dispatch import BATCH, FEW, LATER_LIMIT, Dispatcher
from worker.enqueue import store_deliveries, wake
from worker.recipients import Recipients

GRACE_S = 2.0  # between noticing that a lease has ended and taking its delivery back
STEP = 500  # rows a transaction touches at most
ROUTE_STEP = 100  # events that are routed together: what comes meanwhile waits for them
MAX_LOST = 5  # holders that may die with a delivery before it is a dead letter: it probably kills them
SENT_AGE_S = 10.0  # after which a message that waits behind others is taken for lost; a copy does no harm
EMPTY_AGE_S = 3.0  # the same, when the queue is empty: a worker holds it, or it is lost
REFILL_S = 0.05  # how often a queue is topped up while more waits than it holds
REPLAY_S = 1.5  # of bulk redelivery in one tick, which comes every 2 s
MAX_STEPS = 50  # of one kind in one run: a tick must end

log = structlog.get_logger("mesh.reconcile")


def reconcile(engine: Engine, dispatcher: Dispatcher) -> None:
    """One run."""
    dispatcher.gather_priorities()
    expire_leases(engine)
    route_events(engine)
    for provider in PROVIDERS:
        forget_lost_messages(engine, dispatcher, provider)
        fill_queue(engine, dispatcher, provider)


def expire_leases(engine: Engine) -> int:
    """Take back what dead workers held. How many."""
    total = 0
    for _ in range(MAX_STEPS):
        with engine.begin() as connection:
            rows = db.deliveries.expire_leases(connection, limit=STEP, max_lost=MAX_LOST, grace_s=GRACE_S)
        for row in rows:
            log.warning("lease_expired", delivery_id=str(row.id), provider=row.provider, state=row.state)
        total += len(rows)
        if len(rows) < STEP:
            break
    return total


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of unrouted events: whether more may be waiting, and of which providers deliveries wait now."""

    more: bool
    providers: frozenset[str]


def route_events(engine: Engine, claimer: Callable[[], Direct] | None = None, *, steps: int = MAX_STEPS) -> Routed:
    """Give the SQL door's events their deliveries, in so many steps; `claimer` has some of them called at once."""
    providers: set[str] = set()
    for _ in range(steps):
        with claimer() if claimer else nullcontext() as direct, engine.begin() as connection:
            events = db.events.lock_unrouted(connection, ROUTE_STEP)
            if events:
                providers |= _route(connection, events, direct)
        if len(events) < ROUTE_STEP:
            return Routed(False, frozenset(providers))
    return Routed(True, frozenset(providers))


def _route(connection: Connection, events: Sequence[Event], direct: Direct | None) -> set[str]:
    """Route a batch; the providers whose deliveries are to be sent."""
    good = [event for event in events if not _rejected(connection, event)]
    waiting = store_deliveries(connection, good, Recipients.of(connection, good), dispatched=False, claimer=direct)
    db.events.mark_routed(connection, [event.id for event in events])
    return {provider for pairs in waiting.values() for provider, _ in pairs}


def _rejected(connection: Connection, event: Event) -> bool:
    """Keep an event that cannot be routed as a rejected one."""
    problem = _problem(event)
    if problem is not None:
        db.rejected.insert(
            connection,
            rejected_id=event.id,
            door="sql",
            reason=problem,
            body=json.dumps(event.data).encode(),
            tenant_id=event.tenant_id,
            event_type=event.type,
            event_id=event.id,
        )
    return problem is not None


def _problem(event: Event) -> str | None:
    """What the SQL door could not check: the payload's schema."""
    kind = event_types().get(event.type)
    if kind is None:
        return unknown(event.type)
    problem = kind.problem(event.data)
    return f"data of {event.type} does not fit its schema: {problem}." if problem else None


def forget_lost_messages(engine: Engine, dispatcher: Dispatcher, provider: str) -> int:
    """Put back what was sent to one provider's queue and never claimed. How many."""
    waiting = dispatcher.waiting(provider)
    later = dispatcher.waiting(provider, later=True)
    if waiting is None or later is None:
        return 0
    waiting += later
    age_s = EMPTY_AGE_S if waiting == 0 else SENT_AGE_S
    with engine.begin() as connection:
        return db.deliveries.forget_dispatch(connection, provider, older_than_s=age_s, limit=STEP * MAX_STEPS)


def fill_queue(engine: Engine, dispatcher: Dispatcher, provider: str) -> float | None:
    """Top up one provider's queue from Postgres. Seconds until there is more to do; None when that is not known.

    The first few of each tenant go before everything else that waits; the others go to the list for later, as far as it
    has room.
    """
    waiting = dispatcher.waiting(provider, later=True)
    if waiting is None:
        return None
    room = max(0, (LATER_LIMIT - waiting) * BATCH)
    with engine.begin() as connection:
        if not db.deliveries.lock_backlog(connection, provider):
            return REFILL_S  # another worker fills it right now, perhaps without what has just come
        first = db.deliveries.take_backlog(connection, provider, limit=BATCH, per_tenant=FEW)
        rest = db.deliveries.take_backlog(connection, provider, limit=room, per_tenant=room) if room else []
        more = len(rest) == room or len(first) == BATCH
        next_s = REFILL_S if more else db.deliveries.next_due_s(connection, provider)
    unsent = dispatcher.send((provider, each) for each in first)
    unsent += dispatcher.send(((provider, each) for each in rest), later=True)
    if unsent:
        with engine.begin() as connection:
            db.deliveries.undo_dispatch(connection, unsent)
    return None if next_s is None else max(next_s, REFILL_S)


def replay(engine: Engine) -> int:
    """Step bulk redeliveries until all are finished or a tick's time is up. How many steps."""
    until = time.monotonic() + REPLAY_S
    steps = 0
    while replay_step(engine) is not None:
        steps += 1
        if time.monotonic() > until:
            break
    return steps


def replay_step(engine: Engine) -> UUID | None:
    """One step of the oldest unfinished bulk redelivery; its id, or None when there is none."""
    with engine.begin() as connection:
        replay = db.replays.lock_next(connection)
        if replay is None:
            return None
        replayed, cursor = db.redelivery.redeliver_step(connection, replay, limit=STEP)
        wake(connection)
        db.replays.advance(connection, replay["id"], cursor=cursor, replayed=replayed)
        replay_id: UUID = replay["id"]
        return replay_id

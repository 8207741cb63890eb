"""Settling: what calls ended in, many at a time, each exactly as far as its fencing token still holds.

One commit closes attempt rows, moves deliveries, counts failures of targets, stores assets, records and follow-up
events. While Postgres is away the outcomes are held and tried again: a call that was made is not made twice for that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

import db.deliveries
import db.integrations
import db.media
import db.rejected
import db.targets
import db.webhooks
from db.deliveries import SOON_S
from db.engine import is_away
from db.targets import Strain
from model import NewEvent
from worker import faults, ids, records, stopping
from worker.enqueue import Accepted, accept, wake
from worker.event_checks import EventRejected
from worker.logs import first_line
from worker.outcomes import Ending, not_stored

AWAY_PAUSE_S = 0.25
REASON_CHARS = 255  # as the schemas of our own events allow
RECORD_ROWS = 2_000  # of one commit, a tenth of a second; what one call found out stays together
HOLD_ON_S = 120.0  # how long outcomes are held while Postgres is away: past every lease
STOPPING_HOLD_ON_S = 8.0  # the same, once this process was asked to end

log = structlog.get_logger("mesh.settle")

Dispatch = Callable[[Sequence[tuple[str, UUID]]], None]


def settle(engine: Engine, statements: Engine, dispatch: Dispatch, endings: Sequence[Ending]) -> list[bool]:
    """Settle a batch; whether each delivery moved. One that cannot be stored becomes a dead letter that says so.

    `statements` connects to the same database, for transactions of one statement. Outcomes with records have commits
    of their own, after the others: theirs take longer.
    """
    if not any(ending.records for ending in endings):
        return _settle(engine, statements, dispatch, endings)
    moved: dict[UUID, bool] = {}  # by attempt
    for portion in _portions(endings):
        results = _settle(engine, statements, dispatch, portion)
        moved |= {ending.claim.attempt_id: result for ending, result in zip(portion, results, strict=True)}
    return [moved[ending.claim.attempt_id] for ending in endings]


def _portions(endings: Sequence[Ending]) -> Iterator[list[Ending]]:
    """Those without records, then the others in as many commits as their rows ask for.

    Two ends of one delivery are never in the same: only one of them still holds it.
    """
    plain = [ending for ending in endings if ending.records is None]
    if plain:
        yield plain
    portion: dict[UUID, Ending] = {}
    rows = 0
    for ending in endings:
        if ending.records is None:
            continue
        size = records.size(ending.records)
        if portion and (rows + size > RECORD_ROWS or ending.claim.delivery_id in portion):
            yield list(portion.values())
            portion, rows = {}, 0
        portion[ending.claim.delivery_id] = ending
        rows += size
    yield list(portion.values())


def _settle(engine: Engine, statements: Engine, dispatch: Dispatch, endings: Sequence[Ending]) -> list[bool]:
    try:
        return _persist(engine, statements, dispatch, endings)
    except Exception as error:
        if is_away(error):
            raise
        log.exception("outcomes_not_stored", deliveries=[str(ending.claim.delivery_id) for ending in endings])
    if len(endings) == 1:
        return _persist(engine, statements, dispatch, [not_stored(endings[0])])
    return [moved for each in endings for moved in _settle(engine, statements, dispatch, [each])]


def _persist(engine: Engine, statements: Engine, dispatch: Dispatch, endings: Sequence[Ending]) -> list[bool]:
    """One transaction, repeated while Postgres is away."""
    give_up_at = time.monotonic() + HOLD_ON_S
    while True:
        try:
            with (statements if _is_plain(endings) else engine).begin() as connection:
                moved, follow_ups = _write(connection, endings)
        except Exception as error:
            if stopping.requested.is_set():
                give_up_at = min(give_up_at, time.monotonic() + STOPPING_HOLD_ON_S)
            if not is_away(error) or time.monotonic() > give_up_at:
                raise
            log.warning("settle_waits_for_postgres", size=len(endings), error=first_line(error))
            time.sleep(AWAY_PAUSE_S)
        else:
            faults.reached("settle")
            if follow_ups:
                dispatch(follow_ups)
            return [ending.claim.attempt_id in moved for ending in endings]


def _is_plain(endings: Sequence[Ending]) -> bool:
    """Whether one statement stores them all."""
    return not any(
        each.strain
        or each.recovered
        or each.webhook_gone
        or each.integration_state
        or each.records
        or _is_due_soon(each)
        or (each.done and (each.done.assets or each.done.events))
        for each in endings
    )


def _write(connection: Connection, endings: Sequence[Ending]) -> tuple[set[UUID], list[tuple[str, UUID]]]:
    moved = db.deliveries.settle(connection, [ending.settlement for ending in endings])
    ours = [ending for ending in endings if ending.claim.attempt_id in moved]
    _note_targets(connection, ours)
    follow_ups: list[tuple[str, UUID]] = []
    for ending in ours:
        if ending.done is not None and (ending.done.assets or ending.done.events):
            follow_ups += _store_products(connection, ending)
        if ending.webhook_gone or ending.integration_state:
            follow_ups += _close_target(connection, ending)
    follow_ups += _store_records(connection, [ending for ending in ours if ending.records])
    if any(_is_due_soon(ending) for ending in ours):
        wake(connection)
    return moved, follow_ups


def _is_due_soon(ending: Ending) -> bool:
    """Whether it comes back earlier than the reconciler's tick would notice."""
    return ending.settlement.wait_s is not None and ending.settlement.wait_s < SOON_S


def _note_targets(connection: Connection, endings: Sequence[Ending]) -> None:
    """Failures and recoveries of what was called. Nothing at all when everybody is well."""
    for table in ("integrations", "webhooks"):
        strains: dict[UUID, Strain] = {}
        recovered: set[UUID] = set()
        for ending in endings:
            if ending.claim.target_table != table:
                continue
            if ending.strain:
                strains[ending.claim.target_id] = _sum(strains.get(ending.claim.target_id), ending.strain)
            if ending.recovered:
                recovered.add(ending.claim.target_id)
        if recovered - strains.keys():
            db.targets.recovered(connection, table, recovered - strains.keys())
        if strains:
            db.targets.strained(connection, table, strains)


def _sum(first: Strain | None, second: Strain) -> Strain:
    if first is None:
        return second
    longer = first if first.hold_s >= second.hold_s else second
    return Strain(first.failures + second.failures, longer.hold_s, longer.reason)


def _store_products(connection: Connection, ending: Ending) -> list[tuple[str, UUID]]:
    """The files and the follow-up events of a finished call."""
    assert ending.done is not None
    claim = ending.claim
    db.media.insert(
        connection,
        ending.done.assets,
        tenant_id=claim.event.tenant_id,
        event_id=claim.event.id,
        delivery_id=claim.delivery_id,
        provider=claim.provider.name,
    )
    return _publish(connection, ending, ending.done.events)


def _store_records(connection: Connection, endings: Sequence[Ending]) -> list[tuple[str, UUID]]:
    """What calls found out, and the events that follow from it."""
    found = [(ending.claim, ending.records) for ending in endings if ending.records]
    if not found:
        return []
    events = records.store(connection, found)
    return [sent for ending, some in zip(endings, events, strict=True) for sent in _publish(connection, ending, some)]


def _close_target(connection: Connection, ending: Ending) -> list[tuple[str, UUID]]:
    """The endpoint is gone, or the account needs a person: mark it, and tell who subscribed to hear of it."""
    claim = ending.claim
    if claim.webhook_id and ending.webhook_gone:
        if not db.webhooks.set_state(connection, [claim.webhook_id], "gone", "It answered 410 Gone."):
            return []
        notice = webhook_notice(claim.event.tenant_id, claim.webhook_id, "It answered 410 Gone.")
        return _publish(connection, ending, [notice])
    account = db.integrations.get(connection, claim.integration_id, lock=True)
    if account is None or account.state != "active" or ending.integration_state is None:
        return []
    reason = ending.settlement.error_message or "The provider rejected the call."
    if not db.integrations.set_state(
        connection, claim.integration_id, ending.integration_state, reason, token_version=ending.token_version
    ):
        return []
    notice = NewEvent(
        tenant_id=claim.event.tenant_id,
        type="integration.attention_needed",
        data={
            "integration_id": str(claim.integration_id),
            "provider": claim.provider.name,
            "state": ending.integration_state,
            "reason": reason[:REASON_CHARS],
        },
        key=f"integration.attention_needed:{claim.attempt_id}",
    )
    return _publish(connection, ending, [notice])


def webhook_notice(tenant_id: str, webhook_id: UUID, reason: str) -> NewEvent:
    """The event that says a webhook was disabled."""
    return NewEvent(
        tenant_id=tenant_id,
        type="webhook.disabled",
        data={"webhook_id": str(webhook_id), "reason": reason},
        key=f"webhook.disabled:{webhook_id}:{reason[:100]}",
    )


def _publish(connection: Connection, ending: Ending, events: Sequence[NewEvent]) -> list[tuple[str, UUID]]:
    """Accept follow-up events in this transaction. One that its own provider got wrong does not undo the outcome."""
    try:
        accepted = _accept(connection, ending, events)
    except EventRejected:
        accepted = [each for event in events for each in _accept_or_keep(connection, ending, event)]
    return [sent for each in accepted for sent in each.deliveries]


def _accept(connection: Connection, ending: Ending, events: Sequence[NewEvent]) -> list[Accepted]:
    return accept(connection, events, cause=ending.claim.event, dispatched=True)


def _accept_or_keep(connection: Connection, ending: Ending, event: NewEvent) -> list[Accepted]:
    """Accept one event, or keep it as a rejected one."""
    try:
        return _accept(connection, ending, [event])
    except EventRejected as error:
        log.error("follow_up_rejected", event_type=event.type, error=str(error))
        db.rejected.insert(
            connection,
            rejected_id=ids.new(),
            door="outcome",
            reason=str(error),
            body=json.dumps(event.data, default=str).encode(),
            tenant_id=event.tenant_id,
            event_type=event.type,
            event_id=ending.claim.event.id,
        )
        return []

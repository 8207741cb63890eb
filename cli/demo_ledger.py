"""Holding the mesh's ledger against what the other side saw. Reading is one part, judging another: `judge` is pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection

import db.audit
from cli.demo_traffic import Bad, Published
from cli.demo_world import API_KEYS, TENANTS
from db.engine import Rows
from model import DeliveryState
from sandbox.control import Control, IdCount
from worker.syncs import SYNC_DUE

FINAL = (DeliveryState.SUCCEEDED, DeliveryState.FAILED, DeliveryState.CANCELLED)
RENDERING = "audio.render_requested"
SHOWN = 3  # differences that are named


@dataclass(frozen=True, slots=True)
class Ledger:
    """What both sides say at one quiet moment."""

    events: Rows
    deliveries: Rows
    rejected: Rows
    files: Rows
    seen: Mapping[str, IdCount]  # requests and whole 2xx answers, by webhook-id, as the sandbox counted them
    bill: Mapping[str, Mapping[str, int]]  # ElevenLabs', by API key
    now: datetime


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold: in words, and what speaks against it."""

    holds: str
    differences: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.differences


def read(connection: Connection, control: Control) -> Ledger:
    """Both sides, now."""
    return Ledger(
        events=db.audit.keys(connection),
        deliveries=db.audit.deliveries(connection),
        rejected=db.audit.rejected(connection),
        files=db.audit.files(connection),
        seen=control.counts()["by_id"],
        bill=control.bill().get("elevenlabs", {}),
        now=datetime.now(UTC),
    )


def judge(ledger: Ledger, published: Published) -> list[Check]:
    """Everything that must hold."""
    return [
        _accepted(ledger, published),
        _routed(ledger, published),
        _settled(ledger),
        _rows(ledger),
        _calls_have_rows(ledger),
        _delivered_once(ledger),
        _bad_ones(ledger, published),
        _audio(ledger),
    ]


def _accepted(ledger: Ledger, published: Published) -> Check:
    """Every published event is there once; beside them only what deliveries published, and the syncs of accounts."""
    mixed = [row for row in ledger.events if row.tenant_id in TENANTS and row.type != SYNC_DUE]
    there = Counter((row.tenant_id, row.key) for row in mixed if row.caused_by is None)
    missing = [f"{key} of {tenant} is missing" for tenant, key in published.keys - there.keys()]
    strange = [f"{key} of {tenant} was never published" for tenant, key in there.keys() - published.keys]
    doubled = [f"{key} of {tenant} is there {times} times" for (tenant, key), times in there.items() if times > 1]
    caused = sum(row.caused_by is not None for row in mixed)
    return _check(
        f"{len(published.keys)} events published through {len(published.by_door)} doors, each accepted exactly once"
        f" ({len(published.repeated)} were sent twice); deliveries published {caused} more",
        [*missing, *strange, *doubled],
    )


def _routed(ledger: Ledger, published: Published) -> Check:
    """These tenants have a hook for everything; what happens at the others may interest nobody there."""
    wrong = {bad.rejected_event_key for bad in published.bad if bad.rejected_event_key}
    lost = [
        f"event {row.id} ({row.type}) has no delivery"
        for row in ledger.events
        if row.routed_at is None or (row.tenant_id in TENANTS and row.deliveries == 0 and row.key not in wrong)
    ]
    return _check(f"every event was routed: {len(ledger.deliveries)} deliveries", lost)


def _settled(ledger: Ledger) -> Check:
    ended = sum(row.state in FINAL for row in ledger.deliveries)
    stuck = [
        f"delivery {row.id} is {row.state}"
        for row in ledger.deliveries
        if row.state == DeliveryState.RUNNING or (row.due_at is not None and row.due_at <= ledger.now)
    ]
    return _check(
        f"{ended} deliveries have ended, {len(ledger.deliveries) - ended} wait for a later try, none is stuck", stuck
    )


def _rows(ledger: Ledger) -> Check:
    attempts = sum(row.rows for row in ledger.deliveries)
    wrong = [
        f"delivery {row.id} counts {row.attempt_count} attempts and has {row.rows} rows, {row.open_rows} open"
        for row in ledger.deliveries
        if row.open_rows or row.attempt_count != row.rows
    ]
    return _check(f"{attempts} attempts, each with its closed row in integration_sync_logs", wrong)


def _calls_have_rows(ledger: Ledger) -> Check:
    rows = {str(row.id): row.rows for row in ledger.deliveries}
    unknown = [
        f"{webhook_id} was called {count['requests']} times and has {rows.get(webhook_id, 0)} rows"
        for webhook_id, count in ledger.seen.items()
        if count["requests"] > rows.get(webhook_id, 0)
    ]
    calls = sum(count["requests"] for count in ledger.seen.values())
    return _check(f"the receivers saw {calls} calls, none without its row", unknown)


def _delivered_once(ledger: Ledger) -> Check:
    """What the mesh calls delivered was answered with a 2xx once; what it does not, never."""
    hooks = [row for row in ledger.deliveries if row.webhook_id is not None]
    answers = {row.id: ledger.seen.get(str(row.id), {"requests": 0, "ok": 0})["ok"] for row in hooks}
    wrong = [
        f"delivery {row.id} is {row.state}, its receiver said yes {answers[row.id]} times"
        for row in hooks
        if answers[row.id] != (row.state == DeliveryState.SUCCEEDED)
    ]
    done = sum(row.state == DeliveryState.SUCCEEDED for row in hooks)
    doubled = sum(max(0, answer - 1) for answer in answers.values())
    return _check(f"{done} webhook deliveries succeeded, each received exactly once: {doubled} duplicates", wrong)


def _bad_ones(ledger: Ledger, published: Published) -> Check:
    kept = Counter(row.id for row in ledger.rejected)
    by_event = {row.id: row.key for row in ledger.events}
    kept_events = Counter(by_event.get(row.event_id) for row in ledger.rejected if row.event_id is not None)
    wrong = [
        f"{bad.name} was neither refused nor kept" for bad in published.bad if not _accounted(bad, kept, kept_events)
    ]
    expected = sum(not bad.refused for bad in published.bad)
    if len(ledger.rejected) != expected:
        wrong.append(f"{len(ledger.rejected)} rows of rejected_events instead of {expected}")
    refused = len(published.bad) - expected
    return _check(
        f"{len(published.bad)} bad events: {refused} refused at the door, {expected} kept as rejected, with the reason",
        wrong,
    )


def _accounted(bad: Bad, kept: Mapping[Any, int], kept_events: Mapping[Any, int]) -> bool:
    if bad.refused:
        return True
    return kept[bad.rejected_id] == 1 if bad.rejected_id else kept_events[bad.rejected_event_key] == 1


def _audio(ledger: Ledger) -> Check:
    asked = [row for row in ledger.deliveries if row.event_type == RENDERING and row.webhook_id is None]
    made = [row for row in asked if row.state == DeliveryState.SUCCEEDED and row.tenant_id in TENANTS]
    files = [row for row in ledger.files if row.tenant_id in TENANTS]
    billed = sum(one["generations"] for key, one in ledger.bill.items() if key in API_KEYS.values())
    wrong = [f"{row.uri} {problem}" for row in files if (problem := _file_problem(row))]
    if not len(made) == len(files) == billed:
        wrong.append(f"{len(made)} renderings, {len(files)} files, {billed} on ElevenLabs' bill")
    size = sum(row.size_bytes for row in files)
    return _check(f"{len(files)} audio files on disk, {size / 1e6:.1f} MB; {billed} generations billed", wrong)


def local_path(uri: str) -> Path:
    """Where a file of a local media folder is."""
    return Path(unquote(urlsplit(uri).path))


def _file_problem(row: Any) -> str:
    try:
        size = local_path(row.uri).stat().st_size
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if size == row.size_bytes else f"has {size} bytes instead of {row.size_bytes}"


def _check(holds: str, differences: Iterable[str]) -> Check:
    found = tuple(differences)
    more = (f"and {len(found) - SHOWN} more",) if len(found) > SHOWN else ()
    return Check(holds, found[:SHOWN] + more)

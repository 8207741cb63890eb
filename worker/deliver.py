"""Delivering: claim a batch of ids, pass the gate, make the calls, hand their ends to the settler."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog

import db.deliveries
from db.deliveries import GiveBack
from db.engine import is_away
from model import Event
from providers import PROVIDERS
from providers.contract import Call, Rate
from worker import faults, ids
from worker.attempts import attempt
from worker.media import MediaFolder
from worker.outcomes import Claim
from worker.resources import Installed, Resources
from worker.vault import Vault, VaultError

SLOT_WAIT_S = 20.0  # a Celery thread waits this long for a free call slot before it gives its ids back

log = structlog.get_logger("mesh.deliver")


def deliver(delivery_ids: Sequence[UUID], resources: Resources) -> None:
    """One message: claim its deliveries as slots come free, and start their calls."""
    rest = list(delivery_ids)
    while rest:
        room = resources.calls.slots.take(len(rest), SLOT_WAIT_S)
        if room == 0:
            with resources.engine.begin() as connection:
                db.deliveries.undo_dispatch(connection, rest)
            return
        portion, rest = rest[:room], rest[room:]
        started = 0
        try:
            for claim in _claim(portion, resources):
                resources.calls.start(lambda claim=claim: run(claim, resources))  # type: ignore[misc]
                started += 1
        finally:
            resources.calls.slots.give(room - started)


def _claim(delivery_ids: Sequence[UUID], resources: Resources) -> list[Claim]:
    """What of these ids is ours and may be called now."""
    attempt_ids = [ids.new() for _ in delivery_ids]
    rows = _claim_rows(delivery_ids, attempt_ids, resources)
    faults.reached("claim")
    if len(rows) < len(delivery_ids):
        claimed = {row.id for row in rows}
        with resources.engine.begin() as connection:
            db.deliveries.shelve(connection, [each for each in delivery_ids if each not in claimed])
    return _admitted([_as_claim(row) for row in rows], resources)


def _claim_rows(delivery_ids: Sequence[UUID], attempt_ids: Sequence[UUID], resources: Resources) -> Sequence[Any]:
    """Claim, once more when Postgres went away: what a lost commit had claimed waits for its lease to end."""
    for last in (False, True):
        try:
            with resources.engine.begin() as connection:
                return db.deliveries.claim(
                    connection, delivery_ids, attempt_ids, lease_s=resources.lease_s, worker=resources.worker
                )
        except Exception as error:
            if last or not is_away(error):
                raise
            time.sleep(0.2)
    raise AssertionError("unreachable")


def _as_claim(row: Any) -> Claim:
    return Claim(
        delivery_id=row.id,
        attempt_id=row.attempt_id,
        attempt_number=row.attempt_count,
        started_at=row.started_at,
        retry_count=row.retry_count,
        failures=row.failures,
        unknown=row.unknown,
        event=Event(row.event_id, row.tenant_id, row.type, row.data, row.occurred_at, row.caused_by),
        provider=PROVIDERS[row.provider],
        integration_id=row.integration_id,
        webhook_id=row.webhook_id,
        config=row.config,
        secrets_sealed=row.secrets_sealed,
        url_sealed=row.url_sealed,
        signing_secrets=tuple(row.signing_secrets or ()),
        progress=row.progress or {},
        first_attempt_at=row.first_attempt_at,
        rate_per_s=float(row.rate_per_s) if row.rate_per_s is not None else None,
        max_in_flight=row.max_in_flight,
    )


def _admitted(claims: list[Claim], resources: Resources) -> list[Claim]:
    """What the gate lets through; the rest goes back, and uses no attempt."""
    waits = resources.gate.waits(claims, [_rate(claim, resources.vault) for claim in claims])
    held = [
        GiveBack(claim.delivery_id, claim.attempt_id, wait)
        for claim, wait in zip(claims, waits, strict=True)
        if wait > 0
    ]
    if held:
        with resources.engine.begin() as connection:
            db.deliveries.give_back(connection, held)
    return [claim for claim, wait in zip(claims, waits, strict=True) if wait <= 0]


def _rate(claim: Claim, vault: Vault) -> Rate | None:
    """The rate limit in force: the target's own, else what the provider says of its host, else of an account."""
    if claim.rate_per_s is not None:
        return Rate(1, 1 / claim.rate_per_s)
    if claim.webhook_id and claim.provider.host_rates:
        try:
            host = urlsplit(_target_url(claim, vault)).hostname
        except VaultError:  # the call itself will say so; its neighbours in this batch must not suffer
            return None
        return claim.provider.host_rates.get(host or "")
    return claim.provider.rate


def run(claim: Claim, resources: Resources) -> None:
    """Make one claimed delivery's call and hand its end to the settler."""
    faults.reached("send")
    ended = attempt(claim, lambda c: prepare(c, resources), lambda e: resources.reopen(e.claim, e))
    faults.reached("answer")
    resources.gate.leave(claim)
    if ended is not None:
        resources.settler.submit(ended)


def prepare(claim: Claim, resources: Resources) -> Call:
    """Everything the adapter may use for one call."""
    installed = resources.installed[claim.provider.name]
    return Call(
        provider=claim.provider,
        event=claim.event,
        delivery_id=claim.delivery_id,
        integration_id=claim.integration_id,
        attempt_number=claim.attempt_number,
        base_url=installed.base_url,
        config=claim.config,
        secrets=account_secrets(claim, installed, resources.vault),
        progress=claim.progress,
        first_attempt_at=claim.first_attempt_at,
        now=datetime.now(UTC),
        deadline_s=installed.deadline_s,
        transport=resources.transport,
        media=MediaFolder(resources.media_url, claim.event.tenant_id),
        target_url=_target_url(claim, resources.vault),
        signing_secrets=_signing_secrets(claim, resources.vault),
    )


def account_secrets(claim: Claim, installed: Installed, vault: Vault) -> Mapping[str, str]:
    """The account's own credentials over the installation's."""
    if not claim.secrets_sealed:
        return installed.credentials
    own = json.loads(vault.open(claim.secrets_sealed, f"integrations.secrets_sealed:{claim.integration_id}"))
    return {**installed.credentials, **own}


def _target_url(claim: Claim, vault: Vault) -> str:
    if claim.url_sealed is None:
        return ""
    return vault.open(claim.url_sealed, f"webhooks.url_sealed:{claim.webhook_id}")


def _signing_secrets(claim: Claim, vault: Vault) -> tuple[str, ...]:
    """Every secret that has not expired, newest first."""
    if not claim.signing_secrets:
        return ()
    now = datetime.now(UTC).isoformat()
    place = f"webhooks.secrets:{claim.webhook_id}"
    return tuple(
        vault.open(secret["sealed"], place)
        for secret in claim.signing_secrets
        if secret["expires_at"] is None or secret["expires_at"] > now
    )

"""Delivering: claim a batch of ids, pass the gate, make the calls, hand their ends to the settler."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

import structlog

import db.deliveries
from db.deliveries import GiveBack
from db.engine import is_away
from model import Event
from providers import PROVIDERS
from providers.contract import Call, Rate
from providers.errors import AccountBlocked
from providers.http import Transport
from providers.waiting import pause
from worker import faults, ids
from worker.accounts import base_url_missing, credentials
from worker.attempts import attempt
from worker.calls import KEPT
from worker.dispatch import FEW
from worker.gate import HOLD_S
from worker.known import KnownRows
from worker.limits import Caps, app_rate, caps_in_force, rate_in_force, target_url
from worker.media import MediaFolder
from worker.outcomes import Claim
from worker.pacing import Heard, Paced
from worker.tokens import Held
from worker.vault import Vault, VaultError

if TYPE_CHECKING:
    from worker.resources import Installed, Resources

Turn = tuple[Claim, float]  # a claim, and the seconds until its call

SLOT_WAIT_S = 20.0  # a Celery thread waits this long for a free call slot before it gives its ids back

log = structlog.get_logger("mesh.deliver")


def deliver(delivery_ids: Sequence[UUID], resources: Resources) -> None:
    """One message: claim its deliveries as slots come free, and start their calls."""
    rest = list(delivery_ids)
    few = len(rest) <= FEW
    while rest:
        room = resources.calls.slots.take(len(rest), SLOT_WAIT_S, keep=0 if few else KEPT)
        if room == 0:
            with resources.engine.begin() as connection:
                db.deliveries.undo_dispatch(connection, rest)
            return
        portion, rest = rest[:room], rest[room:]
        turns: Sequence[Turn] = ()
        try:
            turns = _claim(portion, resources)
        finally:
            resources.calls.slots.give_back(room - len(turns))
        resources.start(turns, ahead=few)


def _claim(delivery_ids: Sequence[UUID], resources: Resources) -> list[Turn]:
    """What of these ids is ours and may be called now or in a moment."""
    attempt_ids = [ids.new() for _ in delivery_ids]
    rows = _claim_rows(delivery_ids, attempt_ids, resources)
    faults.reached("claim")
    if len(rows) < len(delivery_ids):
        claimed = {row.id for row in rows}
        with resources.engine.begin() as connection:
            db.deliveries.shelve(connection, [each for each in delivery_ids if each not in claimed])
    return _admitted([_as_claim(row) for row in rows], [row.answers_since_s for row in rows], resources)


def _claim_rows(delivery_ids: Sequence[UUID], attempt_ids: Sequence[UUID], resources: Resources) -> Sequence[Any]:
    """Claim, once more when Postgres went away: what a lost commit had claimed waits for its lease to end."""
    for last in (False, True):
        try:
            with resources.statements.begin() as connection:
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
        event=Event(
            row.event_id,
            row.tenant_id,
            row.type,
            row.data,
            row.occurred_at,
            row.caused_by,
            row.trace_id,
            row.chain_step_id,
        ),
        provider=PROVIDERS[row.provider],
        integration_id=row.integration_id,
        webhook_id=row.webhook_id,
        config=row.config,
        secrets_sealed=row.secrets_sealed,
        url_sealed=row.url_sealed,
        signing_secrets=tuple(row.signing_secrets or ()),
        progress=row.progress or {},
        first_attempt_at=row.first_attempt_at,
        lost_count=row.lost_count,
        rate_per_s=float(row.rate_per_s) if row.rate_per_s is not None else None,
        max_in_flight=row.max_in_flight,
    )


def _admitted(claims: Sequence[Claim], answering_s: Sequence[float | None], resources: Resources) -> list[Turn]:
    """What the gate lets through; the rest goes back, and uses no attempt."""
    rates = [_rate(claim, resources.vault) for claim in claims]
    caps = [claim_caps(claim, resources) for claim in claims]
    waits = resources.gate.waits(claims, rates, caps, hold_s=HOLD_S, answering_s=answering_s)
    turns = list(zip(claims, waits, strict=True))
    late = [GiveBack(claim.delivery_id, claim.attempt_id, wait_s) for claim, wait_s in turns if wait_s > HOLD_S]
    if late:
        with resources.engine.begin() as connection:
            db.deliveries.give_back(connection, late)
    return [(claim, wait_s) for claim, wait_s in turns if wait_s <= HOLD_S]


def _rate(claim: Claim, vault: Vault) -> Rate | None:
    return rate_in_force(claim.provider, claim.rate_per_s, claim.webhook_id, claim.url_sealed, vault)


def claim_caps(claim: Claim, resources: Resources) -> Caps:
    """How many calls may be made at once of those that this one belongs to."""
    return caps_in_force(claim, lambda: _credentials(claim, resources))


def _credentials(claim: Claim, resources: Resources) -> Mapping[str, str]:
    """The account's; none where they cannot be opened: the call itself will say so."""
    try:
        return account_secrets(claim, resources.installed[claim.provider.name], resources.vault)
    except VaultError:
        return {}


def run(claim: Claim, resources: Resources, wait_s: float = 0.0) -> None:
    """Make one claimed delivery's call when its turn has come, and hand its end to the settler."""
    if wait_s > 0:
        pause(wait_s)
    faults.reached("send")
    held = Held(resources.tokens, claim.integration_id)
    ended = attempt(claim, lambda c: prepare(c, resources, held), lambda e: resources.reopen(e.claim, e), held.renewed)
    faults.reached("answer")
    if ended is not None and ended.integration_state:
        ended = replace(ended, token_version=held.version)
    resources.ended(claim, ended)


def prepare(claim: Claim, resources: Resources, held: Held | None = None) -> Call:
    """Everything the adapter may use for one call. `held` keeps which token it is.

    Raises AccountBlocked where nobody has set where the provider is.
    """
    installed = resources.installed[claim.provider.name]
    if not installed.base_url and not claim.provider.by_webhook:
        raise AccountBlocked(base_url_missing(claim.provider), code="base_url_missing")
    began = time.monotonic()
    secrets = account_secrets(claim, installed, resources.vault)
    if claim.provider.oauth is not None:
        secrets = {**secrets, **(held or Held(resources.tokens, claim.integration_id)).secrets()}
    return Call(
        provider=claim.provider,
        event=claim.event,
        delivery_id=claim.delivery_id,
        integration_id=claim.integration_id,
        attempt_number=claim.attempt_number,
        base_url=installed.base_url,
        config=claim.config,
        secrets=secrets,
        progress=claim.progress,
        first_attempt_at=claim.first_attempt_at,
        now=claim.started_at,  # by the server's clock: this machine's may be wrong
        deadline_s=installed.deadline_s,
        transport=_transport(claim, resources),
        media=MediaFolder(resources.media_url, claim.event.tenant_id, resources.engine, resources.links),
        known=KnownRows(
            resources.engine,
            resources.links,
            claim.provider.name,
            claim.event.tenant_id,
            claim.integration_id,
            claim.delivery_id,
        ),
        api_version=installed.api_version,
        hosts=installed.hosts,
        paths=installed.paths,
        settings=installed.settings,
        target_url=target_url(claim.webhook_id, claim.url_sealed, resources.vault),
        signing_secrets=_signing_secrets(claim, resources.vault),
        spent_s=time.monotonic() - began,  # a token that had to be waited for is part of the attempt
    )


def _transport(claim: Claim, resources: Resources) -> Transport:
    """Paced where our app has one allowance; the gate took the first turn, unless the account has a rate of its own."""
    transport: Transport = resources.transport
    shared = app_rate(claim.provider)
    if shared is not None:
        transport = Paced(transport, resources.gate, shared, prepaid=int(claim.rate_per_s is None))
    ceiling, (_, shared_cap) = claim.provider.ceiling, claim_caps(claim, resources)
    if ceiling is not None and shared_cap is not None:
        transport = Heard(transport, resources.gate, shared_cap, ceiling.read)
    return transport


def account_secrets(claim: Claim, installed: Installed, vault: Vault) -> Mapping[str, str]:
    """The account's own credentials over the installation's."""
    return credentials(claim.integration_id, claim.secrets_sealed, installed.credentials, vault)


def _signing_secrets(claim: Claim, vault: Vault) -> tuple[str, ...]:
    """Every secret that has not expired, newest first."""
    if not claim.signing_secrets:
        return ()
    now = claim.started_at.astimezone(UTC).isoformat()
    place = f"webhooks.secrets:{claim.webhook_id}"
    return tuple(
        vault.open(secret["sealed"], place)
        for secret in claim.signing_secrets
        if secret["expires_at"] is None or secret["expires_at"] > now
    )

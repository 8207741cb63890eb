"""What one call's end means: for its attempt row, its delivery, and the target that was called. Pure.

Retryable        due again by schedule, or when the provider said, whichever is later
OutcomeUnknown   as its action allows: repeat, look up first, or a dead letter that says so
Refused          a dead letter; a rejected account parks its deliveries instead, and uses none up
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from db.deliveries import Settlement
from db.targets import PROBE_AFTER, Strain
from model import AttemptState, Cost, DeliveryState, Done, Event, Outcome, Records, Wait
from providers.contract import Exchange, Provider, Repeat
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    Gone,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Retryable,
    Unsettled,
)

SCHEDULE_S = (5, 30, 120, 600, 3_600, 10_800, 36_000, 86_400)
JITTER = 0.2
LONGEST_WAIT_S = 86_400
CIRCUIT_HOLD_S = 5.0  # the first hold of a target that keeps failing; doubles
CIRCUIT_HOLD_MAX_S = 300.0
_TEXT_LIMIT = 500
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


@dataclass(frozen=True, slots=True)
class Claim:
    """One delivery that this worker holds, with what its call needs."""

    delivery_id: UUID
    attempt_id: UUID
    attempt_number: int
    started_at: datetime
    retry_count: int
    failures: int  # of its target, in a row
    unknown: bool  # an earlier call may have been done
    event: Event
    provider: Provider
    integration_id: UUID
    webhook_id: UUID | None
    config: Mapping[str, Any]
    secrets_sealed: str | None = field(repr=False)
    url_sealed: str | None = field(repr=False)
    signing_secrets: tuple[Mapping[str, Any], ...] = field(repr=False)
    progress: Mapping[str, Any]
    first_attempt_at: datetime
    lost_count: int = 0  # holders that died with it, since it last got on or a person had it tried again
    rate_per_s: float | None = None
    max_in_flight: int | None = None

    @property
    def target_id(self) -> UUID:
        """What is called: the webhook, or the account."""
        return self.webhook_id or self.integration_id

    @property
    def target_table(self) -> str:
        """Where the target lives."""
        return "webhooks" if self.webhook_id else "integrations"


@dataclass(frozen=True, slots=True)
class Ending:
    """Everything that one commit does because of one call."""

    claim: Claim
    settlement: Settlement
    done: Done | None = None
    records: Records | None = None
    strain: Strain | None = None
    recovered: bool = False
    webhook_gone: bool = False
    integration_state: str | None = None
    token_version: int | None = None  # of the token that was rejected: a newer one is not marked for it


def ending(claim: Claim, result: Outcome | ProviderError, *, exchange: Exchange | None, duration_ms: int) -> Ending:
    """What the end of one call means."""
    if isinstance(result, Done):
        return _done(claim, result, exchange, duration_ms)
    if isinstance(result, Wait):
        return _wait(claim, result, exchange, duration_ms)
    if isinstance(result, OutcomeUnknown):
        return _unknown(claim, result, exchange, duration_ms)
    if isinstance(result, Retryable):
        return _retry(claim, result, AttemptState.RETRYABLE, result.wait_s, exchange, duration_ms)
    return _refused(claim, result, exchange, duration_ms)


def not_stored(ended: Ending) -> Ending:
    """What is left of an end that cannot be stored as it is. Without it the call would be made again and again."""
    error = OutcomeUnknown("The call ended, but its outcome cannot be stored; see the worker's log.", code="not_stored")
    before = ended.settlement
    settlement = _settlement(
        ended.claim, DeliveryState.FAILED, AttemptState.LOST, None, before.duration_ms, error, unknown=True
    )
    return Ending(ended.claim, replace(settlement, http_status=before.http_status))


def _settlement(
    claim: Claim,
    state: DeliveryState,
    attempt_state: AttemptState,
    exchange: Exchange | None,
    duration_ms: int,
    error: ProviderError | None = None,
    **moves: Any,
) -> Settlement:
    return Settlement(
        id=claim.delivery_id,
        attempt_id=claim.attempt_id,
        started_at=claim.started_at,
        state=state,
        attempt_state=attempt_state,
        duration_ms=duration_ms,
        error_code=error.code if error else None,
        error_message=clean(str(error)) if error else None,
        http_status=exchange.status if exchange else None,
        method=exchange.method if exchange else None,
        url=clean(exchange.url) if exchange else None,
        answer=clean(exchange.excerpt) if exchange else None,
        **moves,
    )


def _done(claim: Claim, done: Done, exchange: Exchange | None, duration_ms: int) -> Ending:
    settlement = _settlement(
        claim,
        DeliveryState.SUCCEEDED,
        AttemptState.SUCCEEDED,
        exchange,
        duration_ms,
        result=as_json(done.result),
        external_id=clean(done.external_id) if done.external_id else None,
        **_costs(done.cost),
    )
    return Ending(claim, settlement, done=done, records=done.records, recovered=claim.failures > 0)


def _wait(claim: Claim, wait: Wait, exchange: Exchange | None, duration_ms: int) -> Ending:
    settlement = _settlement(
        claim,
        DeliveryState.WAITING,
        AttemptState.SUCCEEDED,
        exchange,
        duration_ms,
        wait_s=max(0.0, wait.wait_s),
        progress=as_json(wait.progress),
        external_id=clean(wait.external_id) if wait.external_id else None,
        **_costs(wait.cost),
    )
    return Ending(claim, settlement, records=wait.records, recovered=claim.failures > 0)


def _costs(cost: Cost | None) -> dict[str, Any]:
    return {"cost": cost.amount, "cost_unit": clean(cost.unit)} if cost else {}


def _unknown(claim: Claim, error: OutcomeUnknown, exchange: Exchange | None, duration_ms: int) -> Ending:
    action = claim.provider.action(claim.event.type)
    if action is not None and action.repeat_after(claim.progress) is not Repeat.NEVER:
        return _retry(claim, error, AttemptState.LOST, None, exchange, duration_ms, unknown=True)
    settlement = _settlement(claim, DeliveryState.FAILED, AttemptState.LOST, exchange, duration_ms, error, unknown=True)
    return Ending(claim, settlement, strain=_strain(claim, None) if error.holds else None)


def _retry(
    claim: Claim,
    error: ProviderError,
    attempt_state: AttemptState,
    asked_s: float | None,
    exchange: Exchange | None,
    duration_ms: int,
    *,
    unknown: bool = False,
) -> Ending:
    strain = _strain(claim, asked_s, counts=not isinstance(error, RateLimited)) if error.holds else None
    still_unknown = unknown or claim.unknown
    if claim.retry_count >= len(SCHEDULE_S):
        settlement = _settlement(
            claim, DeliveryState.FAILED, attempt_state, exchange, duration_ms, error, unknown=still_unknown
        )
    else:
        settlement = _settlement(
            claim,
            DeliveryState.RETRYING,
            attempt_state,
            exchange,
            duration_ms,
            error,
            wait_s=retry_wait(claim.retry_count, asked_s),
            retries=1,
            unknown=still_unknown,
        )
    return Ending(claim, settlement, strain=strain)


def retry_wait(retry_count: int, asked_s: float | None) -> float:
    """Seconds until the next try: the schedule with jitter, or the provider's own word if that is later."""
    scheduled = SCHEDULE_S[min(retry_count, len(SCHEDULE_S) - 1)] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
    return min(max(scheduled, asked_s or 0), LONGEST_WAIT_S)


def _refused(claim: Claim, error: ProviderError, exchange: Exchange | None, duration_ms: int) -> Ending:
    if isinstance(error, Gone) and claim.webhook_id:
        settlement = _settlement(claim, DeliveryState.CANCELLED, AttemptState.REFUSED, exchange, duration_ms, error)
        return Ending(claim, settlement, webhook_gone=True)
    parked = _ACCOUNT_STATES.get(type(error))
    if parked and not claim.webhook_id:
        # Due at once, and so found by the next claim to belong to an account that is not active: parked there.
        settlement = _settlement(
            claim,
            DeliveryState.RETRYING,
            AttemptState.REFUSED,
            exchange,
            duration_ms,
            error,
            wait_s=0.0,
            unknown=claim.unknown,
        )
        return Ending(claim, settlement, integration_state=parked)
    unknown = isinstance(error, Unsettled)  # many that are made due again at once are not done again
    settlement = _settlement(
        claim, DeliveryState.FAILED, AttemptState.REFUSED, exchange, duration_ms, error, unknown=unknown
    )
    if claim.webhook_id:
        return Ending(claim, settlement, strain=Strain(1))
    return Ending(claim, settlement, recovered=claim.failures > 0)  # an account that says no to one event is well


_ACCOUNT_STATES: Mapping[type[ProviderError], str] = {
    CredentialsRejected: "needs_reconnect",
    AccountBlocked: "blocked",
}


def _strain(claim: Claim, asked_s: float | None, *, counts: bool = True) -> Strain:
    """What a failure does to its target: it counts, and holds the target when it keeps failing or asked for time."""
    failures = claim.failures + 1
    hold_s = asked_s or 0.0
    if counts and failures >= PROBE_AFTER:
        hold_s = max(hold_s, min(CIRCUIT_HOLD_S * 2 ** min(failures - PROBE_AFTER, 10), CIRCUIT_HOLD_MAX_S))
    reason = "It asked for time." if asked_s else "It keeps failing."
    return Strain(failures=1 if counts else 0, hold_s=hold_s, reason=reason if hold_s else "")


def clean(text: str) -> str:
    """Text that Postgres takes: no NUL, no lone surrogate, bounded."""
    return text[:_TEXT_LIMIT].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def as_json(value: Mapping[str, Any]) -> str:
    """JSON that Postgres takes: no NUL (after an even number of backslashes it is one), no lone surrogate."""
    return _storable(value) if value else "{}"


def as_json_list(value: Sequence[Mapping[str, Any]]) -> str:
    """The same for a list of objects."""
    return _storable(list(value)) if value else "[]"


def _storable(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
    return _NUL.sub(r"\1\\ufffd", text)

"""Trying: one claimed delivery's call, with quick repeats of transient faults, each with its own row.

Tenacity repeats only what may be gone within a second (a refused connection, a name that did not resolve); everything
longer goes back to Postgres.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from db.engine import is_away
from model import Outcome
from providers.contract import Call, Repeat
from providers.errors import CredentialsRejected, OutcomeUnknown, ProviderError, Retryable, Unavailable, Unsupported
from providers.waiting import pause
from worker.outcomes import Claim, Ending, ending

QUICK_TRIES = 3
QUICK_BUDGET_S = 3.0

log = structlog.get_logger("mesh.attempt")

# Given by whoever holds the delivery: closes the row of a try that failed and opens the next one's, or None when the
# delivery has a newer holder.
Reopen = Callable[[Ending], Claim | None]
Prepare = Callable[[Claim], Call]

# Whether a rejected account has other credentials now. Raises Retryable when it may have some soon.
Renew = Callable[[], bool]


Result = Outcome | ProviderError
Value = TypeVar("Value")


def _is_transient(result: Result) -> bool:
    return isinstance(result, Unavailable) and result.transient


def _last_result(state: RetryCallState) -> Result:
    assert state.outcome is not None
    result: Result = state.outcome.result()
    return result


_quickly: Retrying = Retrying(
    retry=retry_if_result(_is_transient),
    stop=stop_after_attempt(QUICK_TRIES) | stop_after_delay(QUICK_BUDGET_S),
    wait=wait_random_exponential(multiplier=0.1, max=1.0),
    sleep=pause,
    retry_error_callback=_last_result,
)


def attempt(claim: Claim, prepare: Prepare, reopen: Reopen, renew: Renew = lambda: False) -> Ending | None:
    """Make the call of a claimed delivery. How it ended; None when the delivery was taken over meanwhile.

    A rejected account is tried once more where `renew` finds other credentials.
    """
    trial = _Trial(claim, prepare, reopen, renew)
    try:
        result = trial.once()
        if _is_transient(result):
            tries: Iterator[Result] = chain([result], iter(trial.again, None))
            result = _quickly(lambda: next(tries))
    except _TakenOver:
        return None
    return trial.ending(result)


class _TakenOver(Exception):
    """Another worker holds the delivery now."""


class _Trial:
    """The tries of one claim: what the current one is, and how the last one ended."""

    def __init__(self, claim: Claim, prepare: Prepare, reopen: Reopen, renew: Renew) -> None:
        self._claim = claim
        self._prepare = prepare
        self._reopen = reopen
        self._renew: Renew | None = renew  # None: it was asked
        self._result: Result
        self._call: Call | None = None
        self._began = 0.0

    def once(self) -> Result:
        """One try, and another one when its credentials were rejected and there are others."""
        self._began = time.monotonic()
        self._result = self._guarded(self._act)
        if isinstance(self._result, CredentialsRejected) and self._renew is not None:
            renew, self._renew = self._renew, None
            renewed = self._guarded(renew)
            if renewed is True:
                return self.again()
            if isinstance(renewed, Retryable):
                self._result = renewed
        return self._result

    def _act(self) -> Outcome:
        """What the adapter makes of it. Where it fails with something sent, that may have been done."""
        self._call = None
        call = self._call = self._prepare(self._claim)
        try:
            return act(self._claim, call)
        except ProviderError:
            raise
        except Exception as error:
            if call.exchange is None:
                raise
            raise self._unknown(error) from error

    def _unknown(self, error: Exception) -> OutcomeUnknown:
        away = is_away(error)
        if not away:
            log.exception("adapter_failed", delivery_id=str(self._claim.delivery_id))
        said = "our own database did not answer" if away else f"{type(error).__name__} in the adapter; see the log"
        unknown = OutcomeUnknown(f"The call was sent, then {said}.", code="database_away" if away else "adapter_error")
        unknown.holds = not away
        return unknown

    def _guarded(self, work: Callable[[], Value]) -> Value | ProviderError:
        """What it returns, or the error that stands for what it raised."""
        try:
            return work()
        except ProviderError as error:
            return error
        except Exception as error:
            if is_away(error):
                return _database_away()
            # a fault of ours: visible, its row closed, and tried again after a deploy
            log.exception("adapter_failed", delivery_id=str(self._claim.delivery_id))
            message = f"{type(error).__name__} in the adapter; see the worker's log."
            return Retryable(message, code="adapter_error")

    def again(self) -> Result:
        """Another try, with a row of its own."""
        following = self._reopen(self.ending(self._result))
        if following is None:
            raise _TakenOver
        self._claim = following
        return self.once()

    def ending(self, result: Result) -> Ending:
        """What the current try means."""
        elapsed_ms = int((time.monotonic() - self._began) * 1000)
        made = ending(self._claim, result, exchange=self._call.exchange if self._call else None, duration_ms=elapsed_ms)
        _log(self._claim, made)
        return made


def _database_away() -> Retryable:
    """What was called, or was to be, has nothing to do with it: it is not held."""
    error = Unavailable("Our own database did not answer.", code="database_away")
    error.holds = False
    return error


def act(claim: Claim, call: Call) -> Outcome:
    """Do what the event asks of the provider; after a lost answer, only as far as that is safe."""
    action = claim.provider.action(claim.event.type)
    if action is None:
        raise Unsupported(f"{claim.provider.title} has no action for {claim.event.type}.")
    repeat = action.repeat_after(claim.progress)
    # Unknown with no holder lost: a person has seen the dead letter and has it tried again.
    if claim.unknown and claim.lost_count and repeat is Repeat.NEVER:
        raise OutcomeUnknown("An earlier call may have been done, and cannot be repeated safely: check it by hand.")
    if claim.unknown and repeat is Repeat.LOOKUP and action.find is not None:
        found = action.find(call)
        if found is not None:
            return found
    return action.run(call)


def renewed(claim: Claim, row: Any) -> Claim:
    """The claim of the next try, from the row that opened it."""
    return replace(claim, attempt_id=row.attempt_id, attempt_number=row.attempt_count, started_at=row.started_at)


def _log(claim: Claim, made: Ending) -> None:
    level = logging.DEBUG if made.settlement.attempt_state == "succeeded" else logging.INFO
    if not log.is_enabled_for(level):  # thousands a second are not worth formatting for nothing
        return
    log.log(
        level,
        "attempt",
        delivery_id=str(claim.delivery_id),
        attempt=claim.attempt_number,
        provider=claim.provider.name,
        event_type=claim.event.type,
        state=made.settlement.state,
        error_code=made.settlement.error_code,
        http_status=made.settlement.http_status,
        duration_ms=made.settlement.duration_ms,
        wait_s=made.settlement.wait_s and round(made.settlement.wait_s, 1),
    )

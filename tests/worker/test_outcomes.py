"""What each end of a call means, as a table; and how long to wait."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from db.targets import PROBE_AFTER
from model import Done, Outcome, Wait
from providers import errors
from providers.contract import Exchange, Repeat
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    Gone,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Retryable,
    TargetForbidden,
    Unavailable,
    Unsettled,
    Unsupported,
)
from tests.worker.claims import a_claim, a_provider
from worker.outcomes import CIRCUIT_HOLD_MAX_S, LONGEST_WAIT_S, SCHEDULE_S, Ending, ending, retry_wait

EXCHANGE = Exchange("POST", "https://x/****", 503, "busy")
SOON = (4, 6)  # the schedule's first wait, with its jitter
OPEN, ENDED = (0.0, 0.0), None


def end(result: Outcome | ProviderError, **claim: Any) -> Ending:
    return ending(a_claim(**claim), result, exchange=EXCHANGE, duration_ms=7)


# result, changes of the claim -> delivery, attempt, wait, retries used, failures counted, held for
TABLE: list[tuple[Any, Mapping[str, Any], str, str, Any, int, Any, Any]] = [
    (Done(), {}, "succeeded", "succeeded", ENDED, 0, None, None),
    (Wait(30, {}), {}, "waiting", "succeeded", (30, 30), 0, None, None),
    (Wait(-1, {}), {}, "waiting", "succeeded", OPEN, 0, None, None),
    (Retryable(), {}, "retrying", "retryable", SOON, 1, 1, 0),
    (Unavailable(), {}, "retrying", "retryable", SOON, 1, 1, 0),
    (Unavailable(transient=True), {}, "retrying", "retryable", SOON, 1, 1, 0),
    (Unavailable(wait_s=60), {}, "retrying", "retryable", (60, 60), 1, 1, 60),
    (Unavailable(wait_s=1), {}, "retrying", "retryable", SOON, 1, 1, 1),
    (Unavailable(), {"failures": PROBE_AFTER - 1}, "retrying", "retryable", SOON, 1, 1, 5),
    (Unavailable(), {"failures": PROBE_AFTER + 1}, "retrying", "retryable", SOON, 1, 1, 20),
    (Unavailable(), {"failures": 100}, "retrying", "retryable", SOON, 1, 1, CIRCUIT_HOLD_MAX_S),
    (RateLimited(), {}, "retrying", "retryable", SOON, 1, 0, 0),
    (RateLimited(wait_s=90), {}, "retrying", "retryable", (90, 90), 1, 0, 90),
    (RateLimited(wait_s=90), {"failures": 100}, "retrying", "retryable", (90, 90), 1, 0, 90),
    (Retryable(), {"retry_count": len(SCHEDULE_S)}, "failed", "retryable", ENDED, 0, 1, 0),
    (RateLimited(wait_s=9), {"retry_count": len(SCHEDULE_S)}, "failed", "retryable", ENDED, 0, 0, 9),
    (OutcomeUnknown(), {}, "retrying", "lost", SOON, 1, 1, 0),
    (OutcomeUnknown(), {"retry_count": len(SCHEDULE_S)}, "failed", "lost", ENDED, 0, 1, 0),
    (Refused(), {}, "failed", "refused", ENDED, 0, None, None),
    (InvalidPayload(), {}, "failed", "refused", ENDED, 0, None, None),
    (Unsettled(), {}, "failed", "refused", ENDED, 0, None, None),
    (TargetForbidden(), {}, "failed", "refused", ENDED, 0, None, None),
    (Unsupported(), {}, "failed", "refused", ENDED, 0, None, None),
    (Gone(), {}, "failed", "refused", ENDED, 0, None, None),
    (CredentialsRejected(), {}, "retrying", "refused", OPEN, 0, None, None),
    (AccountBlocked(), {}, "retrying", "refused", OPEN, 0, None, None),
    # Of a webhook: what is refused counts against it; it has no account that could be reconnected.
    (Refused(), {"webhook": True}, "failed", "refused", ENDED, 0, 1, 0),
    (InvalidPayload(), {"webhook": True}, "failed", "refused", ENDED, 0, 1, 0),
    (CredentialsRejected(), {"webhook": True}, "failed", "refused", ENDED, 0, 1, 0),
    (Gone(), {"webhook": True}, "cancelled", "refused", ENDED, 0, None, None),
]


@pytest.mark.parametrize(
    ("result", "claim", "delivery", "attempt", "wait", "retries", "failures", "hold"),
    TABLE,
    ids=[f"{type(row[0]).__name__}-{n}" for n, row in enumerate(TABLE)],
)
def test_each_end(
    result: Any,
    claim: Mapping[str, Any],
    delivery: str,
    attempt: str,
    wait: tuple[float, float] | None,
    retries: int,
    failures: int | None,
    hold: float | None,
) -> None:
    made = end(result, **claim)
    settled = made.settlement
    assert (settled.state, settled.attempt_state, settled.retries) == (delivery, attempt, retries)
    if wait is None:
        assert settled.wait_s is None
    else:
        assert settled.wait_s is not None
        assert wait[0] <= settled.wait_s <= wait[1]
    assert (made.strain.failures if made.strain else None) == failures
    assert (made.strain.hold_s if made.strain else None) == hold
    assert (settled.http_status, settled.url, settled.answer) == (503, "https://x/****", "busy")
    assert settled.duration_ms == 7
    if isinstance(result, ProviderError):
        assert settled.error_code == result.code
        assert settled.error_message == str(result)
    else:
        assert settled.error_code is None


def every_error(kind: type[ProviderError] = ProviderError) -> set[type[ProviderError]]:
    return {kind}.union(*(every_error(sub) for sub in kind.__subclasses__() if sub.__module__ == errors.__name__))


def test_the_table_knows_every_error() -> None:
    abstract = {ProviderError}
    assert {type(row[0]) for row in TABLE} - {Done, Wait} == every_error() - abstract


@pytest.mark.parametrize(
    ("repeat", "state", "wait"),
    [(Repeat.SAFE, "retrying", True), (Repeat.LOOKUP, "retrying", True), (Repeat.NEVER, "failed", False)],
)
def test_a_lost_answer_is_repeated_only_where_that_is_safe(repeat: Repeat, state: str, wait: bool) -> None:
    made = end(OutcomeUnknown(), provider=a_provider(repeat=repeat)).settlement
    assert (made.state, made.attempt_state, made.wait_s is not None) == (state, "lost", wait)
    assert made.unknown, "and it is remembered that it may have been done"


@pytest.mark.parametrize("result", [Unavailable(), RateLimited(), CredentialsRejected(), AccountBlocked()])
def test_what_was_unknown_stays_unknown_until_there_is_an_answer(result: ProviderError) -> None:
    assert end(result, unknown=True).settlement.unknown
    assert not end(result).settlement.unknown


def test_what_nobody_can_be_asked_about_stays_unknown() -> None:
    assert end(Unsettled()).settlement.unknown


@pytest.mark.parametrize("result", [Done(), Refused()])
def test_an_answer_ends_it(result: Any) -> None:
    assert not end(result, unknown=True).settlement.unknown


def test_the_account_is_marked_and_the_webhook_is_gone() -> None:
    assert end(CredentialsRejected()).integration_state == "needs_reconnect"
    assert end(AccountBlocked()).integration_state == "blocked"
    assert end(CredentialsRejected(), webhook=True).integration_state is None
    assert end(Gone(), webhook=True).webhook_gone
    assert not end(Gone()).webhook_gone


def test_an_answer_after_failures_recovers_the_target() -> None:
    assert end(Done(), failures=3).recovered
    assert end(Wait(0, {}), failures=3).recovered
    assert not end(Done()).recovered


def test_what_is_stored_can_be_stored() -> None:
    nasty = "a\x00b\ud800" + "x" * 1000
    made = ending(
        a_claim(),
        Done(result={"said": nasty, nasty: ["\x00", r"\u0000"]}, external_id=nasty),
        exchange=Exchange("POST", nasty, 200, nasty),
        duration_ms=1,
    ).settlement
    for text in (made.result, made.external_id, made.url, made.answer):
        assert text is not None
        assert "\x00" not in text
        assert text.encode()
    stored = json.loads(made.result or "")
    assert r"\u0000" in next(value for value in stored.values() if isinstance(value, list)), "harmless text stays"
    assert json.dumps(stored).count("u0000") == 1
    assert not any(0xD800 <= ord(c) < 0xE000 for key in stored for c in key + str(stored[key]))
    progress = end(Wait(0, {"cursor": nasty})).settlement.progress or ""
    assert json.loads(progress)["cursor"].encode()
    refused = end(Refused(nasty)).settlement
    assert refused.error_message is not None
    assert len(refused.error_message) <= 500
    assert refused.error_message.encode()


# -------------------------------------------------------------------------------------------------------- waiting


@pytest.mark.parametrize("retry_count", range(len(SCHEDULE_S)))
def test_waits_follow_the_schedule_within_its_jitter(retry_count: int) -> None:
    scheduled = SCHEDULE_S[retry_count]
    waits = [retry_wait(retry_count, None) for _ in range(500)]
    lowest, highest = scheduled * 0.8, min(scheduled * 1.2, LONGEST_WAIT_S)
    assert all(lowest <= wait <= highest for wait in waits)
    assert max(waits) - min(waits) > scheduled * 0.1, "spread"


def test_the_schedule_is_the_designs() -> None:
    assert [s / 60 for s in SCHEDULE_S[2:]] == [2, 10, 60, 180, 600, 1440]
    assert list(SCHEDULE_S[:2]) == [5, 30]


@pytest.mark.parametrize(
    ("retry_count", "asked_s", "lowest", "highest"),
    [
        (0, 0, 4, 6),
        (0, 3, 4, 6),
        (0, 7, 7, 7),
        (3, 60, 480, 720),
        (0, 86_400, 86_400, 86_400),
        (0, 10**9, 86_400, 86_400),
        (99, None, 69_120, 86_400),
    ],
)
def test_the_providers_word_wins_when_it_is_later(
    retry_count: int, asked_s: float | None, lowest: float, highest: float
) -> None:
    assert all(lowest <= retry_wait(retry_count, asked_s) <= highest for _ in range(50))

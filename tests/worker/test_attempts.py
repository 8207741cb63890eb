"""Trying: quick repeats of transient faults, each with its row; the transport is the test's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg2
import pytest
from sqlalchemy.exc import OperationalError

from model import Done, Outcome
from providers.contract import Call, Repeat
from providers.errors import CredentialsRejected, OutcomeUnknown, ProviderError, RateLimited, Unavailable
from providers.http import Answer, Headers, Request, webhook_request
from tests.mesh import Mesh
from tests.worker.claims import a_call, a_claim, a_provider, next_try
from worker import attempts
from worker.attempts import QUICK_BUDGET_S, QUICK_TRIES, attempt
from worker.outcomes import Claim, Ending


class Scripted:
    """A transport that answers (or raises) one thing after another."""

    def __init__(self, *script: int | BaseException) -> None:
        self.script = list(script)
        self.sent: list[Request] = []

    def send(self, request: Request, deadline_s: float) -> Answer:
        self.sent.append(request)
        given = self.script.pop(0)
        if isinstance(given, BaseException):
            raise given
        return Answer(given, Headers({}), b"said", 5, request=request)


class Rows:
    """What happened to attempt rows; `taken_after` tries somebody else takes the delivery over."""

    def __init__(self, taken_after: int = 99) -> None:
        self.closed: list[Ending] = []
        self.taken_after = taken_after

    def reopen(self, ended: Ending) -> Claim | None:
        self.closed.append(ended)
        return next_try(ended.claim) if len(self.closed) < self.taken_after else None


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes at once between quick tries."""
    monkeypatch.setattr(attempts._quickly, "sleep", lambda _: None)


def post(call: Call) -> Outcome:
    call.send(webhook_request("POST", "https://hooks.example/abc", {}, b"{}"))
    return Done()


def tried(
    *script: int | BaseException, rows: Rows | None = None, run: Any = post, **claim: Any
) -> tuple[Ending | None, Sequence[Ending], Scripted]:
    """Attempt with a scripted transport: how it ended, the rows closed on the way, what was sent."""
    rows, transport = rows or Rows(), Scripted(*script)
    provider = claim.pop("provider", None) or a_provider(run)
    ended = attempt(a_claim(provider, **claim), lambda c: a_call(c, transport), rows.reopen)
    return ended, rows.closed, transport


TRANSIENT = Unavailable("refused", transient=True)


def test_a_success_is_one_row() -> None:
    ended, closed, transport = tried(200)
    assert ended is not None
    assert (ended.settlement.state, ended.settlement.attempt_state) == ("succeeded", "succeeded")
    assert (closed, len(transport.sent)) == ([], 1)


def test_quick_transient_faults_are_repeated_each_with_its_row() -> None:
    ended, closed, transport = tried(TRANSIENT, 503, 200)
    assert ended is not None
    assert ended.settlement.state == "succeeded"
    assert len(transport.sent) == 3
    assert [row.settlement.attempt_state for row in closed] == ["retryable", "retryable"]
    assert [row.settlement.http_status for row in closed] == [None, 503]
    ids = [*(row.settlement.attempt_id for row in closed), ended.settlement.attempt_id]
    assert len(set(ids)) == 3
    assert [row.claim.attempt_number for row in (*closed, ended)] == [1, 2, 3]
    assert len({row.settlement.id for row in (*closed, ended)}) == 1


def test_after_its_quick_tries_it_goes_back_to_the_database() -> None:
    ended, closed, transport = tried(*[TRANSIENT] * 10)
    assert ended is not None
    assert (ended.settlement.state, ended.settlement.error_code) == ("retrying", "unavailable")
    assert len(transport.sent) == QUICK_TRIES
    assert len(closed) == QUICK_TRIES - 1
    assert ended.settlement.retries == 1, "three quick tries use one retry of the schedule"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (500, "unavailable"),
        (429, "rate_limited"),
        (401, "credentials_rejected"),
        (404, "invalid_payload"),
        (Unavailable("later"), "unavailable"),
        (RateLimited(), "rate_limited"),
        (OutcomeUnknown(), "outcome_unknown"),
        (CredentialsRejected(), "credentials_rejected"),
    ],
)
def test_everything_else_is_tried_once(script: Any, code: str) -> None:
    ended, closed, transport = tried(script, 200)
    assert ended is not None
    assert ended.settlement.error_code == code
    assert (closed, len(transport.sent)) == ([], 1)


def test_taken_over_in_the_middle_it_stops() -> None:
    ended, closed, transport = tried(TRANSIENT, TRANSIENT, 200, rows=Rows(taken_after=2))
    assert ended is None, "nothing to settle: somebody else holds it"
    assert (len(closed), len(transport.sent)) == (2, 2)


def test_a_bug_in_an_adapter_is_an_error_with_its_row_closed() -> None:
    def broken(call: Call) -> Outcome:
        raise KeyError("secret-in-an-exception")

    ended, closed, _ = tried(run=broken)
    assert ended is not None
    settled = ended.settlement
    assert (settled.state, settled.attempt_state, settled.error_code) == ("retrying", "retryable", "adapter_error")
    assert settled.error_message == "KeyError in the adapter; see the worker's log."
    assert closed == []


@pytest.mark.parametrize(
    ("error", "code", "strained"),
    [
        (KeyError("x"), "adapter_error", True),
        (OperationalError("select", {}, psycopg2.OperationalError("gone")), "database_away", False),
    ],
)
def test_what_fails_after_something_was_sent_may_have_been_done(error: Exception, code: str, strained: bool) -> None:
    def half_done(call: Call) -> Outcome:
        post(call)
        raise error

    ended, _, transport = tried(200, run=half_done)
    assert ended is not None
    assert len(transport.sent) == 1
    assert (ended.settlement.attempt_state, ended.settlement.error_code) == ("lost", code)
    assert ended.settlement.unknown, "where repeating is not safe it is looked up first"
    assert (ended.strain is not None) is strained


def test_a_bug_before_the_call_is_one_too() -> None:
    def unprepared(claim: Claim) -> Call:
        raise ValueError("no")

    ended = attempt(a_claim(), unprepared, Rows().reopen)
    assert ended is not None
    assert ended.settlement.error_code == "adapter_error"
    assert ended.settlement.http_status is None


def test_a_bug_after_a_transient_fault_closes_the_row_it_happened_in() -> None:
    calls: list[Call] = []

    def second_time_broken(call: Call) -> Outcome:
        calls.append(call)
        return post(call) if len(calls) == 1 else calls[99].exchange  # type: ignore[return-value]

    ended, closed, _ = tried(TRANSIENT, run=second_time_broken)
    assert ended is not None
    assert ended.claim.attempt_number == 2
    assert ended.settlement.error_code == "adapter_error"
    assert [row.settlement.error_code for row in closed] == ["unavailable"]


def test_an_unsupported_event_is_a_dead_letter() -> None:
    provider = a_provider()
    ended, _, transport = tried(provider=provider_without_actions(provider))
    assert ended is not None
    assert (ended.settlement.state, ended.settlement.error_code) == ("failed", "unsupported")
    assert transport.sent == []


def provider_without_actions(provider: Any) -> Any:
    from dataclasses import replace

    return replace(provider, actions={})


# ------------------------------------------------------------------------------------------- after a lost answer


def looked_up(found: Outcome | ProviderError | None, *, unknown: bool) -> tuple[Ending | None, list[str]]:
    """Attempt an action that can be looked up; the words say what was done."""
    done: list[str] = []

    def run(call: Call) -> Outcome:
        done.append("run")
        return Done(result={"from": "run"})

    def find(call: Call) -> Any:
        done.append("find")
        if isinstance(found, ProviderError):
            raise found
        return found

    provider = a_provider(run, repeat=Repeat.LOOKUP, find=find)
    ended, _, _ = tried(provider=provider, unknown=unknown)
    return ended, done


def test_the_first_time_nothing_is_looked_up() -> None:
    assert looked_up(None, unknown=False)[1] == ["run"]


def test_what_is_found_is_not_done_again() -> None:
    ended, done = looked_up(Done(result={"from": "find"}), unknown=True)
    assert done == ["find"]
    assert ended is not None
    assert ended.settlement.result == '{"from": "find"}'


def test_what_is_not_found_is_done() -> None:
    assert looked_up(None, unknown=True)[1] == ["find", "run"]


def test_while_it_cannot_be_looked_up_it_is_not_done() -> None:
    ended, done = looked_up(Unavailable("no history now"), unknown=True)
    assert done == ["find"]
    assert ended is not None
    assert (ended.settlement.state, ended.settlement.unknown) == ("retrying", True)


def test_what_must_never_be_repeated_is_not() -> None:
    ended, _, transport = tried(provider=a_provider(post, repeat=Repeat.NEVER), unknown=True, lost_count=1)
    assert transport.sent == []
    assert ended is not None
    assert (ended.settlement.state, ended.settlement.attempt_state) == ("failed", "lost")
    assert "check it by hand" in (ended.settlement.error_message or "")


def test_what_must_never_be_repeated_is_when_a_person_has_it_tried_again() -> None:
    """Redelivering forgets the holders that were lost."""
    _, _, transport = tried(200, provider=a_provider(post, repeat=Repeat.NEVER), unknown=True, lost_count=0)
    assert len(transport.sent) == 1


def test_what_is_safe_is_simply_repeated() -> None:
    _, _, transport = tried(200, unknown=True)
    assert len(transport.sent) == 1


def test_a_lease_outlives_everything_one_try_may_take(mesh: Mesh) -> None:
    for provider in mesh.resources.installed.values():
        assert mesh.resources.lease_s > provider.deadline_s + QUICK_BUDGET_S

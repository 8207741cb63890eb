"""Targets that ask for time, keep failing, or are gone: who is held, who is not, and how it ends."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

import db.deliveries
from db.engine import run
from db.targets import PROBE_AFTER
from tests.mesh import Mesh, eventually
from worker import accounts, upkeep
from worker.outcomes import CIRCUIT_HOLD_S
from worker.upkeep import FAILING_DAYS, disable_failing_webhooks


def events(mesh: Mesh, kind: str) -> list[dict[str, object]]:
    return [row.data for row in mesh.sql("select data from events where type = %(kind)s order by id", kind=kind)]


def until_all_succeeded(mesh: Mesh, count: int) -> None:
    """Let time pass until the ramp of a target that answers again has let everything through."""

    def look() -> bool:
        mesh.due_now()
        mesh.drain()
        return mesh.count("deliveries", "state = 'succeeded'") == count

    eventually(look, f"{count} deliveries succeed")


# ------------------------------------------------------------------------------------------ asked for time


def test_a_429_holds_the_target_and_nobody_else(mesh: Mesh) -> None:
    busy, idle = mesh.hook("/receive/busy").webhook_id, mesh.hook("/receive/idle").webhook_id
    mesh.sandbox.control.add_rule("/receive/busy", {"status": 429, "headers": {"Retry-After": "90"}}, times=1)
    mesh.deliver(*(delivery_id for _, delivery_id in mesh.publish().deliveries))
    (held_until,) = (row[0] for row in mesh.sql("select held_until from webhooks where id = %(id)s", id=busy))
    assert timedelta(seconds=85) < held_until - datetime.now(UTC) <= timedelta(seconds=90)
    later = [delivery_id for _ in range(3) for _, delivery_id in mesh.publish().deliveries]
    mesh.deliver(*later)
    rows = [mesh.delivery(each) for each in later]
    assert Counter((row.webhook_id == busy, row.state) for row in rows) == {
        (True, "pending"): 3,
        (False, "succeeded"): 3,
    }
    assert all(row.due_at >= held_until and row.attempt_count == 0 for row in rows if row.webhook_id == busy)
    assert mesh.sandbox.control.counts("/receive/busy")["requests"] == 1
    assert mesh.sandbox.control.counts("/receive/idle")["requests"] == 4
    assert mesh.one("select consecutive_failures from webhooks where id = %(id)s", id=busy) == 0, "busy is not broken"
    assert mesh.one("select held_until from webhooks where id = %(id)s", id=idle) is None
    mesh.holds_over()
    mesh.due_now()
    mesh.deliver(*later)
    assert mesh.sandbox.control.counts("/receive/busy")["requests"] == 2, "one probe"
    until_all_succeeded(mesh, 8)


def test_retry_after_as_a_date(mesh: Mesh) -> None:
    mesh.hook()
    rule = {"status": 503, "headers": {"Retry-After": "http-date:+120"}}
    mesh.sandbox.control.add_rule("/receive/x", rule)
    delivery_id = mesh.signup()
    mesh.deliver(delivery_id)
    row = mesh.delivery(delivery_id)
    assert timedelta(seconds=110) < row.due_at - datetime.now(UTC) <= timedelta(seconds=121)


def test_a_hold_only_grows(mesh: Mesh) -> None:
    mesh.hook()
    both = [mesh.signup(), mesh.signup()]
    mesh.sandbox.control.add_rule("/receive/x", {"status": 429, "headers": {"Retry-After": "500"}}, times=1)
    mesh.sandbox.control.add_rule("/receive/x", {"status": 429, "headers": {"Retry-After": "50"}}, times=1)
    mesh.deliver(*both)
    assert mesh.one("select held_until > now() + interval '400 seconds' from webhooks")


# ------------------------------------------------------------------------------------------ keeps failing


def test_who_keeps_failing_is_probed_one_call_at_a_time_until_it_answers(mesh: Mesh) -> None:
    hook = mesh.hook().webhook_id
    mesh.sandbox.control.add_rule("/receive/x", {"status": 500})
    first = [mesh.signup() for _ in range(PROBE_AFTER)]
    for delivery_id in first:
        mesh.deliver(delivery_id)
    held = mesh.one("select held_until from webhooks")
    assert timedelta(seconds=CIRCUIT_HOLD_S - 1) < held - datetime.now(UTC) <= timedelta(seconds=CIRCUIT_HOLD_S)
    assert mesh.one("select consecutive_failures from webhooks") == PROBE_AFTER
    waiting = [mesh.signup() for _ in range(4)]
    mesh.deliver(*waiting)
    assert mesh.sandbox.control.counts("/receive/x")["requests"] == PROBE_AFTER, "the circuit is open: no call"
    mesh.holds_over()
    mesh.due_now(*waiting)
    mesh.deliver(*waiting)
    assert mesh.sandbox.control.counts("/receive/x")["requests"] == PROBE_AFTER + 1, "one probe"
    longer = mesh.one("select held_until from webhooks")
    assert longer - datetime.now(UTC) > timedelta(seconds=CIRCUIT_HOLD_S + 1), "held longer after a failed probe"
    mesh.sandbox.control.clear_rules()
    mesh.holds_over()
    mesh.due_now(*waiting)
    mesh.deliver(*waiting)
    row = mesh.sql("select * from webhooks where id = %(id)s", id=hook)[0]
    assert (row.consecutive_failures, row.failing_since, row.hold_reason) == (0, None, None)
    assert row.held_until <= datetime.now(UTC), "it is not held; this says since when it answers again"
    until_all_succeeded(mesh, len(first) + len(waiting))
    assert {mesh.delivery(each).state for each in (*first, *waiting)} == {"succeeded"}


def test_failures_that_are_not_in_a_row_open_nothing(mesh: Mesh) -> None:
    mesh.hook()
    for _ in range(PROBE_AFTER + 2):
        mesh.sandbox.control.rules([{"path": "/receive/x", "fault": {"status": 500}, "times": 1}])
        mesh.deliver(mesh.signup())
        mesh.deliver(mesh.signup())
    assert mesh.one("select consecutive_failures from webhooks") == 0
    assert mesh.one("select held_until from webhooks") is None


def test_a_schedule_that_is_used_up_ends_in_a_dead_letter(mesh: Mesh) -> None:
    mesh.hook()
    mesh.sandbox.control.add_rule("/receive/x", {"status": 500})
    delivery_id = mesh.signup()
    for _ in range(9):
        assert mesh.delivery(delivery_id).state in ("pending", "retrying")
        mesh.holds_over()
        mesh.due_now()
        mesh.deliver(delivery_id)
    dead = mesh.delivery(delivery_id)
    assert (dead.state, dead.retry_count, dead.attempt_count, dead.error_code) == ("failed", 8, 9, "unavailable")
    assert dead.error_message == 'The answer was 500: {"error": "fault", "status": 500}.'
    assert {a.state for a in mesh.attempts(delivery_id)} == {"retryable"}


def test_transient_faults_are_three_rows_in_one_go(mesh: Mesh) -> None:
    mesh.hook()
    mesh.sandbox.control.add_rule("/receive/x", {"status": 503}, times=2)
    delivery_id = mesh.signup()
    mesh.deliver(delivery_id)
    assert mesh.delivery(delivery_id).state == "succeeded"
    rows = mesh.attempts(delivery_id)
    assert [(a.attempt_number, a.state, a.http_status) for a in rows] == [
        (1, "retryable", 503),
        (2, "retryable", 503),
        (3, "succeeded", 200),
    ]
    assert all(a.finished_at >= a.started_at for a in rows)


# ------------------------------------------------------------------------------------------ gone


def test_a_410_ends_the_webhook_and_says_so(mesh: Mesh) -> None:
    gone = mesh.hook("/receive/gone").webhook_id
    mesh.hook("/receive/told", event_type="webhook.disabled")
    mesh.sandbox.control.add_rule("/receive/gone", "410")
    first, waiting = mesh.signup(), mesh.signup()
    mesh.deliver(first)
    row = mesh.sql("select state, state_reason from webhooks where id = %(id)s", id=gone)[0]
    assert tuple(row) == ("gone", "It answered 410 Gone.")
    assert mesh.delivery(first).state == "cancelled"
    assert [a.state for a in mesh.attempts(first)] == ["refused"]
    mesh.deliver(waiting)
    assert (mesh.delivery(waiting).state, mesh.delivery(waiting).error_code) == ("cancelled", "webhook_gone")
    assert mesh.attempts(waiting) == []
    assert mesh.publish().deliveries == (), "nothing new is routed there"
    (told,) = events(mesh, "webhook.disabled")
    assert told == {"webhook_id": str(gone), "reason": "It answered 410 Gone."}
    mesh.due_now()
    mesh.drain()
    assert mesh.sandbox.control.counts("/receive/told")["requests"] == 1
    assert mesh.sandbox.control.counts("/receive/gone")["requests"] == 1


def test_two_410s_at_once_say_it_once(mesh: Mesh) -> None:
    mesh.hook()
    mesh.sandbox.control.add_rule("/receive/x", "410")
    mesh.deliver(*(mesh.signup() for _ in range(5)))
    assert len(events(mesh, "webhook.disabled")) == 1
    assert mesh.count("deliveries", "state = 'cancelled'") == 5


# ------------------------------------------------------------------------------------------ needs a person


@pytest.mark.parametrize(("key", "state"), [("bad-key", "needs_reconnect"), ("empty-key", "blocked")])
def test_an_account_that_needs_a_person_parks_its_deliveries_and_burns_none(mesh: Mesh, key: str, state: str) -> None:
    integration_id = mesh.account(key)
    mesh.hook("/receive/told", event_type="integration.attention_needed")
    first, second = mesh.speak("One."), mesh.speak("Two.")
    mesh.deliver(first)
    account = mesh.sql("select * from integrations where id = %(id)s", id=integration_id)[0]
    assert account.state == state
    assert account.state_reason
    mesh.deliver(first, second)
    for delivery_id, calls in ((first, 1), (second, 0)):
        parked = mesh.delivery(delivery_id)
        assert (parked.state in ("retrying", "pending"), parked.attempt_count, parked.retry_count) == (True, calls, 0)
    assert mesh.count("deliveries", "due_at = 'infinity'") == 2
    (told,) = events(mesh, "integration.attention_needed")
    assert (told["integration_id"], told["state"]) == (str(integration_id), state)
    assert key not in str(told)
    sealed = f'{{"api_key": "good-{key}"}}'
    mesh.sql(
        "update integrations set secrets_sealed = %(sealed)s",
        sealed=mesh.resources.vault.seal(sealed, f"integrations.secrets_sealed:{integration_id}"),
    )
    with mesh.engine.begin() as connection:
        assert accounts.resume(connection, integration_id) == 2
    mesh.deliver(first, second)
    assert [mesh.delivery(each).state for each in (first, second)] == ["succeeded", "succeeded"]


def test_a_provider_that_says_much_is_quoted_in_part(mesh: Mesh) -> None:
    mesh.account()
    said = {"detail": {"status": "invalid_api_key", "message": "No. " * 120}}
    mesh.sandbox.control.add_rule("/v1/*", {"status": 401, "body": said})
    mesh.deliver(mesh.speak())
    (told,) = events(mesh, "integration.attention_needed")
    assert "No. No." in str(told["reason"])


def test_a_paused_account_waits_and_goes_on(mesh: Mesh) -> None:
    integration_id = mesh.account()
    before = mesh.speak("One.")
    with mesh.engine.begin() as connection:
        accounts.pause(connection, integration_id)
    while_paused = mesh.speak("Two.")
    mesh.deliver(before, while_paused)
    assert mesh.count("deliveries", "due_at = 'infinity' and attempt_count = 0") == 2
    with mesh.engine.begin() as connection:
        assert accounts.resume(connection, integration_id) == 2
    mesh.drain()
    assert mesh.count("deliveries", "state = 'succeeded'") == 2


def test_what_is_parked_while_its_account_is_resumed_is_due(mesh: Mesh) -> None:
    """The parking began before, and waits for a row that somebody holds for a moment."""
    integration_id = mesh.account()
    delivery_id = mesh.speak()
    with mesh.engine.begin() as connection:
        accounts.pause(connection, integration_id)

    def shelve() -> None:
        with mesh.engine.begin() as connection:
            db.deliveries.shelve(connection, [delivery_id])

    def resume() -> None:
        with mesh.engine.begin() as connection:
            accounts.resume(connection, integration_id)

    def waiting() -> int:
        return mesh.count("pg_stat_activity", "wait_event_type = 'Lock' and datname = current_database()")

    with ThreadPoolExecutor(2) as threads:
        with mesh.engine.begin() as connection:
            run(connection, "select from deliveries where id = %(id)s for update", id=delivery_id)
            first = threads.submit(shelve)
            eventually(lambda: waiting() == 1, "it waits for the row")
            second = threads.submit(resume)
            eventually(lambda: second.done() or waiting() == 2, "the account is resumed, or will be")
        first.result()
        second.result()
    assert mesh.one("select state from integrations") == "active"
    assert mesh.delivery(delivery_id).due_at.year < 9999, "it would be parked for ever"


# ------------------------------------------------------------------------------------------ fails for days


def test_a_webhook_that_has_only_failed_for_days_is_disabled(mesh: Mesh) -> None:
    hook = mesh.hook("/receive/dead").webhook_id
    fresh = mesh.hook("/receive/fresh", event_type="campaign.created").webhook_id
    mesh.hook("/receive/told", event_type="webhook.disabled")
    waiting = mesh.signup()
    mesh.sql(
        "update webhooks set consecutive_failures = 40, failing_since = now() - %(days)s * interval '1 day'"
        " where id = %(id)s",
        days=FAILING_DAYS + 0.01,
        id=hook,
    )
    mesh.sql(
        "update webhooks set consecutive_failures = 40, failing_since = now() - %(days)s * interval '1 day'"
        " where id = %(id)s",
        days=FAILING_DAYS - 0.01,
        id=fresh,
    )
    assert disable_failing_webhooks(mesh.resources) == 1
    assert disable_failing_webhooks(mesh.resources) == 0
    row = mesh.sql("select * from webhooks where id = %(id)s", id=hook)[0]
    assert row.state == "disabled"
    assert row.state_reason.startswith("Every call has failed since")
    assert mesh.one("select state from webhooks where id = %(id)s", id=fresh) == "active"
    mesh.deliver(waiting)
    assert (mesh.delivery(waiting).state, mesh.delivery(waiting).error_code) == ("failed", "webhook_disabled")
    (told,) = events(mesh, "webhook.disabled")
    assert told["webhook_id"] == str(hook)
    with mesh.engine.begin() as connection:
        mesh.subscriptions.enable(connection, hook)
    row = mesh.sql("select * from webhooks where id = %(id)s", id=hook)[0]
    assert (row.state, row.consecutive_failures, row.failing_since) == ("active", 0, None)
    later = mesh.signup()
    mesh.deliver(later)
    assert mesh.delivery(later).state == "succeeded"


def test_partitions_are_made_ahead(mesh: Mesh) -> None:
    upkeep.ensure_log_partitions(mesh.engine)
    upkeep.ensure_log_partitions(mesh.engine)
    assert mesh.one(
        "select to_regclass('integration_sync_logs_' || to_char(now() + interval '3 weeks' - "
        "(extract(isodow from now() at time zone 'UTC') - 1) * interval '1 day', 'YYYYMMDD')) is not null"
    )


# ------------------------------------------------------------------------------------------ a bad neighbour


def test_a_webhook_that_cannot_be_opened_harms_no_neighbour(mesh: Mesh) -> None:
    """Its key is gone, or somebody moved a ciphertext: its own delivery says so, the others of the batch go on."""
    bad, good = mesh.hook("/receive/bad").webhook_id, mesh.hook("/receive/good").webhook_id
    mesh.sql(
        "update webhooks set url_sealed = (select url_sealed from webhooks where id = %(good)s) where id = %(bad)s",
        good=good,
        bad=bad,
    )
    deliveries = [delivery_id for _, delivery_id in mesh.publish().deliveries]
    mesh.deliver(*deliveries)
    ends = {row.webhook_id: row for row in map(mesh.delivery, deliveries)}
    assert ends[good].state == "succeeded"
    assert (ends[bad].state, ends[bad].error_code) == ("retrying", "adapter_error")
    assert mesh.sandbox.control.counts()["requests"] == 1


def test_an_answer_that_cannot_be_stored_as_it_came_is_stored_all_the_same(mesh: Mesh) -> None:
    mesh.hook("/receive/odd")
    mesh.hook("/receive/x")
    odd = r'{"id": "\ud800", "request_id": "a\u0000b", "attempt": "NaN"}'
    mesh.sandbox.control.add_rule("/receive/odd", {"status": 200, "body": odd})
    deliveries = [delivery_id for _, delivery_id in mesh.publish().deliveries]
    mesh.deliver(*deliveries)
    assert {mesh.delivery(each).state for each in deliveries} == {"succeeded"}

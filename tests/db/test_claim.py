"""Claiming: who gets a delivery, and what the same commit leaves behind."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

import db.deliveries
import db.targets
from db.deliveries import GiveBack
from db.targets import PROBE_AFTER, PROBE_LOOK_S, RAMP_S, Strain
from tests.db.claims import claim, expire, settle, settlement, shelve
from tests.mesh import Mesh
from worker import ids


def test_a_claim_takes_the_delivery_and_opens_its_attempt(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id, worker="host:1", lease_s=60)
    held = mesh.delivery(delivery_id)
    assert (held.state, held.attempt_count, held.due_at, held.dispatched_at) == ("running", 1, None, None)
    assert held.attempt_id == row.attempt_id
    left = held.lease_until - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    (attempt,) = mesh.attempts(delivery_id)
    assert (attempt.id, attempt.state, attempt.attempt_number) == (row.attempt_id, "started", 1)
    assert (attempt.worker, attempt.provider, attempt.event_type) == ("host:1", "zapier", "user.signup")
    assert (attempt.webhook_id, attempt.event_id) == (held.webhook_id, held.event_id)
    assert (row.type, row.data, row.unknown, row.failures) == ("user.signup", {"user_id": "usr_31"}, False, 0)


def test_a_claim_that_is_rolled_back_leaves_nothing(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    with mesh.engine.connect() as connection:
        assert db.deliveries.claim(connection, [delivery_id], [ids.new()], lease_s=60, worker="w")
        connection.rollback()
    assert mesh.delivery(delivery_id).state == "pending"
    assert mesh.attempts(delivery_id) == []


def test_nobody_else_gets_what_is_held(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    assert len(claim(mesh, delivery_id)) == 1
    assert claim(mesh, delivery_id) == []
    assert len(mesh.attempts(delivery_id)) == 1


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_what_is_over_is_not_claimed(mesh: Mesh, state: str) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    mesh.sql(
        "update deliveries set state = %(state)s, due_at = null, settled_at = now(), error_code = 'x'", state=state
    )
    assert claim(mesh, delivery_id) == []


@pytest.mark.parametrize("state", ["pending", "retrying", "waiting"])
def test_only_what_is_due_is_claimed(mesh: Mesh, state: str) -> None:
    mesh.hook()
    early, due = mesh.signup(), mesh.signup()
    mesh.sql("update deliveries set state = %(state)s", state=state)
    mesh.sql("update deliveries set due_at = now() + interval '1 minute' where id = %(id)s", id=early)
    assert [row.id for row in claim(mesh, early, due)] == [due]
    mesh.due_now(early)
    assert [row.id for row in claim(mesh, early, due)] == [early]


def test_an_unknown_id_is_nobodys(mesh: Mesh) -> None:
    mesh.hook()
    assert claim(mesh, ids.new()) == []


def test_numbers_count_on(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    for number in (1, 2, 3):
        (row,) = claim(mesh, delivery_id)
        assert row.attempt_count == number
        failed = settlement(
            row, state="retrying", attempt_state="retryable", wait_s=0, retries=1, error_code="unavailable"
        )
        assert settle(mesh, failed) == {delivery_id}
    assert [a.attempt_number for a in mesh.attempts(delivery_id)] == [1, 2, 3]
    assert mesh.delivery(delivery_id).retry_count == 3


@pytest.mark.parametrize("round_", range(3))
def test_two_workers_that_want_the_same_never_both_get_one(mesh: Mesh, round_: int) -> None:
    mesh.hook()
    wanted = [mesh.signup() for _ in range(200)]
    got: list[tuple[str, UUID]] = []
    start = threading.Barrier(2)

    def worker(name: str, order: list[UUID]) -> None:
        start.wait()
        for at in range(0, len(order), 20):
            got.extend((name, row.id) for row in claim(mesh, *order[at : at + 20], worker=name))

    threads = [
        threading.Thread(target=worker, args=("one", wanted)),
        threading.Thread(target=worker, args=("two", wanted[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Counter(delivery_id for _, delivery_id in got) == dict.fromkeys(wanted, 1)
    assert mesh.count("integration_sync_logs") == 200
    opened = {row.delivery_id: row.worker for row in mesh.sql("select * from integration_sync_logs")}
    assert opened == {delivery_id: name for name, delivery_id in got}


@pytest.mark.parametrize(
    "change",
    [
        "update integrations set state = 'paused'",
        "update integrations set state = 'needs_reconnect'",
        "update integrations set held_until = now() + interval '1 minute'",
        "update webhooks set state = 'disabled'",
        "update webhooks set state = 'gone'",
        "update webhooks set held_until = now() + interval '1 minute'",
    ],
)
def test_targets_that_may_not_be_called_are_not_claimed_for(mesh: Mesh, change: str) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    mesh.sql(change)
    assert claim(mesh, delivery_id) == []
    assert mesh.attempts(delivery_id) == []


def test_a_hold_that_is_over_holds_nobody(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    mesh.sql("update webhooks set held_until = now()")
    assert len(claim(mesh, delivery_id)) == 1


def test_a_target_that_keeps_failing_gets_one_of_a_batch(mesh: Mesh) -> None:
    bad, good = mesh.hook("/receive/bad").webhook_id, mesh.hook("/receive/good").webhook_id
    deliveries = [delivery_id for _ in range(4) for _, delivery_id in mesh.publish().deliveries]
    mesh.sql(
        "update webhooks set consecutive_failures = %(n)s, failing_since = now() where id = %(id)s",
        n=PROBE_AFTER,
        id=bad,
    )
    claimed = claim(mesh, *deliveries)
    assert Counter(row.webhook_id for row in claimed) == {bad: 1, good: 4}


def suspect(mesh: Mesh, count: int) -> list[UUID]:
    """Deliveries that wait for a target that was held, and is not any more."""
    mesh.hook()
    waiting = [mesh.signup() for _ in range(count)]
    mesh.sql("update webhooks set held_until = now(), hold_reason = 'It asked for time.'")
    return waiting


def end_probe(mesh: Mesh, strain: Strain | None) -> None:
    """What the settling of a probe does to its target: a success, or what its failure says."""
    (webhook_id,) = (row[0] for row in mesh.sql("select id from webhooks"))
    with mesh.engine.begin() as connection:
        if strain is None:
            db.targets.recovered(connection, "webhooks", [webhook_id])
        else:
            db.targets.strained(connection, "webhooks", {webhook_id: strain})


def test_after_a_hold_one_call_at_a_time_finds_out(mesh: Mesh) -> None:
    waiting = suspect(mesh, 6)
    (probe,) = claim(mesh, *waiting[:3])
    assert probe.failures > 0, "its success is to be told"
    assert claim(mesh, *waiting[3:]) == [], "in another batch neither"
    end_probe(mesh, None)
    assert len(claim(mesh, *waiting)) == 5


def test_of_two_claims_at_once_one_gets_the_probe(mesh: Mesh) -> None:
    waiting = suspect(mesh, 40)
    for turn in range(10):
        start = threading.Barrier(2)
        got: list[UUID] = []

        def worker(wanted: list[UUID], start: threading.Barrier = start, got: list[UUID] = got) -> None:
            start.wait()
            got.extend(row.id for row in claim(mesh, *wanted))

        mine = waiting[turn * 4 : turn * 4 + 4]
        threads = [threading.Thread(target=worker, args=(part,)) for part in (mine[:2], mine[2:])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(got) == 1
        end_probe(mesh, Strain(failures=0))


def test_a_claim_that_waited_for_the_other_does_not_probe_too(mesh: Mesh) -> None:
    """The second sees the target as it was before the first committed, unless it looks again."""
    first, second = suspect(mesh, 2)
    with mesh.engine.connect() as one, mesh.engine.connect() as other:
        assert db.deliveries.claim(one, [first], [ids.new()], lease_s=60, worker="a")
        assert not db.deliveries.claim(other, [second], [ids.new()], lease_s=60, worker="b")
        one.commit()
        assert not db.deliveries.claim(other, [second], [ids.new()], lease_s=60, worker="b")
        other.commit()


@pytest.mark.parametrize(("hold_s", "held"), [(30.0, True), (0.0, False)])
def test_a_failed_probe_ends_its_own_hold(mesh: Mesh, hold_s: float, held: bool) -> None:
    waiting = suspect(mesh, 3)
    assert len(claim(mesh, *waiting, lease_s=600)) == 1
    end_probe(mesh, Strain(failures=1, hold_s=hold_s, reason="It asked for time." if hold_s else ""))
    left = mesh.one("select extract(epoch from held_until - now())::float8 from webhooks")
    assert (left > 0) is held
    assert left <= 30
    assert len(claim(mesh, *waiting)) == (0 if held else 1), "the next probe"


def test_a_probe_whose_worker_died_holds_its_target_no_longer_than_its_lease(mesh: Mesh) -> None:
    waiting = suspect(mesh, 2)
    assert len(claim(mesh, waiting[0], lease_s=60)) == 1
    assert claim(mesh, waiting[1]) == []
    assert mesh.one("select held_until <= now() + interval '60 seconds' from webhooks")
    mesh.holds_over()
    assert len(claim(mesh, waiting[1])) == 1


def test_a_probe_that_is_given_back_leaves_its_place_to_another(mesh: Mesh) -> None:
    waiting = suspect(mesh, 3)
    (probe,) = claim(mesh, *waiting)
    with mesh.engine.begin() as connection:
        db.deliveries.give_back(connection, [GiveBack(probe.id, probe.attempt_id, 1.0)])
    assert len(claim(mesh, *waiting)) == 1


def test_an_account_is_probed_like_a_webhook(mesh: Mesh) -> None:
    integration_id = mesh.account()
    waiting = [mesh.speak() for _ in range(3)]
    mesh.sql("update integrations set held_until = now(), hold_reason = 'It asked for time.'")
    assert len(claim(mesh, *waiting[:2])) == 1
    assert claim(mesh, waiting[2]) == []
    with mesh.engine.begin() as connection:
        db.targets.recovered(connection, "integrations", [integration_id])
    assert len(claim(mesh, *waiting)) == 2


def test_a_claim_says_since_when_its_target_answers_again(mesh: Mesh) -> None:
    waiting = suspect(mesh, 3)
    (probe,) = claim(mesh, waiting[0])
    assert probe.answers_since_s is None
    end_probe(mesh, None)
    (fresh,) = claim(mesh, waiting[1])
    assert 0 <= fresh.answers_since_s < 5
    mesh.sql("update webhooks set held_until = now() - %(s)s * interval '1 second'", s=RAMP_S + 1)
    (later,) = claim(mesh, waiting[2])
    assert later.answers_since_s is None


def test_a_failure_between_successes_starts_no_ramp(mesh: Mesh) -> None:
    mesh.hook()
    mesh.signup()
    end_probe(mesh, Strain(failures=1))
    end_probe(mesh, None)
    row = mesh.sql("select consecutive_failures, held_until from webhooks")[0]
    assert tuple(row) == (0, None)


def test_what_waits_for_a_probe_looks_again_soon(mesh: Mesh) -> None:
    waiting = suspect(mesh, 20)
    (probe,) = claim(mesh, *waiting, lease_s=30)
    assert shelve(mesh, *waiting) == 19
    dues = [mesh.delivery(each).due_at - datetime.now(UTC) for each in waiting if each != probe.id]
    assert all(timedelta(0) < due <= timedelta(seconds=PROBE_LOOK_S + 3) for due in dues)


def test_giving_back_leaves_no_trace(mesh: Mesh) -> None:
    mesh.hook()
    first, second = mesh.signup(), mesh.signup()
    before = {each: mesh.delivery(each) for each in (first, second)}
    rows = claim(mesh, first, second)
    back = [GiveBack(row.id, row.attempt_id, 3.0) for row in rows if row.id == first]
    with mesh.engine.begin() as connection:
        db.deliveries.give_back(connection, back)
    given = mesh.delivery(first)
    changed = {name for name in given._fields if getattr(given, name) != getattr(before[first], name)}  # of all columns
    assert changed <= {"due_at", "dispatched_at", "first_attempt_at"}
    assert timedelta(seconds=2) < given.due_at - datetime.now(UTC) <= timedelta(seconds=3)
    assert mesh.attempts(first) == []
    assert mesh.delivery(second).state == "running"
    mesh.due_now(first)
    (again,) = claim(mesh, first)
    assert again.attempt_count == 1


def test_giving_back_keeps_a_retry_a_retry(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    settle(mesh, settlement(row, state="retrying", attempt_state="retryable", error_code="x", wait_s=0, retries=1))
    (row,) = claim(mesh, delivery_id)
    with mesh.engine.begin() as connection:
        db.deliveries.give_back(connection, [GiveBack(delivery_id, row.attempt_id, 1.0)])
    assert (mesh.delivery(delivery_id).state, mesh.delivery(delivery_id).attempt_count) == ("retrying", 1)


def test_who_lost_it_cannot_give_it_back(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    mesh.lease_over()
    expire(mesh)
    (newer,) = claim(mesh, delivery_id)
    with mesh.engine.begin() as connection:
        db.deliveries.give_back(connection, [GiveBack(delivery_id, row.attempt_id, 1.0)])
    assert mesh.delivery(delivery_id).attempt_id == newer.attempt_id
    assert [a.state for a in mesh.attempts(delivery_id)] == ["lost", "started"]


def test_a_claim_fails_whole_where_its_attempt_cannot_be_opened(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    settle(mesh, settlement(row, state="retrying", attempt_state="retryable", error_code="x", wait_s=0))
    with pytest.raises(DBAPIError), mesh.engine.begin() as connection:
        db.deliveries.claim(connection, [delivery_id], [ids.new()], lease_s=60, worker=None)  # type: ignore[arg-type]
    assert mesh.delivery(delivery_id).state == "retrying"


def test_what_waits_for_a_disconnected_account_is_cancelled(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    mesh.sql("update integrations set state = 'disconnected'")
    with mesh.engine.begin() as connection:
        assert db.deliveries.shelve(connection, [delivery_id]) == 1
    delivery = mesh.delivery(delivery_id)
    assert (delivery.state, delivery.error_code) == ("cancelled", "integration_disconnected")


# ------------------------------------------------------------------------------------------- what kills its holders


def test_what_many_holders_died_with_is_claimed_alone(mesh: Mesh) -> None:
    mesh.hook()
    deliveries = [mesh.signup() for _ in range(4)]
    for delivery_id in deliveries[:3]:
        mesh.sql("update deliveries set lost_count = 3 where id = %(id)s", id=delivery_id)
    first = {row.id for row in claim(mesh, *deliveries)}
    assert deliveries[3] in first, "who is not suspected goes as ever"
    assert len(first) == 2
    assert claim(mesh, *deliveries) == [], "one suspect at a time, in all workers together"
    mesh.sql("update deliveries set state = 'succeeded', attempt_id = null, lease_until = null, settled_at = now()"
             " where state = 'running'")  # fmt: skip
    assert len(claim(mesh, *deliveries)) == 1

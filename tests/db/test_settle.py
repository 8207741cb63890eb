"""Settling: fenced by the attempt; leases that end; tries opened anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import db.deliveries
from db.deliveries import Again
from tests.db.claims import claim, expire, settle, settlement
from tests.mesh import Mesh
from worker import ids


def test_a_success_closes_both(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    done = settlement(
        row, result='{"ok": true}', external_id="x-1", http_status=200, method="POST", url="https://x/****"
    )
    assert settle(mesh, done) == {delivery_id}
    moved = mesh.delivery(delivery_id)
    assert (moved.state, moved.attempt_id, moved.lease_until, moved.due_at) == ("succeeded", None, None, None)
    assert (moved.result, moved.external_id, moved.error_code) == ({"ok": True}, "x-1", None)
    assert moved.settled_at is not None
    (attempt,) = mesh.attempts(delivery_id)
    assert (attempt.state, attempt.http_status, attempt.duration_ms, attempt.url) == (
        "succeeded",
        200,
        12,
        "https://x/****",
    )
    assert attempt.finished_at is not None


def test_a_retry_is_due_later_and_a_wait_keeps_its_progress(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    settle(mesh, settlement(row, state="waiting", wait_s=30, progress='{"page": 2}', external_id="job-1"))
    waiting = mesh.delivery(delivery_id)
    assert (waiting.state, waiting.progress, waiting.retry_count) == ("waiting", {"page": 2}, 0)
    assert timedelta(seconds=29) < waiting.due_at - datetime.now(UTC) <= timedelta(seconds=30)
    mesh.due_now()
    (row,) = claim(mesh, delivery_id)
    assert row.progress == {"page": 2}
    settle(
        mesh,
        settlement(row, state="retrying", attempt_state="retryable", wait_s=5, retries=1, error_code="unavailable"),
    )
    retrying = mesh.delivery(delivery_id)
    assert (retrying.state, retrying.retry_count, retrying.progress) == ("retrying", 1, {"page": 2})
    assert retrying.external_id == "job-1"
    assert retrying.error_code == "unavailable"


def test_who_comes_late_moves_nothing_but_its_row_tells_the_truth(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (late,) = claim(mesh, delivery_id, worker="slow")
    mesh.lease_over()
    assert [row.id for row in expire(mesh)] == [delivery_id]
    (newer,) = claim(mesh, delivery_id, worker="quick")
    assert settle(mesh, settlement(late, http_status=200)) == set()
    held = mesh.delivery(delivery_id)
    assert (held.state, held.attempt_id) == ("running", newer.attempt_id)
    first, second = mesh.attempts(delivery_id)
    assert (first.worker, first.state, first.http_status, first.error_code) == ("slow", "succeeded", 200, None)
    assert (second.worker, second.state) == ("quick", "started")
    assert settle(mesh, settlement(newer)) == {delivery_id}


def test_late_and_nobody_took_over_yet(mesh: Mesh) -> None:
    """The lease ended and the delivery waits again: the late one has lost its claim all the same."""
    mesh.hook()
    delivery_id = mesh.signup()
    (late,) = claim(mesh, delivery_id)
    mesh.lease_over()
    expire(mesh)
    assert settle(mesh, settlement(late)) == set()
    assert mesh.delivery(delivery_id).state == "retrying"


def test_a_lease_that_ended_but_was_not_taken_back_still_counts(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    mesh.lease_over()
    assert settle(mesh, settlement(row)) == {delivery_id}
    assert expire(mesh) == []


def test_a_batch_settles_each_as_far_as_it_holds(mesh: Mesh) -> None:
    mesh.hook()
    deliveries = [mesh.signup() for _ in range(5)]
    rows = {row.id: row for row in claim(mesh, *deliveries)}
    mesh.lease_over(deliveries[2])
    expire(mesh)
    ends: list[dict[str, Any]] = [
        {},
        {"state": "failed", "attempt_state": "refused", "error_code": "refused", "error_message": "No."},
        {},
        {"state": "waiting", "wait_s": 1, "progress": "{}"},
        {"state": "cancelled", "attempt_state": "refused", "error_code": "gone"},
    ]
    moved = settle(mesh, *(settlement(rows[d], **end) for d, end in zip(deliveries, ends, strict=True)))
    assert moved == set(deliveries) - {deliveries[2]}
    assert [mesh.delivery(d).state for d in deliveries] == ["succeeded", "failed", "retrying", "waiting", "cancelled"]
    assert mesh.count("integration_sync_logs", "state = 'started'") == 0


def test_settling_twice_moves_once(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    assert settle(mesh, settlement(row)) == {delivery_id}
    before = mesh.delivery(delivery_id)
    assert settle(mesh, settlement(row)) == set()
    assert mesh.delivery(delivery_id) == before


def test_a_row_of_the_default_partition_closes_too(mesh: Mesh) -> None:
    """A call that began in a week without a partition, such as before midnight on Sunday."""
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    long_ago = datetime.now(UTC) - timedelta(days=400)
    mesh.sql("update integration_sync_logs set started_at = %(at)s", at=long_ago)
    assert settle(mesh, settlement(row, started_at=long_ago)) == {delivery_id}
    assert [a.state for a in mesh.attempts(delivery_id)] == ["succeeded"]


def test_unknown_is_remembered_until_it_is_known(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    lost = {"state": "retrying", "attempt_state": "lost", "error_code": "outcome_unknown", "wait_s": 0}
    settle(mesh, settlement(row, **lost, unknown=True))
    since = mesh.delivery(delivery_id).unknown_since
    assert since is not None
    (row,) = claim(mesh, delivery_id)
    assert row.unknown
    settle(mesh, settlement(row, **lost, unknown=True))
    assert mesh.delivery(delivery_id).unknown_since == since
    (row,) = claim(mesh, delivery_id)
    settle(mesh, settlement(row))
    assert mesh.delivery(delivery_id).unknown_since is None


# ------------------------------------------------------------------------------------------------- leases that end


def test_a_dead_holders_delivery_is_due_again_and_its_row_lost(mesh: Mesh) -> None:
    mesh.hook()
    held, dead = mesh.signup(), mesh.signup()
    claim(mesh, held, dead)
    mesh.lease_over(dead)
    (row,) = expire(mesh)
    assert (row.id, row.provider, row.state) == (dead, "zapier", "retrying")
    again = mesh.delivery(dead)
    assert (again.lost_count, again.retry_count, again.error_code) == (1, 0, "worker_lost")
    assert again.due_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert again.unknown_since is not None
    (attempt,) = mesh.attempts(dead)
    assert (attempt.state, attempt.error_code) == ("lost", "worker_lost")
    assert attempt.finished_at is not None
    assert mesh.delivery(held).state == "running"
    assert expire(mesh) == []


def test_what_kills_its_holders_becomes_a_dead_letter(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    for lost in range(1, 4):
        mesh.due_now()
        (row,) = claim(mesh, delivery_id)
        mesh.lease_over()
        (row,) = expire(mesh, max_lost=3)
        assert row.state == ("failed" if lost == 3 else "retrying")
    dead = mesh.delivery(delivery_id)
    assert (dead.state, dead.error_code, dead.due_at) == ("failed", "worker_lost", None)
    assert "3 time(s)" in dead.error_message
    assert [a.state for a in mesh.attempts(delivery_id)] == ["lost"] * 3


def test_a_lease_that_has_ended_is_noted_first_and_a_holder_that_lives_may_still_settle(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    mesh.sql("update deliveries set lease_until = now()")
    assert expire(mesh) == []
    assert expire(mesh) == [], "its time is not over"
    assert mesh.delivery(delivery_id).overdue_at is not None
    assert settle(mesh, settlement(row)) == {delivery_id}
    assert mesh.delivery(delivery_id).overdue_at is None
    assert [a.state for a in mesh.attempts(delivery_id)] == ["succeeded"]


def test_a_step_takes_back_at_most_its_limit_oldest_first(mesh: Mesh) -> None:
    mesh.hook()
    deliveries = [mesh.signup() for _ in range(5)]
    claim(mesh, *deliveries)
    for age, delivery_id in enumerate(deliveries):
        mesh.sql(
            "update deliveries set lease_until = now() - %(age)s * interval '1 second',"
            " overdue_at = now() - interval '1 minute' where id = %(id)s",
            age=age + 1,
            id=delivery_id,
        )
    assert {row.id for row in expire(mesh, limit=2)} == set(deliveries[3:])
    assert {row.id for row in expire(mesh, limit=9)} == set(deliveries[:3])


# --------------------------------------------------------------------------------------------- tries opened anew


def failed_try(row: Any) -> Again:
    end = settlement(row, state="retrying", attempt_state="retryable", error_code="unavailable", http_status=503)
    return Again(end, ids.new())


def test_a_new_try_has_its_own_row_and_a_fresh_lease(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    mesh.lease_over()
    again = failed_try(row)
    with mesh.engine.begin() as connection:
        (opened,) = db.deliveries.reopen(connection, [again], lease_s=60, worker="w2")
    assert (opened.id, opened.attempt_id, opened.attempt_count) == (delivery_id, again.next_attempt_id, 2)
    held = mesh.delivery(delivery_id)
    assert (held.state, held.attempt_id, held.attempt_count) == ("running", again.next_attempt_id, 2)
    assert held.lease_until > datetime.now(UTC)
    first, second = mesh.attempts(delivery_id)
    assert (first.state, first.error_code, first.http_status) == ("retryable", "unavailable", 503)
    assert (second.state, second.attempt_number, second.worker) == ("started", 2, "w2")
    assert settle(mesh, settlement(row)) == set(), "the first try's token is spent"
    assert settle(mesh, settlement(opened)) == {delivery_id}


def test_who_was_taken_over_gets_no_new_try(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    mesh.lease_over()
    expire(mesh)
    (newer,) = claim(mesh, delivery_id)
    with mesh.engine.begin() as connection:
        assert db.deliveries.reopen(connection, [failed_try(row)], lease_s=60, worker="w") == []
    assert mesh.delivery(delivery_id).attempt_id == newer.attempt_id
    assert [a.state for a in mesh.attempts(delivery_id)] == ["retryable", "started"]

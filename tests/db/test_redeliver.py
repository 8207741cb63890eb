"""Redelivering dead letters: one, or many in steps that go on where they stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

import db.delivery_search
import db.redelivery
import db.replays
from tests.db.claims import claim
from tests.mesh import Mesh
from worker.reconcile import replay_step


def dead(mesh: Mesh, count: int, tenant: str = "acme") -> list[UUID]:
    """So many dead letters of a tenant, oldest first."""
    mesh.hook(tenant=tenant)
    deliveries = [mesh.signup(tenant=tenant) for _ in range(count)]
    mesh.sql(
        "update deliveries set state = 'failed', due_at = null, settled_at = now(), error_code = 'refused',"
        " error_message = 'No.', retry_count = 8, lost_count = 4, attempt_count = 9 where tenant_id = %(tenant)s",
        tenant=tenant,
    )
    return deliveries


def create(mesh: Mesh, **filters: Any) -> UUID:
    with mesh.engine.begin() as connection:
        return db.replays.create(connection, requested_by="test", **filters)


def step(mesh: Mesh, replay_id: UUID, limit: int) -> int:
    """One step; how many became due."""
    with mesh.engine.begin() as connection:
        replay = db.replays.lock_next(connection)
        assert replay is not None
        assert replay["id"] == replay_id
        moved, cursor = db.redelivery.redeliver_step(connection, replay, limit=limit)
        db.replays.advance(connection, replay_id, cursor=cursor, replayed=moved)
    return moved


def redeliver(mesh: Mesh, delivery_id: UUID) -> bool:
    with mesh.engine.begin() as connection:
        return db.redelivery.redeliver(connection, delivery_id)


def due(mesh: Mesh) -> set[UUID]:
    return {row[0] for row in mesh.sql("select id from deliveries where state = 'pending'")}


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_one_is_due_again_with_a_fresh_budget_and_its_history(mesh: Mesh, state: str) -> None:
    (delivery_id,) = dead(mesh, 1)
    mesh.sql("update deliveries set state = %(state)s", state=state)
    assert redeliver(mesh, delivery_id)
    again = mesh.delivery(delivery_id)
    assert (again.state, again.retry_count, again.lost_count, again.error_code) == ("pending", 0, 0, None)
    assert (again.attempt_count, again.settled_at) == (9, None)
    (row,) = claim(mesh, delivery_id)
    assert row.attempt_count == 10


@pytest.mark.parametrize("state", ["pending", "running", "succeeded"])
def test_what_is_alive_or_done_is_not_redelivered(mesh: Mesh, state: str) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    if state == "running":
        claim(mesh, delivery_id)
    if state == "succeeded":
        mesh.sql("update deliveries set state = 'succeeded', due_at = null, settled_at = now()")
    before = mesh.delivery(delivery_id)
    assert not redeliver(mesh, delivery_id)
    assert mesh.delivery(delivery_id) == before


def test_a_lost_answer_is_not_forgotten_by_redelivering(mesh: Mesh) -> None:
    """A person replays it; where repeating is not safe it must still be looked up first."""
    (delivery_id,) = dead(mesh, 1)
    mesh.sql("update deliveries set unknown_since = now()")
    redeliver(mesh, delivery_id)
    (row,) = claim(mesh, delivery_id)
    assert row.unknown


def test_steps_go_on_where_they_stopped(mesh: Mesh) -> None:
    deliveries = dead(mesh, 7)
    replay_id = create(mesh)
    assert step(mesh, replay_id, 3) == 3
    assert due(mesh) == set(deliveries[:3])
    with mesh.engine.connect() as connection:  # a step whose process dies before the commit
        replay = db.replays.lock_next(connection)
        assert replay is not None
        assert db.redelivery.redeliver_step(connection, replay, limit=3)[0] == 3
        connection.rollback()
    assert due(mesh) == set(deliveries[:3])
    assert [step(mesh, replay_id, 3) for _ in range(3)] == [3, 1, 0]
    assert due(mesh) == set(deliveries)
    with mesh.engine.begin() as connection:
        over = db.replays.get(connection, replay_id)
    assert over is not None
    assert over.replayed == 7
    assert over.finished_at is not None
    assert replay_step(mesh.engine) is None


def test_it_does_not_meet_those_it_redelivered_and_that_failed_again(mesh: Mesh) -> None:
    deliveries = dead(mesh, 4)
    replay_id = create(mesh)
    step(mesh, replay_id, 2)
    mesh.sql(
        "update deliveries set state = 'failed', due_at = null, settled_at = now(), error_code = 'x'"
        " where state = 'pending'"
    )
    assert step(mesh, replay_id, 10) == 2
    assert due(mesh) == set(deliveries[2:])


def test_who_died_after_it_was_asked_for_stays(mesh: Mesh) -> None:
    first = dead(mesh, 2)
    mesh.sql("update deliveries set settled_at = now() - interval '1 second'")
    replay_id = create(mesh)
    mesh.sql("update replays set until = now() - interval '500 milliseconds'")
    dead(mesh, 1, tenant="later")
    assert step(mesh, replay_id, 10) == 2
    assert due(mesh) == set(first)


@pytest.mark.parametrize("by", ["tenant_id", "webhook_id", "provider", "since"])
def test_filters(mesh: Mesh, by: str) -> None:
    wanted, other = dead(mesh, 2, tenant="wanted"), dead(mesh, 2, tenant="other")
    mesh.sql("update deliveries set settled_at = now() - interval '1 hour' where tenant_id = 'other'")
    mesh.sql("update deliveries set provider = 'elevenlabs' where tenant_id = 'other'")
    value: Any = {
        "tenant_id": "wanted",
        "webhook_id": mesh.delivery(wanted[0]).webhook_id,
        "provider": "zapier",
        "since": datetime.now(UTC) - timedelta(minutes=1),
    }[by]
    with mesh.engine.begin() as connection:
        assert db.delivery_search.count_dead(connection, **{by: value}) == 2
    assert step(mesh, create(mesh, **{by: value}), 10) == 2
    assert due(mesh) == set(wanted)
    assert {mesh.delivery(each).state for each in other} == {"failed"}


def test_two_replays_are_stepped_one_after_the_other(mesh: Mesh) -> None:
    dead(mesh, 2)
    both = {create(mesh), create(mesh)}
    stepped = [replay_step(mesh.engine) for _ in range(4)]
    assert stepped[0] == stepped[1], "until it is finished"
    assert {stepped[0], stepped[2]} == both
    assert stepped[3] is None


def test_a_replay_that_somebody_steps_is_left_alone(mesh: Mesh) -> None:
    dead(mesh, 2)
    create(mesh)
    with mesh.engine.connect() as connection:
        assert db.replays.lock_next(connection) is not None
        assert replay_step(mesh.engine) is None


def test_who_asks_for_many_has_not_looked_at_what_may_have_been_done(mesh: Mesh) -> None:
    """Where a repeat is never safe, those become dead letters again; one by one, a person decides."""
    clear, unclear = dead(mesh, 2)
    mesh.sql("update deliveries set unknown_since = now() where id = %(id)s", id=unclear)
    assert step(mesh, create(mesh), 10) == 2
    assert (mesh.delivery(clear).lost_count, mesh.delivery(unclear).lost_count) == (0, 1)
    mesh.sql("update deliveries set state = 'failed', due_at = null, settled_at = now(), error_code = 'x'")
    assert redeliver(mesh, unclear)
    assert mesh.delivery(unclear).lost_count == 0
    assert mesh.delivery(unclear).unknown_since is not None, "where it can be looked up, it is"

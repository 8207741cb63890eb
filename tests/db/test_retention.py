"""What has been kept long enough goes: settled, whole events, few rows in each transaction; everything else stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

import db.redelivery
import db.retention
from db.retention import Step
from tests.db import history
from tests.db.claims import claim
from tests.mesh import Mesh, eventually

KEEP = 90.0
OLD, YOUNG = 100.0, 80.0
MANY = 1000


def delete_events(mesh: Mesh, *, limit: int = MANY) -> Step:
    with mesh.engine.begin() as connection:
        return db.retention.delete_events(connection, days=KEEP, limit=limit)


def events(mesh: Mesh) -> set[UUID]:
    return {row[0] for row in mesh.sql("select id from events")}


@pytest.fixture
def old_partition(mesh: Mesh) -> Iterator[str]:
    """A partition whose rows are all older than is kept."""
    name = history.partition(mesh, weeks=20)
    yield name
    mesh.sql(f"drop table if exists {name}")


# ------------------------------------------------------------------------------------------------------------ events


def test_old_events_go_with_their_deliveries_and_young_ones_stay(mesh: Mesh) -> None:
    history.event(mesh, OLD, "succeeded", "failed", "cancelled")
    young = history.event(mesh, YOUNG, "succeeded", "failed")
    assert delete_events(mesh) == Step(1, more=False)
    assert events(mesh) == {young}
    assert mesh.count("deliveries") == 2
    assert mesh.count("deliveries", f"event_id = '{young}'") == 2


def test_an_old_event_without_deliveries_goes(mesh: Mesh) -> None:
    history.event(mesh, OLD)
    assert delete_events(mesh).deleted == 1
    assert events(mesh) == set()


@pytest.mark.parametrize("state", ["pending", "retrying", "waiting", "running"])
def test_an_event_with_one_open_delivery_stays_with_all_of_them(mesh: Mesh, state: str) -> None:
    history.event(mesh, OLD, "succeeded", state, "failed")
    assert delete_events(mesh) == Step(0, more=False)
    assert (mesh.count("events"), mesh.count("deliveries")) == (1, 3)


def test_what_was_settled_lately_stays_however_old_its_event(mesh: Mesh) -> None:
    history.event(mesh, OLD, "succeeded", settled_days=YOUNG)
    assert delete_events(mesh).deleted == 0
    assert mesh.count("deliveries") == 1


def test_an_event_that_waits_for_its_routes_stays(mesh: Mesh) -> None:
    history.event(mesh, OLD)
    mesh.sql("update events set routed_at = null")
    assert delete_events(mesh).deleted == 0


def test_an_event_whose_rejection_nobody_dealt_with_stays(mesh: Mesh) -> None:
    kept = history.event(mesh, OLD)
    history.rejected(mesh, OLD, resolved=False, event_id=kept)
    history.rejected(mesh, OLD, resolved=True, event_id=history.event(mesh, OLD))
    assert delete_events(mesh).deleted == 1
    assert events(mesh) == {kept}


def test_a_step_is_bounded_and_a_pass_looks_at_each_event_once(mesh: Mesh) -> None:
    kept = [history.event(mesh, OLD + 10 - n, "waiting") for n in range(3)]
    for n in range(4):
        history.event(mesh, OLD - n, "succeeded")
    steps = [delete_events(mesh, limit=2) for _ in range(4)]
    assert steps == [Step(0, more=True), Step(1, more=True), Step(2, more=True), Step(1, more=False)]
    assert events(mesh) == set(kept)


def test_the_next_pass_looks_again_at_what_stayed(mesh: Mesh) -> None:
    history.event(mesh, OLD, "waiting")
    assert delete_events(mesh) == Step(0, more=False)
    mesh.sql("update deliveries set state = 'cancelled', due_at = null, settled_at = now() - interval '95 days'")
    assert delete_events(mesh) == Step(1, more=False)


def test_the_same_id_makes_a_new_event_after_the_first_one_went(mesh: Mesh) -> None:
    first = history.event(mesh, OLD, "succeeded")
    mesh.sql("update events set idempotency_key = 'order-1'")
    assert mesh.publish(key="order-1").event_id == first
    delete_events(mesh)
    assert mesh.publish(key="order-1").new


def test_a_row_that_somebody_has_locked_is_left_with_its_event(mesh: Mesh) -> None:
    history.event(mesh, OLD, "succeeded", "failed")
    with mesh.engine.begin() as connection:
        db.redelivery.redeliver(connection, mesh.one("select id from deliveries where state = 'failed'"))
        assert delete_events(mesh) == Step(0, more=False), "and nobody waited"
    assert mesh.count("deliveries", "state = 'pending'") == 1
    assert delete_events(mesh).deleted == 0, "it is open now"


def test_deleting_and_claiming_at_once_lose_nothing(mesh: Mesh) -> None:
    """Old dead letters are made due again and claimed while steps go over the same rows."""
    for n in range(60):
        history.event(mesh, OLD - n / 10, "failed")
    ids = [row[0] for row in mesh.sql("select id from deliveries order by id")]
    alive: set[UUID] = set()
    stop = threading.Event()

    def redeliver() -> None:
        for delivery_id in ids[::2]:
            with mesh.engine.begin() as connection:
                moved = db.redelivery.redeliver(connection, delivery_id)
            if moved:
                alive.add(delivery_id)
                claim(mesh, delivery_id)  # finds it locked now and then: it stays due
        stop.set()

    thread = threading.Thread(target=redeliver)
    thread.start()
    while not stop.is_set():
        delete_events(mesh, limit=7)
    thread.join(30)
    eventually(lambda: not delete_events(mesh).more, "a pass ends")
    delete_events(mesh)
    kept = {row[0] for row in mesh.sql("select id from deliveries where state in ('running', 'pending')")}
    assert kept == alive, "what was made due again is there"
    assert mesh.count("deliveries") == len(alive), "and nothing else"
    assert mesh.count("events") == len(alive)


# ---------------------------------------------------------------------------------------------------- rejected events


def test_rejected_events_go_when_they_were_dealt_with_long_ago(mesh: Mesh) -> None:
    history.rejected(mesh, OLD)
    kept = {history.rejected(mesh, OLD, resolved=False), history.rejected(mesh, YOUNG)}
    with mesh.engine.begin() as connection:
        assert db.retention.delete_rejected(connection, days=KEEP, limit=MANY) == Step(1, more=False)
    assert {row[0] for row in mesh.sql("select id from rejected_events")} == kept


def test_rejected_events_go_in_bounded_steps(mesh: Mesh) -> None:
    for _ in range(3):
        history.rejected(mesh, OLD)
    for expected in (Step(2, more=True), Step(1, more=False)):
        with mesh.engine.begin() as connection:
            assert db.retention.delete_rejected(connection, days=KEEP, limit=2) == expected


# ---------------------------------------------------------------------------------------------------------- attempts


def drop(mesh: Mesh, name: str) -> bool:
    with mesh.engine.begin() as connection:
        return db.retention.drop_log_partition(connection, name, wait_ms=50)


def old_partitions(mesh: Mesh, days: float) -> list[str]:
    with mesh.engine.begin() as connection:
        return [row.name for row in db.retention.old_log_partitions(connection, days=days)]


def test_only_partitions_that_ended_before_are_old(mesh: Mesh, old_partition: str) -> None:
    ended = "date_trunc('week', now() at time zone 'UTC') at time zone 'UTC' - interval '19 weeks'"
    days_ago = float(mesh.one(f"select extract(epoch from now() - ({ended})) / 86400"))
    assert old_partitions(mesh, days_ago - 0.01) == [old_partition]
    assert old_partitions(mesh, days_ago + 0.01) == [], "its last row may be younger"


def test_an_old_partition_is_dropped_with_its_rows(mesh: Mesh, old_partition: str) -> None:
    history.attempt(mesh, 7 * 20)
    young = history.attempt(mesh, 0)
    assert mesh.count(old_partition) == 1
    assert drop(mesh, old_partition)
    assert old_partition not in history.partitions(mesh)
    assert [row[0] for row in mesh.sql("select id from integration_sync_logs")] == [young]


def test_a_partition_that_somebody_reads_is_left_without_waiting_for_them(mesh: Mesh, old_partition: str) -> None:
    with mesh.engine.connect() as reader:
        reader.exec_driver_sql(f"select count(*) from {old_partition}")
        assert not drop(mesh, old_partition)
        mesh.hook()
        assert claim(mesh, mesh.signup()), "the engine goes on"
    assert drop(mesh, old_partition)


def test_a_partition_with_a_call_in_the_air_stays(mesh: Mesh, old_partition: str) -> None:
    history.event(mesh, 7 * 20, "running")
    mesh.sql("update deliveries set attempt_id = %(id)s", id=history.attempt(mesh, 7 * 20, "started"))
    assert not drop(mesh, old_partition)
    assert old_partition in history.partitions(mesh)


def test_old_rows_without_a_partition_of_their_own_go_in_bounded_steps(mesh: Mesh) -> None:
    for _ in range(3):
        history.attempt(mesh, 1000)
    kept = {history.attempt(mesh, 1000, "started"), history.attempt(mesh, 10)}
    for expected in (Step(2, more=True), Step(1, more=False)):
        with mesh.engine.begin() as connection:
            assert db.retention.delete_stray_attempts(connection, days=KEEP, limit=2) == expected
    assert {row[0] for row in mesh.sql("select id from integration_sync_logs")} == kept


def test_one_deletes_at_a_time(mesh: Mesh) -> None:
    with mesh.engine.begin() as one, mesh.engine.begin() as other:
        assert db.retention.lock_turn(one)
        assert not db.retention.lock_turn(other)
    with mesh.engine.begin() as other:
        assert db.retention.lock_turn(other)

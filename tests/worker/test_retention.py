"""Runs of retention: what each deletes, when they end, and that nobody waits for them."""

from __future__ import annotations

import threading

import pytest

import beat_schedule
import db.retention
import settings
import tasks.upkeep
from tests.db import history
from tests.db.claims import claim, settle, settlement
from tests.mesh import Mesh, eventually
from worker import retention, stopping
from worker.retention import Deleted, retain

OLD = 100.0


def run(mesh: Mesh, *, events_days: float = 90, attempts_days: float = 90) -> Deleted:
    return retain(mesh.engine, events_days=events_days, attempts_days=attempts_days)


def grow_old(mesh: Mesh, events: int = 1) -> str:
    """Old events, a rejected one, a stray attempt, and a partition, whose name is returned."""
    for n in range(events):
        history.event(mesh, OLD - n / 100, "succeeded")
    history.rejected(mesh, OLD)
    history.attempt(mesh, 1000)
    name = history.partition(mesh, weeks=20)
    history.attempt(mesh, 7 * 20)
    return name


def test_a_run_deletes_everything_that_is_old(mesh: Mesh) -> None:
    name = grow_old(mesh, events=3)
    assert run(mesh) == Deleted(events=3, rejected=1, attempts=1, partitions=(name,))
    for table in ("events", "deliveries", "rejected_events", "integration_sync_logs"):
        assert mesh.count(table) == 0, table
    assert run(mesh) == Deleted()


def test_nought_days_keep_for_ever(mesh: Mesh) -> None:
    name = grow_old(mesh)
    try:
        assert run(mesh, events_days=0, attempts_days=0) == Deleted()
        assert run(mesh, events_days=0) == Deleted(attempts=1, partitions=(name,))
        assert (mesh.count("events"), mesh.count("rejected_events")) == (1, 1)
        assert run(mesh, attempts_days=0) == Deleted(events=1, rejected=1)
    finally:
        mesh.sql(f"drop table if exists {name}")


def test_many_short_steps_make_a_run(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(10):
        history.event(mesh, OLD - n / 100, "succeeded")
    monkeypatch.setattr(retention, "STEP", 3)
    steps: list[int] = []
    real = db.retention.delete_events

    def counted(*given: object, **named: object) -> db.retention.Step:
        step = real(*given, **named)  # type: ignore[arg-type]
        steps.append(step.deleted)
        return step

    monkeypatch.setattr(db.retention, "delete_events", counted)
    assert run(mesh).events == 10
    assert steps == [3, 3, 3, 1]


def test_when_the_time_is_up_the_next_run_goes_on(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        history.event(mesh, OLD - n / 100, "succeeded")
    monkeypatch.setattr(retention, "STEP", 3)
    monkeypatch.setattr(retention, "RUN_S", 0.0)
    assert [run(mesh).events for _ in range(3)] == [3, 1, 0]


def test_a_worker_that_ends_does_not_go_on_deleting(mesh: Mesh) -> None:
    history.event(mesh, OLD, "succeeded")
    stopping.requested.set()
    try:
        assert run(mesh) == Deleted()
    finally:
        stopping.requested.clear()
    assert run(mesh) == Deleted(events=1)


def test_a_second_run_at_once_does_nothing(mesh: Mesh) -> None:
    name = grow_old(mesh)
    with mesh.engine.begin() as connection:
        assert db.retention.lock_turn(connection)
        assert run(mesh) == Deleted()
    assert run(mesh) == Deleted(events=1, rejected=1, attempts=1, partitions=(name,))


def test_a_partition_in_use_waits_for_the_next_run_and_the_rest_goes_on(mesh: Mesh) -> None:
    name = grow_old(mesh)
    with mesh.engine.connect() as reader:
        reader.exec_driver_sql(f"select count(*) from {name}")
        assert run(mesh) == Deleted(events=1, rejected=1, attempts=1)
    assert run(mesh) == Deleted(partitions=(name,))


def test_the_engine_works_on_while_old_rows_go(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    name = history.partition(mesh, weeks=20)
    for n in range(60):
        history.event(mesh, OLD - n / 100, "succeeded")
    mesh.hook()
    fresh = [mesh.signup() for _ in range(20)]
    monkeypatch.setattr(retention, "STEP", 2)
    deleted: list[Deleted] = []
    thread = threading.Thread(target=lambda: deleted.append(run(mesh)))
    thread.start()
    for delivery_id in fresh:
        (row,) = claim(mesh, delivery_id)
        assert settle(mesh, settlement(row)) == {delivery_id}
    thread.join(30)
    assert deleted == [Deleted(events=60, partitions=(name,))]
    assert mesh.count("deliveries", "state = 'succeeded'") == 20
    assert mesh.count("integration_sync_logs", "state = 'succeeded'") == 20


def test_beat_sends_the_task_and_the_settings_reach_it(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "upkeep.retain" in {tick["task"] for tick in beat_schedule.SCHEDULE.values()}
    kept = history.event(mesh, OLD, "succeeded")
    changed = mesh.settings.model_copy(update={"mesh_keep_events_days": 120})
    monkeypatch.setattr(mesh.resources, "settings", changed)
    monkeypatch.setattr(tasks.upkeep, "resources", lambda: mesh.resources)
    tasks.upkeep.retention_tick()
    assert mesh.one("select id from events") == kept
    monkeypatch.setattr(mesh.resources, "settings", mesh.settings)
    tasks.upkeep.retention_tick()
    eventually(lambda: mesh.count("events") == 0, "the default of 90 days deletes it")


def test_days_are_whole_and_not_negative() -> None:
    with pytest.raises(settings.ConfigurationError, match="MESH_KEEP_EVENTS_DAYS is not usable"):
        settings.load(mesh_keep_events_days=-1)
    with pytest.raises(settings.ConfigurationError, match="MESH_KEEP_ATTEMPTS_DAYS is not usable"):
        settings.load(mesh_keep_attempts_days="often")

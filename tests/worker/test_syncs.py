"""Periodic syncs: published when their time has come, once, for accounts that may be called; and by hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID

import pytest

import db.cursors
from beat_schedule import SCHEDULE
from db.cursors import Plan
from tasks import syncs as tasks
from tests import paged
from tests.mesh import Mesh, eventually
from tests.paged import HOUR_S, LAST_DAY, PAGES, Pages, all_rows, connected, serving_pages, stored
from worker import syncs
from worker.app import app
from worker.outcomes import SCHEDULE_S
from worker.syncs import SyncError, plan_all, publish_due, sync_now

BOTH = {"numbers", "campaigns"}


@pytest.fixture(autouse=True)
def pages() -> Iterator[Pages]:
    with serving_pages() as pages:
        yield pages


@pytest.fixture
def account(pages: Pages, mesh: Mesh) -> UUID:
    found: UUID = connected(mesh)
    return found


def published(mesh: Mesh, where: str = "true") -> list[str]:
    """The streams of every sync.due, in order."""
    rows = mesh.sql(f"select data->>'stream' from events where type = 'sync.due' and {where} order by id")
    return [row[0] for row in rows]


def due_now(mesh: Mesh) -> None:
    """Let the time of every planned stream come."""
    mesh.sql("update sync_cursors set next_sync_at = now() where next_sync_at is not null")


def next_in_s(mesh: Mesh, stream: str = "numbers") -> Any:
    """Seconds until a stream is read next; None where it sleeps."""
    return mesh.one(
        "select extract(epoch from next_sync_at - now())::float8 from sync_cursors where stream = %(stream)s",
        stream=stream,
    )


def end(mesh: Mesh) -> None:
    """Let every sync end well."""
    mesh.sql(
        "update deliveries set state = 'succeeded', due_at = null, settled_at = now(), attempt_id = null,"
        " lease_until = null where settled_at is null"
    )


# ----------------------------------------------------------------------------------------------------- periodically


def test_a_new_account_is_synced_at_once_and_then_every_hour_or_so(mesh: Mesh, account: UUID) -> None:
    assert publish_due(mesh.engine) == 2
    assert set(published(mesh)) == BOTH
    assert mesh.count("deliveries", "provider = 'paged' and event_type = 'sync.due'") == 2
    assert 0.9 * HOUR_S - 10 < next_in_s(mesh) <= 1.1 * HOUR_S
    assert mesh.one("select count(distinct next_sync_at) from sync_cursors") == 2, "jitter"
    assert mesh.one("select count(*) from sync_cursors c join events e on e.id = c.event_id") == 2
    end(mesh)
    assert publish_due(mesh.engine) == 0
    due_now(mesh)
    assert publish_due(mesh.engine) == 2


def test_a_whole_walk(mesh: Mesh, account: UUID, pages: Pages) -> None:
    pages.campaigns = [{"id": "x1"}]
    publish_due(mesh.engine)
    mesh.drain()
    assert stored(mesh) == all_rows()
    (row,) = mesh.sql("select * from sync_cursors where stream = 'numbers'")
    assert (row.cursor, row.synced_at is not None) == ({"through": LAST_DAY}, True)
    assert set(pages.asked.values()) == {1}
    assert len(mesh.attempts(mesh.one("select id from deliveries where result is not null and result <> '{}'"))) == 6
    assert mesh.one("select external_state from campaign_links") == "on"


def test_never_a_second_one_while_the_last_is_not_settled(mesh: Mesh, account: UUID) -> None:
    publish_due(mesh.engine)
    due_now(mesh)
    assert publish_due(mesh.engine) == 0
    assert 0 < next_in_s(mesh) <= 1.1 * syncs.BUSY_S, "it is looked at again soon"
    mesh.sql("update deliveries set state = 'failed', error_code = 'x', due_at = null, settled_at = now()")
    due_now(mesh)
    assert publish_due(mesh.engine) == 2, "one that failed is over too"


@pytest.mark.parametrize(
    ("stop", "start"),
    [
        *[
            (f"update integrations set state = '{state}'", "update integrations set state = 'active'")
            for state in ("paused", "needs_reconnect", "blocked", "disconnected")
        ],
        ("update tenants set state = 'suspended'", "update tenants set state = 'active'"),
        ("update integrations set event_types = '{user.signup}'", "update integrations set event_types = null"),
    ],
)
def test_who_may_not_be_called_gets_none_and_sleeps(mesh: Mesh, account: UUID, stop: str, start: str) -> None:
    mesh.sql(stop)
    assert publish_due(mesh.engine) == 0
    assert mesh.count("sync_cursors") == 0, "nor a plan"
    mesh.sql(start)
    assert publish_due(mesh.engine) == 2
    end(mesh)
    due_now(mesh)
    mesh.sql(stop)
    assert publish_due(mesh.engine) == 0
    assert next_in_s(mesh) is None
    mesh.sql(start)
    assert publish_due(mesh.engine) == 2, "and it is planned again"


def test_a_provider_that_is_gone_gets_none(mesh: Mesh, account: UUID) -> None:
    publish_due(mesh.engine)
    end(mesh)
    due_now(mesh)
    paged.forget()
    assert publish_due(mesh.engine) == 0
    assert next_in_s(mesh) is None


def test_an_account_without_the_field_that_syncs_need_gets_none(mesh: Mesh) -> None:
    with serving_pages(needs="account_id"):
        connected(mesh, name="without")
        with_it = connected(mesh, name="with", account_id="7")
        assert publish_due(mesh.engine) == 2
    assert {row[0] for row in mesh.sql("select data->>'integration_id' from events")} == {str(with_it)}


def test_an_account_of_a_provider_without_streams_costs_nothing(mesh: Mesh) -> None:
    mesh.hook()
    assert (publish_due(mesh.engine), mesh.count("sync_cursors")) == (0, 0)


def test_published_and_planned_in_one_commit(mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("db.cursors.plan", broken)
        with pytest.raises(RuntimeError):
            publish_due(mesh.engine)
    assert published(mesh) == []
    assert publish_due(mesh.engine) == 2


def test_the_same_due_time_again_makes_nothing_new(mesh: Mesh, account: UUID) -> None:
    publish_due(mesh.engine)
    key = mesh.one("select idempotency_key from events where data->>'stream' = 'numbers'")
    assert key.startswith(f"sync.due:{account}:numbers:20")
    end(mesh)
    mesh.sql("update sync_cursors set next_sync_at = %(at)s::timestamptz", at=key.rpartition("numbers:")[2])
    publish_due(mesh.engine)
    assert published(mesh).count("numbers") == 1


def test_two_ticks_at_once(mesh: Mesh, account: UUID) -> None:
    ticks = [threading.Thread(target=publish_due, args=(mesh.engine,)) for _ in range(4)]
    for tick in ticks:
        tick.start()
    for tick in ticks:
        tick.join()
    assert sorted(published(mesh)) == sorted(BOTH)


def test_many_are_published_in_short_steps(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syncs, "STEP", 3)
    for number in range(5):
        connected(mesh, name=f"n{number}", tenant=f"t{number}")
    plan_all(mesh.engine)
    with monkeypatch.context() as patch:
        patch.setattr(syncs, "MAX_STEPS", 1)
        assert publish_due(mesh.engine) == 3, "a tick ends, the next one goes on"
    assert publish_due(mesh.engine) == 7
    assert mesh.one("select count(distinct data) from events") == 10


def test_a_tick_looks_at_the_newest_accounts_and_the_other_one_at_all(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncs, "STEP", 2)
    first = [connected(mesh, name=f"n{number}") for number in range(5)]
    publish_due(mesh.engine)
    planned = {row[0] for row in mesh.sql("select distinct integration_id from sync_cursors")}
    assert planned == set(sorted(first)[3:])  # ids of one millisecond are in any order
    assert plan_all(mesh.engine) == 6
    assert mesh.one("select count(distinct integration_id) from sync_cursors") == 5
    assert plan_all(mesh.engine) == 0


def test_first_syncs_of_accounts_that_were_there_before_are_spread(mesh: Mesh) -> None:
    for number in range(8):
        connected(mesh, name=f"n{number}")
    mesh.sql("update integrations set created_at = now() - interval '1 day'")
    plan_all(mesh.engine)
    (row,) = mesh.sql(
        "select count(distinct next_sync_at) as times, extract(epoch from max(next_sync_at) - now()) as last"
        " from sync_cursors"
    )
    assert row.times == 16
    assert 0 < row.last <= syncs.SPREAD_S


def test_beat_has_it_done(mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "resources", lambda: mesh.resources)
    tasks.planning_tick()
    assert (mesh.count("sync_cursors"), published(mesh)) == (2, [])
    tasks.syncs_tick()
    assert set(published(mesh)) == BOTH
    named = {entry["task"] for entry in SCHEDULE.values()}
    assert {tasks.planning_tick.name, tasks.syncs_tick.name} <= named
    assert "tasks.syncs" in app.conf.imports


def test_a_page_that_fails_again_and_again_uses_up_its_own_retries_only(
    mesh: Mesh, account: UUID, pages: Pages
) -> None:
    pages.failures = 6  # each call is tried three times: two retries by schedule a page, twelve in all
    assert len(SCHEDULE_S) < 2 * PAGES
    with mesh.engine.begin() as connection:
        sync_now(connection, account, streams=["numbers"])
    (delivery_id,) = [row[0] for row in mesh.sql("select id from deliveries")]
    for _ in range(5 * PAGES):
        mesh.due_now()
        mesh.holds_over()
        mesh.drain()
    row = mesh.delivery(delivery_id)
    assert (row.state, row.attempt_count) == ("succeeded", 7 * PAGES)
    assert stored(mesh) == all_rows()


# ---------------------------------------------------------------------------------------------------------- by hand


def now(mesh: Mesh, account: UUID, **asked: Any) -> list[syncs.Sync]:
    with mesh.engine.begin() as connection:
        return sync_now(connection, account, **asked)


def why_not(mesh: Mesh, account: UUID, **asked: Any) -> str:
    with pytest.raises(SyncError) as refused:
        now(mesh, account, **asked)
    return str(refused.value)


def test_by_hand_it_begins_at_once_and_the_next_one_is_planned(mesh: Mesh, account: UUID) -> None:
    done = now(mesh, account)
    assert ([each.stream for each in done], [each.new for each in done]) == (["numbers", "campaigns"], [True, True])
    assert next_in_s(mesh) > 0.9 * HOUR_S - 10
    assert publish_due(mesh.engine) == 0
    mesh.drain()
    assert stored(mesh) == all_rows()


def test_what_was_asked_for_stands_in_the_event(mesh: Mesh, account: UUID) -> None:
    (since,) = now(mesh, account, streams=["numbers"], since=date(2026, 9, 1))
    (full,) = now(mesh, account, streams=["campaigns"], full=True)
    data = {row.id: row.data for row in mesh.sql("select id, data from events")}
    common = {"integration_id": str(account)}
    assert data[since.event_id] == {**common, "stream": "numbers", "since": "2026-09-01"}
    assert data[full.event_id] == {**common, "stream": "campaigns", "full": True}


def test_one_under_way_is_answered_instead_of_a_second(mesh: Mesh, account: UUID) -> None:
    publish_due(mesh.engine)
    under_way = {row.stream: row.event_id for row in mesh.sql("select * from sync_cursors")}
    assert {each.stream: each.event_id for each in now(mesh, account) if not each.new} == under_way
    assert "reads other days" in why_not(mesh, account, since=date(2026, 9, 1))
    assert "reads other days" in why_not(mesh, account, full=True)
    assert len(published(mesh)) == 2
    end(mesh)
    (fresh,) = now(mesh, account, streams=["numbers"], since=date(2026, 9, 1))
    assert fresh.new
    (same,) = now(mesh, account, streams=["numbers"], since=date(2026, 9, 1))
    assert (same.event_id, same.new) == (fresh.event_id, False)


def test_by_hand_while_a_tick_publishes(mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    plan_all(mesh.engine)
    by_hand: list[syncs.Sync] = []
    clicked = threading.Thread(target=lambda: by_hand.extend(now(mesh, account, streams=["numbers"])))
    real = db.cursors.plan

    def meanwhile(*given: Any) -> None:
        clicked.start()
        waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        eventually(lambda: mesh.one(waits), "it waits for the tick's commit")
        monkeypatch.setattr("db.cursors.plan", real)
        real(*given)

    monkeypatch.setattr("db.cursors.plan", meanwhile)
    publish_due(mesh.engine)
    clicked.join()
    assert published(mesh).count("numbers") == 1
    assert [each.new for each in by_hand] == [False]


def test_by_hand_while_a_new_account_is_planned_nobody_waits_in_a_ring(mesh: Mesh, account: UUID) -> None:
    by_hand: list[syncs.Sync] = []
    clicked = threading.Thread(target=lambda: by_hand.extend(now(mesh, account)))
    waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with mesh.engine.begin() as connection:
        db.cursors.wake(connection, [Plan(account, "campaigns", 0.0)])
        clicked.start()
        eventually(lambda: mesh.one(waits), "it waits for the tick's commit")
        db.cursors.wake(connection, [Plan(account, "numbers", 0.0)])
    clicked.join()
    assert [each.new for each in by_hand] == [True, True]


def test_why_an_account_is_not_synced(mesh: Mesh, account: UUID) -> None:
    assert why_not(mesh, account, streams=["sales"]) == "Paged has no stream 'sales': there are numbers, campaigns."
    mesh.hook()
    without = mesh.one("select id from integrations where provider = 'zapier'")
    assert why_not(mesh, without).endswith("has nothing to sync.")
    assert "`mesh integrations list`" in why_not(mesh, UUID(int=1))
    mesh.sql("update integrations set event_types = '{user.signup}' where id = %(id)s", id=account)
    assert "takes no sync.due events" in why_not(mesh, account)
    for state, command in {
        "paused": "resume",
        "needs_reconnect": "reconnect",
        "blocked": "resume",
        "disconnected": "reconnect",
    }.items():
        mesh.sql("update integrations set state = %(state)s, state_reason = 'Why.'", state=state)
        assert f"`mesh integrations {command} {account}`" in why_not(mesh, account)
    assert published(mesh) == []


def test_a_sync_that_fails_is_over(mesh: Mesh, account: UUID) -> None:
    now(mesh, account, streams=["numbers"], since=date(2026, 12, 1))
    mesh.drain()
    assert mesh.one("select error_code from deliveries") == "too_late"
    assert [each.new for each in now(mesh, account, streams=["numbers"])] == [True]

"""The reconciler: whatever died, what is due goes on its way, once."""

from __future__ import annotations

import json
import threading
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

import db.deliveries
import db.listen
from providers import PROVIDERS
from tests.db.claims import claim
from tests.mesh import Mesh, eventually
from worker import listener, reconcile
from worker.dispatch import BATCH, FEW, LATER, LATER_LIMIT
from worker.enqueue import accept
from worker.listener import Listener
from worker.sending import PRIORITY_MARK

SIGNUP: dict[str, Any] = {"type": "user.signup", "tenant_id": "acme", "data": {"user_id": "u"}}


def sent(mesh: Mesh, provider: str = "zapier") -> list[UUID]:
    """The ids in a provider's queue, in order, and then those in its list for later."""
    key = f"{mesh.settings.mesh_key_prefix}deliver.{provider}"
    lists = [mesh.redis.lrange(each, 0, -1) for each in (key, f"{key}{PRIORITY_MARK}{LATER}")]
    messages = [json.loads(raw) for each in lists for raw in reversed(each)]
    return [UUID(each) for message in messages for each in json.loads(message["body"])[0][0]]


def accepted(mesh: Mesh, count: int = 1, tenant: str = "acme") -> None:
    """Events of producers' own transactions: nobody has sent their deliveries."""
    mesh.tenant(tenant)
    with mesh.engine.begin() as connection:
        accept(connection, [{**SIGNUP, "tenant_id": tenant}] * count)


def by_sql(mesh: Mesh, **data: Any) -> UUID:
    found = mesh.one("select publish_event('acme', 'user.signup', %(data)s::jsonb)", data=json.dumps(data))
    assert isinstance(found, UUID)
    return found


def sent_ago(mesh: Mesh, seconds: float) -> None:
    mesh.sql("update deliveries set dispatched_at = now() - %(s)s * interval '1 second'", s=seconds)


def test_what_was_committed_and_never_sent_is_sent(mesh: Mesh) -> None:
    mesh.hook()
    accepted(mesh, 3)
    mesh.reconcile()
    assert Counter(sent(mesh)) == dict.fromkeys((r[0] for r in mesh.sql("select id from deliveries")), 1)
    mesh.reconcile()
    assert len(sent(mesh)) == 3, "once"


def test_two_ticks_at_once_send_nothing_twice(mesh: Mesh) -> None:
    for tenant in ("a", "b", "c"):
        mesh.hook(tenant=tenant)
        accepted(mesh, 120, tenant)
    start = threading.Barrier(3)

    def tick() -> None:
        start.wait()
        mesh.reconcile()

    threads = [threading.Thread(target=tick) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    mesh.reconcile()
    assert Counter(sent(mesh)) == dict.fromkeys((r[0] for r in mesh.sql("select id from deliveries")), 1)
    assert len(sent(mesh)) == 360


def test_an_event_of_the_sql_door_gets_its_deliveries_once(mesh: Mesh) -> None:
    mesh.hook("/receive/one")
    mesh.hook("/receive/two")
    event_id = by_sql(mesh, user_id="u")
    mesh.reconcile()
    mesh.reconcile()
    assert mesh.count("deliveries", f"event_id = '{event_id}'") == 2
    assert len(sent(mesh)) == 2
    assert mesh.count("events", "routed_at is null") == 0
    mesh.drain()
    assert mesh.count("deliveries", "state = 'succeeded'") == 2


def test_an_event_of_the_sql_door_that_does_not_fit_its_schema_is_kept_as_rejected(mesh: Mesh) -> None:
    mesh.hook()
    bad, good = by_sql(mesh, user_id=7), by_sql(mesh, user_id="u")
    mesh.reconcile()
    (row,) = mesh.sql("select * from rejected_events")
    assert (row.door, row.event_id, row.event_type, row.tenant_id) == ("sql", bad, "user.signup", "acme")
    assert "data.user_id must be string" in row.reason
    assert json.loads(bytes(row.body)) == {"user_id": 7}
    assert [r[0] for r in mesh.sql("select event_id from deliveries")] == [good]
    mesh.reconcile()
    assert mesh.count("rejected_events") == 1


def test_two_routers_at_once_route_each_event_once(mesh: Mesh) -> None:
    mesh.hook()
    for _ in range(40):
        by_sql(mesh, user_id="u")
    threads = [threading.Thread(target=reconcile.route_events, args=(mesh.engine,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    reconcile.route_events(mesh.engine)
    assert mesh.count("deliveries") == 40
    assert mesh.one("select count(distinct event_id) from deliveries") == 40


def test_after_redis_was_wiped_everything_is_sent_again(mesh: Mesh) -> None:
    mesh.hook()
    accepted(mesh, 3)
    mesh.reconcile()
    mesh.redis.delete(*mesh.redis.keys(f"{mesh.settings.mesh_key_prefix}*"))
    mesh.reconcile()
    assert sent(mesh) == [], "their messages may still be on their way"
    sent_ago(mesh, reconcile.EMPTY_AGE_S + 1)
    mesh.reconcile()
    assert len(sent(mesh)) == 3
    mesh.drain()
    assert mesh.sandbox.control.counts()["requests"] == 3


def test_what_waits_behind_others_is_not_taken_for_lost_so_soon(mesh: Mesh) -> None:
    mesh.hook()
    accepted(mesh, 3)
    mesh.reconcile()
    sent_ago(mesh, reconcile.SENT_AGE_S - 1)
    mesh.reconcile()
    assert len(sent(mesh)) == 3
    sent_ago(mesh, reconcile.SENT_AGE_S + 1)
    mesh.reconcile()
    assert len(sent(mesh)) == 6, "late is better than never; a claim takes each once"
    mesh.deliver(*sent(mesh))
    assert mesh.sandbox.control.counts()["requests"] == 3


def test_what_a_dead_worker_held_is_called_again(mesh: Mesh) -> None:
    mesh.hook()
    accepted(mesh)
    mesh.reconcile()
    (delivery_id,) = sent(mesh)
    claim(mesh, delivery_id, worker="dead")
    mesh.lease_over()
    mesh.reconcile()
    assert sent(mesh) == [delivery_id, delivery_id]
    mesh.deliver(delivery_id)
    assert [(a.state, a.worker == "dead") for a in mesh.attempts(delivery_id)] == [("lost", True), ("succeeded", False)]


def test_work_that_kills_its_workers_ends_as_a_dead_letter(mesh: Mesh) -> None:
    mesh.hook()
    accepted(mesh)
    delivery_id = mesh.one("select id from deliveries")
    for _ in range(reconcile.MAX_LOST):
        mesh.due_now()
        assert len(claim(mesh, delivery_id)) == 1
        mesh.lease_over()
        reconcile.expire_leases(mesh.engine)
    assert (mesh.delivery(delivery_id).state, mesh.delivery(delivery_id).error_code) == ("failed", "worker_lost")
    mesh.reconcile()
    assert claim(mesh, delivery_id) == []


def test_the_queue_stays_short_and_tenants_take_turns(mesh: Mesh) -> None:
    mesh.hook(tenant="noisy")
    mesh.hook(tenant="quiet")
    accepted(mesh, 1, "noisy")
    noisy = mesh.sql("select * from deliveries")[0]
    mesh.sql(
        "insert into deliveries (id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, due_at)"
        " select mesh_uuid(), event_id, tenant_id, provider, integration_id, webhook_id, event_type,"
        " now() - interval '1 hour' from deliveries, generate_series(1, %(count)s)",
        count=LATER_LIMIT * BATCH + 100,
    )
    accepted(mesh, 1, "quiet")
    mesh.reconcile()
    assert mesh.queued(later=True) == LATER_LIMIT
    assert mesh.count("deliveries", "dispatched_at is null") == 101 - FEW
    quiet = mesh.one("select id from deliveries where tenant_id = 'quiet'")
    assert quiet in sent(mesh)[: FEW + 1], "each tenant's first few go ahead"
    mesh.reconcile()
    assert mesh.queued(later=True) == LATER_LIMIT, "full is full"
    assert noisy.tenant_id == "noisy"


def fill(mesh: Mesh) -> float | None:
    return reconcile.fill_queue(mesh.engine, mesh.resources.dispatcher, "zapier")


def test_filling_says_when_there_is_more_to_do(mesh: Mesh) -> None:
    mesh.hook()
    assert fill(mesh) is None
    accepted(mesh, 3)
    mesh.sql(
        "update deliveries set due_at = now() + interval '20 seconds' where id = (select id from deliveries limit 1)"
    )
    assert fill(mesh) == pytest.approx(20, abs=5)
    assert len(sent(mesh)) == 2


def test_a_full_queue_is_looked_at_again_soon(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.hook()
    accepted(mesh, FEW + 3)
    monkeypatch.setattr(reconcile, "BATCH", 1)
    monkeypatch.setattr(reconcile, "FEW", 1)
    monkeypatch.setattr(reconcile, "LATER_LIMIT", 2)
    assert fill(mesh) == reconcile.REFILL_S
    assert len(sent(mesh)) == 1 + 2


def test_who_finds_the_queue_being_filled_looks_again_soon(mesh: Mesh) -> None:
    with mesh.engine.begin() as other:
        assert db.deliveries.lock_backlog(other, "zapier")
        assert fill(mesh) == reconcile.REFILL_S


def test_a_listener_sends_what_is_due_later_when_its_time_comes(mesh: Mesh) -> None:
    """No tick, no message: only the moment."""
    mesh.hook()
    accepted(mesh, 2)
    mesh.sql("update deliveries set due_at = now() + interval '1 hour'")
    soon = mesh.one("select id from deliveries limit 1")
    mesh.sql("update deliveries set due_at = now() + interval '0.7 seconds' where id = %(id)s", id=soon)
    listener = Listener(mesh.resources)
    listener.start()
    try:
        eventually(lambda: sent(mesh) == [soon], "the first is sent")
        early = mesh.one(
            "select extract(epoch from due_at - dispatched_at)::float8 from deliveries where id = %(id)s", id=soon
        )
        assert early <= 0
    finally:
        listener.stop()


def test_a_listener_hears_of_what_is_given_back(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (row,) = claim(mesh, delivery_id)
    listener = Listener(mesh.resources)
    listener.start()
    try:
        eventually(lambda: listening(mesh), "it listens")
        with mesh.engine.begin() as connection:
            db.deliveries.give_back(connection, [db.deliveries.GiveBack(delivery_id, row.attempt_id, 0.3)])
        eventually(lambda: sent(mesh) == [delivery_id], "it is sent")
    finally:
        listener.stop()


def listening(mesh: Mesh) -> int:
    with mesh.engine.begin() as connection:
        return db.listen.listening(connection)


def test_without_redis_nothing_is_marked_as_sent(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.hook()
    accepted(mesh, 3)
    monkeypatch.setattr(mesh.resources.dispatcher, "waiting", lambda provider, later=False: None)
    mesh.reconcile()
    assert mesh.count("deliveries", "dispatched_at is null") == 3


def test_a_queue_that_breaks_in_the_middle_leaves_the_rest_here(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.hook()
    accepted(mesh, BATCH * 3)
    real, calls = mesh.resources.dispatcher._publish, []

    def breaks(provider: str, batch: Any, priority: int) -> None:
        calls.append(batch)
        if len(calls) == 3:
            raise ConnectionResetError(104, "reset by peer")
        real(provider, batch, priority)

    monkeypatch.setattr(mesh.resources.dispatcher, "_publish", breaks)
    mesh.reconcile()
    assert len(sent(mesh)) == FEW + BATCH
    assert mesh.count("deliveries", "dispatched_at is null") == BATCH * 2 - FEW
    mesh.reconcile()
    assert Counter(sent(mesh)) == dict.fromkeys((r[0] for r in mesh.sql("select id from deliveries")), 1)


def test_a_bulk_redelivery_is_stepped_by_ticks(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    import db.replays

    mesh.hook()
    accepted(mesh, 5)
    mesh.sql("update deliveries set state = 'failed', due_at = null, settled_at = now(), error_code = 'x'")
    with mesh.engine.begin() as connection:
        db.replays.create(connection, requested_by="test")
    monkeypatch.setattr(reconcile, "STEP", 2)
    steps = [reconcile.replay_step(mesh.engine) is not None for _ in range(5)]
    assert steps == [True, True, True, True, False]
    mesh.reconcile()
    assert len(sent(mesh)) == 5


def test_a_claimed_delivery_is_not_sent(mesh: Mesh) -> None:
    mesh.hook()
    accepted(mesh)
    claim(mesh, mesh.one("select id from deliveries"))
    mesh.reconcile()
    assert sent(mesh) == []
    with mesh.engine.begin() as connection:
        assert db.deliveries.forget_dispatch(connection, "zapier", older_than_s=0, limit=10) == 0


# ------------------------------------------------------------------------------------------------- what NOTIFY says


@pytest.fixture
def filled(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The providers whose queues a listener filled, in order."""
    seen: list[str] = []
    real = reconcile.fill_queue

    def fill_queue(engine: Any, dispatcher: Any, provider: str) -> float | None:
        seen.append(provider)
        return real(engine, dispatcher, provider)

    monkeypatch.setattr(listener, "fill_queue", fill_queue)
    return seen


def test_who_hears_of_one_provider_looks_for_no_other(mesh: Mesh, filled: list[str]) -> None:
    mesh.hook()
    accepted(mesh)
    by_sql(mesh, user_id="u")
    Listener(mesh.resources)._feed({"zapier"})
    assert filled == ["zapier"]
    assert len(sent(mesh)) == 1
    assert mesh.count("events", "routed_at is null") == 1


def test_who_hears_of_events_routes_them_and_sends_what_may_not_be_called_at_once(
    mesh: Mesh, filled: list[str]
) -> None:
    mesh.hook(rate_per_s=1)
    by_sql(mesh, user_id="u")
    Listener(mesh.resources)._feed({"events"})
    assert filled == ["zapier"]
    assert len(sent(mesh)) == 1


def test_who_hears_nothing_does_nothing_and_who_hears_no_name_looks_everywhere(mesh: Mesh, filled: list[str]) -> None:
    hearing = Listener(mesh.resources)
    hearing._feed(set())
    assert filled == []
    hearing._feed({""})
    assert sorted(filled) == sorted(PROVIDERS)


def test_each_door_says_what_waits(mesh: Mesh) -> None:
    mesh.hook()
    heard = db.listen.wakeups(mesh.settings.database_url, "mesh_events", timeout_s=lambda: 0.2)

    def hear(*words: str) -> None:
        said: set[str] = set()

        def enough() -> bool:
            said.update(next(heard))
            return said == set(words)

        eventually(enough, f"NOTIFY says {words}")

    assert next(heard) == set()
    by_sql(mesh, user_id="u")
    hear("events")
    accepted(mesh)
    hear("zapier")

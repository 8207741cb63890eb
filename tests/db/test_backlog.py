"""What waits in Postgres: whose turn it is, what is sent, what a claim could not have."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

import db.deliveries
import db.webhooks
from tests.db.claims import claim, shelve
from tests.mesh import Mesh
from worker import accounts


def take(mesh: Mesh, limit: int, *, per_tenant: int | None = None, provider: str = "zapier") -> list[UUID]:
    with mesh.engine.begin() as connection:
        return db.deliveries.take_backlog(
            connection, provider, limit=limit, per_tenant=limit if per_tenant is None else per_tenant
        )


def waiting(mesh: Mesh, tenant: str, count: int) -> list[UUID]:
    """So many deliveries of a tenant that wait here, oldest first."""
    mesh.hook(tenant=tenant)
    before = {row[0] for row in mesh.sql("select id from deliveries")}
    mesh.publish(tenant=tenant)
    mesh.sql(
        "insert into deliveries (id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, due_at)"
        " select mesh_uuid(), event_id, tenant_id, provider, integration_id, webhook_id, event_type, due_at"
        " from deliveries, generate_series(2, %(count)s) where tenant_id = %(tenant)s",
        count=count,
        tenant=tenant,
    )
    mesh.sql("update deliveries set dispatched_at = null")
    return [row[0] for row in mesh.sql("select id from deliveries order by id") if row[0] not in before]


def test_a_tenant_with_one_is_in_the_first_batch_beside_one_with_a_thousand(mesh: Mesh) -> None:
    waiting(mesh, "noisy", 1000)
    mesh.sql("update deliveries set due_at = now() - interval '1 hour'")
    (quiet,) = waiting(mesh, "quiet", 1)
    first = take(mesh, 10)
    assert len(first) == 10
    assert quiet in first


def test_tenants_take_turns(mesh: Mesh) -> None:
    for tenant, count in (("a", 50), ("b", 50), ("c", 3)):
        waiting(mesh, tenant, count)
    taken = take(mesh, 12)
    tenants = {row.id: row.tenant_id for row in mesh.sql("select id, tenant_id from deliveries")}
    assert Counter(tenants[each] for each in taken) in ({"a": 5, "b": 4, "c": 3}, {"a": 4, "b": 5, "c": 3})


def test_what_is_taken_comes_in_the_order_of_turns(mesh: Mesh) -> None:
    for tenant, count in (("a", 30), ("b", 2), ("c", 1)):
        waiting(mesh, tenant, count)
    taken = take(mesh, 30)
    tenants = {row.id: row.tenant_id for row in mesh.sql("select id, tenant_id from deliveries")}
    order = [tenants[each] for each in taken]
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert sorted(order[3:5]) == ["a", "b"]
    assert set(order[5:]) == {"a"}


def test_the_next_moment_is_that_of_whoever_is_due_first(mesh: Mesh) -> None:
    def next_s() -> float | None:
        with mesh.engine.begin() as connection:
            return db.deliveries.next_due_s(connection, "zapier")

    assert next_s() is None
    first, *_ = waiting(mesh, "a", 3)
    parked, second = waiting(mesh, "b", 2)
    mesh.sql("update deliveries set due_at = now() + interval '1 hour'")
    mesh.sql("update deliveries set due_at = now() + interval '30 seconds' where id = %(id)s", id=second)
    mesh.sql("update deliveries set due_at = 'infinity' where id = %(id)s", id=parked)
    assert next_s() == pytest.approx(30, abs=5)
    mesh.sql("update deliveries set dispatched_at = now() where id = %(id)s", id=second)
    assert next_s() == pytest.approx(3600, abs=5)
    mesh.due_now(first)
    assert (next_s() or 0) <= 0


def test_within_a_tenant_the_longest_due_go_first(mesh: Mesh) -> None:
    deliveries = waiting(mesh, "a", 6)
    for age, delivery_id in enumerate(deliveries):
        mesh.sql(
            "update deliveries set due_at = now() - %(age)s * interval '1 minute' where id = %(id)s",
            age=age,
            id=delivery_id,
        )
    assert set(take(mesh, 3)) == set(deliveries[3:])


def test_what_is_taken_is_taken_once(mesh: Mesh) -> None:
    everything = set(waiting(mesh, "a", 7))
    first, second = set(take(mesh, 4)), set(take(mesh, 4))
    assert first | second == everything
    assert not first & second
    assert take(mesh, 4) == []
    assert mesh.count("deliveries", "dispatched_at is null") == 0


def test_two_at_once_take_different_ones(mesh: Mesh) -> None:
    waiting(mesh, "a", 20)
    with mesh.engine.connect() as one, mesh.engine.connect() as other:
        first = db.deliveries.take_backlog(one, "zapier", limit=10, per_tenant=10)
        second = db.deliveries.take_backlog(other, "zapier", limit=20, per_tenant=20)
        one.commit()
        other.commit()
    assert len(first) == 10
    assert not set(first) & set(second)


def test_only_what_is_due_of_this_provider(mesh: Mesh) -> None:
    later, now = waiting(mesh, "a", 2)
    mesh.sql("update deliveries set due_at = now() + interval '1 hour' where id = %(id)s", id=later)
    mesh.account(tenant="b")
    mesh.speak(tenant="b")
    mesh.sql("update deliveries set dispatched_at = null")
    assert take(mesh, 10) == [now]
    assert len(take(mesh, 10, provider="elevenlabs")) == 1


def test_what_is_not_due_does_not_hide_other_tenants(mesh: Mesh) -> None:
    waiting(mesh, "a", 3)
    mesh.sql("update deliveries set due_at = now() + interval '1 hour'")
    assert set(take(mesh, 10)) == set() and len(waiting(mesh, "b", 2)) == 2  # noqa: PT018 - in this order
    assert len(take(mesh, 10)) == 2


def test_a_message_that_is_gone_is_forgotten_after_its_time(mesh: Mesh) -> None:
    old, fresh = waiting(mesh, "a", 2)
    assert set(take(mesh, 10)) == {old, fresh}
    mesh.sql("update deliveries set dispatched_at = now() - interval '31 seconds' where id = %(id)s", id=old)
    with mesh.engine.begin() as connection:
        assert db.deliveries.forget_dispatch(connection, "zapier", older_than_s=30, limit=100) == 1
    assert take(mesh, 10) == [old]


def test_what_was_not_sent_waits_again(mesh: Mesh) -> None:
    deliveries = waiting(mesh, "a", 3)
    take(mesh, 10)
    claim(mesh, deliveries[0])
    with mesh.engine.begin() as connection:
        db.deliveries.undo_dispatch(connection, deliveries)
    assert set(take(mesh, 10)) == set(deliveries[1:])


# ------------------------------------------------------------------------------------- what a claim could not have


@pytest.mark.parametrize("table", ["webhooks", "integrations"])
def test_for_a_held_target_it_waits_until_the_hold_ends(mesh: Mesh, table: str) -> None:
    mesh.hook()
    deliveries = [mesh.signup() for _ in range(20)]
    mesh.sql(f"update {table} set held_until = now() + interval '60 seconds'")
    assert shelve(mesh, *deliveries) == 20
    waits = [mesh.delivery(each).due_at - datetime.now(UTC) for each in deliveries]
    assert timedelta(seconds=59) < min(waits)
    assert max(waits) <= timedelta(seconds=72)
    assert max(waits) - min(waits) > timedelta(seconds=3), "they come back spread out"
    assert {mesh.delivery(each).state for each in deliveries} == {"pending"}


@pytest.mark.parametrize("state", ["paused", "needs_reconnect", "blocked"])
def test_for_an_account_that_may_not_be_called_it_is_parked_until_it_is_resumed(mesh: Mesh, state: str) -> None:
    integration_id = mesh.account()
    delivery_id = mesh.speak()
    mesh.sql("update integrations set state = %(state)s", state=state)
    assert claim(mesh, delivery_id) == []
    assert shelve(mesh, delivery_id) == 1
    assert mesh.one("select due_at = 'infinity' and dispatched_at is null from deliveries")
    assert take(mesh, 10, provider="elevenlabs") == []
    with mesh.engine.begin() as connection:
        assert accounts.resume(connection, integration_id) == 1
    assert take(mesh, 10, provider="elevenlabs") == [delivery_id]
    assert len(claim(mesh, delivery_id)) == 1


@pytest.mark.parametrize(
    ("state", "ends", "code"),
    [
        ("disabled", "failed", "webhook_disabled"),
        ("gone", "cancelled", "webhook_gone"),
        ("unregistered", "cancelled", "webhook_unregistered"),
    ],
)
def test_for_a_closed_webhook_it_ends(mesh: Mesh, state: str, ends: str, code: str) -> None:
    webhook = mesh.hook()
    delivery_id = mesh.signup()
    with mesh.engine.begin() as connection:
        db.webhooks.set_state(connection, [webhook.webhook_id], state, "So it was.")
    assert shelve(mesh, delivery_id) == 1
    ended = mesh.delivery(delivery_id)
    assert (ended.state, ended.error_code, ended.due_at) == (ends, code, None)
    assert "So it was." in ended.error_message
    assert ended.settled_at is not None
    assert mesh.attempts(delivery_id) == []


def test_shelving_leaves_alone_what_is_held_or_not_due(mesh: Mesh) -> None:
    mesh.hook()
    held, later = mesh.signup(), mesh.signup()
    claim(mesh, held)
    mesh.sql("update deliveries set due_at = now() + interval '1 hour' where id = %(id)s", id=later)
    before = [mesh.delivery(held), mesh.delivery(later)]
    assert shelve(mesh, held, later) == 0
    assert [mesh.delivery(held), mesh.delivery(later)] == before

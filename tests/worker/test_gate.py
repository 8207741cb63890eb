"""The gate: rates and caps on a real Redis, for all workers together."""

from __future__ import annotations

from itertools import pairwise
from uuid import UUID, uuid4

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from providers.contract import Rate
from tests.mesh import Mesh
from tests.worker.claims import a_claim
from worker.gate import CAP_RETRY_S, Gate

TEN = Rate(10, 1.0)


def waits(mesh: Mesh, target: UUID, count: int, rate: Rate | None = TEN, cap: int | None = None) -> list[float]:
    claims = [a_claim(integration_id=target, max_in_flight=cap) for _ in range(count)]
    return mesh.resources.gate.waits(claims, [rate] * count)


def test_ten_a_second_admits_ten_and_spreads_the_rest_evenly(mesh: Mesh) -> None:
    found = waits(mesh, uuid4(), 40)
    assert found[:10] == [0.0] * 10
    rest = found[10:]
    assert all(wait > 0 for wait in rest)
    steps = [later - earlier for earlier, later in pairwise(rest)]
    assert all(abs(step - 0.1) < 0.01 for step in steps), "one each tenth of a second"
    assert rest[-1] < 30 * 0.1 + 0.2


def test_the_next_batch_gets_later_turns(mesh: Mesh) -> None:
    target = uuid4()
    first, second = waits(mesh, target, 15), waits(mesh, target, 5)
    assert min(second) > max(first) - 0.1


def test_another_worker_shares_the_limit(mesh: Mesh) -> None:
    target, other = uuid4(), Gate(mesh.redis, mesh.settings.mesh_key_prefix)
    assert waits(mesh, target, 10) == [0.0] * 10
    assert all(wait > 0 for wait in other.waits([a_claim(integration_id=target)], [TEN]))


def test_targets_do_not_share_a_limit(mesh: Mesh) -> None:
    waits(mesh, uuid4(), 30)
    assert waits(mesh, uuid4(), 10) == [0.0] * 10


def test_time_gives_room_again(mesh: Mesh) -> None:
    target = uuid4()
    waits(mesh, target, 10)
    (key,) = mesh.redis.keys(f"*rate:{target}")
    due = float(mesh.redis.hget(key, "due"))  # type: ignore[arg-type]
    mesh.redis.hset(key, "due", f"{due - 0.5:f}")  # half a second later
    assert waits(mesh, target, 10).count(0.0) == 5


def test_slow_rates_admit_one_at_a_time(mesh: Mesh) -> None:
    found = waits(mesh, uuid4(), 3, Rate(1, 60.0))
    assert found[0] == 0.0
    assert 59 < found[1] <= 61
    assert 119 < found[2] <= 121


def test_a_rate_below_one_a_second_lets_each_through_in_its_time(mesh: Mesh) -> None:
    mesh.hook(rate_per_s=0.5)
    first, second = mesh.signup(), mesh.signup()
    mesh.deliver(first, second)
    assert sorted(mesh.delivery(each).state for each in (first, second)) == ["pending", "succeeded"]


def test_without_a_limit_redis_is_not_asked(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh.redis, "evalsha", None)
    assert waits(mesh, uuid4(), 100, None) == [0.0] * 100


def test_a_cap_admits_so_many_at_once_and_frees_places(mesh: Mesh) -> None:
    target = uuid4()
    claims = [a_claim(integration_id=target, max_in_flight=3) for _ in range(5)]
    gate = mesh.resources.gate
    assert gate.waits(claims, [None] * 5) == [0.0, 0.0, 0.0, CAP_RETRY_S, CAP_RETRY_S]
    gate.leave(claims[1])
    gate.leave(claims[1])
    assert gate.waits(claims[3:], [None] * 2) == [0.0, CAP_RETRY_S]


def test_a_place_that_a_dead_worker_held_is_free_after_its_time(mesh: Mesh) -> None:
    target = uuid4()
    assert waits(mesh, target, 2, None, cap=1) == [0.0, CAP_RETRY_S]
    (key,) = mesh.redis.keys(f"*cap:{target}")
    (token,) = (str(entered.decode()) for entered in mesh.redis.zrange(key, 0, -1) if isinstance(entered, bytes))
    mesh.redis.zincrby(key, -151, token)
    assert waits(mesh, target, 1, None, cap=1) == [0.0]


def test_who_waits_for_a_place_uses_no_turn_of_the_rate(mesh: Mesh) -> None:
    target = uuid4()
    assert waits(mesh, target, 20, TEN, cap=1).count(0.0) == 1
    mesh.redis.delete(*mesh.redis.keys(f"*cap:{target}"))
    assert waits(mesh, target, 9, TEN).count(0.0) == 9


def test_without_redis_the_gate_is_open(mesh: Mesh) -> None:
    away = redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    gate, claim = Gate(away, ""), a_claim(max_in_flight=1)
    assert gate.waits([claim] * 3, [TEN] * 3) == [0.0] * 3
    gate.leave(claim)


def test_keys_do_not_stay_for_ever(mesh: Mesh) -> None:
    target = uuid4()
    waits(mesh, target, 1, TEN, cap=1)
    keys = mesh.redis.keys(f"*{target}")
    assert len(keys) == 2
    assert all(0 < mesh.redis.ttl(key) <= 3600 for key in keys)


def test_what_is_held_back_costs_no_attempt(mesh: Mesh) -> None:
    mesh.hook(rate_per_s=2)
    deliveries = [mesh.signup() for _ in range(6)]
    mesh.deliver(*deliveries)
    states = [mesh.delivery(each).state for each in deliveries]
    assert (states.count("succeeded"), states.count("pending")) == (2, 4)
    held = [mesh.delivery(each) for each in deliveries if mesh.delivery(each).state == "pending"]
    assert {row.attempt_count for row in held} == {0}
    assert len({row.due_at for row in held}) == 4, "spread"
    assert mesh.count("integration_sync_logs") == 2
    assert mesh.sandbox.control.counts()["requests"] == 2


def test_a_place_is_freed_when_the_call_ends(mesh: Mesh) -> None:
    mesh.hook(max_in_flight=1)
    for _ in range(3):
        delivery_id = mesh.signup()
        mesh.deliver(delivery_id)
        assert mesh.delivery(delivery_id).state == "succeeded"

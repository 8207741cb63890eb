"""The gate: rates and caps on a real Redis, for all workers together."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from db.targets import RAMP_S
from providers.contract import Rate
from tests.mesh import Mesh
from tests.worker.claims import NOW, a_claim
from worker.gate import CAP_RETRY_S, HOLD_S, RAMP_CALLS, Gate
from worker.limits import Cap, Caps, caps_in_force
from worker.outcomes import Claim

TEN = Rate(10, 1.0)


def caps(claims: Sequence[Claim]) -> list[Caps]:
    return [caps_in_force(claim, dict) for claim in claims]


def waits(mesh: Mesh, target: UUID, count: int, rate: Rate | None = TEN, cap: int | None = None) -> list[float]:
    claims = [a_claim(integration_id=target, max_in_flight=cap) for _ in range(count)]
    return mesh.resources.gate.waits(claims, [rate] * count, caps(claims))


def turns(
    mesh: Mesh,
    target: UUID,
    count: int,
    *,
    came_back: bool = False,
    rate: Rate | None = TEN,
    answering_s: float | None = None,
    cap: int | None = None,
) -> list[float]:
    """The same for a worker that holds a claim until its turn."""
    first = NOW - timedelta(seconds=came_back)
    claims = [a_claim(integration_id=target, first_attempt_at=first, max_in_flight=cap) for _ in range(count)]
    since: Sequence[float | None] = [answering_s] * count
    return mesh.resources.gate.waits(claims, [rate] * count, caps(claims), hold_s=HOLD_S, answering_s=since)


def pass_time(mesh: Mesh, target: UUID, seconds: float) -> None:
    """Move everything that the gate knows of a target into the past."""
    for key in mesh.redis.keys(f"*:{target}"):
        for field in ("due", "line", "started"):
            if b":ramp:" in key and field == "line":
                continue  # counts calls, not time
            value = mesh.redis.hget(key, field)
            if value is not None:
                mesh.redis.hset(key, field, f"{float(value) - seconds:f}")


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
    assert all(wait > 0 for wait in other.waits([a_claim(integration_id=target)], [TEN], [(None, None)]))


def test_who_holds_a_claim_until_its_turn_makes_evenly_spaced_calls(mesh: Mesh) -> None:
    found = turns(mesh, uuid4(), 20)
    admitted = [wait for wait in found if wait <= HOLD_S]
    assert admitted == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=0.02)
    late = found[len(admitted) :]
    assert all(wait > HOLD_S for wait in late)
    assert late == sorted(late)
    assert len(set(late)) < len(late), "neighbours come back together"
    assert late[-1] == pytest.approx(2.0 - HOLD_S / 2, abs=HOLD_S), "shortly before its turn"


def test_who_comes_back_goes_before_who_is_new(mesh: Mesh) -> None:
    target = uuid4()
    turns(mesh, target, 20)
    pass_time(mesh, target, 0.6)
    (new,) = turns(mesh, target, 1)
    assert new > 1, "behind those who stand in line"
    assert all(wait <= HOLD_S for wait in turns(mesh, target, 3, came_back=True))


def test_those_who_come_back_too_many_at_once_are_spread_again(mesh: Mesh) -> None:
    target = uuid4()
    turns(mesh, target, 60)
    pass_time(mesh, target, 2.0)
    found = turns(mesh, target, 20, came_back=True)
    late = [wait for wait in found if wait > HOLD_S]
    assert len(found) - len(late) == 5
    assert late[-1] == pytest.approx(2.0 - HOLD_S / 2, abs=HOLD_S)


@pytest.mark.parametrize("seed", range(5))
def test_in_no_order_do_two_calls_come_closer_than_the_rate_allows(mesh: Mesh, seed: int) -> None:
    """New ones and those that come back, in batches of any size, from two workers, over half a minute."""
    rng, target = random.Random(seed), uuid4()
    moments: list[float] = []
    passed = waiting = 0.0
    while passed < 30:
        for came_back in (True, False):
            count = rng.randint(0, min(int(waiting), 30) if came_back else 12)
            found = turns(mesh, target, count, came_back=came_back)
            admitted = sum(wait <= HOLD_S for wait in found)
            waiting += 0 if came_back else count
            waiting -= admitted
            due = float(mesh.redis.hget(f"{mesh.settings.mesh_key_prefix}mesh:gate:rate:{target}", "due") or 0)
            moments += [due + passed - 0.1 * (admitted - place) for place in range(admitted)]
        step = rng.choice([0.05, 0.2, 0.4, 1.5])
        pass_time(mesh, target, step)
        passed += step
    assert len(moments) > 60
    assert min(later - earlier for earlier, later in pairwise(moments)) > 0.0999


def test_a_target_that_answers_again_gets_twice_as_much_from_second_to_second(mesh: Mesh) -> None:
    target, began, total = uuid4(), time.monotonic(), 0
    for second in range(5):
        found = turns(mesh, target, 200, came_back=True, rate=None, answering_s=float(second))
        total += sum(wait <= HOLD_S for wait in found)
        assert all(wait <= RAMP_S + HOLD_S for wait in found)
        late_s = time.monotonic() - began
        assert allowed(second + HOLD_S) - 1 <= total <= allowed(second + late_s + HOLD_S) + 1
        pass_time(mesh, target, 1.0)


def allowed(seconds: float) -> float:
    """How many calls a target may have had so long after it answered again."""
    return RAMP_CALLS * (2**seconds - 1) + 1


def test_a_new_recovery_is_a_new_ramp(mesh: Mesh) -> None:
    target = uuid4()
    turns(mesh, target, 200, rate=None, answering_s=6.0)
    found = turns(mesh, target, 200, rate=None, answering_s=0.0)
    assert sum(wait <= HOLD_S for wait in found) <= RAMP_CALLS


def test_a_ramp_and_a_rate_both_hold(mesh: Mesh) -> None:
    found = turns(mesh, uuid4(), 100, rate=TEN, answering_s=5.0)
    assert sum(wait <= HOLD_S for wait in found) == 5


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
    before = NOW - timedelta(seconds=1)
    claims = [a_claim(integration_id=target, max_in_flight=3, first_attempt_at=before) for _ in range(5)]
    gate = mesh.resources.gate
    later = pytest.approx(CAP_RETRY_S * 4 / 3, abs=0.01)
    assert gate.waits(claims, [None] * 5, caps(claims)) == [0.0, 0.0, 0.0, CAP_RETRY_S, later]
    gate.leave(Cap(str(target), 3), claims[1].attempt_id)
    gate.leave(Cap(str(target), 3), claims[1].attempt_id)
    assert gate.waits(claims[3:], [None] * 2, caps(claims[3:])) == [0.0, CAP_RETRY_S]


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
    mesh.redis.delete(*mesh.redis.keys(f"*cap:{target}*"))
    assert waits(mesh, target, 9, TEN).count(0.0) == 9


def test_without_redis_the_gate_is_open(mesh: Mesh) -> None:
    away = redis.Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    gate, claim = Gate(away, ""), a_claim(max_in_flight=1)
    assert gate.waits([claim] * 3, [TEN] * 3, caps([claim] * 3)) == [0.0] * 3
    gate.leave(Cap(str(claim.target_id), 1), claim.attempt_id)
    gate.told(Cap("provider:account:lane", 1), 3)


def test_keys_do_not_stay_for_ever(mesh: Mesh) -> None:
    target = uuid4()
    waits(mesh, target, 1, TEN, cap=1)
    keys = mesh.redis.keys(f"*{target}")
    assert len(keys) == 2
    assert all(0 < mesh.redis.ttl(key) <= 3600 for key in keys)


def test_what_is_held_back_costs_no_attempt(mesh: Mesh) -> None:
    mesh.hook(rate_per_s=4)
    deliveries = [mesh.signup() for _ in range(6)]
    mesh.deliver(*deliveries)
    states = [mesh.delivery(each).state for each in deliveries]
    assert (states.count("succeeded"), states.count("pending")) == (2, 4), "one now, one in a moment, four later"
    held = [mesh.delivery(each) for each in deliveries if mesh.delivery(each).state == "pending"]
    assert {row.attempt_count for row in held} == {0}
    assert len({row.due_at for row in held}) >= 2, "spread; turns that are near come back together"
    assert mesh.count("integration_sync_logs") == 2
    assert mesh.sandbox.control.counts()["requests"] == 2


def test_a_place_is_freed_when_the_call_ends(mesh: Mesh) -> None:
    mesh.hook(max_in_flight=1)
    for _ in range(3):
        delivery_id = mesh.signup()
        mesh.deliver(delivery_id)
        assert mesh.delivery(delivery_id).state == "succeeded"

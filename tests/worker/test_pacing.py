"""One allowance for all our accounts at a provider: every exchange of every worker takes a turn of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from providers.contract import Rate
from providers.errors import RateLimited
from providers.http import Answer, Request, api_request
from tests.mesh import Mesh
from tests.providers.doubles import answer
from tests.worker.claims import a_claim, a_provider
from worker.gate import HOLD_S, Gate
from worker.limits import app_rate, rate_in_force
from worker.pacing import LONGEST_TURN_S, Paced

REQUEST = api_request("GET", "https://ads.example", "/x", headers={})
SHARED = a_provider(app_rate=Rate(10, 1.0))


class Timed:
    """A transport that notes when exchanges were made."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.deadlines: list[float] = []

    def send(self, request: Request, deadline_s: float) -> Answer:
        """At once, with an empty 200."""
        self.at.append(time.monotonic())
        self.deadlines.append(deadline_s)
        return answer(200)


def shared() -> Rate:
    rate = app_rate(SHARED)
    assert rate is not None
    return rate


def test_accounts_of_two_tenants_share_it_in_all_workers(mesh: Mesh) -> None:
    other = Gate(mesh.redis, mesh.settings.mesh_key_prefix)
    rates = [rate_in_force(SHARED, None, None, None, mesh.resources.vault)] * 3
    gates = [mesh.resources.gate, other]
    waits = [
        wait
        for gate in gates
        for wait in gate.waits(
            [a_claim(SHARED, integration_id=uuid4()) for _ in rates], rates, [(None, None)] * len(rates), hold_s=HOLD_S
        )
    ]
    assert waits[:5] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=0.05)
    assert waits[5] > HOLD_S


def test_an_account_with_a_rate_of_its_own_keeps_it(mesh: Mesh) -> None:
    assert rate_in_force(SHARED, 4.0, None, None, mesh.resources.vault) == Rate(1, 0.25)


def test_the_first_exchange_is_paid_for_and_each_further_one_takes_its_turn(mesh: Mesh) -> None:
    timed = Timed()
    paced = Paced(timed, mesh.resources.gate, shared(), prepaid=1)
    began = time.monotonic()
    for _ in range(4):
        paced.send(REQUEST, 5.0)
    assert timed.at[1] - began < 0.09, "the second one is the first that asks: the rate was idle"
    assert timed.at[3] - timed.at[1] >= 0.19
    assert timed.deadlines[0] == 5.0
    assert timed.deadlines[3] < 5.0, "waiting is part of the call's time"


def test_exchanges_of_many_calls_at_once_are_ten_a_second(mesh: Mesh) -> None:
    timed = Timed()

    def call(_: int) -> None:
        Paced(timed, mesh.resources.gate, shared(), prepaid=0).send(REQUEST, 30.0)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(call, range(12)))
    assert max(timed.at) - min(timed.at) >= 1.05


def test_a_turn_that_is_far_away_is_no_call_and_no_fault_of_the_account(mesh: Mesh) -> None:
    timed = Timed()
    slow = Rate(1, 60.0, shared_as="app:slow")
    Paced(timed, mesh.resources.gate, slow, prepaid=0).send(REQUEST, 30.0)
    with pytest.raises(RateLimited) as told:
        Paced(timed, mesh.resources.gate, slow, prepaid=0).send(REQUEST, 30.0)
    assert len(timed.at) == 1
    assert told.value.code == "app_rate"
    assert not told.value.holds
    assert told.value.wait_s is not None
    assert told.value.wait_s > LONGEST_TURN_S


def test_without_redis_nobody_waits(mesh: Mesh) -> None:
    nowhere = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    timed = Timed()
    Paced(timed, Gate(nowhere, ""), shared(), prepaid=0).send(REQUEST, 5.0)
    assert len(timed.at) == 1

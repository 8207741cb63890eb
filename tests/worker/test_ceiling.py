"""The number of calls that a provider makes at once, as its answers tell it: honoured by all workers together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from model import Event
from providers import PROVIDERS
from providers.contract import Ceiling
from tests.mesh import Mesh
from tests.worker.claims import NOW, a_claim
from worker.gate import CAP_RETRY_S, Gate
from worker.limits import Cap, cap_in_force

KEY = "key-of-acme"
CEILING = PROVIDERS["elevenlabs"].ceiling
TURBO = "eleven_flash_v2_5"


@pytest.fixture
def other(mesh: Mesh) -> Iterator[Mesh]:
    """Another worker of the same installation."""
    second = Mesh(mesh.settings, mesh.sandbox)
    yield second
    second.close()


def admitted(gate: Gate, caps: list[Cap | None]) -> int:
    claims = [a_claim(integration_id=uuid4()) for _ in caps]
    return gate.waits(claims, [None] * len(caps), caps).count(0.0)


def test_what_an_answer_tells_holds_for_every_worker(mesh: Mesh, other: Mesh) -> None:
    cap = Cap("p:account:standard", first=2)
    here, there = mesh.resources.gate, other.resources.gate
    assert admitted(here, [cap] * 5) == 2
    here.told(cap, 4)
    assert admitted(there, [cap] * 5) == 2, "two are under way already"
    here.told(cap, 3)
    assert admitted(there, [cap]) == 0
    assert admitted(there, [Cap("p:account:turbo", first=2)] * 5) == 2, "each lane has its own"


def test_an_account_s_own_cap_wins_when_it_is_lower() -> None:
    assert Cap("k", own=1, first=2).most(15) == 1
    assert Cap("k", own=9, first=2).most(None) == 2
    assert Cap("k", own=9, first=2).most(5) == 5
    assert Cap("k", own=9).most(5) == 9
    assert Cap("k", first=2).most(None) == 2


def test_accounts_with_the_same_credential_share_a_ceiling() -> None:
    assert CEILING is not None
    speech = Event(uuid4(), "acme", "audio.render_requested", {"text": "x"}, NOW)
    claim = a_claim(provider=PROVIDERS["elevenlabs"], event=speech)

    def cap(key: str) -> Cap | None:
        return cap_in_force(claim, lambda: {"api_key": key})

    one, same, another = cap("secret-a"), cap("secret-a"), cap("secret-b")
    assert one is not None
    assert one == same != another
    assert "secret-a" not in one.key


def test_ceilings_are_lost_with_redis_and_learned_anew(mesh: Mesh) -> None:
    cap = Cap("p:account:standard", first=2)
    mesh.resources.gate.told(cap, 10)
    mesh.redis.flushdb()
    assert admitted(mesh.resources.gate, [cap] * 5) == 2


def test_two_workers_never_have_more_under_way_than_the_plan_allows(mesh: Mesh, other: Mesh) -> None:
    control = mesh.sandbox.control
    control.do("elevenlabs", "set_concurrency", maximum=3, queue=0, key=KEY)
    control.do("elevenlabs", "set_pace", seconds=0.02, key=KEY)
    mesh.account(KEY)
    deliveries = [mesh.speak(f"Number {n}.") for n in range(24)]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(60):
            mesh.due_now()
            open_ones = [each for each in deliveries if mesh.delivery(each).state != "succeeded"]
            if not open_ones:
                break
            halves = (open_ones[::2], open_ones[1::2])
            list(pool.map(lambda pair: pair[0].deliver(*pair[1]), zip((mesh, other), halves, strict=True)))
    assert {mesh.delivery(each).state for each in deliveries} == {"succeeded"}
    group = control.do("elevenlabs", "concurrency", key=KEY)["standard"]
    assert group["refused"] == 0
    assert 2 < group["busiest"] <= 3, "the ceiling of the answers was used, and kept"
    assert control.bill()["elevenlabs"][KEY]["generations"] == 24


def test_who_finds_no_place_uses_no_attempt(mesh: Mesh) -> None:
    cap = Cap("p:account:standard", first=1)
    claims = [a_claim(integration_id=uuid4()) for _ in range(2)]
    assert mesh.resources.gate.waits(claims, [None] * 2, [cap] * 2) == [0.0, CAP_RETRY_S]
    mesh.resources.gate.leave(cap, claims[0].attempt_id)
    assert mesh.resources.gate.waits(claims[1:], [None], [cap]) == [0.0]


def test_the_lanes_of_a_provider_are_told_apart() -> None:
    assert isinstance(CEILING, Ceiling)
    lanes = [CEILING.lane("audio.render_requested", {"text": "x", "model_id": model}, {}) for model in ("", TURBO)]
    assert lanes == ["standard", "turbo"]
    assert CEILING.lane("sync.due", {}, {}) == ""

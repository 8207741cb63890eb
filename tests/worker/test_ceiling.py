"""The number of calls that a provider makes at once, as its answers tell it: honoured by all workers together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import pytest

from model import Event
from providers import PROVIDERS
from providers.contract import Ceiling
from tests.mesh import Mesh
from tests.servers import Servers
from tests.worker.claims import NOW, a_claim
from worker.gate import CAP_LONGEST_S, CAP_RETRY_S, Gate
from worker.limits import Cap, Caps, caps_in_force

KEY = "key-of-acme"
CEILING = PROVIDERS["elevenlabs"].ceiling
TURBO = "eleven_flash_v2_5"


@pytest.fixture
def other(mesh: Mesh) -> Iterator[Mesh]:
    """Another worker of the same installation."""
    second = Mesh(mesh.settings, mesh.sandbox)
    yield second
    second.close()


def admitted(gate: Gate, caps: list[Cap], *, own: Cap | None = None) -> int:
    claims = [a_claim(integration_id=uuid4()) for _ in caps]
    return gate.waits(claims, [None] * len(caps), [(own, cap) for cap in caps]).count(0.0)


def test_what_an_answer_tells_holds_for_every_worker(mesh: Mesh, other: Mesh) -> None:
    cap = Cap("p:account:standard", 2)
    here, there = mesh.resources.gate, other.resources.gate
    assert admitted(here, [cap] * 5) == 2
    here.told(cap, 4)
    assert admitted(there, [cap] * 5) == 2, "two are under way already"
    here.told(cap, 3)
    assert admitted(there, [cap]) == 0
    assert admitted(there, [Cap("p:account:turbo", 2)] * 5) == 2, "each lane has its own"


def test_accounts_with_the_same_credential_share_a_ceiling() -> None:
    assert CEILING is not None
    speech = Event(uuid4(), "acme", "audio.render_requested", {"text": "x"}, NOW)
    claim = a_claim(provider=PROVIDERS["elevenlabs"], event=speech)

    def cap(key: str) -> Cap | None:
        return caps_in_force(claim, lambda: {"api_key": key})[1]

    one, same, another = cap("secret-a"), cap("secret-a"), cap("secret-b")
    assert one is not None
    assert one == same != another
    assert "secret-a" not in one.key


def test_ceilings_are_lost_with_redis_and_learned_anew(servers: Servers, mesh: Mesh) -> None:
    cap = Cap("p:account:standard", 2)
    mesh.resources.gate.told(cap, 10)
    servers.forget_keys()  # and nobody else's: other sessions use this Redis
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
    cap = Cap("p:account:standard", 1)
    claims = [a_claim(integration_id=uuid4()) for _ in range(2)]
    caps: list[Caps] = [(None, cap)] * 2
    assert mesh.resources.gate.waits(claims, [None] * 2, caps) == [0.0, CAP_RETRY_S]
    mesh.resources.gate.leave(cap, claims[0].attempt_id)
    assert mesh.resources.gate.waits(claims[1:], [None], caps[1:]) == [0.0]


def test_an_account_s_own_cap_is_kept_over_all_its_lanes(mesh: Mesh) -> None:
    gate, own = mesh.resources.gate, Cap("account", 1)
    assert admitted(gate, [Cap("p:key:standard", 5)], own=own) == 1
    assert admitted(gate, [Cap("p:key:turbo", 5)], own=own) == 0
    assert admitted(gate, [Cap("p:key:turbo", 5)]) == 1, "who was held back took no place of the others"


def test_who_has_a_lower_cap_of_its_own_is_not_starved_by_who_shares_its_ceiling(mesh: Mesh) -> None:
    gate, shared = mesh.resources.gate, Cap("p:key:standard", 10)
    assert admitted(gate, [shared] * 5) == 5
    assert admitted(gate, [shared] * 3, own=Cap("careful", 2)) == 2


def test_a_backlog_at_a_ceiling_comes_back_by_and_by(mesh: Mesh) -> None:
    gate, cap = mesh.resources.gate, Cap("p:key:standard", 4)
    first = [a_claim(integration_id=uuid4()) for _ in range(4)]
    many = [a_claim(integration_id=uuid4()) for _ in range(200)]
    assert gate.waits(first, [None] * 4, [(None, cap)] * 4) == [0.0] * 4
    (key,) = mesh.redis.keys("*cap:p:key:standard")
    mesh.redis.zincrby(key, -2, str(first[0].attempt_id))  # its place was held for two seconds
    gate.leave(cap, first[0].attempt_id)
    assert gate.waits(first[:1], [None], [(None, cap)]) == [0.0]
    waits = gate.waits(many, [None] * 200, [(None, cap)] * 200)
    assert waits[0] == pytest.approx(CAP_RETRY_S, abs=0.05)
    assert waits[1] - waits[0] == pytest.approx(2 / 4, abs=0.05), "a place is free every half second"
    assert waits == sorted(waits)
    assert waits[-1] == CAP_LONGEST_S


def test_a_free_place_is_for_who_waited(mesh: Mesh) -> None:
    gate, cap = mesh.resources.gate, Cap("p:key:standard", 1)
    holding, waiting, new = (a_claim(integration_id=uuid4()) for _ in range(3))
    back = a_claim(integration_id=uuid4(), first_attempt_at=NOW - timedelta(seconds=9))
    caps: list[Caps] = [(None, cap)]
    gate.waits([holding], [None], caps)
    gate.waits([waiting, back, new], [None] * 3, caps * 3)
    gate.leave(cap, holding.attempt_id)
    assert gate.waits([new], [None], caps)[0] > 0
    assert gate.waits([back], [None], caps) == [0.0]


def test_the_lanes_of_a_provider_are_told_apart() -> None:
    assert isinstance(CEILING, Ceiling)
    lanes = [CEILING.lane("audio.render_requested", {"text": "x", "model_id": model}, {}) for model in ("", TURBO)]
    assert lanes == ["standard", "turbo"]
    assert CEILING.lane("sync.due", {}, {}) == ""

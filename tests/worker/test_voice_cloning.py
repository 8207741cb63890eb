"""Cloning against ElevenLabs' stand-in: whatever dies, gets lost or is refused, there is one clone on the bill."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from tests.db.claims import expire
from tests.mesh import Mesh, eventually
from tests.worker.deaths import Died, death_at, step, walk
from worker import accounts, deliver

KEY = "key-of-acme"
ADD = "/v1/voices/add"
CONSENT = {"given": True, "by": "Dana Reyes", "at": "2026-11-02T09:30:00Z", "reference": "contract 4711"}


@pytest.fixture
def studio(mesh: Mesh) -> Mesh:
    """A mesh with an ElevenLabs account, and a webhook that hears of cloned voices."""
    mesh.account(KEY)
    mesh.hook("/receive/told", event_type="voice.cloned")
    return mesh


@pytest.fixture
def sample(studio: Mesh) -> str:
    """The asset id of a recording: something that was spoken before."""
    delivery_id = studio.speak("Welcome back to Margin Notes.")
    studio.deliver(delivery_id)
    return str(studio.delivery(delivery_id).result["asset_id"])


def ordered(mesh: Mesh, sample: str, **more: Any) -> UUID:
    data = {"name": "Dana", "sample_asset_ids": [sample], "consent": CONSENT, **more}
    ((_, delivery_id),) = mesh.publish("voice.clone_requested", data).deliveries
    return delivery_id


def clones(mesh: Mesh) -> int:
    return int(mesh.sandbox.control.bill().get("elevenlabs", {}).get(KEY, {}).get("clones", 0))


def check_cloned_once(mesh: Mesh, delivery_id: UUID) -> Mapping[str, Any]:
    """One clone on the bill, one event with the speaker's consent, told once."""
    delivery = walk(mesh, delivery_id)
    assert (delivery.state, delivery.unknown_since) == ("succeeded", None)
    assert clones(mesh) == 1
    (event,) = mesh.sql("select * from events where type = 'voice.cloned'")
    assert event.caused_by == delivery.event_id
    assert event.data["consent"] == CONSENT
    assert event.data["voice_id"] == delivery.external_id == "clone000000000000001"
    mesh.due_now()
    mesh.drain()
    assert mesh.sandbox.control.counts("/receive/told")["requests"] == 1
    result: Mapping[str, Any] = delivery.result
    return result


def test_a_recording_becomes_a_voice_and_an_event(studio: Mesh, sample: str) -> None:
    delivery_id = ordered(studio, sample)
    assert step(studio, delivery_id).progress == {"known": []}
    assert clones(studio) == 0, "the first step only looks"
    result = check_cloned_once(studio, delivery_id)
    assert "recovered" not in result
    assert [row.state for row in studio.attempts(delivery_id)] == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    "fault", [{"drop": "after"}, {"reset": True, "drop": "after"}, {"truncate": True}, {"wrong_json": True}]
)
def test_a_clone_whose_answer_was_lost_is_found_and_never_made_twice(studio: Mesh, sample: str, fault: Any) -> None:
    delivery_id = ordered(studio, sample)
    step(studio, delivery_id)
    studio.sandbox.control.add_rule(ADD, fault, times=1)
    lost = step(studio, delivery_id)
    assert (lost.state, lost.unknown_since is not None, clones(studio)) == ("retrying", True, 1)
    result = check_cloned_once(studio, delivery_id)
    assert result["recovered"] is True
    assert [row.state for row in studio.attempts(delivery_id)] == ["succeeded", "lost", "succeeded"]
    assert studio.sandbox.control.counts(ADD)["requests"] == 1


def test_their_fault_after_the_work_is_looked_up_too(studio: Mesh, sample: str) -> None:
    delivery_id = ordered(studio, sample)
    step(studio, delivery_id)
    studio.sandbox.control.add_rule(ADD, "elevenlabs:internal_error_after", times=1)
    step(studio, delivery_id)
    assert check_cloned_once(studio, delivery_id)["recovered"] is True


def test_what_was_lost_before_the_work_is_made_after_the_look(studio: Mesh, sample: str) -> None:
    delivery_id = ordered(studio, sample)
    step(studio, delivery_id)
    studio.sandbox.control.add_rule(ADD, {"drop": "before"}, times=1)
    step(studio, delivery_id)
    assert clones(studio) == 0
    assert "recovered" not in check_cloned_once(studio, delivery_id)


def test_while_the_list_of_voices_is_away_nothing_is_cloned(studio: Mesh, sample: str) -> None:
    delivery_id = ordered(studio, sample)
    step(studio, delivery_id)
    studio.sandbox.control.add_rule(ADD, {"drop": "after"}, times=1)
    studio.sandbox.control.add_rule("/v2/voices", {"status": 500}, times=2)
    for _ in range(3):
        step(studio, delivery_id)
    assert (clones(studio), studio.sandbox.control.counts(ADD)["requests"]) == (1, 1)
    check_cloned_once(studio, delivery_id)


def test_an_older_namesake_is_not_taken_for_it(studio: Mesh, sample: str) -> None:
    first = ordered(studio, sample)
    walk(studio, first)
    second = ordered(studio, sample, description="Another take.")
    step(studio, second)
    studio.sandbox.control.add_rule(ADD, {"drop": "before"}, times=1)
    step(studio, second)
    walk(studio, second)
    assert clones(studio) == 2
    assert studio.delivery(first).external_id != studio.delivery(second).external_id


def test_two_of_one_name_at_the_same_time_get_each_their_own(studio: Mesh, sample: str) -> None:
    both = [ordered(studio, sample), ordered(studio, sample)]
    for delivery_id in both:
        step(studio, delivery_id)
        assert studio.delivery(delivery_id).progress == {"known": []}
    studio.sandbox.control.add_rule(ADD, {"drop": "after"}, times=2)
    for delivery_id in both:
        step(studio, delivery_id)
    found = [walk(studio, delivery_id).external_id for delivery_id in both]
    assert found == ["clone000000000000001", "clone000000000000002"]
    assert clones(studio) == 2


@pytest.mark.parametrize("point", ["claim", "send", "answer"])
def test_a_worker_that_dies_at_every_step_clones_once(studio: Mesh, sample: str, point: str) -> None:
    delivery_id = ordered(studio, sample)
    for _ in range(2):
        studio.due_now()
        studio.holds_over()
        with death_at(point) as died:
            with suppress(Died):
                deliver.deliver([delivery_id], studio.resources)
            eventually(died, f"it dies at {point}")
            eventually(lambda: studio.resources.calls.slots.used == 0, "nothing is in flight")
        studio.lease_over(delivery_id)
        expire(studio)
        step(studio, delivery_id)
    check_cloned_once(studio, delivery_id)


def test_a_plan_without_a_free_place_parks_it_and_a_resume_goes_on(studio: Mesh, sample: str) -> None:
    studio.sandbox.control.do("elevenlabs", "set_voices", limit=0)
    delivery_id = ordered(studio, sample)
    studio.deliver(delivery_id)
    parked = studio.delivery(delivery_id)
    assert (parked.settled_at, clones(studio)) == (None, 0)
    assert studio.one("select state from integrations where provider = 'elevenlabs'") == "blocked"
    (attempt,) = studio.attempts(delivery_id)
    assert "All 0 places for instant voices" in attempt.error_message
    studio.sandbox.control.do("elevenlabs", "set_voices", limit=10)
    integration_id = studio.one("select id from integrations where provider = 'elevenlabs'")
    with studio.engine.begin() as connection:
        accounts.resume(connection, integration_id)
    check_cloned_once(studio, delivery_id)


def test_a_recording_of_another_tenant_is_not_there(studio: Mesh, sample: str) -> None:
    studio.account("key-of-other", tenant="other")
    data = {"name": "Stolen", "sample_asset_ids": [sample], "consent": CONSENT}
    ((_, delivery_id),) = studio.publish("voice.clone_requested", data, tenant="other").deliveries
    studio.deliver(delivery_id)
    dead = studio.delivery(delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "asset_unknown")
    assert "key-of-other" not in studio.sandbox.control.bill().get("elevenlabs", {})


def test_a_voice_is_trained_over_days_and_two_lost_answers(studio: Mesh, sample: str) -> None:
    data = {"name": "Dana, trained", "language": "en", "sample_asset_ids": [sample], "consent": CONSENT}
    ((_, delivery_id),) = studio.publish("voice.train_requested", data).deliveries
    step(studio, delivery_id)
    studio.sandbox.control.add_rule("/v1/voices/pvc", {"drop": "after"}, times=1)
    studio.sandbox.control.add_rule("/v1/voices/pvc/*", {"drop": "after"}, times=1)
    for _ in range(6):
        waiting = step(studio, delivery_id)
    assert (waiting.state, waiting.progress["step"]) == ("waiting", "speaker")
    assert waiting.external_id == "pro00000000000000001"
    voice_id = waiting.progress["voice_id"]
    studio.sandbox.control.do("elevenlabs", "verify_voice", key=KEY, voice_id=voice_id)
    assert walk(studio, delivery_id).result["voice_id"] == voice_id
    counts = [
        studio.sandbox.control.counts(path)["requests"]
        for path in ("/v1/voices/pvc", f"/v1/voices/pvc/{voice_id}/samples")
    ]
    assert counts == [1, 1]
    assert studio.count("events", "type = 'voice.trained'") == 1

"""Sounds, dubs and Studio podcasts whose answers were lost: a dead letter that says so, or found; never paid twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest

from db.redelivery import redeliver
from providers.inbound import Arrival
from tests.mesh import Mesh
from tests.worker.deaths import step, walk
from worker.hooks import Door

KEY = "key-of-acme"


@pytest.fixture
def studio(mesh: Mesh) -> Mesh:
    """A mesh with an ElevenLabs account."""
    mesh.account(KEY)
    return mesh


@pytest.fixture
def recording(studio: Mesh) -> str:
    """The asset id of something that was spoken before."""
    delivery_id = studio.speak("Welcome back to Margin Notes.")
    studio.deliver(delivery_id)
    return str(studio.delivery(delivery_id).result["asset_id"])


def ordered(mesh: Mesh, event_type: str, data: Mapping[str, Any]) -> UUID:
    ((_, delivery_id),) = mesh.publish(event_type, data).deliveries
    return delivery_id


def bill(mesh: Mesh) -> Any:
    return mesh.sandbox.control.bill().get("elevenlabs", {}).get(KEY, {"generations": 0})


def by_a_person(mesh: Mesh, delivery_id: UUID) -> Any:
    """Somebody has checked it by hand, and wants it again."""
    with mesh.engine.begin() as connection:
        assert redeliver(connection, delivery_id)
    return step(mesh, delivery_id)


@pytest.mark.parametrize(
    ("event_type", "data", "path"),
    [
        ("sound.render_requested", {"text": "whoosh"}, "/v1/sound-generation"),
        ("music.render_requested", {"prompt": "calm lo-fi bed", "length_ms": 3_000}, "/v1/music"),
    ],
)
def test_what_is_in_no_history_is_a_dead_letter_that_says_so(
    studio: Mesh, event_type: str, data: Mapping[str, Any], path: str
) -> None:
    studio.sandbox.control.add_rule(path, {"drop": "after"}, times=1)
    delivery_id = ordered(studio, event_type, data)
    dead = step(studio, delivery_id)
    assert (dead.state, dead.unknown_since is not None) == ("failed", True)
    assert [row.state for row in studio.attempts(delivery_id)] == ["lost"]
    assert bill(studio)["generations"] == 1


def test_a_changed_voice_that_may_have_been_made_is_not_made_again_by_itself(studio: Mesh, recording: str) -> None:
    studio.sandbox.control.add_rule("/v1/voice-changer/*", {"drop": "after"}, times=1)
    delivery_id = ordered(studio, "voice.change_requested", {"asset_id": recording, "voice_id": "v_guest"})
    dead = walk(studio, delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "not_told_apart")
    (made,) = [one for one in studio.sandbox.control.do("elevenlabs", "generations", key=KEY) if one["source"] == "STS"]
    assert made["history_item_id"] in dead.error_message
    assert bill(studio)["generations"] == 2, "the recording, and its change once"
    again = by_a_person(studio, delivery_id)
    assert (again.state, bill(studio)["generations"]) == ("succeeded", 3)


def test_a_changed_voice_that_was_lost_before_the_work_is_made(studio: Mesh, recording: str) -> None:
    studio.sandbox.control.add_rule("/v1/voice-changer/*", {"drop": "before"}, times=1)
    delivery_id = ordered(studio, "voice.change_requested", {"asset_id": recording})
    done = walk(studio, delivery_id)
    assert (done.state, bill(studio)["generations"]) == ("succeeded", 2)
    (asset,) = studio.sql("select * from media_assets where delivery_id = %(id)s", id=delivery_id)
    assert (asset.mime, str(asset.id)) == ("audio/mpeg", done.result["asset_id"])


def test_a_dub_whose_begin_was_lost_is_begun_once(studio: Mesh, recording: str) -> None:
    studio.sandbox.control.add_rule("/v1/dubbing", {"drop": "after"}, times=1)
    delivery_id = ordered(studio, "audio.dub_requested", {"asset_id": recording, "target_language": "es"})
    done = walk(studio, delivery_id)
    assert (done.state, bill(studio)["dubs"]) == ("succeeded", 1)
    assert [row.state for row in studio.attempts(delivery_id)][:2] == ["lost", "succeeded"]


def test_an_account_that_was_not_let_into_studio_goes_on_with_everything_else(studio: Mesh) -> None:
    delivery_id = ordered(studio, "studio.podcast_requested", {"source": {"text": "a"}, "host_voice_id": "v_host"})
    dead = step(studio, delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "studio_not_allowed")
    assert studio.one("select state from integrations where provider = 'elevenlabs'") == "active"


def test_a_podcast_whose_answer_was_lost_is_named_by_its_callback(studio: Mesh) -> None:
    studio.sandbox.control.do("elevenlabs", "set_studio")
    data = {"source": {"text": "What changed in shipping."}, "host_voice_id": "v_host"}
    ((_, delivery_id),) = studio.publish("studio.podcast_requested", data).deliveries
    studio.sandbox.control.add_rule("/v1/studio/podcasts", {"drop": "after"}, times=1)
    step(studio, delivery_id)
    held = step(studio, delivery_id)
    assert (held.state, held.error_code) == ("retrying", "not_told_apart")
    project_id = held.error_message.partition("(")[2].partition(")")[0]
    integration_id = studio.one("select id from integrations where provider = 'elevenlabs'")
    resources = studio.resources
    url = urlsplit(resources.links.callback("elevenlabs", integration_id, delivery_id))
    told = {"type": "project_conversion_status", "data": {"project_id": project_id, "conversion_status": "success"}}
    door = Door(studio.engine, resources.vault, resources.links, resources.installed)
    arrival = Arrival({}, json.dumps(told).encode(), datetime.now(UTC))
    assert door.receive("elevenlabs", integration_id, dict(parse_qsl(url.query)), arrival) == 1
    delivery = walk(studio, delivery_id)
    assert (delivery.state, delivery.result["project_id"]) == ("succeeded", project_id)
    assert studio.sandbox.control.bill()["elevenlabs"][KEY]["podcasts"] == 1

"""Audio against the stand-in of ElevenLabs: what a lost answer costs, and what is left on disk and in the ledger."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.db.claims import expire
from tests.mesh import Mesh

KEY = "key-of-acme"
TEXT = "Welcome back."
SPEECH = "/v1/text-to-speech/*"


@pytest.fixture
def spoken(mesh: Mesh) -> Mesh:
    """A mesh with an ElevenLabs account, and a webhook that hears of what is rendered."""
    mesh.account(KEY)
    mesh.hook("/receive/told", event_type="audio.rendered")
    return mesh


def bill(mesh: Mesh) -> Any:
    return mesh.sandbox.control.bill().get("elevenlabs", {}).get(KEY, {"generations": 0, "characters": 0})


def files(mesh: Mesh) -> list[Path]:
    return [path for path in (mesh.settings.mesh_home / "media").rglob("*") if path.is_file()]


def check_rendered_once(mesh: Mesh, delivery_id: Any) -> None:
    """One generation on the bill, one file, one row, one event."""
    delivery = mesh.delivery(delivery_id)
    assert delivery.state == "succeeded"
    assert delivery.unknown_since is None
    assert bill(mesh) == {"generations": 1, "characters": len(TEXT)}
    (row,) = mesh.sql("select * from media_assets")
    (path,) = files(mesh)
    assert path == Path(unquote(urlsplit(row.uri).path))
    content = path.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (row.size_bytes, row.sha256)
    assert content[:3] == b"ID3" or content[0] == 0xFF
    assert (row.delivery_id, row.event_id, row.mime) == (delivery.id, delivery.event_id, "audio/mpeg")
    (event,) = mesh.sql("select * from events where type = 'audio.rendered'")
    assert event.caused_by == delivery.event_id
    assert (event.data["uri"], event.data["source_event_id"]) == (row.uri, str(delivery.event_id))
    mesh.due_now()
    mesh.drain()
    assert mesh.sandbox.control.counts("/receive/told")["requests"] == 1


def test_a_text_becomes_a_file_and_an_event(spoken: Mesh) -> None:
    delivery_id = spoken.speak(TEXT)
    spoken.deliver(delivery_id)
    check_rendered_once(spoken, delivery_id)
    (attempt,) = spoken.attempts(delivery_id)
    assert (attempt.state, attempt.method, attempt.http_status) == ("succeeded", "POST", 200)
    assert attempt.external_id is not None


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"reset": True, "drop": "after"}, {"truncate": True}])
def test_after_a_lost_answer_it_is_looked_up_and_never_paid_twice(spoken: Mesh, fault: Any) -> None:
    spoken.sandbox.control.add_rule(SPEECH, fault, times=1)
    delivery_id = spoken.speak(TEXT)
    spoken.deliver(delivery_id)
    waiting = spoken.delivery(delivery_id)
    assert (waiting.state, waiting.unknown_since is not None) == ("retrying", True)
    assert [a.state for a in spoken.attempts(delivery_id)] == ["lost"]
    assert bill(spoken)["generations"] == 1
    assert files(spoken) == []
    spoken.due_now()
    spoken.holds_over()
    spoken.deliver(delivery_id)
    assert [a.state for a in spoken.attempts(delivery_id)] == ["lost", "succeeded"]
    assert spoken.delivery(delivery_id).result["recovered"] is True
    check_rendered_once(spoken, delivery_id)


def test_a_drop_before_the_work_is_looked_up_and_then_paid_once(spoken: Mesh) -> None:
    spoken.sandbox.control.add_rule(SPEECH, {"drop": "before"}, times=1)
    delivery_id = spoken.speak(TEXT)
    spoken.deliver(delivery_id)
    assert bill(spoken)["generations"] == 0
    spoken.due_now()
    spoken.holds_over()
    spoken.deliver(delivery_id)
    check_rendered_once(spoken, delivery_id)


def test_a_worker_that_died_after_the_call_costs_nothing_either(spoken: Mesh) -> None:
    """The answer came, the worker died before it could settle: its lease ends, the next one finds the audio."""
    first = spoken.speak(TEXT)
    spoken.deliver(first)
    spoken.sql(
        "update deliveries set state = 'running', settled_at = null, attempt_id = mesh_uuid(),"
        " lease_until = now() - interval '1 second', overdue_at = now() - interval '1 minute', result = null"
        " where id = %(id)s",
        id=first,
    )
    spoken.sql("delete from media_assets")
    spoken.sql("delete from deliveries where event_type = 'audio.rendered'")
    spoken.sql("delete from events where type = 'audio.rendered'")
    for path in files(spoken):
        path.unlink()
    assert len(expire(spoken)) == 1
    spoken.deliver(first)
    check_rendered_once(spoken, first)


def test_while_the_history_is_away_nothing_is_paid(spoken: Mesh) -> None:
    spoken.sandbox.control.add_rule(SPEECH, {"drop": "after"}, times=1)
    spoken.sandbox.control.add_rule("/v1/history*", {"status": 500})
    delivery_id = spoken.speak(TEXT)
    spoken.deliver(delivery_id)
    for _ in range(2):
        spoken.due_now()
        spoken.holds_over()
        spoken.deliver(delivery_id)
    assert bill(spoken)["generations"] == 1
    assert spoken.delivery(delivery_id).unknown_since is not None
    spoken.sandbox.control.clear_rules()
    spoken.due_now()
    spoken.holds_over()
    spoken.deliver(delivery_id)
    check_rendered_once(spoken, delivery_id)


def test_a_dead_letter_that_a_person_replays_is_looked_up_too(spoken: Mesh) -> None:
    spoken.sandbox.control.add_rule(SPEECH, {"drop": "after"}, times=1)
    delivery_id = spoken.speak(TEXT)
    spoken.deliver(delivery_id)
    spoken.sql("update deliveries set state = 'failed', due_at = null, settled_at = now()")
    from db.redelivery import redeliver

    with spoken.engine.begin() as connection:
        assert redeliver(connection, delivery_id)
    spoken.deliver(delivery_id)
    check_rendered_once(spoken, delivery_id)


def test_two_tenants_with_the_same_text_pay_each_their_own(spoken: Mesh) -> None:
    spoken.account("key-of-other", tenant="other")
    both = [spoken.speak(TEXT), spoken.speak(TEXT, tenant="other")]
    spoken.deliver(*both)
    assert len(spoken.sandbox.control.bill()["elevenlabs"]) == 2
    owners = {row.tenant_id: row.uri for row in spoken.sql("select tenant_id, uri from media_assets")}
    assert len(set(owners.values())) == 2
    assert all(f"/{tenant}/" in uri for tenant, uri in owners.items())


def test_a_text_that_is_too_long_for_one_file_is_refused_before_it_costs(spoken: Mesh) -> None:
    long = {"text": "x" * 10_001, "output_format": "opus_48000_64"}
    ((_, delivery_id),) = spoken.publish("audio.render_requested", long).deliveries
    spoken.deliver(delivery_id)
    dead = spoken.delivery(delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "not_joinable")
    assert spoken.sandbox.control.counts(SPEECH)["requests"] == 0

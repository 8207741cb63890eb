"""An account in a whole mesh: its webhooks come in by our door, and its voices are known by their names."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from providers.elevenlabs import PROVIDER
from tests.mesh import TENANT, Mesh
from worker import accounts
from worker.syncs import sync_now

KEY = "key-of-acme"
SECRET = "wsec_0123456789abcdef"
REMOVED = {"voice_id": "v_host", "voice_name": "Host"}
WRITTEN = {"request_id": "r1", "transcription": {"language_code": "en", "text": "Welcome back.", "words": []}}


@pytest.fixture
def account(mesh: Mesh) -> UUID:
    """An account that has told its webhook's secret."""
    mesh.tenant()
    fields = {"api_key": KEY, "voice_id": "v_host", "webhook_secret": SECRET}
    with mesh.engine.begin() as connection:
        return accounts.connect(
            connection, mesh.resources.vault, tenant_id=TENANT, provider="elevenlabs", fields=fields, name="main"
        )


def told(mesh: Mesh, doors: str, account: UUID, **message: Any) -> int:
    """What our door answers to a message of theirs."""
    url = f"{doors}/hooks/elevenlabs/{account}"
    given = {"secret": SECRET, "event_timestamp": 1_790_000_000, **message}
    (sent,) = mesh.sandbox.control.do("elevenlabs", "send_webhook", url=url, **given)
    return int(sent["status"])


def test_a_transcript_is_an_event_once(mesh: Mesh, doors: str, account: UUID) -> None:
    for _ in range(2):
        assert told(mesh, doors, account, data=WRITTEN) == 200
    (event,) = mesh.sql("select * from events where type = 'audio.transcribed'")
    assert (event.tenant_id, event.data["text"]) == (TENANT, "Welcome back.")
    assert mesh.count("inbox") == 1


def test_a_voice_that_goes_has_the_voices_read_again(mesh: Mesh, doors: str, account: UUID) -> None:
    assert told(mesh, doors, account, type="voice_removal_notice", data=REMOVED) == 200
    mesh.drain()
    (cursor,) = mesh.sql("select * from sync_cursors where stream = 'voices' and synced_at is not null")
    assert {"id": "v_host", "name": "Host"}.items() <= next(
        voice for voice in cursor.cursor["voices"] if voice["id"] == "v_host"
    ).items()


@pytest.mark.parametrize("wrong", [{"secret": "wsec_other"}, {"signed": False}, {"at": 1_000_000_000}])
def test_what_was_not_signed_by_them_changes_nothing(mesh: Mesh, doors: str, account: UUID, wrong: Any) -> None:
    assert told(mesh, doors, account, data=WRITTEN, **wrong) == 401
    assert mesh.count("events", "type = 'audio.transcribed'") == 0


def test_an_account_without_a_secret_believes_nothing(mesh: Mesh, doors: str) -> None:
    account = mesh.account(KEY)
    assert told(mesh, doors, account, data=WRITTEN) == 401
    assert "No secret is set" in mesh.one("select reason from inbox where verdict = 'refused'")


def test_speakers_are_named_as_the_account_names_its_voices(mesh: Mesh, account: UUID) -> None:
    with mesh.engine.begin() as connection:
        sync_now(connection, account)
    mesh.drain()
    assert mesh.count("sync_cursors", "synced_at is not null") == len(PROVIDER.streams)
    data = {
        "segments": [{"speaker": "Anchor", "text": "Hello."}, {"speaker": "b", "text": "Hi."}],
        "voices": {"b": "critic"},
    }
    ((_, delivery_id),) = mesh.publish("podcast.render_requested", data).deliveries
    mesh.drain()
    assert [segment["voice_id"] for segment in mesh.delivery(delivery_id).result["segments"]] == [
        "v_anchor",
        "v_critic",
    ]
    ((_, unknown),) = mesh.publish("audio.render_requested", {"text": "Hi.", "voice_id": "Hots"}).deliveries
    mesh.drain()
    dead = mesh.delivery(unknown)
    assert (dead.error_code, "close: Host (v_host)" in dead.error_message) == ("voice_unknown", True)

"""Podcasts against the stand-in of ElevenLabs: whatever dies, is refused or gets lost, each piece is paid for once."""

from __future__ import annotations

import json
import signal
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import pytest

from tests.mesh import Mesh, eventually
from tests.servers import Servers
from tests.tasks.workers import START_S, running_worker
from tests.worker.deaths import dies, taken_back
from worker import accounts

KEY = "key-of-acme"
SPEECH = "/v1/text-to-speech/*"
SEGMENTS = [
    {"speaker": "host", "text": "Welcome back to Margin Notes."},
    {"speaker": "guest", "text": "Good to be here."},
    {"speaker": "host", "text": "Ready?"},
    {"speaker": "guest", "text": "Ready."},
    {"speaker": "host", "text": "Ready?"},
]
VOICES = {"host": "v_host", "guest": "v_guest"}
PODCAST = {"title": "Margin Notes 12", "segments": SEGMENTS, "voices": VOICES}
UNDISTURBED = {"generations": 5, "characters": sum(len(each["text"]) for each in SEGMENTS)}
STEPS = len(SEGMENTS) + 2  # then they are joined, and their pieces dropped


@pytest.fixture
def studio(mesh: Mesh) -> Mesh:
    """A mesh with an ElevenLabs account, and a webhook that hears of podcasts."""
    mesh.account(KEY)
    mesh.hook("/receive/told", event_type="podcast.rendered")
    return mesh


def ordered(mesh: Mesh, data: Mapping[str, Any] = PODCAST, event_type: str = "podcast.render_requested") -> UUID:
    ((_, delivery_id),) = mesh.publish(event_type, data).deliveries
    return delivery_id


def bill(mesh: Mesh) -> Any:
    return mesh.sandbox.control.bill().get("elevenlabs", {}).get(KEY, {"generations": 0, "characters": 0})


def files(mesh: Mesh) -> list[Path]:
    return [path for path in (mesh.settings.mesh_home / "media").rglob("*") if path.is_file()]


def made(mesh: Mesh) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = mesh.sandbox.control.do("elevenlabs", "generations", key=KEY)
    return found


def walk(mesh: Mesh, delivery_id: UUID, steps: int = 40) -> None:
    """Deliver step after step until it has ended."""
    for _ in range(steps):
        if mesh.delivery(delivery_id).settled_at:
            return
        mesh.due_now()
        mesh.holds_over()
        mesh.deliver(delivery_id)
    raise AssertionError(f"not at its end after {steps} steps: {mesh.delivery(delivery_id)}")


def check_paid_once(mesh: Mesh, delivery_id: UUID) -> Mapping[str, Any]:
    """The bill of an undisturbed run, one file, one row, one event, no pieces left; what the event says."""
    delivery = mesh.delivery(delivery_id)
    assert (delivery.state, delivery.unknown_since) == ("succeeded", None)
    assert bill(mesh) == UNDISTURBED
    (row,) = mesh.sql("select * from media_assets")
    (path,) = files(mesh)
    assert path == Path(unquote(urlsplit(row.uri).path))
    assert path.stat().st_size == row.size_bytes
    (event,) = mesh.sql("select * from events where type = 'podcast.rendered'")
    said: Mapping[str, Any] = event.data
    assert (said["asset_id"], said["uri"], said["cost"]) == (str(row.id), row.uri, UNDISTURBED["characters"])
    assert len(set(said["request_ids"])) == len(SEGMENTS), "each piece has a recording of its own"
    offsets = [segment["offset_s"] for segment in said["segments"]]
    assert offsets == sorted(offsets)
    last = said["segments"][-1]
    assert said["duration_s"] == pytest.approx(last["offset_s"] + last["duration_s"], abs=0.01)
    mesh.due_now()
    mesh.drain()
    assert mesh.sandbox.control.counts("/receive/told")["requests"] == 1
    return said


def test_segments_become_one_file_and_one_event(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    walk(studio, delivery_id)
    said = check_paid_once(studio, delivery_id)
    attempts = studio.attempts(delivery_id)
    assert len(attempts) == STEPS
    assert [a.cost for a in attempts] == [*(len(each["text"]) for each in SEGMENTS), None, None]
    assert {a.cost_unit for a in attempts} == {"characters", None}
    assert (said["name"], said["mime"]) == ("Margin Notes 12", "audio/mpeg")
    assert [(each["speaker"], each["voice_id"]) for each in said["segments"]] == [
        (each["speaker"], VOICES[each["speaker"]]) for each in SEGMENTS
    ]


def test_each_voice_is_stitched_to_its_own_earlier_requests(studio: Mesh) -> None:
    walk(studio, ordered(studio))
    generations = made(studio)
    ids = [each["request_id"] for each in generations]
    stitched = [each["previous_request_ids"] for each in generations]
    assert stitched == [[], [], [ids[0]], [ids[1]], [ids[0], ids[2]]]


# ------------------------------------------------------------------------------------------------------------ deaths


@pytest.mark.parametrize("points", [("claim",), ("send",), ("answer",), ("claim", "answer", "send", "answer")])
def test_a_death_at_every_step_costs_nothing(studio: Mesh, points: tuple[str, ...]) -> None:
    """Before the call, after it and before its end is stored, and again and again."""
    delivery_id = ordered(studio)
    for step in range(STEPS):
        before = studio.delivery(delivery_id).progress or {}
        assert before.get("done", 0) == min(step, len(SEGMENTS))
        for point in points:
            dies(studio, delivery_id, point)
        studio.due_now()
        studio.holds_over()
        studio.deliver(delivery_id)
    said = check_paid_once(studio, delivery_id)
    assert said.get("recovered", False) is ("answer" in points)
    lost = studio.count("integration_sync_logs", f"delivery_id = '{delivery_id}' and state = 'lost'")
    assert lost == STEPS * len(points)


TWO = {**PODCAST, "segments": SEGMENTS[:2], "pause_ms": 200}
TWO_PAID = {"generations": 2, "characters": sum(len(each["text"]) for each in SEGMENTS[:2])}
POST = "sent POST /v1/text-to-speech/"
DEATHS = [*(["claim", "send", POST, "answer", "settle"] * 2), *(["claim", "send", "answer", "settle"] * 2)]


def test_workers_that_are_killed_at_every_step_and_point_pay_nothing_twice(
    servers: Servers, studio: Mesh, tmp_path: Path
) -> None:
    """SIGKILL of real workers: two pieces, the joining, the end; each as often as there are points to die at."""
    delivery_id = ordered(studio, TWO)
    for number, where in enumerate([*DEATHS, ""]):
        home = tmp_path / f"worker{number}"
        home.mkdir()
        (home / "order").write_text(where or "never")
        more = {"MESH_HOME": str(studio.settings.mesh_home), "MESH_STOP_AT": str(home / "order")}
        with running_worker(servers, studio.sandbox, home, **more) as worker:
            studio.due_now()
            studio.reconcile()
            if number == len(DEATHS):
                eventually(lambda: studio.delivery(delivery_id).settled_at, "the last one ends it", START_S)
            else:
                assert worker.ended() == -signal.SIGKILL, f"{where}: {worker.log[-3000:]}"
        taken_back(studio, delivery_id)
    delivery = studio.delivery(delivery_id)
    assert delivery.state == "succeeded"
    assert bill(studio) == TWO_PAID
    assert len(files(studio)) == studio.count("media_assets") == 1
    assert studio.count("events", "type = 'podcast.rendered'") == 1


# ------------------------------------------------------------------------------------------- lost, refused, blocked


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"truncate": True}, {"drop": "before"}])
@pytest.mark.parametrize("piece", range(len(SEGMENTS)))
def test_a_lost_answer_of_any_piece_is_looked_up(studio: Mesh, fault: Any, piece: int) -> None:
    studio.sandbox.control.add_rule(SPEECH, fault, times=1, skip=piece)
    delivery_id = ordered(studio)
    walk(studio, delivery_id)
    check_paid_once(studio, delivery_id)
    assert [a.state for a in studio.attempts(delivery_id)].count("lost") == 1


def test_a_429_waits_and_goes_on(studio: Mesh) -> None:
    crowded = {"status": 429, "body": '{"detail": {"status": "too_many_concurrent_requests", "message": "Busy."}}'}
    studio.sandbox.control.add_rule(SPEECH, crowded, times=2, skip=2)
    delivery_id = ordered(studio)
    walk(studio, delivery_id)
    check_paid_once(studio, delivery_id)


def test_a_quota_in_the_middle_parks_it_and_a_resume_goes_on_where_it_was(studio: Mesh) -> None:
    first_two = sum(len(each["text"]) for each in SEGMENTS[:2])
    studio.sandbox.control.do("elevenlabs", "set_quota", left=first_two, key=KEY)
    delivery_id = ordered(studio)
    for _ in range(4):
        studio.due_now()
        studio.deliver(delivery_id)
    parked = studio.delivery(delivery_id)
    assert (parked.error_code, parked.settled_at, parked.progress["done"]) == ("account_blocked", None, 2)
    assert studio.one("select state from integrations where provider = 'elevenlabs'") == "blocked"
    (notice,) = studio.sql("select data from events where type = 'integration.attention_needed'")
    assert notice.data["provider"] == "elevenlabs"
    assert bill(studio)["characters"] == first_two

    studio.sandbox.control.do("elevenlabs", "set_quota", left=10_000, key=KEY)
    resume(studio)
    walk(studio, delivery_id)
    check_paid_once(studio, delivery_id)


def resume(mesh: Mesh) -> None:
    integration_id = mesh.one("select id from integrations where provider = 'elevenlabs'")
    with mesh.engine.begin() as connection:
        accounts.resume(connection, integration_id)


def test_ids_that_are_too_old_are_not_insisted_on(studio: Mesh) -> None:
    """The stand-in says that everything is too old; the piece is spoken after its text instead, in the same attempt."""
    delivery_id = ordered(studio)
    for _ in range(2):
        studio.deliver(delivery_id)
        studio.due_now()
    studio.sandbox.control.do("elevenlabs", "expire_request_ids", key=KEY)
    walk(studio, delivery_id)
    check_paid_once(studio, delivery_id)
    assert len(studio.attempts(delivery_id)) == STEPS
    assert made(studio)[2]["previous_request_ids"] == []


def test_a_piece_that_cannot_be_stored_is_looked_up(studio: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(uri: str, content: bytes) -> None:
        raise OSError("disk full")

    delivery_id = ordered(studio)
    studio.deliver(delivery_id)
    studio.due_now()
    with monkeypatch.context() as patch:
        patch.setattr("worker.media._write", full)
        studio.deliver(delivery_id)
    assert studio.delivery(delivery_id).error_code == "media_not_kept"
    walk(studio, delivery_id)
    assert check_paid_once(studio, delivery_id)["recovered"] is True


def test_a_piece_that_is_gone_from_storage_is_fetched_from_the_history(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    for _ in SEGMENTS:
        studio.deliver(delivery_id)
        studio.due_now()
    (gone,) = [path for path in files(studio) if path.name.endswith(".part2")]
    gone.unlink()
    walk(studio, delivery_id)
    check_paid_once(studio, delivery_id)


def test_a_piece_that_is_gone_everywhere_is_a_dead_letter_that_says_so(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    for _ in SEGMENTS:
        studio.deliver(delivery_id)
        studio.due_now()
    for path in files(studio):
        path.unlink()
    studio.sandbox.control.do("elevenlabs", "expire_history", key=KEY)
    walk(studio, delivery_id)
    dead = studio.delivery(delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "piece_lost")
    assert "Piece 1 of 5" in dead.error_message
    assert bill(studio) == UNDISTURBED


def test_what_cannot_be_joined_is_refused_before_it_costs(studio: Mesh) -> None:
    delivery_id = ordered(studio, {**PODCAST, "output_format": "opus_48000_64"})
    studio.deliver(delivery_id)
    dead = studio.delivery(delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "not_joinable")
    assert bill(studio)["generations"] == 0


# ----------------------------------------------------------------------------------------------------- other requests

LONG = " ".join(f"This is sentence number {number} of a long text." for number in range(400))  # two requests
LINES = [
    {"text": f"Line {number} of a long talk. {'So it is. ' * 20}", "voice_id": f"v_{who}"}
    for number in range(6)
    for who in ("host", "guest")
]


def test_a_long_text_is_cut_and_joined(studio: Mesh) -> None:
    delivery_id = ordered(studio, {"text": LONG}, "audio.render_requested")
    walk(studio, delivery_id)
    (event,) = studio.sql("select * from events where type = 'audio.rendered'")
    generations = made(studio)
    assert len(generations) == 2
    assert " ".join(each["text"] for each in generations) == LONG
    assert generations[1]["previous_request_ids"] == [generations[0]["request_id"]]
    assert (event.data["characters"], event.data["duration_s"]) == (
        len(LONG) - 1,
        pytest.approx(0.06 * len(LONG), 0.01),
    )
    assert len(files(studio)) == 1


@pytest.mark.parametrize("fault", [None, {"drop": "after"}])
def test_a_long_dialogue_is_stitched_and_joined(studio: Mesh, fault: Any) -> None:
    if fault:
        studio.sandbox.control.add_rule("/v1/text-to-dialogue", fault, times=1, skip=1)
    delivery_id = ordered(studio, {"inputs": LINES, "timestamps": False}, "dialogue.render_requested")
    walk(studio, delivery_id)
    assert studio.delivery(delivery_id).state == "succeeded"
    generations = made(studio)
    assert len(generations) == 2
    assert "".join(each["text"] for each in generations) == "".join(line["text"] for line in LINES)
    assert generations[1]["previous_request_ids"] == [generations[0]["request_id"]]
    assert len(files(studio)) == 1


def test_a_death_at_every_step_of_a_dialogue_costs_nothing(studio: Mesh) -> None:
    delivery_id = ordered(studio, {"inputs": LINES}, "dialogue.render_requested")
    for _ in range(4):
        dies(studio, delivery_id, "answer")
        studio.due_now()
        studio.holds_over()
        studio.deliver(delivery_id)
    assert studio.delivery(delivery_id).state == "succeeded"
    assert bill(studio) == {"generations": 2, "characters": sum(len(line["text"]) for line in LINES)}


@pytest.mark.parametrize("output_format", ["pcm_16000", "wav_22050", "ulaw_8000", "alaw_8000", "mp3_22050_32"])
def test_every_format_is_joined_lost_answers_or_not(studio: Mesh, output_format: str) -> None:
    studio.sandbox.control.add_rule(SPEECH, {"drop": "after"}, times=1, skip=1)
    delivery_id = ordered(studio, {**PODCAST, "output_format": output_format, "pause_ms": 100})
    walk(studio, delivery_id)
    check_paid_once(studio, delivery_id)
    if output_format[:3] in ("pcm", "wav"):
        (path,) = files(studio)
        with wave.open(str(path)) as played:
            seconds = played.getnframes() / played.getframerate()
        assert seconds == pytest.approx(studio.delivery(delivery_id).result["duration_s"], abs=0.001)


@pytest.mark.parametrize("lost", [False, True])
def test_times_are_kept_beside_a_long_file(studio: Mesh, lost: bool) -> None:
    if lost:
        studio.sandbox.control.add_rule(SPEECH, {"drop": "after"}, times=1)
    delivery_id = ordered(studio, {"text": LONG, "timestamps": True}, "audio.render_requested")
    walk(studio, delivery_id)
    (times,) = [path for path in files(studio) if path.suffix == ".json"]
    aligned = json.loads(times.read_text())["alignment"]
    assert "".join(aligned["characters"]) == "".join(each["text"] for each in made(studio))
    starts = aligned["character_start_times_seconds"]
    assert starts == sorted(starts)
    assert studio.count("media_assets", "mime = 'application/json'") == 1

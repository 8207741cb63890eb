"""Videos against the stand-in of VectCut: whatever dies, gets lost or is forgotten, one is rendered and paid once."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

import pytest
import uvicorn

from api.app import create
from api.parts import parts
from db.redelivery import redeliver
from providers.capcut.lengths import of_mp4
from sandbox.process import Sandbox
from settings import Settings
from tests.conftest import empty
from tests.mesh import TENANT, Mesh, eventually
from tests.servers import Servers
from tests.tasks.workers import START_S, running_worker
from tests.worker.deaths import dies, step, taken_back, walk
from worker import accounts, chain_setup

KEY = "vc_key_of_acme"
CLOUD = "/cut_jianying"
TEXT = "Clicks rose by a fifth this week, and each cost you less than before."
STEPS = ("create_draft", "add_audio", "add_text", "modify_draft", "save_draft", "query_draft_status", "generate_video")
LOOKS = 3  # until a render is done, where nothing else was said
RENDERED = 1 + len(STEPS) + LOOKS  # attempts of an undisturbed delivery, and one more that nobody needs


class Doors:
    """The HTTP doors of the mesh in this process: where the service fetches media."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @contextmanager
    def open(self, settings: Settings) -> Iterator[None]:
        server = uvicorn.Server(uvicorn.Config(create(parts(settings)), log_level="error", access_log=False))
        thread = threading.Thread(target=server.run, args=([self._socket],), daemon=True)
        thread.start()
        eventually(lambda: server.started, "the doors are open")
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def mesh(servers: Servers, mesh_settings: Settings, sandbox: Sandbox) -> Iterator[Mesh]:
    """A mesh whose installation speaks to the cloud of VectCut, and whose files may be fetched."""
    doors = Doors()
    settings = mesh_settings.model_copy(
        update={"capcut_base_url": sandbox.url + CLOUD, "mesh_hooks_url": doors.url, "mesh_public_url": doors.url}
    )
    empty(servers)
    mesh = Mesh(settings, sandbox)
    with doors.open(settings):
        yield mesh
    mesh.close()


@pytest.fixture
def studio(mesh: Mesh) -> Mesh:
    """The same with a voice, an account at the service, and a webhook that hears of videos."""
    mesh.account("key-of-acme")
    connected(mesh)
    mesh.hook("/receive/told", event_type="video.rendered")
    return mesh


def connected(mesh: Mesh, key: str = KEY) -> UUID:
    mesh.tenant()
    with mesh.engine.begin() as connection:
        return accounts.connect(
            connection,
            mesh.resources.vault,
            tenant_id=TENANT,
            provider="capcut",
            fields={"api_key": key},
            name="main",
            base_url=mesh.sandbox.url,
        )


def voice(mesh: Mesh) -> str:
    """The id of a recording that another delivery has left."""
    walk(mesh, mesh.speak(TEXT))
    (row,) = mesh.sql("select id from media_assets where mime like 'audio/%%'")
    return str(row.id)


def ordered(mesh: Mesh, **data: Any) -> UUID:
    """A video of a voice and a title."""
    given = {"name": "weekly", "audio_asset_id": voice(mesh), "title": "Your week", "resolution": "480P", **data}
    ((_, delivery_id),) = mesh.publish("video.render_requested", given).deliveries
    return delivery_id


def do(mesh: Mesh, action: str, **arguments: Any) -> Any:
    return mesh.sandbox.control.do("capcut", action, **arguments)


def renders(mesh: Mesh) -> int:
    bill = mesh.sandbox.control.bill().get("capcut", {})
    return int(bill.get(KEY, {"renders": 0})["renders"])


def walk_to(mesh: Mesh, delivery_id: UUID, name: str) -> Any:
    """Until the next step is this one."""
    for _ in range(30):
        delivery = mesh.delivery(delivery_id)
        if (delivery.progress or {}).get("step") == name:
            return delivery
        step(mesh, delivery_id)
    raise AssertionError(f"it never gets to {name}")


def check_rendered_once(mesh: Mesh, delivery_id: UUID) -> Mapping[str, Any]:
    """One render on the bill, one file, one row, one event; what the event says."""
    delivery = mesh.delivery(delivery_id)
    assert (delivery.state, delivery.unknown_since) == ("succeeded", None)
    assert renders(mesh) == 1
    (row,) = mesh.sql("select * from media_assets where provider = 'capcut'")
    content = Path(unquote(urlsplit(row.uri).path)).read_bytes()
    assert (row.mime, row.size_bytes, row.delivery_id) == ("video/mp4", len(content), delivery_id)
    (event,) = mesh.sql("select * from events where type = 'video.rendered'")
    said: Mapping[str, Any] = event.data
    assert (said["asset_id"], said["uri"], said["task_id"]) == (str(row.id), row.uri, delivery.external_id)
    assert said["duration_s"] == pytest.approx(of_mp4(content), abs=0.001)
    mesh.due_now()
    mesh.drain()
    assert mesh.sandbox.control.counts("/receive/told")["requests"] == 1
    return said


# ------------------------------------------------------------------------------------------------------- the main road


def test_a_voice_and_a_title_become_a_video_of_that_length(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    walk(studio, delivery_id)
    said = check_rendered_once(studio, delivery_id)
    (spoken,) = studio.sql("select details from media_assets where provider = 'elevenlabs'")
    (draft,) = do(studio, "list_drafts")
    audio, title = draft["segments"]
    assert (audio["track"], title["track"], draft["name"]) == ("voice", "title", "weekly")
    assert said["duration_s"] == pytest.approx(audio["end"], abs=0.05)
    assert audio["end"] == title["end"] > 1
    assert spoken.details.get("duration_s", audio["end"]) == pytest.approx(audio["end"], abs=0.01)
    # The service has fetched the voice by its link, once when the draft was saved and once for the render.
    assert audio["url"].startswith(f"{studio.settings.hooks_url}/media/")
    attempts = studio.attempts(delivery_id)
    assert [urlsplit(a.url).path.rpartition("/")[2] for a in attempts[: len(STEPS)]] == list(STEPS)
    assert [(a.cost, a.cost_unit) for a in attempts if a.cost] == [(1, "renders")]
    assert {a.state for a in attempts} == {"succeeded"}


def test_no_row_holds_a_credential(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    do(studio, "set_renders", link_life_s=0)
    for _ in range(12):
        step(studio, delivery_id)
    do(studio, "set_renders")
    told = "\n".join(
        row[0]
        for table in ("integration_sync_logs", "deliveries")
        for row in studio.sql(f"select row_to_json(t)::text from {table} t")
    )
    (draft,) = do(studio, "list_drafts")
    token = urlsplit(draft["segments"][0]["url"]).query.removeprefix("token=")
    assert len(token) > 20
    for secret in (token, unquote(token), KEY, "Signature="):
        assert secret not in told, secret


def test_a_chain_from_words_to_a_video(studio: Mesh) -> None:
    definition = {
        "name": "weekly video",
        "steps": [
            {
                "on": "report.generated",
                "do": "audio.render_requested",
                "integration": "elevenlabs",
                "data": {"text": "{{summary}}", "name": "{{title}}"},
            },
            {
                "on": "audio.rendered",
                "do": "video.render_requested",
                "integration": "capcut",
                "data": {
                    "name": "{{name}}",
                    "audio_asset_id": "{{asset_id}}",
                    "title": "{{report.generated:title}}",
                    "template": [
                        {"op": "add_effect", "params": {"effect_type": "Betamax", "start": 0, "end": "${duration_s}"}}
                    ],
                },
            },
        ],
    }
    with studio.engine.begin() as connection:
        chain_setup.apply(connection, TENANT, definition)
    report = {"report_id": "r1", "kind": "weekly", "title": "March in numbers", "summary": TEXT}
    studio.publish("report.generated", report)
    for _ in range(20):
        studio.due_now()
        studio.drain()
    (event,) = studio.sql("select * from events where type = 'video.rendered'")
    assert event.data["name"] == "March in numbers"
    kinds = [each["kind"] for each in do(studio, "list_drafts")[0]["segments"]]
    assert kinds == ["effect", "audio", "text"]
    assert renders(studio) == 1


# ------------------------------------------------------------------------------------------------------------- deaths


def test_a_death_after_every_step_but_the_paid_one_changes_nothing(studio: Mesh) -> None:
    """The answer came, the worker died before it was stored; where that was the draft's, it is built anew."""
    delivery_id = ordered(studio)
    deaths: list[str] = []
    for _ in range(60):
        delivery = studio.delivery(delivery_id)
        if delivery.settled_at:
            break
        progress = delivery.progress or {}
        here = f"{progress.get('step', 'look')}:{progress.get('at', 0)}:{bool(progress.get('draft_id'))}"
        if here not in deaths and progress.get("step") != "render":
            deaths.append(here)
            dies(studio, delivery_id, "answer")
        step(studio, delivery_id)
    check_rendered_once(studio, delivery_id)
    assert {each.partition(":")[0] for each in deaths} == {"look", "build", "name", "save", "saved", "poll"}


@pytest.mark.parametrize("point", ["answer", "send"])
def test_a_death_around_the_paid_call_is_a_dead_letter_and_never_a_second_render(studio: Mesh, point: str) -> None:
    delivery_id = ordered(studio)
    walk_to(studio, delivery_id, "render")
    dies(studio, delivery_id, point)
    dead = step(studio, delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "outcome_unknown")
    assert "check it by hand" in dead.error_message
    assert renders(studio) == (1 if point == "answer" else 0)


DEATHS = ["claim", "send", "sent POST", "answer", "settle"]


def test_workers_that_are_killed_at_every_point_render_once(servers: Servers, studio: Mesh, tmp_path: Path) -> None:
    """SIGKILL of real workers while the draft is built and while the render is waited for, not at the paid call."""
    delivery_id = ordered(studio)
    for name in ("build", "save", "poll"):
        walk_to(studio, delivery_id, name)
        for number, where in enumerate(DEATHS):
            killed(servers, studio, tmp_path / f"{name}{number}", where, delivery_id)
    walk(studio, delivery_id)
    check_rendered_once(studio, delivery_id)


def killed(servers: Servers, mesh: Mesh, home: Path, where: str, delivery_id: UUID) -> None:
    home.mkdir()
    (home / "order").write_text(where)
    settings = {
        "MESH_HOME": str(mesh.settings.mesh_home),
        "MESH_STOP_AT": str(home / "order"),
        "CAPCUT_BASE_URL": mesh.settings.capcut_base_url,
        "MESH_HOOKS_URL": mesh.settings.hooks_url,
    }
    with running_worker(servers, mesh.sandbox, home, **settings) as worker:
        mesh.due_now(delivery_id)
        mesh.reconcile()
        eventually(lambda: worker.process.poll() is not None, f"it is killed at {where}", START_S)
        assert worker.ended() == -signal.SIGKILL, f"{where}: {worker.log[-3000:]}"
    taken_back(mesh, delivery_id)


# ------------------------------------------------------------------------------------------------------- lost answers


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"truncate": True}, {"drop": "before"}])
@pytest.mark.parametrize("path", [each for each in STEPS if each != "generate_video"] + ["task_status"])
def test_a_lost_answer_of_any_unpaid_step_ends_in_one_render(studio: Mesh, path: str, fault: Any) -> None:
    delivery_id = ordered(studio)
    studio.sandbox.control.add_rule(f"{CLOUD}/{path}", fault, times=1)
    walk(studio, delivery_id)
    check_rendered_once(studio, delivery_id)
    newest = do(studio, "list_drafts")[-1]
    assert [each["kind"] for each in newest["segments"]] == ["audio", "text"], "nothing is in it twice"
    assert [a.state for a in studio.attempts(delivery_id)].count("lost") == 1


@pytest.mark.parametrize(
    "fault", [{"drop": "after"}, {"truncate": True}, {"reset": True, "drop": "after"}, "500-after"]
)
def test_a_lost_answer_of_the_paid_call_is_a_dead_letter_that_says_so(studio: Mesh, fault: Any) -> None:
    delivery_id = ordered(studio)
    studio.sandbox.control.add_rule(f"{CLOUD}/generate_video", fault, times=1)
    dead = walk(studio, delivery_id)
    assert (dead.state, dead.unknown_since is not None) == ("failed", True)
    assert "may have been begun, and billed" in dead.error_message
    assert renders(studio) == 1
    for _ in range(3):
        step(studio, delivery_id)
        studio.reconcile()
    assert (studio.delivery(delivery_id).state, renders(studio)) == ("failed", 1), "it stays so by itself"
    with studio.engine.begin() as connection:
        assert redeliver(connection, delivery_id)
    assert walk(studio, delivery_id).state == "succeeded"
    assert renders(studio) == 2, "a person had it tried again"


def test_a_refusal_of_the_paid_call_is_not_unknown(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    studio.sandbox.control.add_rule(f"{CLOUD}/generate_video", "capcut:rate_limited", times=2)
    walk(studio, delivery_id)
    check_rendered_once(studio, delivery_id)


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"truncate": True}, {"status": 503}, {"status": 403}])
def test_a_download_that_failed_is_made_again(studio: Mesh, fault: Any) -> None:
    delivery_id = ordered(studio)
    studio.sandbox.control.add_rule("/capcut/renders/*", fault, times=2)
    walk(studio, delivery_id)
    check_rendered_once(studio, delivery_id)


def test_a_video_that_is_too_large_is_left_where_it_is(studio: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery_id = ordered(studio)
    monkeypatch.setattr("providers.capcut.renders.MAX_VIDEO_BYTES", 1024)
    dead = walk(studio, delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "video_too_large")


def test_an_expired_link_is_asked_for_again(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    do(studio, "set_renders", polls=0, link_life_s=0)
    walk_to(studio, delivery_id, "poll")
    waits = step(studio, delivery_id)
    assert (waits.state, waits.error_code) == ("retrying", "video_not_fetched")
    do(studio, "set_renders", polls=0)
    walk(studio, delivery_id)
    check_rendered_once(studio, delivery_id)


# ------------------------------------------------------------------------------------------ forgotten, failed, refused


@pytest.mark.parametrize("name", ["build", "name", "save", "saved", "render"])
def test_drafts_that_are_forgotten_are_built_anew(studio: Mesh, name: str) -> None:
    delivery_id = ordered(studio)
    walk_to(studio, delivery_id, name)
    step(studio, delivery_id) if name == "build" else None
    do(studio, "forget_drafts")
    walk(studio, delivery_id)
    check_rendered_once(studio, delivery_id)
    (draft,) = [each for each in do(studio, "list_drafts") if len(each["segments"]) > 1]
    assert [each["kind"] for each in draft["segments"]] == ["audio", "text"]


def test_a_failed_render_says_what_the_service_said(studio: Mesh) -> None:
    do(studio, "fail_next_render", error="The font licence has ended")
    dead = walk(studio, ordered(studio))
    assert (dead.state, dead.error_code) == ("failed", "render_failed")
    assert dead.error_message.endswith("failed: The font licence has ended.")


def test_media_that_the_service_cannot_fetch_is_named_without_its_token(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    walk_to(studio, delivery_id, "render")
    studio.sql("update media_assets set uri = uri || '.gone' where provider = 'elevenlabs'")
    dead = walk(studio, delivery_id)
    assert dead.error_code == "render_failed"
    assert f"Failed to download {studio.settings.hooks_url}/media/" in dead.error_message
    assert "token=****" in dead.error_message


def test_credits_that_have_run_out_park_the_account_and_a_resume_goes_on(studio: Mesh) -> None:
    delivery_id = ordered(studio)
    walk_to(studio, delivery_id, "render")
    studio.sandbox.control.add_rule(f"{CLOUD}/generate_video", "capcut:no_credits", times=1)
    parked = step(studio, delivery_id)
    assert (parked.error_code, parked.settled_at) == ("account_blocked", None)
    integration_id = studio.one("select id from integrations where provider = 'capcut'")
    assert studio.one("select state from integrations where provider = 'capcut'") == "blocked"
    assert renders(studio) == 0
    with studio.engine.begin() as connection:
        accounts.resume(connection, integration_id)
    walk(studio, delivery_id)
    check_rendered_once(studio, delivery_id)


def test_without_an_address_nothing_is_sent(servers: Servers, mesh_settings: Settings, sandbox: Sandbox) -> None:
    empty(servers)
    mesh = Mesh(mesh_settings.model_copy(update={"capcut_base_url": ""}), sandbox)
    connected(mesh)
    ((_, delivery_id),) = mesh.publish("video.render_requested", {"title": "x"}).deliveries
    mesh.deliver(delivery_id)
    assert mesh.delivery(delivery_id).error_code == "base_url_missing"
    assert "CAPCUT_BASE_URL is not set" in mesh.delivery(delivery_id).error_message
    mesh.close()


def test_a_render_that_takes_too_long_is_found_by_a_replay(studio: Mesh) -> None:
    do(studio, "set_renders", polls=50)
    delivery_id = ordered(studio, render_within_s=60)
    walk_to(studio, delivery_id, "poll")
    long_ago = """'"2026-01-01T00:00:00+00:00"'::jsonb"""
    studio.sql(f"update deliveries set progress = jsonb_set(progress, '{{asked_at}}', {long_ago})")
    dead = step(studio, delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "render_too_slow")
    do(studio, "set_renders")
    for _ in range(52):  # each replay is one look
        with studio.engine.begin() as connection:
            redeliver(connection, delivery_id)
        if step(studio, delivery_id).state == "succeeded":
            break
    check_rendered_once(studio, delivery_id)

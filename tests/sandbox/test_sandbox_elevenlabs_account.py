"""The rest of ElevenLabs' stand-in: dubbing, transcripts, webhooks, downloads, usage; errors by name."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from sandbox.control import SandboxRefused
from sandbox.elevenlabs.errors import FAULTS
from sandbox.elevenlabs.webhooks import signature
from sandbox.process import Sandbox, start
from tests.sandbox.elevenlabs_judge import FOLDER, KEY, NEEDS_FOLDER, TEXT, ask, check, client_of, document, refusal
from tests.sandbox.meta import Callback, callback

SECRET = "wsec_0123456789abcdef"
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def client(sandbox: Sandbox) -> Any:
    return client_of(sandbox)


@pytest.fixture
def heard() -> Iterator[Callback]:
    with callback() as running:
        yield running


def speak(client: Any, text: str = TEXT) -> None:
    assert b"".join(client.text_to_speech.convert("v_host", text=text))


def do(sandbox: Sandbox, action: str, **arguments: Any) -> Any:
    return sandbox.control.do("elevenlabs", action, **arguments)


def subscribe(client: Any, url: str) -> Any:
    settings = {"auth_type": "hmac", "name": "podcast", "webhook_url": url}
    return client.webhooks.create(settings=settings)


# ------------------------------------------------------------------------------------------------------------- dubbing


def test_a_dub_takes_some_looks(sandbox: Sandbox, client: Any) -> None:
    made = client.dubbing.create(file=("ep.mp3", bytes(32_000), "audio/mpeg"), target_lang="de", name="Episode")
    assert made.expected_duration_sec == 2
    status, detail = refusal(client.dubbing.audio.get, made.dubbing_id, "de")
    assert (status, detail["status"]) == (425, "too_early")
    assert [client.dubbing.get(made.dubbing_id).status for _ in range(3)] == ["dubbing", "dubbing", "dubbed"]
    assert b"".join(client.dubbing.audio.get(made.dubbing_id, "de")).startswith(b"\xff\xfb")
    assert refusal(client.dubbing.audio.get, made.dubbing_id, "fr")[1]["code"] == "dubbing_not_found"
    assert sandbox.control.bill()["elevenlabs"][KEY] == {"characters": 0, "generations": 0, "dubs": 1}
    assert client.dubbing.delete(made.dubbing_id).status == "ok"
    assert refusal(client.dubbing.get, made.dubbing_id)[0] == 404


def test_a_dub_may_fail(sandbox: Sandbox, client: Any) -> None:
    do(sandbox, "set_dubs", polls=0, outcome="failed")
    made = client.dubbing.create(source_url="https://example.org/ep.mp4", target_lang="de")
    found = client.dubbing.get(made.dubbing_id)
    assert (found.status, bool(found.error)) == ("failed", True)
    assert refusal(client.dubbing.audio.get, made.dubbing_id, "de")[0] == 404
    assert refusal(client.dubbing.create, target_lang="de")[1]["code"] == "invalid_parameters"
    with pytest.raises(SandboxRefused, match="dubbed, failed"):
        do(sandbox, "set_dubs", outcome="lost")


def test_dubs_are_listed_newest_first(sandbox: Sandbox, client: Any) -> None:
    for n in range(3):
        client.dubbing.create(source_url="https://example.org", target_lang="de", name=f"Episode {n}")
    first = client.dubbing.list(page_size=2)
    second = client.dubbing.list(page_size=2, cursor=first.next_cursor)
    assert [one.name for one in first.dubs + second.dubs] == ["Episode 2", "Episode 1", "Episode 0"]
    assert (first.has_more, second.has_more) == (True, False)
    assert client.dubbing.list(dubbing_status="dubbed").dubs == []


# --------------------------------------------------------------------------------------------------------- transcripts


def test_a_transcript_at_once(sandbox: Sandbox, client: Any) -> None:
    said = client.speech_to_text.convert(model_id="scribe_v1", file=("ep.mp3", b"ID3", "audio/mpeg"), diarize=True)
    assert said.text == "".join(word.text for word in said.words)
    assert client.speech_to_text.transcripts.get(said.transcription_id).text == said.text
    client.speech_to_text.transcripts.delete(said.transcription_id)
    assert refusal(client.speech_to_text.transcripts.get, said.transcription_id)[0] == 404
    assert sandbox.control.bill()["elevenlabs"][KEY]["transcriptions"] == 1
    wrong = client.speech_to_text.convert
    assert refusal(wrong, model_id="scribe_v0", file=b"ID3")[1]["code"] == "unsupported_model"
    assert refusal(wrong, model_id="scribe_v1")[1]["code"] == "invalid_parameters"


def test_a_transcript_by_webhook(sandbox: Sandbox, client: Any, heard: Callback) -> None:
    secret = subscribe(client, heard.url).webhook_secret
    given = {"model_id": "scribe_v2", "file": ("ep.mp3", b"ID3", "audio/mpeg"), "webhook": True}
    begun = client.speech_to_text.convert(**given, webhook_metadata={"episode": "e1"})
    assert refusal(client.speech_to_text.transcripts.get, begun.transcription_id)[0] == 404
    (sent,) = do(sandbox, "finish_transcription", key=KEY, transcription_id=begun.transcription_id)
    ((headers, body),) = heard.posted
    said = client.webhooks.construct_event(body.decode(), headers["elevenlabs-signature"], secret)
    assert said["type"] == "speech_to_text_transcription"
    assert said["data"]["request_id"] == begun.request_id
    assert said["data"]["webhook_metadata"] == {"episode": "e1"}
    assert (sent["status"], sent["answer"]) == (200, "thanks")
    assert client.speech_to_text.transcripts.get(begun.transcription_id).text == said["data"]["transcription"]["text"]


def test_a_transcript_by_webhook_needs_one(client: Any) -> None:
    given = {"model_id": "scribe_v1", "file": b"ID3", "webhook": True}
    assert refusal(client.speech_to_text.convert, **given)[1]["param"] == "webhook"


# ------------------------------------------------------------------------------------------------------------ webhooks


def test_webhooks_are_made_changed_and_deleted(sandbox: Sandbox, client: Any, heard: Callback) -> None:
    made = subscribe(client, heard.url)
    (shown,) = client.webhooks.list().webhooks
    assert (shown.webhook_id, shown.webhook_url, shown.is_disabled) == (made.webhook_id, heard.url, False)
    assert made.webhook_secret not in str(ask(sandbox, "GET", "/v1/workspace/webhooks"))
    client.webhooks.update(made.webhook_id, is_disabled=True, name="off", events=["speech_to_text"])
    (shown,) = client.webhooks.list().webhooks
    assert (shown.name, shown.is_disabled, shown.events) == ("off", True, ["speech_to_text"])
    with pytest.raises(SandboxRefused, match="no such webhook"):
        do(sandbox, "send_webhook", key=KEY)
    client.webhooks.delete(made.webhook_id)
    assert client.webhooks.list().webhooks == []
    assert refusal(client.webhooks.delete, made.webhook_id)[0] == 400
    assert heard.posted == []


def test_the_same_message_twice_is_the_same_to_the_byte(sandbox: Sandbox, client: Any, heard: Callback) -> None:
    secret = subscribe(client, heard.url).webhook_secret
    given = {"data": {"voice_id": "v1"}, "type": "voice_removal_notice", "event_timestamp": 1_790_000_000}
    for _ in range(2):
        do(sandbox, "send_webhook", key=KEY, **given)
    (first, body), (second, again) = heard.posted
    assert body == again
    for headers in (first, second):
        assert client.webhooks.construct_event(body.decode(), headers["elevenlabs-signature"], secret) == json.loads(
            body
        )


def test_wrong_and_missing_signatures(sandbox: Sandbox, client: Any, heard: Callback) -> None:
    from elevenlabs.errors import BadRequestError

    secret = subscribe(client, heard.url).webhook_secret
    do(sandbox, "send_webhook", key=KEY, secret="wsec_other")
    do(sandbox, "send_webhook", key=KEY, at=1_700_000_000)
    do(sandbox, "send_webhook", key=KEY, signed=False)
    for headers, body in heard.posted:
        with pytest.raises(BadRequestError):
            client.webhooks.construct_event(body.decode(), headers.get("elevenlabs-signature", ""), secret)


def test_a_message_nobody_answers_is_noted(sandbox: Sandbox, client: Any) -> None:
    subscribe(client, "http://127.0.0.1:1/")
    (sent,) = do(sandbox, "send_webhook", key=KEY)
    assert sent["status"] == 0
    assert client.webhooks.list().webhooks[0].most_recent_failure_error_code == 0
    with pytest.raises(SandboxRefused, match="say whose"):
        do(sandbox, "send_webhook")


@NEEDS_FOLDER
def test_signatures_are_those_of_the_vectors(sandbox: Sandbox, heard: Callback) -> None:
    vectors = document("webhook-vectors.json")
    signed = [one for one in vectors["vectors"] if one["header"].startswith("t=1790000000,v0=") and one["valid"]]
    assert len(signed) == 3
    for one in signed:
        do(
            sandbox,
            "send_webhook",
            url=heard.url,
            secret=vectors["secret"],
            at=1_790_000_000,
            body=one["body"],
        )
        headers, body = heard.posted[-1]
        assert (headers["elevenlabs-signature"], body) == (one["header"], one["body"].encode())


def test_a_signature_counts_time_and_bytes() -> None:
    assert signature(SECRET, 1_790_000_000, b"{}") != signature(SECRET, 1_790_000_001, b"{}")
    assert signature(SECRET, 1_790_000_000, b"{}") != signature(SECRET, 1_790_000_000, b"{ }")
    assert signature(SECRET, 1_790_000_000, b"{}").startswith("t=1790000000,v0=")


# --------------------------------------------------------------------------------------------------- history and usage


def test_one_download_is_sound_and_several_are_a_zip(client: Any) -> None:
    for n in range(2):
        speak(client, f"Part {n}.")
    ids = [one.history_item_id for one in client.history.list().history]
    one = b"".join(client.history.download(history_item_ids=ids[:1]))
    assert one == b"".join(client.history.get_audio(ids[0]))
    assert b"".join(client.history.download(history_item_ids=ids[:1], output_format="wav")).startswith(b"RIFF")
    with zipfile.ZipFile(io.BytesIO(b"".join(client.history.download(history_item_ids=ids)))) as archive:
        assert archive.namelist() == [f"{item_id}.mp3" for item_id in ids]
        assert archive.read(f"{ids[0]}.mp3") == one


@pytest.mark.parametrize("given", [{"history_item_ids": []}, {"history_item_ids": ["x"], "output_format": "flac"}])
def test_a_refused_download_is_flat(sandbox: Sandbox, given: dict[str, Any]) -> None:
    with pytest.raises(HTTPError) as raised:
        ask(sandbox, "POST", "/v1/history/download", json.dumps(given).encode())
    with raised.value as answer:
        assert set(json.load(answer)) == {"error", "message"}


def test_history_grows_old(sandbox: Sandbox, client: Any) -> None:
    for n in range(3):
        speak(client, f"Part {n}.")
    assert do(sandbox, "expire_history", key=KEY, keep=1) == 2
    assert [one.text for one in client.history.list().history] == ["Part 2."]
    assert do(sandbox, "expire_history") == 1
    assert sandbox.control.bill()["elevenlabs"][KEY]["generations"] == 3


def test_usage_is_asked_for_in_milliseconds(client: Any) -> None:
    speak(client)
    (item,) = client.history.list().history
    day = item.date_unix * 1000 // DAY_MS * DAY_MS
    said = client.usage.get(start_unix=day - DAY_MS, end_unix=day + 1)
    assert (said.time, said.usage) == ([day - DAY_MS, day], {"All": [0, len(TEXT)]})
    assert refusal(client.usage.get, start_unix=day, end_unix=day - DAY_MS)[0] == 400


def test_podcasts_are_for_those_that_sales_let_in(client: Any) -> None:
    mode = {"type": "bulletin", "bulletin": {"host_voice_id": "v_host"}}
    create = client.studio.create_podcast
    got, detail = refusal(create, model_id="eleven_v3", mode=mode, source={"type": "text", "text": "Body."})
    assert (got, detail["code"]) == (403, "feature_not_available")


@pytest.mark.parametrize("outcome", ["success", "error"])
def test_who_was_let_in_makes_podcasts_that_take_some_looks(sandbox: Sandbox, client: Any, outcome: str) -> None:
    sandbox.control.do("elevenlabs", "set_studio", polls=1, outcome=outcome, key=KEY)
    mode = {"type": "conversation", "conversation": {"host_voice_id": "v_host", "guest_voice_id": "v_guest"}}
    source = [{"type": "text", "text": "Body."}, {"type": "url", "url": "https://example.org"}]
    project_id = client.studio.create_podcast(model_id="eleven_v3", mode=mode, source=source).project.project_id
    assert [one.project_id for one in client.studio.projects.list().projects] == [project_id]
    states = [client.studio.projects.get(project_id).state for _ in range(2)]
    assert states == ["creating", "default"], "whether it failed stands in no state"
    found = client.studio.projects.snapshots.list(project_id).snapshots
    assert len(found) == (1 if outcome == "success" else 0)
    if found:
        stream = client.studio.projects.snapshots.stream
        audio = b"".join(stream(project_id, found[0].project_snapshot_id, convert_to_mpeg=True))
        assert len(audio) == pytest.approx(3 * 16_000, rel=0.05)
        assert refusal(stream, project_id, "snap-x")[0] == 404
    assert sandbox.control.bill()["elevenlabs"][KEY]["podcasts"] == 1


@NEEDS_FOLDER
def test_a_podcast_looks_as_their_client_expects(sandbox: Sandbox) -> None:
    sandbox.control.do("elevenlabs", "set_studio", key=KEY)
    body = {
        "model_id": "eleven_v3",
        "mode": {"type": "bulletin", "bulletin": {"host_voice_id": "v_host"}},
        "source": {"type": "text", "text": "Body."},
    }
    made = ask(sandbox, "POST", "/v1/studio/podcasts", json.dumps(body).encode())["project"]
    check("ProjectResponse", made)
    listed = ask(sandbox, "GET", f"/v1/studio/projects/{made['project_id']}/snapshots")
    check("ProjectSnapshotsResponse", listed)


def test_the_end_of_a_podcast_is_told_to_its_callback(sandbox: Sandbox, client: Any) -> None:
    sandbox.control.do("elevenlabs", "set_studio", polls=9, outcome="error", key=KEY)
    mode = {"type": "bulletin", "bulletin": {"host_voice_id": "v_host"}}
    ask_for = {"model_id": "eleven_v3", "mode": mode, "source": {"type": "text", "text": "Body."}}
    silent = client.studio.create_podcast(**ask_for).project.project_id
    with callback() as heard:
        called = client.studio.create_podcast(**ask_for, callback_url=heard.url).project.project_id
        assert sandbox.control.do("elevenlabs", "finish_podcast", key=KEY, project_id=called) == 200
    assert sandbox.control.do("elevenlabs", "finish_podcast", key=KEY, project_id=called) == 0, "nobody listens"
    ((_, body),) = heard.posted
    told = json.loads(body)
    assert told["type"] == "project_conversion_status"
    assert {name: told["data"][name] for name in ("project_id", "conversion_status", "project_snapshot_id")} == {
        "project_id": called,
        "conversion_status": "error",
        "project_snapshot_id": None,
    }
    assert told["data"]["error_details"]
    for key, project_id in ((KEY, silent), (KEY, "none"), ("unused", called)):
        with pytest.raises(SandboxRefused):
            sandbox.control.do("elevenlabs", "finish_podcast", key=key, project_id=project_id)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": {"type": "conversation", "conversation": {"host_voice_id": "v_host"}}},
        {"mode": {"type": "talk"}},
        {"source": {"type": "text"}},
        {"source": [{"type": "file", "file": "x"}]},
        {"model_id": 5},
    ],
)
def test_a_podcast_of_another_shape_is_refused(sandbox: Sandbox, client: Any, wrong: dict[str, Any]) -> None:
    sandbox.control.do("elevenlabs", "set_studio", key=KEY)
    usual = {
        "model_id": "eleven_v3",
        "mode": {"type": "bulletin", "bulletin": {"host_voice_id": "v_host"}},
        "source": {"type": "text", "text": "Body."},
    }
    assert refusal(client.studio.create_podcast, **{**usual, **wrong})[0] == 422


# -------------------------------------------------------------------------------------------------------------- errors


def failed(sandbox: Sandbox, fault: str) -> tuple[int | None, str | None, bytes]:
    path = f"/fault/elevenlabs:{fault}/v1/text-to-speech/v_host"
    request = Request(sandbox.url + path, b'{"text": "a"}', {"xi-api-key": KEY}, method="POST")
    with pytest.raises(HTTPError) as raised:
        urlopen(request, timeout=5)
    with raised.value as answer:
        return answer.status, answer.headers["Content-Type"], answer.read()


@NEEDS_FOLDER
def test_every_code_of_theirs_is_a_fault_with_its_status(sandbox: Sandbox) -> None:
    listed = document("error-codes.json")
    for one in listed["codes"]:
        status, _, body = failed(sandbox, one["code"])
        detail = json.loads(body)["detail"]
        assert (status, detail["type"], detail["code"]) == (one["http"], one["type"], one["code"])
    for one in listed["legacy_statuses"]:
        if one["status"] in FAULTS and one["status"] not in {code["code"] for code in listed["codes"]}:
            status, _, body = failed(sandbox, one["status"])
            assert status in one["http"]
            assert set(json.loads(body)["detail"]) == {"status", "message"}
    assert {one["status"] for one in listed["legacy_statuses"]} <= set(FAULTS)
    assert sandbox.control.bill() == {}


SHAPES = {
    "new envelope, credits": "insufficient_credits",
    "new envelope, plan": "paid_plan_required",
    "new envelope, concurrency": "concurrent_limit_exceeded",
    "new envelope, missing scope with a differing legacy status": "unauthorized",
    "legacy quota as 401": "quota_exceeded",
    "legacy concurrency": "too_many_concurrent_requests",
    "429 with an unknown body": "unknown_429",
    "FastAPI validation list": "validation_list",
    "detail is a string": "plain_404",
    "history download, flat error": "flat_400",
    "dubbing not ready": "too_early",
}


@NEEDS_FOLDER
def test_errors_have_the_shapes_of_the_samples(sandbox: Sandbox) -> None:
    samples = {one["name"]: one for one in document("error-codes.json")["samples"]}
    for name, fault in SHAPES.items():
        status, _, body = failed(sandbox, fault)
        assert status == samples[name]["http"], name
        assert shape(json.loads(body)) == shape(samples[name]["body"]), name


def shape(body: Any) -> Any:
    """Names and, where it says which error it is, values."""
    detail = body.get("detail", body)
    if not isinstance(detail, dict):
        return type(detail)
    return sorted(detail), {name: detail.get(name) for name in ("type", "code", "status", "error")}


def test_a_proxys_error_is_no_json(sandbox: Sandbox) -> None:
    assert failed(sandbox, "html_503") == (503, "text/html", b"<html>busy</html>")


def test_an_error_after_the_work_is_billed(sandbox: Sandbox) -> None:
    assert failed(sandbox, "service_unavailable_after")[0] == 503
    assert sandbox.control.bill()["elevenlabs"][KEY] == {"characters": 1, "generations": 1}


# -------------------------------------------------------------------------------------------------------------- judges


@NEEDS_FOLDER
def test_answers_validate_against_the_schemas(sandbox: Sandbox, client: Any, heard: Callback) -> None:
    speak(client)
    made = client.dubbing.create(source_url="https://example.org", target_lang="de")
    said = client.speech_to_text.convert(model_id="scribe_v1", file=b"ID3")
    settings = {"settings": {"auth_type": "hmac", "name": "n", "webhook_url": heard.url}}
    hook = ask(sandbox, "POST", "/v1/workspace/webhooks", json.dumps(settings).encode())
    client.webhooks.update(hook["webhook_id"], is_disabled=False, name="n", events=["speech_to_text"])
    item_id = client.history.list().history[0].history_item_id
    answers = {
        "WorkspaceCreateWebhookResponseModel": hook,
        "WorkspaceWebhookListResponseModel": ask(sandbox, "GET", "/v1/workspace/webhooks"),
        "DeleteWorkspaceWebhookResponseModel": ask(sandbox, "DELETE", f"/v1/workspace/webhooks/{hook['webhook_id']}"),
        "DubbingMetadataPageResponseModel": ask(sandbox, "GET", "/v1/dubbing"),
        "DeleteDubbingResponseModel": ask(sandbox, "DELETE", f"/v1/dubbing/{made.dubbing_id}"),
        "SpeechToTextChunkResponseModel": ask(
            sandbox, "GET", f"/v1/speech-to-text/transcripts/{said.transcription_id}"
        ),
        "UsageCharactersResponseModel": ask(sandbox, "GET", "/v1/usage/character-stats?start_unix=0&end_unix=1"),
        "DeleteHistoryItemResponse": ask(sandbox, "DELETE", f"/v1/history/{item_id}"),
    }
    for name, answer in answers.items():
        check(name, answer)


# Of the requests that were recorded from the client: those whose feature the stand-in does not play.
NOT_PLAYED = ("/v1/studio",)


@NEEDS_FOLDER
def test_every_recorded_request_finds_its_door(sandbox: Sandbox) -> None:
    recorded = [json.loads(line) for line in (FOLDER / "sdk-2.78.0-recorded-requests.jsonl").read_text().splitlines()]
    played = [one for one in recorded if not one["path"].startswith(NOT_PLAYED)]
    assert len(played) > 20
    for one in played:
        body = json.dumps(one["json"]).encode() if "json" in one else form_of(one.get("parts"))
        kind = "application/json" if "json" in one else "multipart/form-data; boundary=x"
        path = f"{one['path']}?{urlencode([tuple(pair) for pair in one['query']])}"
        headers = {"xi-api-key": KEY, "Content-Type": kind}
        try:
            with urlopen(Request(sandbox.url + path, body, headers, method=one["method"]), timeout=5) as answer:
                assert answer.status in (200, 202), one["sdk_call"]
        except HTTPError as refused:
            with refused as answer:
                detail = json.load(answer)["detail"]
            # what it asks for is not there; a path or a field that is unknown would say something else
            assert isinstance(detail, dict), (one["sdk_call"], detail)


def form_of(parts: Any) -> bytes | None:
    if parts is None:
        return None
    heads = [
        (f'name="{one["name"]}"' + (f'; filename="{one["filename"]}"' if "filename" in one else ""), one["value"])
        for one in parts
    ]
    written = [f"--x\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n" for head, value in heads]
    return "".join([*written, "--x--\r\n"]).encode()

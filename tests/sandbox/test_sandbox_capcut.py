"""The CapCut stand-in: drafts, renders, files, failures, actions and the bill."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.capcut.envelope import FAULTS
from sandbox.capcut.fields import CLOUD_FIELDS, FIELDS
from sandbox.capcut.mate_errors import MATE_FAULTS
from sandbox.capcut.mate_fields import FIELDS as MATE_FIELDS
from sandbox.capcut.mp4 import video
from sandbox.control import SandboxRefused
from sandbox.process import Sandbox, start
from tests.sandbox.capcut import KEY, Client, boxes, cloud, local, mate

CLIP = "https://cdn.example.org/a.mp4"
VOICE = "https://cdn.example.org/voice.mp3"


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def api(sandbox: Sandbox) -> Client:
    return cloud(sandbox.url)


def do(sandbox: Sandbox, action: str, **arguments: Any) -> Any:
    return sandbox.control.do("capcut", action, **arguments)


def draft_of(api: Client, seconds: float = 4, **fields: Any) -> str:
    """A draft with a clip of so many seconds."""
    draft_id: str = api.post("/create_draft", **fields).output["draft_id"]
    added = api.post("/add_video", draft_id=draft_id, video_url=CLIP, start=0, end=seconds).output
    assert added["draft_id"] == draft_id
    return draft_id


def render(api: Client, draft_id: str, **options: Any) -> list[Any]:
    """All looks at a new render, up to its end."""
    begun = api.post("/generate_video", draft_id=draft_id, **options).output
    assert (begun["success"], begun["error"]) == (True, None)
    looks: list[Any] = []
    while not looks or looks[-1]["status"] not in ("SUCCESS", "FAILURE"):
        looks.append(api.post("/task_status", task_id=begun["task_id"]).output)
        assert looks[-1]["task_id"] == begun["task_id"]
    return looks


def test_a_draft_becomes_a_video(api: Client, sandbox: Sandbox) -> None:
    draft_id = draft_of(api, width=1080, height=1920, name="Sale")
    for path, fields in (
        ("/add_audio", {"audio_url": VOICE, "duration": 3, "volume": 0.8}),
        ("/add_text", {"text": "Autumn sale", "start": 0, "end": 3, "font_size": 9, "track_name": "title"}),
        ("/add_image", {"image_url": "https://cdn.example.org/a.png", "start": 4, "end": 6.5}),
        ("/add_subtitle", {"srt": "1\n00:00:00,000 --> 00:00:02,500\nHello\n", "time_offset": 1}),
        ("/add_sticker", {"sticker_id": "7107529669750066445", "start": 0, "end": 2}),
        ("/add_effect", {"effect_type": "Betamax"}),
        ("/add_video_keyframe", {"property_type": "alpha", "time": 0, "value": "1"}),
    ):
        assert api.post(path, draft_id=draft_id, **fields).output["draft_id"] == draft_id, path
    saved = api.post("/save_draft", draft_id=draft_id).output
    assert saved["success"]
    assert json.loads(api.get(saved["draft_url"]).body)["duration"] == 6_500_000
    idle = api.post("/generate_idle_video", draft_id=draft_id).output["task_id"]
    assert api.post("/task_status", task_id=idle).output["status"] == "PENDING"
    looks = render(api, draft_id, resolution="480P", framerate="30")
    assert [(one["status"], one["success"], one["progress"]) for one in looks] == [
        ("PENDING", False, None),
        ("PROCESSING", False, 40),
        ("SUCCESS", True, 100),
    ]
    answer = api.get(looks[-1]["result"])
    assert (answer.status, answer.mime) == (200, "video/mp4")
    assert described(answer.body) == (480, 853 & ~1, 6.5, 195)
    assert sandbox.control.bill()["capcut"] == {KEY: {"renders": 2, "failed": 0, "seconds": 13.0}}
    kept = do(sandbox, "list_drafts")
    assert [(one["kind"], one["start"], one["end"]) for one in kept[0]["segments"]][:5] == [
        ("video", 0.0, 4.0),
        ("audio", 0.0, 3.0),
        ("text", 0.0, 3.0),
        ("image", 4.0, 6.5),
        ("subtitle", 1.0, 3.5),
    ]


def described(data: bytes) -> tuple[int, int, float, int]:
    """Width, height, seconds and frames of a video, from its boxes; its samples fill its mdat exactly."""
    found = dict(boxes(data))
    assert list(found)[:2] == ["/ftyp", "/moov"]
    scale, length = struct.unpack_from(">II", found["/moov/mvhd"], 12)
    width, height = (side >> 16 for side in struct.unpack_from(">II", found["/moov/trak/tkhd"], 76))
    sizes = found["/moov/trak/mdia/minf/stbl/stsz"]
    _, _, count = struct.unpack_from(">III", sizes)
    (start,) = struct.unpack_from(">I", found["/moov/trak/mdia/minf/stbl/stco"], 8)
    lengths = struct.unpack_from(f">{count}I", sizes, 12)
    assert data[start:] == found["/mdat"]
    assert sum(lengths) == len(found["/mdat"])
    at, kinds, numbers = 0, list[int](), list[int]()
    for size in lengths:  # each sample is one NAL unit behind its length
        assert struct.unpack_from(">I", found["/mdat"], at)[0] == size - 4
        kinds.append(found["/mdat"][at + 4] & 0x1F)
        numbers.append(struct.unpack_from(">H", found["/mdat"], at + 5)[0] >> 5 & 15)  # behind 7 bits of the header
        at += size
    assert kinds == [5] + [1] * (count - 1)  # an IDR picture, then others, whose numbers go round
    assert numbers[1:] == [number % 16 for number in range(1, count)]
    entry = found["/moov/trak/mdia/minf/stbl/stsd"]
    assert struct.unpack_from(">HH", entry, 8 + 8 + 24) == (width, height)
    return width, height, length / scale, count


@pytest.mark.parametrize(("width", "height", "rate", "seconds"), [(1080, 1920, 24, 3.5), (482, 854, 25, 0.0)])
def test_a_video_is_as_long_and_as_large_as_asked(width: int, height: int, rate: int, seconds: float) -> None:
    frames = max(1, round(seconds * rate))
    assert described(video(width, height, rate, seconds)) == (width, height, frames / rate, frames)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="VIDEO NOT DECODED: no ffmpeg on PATH")
def test_a_video_is_decoded_by_another_program(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(video(1080, 1920, 24, 3.5))
    command = ["ffmpeg", "-v", "warning", "-err_detect", "explode", "-i", "a.mp4", "-f", "framemd5", "-"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    assert len([line for line in done.stdout.splitlines() if not line.startswith("#")]) == 84


def test_a_link_expires_and_a_further_look_gives_a_new_one(api: Client, sandbox: Sandbox) -> None:
    looks = render(api, draft_of(api))
    link = looks[-1]["result"]
    do(sandbox, "expire_links")
    assert api.get(link).status == 403
    again = api.post("/task_status", task_id=looks[-1]["task_id"]).output["result"]
    assert (api.get(again).status, api.send("HEAD", again).status) == (200, 200)
    assert api.get(again.replace("Expires=1", "Expires=2")).status == 403
    do(sandbox, "set_renders", link_life_s=0)
    assert api.get(render(api, draft_of(api))[-1]["result"]).status == 403
    do(sandbox, "forget_renders")
    assert api.get(again).status == 404
    assert "not found" in api.post("/task_status", task_id=looks[-1]["task_id"]).error


def test_a_render_fails_as_told(api: Client, sandbox: Sandbox) -> None:
    draft_id = draft_of(api)
    do(sandbox, "set_renders", polls=5)
    do(sandbox, "fail_next_render", error="Export timeout", times=1)
    failed, done = render(api, draft_id), render(api, draft_id)
    stages = ["PENDING", "DOWNLOADING", "PROCESSING", "EXPORTING", "UPLOADING"]
    assert [one["status"] for one in failed] == [*stages, "FAILURE"]
    assert (failed[-1]["success"], failed[-1]["error"], failed[-1]["result"]) == (False, "Export timeout", None)
    assert [one["status"] for one in done] == [*stages, "SUCCESS"]
    do(sandbox, "set_renders", polls=0, outcome="FAILURE")
    assert [one["error"] for one in render(api, draft_id)] == ["Video export failed"]
    assert sandbox.control.bill()["capcut"][KEY] == {"renders": 3, "failed": 2, "seconds": 4.0}


def test_a_draft_that_is_lost_becomes_another_one(api: Client, sandbox: Sandbox) -> None:
    draft_id = draft_of(api)
    assert do(sandbox, "forget_drafts", draft_id=draft_id) == 1
    other = api.post("/add_text", draft_id=draft_id, text="x", start=0, end=1).output["draft_id"]
    assert other != draft_id
    assert api.post("/save_draft", draft_id=draft_id).output == {"draft_url": None, "success": True}
    assert api.post("/query_draft_status", task_id=draft_id).output["status"] == "failed"
    assert api.post("/generate_video", draft_id=draft_id).error == f"Draft {draft_id} does not exist in cache."
    do(sandbox, "keep_drafts", count=2)
    unused = draft_of(api)
    assert api.post("/query_script", draft_id=other).output
    newest = draft_of(api)
    assert [one["draft_id"] for one in do(sandbox, "list_drafts")] == [other, newest]
    assert unused in api.post("/query_script", draft_id=unused).error


def test_media_is_fetched_at_saving_and_missed_at_rendering(api: Client, sandbox: Sandbox) -> None:
    here, gone = f"{sandbox.url}/capcut/media/a.mp3", f"{sandbox.url}/fault/404/v1/models"
    draft_id = api.post("/create_draft").output["draft_id"]
    api.post("/add_video", draft_id=draft_id, video_url=gone, duration=4)
    api.post("/add_audio", draft_id=draft_id, audio_url=here, duration=4)
    assert api.post("/save_draft", draft_id=draft_id).output["success"]  # whatever happened
    status = api.post("/query_draft_status", task_id=draft_id).output
    assert (status["status"], status["completed_files"], status["total_files"]) == ("completed", 2, 2)
    assert [one["method"] for one in sandbox.control.received(path="/fault/404/v1/models")] == ["GET"]
    assert render(api, draft_id)[-1]["error"] == f"Failed to download {gone}"
    for url in ("https://nobody.invalid/a.mp4", "ftp://cdn.example.org/a", "http://[", "http://127.0.0.1:1/a"):
        lost = api.post("/add_video", video_url=url, duration=4).output["draft_id"]
        assert render(api, lost)[-1]["error"] == f"Failed to download {url}"


@pytest.mark.parametrize(
    ("path", "fields", "words"),
    [
        ("/add_video", {"video_url": CLIP, "speed": 0}, "processing video: duration must be"),
        ("/add_video", {"video_url": CLIP, "start": "soon"}, "could not convert"),
        ("/add_text", {"text": "x", "start": 0, "end": 1, "font": "Nope"}, "Unsupported font: Nope"),
        ("/add_effect", {"effect_type": "Betamax", "effect_category": "character"}, "Unknown character effect type"),
        ("/add_text", {"txt": "x"}, "has no parameter txt"),
        ("/create_draft", {"width": 0}, "invalid size"),
        ("/generate_video", {"draft_id": "x", "resolution": "720P"}, "does not exist"),
        ("/task_status", {"task_id": "x"}, "Task with ID x not found"),
        ("/modify_draft", {"draft_id": "x"}, "does not exist"),
    ],
)
def test_what_is_wrong_is_said_in_a_200(api: Client, path: str, fields: dict[str, Any], words: str) -> None:
    reply = api.post(path, **fields)
    assert reply.status == 200
    assert words in reply.error


def test_sizes_and_rates_are_texts_of_a_list(api: Client) -> None:
    draft_id = draft_of(api)
    for options in ({"resolution": "900P"}, {"resolution": ["720P"]}, {"framerate": 30}):
        assert "Unsupported" in api.post("/generate_video", draft_id=draft_id, **options).error


def test_layers_need_tracks_of_their_own(api: Client, sandbox: Sandbox) -> None:
    draft_id = draft_of(api)
    error = api.post("/add_video", draft_id=draft_id, video_url=CLIP, end=3, target_start=1).error
    assert "overlaps with existing segment [start: 1000000, end: 4000000]" in error
    assert api.post("/add_video", draft_id=draft_id, video_url=CLIP, end=3, target_start=1, track_name="b").output
    assert api.post("/add_video", draft_id=draft_id, video_url=CLIP, end=4, speed=2, target_start=8).output
    assert api.post("/add_video", draft_id=draft_id, video_url=CLIP, end=4, target_start=4).output  # between the two
    kept = [(one["track"], one["start"], one["end"]) for one in do(sandbox, "list_drafts")[0]["segments"]]
    assert kept == [("video_main", 0, 4), ("b", 1, 4), ("video_main", 8, 10), ("video_main", 4, 8)]


def test_the_cloud_wants_a_key_and_a_server_of_ones_own_does_not(sandbox: Sandbox) -> None:
    assert cloud(sandbox.url, "bad_key").post("/create_draft").status == 401
    assert cloud(sandbox.url, "empty_key").post("/create_draft").error == "Insufficient credits."
    assert "purchase_link" in cloud(sandbox.url).post("/create_draft").json
    mine = local(sandbox.url)
    draft_id = draft_of(mine)
    assert mine.post("/save_draft", draft_id=draft_id).output["draft_url"] == ""
    for path in ("/generate_video", "/task_status", "/add_preset", "/execute_workflow"):
        assert mine.post(path, draft_id=draft_id).status == 404
    assert local(sandbox.url + "/capcut").post("/create_draft").output


def test_another_key_does_not_see_a_render(api: Client, sandbox: Sandbox) -> None:
    task_id = api.post("/generate_video", draft_id=draft_of(api)).output["task_id"]
    assert "not found" in cloud(sandbox.url, "vc_other").post("/task_status", task_id=task_id).error


def test_media_for_those_who_have_none(sandbox: Sandbox) -> None:
    anybody = Client(sandbox.url, {})
    for name, mime, start_of in (
        ("clip.mp4", "video/mp4", b"\0\0\0"),
        ("voice.mp3", "audio/mpeg", b"\xff\xfb"),
        ("picture.png", "image/png", b"\x89PNG\r\n\x1a\n"),
    ):
        full, head = (anybody.send(method, f"/capcut/media/{name}") for method in ("GET", "HEAD"))
        assert (full.status, full.mime, head.status, head.mime, head.body) == (200, mime, 200, mime, b"")
        assert full.body.startswith(start_of)
    picture = anybody.get("/capcut/media/a.png").body
    assert struct.unpack_from(">II", picture, 16) == (1080, 1920)
    assert len(zlib.decompress(picture[picture.index(b"IDAT") + 4 : -16])) == 1920 * 1081
    for name in ("missing.mp4", "a.exe"):
        assert [anybody.send(method, f"/capcut/media/{name}").status for method in ("GET", "HEAD")] == [404, 404]
    infos = json.dumps([{"audio_url": f"{sandbox.url}/capcut/media/a.mp3", "start": 0, "end": 4_000_000}])
    draft_url = mate(sandbox.url).post("/create_draft").json["draft_url"]
    assert mate(sandbox.url).post("/add_audios", draft_url=draft_url, audio_infos=infos).json["code"] == 0


def test_templates(api: Client, sandbox: Sandbox) -> None:
    preset = api.post(
        "/add_preset", preset_id="p1", replacements=[{"text1": "Sale"}, {"image1": "http://127.0.0.1:1/a.png"}], end=4
    ).output
    assert render(api, preset["draft_id"])[-1]["error"] == "Failed to download http://127.0.0.1:1/a.png"
    assert "does not exist" in api.post("/add_preset", preset_id="missing_1").error
    assert "Unknown replacement" in api.post("/add_preset", preset_id="p", replacements=[{"sound": "x"}]).error
    params = json.dumps({"text": "${title}", "start": "0", "end": "3", "track_name": "title"})
    script = [{"type": "action", "id": "s1", "index": 0, "action_type": "add_text", "params": params}]
    made = api.post("/execute_workflow", inputs={"title": "Autumn sale"}, script=script).output
    segments = next(one for one in do(sandbox, "list_drafts") if one["draft_id"] == made["draft_id"])["segments"]
    assert [(one["kind"], one["track"], one["end"]) for one in segments] == [("text", "title", 3.0)]
    assert "JSON" in api.post("/execute_workflow", inputs={"title": 'a "quoted" word'}, script=script).error
    subtitles = {"srt_path": "1\n00:00:00,000 --> 00:00:02,500\nHello\n"}
    told = [{**script[0], "action_type": "add_subtitle", "params": json.dumps(subtitles)}]
    assert api.post("/execute_workflow", draft_id=made["draft_id"], script=told).output["draft_id"] == made["draft_id"]
    misspelt = [{**script[0], "params": '{"txt": "x"}'}]
    assert "no parameter txt" in api.post("/execute_workflow", script=misspelt).error
    kept = api.post("/publish_workflow?name=Sale&description=d", script=script).output
    listed = api.get("/list_workflows?limit=5&offset=0").json
    assert (listed["total"], listed["workflows"][0]["name"]) == (1, "Sale")
    assert api.get(f"/get_workflow?workflow_id={kept['workflow_id']}").output["script"] == script
    assert api.post("/modify_draft", draft_id=made["draft_id"], name="New").output["name"] == "New"


def test_ready_made_clips_have_another_envelope(api: Client, sandbox: Sandbox) -> None:
    begun = api.post("/agent/submit_agent_task", agent_id="a1", params={"video_url": [CLIP, CLIP]}).json
    assert set(begun) == {"task_id"}
    looks = [api.get(f"/agent/task_status?task_id={begun['task_id']}").json for _ in range(3)]
    assert [one["status"] for one in looks] == ["processing", "processing", "success"]
    assert described(api.get(looks[-1]["output"]["video_url"]).body)[2] == 10
    do(sandbox, "fail_next_render", error="No speech found")
    begun = api.post("/agent/submit_agent_task", agent_id="a1", params={"video_url": [CLIP]}).json
    failed = [api.get(f"/agent/task_status?task_id={begun['task_id']}").json for _ in range(3)][-1]
    assert (failed["success"], failed["status"], failed["error"]) == (False, "failure", "No speech found")


def test_mate_checks_media_when_it_is_added(sandbox: Sandbox) -> None:
    api = mate(sandbox.url)
    draft_url = api.post("/create_draft", width=1080, height=1920).json["draft_url"]
    infos = json.dumps([{"video_url": f"{sandbox.url}/fault/404/v1/models", "start": 0, "end": 4_000_000}])
    assert api.post("/add_videos", draft_url=draft_url, video_infos=infos).json["code"] == 2005
    assert do(sandbox, "list_drafts")[0]["segments"] == []


FRAME = {"segment_id": "SEGMENT", "property": "KFTypeAlpha", "offset": 0, "value": 1}


@pytest.mark.parametrize(
    ("path", "fields", "code"),
    [
        ("/add_keyframes", {"keyframes": json.dumps([FRAME])}, 0),
        ("/add_keyframes", {"keyframes": json.dumps([{**FRAME, "segment_id": "x"}])}, 2015),
        ("/add_keyframes", {"keyframes": json.dumps([{**FRAME, "property": "x"}])}, 2017),
        ("/add_keyframes", {"keyframes": "{}"}, 2013),
        ("/add_masks", {"name": "x", "segment_ids": ["SEGMENT"]}, 2025),
        ("/add_masks", {"name": "圆形", "segment_ids": ["x"]}, 2015),
        ("/add_sticker", {"sticker_id": "1", "start": 2, "end": 1}, 2011),
        ("/add_videos", {"video_infos": json.dumps([{"video_url": CLIP, "start": 0, "end": 0}])}, 2003),
        ("/add_audios", {"audio_infos": json.dumps([{"audio_url": VOICE}])}, 2007),
        ("/add_images", {"image_infos": "[]"}, 2009),
        ("/add_captions", {"captions": json.dumps([{"start": 0, "end": 1}])}, 2018),
        ("/add_text_style", {"text": "x", "keyword": "x", "keyword_color": "red"}, 2026),
        ("/timelines", {"duration": 6, "num": 0}, 1001),
        ("/create_draft", {"width": "1080"}, 1001),
    ],
)
def test_mate_says_what_is_wrong_by_a_code(sandbox: Sandbox, path: str, fields: dict[str, Any], code: int) -> None:
    api = mate(sandbox.url)
    draft_url = api.post("/create_draft").json["draft_url"]
    captions = json.dumps([{"text": "hello", "start": 0, "end": 4_000_000}])
    segment_id = api.post("/add_captions", draft_url=draft_url, captions=captions).json["segment_ids"][0]
    asked = json.loads(json.dumps(fields).replace("SEGMENT", segment_id))
    reply = api.post(path, draft_url=draft_url, **asked)
    assert (reply.status, reply.json["code"]) == (200, code)


def test_mate_renders(sandbox: Sandbox) -> None:
    api = mate(sandbox.url)
    draft_url = api.post("/create_draft", width=720, height=1280).json["draft_url"]
    captions = json.dumps([{"text": "hello", "start": 0, "end": 4_000_000}])
    assert api.post("/add_captions", draft_url=draft_url, captions=captions).json["code"] == 0
    for _ in range(2):  # the second one changes nothing while the first is under way
        assert api.post("/gen_video", draft_url=draft_url).json["code"] == 0
    assert api.get("/gen_video_active_count").json["count"] == 1
    looks = [api.post("/gen_video_status", draft_url=draft_url).json for _ in range(3)]
    assert [one["status"] for one in looks] == ["pending", "processing", "completed"]
    assert described(api.get(looks[-1]["video_url"]).body) == (720, 1280, 4.0, 120)
    assert sandbox.control.bill()["capcut"] == {"mate": {"renders": 1, "failed": 0, "seconds": 4.0}}
    for key, code in (("bad_key", 2036), ("empty_key", 2035)):
        assert api.post("/gen_video", draft_url=draft_url, apiKey=key).json["code"] == code


def test_mate_refuses_short_drafts_at_export_and_speaks_chinese(sandbox: Sandbox) -> None:
    api = Client(sandbox.url + "/openapi/capcut-mate/v1", {})
    made = api.post("/create_draft").json
    assert made["message"] == "成功"
    api.post("/gen_video", draft_url=made["draft_url"])
    last = [api.post("/gen_video_status", draft_url=made["draft_url"]).json for _ in range(3)][-1]
    assert (last["status"], last["error_message"]) == ("failed", "The draft is shorter than 3 seconds")


STRANGE: tuple[Any, ...] = (True, 0, -1, 10**30, 1.5, "", "x", [], [1], {}, {"a": 1}, "[{}]", "[[]]")


def test_nothing_that_a_client_sends_makes_it_fall_over(sandbox: Sandbox) -> None:
    api, other = cloud(sandbox.url), mate(sandbox.url)
    usual = {"video_url": CLIP, "audio_url": VOICE, "image_url": CLIP, "text": "x", "srt": "x", "sticker_id": "1"}
    usual |= {"effect_type": "Betamax", "draft_id": draft_of(api), "task_id": "x", "preset_id": "p", "agent_id": "a"}
    statuses = set()
    for path in {*FIELDS, *CLOUD_FIELDS}:
        known = FIELDS.get(path, frozenset()) | CLOUD_FIELDS.get(path, frozenset())
        fields = {name: value for name, value in usual.items() if name in known}
        statuses |= {api.post(path, **{**fields, name: value}).status for name in known for value in STRANGE}
    draft_url = other.post("/create_draft").json["draft_url"]
    for path, names in MATE_FIELDS.items():
        texts = {name: "[{}]" for name, kind in names.items() if kind == "string!"}
        fields = texts | ({"draft_url": draft_url} if "draft_url" in names else {})
        statuses |= {other.post(f"/{path}", **{**fields, name: value}).status for name in names for value in STRANGE}
    assert statuses == {200}


def test_named_faults_do_no_work_unless_they_say_so(sandbox: Sandbox) -> None:
    for name in (*FAULTS, *MATE_FAULTS):
        reply = cloud(f"{sandbox.url}/fault/capcut:{name}").post("/create_draft")
        assert reply.body, name
        if reply.mime == "application/json" and "code" in reply.json:
            assert f"mate_{reply.json['code']}" == name
        elif reply.mime == "application/json":
            assert reply.json["success"] in (True, False), name
        else:
            assert reply.status >= 400, name
    done = [name for name in FAULTS if name.endswith("_after")]
    assert len(do(sandbox, "list_drafts")) == len(done) == 2


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("set_renders", {"polls": -1}),
        ("set_renders", {"outcome": "MAYBE"}),
        ("fail_next_render", {"times": 0}),
        ("keep_drafts", {"count": 0}),
    ],
)
def test_actions_that_mean_nothing_are_refused(sandbox: Sandbox, action: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(SandboxRefused):
        do(sandbox, action, **arguments)

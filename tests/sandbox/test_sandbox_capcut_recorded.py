"""The CapCut stand-in against what the real services answered: every recorded exchange again, compared by its shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import fastjsonschema
import pytest

from sandbox.capcut.fields import FIELDS
from sandbox.capcut.gateway import CLOUD
from sandbox.capcut.mate_fields import FIELDS as MATE_FIELDS
from sandbox.process import ROOT, Sandbox, start
from tests.sandbox.capcut import Client, Reply, local, mate

RECORDED = ROOT.parent / "shared" / "specs" / "content" / "capcut"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"ANSWERS NOT COMPARED: no recordings in {RECORDED.name}")
WORDS = {"error", "message", "error_message"}
NOT_PLAYED = {
    "/audio_infos",
    "/audio_timelines",
    "/caption_infos",
    "/effect_infos",
    "/filter_infos",
    "/get_audio_duration",
    "/get_effects",
    "/get_filters",
    "/get_image_animations",
    "/get_text_animations",
    "/get_url",
    "/imgs_infos",
    "/keyframes_infos",
    "/objs_to_str_list",
    "/search_sticker",
    "/str_list_to_objs",
    "/str_to_list",
    "/video_infos",
}


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


def exchanges(name: str) -> list[Any]:
    return [json.loads(line) for line in (RECORDED / name).read_text().splitlines() if line]


def sent(client: Client, recorded: Mapping[str, Any], ids: Mapping[str, str]) -> Reply:
    """The recorded request, with the ids that this server gave in the place of those given then."""
    asked = recorded["request"]
    raw = asked["__raw__"] if asked and "__raw__" in asked else "" if asked is None else json.dumps(asked)
    path = recorded["path"]
    for theirs, ours in ids.items():
        raw, path = raw.replace(theirs, ours), path.replace(theirs, ours)
    headers = {"Content-Type": "application/json"} if asked is not None else {}
    return client.send(recorded["method"], path, raw.encode(), headers)


def same_shape(ours: Any, theirs: Any, place: str) -> None:
    """All is the same but ids, moments and addresses."""
    assert type(ours) is type(theirs) or {type(ours), type(theirs)} <= {int, float}, (place, ours, theirs)
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs), place
        for name, value in theirs.items():
            same_shape(ours[name], value, f"{place}.{name}")
    elif isinstance(theirs, list):
        for one, other in zip(ours, theirs, strict=True):
            same_shape(one, other, f"{place}[]")
    elif not isinstance(theirs, str) or place.rpartition(".")[2] in WORDS:
        assert ours == theirs, place
    elif "http" not in theirs:
        assert pattern(ours) == pattern(theirs), place


def pattern(text: str) -> str:
    """A text with its digits, and what is drawn by lot, made alike; moments may lack their fraction."""
    return re.sub(r"[0-9a-f]{8,}", "h", re.sub(r"\d\d\.\d{6}$", "dd", re.sub(r"\d", "0", text)))


def test_vectcut_answers_as_recorded(process: Sandbox) -> None:
    process.control.reset()
    client, ids = local(process.url), dict[str, str]()
    for recorded in exchanges("capcutapi-recorded.jsonl"):
        reply = sent(client, recorded, ids)
        case, theirs = recorded["case"], recorded["response"]
        assert (reply.status, reply.mime) == (recorded["status"], recorded["content_type"]), case
        if "__html__" in theirs:
            assert reply.body.decode().startswith(theirs["__html__"]), case
            continue
        ours = reply.json
        if case == "create":
            ids[theirs["output"]["draft_id"]] = ours["output"]["draft_id"]
        if case.startswith("unknown draft id"):
            assert ours["output"]["draft_id"] not in (recorded["request"]["draft_id"], *ids.values())
        if isinstance(theirs["output"], list):  # of these lists only the first names were recorded
            assert all(one in ours["output"] for one in theirs["output"]), case
            ours["output"] = theirs["output"]
        if case.startswith("script dump"):  # cut in the recording
            assert ours["output"].startswith(theirs["output"].partition('"color_space"')[0].rstrip())
            ours["output"] = theirs["output"]
        same_shape(ours, theirs, case)
    assert ids


def test_capcut_mate_answers_as_recorded(process: Sandbox) -> None:
    process.control.reset()
    process.control.do("capcut", "set_renders", polls=0, outcome="FAILURE")  # as on a machine that cannot render
    client, ids = mate(process.url), dict[str, str]()
    for recorded in exchanges("capcut-mate-recorded.jsonl"):
        if recorded["case"] == "active count":
            assert client.get("/gen_video_active_count").json["count"] == 0
        reply = sent(client, recorded, ids)
        case, theirs = recorded["case"], recorded["response"]
        assert (reply.status, reply.mime) == (recorded["status"], recorded["content_type"]), case
        if case == "create":
            ids["http://127.0.0.1:30000"] = process.url
            ids[theirs["draft_url"].rpartition("=")[2]] = reply.json["draft_url"].rpartition("=")[2]
        same_shape(reply.json, theirs, case)
        if "text_style" in theirs:
            assert json.loads(reply.json["text_style"]) == json.loads(theirs["text_style"])
        if "files" in theirs:
            names = [one.rpartition("/")[2] for one in theirs["files"]]
            assert [one.rpartition("/")[2] for one in reply.json["files"]] == names
    assert ids


def test_fields_of_vectcut_are_those_of_its_source() -> None:
    described = json.loads((RECORDED / "capcutapi-wire.json").read_text())["endpoints"]
    posted = {path: set(one["fields_and_defaults"]) for path, one in described.items() if one["method"] == "POST"}
    assert {path: set(names) for path, names in FIELDS.items()} == posted


def test_every_operation_of_vectcut_is_played_with_and_without_a_key(process: Sandbox) -> None:
    described = json.loads((RECORDED / "capcutapi-wire.json").read_text())["endpoints"]
    for path, one in described.items():
        for prefix, status in (("", 200), (CLOUD, 401)):
            reply = Client(process.url + prefix, {}).send(
                one["method"], path, b"{}", {"Content-Type": "application/json"}
            )
            assert (reply.status, reply.mime) == (status, "application/json"), path
            assert set(reply.json) - {"purchase_link"} == {"success", "output", "error"}, path


def described_operations() -> dict[str, Any]:
    spec = json.loads((RECORDED / "capcut-mate-openapi.json").read_text())
    return {path: methods["post"] for path, methods in spec["paths"].items()}


def test_fields_of_capcut_mate_are_those_of_its_description() -> None:
    operations = described_operations()
    assert set(operations) - {f"/{name}" for name in MATE_FIELDS} == NOT_PLAYED
    for name, fields in MATE_FIELDS.items():
        schema = operations[f"/{name}"]["requestBody"]["content"]["application/json"]["schema"]
        types = {field: kind.removesuffix("!") for field, kind in fields.items()}
        assert types == {field: one["type"] for field, one in schema["properties"].items()}, name
        needed = {field for field, kind in fields.items() if kind.endswith("!")}
        optional_here = {"apiKey"} if name == "gen_video" else set()
        assert needed == set(schema.get("required", ())) - optional_here, name


def closed(schema: Any) -> Any:
    """A schema that allows no other fields than its own, and needs all of them."""
    if schema.get("type") == "object":
        inner = {name: closed(one) for name, one in schema["properties"].items()}
        return {**schema, "properties": inner, "additionalProperties": False, "required": list(inner)}
    if schema.get("type") == "array":
        return {**schema, "items": closed(schema["items"])}
    return schema


EFFECT = json.dumps([{"effect_title": "Betamax", "start": 0, "end": 1_000_000}])
CLIP = {"start": 0, "end": 4_000_000}
BODIES: Mapping[str, Mapping[str, Any]] = {
    "create_draft": {"width": 1080, "height": 1920},
    "add_videos": {"video_infos": json.dumps([{**CLIP, "video_url": "https://cdn.example.org/a.mp4"}])},
    "add_images": {"image_infos": json.dumps([{**CLIP, "image_url": "https://cdn.example.org/a.png"}])},
    "add_audios": {"audio_infos": json.dumps([{**CLIP, "audio_url": "https://cdn.example.org/a.mp3"}])},
    "add_captions": {"captions": json.dumps([{**CLIP, "text": "hello"}]), "font_size": 15, "bold": True},
    "add_effects": {"effect_infos": EFFECT},
    "add_filters": {"filter_infos": json.dumps([{**CLIP, "filter_title": "Daisies_Glow"}])},
    "add_masks": {"name": "圆形", "segment_ids": ["SEGMENT"]},
    "add_keyframes": {
        "keyframes": json.dumps([{"segment_id": "SEGMENT", "property": "KFTypeAlpha", "offset": 0, "value": 1}])
    },
    "add_sticker": {"sticker_id": "7107529669750066445", "start": 0, "end": 2_000_000},
    "add_text_style": {"text": "hello world", "keyword": "world"},
    "easy_create_material": {"audio_url": "https://cdn.example.org/a.mp3", "text": "hi"},
    "timelines": {"duration": 6_000_000, "num": 3},
    "save_draft": {},
    "gen_video": {"apiKey": "0a4b1c9e-0000-4000-8000-000000000000"},
    "gen_video_status": {},
}


def test_answers_of_capcut_mate_are_those_of_its_description(process: Sandbox) -> None:
    process.control.reset()
    process.control.do("capcut", "set_renders", polls=1)
    client, operations = mate(process.url), described_operations()
    assert set(BODIES) == set(MATE_FIELDS)
    made: dict[str, str] = {}
    for name, body in [*BODIES.items(), ("gen_video_status", {})]:
        text = json.dumps(body).replace("SEGMENT", made.get("segment", ""))
        asked = {**({"draft_url": made["draft"]} if "draft_url" in MATE_FIELDS[name] else {}), **json.loads(text)}
        answer = client.post(f"/{name}", **asked).json
        assert answer["code"] == 0, (name, answer)
        made["draft"] = answer.get("draft_url", made.get("draft", ""))
        made["segment"] = (answer.get("segment_ids") or [made.get("segment", "")])[0]
        schema = operations[f"/{name}"]["responses"]["200"]["content"]["application/json"]["schema"]
        fastjsonschema.compile(closed(schema))(answer)
    assert answer["status"] == "completed"

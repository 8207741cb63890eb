"""The adapter over a real connection against the stand-in of VectCut: drafts, videos, templates, failures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from model import Done, Outcome, Wait
from providers.capcut import PROVIDER
from providers.capcut.doors import DOORS, LOCAL
from providers.capcut.errors import DraftLost
from providers.capcut.lengths import of_mp4
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Unavailable,
)
from providers.http import HttpTransport, api_request
from sandbox.process import Sandbox
from tests.providers.capcut.calls import RENDER, VOICE_ID, Stored, calling, done, media, run, waiting
from tests.providers.doubles import Memory, transport

ACCOUNT = "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e"
KEY = "vc_test_key"


@pytest.fixture
def wire() -> Iterator[HttpTransport]:
    with transport() as made:
        yield made


class VectCut:
    """One account of the stand-in, as a worker calls it."""

    def __init__(self, sandbox: Sandbox, wire: HttpTransport) -> None:
        self.sandbox = sandbox
        self.url = sandbox.url
        self.base_url = f"{sandbox.url}/cut_jianying"
        self.wire = wire
        self.known = Stored()
        self.media = media()
        self.key = KEY

    def do(self, action: str, **arguments: Any) -> Any:
        return self.sandbox.control.do("capcut", action, **arguments)

    def clip(self, name: str = "a.mp4") -> str:
        return f"{self.url}/capcut/media/{name}"

    def step(self, data: Mapping[str, Any], event_type: str = RENDER, progress: Any = None) -> Outcome:
        secrets = {"api_key": self.key} if self.key else {}
        call = calling(
            self.wire,
            data,
            event_type,
            base_url=self.base_url,
            secrets=secrets,
            known=self.known,
            media=self.media,
            progress=progress or {},
        )
        outcome = run(call)
        self.known.keep(outcome.records)
        return outcome

    def walk(self, data: Mapping[str, Any], event_type: str = RENDER, progress: Any = None) -> Done:
        for _ in range(100):
            outcome = self.step(data, event_type, progress)
            if isinstance(outcome, Done):
                return outcome
            progress = waiting(outcome).progress
        raise AssertionError("it does not end")

    def until(self, step: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The progress with which a step begins."""
        progress: Mapping[str, Any] = {}
        while progress.get("step") != step:
            progress = waiting(self.step(data, progress=progress)).progress
        return progress

    def bill(self) -> Any:
        return self.sandbox.control.bill()["capcut"].get(KEY, {"renders": 0})


@pytest.fixture
def vectcut(sandbox: Sandbox, wire: HttpTransport) -> VectCut:
    return VectCut(sandbox, wire)


def test_a_voice_and_a_title_become_a_video_of_that_length(vectcut: VectCut) -> None:
    last = vectcut.walk({"name": "Weekly", "audio_asset_id": VOICE_ID, "title": "Your week", "resolution": "480P"})
    content = vectcut.media.files[last.assets[0].uri.removeprefix("memory://")]
    assert of_mp4(content) == pytest.approx(3.004, abs=0.05)
    assert last.result["size_bytes"] == len(content)
    (draft,) = vectcut.do("list_drafts")
    assert draft["name"] == "Weekly"
    assert [(one["kind"], one["track"], one["end"]) for one in draft["segments"]] == [
        ("audio", "voice", 3.004),
        ("text", "title", 3.004),
    ]
    assert vectcut.bill() == {"renders": 1, "failed": 0, "seconds": 3.004}


def test_every_layer_and_every_operation_is_taken_there(vectcut: VectCut) -> None:
    """The stand-in refuses fields that it does not know, so a misspelt one would be found here."""
    picture, clip, voice = vectcut.clip("a.png"), vectcut.clip(), vectcut.clip("v.mp3")
    data = {
        "name": "All",
        "cover": picture,
        "audio_url": voice,
        "background_url": clip,
        "images": [picture, picture, picture],
        "image_style": {"transition": "Mix", "intro_animation": "Cross_Open"},
        "title": 'A "title"',
        "title_style": {"font": "ALEGREYA", "intro_animation": "Click", "border_width": 0.1},
        "captions": [{"text": "One", "start": 0, "end": 1.5}, {"text": "Two", "start": 1.5, "end": 3}],
        "caption_style": {"font_size": 6, "bold": True, "font": "CC_Moderno"},
        "template": [
            {"op": "add_effect", "params": {"effect_type": "{{look}}", "end": "{{duration_s}}", "params": [10]}},
            {"op": "add_video", "params": {"video_url": "${clip}", "track_name": "inset", "scale_x": 0.3, "end": 2}},
        ],
        "values": {"look": "Betamax", "clip": clip},
        "operations": [
            {"op": "add_sticker", "params": {"sticker_id": "7107529669750066445", "end": 2}},
            {"op": "add_video_keyframe", "params": {"track_name": "inset", "property_type": "alpha", "value": "0.5"}},
            {"op": "add_audio", "params": {"audio_url": voice, "track_name": "music", "volume": 0.2, "duration": 4}},
        ],
        "preset": {"preset_id": "p1", "replacements": {"text1": "Sale", "image1": picture}, "track_name": "preset"},
        "keep_draft": True,
        "resolution": "480P",
        "framerate": "30",
    }
    last = vectcut.walk(data)
    (draft,) = vectcut.do("list_drafts")
    kinds = [one["kind"] for one in draft["segments"] if one["track"] != "preset:0"]
    assert kinds == [
        "video",
        "image",
        "image",
        "image",
        "preset",
        "effect",
        "video",
        "sticker",
        "audio",
        "audio",
        "subtitle",
        "text",
    ]
    assert vectcut.bill()["renders"] == 1
    project = json.loads(vectcut.media.files[last.assets[1].uri.removeprefix("memory://")])
    assert project["name"] == "All"
    assert last.result["duration_s"] == pytest.approx(4.0, abs=1.1)


def test_a_server_of_ones_own_makes_drafts_and_says_that_it_cannot_render(vectcut: VectCut) -> None:
    vectcut.base_url, vectcut.key = vectcut.url, ""
    data = {"name": "Local", "audio_asset_id": VOICE_ID, "title": "T"}
    last = vectcut.walk({**data, "draft_only": True, "keep_draft": True})
    assert last.result["draft_url"].endswith("&is_capcut=1")
    assert json.loads(vectcut.media.files[last.assets[0].uri.removeprefix("memory://")])["duration"] == 3_004_000
    with pytest.raises(Refused, match="need VectCut's cloud") as failed:
        vectcut.walk(data)
    assert failed.value.code == "not_offered"


@pytest.mark.parametrize("step", ["build", "save", "saved", "name", "render"])
def test_a_draft_that_is_lost_on_the_way_is_built_anew_and_paid_once(vectcut: VectCut, step: str) -> None:
    data = {"name": "Weekly", "title": "Your week", "captions": [{"text": "x", "start": 0, "end": 2}]}
    progress = dict(vectcut.until(step, data))
    if step == "build":
        progress = dict(waiting(vectcut.step(data, progress=progress)).progress)
    vectcut.do("forget_drafts")
    last = vectcut.walk(data, progress=progress)
    assert vectcut.bill()["renders"] == 1
    assert vectcut.bill()["failed"] == 0
    newest = next(each for each in vectcut.do("list_drafts") if each["draft_id"] == last.result["draft_id"])
    assert [one["kind"] for one in newest["segments"]] == ["subtitle", "text"]


def test_an_expired_link_is_asked_for_again(vectcut: VectCut) -> None:
    vectcut.do("set_renders", polls=0, link_life_s=0)
    progress = vectcut.until("poll", {"title": "x"})
    with pytest.raises(Unavailable) as failed:
        vectcut.step({"title": "x"}, progress=progress)
    assert failed.value.code == "video_not_fetched"
    vectcut.do("set_renders", polls=0)
    assert vectcut.walk({"title": "x"}, progress=progress).result["task_id"] == progress["task_id"]
    assert vectcut.bill()["renders"] == 1


def test_a_failed_render_says_what_the_service_said(vectcut: VectCut) -> None:
    vectcut.do("fail_next_render", error="The font licence has ended")
    with pytest.raises(Refused, match="failed: The font licence has ended"):
        vectcut.walk({"title": "x"})
    vectcut.do("fail_next_render", error="Export timeout", times=1)
    vectcut.walk({"title": "x"})
    assert vectcut.bill()["renders"] == 3


def test_media_that_is_not_there_is_refused_before_a_draft_is_begun(vectcut: VectCut) -> None:
    for data, words in (
        ({"images": [vectcut.clip("missing.png")]}, "cannot be fetched"),
        ({"images": [vectcut.clip("clip.mp4")]}, "is video/mp4, where image is needed"),
    ):
        with pytest.raises(InvalidPayload, match=words):
            vectcut.walk(data)
    assert vectcut.do("list_drafts") == []


def test_names_are_read_and_then_looked_at(vectcut: VectCut) -> None:
    due = {"integration_id": ACCOUNT, "stream": "names"}
    last = vectcut.walk(due, "sync.due")
    assert last.result["names"]["fonts"] == 8
    with pytest.raises(InvalidPayload, match=r"no font 'CC_Modern'\. Close to it: CC_Moderno"):
        vectcut.walk({"title": "x", "title_style": {"font": "CC_Modern"}})
    assert vectcut.do("list_drafts") == []
    vectcut.base_url, vectcut.key = vectcut.url, ""
    assert vectcut.walk(due, "sync.due").result["names"]["scene_effects"] == 3
    assert vectcut.walk({**due, "stream": "workflows"}, "sync.due").result == {"workflows": 0}


def test_a_workflow_is_published_listed_and_played_with_any_text(vectcut: VectCut) -> None:
    template = [
        {"op": "add_text", "params": {"text": "{{title}}", "start": 0, "end": "{{end}}", "track_name": "title"}},
        {"op": "add_subtitle", "params": {"srt": "1\n00:00:00,000 --> 00:00:02,000\nHello\n"}},
    ]
    made = vectcut.walk({"name": "Sale", "template": template}, "video.workflow_publish_requested")
    assert vectcut.walk({"integration_id": ACCOUNT, "stream": "workflows"}, "sync.due").result == {"workflows": 1}
    inputs = {"title": 'He said "no" \\ and\nleft', "end": 3}
    for named in ({"name": "Sale"}, {"workflow_id": made.result["workflow_id"]}):
        last = vectcut.walk({"workflow": {**named, "inputs": inputs}, "draft_only": True})
        draft = next(each for each in vectcut.do("list_drafts") if each["draft_id"] == last.result["draft_id"])
        assert [(one["kind"], one["end"]) for one in draft["segments"]] == [("text", 3.0), ("subtitle", 2.0)]


def test_a_workflow_whose_answer_was_lost_is_found(vectcut: VectCut) -> None:
    event, data = (
        "video.workflow_publish_requested",
        {"name": "Once", "template": [{"op": "add_sticker", "params": {"sticker_id": "1"}}]},
    )
    vectcut.sandbox.control.add_rule("/cut_jianying/publish_workflow", {"drop": "after"}, times=1)
    with pytest.raises(OutcomeUnknown):
        vectcut.step(data, event)
    find = PROVIDER.actions[event].find
    assert find is not None
    call = calling(vectcut.wire, data, event, base_url=vectcut.base_url, secrets={"api_key": KEY})
    call.first_attempt_at = datetime.now(UTC)
    found = done(find(call) or Wait(0, {}))
    assert (found.result["recovered"], found.result["name"]) == (True, "Once")


def test_an_agent_makes_a_video(vectcut: VectCut) -> None:
    vectcut.media = Memory()
    data = {"agent": {"agent_id": "a1", "params": {"video_url": [vectcut.clip()], "title": "T"}}}
    last = vectcut.walk(data)
    assert last.result["duration_s"] == 5.0
    vectcut.do("fail_next_render", error="No speech found")
    with pytest.raises(Refused, match="No speech found"):
        vectcut.walk(data)
    assert vectcut.bill()["renders"] == 2


@pytest.mark.parametrize(
    ("key", "kind"), [("bad_key", CredentialsRejected), ("empty_key", AccountBlocked)], ids=["bad", "empty"]
)
def test_a_wrong_key_and_no_credits_park_the_account(vectcut: VectCut, key: str, kind: type[ProviderError]) -> None:
    vectcut.key = key
    with pytest.raises(kind):
        vectcut.step({"title": "x"})


NAMED: Mapping[str, type[ProviderError]] = {
    "unauthorized": CredentialsRejected,
    "forbidden": CredentialsRejected,
    "no_credits": AccountBlocked,
    "rate_limited": RateLimited,
    "bad_request": InvalidPayload,
    "unsupported_media_type": InvalidPayload,
    "server_error": OutcomeUnknown,
    "server_error_after": OutcomeUnknown,
    "bad_gateway": OutcomeUnknown,
    "bad_gateway_after": OutcomeUnknown,
    "unavailable": OutcomeUnknown,
    "missing_parameter": InvalidPayload,
    "overlap": InvalidPayload,
    "unsupported_font": InvalidPayload,
    "unknown_effect": InvalidPayload,
    "download_failed": Unavailable,
    "network_error": Unavailable,
    "task_not_found": Refused,
}


@pytest.mark.parametrize("name", NAMED)
def test_what_the_service_says_on_an_operation(vectcut: VectCut, name: str) -> None:
    progress = waiting(vectcut.step({"title": "x"})).progress
    vectcut.sandbox.control.add_rule("/cut_jianying/add_text", f"capcut:{name}", times=1)
    with pytest.raises(ProviderError) as failed:
        vectcut.step({"title": "x"}, progress=progress)
    assert type(failed.value) is NAMED[name], str(failed.value)
    assert not isinstance(failed.value, DraftLost)


def test_every_path_of_the_table_is_there(vectcut: VectCut) -> None:
    """One that the stand-in lacks would answer 404; those of the cloud are missing on a server of one's own."""
    for door in DOORS.values():
        for base_url, key in ((vectcut.base_url, KEY), (vectcut.url, "")):
            missing = not key and door.needs != LOCAL
            with transport() as using:
                answer = using.send(_request(base_url, door.method, door.path, key), 5.0)
            assert (answer.status == 404) == missing, (door, base_url)


def _request(base_url: str, method: str, path: str, key: str) -> Any:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return api_request(method, base_url, path, headers=headers, json_body=None if method == "GET" else {})

"""capcut-mate: an account that chooses it has its videos made in other words, and none is rendered twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model import Done, Outcome, Wait
from providers.capcut import PROVIDER, mate, mate_layers
from providers.capcut.errors import DraftLost
from providers.capcut.layers import Operation
from providers.contract import Repeat
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    Refused,
    Unavailable,
)
from providers.http import HttpTransport
from sandbox.process import Sandbox
from tests.providers.capcut.calls import PICTURE_ID, RENDER, VOICE_ID, calling, media
from tests.providers.doubles import NOW, Scripted, answer, transport
from worker.catalog import event_types

RECORDED = Path(__file__).parents[4] / "shared" / "specs" / "content" / "capcut" / "capcut-mate-recorded.jsonl"
CONFIG = {"dialect": "capcut-mate"}
SIZE = (1080, 1920)
BASE = "https://mate.example/openapi/capcut-mate/v1"
URL = "http://127.0.0.1:30000/openapi/capcut-mate/v1/get_draft?draft_id=20261122133020fdd26509"
TITLED = {"title": "Autumn sale", "duration_s": 4}
FULL = {
    "name": "weekly",
    "audio_asset_id": VOICE_ID,
    "images": [{"asset_id": PICTURE_ID}, {"asset_id": PICTURE_ID}],
    "captions": [{"text": "Clicks rose.", "start": 0, "end": 2}],
    "title": "Your week",
    "duration_s": 4,
}


@pytest.fixture
def http() -> Iterator[HttpTransport]:
    with transport() as made:
        yield made


class Walk:
    """A delivery's steps against the stand-in, each with nothing but the progress of the one before."""

    def __init__(self, http: HttpTransport, sandbox: Sandbox, data: Any, key: str = "") -> None:
        self.http, self.sandbox, self.data, self.key = http, sandbox, data, key
        self.media = media()
        self.media.link = lambda asset, lasts_s: f"{sandbox.url}/capcut/media/a.png?token=planted"  # type: ignore[method-assign]
        self.progress: Any = {}
        self.costs: list[Any] = []

    def call(self) -> Any:
        return calling(
            self.http,
            self.data,
            base_url=f"{self.sandbox.url}/openapi/capcut-mate/v1",
            config=CONFIG,
            secrets={"api_key": self.key} if self.key else {},
            media=self.media,
            progress=self.progress,
        )

    def step(self) -> Outcome:
        return self.took(PROVIDER.actions[RENDER].run(self.call()))

    def find(self) -> Outcome | None:
        action = PROVIDER.actions[RENDER]
        assert action.repeat_after(self.progress) is Repeat.LOOKUP
        assert action.find is not None
        found = action.find(self.call())
        return None if found is None else self.took(found)

    def took(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Wait):
            self.progress = json.loads(json.dumps(outcome.progress))
            self.costs += [outcome.cost] if outcome.cost else []
        return outcome

    def to(self, step: str) -> None:
        while self.progress.get("step") != step:
            assert isinstance(self.step(), Wait)

    def end(self) -> Done:
        for _ in range(60):
            outcome = self.step()
            if isinstance(outcome, Done):
                for event in outcome.events:
                    assert event_types()[event.type].problem(event.data) is None
                return outcome
        raise AssertionError(f"no end: {self.progress}")


@pytest.fixture
def walk(http: HttpTransport, sandbox: Sandbox) -> Any:
    return lambda data, **more: Walk(http, sandbox, data, **more)


def bill(sandbox: Sandbox) -> Any:
    return sandbox.control.bill().get("capcut", {}).get("mate", {}).get("renders", 0)


def segments(sandbox: Sandbox) -> list[tuple[str, float, float]]:
    draft = sandbox.control.do("capcut", "list_drafts")[-1]
    return [(one["kind"], one["start"], one["end"]) for one in draft["segments"]]


# ------------------------------------------------------------------------------------------------------ whole videos


def test_a_video_in_a_few_words_is_made(walk: Any, sandbox: Sandbox) -> None:
    made = walk(FULL)
    done = made.end()
    (event,) = done.events
    assert (event.type, event.data["mime"], event.data["duration_s"]) == ("video.rendered", "video/mp4", 4.0)
    assert segments(sandbox) == [
        ("image", 0, 2),
        ("image", 2, 4),
        ("audio", 0, pytest.approx(3.004, abs=0.01)),
        ("text", 0, 2),
        ("text", 0, 4),
    ]
    assert (bill(sandbox), [str(cost.amount) for cost in made.costs]) == (1, ["1"])
    assert "resolution" not in done.result
    assert "planted" not in str(done)


def test_only_a_draft(walk: Any, sandbox: Sandbox) -> None:
    done = walk({**TITLED, "draft_only": True}).end()
    assert done.result["draft_url"].endswith(f"get_draft?draft_id={done.result['draft_id']}")
    assert bill(sandbox) == 0


def test_the_account_chooses_and_a_delivery_stays_as_it_began(walk: Any) -> None:
    began = walk(TITLED)
    began.step()
    assert began.progress["dialect"] == "capcut-mate"
    call = calling(Scripted(), TITLED, config={"dialect": "else"})
    with pytest.raises(InvalidPayload, match="is vectcut or capcut-mate, not 'else'"):
        PROVIDER.actions[RENDER].run(call)


@pytest.mark.parametrize("name", ["preset", "workflow", "agent", "cover", "keep_draft", "resolution", "framerate"])
def test_what_cannot_be_said_is_refused_before_anything_is_made(name: str) -> None:
    scripted = Scripted()
    with pytest.raises(InvalidPayload, match=f"`{name}` cannot be said") as refused:
        PROVIDER.actions[RENDER].run(calling(scripted, {**TITLED, name: True}, config=CONFIG, base_url=BASE))
    assert (refused.value.code, scripted.requests) == ("not_offered", [])


def test_streams_of_vectcut_end_well_and_workflows_are_refused() -> None:
    for stream in PROVIDER.streams:
        call = calling(Scripted(), {"stream": stream.name}, "sync.due", config=CONFIG)
        done = PROVIDER.actions["sync.due"].run(call)
        assert isinstance(done, Done)
        assert done.result == {"left_out": "capcut-mate"}
    publish = "video.workflow_publish_requested"
    call = calling(Scripted(), {"name": "w", "script": []}, publish, config=CONFIG)
    with pytest.raises(Refused, match="no workflows"):
        PROVIDER.actions[publish].run(call)


# ------------------------------------------------------------------------------------------------------- lost answers


@pytest.mark.parametrize(("when", "rendered"), [("before", 0), ("after", 1)])
def test_a_lost_render_is_looked_up_and_made_once(walk: Any, sandbox: Sandbox, when: str, rendered: int) -> None:
    made = walk(TITLED)
    made.to("render")
    sandbox.control.add_rule("/openapi/capcut-mate/v1/gen_video", {"drop": when}, times=1)
    with pytest.raises(OutcomeUnknown):
        made.step()
    assert bill(sandbox) == rendered
    assert (made.find() is not None) == bool(rendered)
    made.end()
    assert (bill(sandbox), len(made.costs)) == (1, 1)


def test_a_lost_addition_builds_the_draft_anew(walk: Any, sandbox: Sandbox) -> None:
    made = walk(TITLED)
    made.to("build")
    sandbox.control.add_rule("/openapi/capcut-mate/v1/add_captions", {"drop": "after"}, times=1)
    with pytest.raises(OutcomeUnknown):
        made.step()
    first = made.progress["draft_id"]
    assert made.find() is not None
    done = made.end()
    assert done.result["draft_id"] != first
    assert segments(sandbox) == [("text", 0, 4)]


def test_a_draft_that_is_gone_is_built_anew(walk: Any, sandbox: Sandbox) -> None:
    made = walk(TITLED)
    made.to("save")
    sandbox.control.do("capcut", "forget_drafts")
    made.end()
    assert bill(sandbox) == 1


def test_a_render_that_fails_says_why(walk: Any, sandbox: Sandbox) -> None:
    sandbox.control.do("capcut", "fail_next_render", error="视频生成功能仅在Windows系统上可用")
    with pytest.raises(Refused, match="Windows") as failed:
        walk(TITLED).end()
    assert failed.value.code == "render_failed"


def test_a_render_that_nobody_knows_any_more_is_not_made_again() -> None:
    progress = {"step": "poll", "dialect": "capcut-mate", "draft_id": "d", "draft_url": URL}
    call = calling(Scripted(answer(200, {"code": 2031, "message": "m"})), TITLED, progress=progress, base_url=BASE)
    with pytest.raises(Refused, match="no longer knows"):
        PROVIDER.actions[RENDER].run(call)


# ------------------------------------------------------------------------------------------------------- one exchange


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (1001, InvalidPayload),
        (1004, CredentialsRejected),
        (2036, CredentialsRejected),
        (2035, AccountBlocked),
        (2001, DraftLost),
        (2004, InvalidPayload),
        (2005, Unavailable),
        (2042, Unavailable),
        (9999, Unavailable),
        (404, Refused),
        (7777, InvalidPayload),
    ],
)
def test_a_code_decides(code: int, error: type[ProviderError]) -> None:
    with pytest.raises(error, match=f"said {code}: Why"):
        mate.ask(
            calling(Scripted(answer(200, {"code": code, "message": "Why."})), TITLED, base_url=BASE), "save_draft", {}
        )


@pytest.mark.parametrize("body", [{}, {"code": "0"}, {"code": True}, []])
def test_an_answer_without_a_code_is_no_success(body: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        mate.ask(calling(Scripted(answer(200, body)), TITLED, base_url=BASE), "save_draft", {})


def test_the_key_goes_into_the_body_and_is_not_shown(walk: Any) -> None:
    key = "0192f0c1-planted-key"
    scripted = Scripted(answer(200, {"code": 1001, "message": f"Bad {key}"}))
    progress = {"step": "render", "dialect": "capcut-mate", "draft_id": "d", "draft_url": URL}
    call = calling(scripted, TITLED, progress=progress, base_url=BASE, secrets={"api_key": key})
    with pytest.raises(InvalidPayload) as refused:
        PROVIDER.actions[RENDER].run(call)
    assert json.loads(scripted.requests[0].body) == {"draft_url": URL, "apiKey": key}
    assert "authorization" not in {name.lower() for name in scripted.requests[0].headers}
    assert key not in f"{refused.value} {call!r} {call.exchange!r} {scripted.requests!r}"
    with pytest.raises(CredentialsRejected):
        walk(TITLED, key="bad_key").end()


def recorded() -> list[dict[str, Any]]:
    if not RECORDED.exists():
        pytest.skip("NOT CHECKED against recorded exchanges: the shared specs folder is not here")
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def test_recorded_answers_are_understood() -> None:
    for each in recorded():
        operation = each["path"].strip("/").partition("?")[0]
        if f"mate_{operation}" not in PROVIDER.paths:
            continue
        call = calling(Scripted(answer(200, each["response"])), TITLED, base_url=BASE)
        if each["response"]["code"] == 0:
            mate.ask(call, operation, {})
            continue
        with pytest.raises((ProviderError, mate.NoTask)):
            mate.ask(call, operation, {})


def test_what_is_said_is_what_was_recorded() -> None:
    said = {each["case"]: each["request"] for each in recorded()}
    _, fields = mate_layers.translated(Operation("add_text", {"text": "hello", "start": 0, "end": 4}), SIZE)
    (caption,) = json.loads(said["caption ok"]["captions"])
    assert json.loads(mate_layers.texts(fields)["captions"]) == [caption]
    sound = {"audio_url": "http://127.0.0.1:1/a.mp3", "end": 4, "duration": 4}
    _, fields = mate_layers.translated(Operation("add_audio", sound), SIZE)
    assert fields["audio_infos"] == json.loads(said["download failure"]["audio_infos"])
    begun = calling(Scripted(answer(200, {"code": 0, "draft_url": URL})), TITLED, base_url=BASE, config=CONFIG)
    PROVIDER.actions[RENDER].run(begun)
    assert json.loads(begun.transport.requests[0].body) == said["create"]  # type: ignore[attr-defined]


# -------------------------------------------------------------------------------------------------------------- words

TRANSLATED: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "add_video",
        {
            "video_url": "https://a/v",
            "end": 2,
            "target_start": 1,
            "volume": 0,
            "transition": "溶解",
            "transform_x": 0.5,
        },
        "add_videos",
        {
            "video_infos": [
                {
                    "video_url": "https://a/v",
                    "start": 1_000_000,
                    "end": 3_000_000,
                    "volume": 0,
                    "transition": "溶解",
                    "transition_duration": 500_000,
                }
            ],
            "transform_x": 270,
        },
    ),
    (
        "add_image",
        {"image_url": "https://a/i", "start": 1, "intro_animation": "x", "track_name": "t", "scale_x": 2},
        "add_images",
        {
            "image_infos": [{"image_url": "https://a/i", "start": 1_000_000, "end": 4_000_000, "in_animation": "x"}],
            "scale_x": 2,
        },
    ),
    (
        "add_subtitle",
        {"srt": "1\n00:00:01,5 --> 00:01:02,250\nTwo\nlines\n\n2\n00:02:00.000 --> 00:02:01.000\nx", "time_offset": 1},
        "add_captions",
        {
            "captions": [
                {"start": 2_500_000, "end": 63_250_000, "text": "Two\nlines"},
                {"start": 121_000_000, "end": 122_000_000, "text": "x"},
            ],
            "transform_y": -768,
        },
    ),
    (
        "add_text",
        {"text": "T", "start": 0, "end": 1, "font_size": 11.6, "color": "#fff", "shadow_enabled": True},
        "add_captions",
        {
            "captions": [{"text": "T", "start": 0, "end": 1_000_000}],
            "font_size": 12,
            "text_color": "#fff",
            "has_shadow": True,
        },
    ),
    (
        "add_sticker",
        {"sticker_id": "s", "transform_y": 1, "scale_x": 0.5},
        "add_sticker",
        {"sticker_id": "s", "start": 0, "end": 5_000_000, "scale": 0.5, "transform_y": 960},
    ),
    (
        "add_effect",
        {"effect_type": "金粉闪闪", "end": 5},
        "add_effects",
        {"effect_infos": [{"effect_title": "金粉闪闪", "start": 0, "end": 5_000_000}]},
    ),
]


@pytest.mark.parametrize(("name", "params", "theirs", "fields"), TRANSLATED)
def test_an_operation_in_its_words(name: str, params: Any, theirs: str, fields: Any) -> None:
    assert mate_layers.translated(Operation(name, params), SIZE) == (theirs, fields)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("add_video_keyframe", {}),
        ("add_text", {"text": "T", "start": 0, "end": 1, "background_style": 1}),
        ("add_video", {"video_url": "https://a/v", "start": 2, "end": 3}),
        ("add_video", {"video_url": "https://a/v", "speed": 2, "end": 3}),
        ("add_video", {"video_url": "https://a/v"}),
        ("add_subtitle", {"srt": "https://a/captions.srt"}),
    ],
)
def test_what_has_no_words_there_is_refused(name: str, params: Any) -> None:
    with pytest.raises(InvalidPayload):
        mate_layers.translated(Operation(name, params), SIZE)


def test_media_that_cannot_be_fetched_is_tried_for_a_while(walk: Any, sandbox: Sandbox) -> None:
    progress = {
        **walk(TITLED).call().progress,
        "step": "build",
        "dialect": "capcut-mate",
        "looked": 0,
        "audio_s": None,
        "background": "",
        "rebuilds": 0,
        "draft_id": "d",
        "draft_url": URL,
        "at": 0,
        "draft_at": NOW.isoformat(),
    }
    given = answer(200, {"code": 2005, "message": "Download file failed"})
    call = calling(Scripted(given), TITLED, progress=progress, base_url=BASE)
    with pytest.raises(Unavailable) as failed:
        PROVIDER.actions[RENDER].run(call)
    assert (failed.value.code, failed.value.holds) == ("fetch_failed", False)

"""What an event becomes: the list of operations, and what is refused before anything is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.capcut.doors import CLOUD, DOORS, EDITING, LOCAL, MATE, PATHS
from providers.capcut.layers import Found, Operation, seconds_in_all
from providers.capcut.plan import operations
from providers.capcut.templates import compiled, filled, played, written
from providers.errors import InvalidPayload
from tests.providers.capcut.calls import PICTURE_ID, VOICE_ID
from worker.catalog import event_types

VOICE = {"asset_id": VOICE_ID}
SCHEMA = event_types()["video.render_requested"]


def planned(data: dict[str, Any], **found: Any) -> list[tuple[str, dict[str, Any]]]:
    assert SCHEMA.problem(data) is None
    return [(each.name, dict(each.params)) for each in operations(data, Found(**found))]


def refused(data: dict[str, Any]) -> InvalidPayload:
    with pytest.raises(InvalidPayload) as failed:
        operations(data, Found())
    return failed.value


def test_a_voice_and_a_title_are_a_video_as_long_as_the_voice() -> None:
    (voice, title) = planned({"audio_asset_id": VOICE_ID, "title": "Your week"}, audio_s=12.48)
    assert voice == ("add_audio", {"audio_url": VOICE, "end": 12.48, "duration": 12.48, "track_name": "voice"})
    name, params = title
    assert (name, params["text"], params["start"], params["end"]) == ("add_text", "Your week", 0, 12.48)
    assert params["track_name"] == "title"


def test_layers_lie_in_order_on_tracks_of_their_own() -> None:
    data = {
        "audio_asset_id": VOICE_ID,
        "background_url": "https://cdn.example/loop.mp4",
        "images": ["https://cdn.example/a.png", {"asset_id": PICTURE_ID}, "https://cdn.example/c.png"],
        "image_style": {"transition": "Mix"},
        "captions": [{"text": "One", "start": 0, "end": 1.5}, {"text": "Two\n\nlines", "start": 61, "end": 3661.25}],
        "caption_style": {"font_size": 7},
        "title": "T",
        "title_style": {"font_color": "#FFD700", "transform_y": 0.8},
    }
    made = planned(data, audio_s=10.0, background="video")
    assert [name for name, _ in made] == ["add_video", *["add_image"] * 3, "add_audio", "add_subtitle", "add_text"]
    tracks = [params["track_name"] for _, params in made]
    assert tracks == ["background", *["images"] * 3, "voice", "captions", "title"]
    assert made[0][1] | {"volume": 0, "end": 10.0} == made[0][1]
    times = [(params["start"], params["end"]) for name, params in made if name == "add_image"]
    assert times == [(0.0, 3.333), (3.333, 6.667), (6.667, 10.0)]
    assert {params["relative_index"] for name, params in made if name == "add_image"} == {1}, "over the background"
    assert {params["transition"] for name, params in made if name == "add_image"} == {"Mix"}
    srt = made[5][1]["srt"]
    assert srt == ("1\n00:00:00,000 --> 00:00:01,500\nOne\n\n2\n00:01:01,000 --> 01:01:01,250\nTwo\nlines\n")
    assert made[5][1]["font_size"] == 7
    assert (made[6][1]["font_color"], made[6][1]["transform_y"]) == ("#FFD700", 0.8)


@pytest.mark.parametrize(
    ("data", "audio_s", "seconds"),
    [
        ({"audio_asset_id": VOICE_ID}, 12.3456, 12.346),
        ({"audio_asset_id": VOICE_ID, "duration_s": 20}, 12.0, 20.0),
        ({"captions": [{"text": "x", "start": 1, "end": 4}, {"text": "y", "start": 4, "end": 7.5}]}, None, 7.5),
        ({"images": ["https://a.example/1.png"] * 4}, None, 12.0),
        ({"title": "x"}, None, 5.0),
    ],
)
def test_how_long_a_video_is(data: dict[str, Any], audio_s: float | None, seconds: float) -> None:
    assert seconds_in_all(data, Found(audio_s)) == seconds


def test_a_sound_that_is_longer_than_the_video_is_cut() -> None:
    ((_, params),) = planned({"audio_asset_id": VOICE_ID, "duration_s": 5}, audio_s=12.0)
    assert (params["end"], params["duration"]) == (5.0, 12.0)


def test_srt_is_taken_as_it_is() -> None:
    srt = "1\n00:00:00,000 --> 00:00:02,000\nhello\n"
    assert planned({"captions": srt})[0][1]["srt"] == srt
    assert "without a cue" in str(refused({"captions": "hello"}))
    late = [{"text": "late", "start": 2, "end": 2}]
    assert "'late' ends before it begins" in str(refused({"captions": late}))


def test_a_template_is_filled_in_and_operations_are_not() -> None:
    template = [
        {"op": "add_text", "params": {"text": "{{ who }}: ${price} EUR", "start": 0, "end": "{{duration_s}}"}},
        {"op": "add_video", "params": {"video_url": "{{clip}}", "mask_type": None}},
    ]
    data = {
        "template": template,
        "values": {"who": 'A "quoted" shop', "price": 9.5, "clip": {"asset_id": PICTURE_ID}},
        "duration_s": 4,
        "operations": [{"op": "add_text", "params": {"text": "{{who}}", "start": 0, "end": 1, "track_name": "b"}}],
    }
    made = planned(data)
    assert made[0][1] == {"text": 'A "quoted" shop: 9.5 EUR', "start": 0, "end": 4.0}
    assert made[1][1]["video_url"] == {"asset_id": PICTURE_ID}
    assert made[2][1]["text"] == "{{who}}"
    assert "needs a value for who" in str(refused({"template": template}))


def test_a_preset_is_sent_as_it_is_known_there() -> None:
    preset = {"preset_id": "p1", "replacements": {"text1": "Sale", "image1": {"asset_id": PICTURE_ID}}, "end": 4}
    assert planned({"preset": preset}) == [
        (
            "add_preset",
            {"preset_id": "p1", "replacements": [{"text1": "Sale"}, {"image1": {"asset_id": PICTURE_ID}}], "end": 4},
        )
    ]


def test_the_inputs_of_a_script_cannot_break_its_json() -> None:
    params = '{"text": "${title} ${n}", "start": "0", "end": "${end}"}'
    inner = [{"type": "action", "action_type": "add_image", "params": {"image_url": "${it}"}}]
    script = [
        {"type": "action", "id": "s1", "index": 0, "action_type": "add_text", "params": params},
        {"type": "for", "id": "s2", "index": 1, "body": inner},
    ]
    inputs = {"title": 'He said "no" \\ \n', "n": 3, "end": 2.5}
    ((name, fields),) = planned({"workflow": {"script": script, "inputs": inputs}})
    assert name == "execute_workflow"
    sent = written(fields["script"])
    assert json.loads(sent[0]["params"]) == {"text": 'He said "no" \\ \n 3', "start": "0", "end": "2.5"}
    assert json.loads(sent[1]["body"][0]["params"]) == {"image_url": "${it}"}  # the loop's own
    assert sent[0]["id"] == "s1"
    assert "not JSON" in str(refused({"workflow": {"script": [{"action_type": "add_text", "params": "{"}]}}))


def test_a_template_compiles_to_a_script_whose_inputs_are_its_placeholders() -> None:
    template = [
        Operation("add_text", {"text": 'say "{{title}}"', "start": 0, "end": "{{ end }}", "shadow_enabled": True}),
        Operation("add_subtitle", {"srt": "{{cues}}"}),
    ]
    script = compiled(template)
    assert [(step["type"], step["id"], step["index"], step["action_type"]) for step in script] == [
        ("action", "s1", 0, "add_text"),
        ("action", "s2", 1, "add_subtitle"),
    ]
    assert json.loads(script[0]["params"]) == {
        "text": 'say "${title}"',
        "start": "0",
        "end": "${end}",
        "shadow_enabled": "true",
    }
    assert json.loads(script[1]["params"]) == {"srt_path": "${cues}"}
    inputs = {"title": "no", "end": 3, "cues": "c"}
    replayed = played(script, inputs)
    assert replayed[0]["params"] | {"text": 'say "no"', "end": 3} == replayed[0]["params"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"name": "x"}, "nothing to show"),
        ({"operations": [{"op": "add_vidoe", "params": {}}]}, "did you mean add_video?"),
        ({"operations": [{"op": "zzz"}]}, "there are add_video"),
        ({"operations": [{"op": "add_text", "params": {"text": "x", "start": 0}}]}, "add_text needs end"),
        (
            {"operations": [{"op": "add_sticker", "params": {"sticker_id": "1", "draft_id": "d"}}]},
            "may not say draft_id",
        ),
        ({"operations": [{"op": "add_image", "params": {"image_url": "/etc/passwd"}}]}, "'/etc/passwd'"),
        ({"operations": [{"op": "add_video", "params": {"video_url": "file:///etc/passwd"}}]}, "begins with https://"),
        ({"operations": [{"op": "add_subtitle", "params": {"srt": "/etc/passwd"}}]}, "'/etc/passwd'"),
        ({"operations": [{"op": "add_video", "params": {"video_url": {"asset_id": 1}}}]}, "names a file"),
        ({"workflow": {"inputs": {}}}, "a script, a workflow_id or a name"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(data: dict[str, Any], words: str) -> None:
    assert words in str(refused(data))


def test_values_keep_their_kind_where_they_stand_alone() -> None:
    values = {"n": 2, "on": True, "list": [1], "text": "x"}
    template = {"a": "{{n}}", "b": ["{{on}}", "${list}"], "c": "{{text}}-{{n}}-{{on}}-{{list}}", "d": 5}
    assert filled(template, values) == {"a": 2, "b": [True, [1]], "c": "x-2-true-[1]", "d": 5}


def test_the_path_table_says_who_has_what_and_how_well_it_is_known() -> None:
    assert set(PATHS) == {*DOORS, *(f"mate_{name}" for name in MATE)}
    assert {door.needs for door in DOORS.values()} == {LOCAL, CLOUD}
    assert DOORS["generate_video"].needs == CLOUD
    known = {"source", "client", "observed"}
    assert {door.evidence for door in DOORS.values()} == known
    schema = SCHEMA.schema["properties"]["operations"]["items"]["properties"]["op"]["enum"]
    assert sorted(schema) == sorted(EDITING)

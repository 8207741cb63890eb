"""Every file is looked at before a draft is begun: our own by their ids, others by their addresses."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from model import MediaAsset, Wait
from providers.errors import AccountBlocked, InvalidPayload, OutcomeUnknown, ProviderError, TargetForbidden, Unavailable
from providers.http import Answer
from tests.providers.capcut.calls import (
    PICTURE_ID,
    VOICE_ID,
    body,
    calling,
    drafted,
    media,
    path,
    run,
    voice,
    waiting,
    walked,
)
from tests.providers.capcut.test_capcut_videos import FETCHED
from tests.providers.doubles import NOW, Memory, Scripted, answer

CLIP = "https://cdn.example/clips/a.mp4?sig=planted-clip-signature"
PICTURED = {"operations": [{"op": "add_image", "params": {"image_url": CLIP}}]}


def there(mime: str = "image/png", content: bytes = b"x") -> Answer:
    return answer(200, content, {"Content-Type": mime})


EMPTY = answer(200, headers={"Content-Type": "image/png", "Content-Length": "0"})


def looking(data: Any, *answers: Any, **more: Any) -> Any:
    """What the first step ends in."""
    try:
        return run(calling(Scripted(*answers), data, **more))
    except ProviderError as error:
        return error


def test_a_file_elsewhere_is_asked_for_once_and_the_draft_begins_after_it() -> None:
    two = {"images": [CLIP, CLIP, "https://cdn.example/b.png"]}
    using = Scripted(there(), there(), drafted())
    progress: Any = {}
    for _ in range(3):
        progress = waiting(run(calling(using, two, progress=progress))).progress
    assert [path(each) for each in using.requests] == ["HEAD cdn.example", "HEAD cdn.example", "create_draft"]
    assert "Authorization" not in using.requests[0].headers
    assert using.requests[0].trusted is False


@pytest.mark.parametrize("status", [403, 405, 501, 400])
def test_an_address_that_is_signed_for_get_is_looked_at_with_get(status: int) -> None:
    using = Scripted(answer(status), there())
    assert isinstance(run(calling(using, PICTURED)), Wait)
    head, get = using.requests
    assert (head.method, get.method, get.cut_answer) == ("HEAD", "GET", True)
    assert get.max_answer_bytes == 4096


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ([answer(404)], "media_missing", "cannot be fetched"),
        ([answer(410)], "media_missing", "cannot be fetched"),
        ([answer(403), answer(403)], "media_missing", "cannot be fetched"),
        ([answer(401), answer(401)], "media_missing", "cannot be fetched"),
        ([answer(302)] * 2, "media_missing", "Redirects are not followed"),
        ([TargetForbidden("It is private.")], "media_forbidden", "may not be fetched: It is private."),
        ([there("text/html; charset=utf-8")], "media_unusable", "is text/html, where image is needed"),
        ([there("video/mp4")], "media_unusable", "is video/mp4, where image is needed"),
        ([EMPTY, EMPTY], "media_unusable", "is empty"),
    ],
)
def test_a_file_that_is_of_no_use_ends_it_before_anything_is_made(answers: Any, code: str, words: str) -> None:
    error = looking(PICTURED, *answers)
    assert (type(error), error.code) == (InvalidPayload, code)
    assert words in str(error)
    assert "planted" not in str(error)
    assert "https://cdn.example/clips/…/" in str(error)


@pytest.mark.parametrize("given", [answer(500), answer(503), answer(429), OutcomeUnknown("lost"), Unavailable("dns")])
def test_a_host_that_does_not_answer_is_asked_again_for_a_while_and_the_account_goes_on(given: Any) -> None:
    error = looking(PICTURED, given)
    assert (type(error), error.code, error.holds) == (Unavailable, "media_unavailable", False)
    late = looking(PICTURED, given, now=NOW + timedelta(minutes=16))
    assert (type(late), late.code) == (InvalidPayload, "media_missing")


def test_a_length_of_nothing_is_not_believed_of_a_head() -> None:
    assert isinstance(looking(PICTURED, EMPTY, there()), Wait)


def test_a_host_that_says_nothing_of_a_kind_is_believed() -> None:
    for mime in ("", "application/octet-stream", "binary/octet-stream"):
        assert isinstance(looking(PICTURED, there(mime)), Wait)


@pytest.mark.parametrize(
    ("url", "mime", "operation"),
    [
        ("https://cdn.example/loop", "video/mp4", "add_video"),
        ("https://cdn.example/still", "image/jpeg", "add_image"),
        ("https://cdn.example/LOOP.MP4?x=1", "application/octet-stream", "add_video"),
        ("https://cdn.example/still.bin", "application/octet-stream", "add_image"),
    ],
)
def test_a_background_is_what_its_host_says(url: str, mime: str, operation: str) -> None:
    using = Scripted(there(mime), *FETCHED)
    walked(using, {"background_url": url, "duration_s": 4})
    assert path(using.requests[2]) == operation
    assert body(using.requests[2])["end"] == 4.0


def test_a_sound_elsewhere_is_fetched_and_measured() -> None:
    using = Scripted(there("audio/mpeg", voice()), *FETCHED)
    walked(using, {"audio_url": "https://cdn.example/v.mp3"})
    assert path(using.requests[0]) == "GET cdn.example"
    assert body(using.requests[2]) | {"end": 3.004, "duration": 3.004} == body(using.requests[2])


def test_a_sound_whose_length_is_said_is_not_fetched() -> None:
    using = Scripted(there("audio/mpeg"), *FETCHED)
    walked(using, {"audio_url": "https://cdn.example/v.mp3", "duration_s": 9})
    assert using.requests[0].method == "HEAD"
    sound = body(using.requests[2])
    assert sound["end"] == 9.0
    assert "duration" not in sound  # the service finds it out


def test_a_sound_that_cannot_be_measured_needs_its_length() -> None:
    error = looking({"audio_url": "https://cdn.example/v.ogg"}, there("audio/ogg", b"OggS" + bytes(50)))
    assert (type(error), error.code) == (InvalidPayload, "length_unknown")
    assert "give duration_s" in str(error)
    long = looking({"audio_url": "https://cdn.example/v.mp3"}, replace(there("audio/mpeg", voice()), cut=True))
    assert (type(long), long.code) == (InvalidPayload, "media_too_large")


def test_our_own_files_are_there_and_of_the_right_kind() -> None:
    store = media()
    gone = MediaAsset(store.assets[VOICE_ID].id, "memory://gone", "audio/mpeg", 5, "sha")
    unheard = "01930000-0000-7000-8000-00000000dead"
    for data, assets, words in (
        ({"audio_asset_id": unheard}, {}, f"There is no media asset {unheard}"),
        ({"audio_asset_id": VOICE_ID}, {VOICE_ID: gone}, "is not in storage"),
        ({"audio_asset_id": PICTURE_ID}, {}, "is image/png, where audio is needed"),
        ({"images": [{"asset_id": VOICE_ID}]}, {}, "is audio/mpeg, where image is needed"),
        (
            {"preset": {"preset_id": "p", "replacements": {"video1": {"asset_id": VOICE_ID}}}},
            {},
            "where video is needed",
        ),
        ({"title": "x", "cover": {"asset_id": VOICE_ID}}, {}, "where image is needed"),
    ):
        here = media()
        here.assets |= assets
        error = looking(data, media=here)
        assert isinstance(error, InvalidPayload), words
        assert words in str(error)


def test_the_length_that_was_noted_counts() -> None:
    store = media()
    voice_asset = store.assets[VOICE_ID]
    noted = MediaAsset(voice_asset.id, voice_asset.uri, "audio/mpeg", 5, "sha", {"duration_s": 7.25})
    store.assets[VOICE_ID] = noted
    outcome = looking({"audio_asset_id": VOICE_ID}, drafted(), media=store)
    assert outcome.progress["audio_s"] == 7.25


def test_links_stand_in_place_of_references_all_the_way_down() -> None:
    store = Memory()
    for asset_id, mime in ((VOICE_ID, "audio/mpeg"), (PICTURE_ID, "image/png")):
        store.stored(asset_id, voice(), mime)
    data = {
        "preset": {"preset_id": "p", "replacements": {"image1": {"asset_id": PICTURE_ID}, "text1": "x"}},
        "workflow": {
            "script": [
                {"type": "action", "action_type": "add_audio", "params": {"audio_url": "${sound}", "volume": 0.5}}
            ],
            "inputs": {"sound": {"asset_id": VOICE_ID}},
        },
        "render_within_s": 600,
    }
    using = Scripted(drafted(), *FETCHED)
    walked(using, data, media=store)
    preset, workflow = using.requests[1:3]
    link = f"https://media.example/{PICTURE_ID}?lasts=4200&token=planted-media-token"
    assert body(preset)["replacements"] == [{"image1": link}, {"text1": "x"}]
    assert link in preset.credentials()
    sound = f"https://media.example/{VOICE_ID}?lasts=4200&token=planted-media-token"
    assert body(workflow)["script"][0]["params"] == f'{{"audio_url": "{sound}", "volume": "0.5"}}'
    assert body(workflow)["inputs"] == {"sound": sound}
    assert sound in workflow.credentials()


@pytest.mark.parametrize("ours", ["http://127.0.0.1:8000", "http://10.0.0.5", "http://mesh:8000", "http://[::1]:8000"])
def test_a_service_that_cannot_reach_us_is_told_nothing(ours: str) -> None:
    """It would render the video without our files, and call that a success."""

    class Near(Memory):
        def link(self, asset: MediaAsset, lasts_s: float) -> str:
            return f"{ours}/media/{asset.id}?token=planted-media-token"

    store = Near()
    store.stored(VOICE_ID, voice(), "audio/mpeg")
    error = looking({"audio_asset_id": VOICE_ID}, media=store)
    assert (type(error), error.code) == (AccountBlocked, "media_out_of_reach")
    assert f"from {ours}: set MESH_HOOKS_URL" in str(error)
    near = looking({"audio_asset_id": VOICE_ID}, drafted(), media=store, base_url="http://127.0.0.1:9001")
    assert isinstance(near, Wait)

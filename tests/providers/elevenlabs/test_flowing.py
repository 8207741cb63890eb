"""Answers that come while they are made: a break is never taken for the end, and a bad line is never passed over."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from model import Done
from providers.contract import Repeat
from providers.elevenlabs import PROVIDER, flowing
from providers.errors import OutcomeUnknown
from providers.http import Answer
from sandbox.audio import sound
from sandbox.process import Sandbox
from tests.providers.doubles import Memory, Scripted, answer, once, serving, transport
from tests.providers.elevenlabs.calls import FORMAT, calling
from tests.providers.elevenlabs.roads import ASSET, Road, bill

CHUNKED = {"Transfer-Encoding": "chunked"}
SPEECH = {"text": "Welcome back to Margin Notes.", "voice_id": "v_host", "stream": True}
LONG = {**SPEECH, "text": "One sentence of many. " * 500}
DIALOGUE = {"inputs": [{"text": "Hello there.", "voice_id": "v_host"}], "stream": True, "timestamps": True}
PODCAST = {"segments": [{"speaker": "v_host", "text": "One."}, {"speaker": "v_guest", "text": "Two."}], "stream": True}
TIMES = {"characters": ["H"], "character_start_times_seconds": [0.0], "character_end_times_seconds": [0.1]}


def line(content: bytes = b"", **times: Any) -> bytes:
    return json.dumps({"audio_base64": b64encode(content).decode(), **times}).encode()


def streamed(content: bytes, headers: dict[str, str] | None = None) -> Answer:
    return answer(200, content, CHUNKED if headers is None else headers)


@pytest.mark.parametrize(
    ("event_type", "data", "door"),
    [
        ("audio.render_requested", SPEECH, "/v1/text-to-speech/v_host/stream"),
        ("audio.render_requested", {**SPEECH, "timestamps": True}, "/v1/text-to-speech/v_host/stream/with-timestamps"),
        ("dialogue.render_requested", DIALOGUE, "/v1/text-to-dialogue/stream/with-timestamps"),
        ("podcast.render_requested", PODCAST, "/v1/text-to-speech/v_guest/stream"),
        ("music.render_requested", {"prompt": "calm bed", "stream": True}, "/v1/music/stream"),
        (
            "voice.change_requested",
            {"asset_id": ASSET, "voice_id": "v_host", "stream": True},
            "/v1/voice-changer/v_host/stream",
        ),
        ("audio.isolate_requested", {"asset_id": ASSET, "stream": True}, "/v1/audio-isolation/stream"),
    ],
)
def test_what_streams_ends_as_without_it(sandbox: Sandbox, event_type: str, data: Any, door: str) -> None:
    road = Road(sandbox, event_type, data)
    done = road.end()
    assert sandbox.control.counts(path=door)["requests"] == 1
    plain = Road(sandbox, event_type, {name: value for name, value in data.items() if name != "stream"})
    plain.end()
    names = [asset.uri.removeprefix("memory://") for asset in done.assets]
    assert names
    assert [road.media.files[name] for name in names] == [plain.media.files[name] for name in names]


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_stream_that_breaks_off_is_found_in_the_history_and_not_bought_twice(
    sandbox: Sandbox, timestamps: bool
) -> None:
    road = Road(sandbox, "audio.render_requested", {**SPEECH, "timestamps": timestamps})
    sandbox.control.add_rule("/v1/text-to-speech/v_host/stream*", {"truncate": True}, times=1)
    with pytest.raises(OutcomeUnknown):
        road.step()
    assert not road.media.kept
    found = road.find()
    assert isinstance(found, Done)
    assert found.result["recovered"] is True
    assert bill(sandbox) == {"characters": 29, "generations": 1}


def test_a_long_text_streams_piece_by_piece_and_goes_on_behind_a_break(sandbox: Sandbox) -> None:
    road = Road(sandbox, "audio.render_requested", LONG)
    road.step()
    sandbox.control.add_rule("/v1/text-to-speech/v_host/stream", {"truncate": True}, times=1)
    with pytest.raises(OutcomeUnknown):
        road.step()
    assert road.find() is not None
    road.end()
    assert bill(sandbox)["generations"] == 2


def test_music_that_breaks_off_is_for_a_person(sandbox: Sandbox) -> None:
    road = Road(sandbox, "music.render_requested", {"prompt": "calm bed", "stream": True})
    sandbox.control.add_rule("/v1/music/stream", {"truncate": True}, times=1)
    with pytest.raises(OutcomeUnknown):
        road.step()
    assert PROVIDER.actions["music.render_requested"].repeat_after({}) is Repeat.NEVER
    assert not road.media.kept


def test_a_body_that_only_the_connection_ends_is_no_end() -> None:
    """Cut in the middle, it looks like one that is whole."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\n"
    with serving(once(head + sound(FORMAT, 1.0))) as server, transport() as real:
        call = calling(real, "audio.render_requested", SPEECH, base_url=server.base_url, media=Memory())
        with pytest.raises(OutcomeUnknown, match="no end that could be told from a break") as broken:
            PROVIDER.actions["audio.render_requested"].run(call)
    assert broken.value.code == "answer_unusable"


@pytest.mark.parametrize(("output_format", "cut"), [(FORMAT, 1), (FORMAT, 100), ("mp3_22050_32", 7), ("pcm_16000", 1)])
def test_a_stream_that_ends_well_with_half_a_frame_has_broken_off(output_format: str, cut: int) -> None:
    content = sound(output_format, 1.0)
    assert flowing.sound(streamed(content), output_format) == content
    with pytest.raises(OutcomeUnknown, match="breaks off in the middle of a frame"):
        flowing.sound(streamed(content[:-cut]), output_format)
    with pytest.raises(OutcomeUnknown, match="breaks off in the middle of a frame"):
        flowing.lines(streamed(line(content[:-cut])), output_format)


def test_lines_become_one_sound_and_one_list_of_times() -> None:
    content = sound(FORMAT, 1.0)
    later = {**TIMES, "character_start_times_seconds": [0.1], "character_end_times_seconds": [0.2]}
    body = b"\n".join(
        [line(content[:50], alignment=TIMES, normalized_alignment=None), b"", line(content[50:], alignment=later)]
    )
    found, times = flowing.lines(streamed(body), FORMAT)
    assert found == content
    assert times == {
        "alignment": {
            "characters": ["H", "H"],
            "character_start_times_seconds": [0.0, 0.1],
            "character_end_times_seconds": [0.1, 0.2],
        }
    }


@pytest.mark.parametrize(
    "bad",
    [
        b'{"audio_base64": "SUQz',
        b'{"detail": {"code": "internal_error", "message": "m"}}',
        b'{"audio_base64": 5}',
        b'{"audio_base64": "%%%"}',
        b"[]",
        b"null",
        line(alignment={**TIMES, "characters": ["H", "i"]}),
        line(alignment=[]),
    ],
)
def test_a_bad_line_fails_and_is_shown(bad: bytes) -> None:
    content = sound(FORMAT, 1.0)
    with pytest.raises(OutcomeUnknown, match=r"a line that is not understood \(2: ") as failed:
        flowing.lines(streamed(b"\n".join([line(content), bad, line(content)])), FORMAT)
    assert bad[:8].decode() in str(failed.value)


def test_a_key_in_a_bad_line_is_not_shown() -> None:
    scripted = Scripted(streamed(b'{"error": "key sk_0123456789abcdef"}'))
    with pytest.raises(OutcomeUnknown) as failed:
        PROVIDER.actions["audio.render_requested"].run(
            calling(scripted, "audio.render_requested", {**SPEECH, "timestamps": True})
        )
    assert "sk_0123456789abcdef" not in str(failed.value)


def test_a_stream_without_anything_is_no_file() -> None:
    with pytest.raises(OutcomeUnknown, match="is empty"):
        PROVIDER.actions["audio.render_requested"].run(
            calling(Scripted(streamed(b"")), "audio.render_requested", {**SPEECH, "timestamps": True})
        )

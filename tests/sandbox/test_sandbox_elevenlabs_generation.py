"""What ElevenLabs' stand-in generates: timestamps, dialogue, stitching, voice changing; quota and concurrency."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.control import SandboxRefused
from sandbox.elevenlabs.concurrency import Lane
from sandbox.elevenlabs.errors import Refusal
from sandbox.process import Sandbox, start
from tests.sandbox.elevenlabs_judge import KEY, NEEDS_FOLDER, TEXT, ask, check, client_of, document, refusal

httpx = pytest.importorskip("httpx", reason="NOT CHECKED: httpx, which the official client is made of, is absent")
LINES = [
    {"text": "[cheerfully] Hello there.", "voice_id": "v_host"},
    {"text": "Good to be here.", "voice_id": "v_guest"},
]
SPOKEN = "".join(line["text"] for line in LINES)
ARRIVES_S = 5
FOREVER_S = 3600  # a generation that does not end within a test


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


def speak(client: Any, text: str = TEXT, voice_id: str = "v_host", **options: Any) -> tuple[str, bytes]:
    """Request id and sound."""
    with client.text_to_speech.with_raw_response.convert(voice_id, text=text, **options) as answer:
        sound = b"".join(answer.data)
        return answer.headers["request-id"], sound


def talk(client: Any, **options: Any) -> tuple[str, bytes]:
    with client.text_to_dialogue.with_raw_response.convert(inputs=LINES, **options) as answer:
        sound = b"".join(answer.data)
        return answer.headers["request-id"], sound


def abandon(sandbox: Sandbox, **options: Any) -> None:
    """Ask for speech and leave before it is there."""
    client = client_of(sandbox)
    before = len(sandbox.control.received())
    with pytest.raises(httpx.ReadTimeout):
        speak(client, request_options={"timeout_in_seconds": 0.2}, **options)
    deadline = time.monotonic() + ARRIVES_S
    while len(sandbox.control.received()) == before:
        assert time.monotonic() < deadline, "the request never arrived"


def do(sandbox: Sandbox, action: str, **arguments: Any) -> Any:
    return sandbox.control.do("elevenlabs", action, **arguments)


# --------------------------------------------------------------------------------------------------------- timestamps


def test_the_history_has_the_times_of_what_was_made_with_them(client: Any) -> None:
    said = client.text_to_speech.convert_with_timestamps("v_host", text=TEXT)
    b"".join(client.text_to_speech.convert("v_host", text=TEXT))
    plain, timed = client.history.list().history
    assert plain.alignments is None
    assert timed.alignments.alignment.characters == said.alignment.characters


def test_speech_with_the_time_of_every_character(client: Any) -> None:
    _, sound = speak(client)
    said = client.text_to_speech.convert_with_timestamps("v_host", text=TEXT)
    assert base64.b64decode(said.audio_base_64) == sound
    assert "".join(said.alignment.characters) == TEXT
    ends, starts = said.alignment.character_end_times_seconds, said.alignment.character_start_times_seconds
    assert len(ends) == len(starts) == len(TEXT)
    assert starts[1:] == ends[:-1]
    assert said.normalized_alignment == said.alignment


def test_streamed_timestamps_are_lines_that_add_up(sandbox: Sandbox, client: Any) -> None:
    text = TEXT * 4
    pieces = list(client.text_to_speech.stream_with_timestamps("v_host", text=text))
    assert len(pieces) > 1
    assert b"".join(base64.b64decode(one.audio_base_64) for one in pieces) == speak(client, text)[1]
    assert "".join(letter for one in pieces for letter in one.alignment.characters) == text
    starts = [at for one in pieces for at in one.alignment.character_start_times_seconds]
    assert starts == sorted(starts)
    assert sandbox.control.bill()["elevenlabs"][KEY]["generations"] == 2


def test_a_client_that_repeats_json_calls_pays_for_each(sandbox: Sandbox, client: Any) -> None:
    sandbox.control.add_rule("/v1/text-to-speech/*", "elevenlabs:internal_error_after", times=1)
    client.text_to_speech.convert_with_timestamps("v_host", text=TEXT)  # repeated by the client itself
    assert sandbox.control.bill()["elevenlabs"][KEY] == {"characters": 2 * len(TEXT), "generations": 2}


# ----------------------------------------------------------------------------------------------------------- dialogue


def test_a_dialogue_is_billed_and_in_the_history_as_its_lines(sandbox: Sandbox, client: Any) -> None:
    request_id, sound = talk(client, seed=7)
    assert sound.startswith(b"\xff\xfb")
    assert sandbox.control.bill()["elevenlabs"][KEY] == {"characters": len(SPOKEN), "generations": 1}
    (item,) = client.history.list().history
    assert (item.request_id, item.text, item.voice_id, item.model_id) == (request_id, None, None, "eleven_v3")
    assert [(line.text, line.voice_id) for line in item.dialogue] == [(one["text"], one["voice_id"]) for one in LINES]
    assert b"".join(client.history.get_audio(item.history_item_id)) == sound


def test_a_dialogue_with_timestamps_says_who_speaks_when(client: Any) -> None:
    said = client.text_to_dialogue.convert_with_timestamps(inputs=LINES)
    first, second = said.voice_segments
    assert (first.voice_id, second.voice_id) == ("v_host", "v_guest")
    assert SPOKEN[second.character_start_index : second.character_end_index] == LINES[1]["text"]
    assert first.end_time_seconds == second.start_time_seconds
    assert len(said.alignment.characters) == len(SPOKEN)
    pieces = list(client.text_to_dialogue.stream_with_timestamps(inputs=LINES))
    assert b"".join(base64.b64decode(one.audio_base_64) for one in pieces) == base64.b64decode(said.audio_base_64)
    assert [one.voice_segments[0] for one in pieces] == said.voice_segments
    assert b"".join(client.text_to_dialogue.stream(inputs=LINES)) == base64.b64decode(said.audio_base_64)


@pytest.mark.parametrize(
    ("options", "status", "code", "param"),
    [
        ({"inputs": [{"text": "a" * 1001, "voice_id": "v_host"}] * 2}, 400, "text_too_long", "inputs"),
        ({"inputs": [{"text": "a", "voice_id": f"v_{n}"} for n in range(11)]}, 400, "invalid_parameters", "inputs"),
        ({"inputs": []}, 400, "empty_text", "inputs"),
        ({"inputs": [{"text": "a", "voice_id": "missing_1"}]}, 404, "voice_not_found", "voice_id"),
        ({"inputs": LINES, "model_id": "eleven_multilingual_v2"}, 400, "unsupported_model", "model_id"),
        ({"inputs": LINES, "future_text": "a" * 101}, 400, "invalid_parameters", "future_text"),
        ({"inputs": LINES, "seed": -1}, 400, "invalid_parameters", "seed"),
        ({"inputs": LINES, "settings": {"stability": 2}}, 400, "invalid_voice_settings", "settings"),
    ],
)
def test_a_refused_dialogue_costs_nothing(
    sandbox: Sandbox, client: Any, options: dict[str, Any], status: int, code: str, param: str
) -> None:
    got, detail = refusal(client.text_to_dialogue.convert, **options)
    assert (got, detail["code"], detail["param"]) == (status, code, param)
    assert sandbox.control.bill() == {}


# ---------------------------------------------------------------------------------------------------------- stitching


def test_pieces_are_stitched_to_what_was_said_before_and_after(sandbox: Sandbox, client: Any) -> None:
    ids = [speak(client, f"Part {n}.")[0] for n in range(4)]
    speak(client, "Part 2, again.", previous_request_ids=ids[:2], next_request_ids=ids[3:])
    last = do(sandbox, "generations", key=KEY)[-1]
    assert (last["text"], last["previous_request_ids"], last["next_request_ids"]) == (
        "Part 2, again.",
        ids[:2],
        ids[3:],
    )


def test_dialogues_are_stitched_to_dialogues(client: Any) -> None:
    first, speech = talk(client)[0], speak(client)[0]
    assert talk(client, previous_request_ids=[first])[1]
    status, detail = refusal(client.text_to_dialogue.convert, inputs=LINES, previous_request_ids=[speech])
    assert (status, detail["param"]) == (400, "previous_request_ids")


def test_ids_that_cannot_be_stitched_to(sandbox: Sandbox, client: Any) -> None:
    kept, unkept = speak(client)[0], speak(client, enable_logging=False)[0]

    def refused(**options: Any) -> tuple[str, str]:
        status, detail = refusal(client.text_to_speech.convert, "v_host", text=TEXT, **options)
        assert status == 400
        return detail["code"], detail["param"]

    assert refused(previous_request_ids=[kept] * 4) == ("invalid_parameters", "previous_request_ids")
    assert refused(next_request_ids=["guessed"]) == ("invalid_parameters", "next_request_ids")
    assert refused(previous_request_ids=[unkept]) == ("invalid_parameters", "previous_request_ids")
    assert refused(previous_request_ids=[kept], model_id="eleven_v3") == ("unsupported_model", "previous_request_ids")
    assert do(sandbox, "expire_request_ids") == 2
    assert refused(previous_request_ids=[kept]) == ("invalid_parameters", "previous_request_ids")
    assert sandbox.control.bill()["elevenlabs"][KEY]["generations"] == 2


# ------------------------------------------------------------------------------------------------------ voice changer


@pytest.mark.parametrize("stream", [False, True])
def test_a_recording_in_another_voice(sandbox: Sandbox, client: Any, stream: bool) -> None:
    change = client.speech_to_speech.stream if stream else client.speech_to_speech.convert
    recording = ("in.mp3", b"\xff\xfb" + bytes(16_000 * 6 - 2), "audio/mpeg")  # six seconds at 128 kbit/s
    sound = b"".join(change("v_guest", audio=recording, model_id="eleven_multilingual_sts_v2"))
    assert len(sound) == pytest.approx(16_000 * 6, rel=0.01)
    assert sandbox.control.bill()["elevenlabs"][KEY] == {"characters": 100, "generations": 1}
    (item,) = client.history.list(source="STS").history
    assert (item.source, item.voice_id) == ("STS", "v_guest")
    assert client.history.list(source="TTS").history == []


def test_refused_recordings(sandbox: Sandbox, client: Any) -> None:
    change = client.speech_to_speech.convert
    assert refusal(change, "missing_1", audio=b"RIFF")[1]["code"] == "voice_not_found"
    assert refusal(change, "v_host", audio=b"RIFF", model_id="eleven_v3")[1]["code"] == "unsupported_model"
    assert refusal(change, "v_host", audio=b"")[1]["code"] == "invalid_audio"
    assert refusal(change, "v_host", audio=b"RIFF", voice_settings='{"style": 7}')[1]["code"] == (
        "invalid_voice_settings"
    )
    assert refusal(change, "v_host", audio=b"RIFF", voice_settings="loud")[1]["code"] == "invalid_voice_settings"
    assert sandbox.control.bill() == {}


# -------------------------------------------------------------------------------------------------------------- quota


def test_the_quota_runs_out(sandbox: Sandbox, client: Any) -> None:
    speak(client)
    do(sandbox, "set_quota", left=len(TEXT), key=KEY)
    speak(client)
    status, detail = refusal(client.text_to_speech.convert, "v_host", text="a")
    assert (status, detail["status"], set(detail)) == (401, "quota_exceeded", {"status", "message"})
    assert sandbox.control.bill()["elevenlabs"][KEY] == {"characters": 2 * len(TEXT), "generations": 2}
    account = client.user.subscription.get()
    assert account.character_limit - account.character_count == 0
    speak(client_of(sandbox, "sk_other"))  # whose quota is its own
    do(sandbox, "set_quota", left=1)
    assert speak(client, "a")[1]


# -------------------------------------------------------------------------------------------------------- concurrency


def test_a_lane_runs_so_many_lets_so_many_wait_and_refuses_the_rest() -> None:
    lane = Lane()
    done = [lane.enter(100.0, ceiling=2, queue=2, takes_s=10.0) for _ in range(4)]
    assert done == [110.0, 110.0, 120.0, 120.0]
    assert (lane.running(100.0), lane.running(115.0), lane.running(120.0)) == (2, 2, 0)
    with pytest.raises(Refusal) as raised:
        lane.enter(101.0, ceiling=2, queue=2, takes_s=10.0)
    assert raised.value.headers == {"current-concurrent-requests": "2", "maximum-concurrent-requests": "2"}
    assert lane.enter(110.0, ceiling=2, queue=2, takes_s=10.0) == 130.0
    assert (lane.busiest, lane.refused) == (2, 1)


def test_above_the_ceiling_of_the_plan_requests_are_refused(sandbox: Sandbox, client: Any) -> None:
    do(sandbox, "set_concurrency", maximum=2, queue=0, key=KEY)
    do(sandbox, "set_pace", seconds=FOREVER_S, key=KEY)
    for _ in range(2):
        abandon(sandbox)
    status, detail = refusal(client.text_to_speech.convert, "v_host", text=TEXT)
    assert (status, detail["code"], detail["status"]) == (
        429,
        "concurrent_limit_exceeded",
        "too_many_concurrent_requests",
    )
    assert sandbox.control.bill()["elevenlabs"][KEY]["generations"] == 2
    do(sandbox, "set_pace", seconds=0, key=KEY)
    assert speak(client, model_id="eleven_flash_v2_5")[1]  # another group of models
    assert speak(client_of(sandbox, "sk_other"))[1]  # another workspace
    assert do(sandbox, "concurrency", key=KEY) == {
        "standard": {"busiest": 2, "refused": 1},
        "turbo": {"busiest": 1, "refused": 0},
    }


def test_the_headers_count_what_runs_and_say_the_ceiling(sandbox: Sandbox, client: Any) -> None:
    do(sandbox, "set_concurrency", maximum=5)
    do(sandbox, "set_pace", seconds=FOREVER_S)
    abandon(sandbox)
    do(sandbox, "set_pace", seconds=0)

    def said(**options: Any) -> tuple[str, str]:
        with client.text_to_speech.with_raw_response.convert("v_host", text=TEXT, **options) as answer:
            assert b"".join(answer.data)
            return answer.headers["current-concurrent-requests"], answer.headers["maximum-concurrent-requests"]

    assert said() == ("2", "5")
    assert said(model_id="eleven_turbo_v2") == ("1", "10")


def test_what_takes_its_time_is_paid_at_once_and_finished_without_its_client(sandbox: Sandbox, client: Any) -> None:
    do(sandbox, "set_pace", seconds=FOREVER_S)
    abandon(sandbox)
    assert sandbox.control.bill()["elevenlabs"][KEY]["generations"] == 1
    (item,) = client.history.list().history
    assert item.state == "processing"
    status, detail = refusal(client.history.get_audio, item.history_item_id)
    assert (status, detail["code"]) == (409, "already_processing")


def test_a_pace_is_kept(sandbox: Sandbox, client: Any) -> None:
    do(sandbox, "set_pace", seconds=0.2)
    began = time.monotonic()
    assert speak(client)[1]
    assert time.monotonic() - began >= 0.2
    assert client.history.list().history[0].state == "created"


@pytest.mark.parametrize(
    ("action", "arguments", "words"),
    [
        ("set_quota", {"left": -1}, "left is a number"),
        ("set_concurrency", {"maximum": 0}, "maximum is a number"),
        ("set_pace", {"seconds": "slow"}, "seconds is a number"),
        ("generations", {"key": "sk_unseen"}, "never used"),
    ],
)
def test_actions_that_mean_nothing(sandbox: Sandbox, action: str, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SandboxRefused, match=words):
        do(sandbox, action, **arguments)


@NEEDS_FOLDER
def test_generations_validate_against_the_schemas(sandbox: Sandbox, client: Any) -> None:
    body = json.dumps({"text": TEXT}).encode()
    check("AudioWithTimestampsResponse", ask(sandbox, "POST", "/v1/text-to-speech/v_host/with-timestamps", body))
    body = json.dumps({"inputs": LINES}).encode()
    check(
        "AudioWithTimestampsAndVoiceSegmentsResponseModel",
        ask(sandbox, "POST", "/v1/text-to-dialogue/with-timestamps", body),
    )
    b"".join(client.speech_to_speech.convert("v_host", audio=b"RIFF"))
    check("GetSpeechHistoryResponse", ask(sandbox, "GET", "/v1/history"))
    for item in ask(sandbox, "GET", "/v1/history")["history"]:
        check("SpeechHistoryItemResponse", item)


@NEEDS_FOLDER
def test_lines_of_a_stream_validate_against_the_schemas(client: Any) -> None:
    schemas = document("sdk-2.78.0-schemas.json")["schemas"]
    assert "StreamingAudioChunkWithTimestampsResponse" in schemas
    for one in client.text_to_speech.stream_with_timestamps("v_host", text=TEXT):
        check("StreamingAudioChunkWithTimestampsResponse", one.model_dump(by_alias=True))
    for one in client.text_to_dialogue.stream_with_timestamps(inputs=LINES):
        check("StreamingAudioChunkWithTimestampsAndVoiceSegmentsResponseModel", one.model_dump(by_alias=True))

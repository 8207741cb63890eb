"""The ElevenLabs stand-in against the official client, unmodified, and the schemas of its models."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sandbox.elevenlabs.models import MODELS
from sandbox.elevenlabs.voice import VOICES
from sandbox.process import Sandbox, start
from tests.sandbox.elevenlabs_judge import NEEDS_FOLDER, check

elevenlabs = pytest.importorskip("elevenlabs", reason="the official elevenlabs client is not installed")
from elevenlabs.client import ElevenLabs  # noqa: E402
from elevenlabs.core.api_error import ApiError  # noqa: E402

KEY = "sk_test"
TEXT = "Welcome back to Margin Notes."


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def client(sandbox: Sandbox) -> ElevenLabs:
    return ElevenLabs(base_url=sandbox.url, api_key=KEY)


def speak(client: ElevenLabs, text: str = TEXT, voice_id: str = "v_host", **options: Any) -> bytes:
    return b"".join(client.text_to_speech.convert(voice_id, text=text, **options))


def refusal(call: Any, *args: Any, **kwargs: Any) -> tuple[int | None, Any]:
    with pytest.raises(ApiError) as raised:
        call(*args, **kwargs)
    return raised.value.status_code, raised.value.body["detail"]


def get(sandbox: Sandbox, path: str) -> Any:
    with urlopen(Request(sandbox.url + path, headers={"xi-api-key": KEY}), timeout=5) as answer:
        return json.load(answer)


def mp3_frames(data: bytes, frame: int) -> int:
    """How many frames of one length the data consists of, all with the same header."""
    assert len(data) % frame == 0
    headers = {data[at : at + 4] for at in range(0, len(data), frame)}
    assert len(headers) == 1
    assert data[0] == 0xFF
    assert data[1] & 0xE0 == 0xE0
    return len(data) // frame


def test_speech_is_mp3_as_long_as_the_text(client: ElevenLabs) -> None:
    frames = mp3_frames(speak(client), frame=417)  # 144 * 128,000 / 44,100
    assert frames * 1152 / 44_100 == pytest.approx(len(TEXT) * 0.06, abs=0.03)
    assert mp3_frames(speak(client, output_format="mp3_22050_32"), frame=104) > 0


def test_the_stream_is_the_same_in_pieces(client: ElevenLabs) -> None:
    assert b"".join(client.text_to_speech.stream("v_host", text=TEXT)) == speak(client)


def test_the_headers_of_an_answer(client: ElevenLabs) -> None:
    with client.text_to_speech.with_raw_response.convert("v_host", text=TEXT) as answer:
        assert b"".join(answer.data)
        headers = answer.headers
    assert headers["character-cost"] == str(len(TEXT))
    assert headers["current-concurrent-requests"] == "1"
    assert int(headers["maximum-concurrent-requests"]) > 1
    assert headers["request-id"]
    assert headers["x-trace-id"]


def test_pcm_wav_and_the_rest(client: ElevenLabs) -> None:
    seconds = len(TEXT) * 0.06
    assert len(speak(client, output_format="pcm_16000")) == pytest.approx(2 * 16_000 * seconds, abs=4)
    with wave.open(io.BytesIO(speak(client, output_format="wav_24000"))) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 24_000)
        assert sound.getnframes() / 24_000 == pytest.approx(seconds, abs=0.01)
    assert speak(client, output_format="opus_48000_64").startswith(b"OggS")
    assert len(speak(client, output_format="ulaw_8000")) == pytest.approx(8000 * seconds, abs=2)


def test_history_is_read_page_by_page(client: ElevenLabs) -> None:
    for n in range(5):
        speak(client, text=f"Part {n}.", voice_id="v_guest" if n == 2 else "v_host")
    first = client.history.list(page_size=2)
    second = client.history.list(page_size=3, start_after_history_item_id=first.last_history_item_id)
    assert [item.text for item in first.history + second.history] == [f"Part {n}." for n in (4, 3, 2, 1, 0)]
    assert (first.has_more, second.has_more) == (True, False)
    (guest,) = client.history.list(voice_id="v_guest").history
    assert client.history.get(guest.history_item_id) == guest
    assert guest.character_count_change_to - guest.character_count_change_from == len("Part 2.")
    assert mp3_frames(b"".join(client.history.get_audio(guest.history_item_id)), frame=417) > 0


def test_history_by_time_source_and_order(client: ElevenLabs) -> None:
    speak(client, text="One.")
    speak(client, text="Two.")
    made = client.history.list(sort_direction="asc").history
    assert [item.text for item in made] == ["One.", "Two."]
    assert len(client.history.list(date_after_unix=made[0].date_unix, source="TTS").history) == 2
    assert client.history.list(date_before_unix=made[0].date_unix).history == []
    assert client.history.list(source="STS").history == []
    status, detail = refusal(client.history.list, model_id="eleven_v3")
    assert (status, detail[0]["loc"]) == (422, ["query", "source"])
    client.history.delete(made[0].history_item_id)
    assert [item.text for item in client.history.list().history] == ["Two."]


def test_keys_do_not_see_each_other(sandbox: Sandbox, client: ElevenLabs) -> None:
    speak(client)
    other = ElevenLabs(base_url=sandbox.url, api_key="sk_other")
    assert other.history.list().history == []
    assert sandbox.control.bill() == {"elevenlabs": {KEY: {"characters": len(TEXT), "generations": 1}}}


def test_models_voices_and_account(client: ElevenLabs) -> None:
    models = {model.model_id: model.maximum_text_length_per_request for model in client.models.list()}
    assert models == {model_id: model.max_characters for model_id, model in MODELS.items()}
    assert {voice.voice_id for voice in client.voices.get_all().voices} == set(VOICES)
    assert client.voices.get("v_host").name == "Host"
    pages = [client.voices.search(page_size=5)]
    while pages[-1].has_more:
        pages.append(client.voices.search(page_size=5, next_page_token=pages[-1].next_page_token))
    assert [voice.voice_id for page in pages for voice in page.voices] == list(VOICES)
    speak(client)
    assert client.user.get().subscription.character_count == len(TEXT)
    assert client.user.subscription.get().character_count == len(TEXT)


def test_flash_costs_half(sandbox: Sandbox, client: ElevenLabs) -> None:
    speak(client, text="x" * 11, model_id="eleven_flash_v2_5")
    assert sandbox.control.bill()["elevenlabs"][KEY]["characters"] == 6


def test_zero_retention_is_billed_and_not_in_history(sandbox: Sandbox, client: ElevenLabs) -> None:
    speak(client, enable_logging=False)
    assert client.history.list().history == []
    assert sandbox.control.bill()["elevenlabs"][KEY]["generations"] == 1


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"text": "x" * 3001, "model_id": "eleven_v3"}, 400, "text_too_long"),
        ({"text": " "}, 400, "empty_text"),
        ({"output_format": "mp3_1_1"}, 400, "invalid_output_format"),
        ({"voice_id": "missing_voice"}, 404, "voice_not_found"),
        ({"model_id": "eleven_none"}, 404, "model_not_found"),
        ({"voice_id": "missing_voice", "output_format": "pcm_16000"}, 404, "voice_not_found"),
    ],
)
def test_a_refused_request_is_not_billed(
    sandbox: Sandbox, client: ElevenLabs, options: dict[str, Any], status: int, code: str
) -> None:
    got, detail = refusal(speak, client, **options)
    assert (got, detail["code"]) == (status, code)
    assert set(detail) == {"type", "code", "message", "status", "request_id", "param"}
    assert sandbox.control.bill() == {}


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b"{}", ["body", "text"]),
        (b'{"text": 5}', ["body", "text"]),
        (b'{"text": "a", "model_id": []}', ["body", "model_id"]),
        (b'{"text": "a", "voice_settings": 1}', ["body", "voice_settings"]),
        (b"{", ["body", "0"]),
    ],
)
def test_a_body_of_another_shape_is_a_validation_list(sandbox: Sandbox, body: bytes, loc: list[str]) -> None:
    request = Request(sandbox.url + "/v1/text-to-speech/v_host", body, {"xi-api-key": KEY}, method="POST")
    with pytest.raises(HTTPError) as raised:
        urlopen(request, timeout=5)
    with raised.value as answer:
        assert answer.status == 422
        assert json.load(answer)["detail"][0]["loc"] == loc


@pytest.mark.parametrize(
    ("key", "code"),
    [("", "missing_api_key"), ("bad_key", "invalid_api_key"), ("empty_key", "quota_exceeded")],
)
def test_keys_that_do_not_work(sandbox: Sandbox, key: str, code: str) -> None:
    status, detail = refusal(speak, ElevenLabs(base_url=sandbox.url, api_key=key))
    assert (status, detail.get("code", detail["status"])) == (401, code)


@pytest.mark.parametrize("fault", ["drop-after", "reset-after", "500-after", "truncate", {"status": 503, "work": True}])
def test_a_generation_whose_answer_was_lost_is_billed_and_in_history(
    sandbox: Sandbox, client: ElevenLabs, fault: Any
) -> None:
    sandbox.control.add_rule("/v1/text-to-speech/*", fault, times=1)
    with pytest.raises(Exception):  # noqa: B017, PT011 - each loss is another error of httpx or of the client
        speak(client)
    assert sandbox.control.bill()["elevenlabs"][KEY] == {"characters": len(TEXT), "generations": 1}
    assert [item.text for item in client.history.list().history] == [TEXT]
    assert speak(client)


@pytest.mark.parametrize("fault", ["drop", "reset", "500"])
def test_a_loss_before_the_work_costs_nothing(sandbox: Sandbox, client: ElevenLabs, fault: str) -> None:
    sandbox.control.add_rule("/v1/text-to-speech/*", fault, times=1)
    with pytest.raises(Exception):  # noqa: B017, PT011
        speak(client)
    assert (sandbox.control.bill(), client.history.list().history) == ({}, [])


@NEEDS_FOLDER
def test_answers_validate_against_the_schemas_of_the_client(sandbox: Sandbox, client: ElevenLabs) -> None:
    speak(client)
    item_id = client.history.list().history[0].history_item_id
    answers = {
        "GetSpeechHistoryResponse": get(sandbox, "/v1/history"),
        "SpeechHistoryItemResponse": get(sandbox, f"/v1/history/{item_id}"),
        "GetVoicesV2Response": get(sandbox, "/v2/voices"),
        "GetVoicesResponse": get(sandbox, "/v1/voices"),
        "Voice": get(sandbox, "/v1/voices/v_any"),
        "User": get(sandbox, "/v1/user"),
        "Subscription": get(sandbox, "/v1/user/subscription"),
        "VoiceSettings": get(sandbox, "/v1/voices/settings/default"),
    }
    for name, answer in [*answers.items(), *(("Model", model) for model in get(sandbox, "/v1/models"))]:
        check(name, answer)

"""ElevenLabs' stand-in beyond speech: effects, music, isolation; the library of voices and designed ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.control import SandboxRefused
from sandbox.process import Sandbox, start
from tests.sandbox.elevenlabs_judge import KEY, NEEDS_FOLDER, TEXT, ask, check, client_of, refusal

WARM = "A warm middle-aged radio host with a calm pace."


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


def bill(sandbox: Sandbox) -> Any:
    return sandbox.control.bill().get("elevenlabs", {}).get(KEY)


def test_an_effect_says_what_it_costs_and_is_not_in_the_history(sandbox: Sandbox, client: Any) -> None:
    convert = client.text_to_sound_effects.with_raw_response.convert
    with convert(text="short podcast intro whoosh", duration_seconds=2.5, output_format="mp3_44100_128") as answer:
        sound = b"".join(answer.data)
        cost = int(answer.headers["character-cost"])
    assert len(sound) == pytest.approx(2.5 * 16_000, rel=0.02)
    assert bill(sandbox) == {"characters": cost, "generations": 1}
    assert client.history.list().history == []


def test_music_has_a_song_id(sandbox: Sandbox, client: Any) -> None:
    with client.music.with_raw_response.compose(prompt="calm lo-fi bed", music_length_ms=4000) as answer:
        assert len(b"".join(answer.data)) == pytest.approx(4 * 16_000, rel=0.02)
        assert answer.headers["song-id"]
    assert b"".join(client.music.stream(prompt="calm lo-fi bed", music_length_ms=3000))
    assert bill(sandbox)["generations"] == 2


def test_a_voice_without_its_noise(sandbox: Sandbox, client: Any) -> None:
    audio = ("in.wav", bytes(32_000), "audio/wav")
    assert b"".join(client.audio_isolation.convert(audio=audio)) == b"".join(client.audio_isolation.stream(audio=audio))
    assert bill(sandbox) == {"characters": 68, "generations": 2}


def test_refused_sounds_cost_nothing(sandbox: Sandbox, client: Any) -> None:
    effect, compose = client.text_to_sound_effects.convert, client.music.compose
    assert refusal(effect, text=" ")[1]["code"] == "empty_text"
    assert refusal(effect, text="x", duration_seconds=31)[1]["param"] == "duration_seconds"
    assert refusal(effect, text="x", model_id="eleven_v3")[1]["code"] == "unsupported_model"
    assert refusal(compose)[1]["param"] == "prompt"
    assert refusal(compose, prompt="x", music_length_ms=2999)[1]["param"] == "music_length_ms"
    assert refusal(client.audio_isolation.convert, audio=b"")[1]["code"] == "invalid_audio"
    sandbox.control.do("elevenlabs", "set_quota", left=10)
    assert refusal(effect, text="x")[1]["status"] == "quota_exceeded"
    assert bill(sandbox) is None


def test_a_voice_of_the_library_is_added(sandbox: Sandbox, client: Any) -> None:
    first = client.voices.get_shared(page_size=4)
    second = client.voices.get_shared(page_size=4, page=1)
    assert (len(first.voices), len(second.voices), first.has_more, second.has_more) == (4, 2, True, False)
    assert [one.name for one in client.voices.get_shared(search="hazel").voices] == ["Hazel"]
    assert len(client.voices.get_shared(gender="male").voices) == 3
    one = first.voices[0]
    added = client.voices.share(one.public_owner_id, one.voice_id, new_name="Narrator")
    assert [voice.name for voice in client.voices.search(voice_type="community").voices] == ["Narrator"]
    assert b"".join(client.text_to_speech.convert(added.voice_id, text=TEXT))
    assert refusal(client.voices.share, "nobody", one.voice_id, new_name="N")[1]["code"] == "voice_not_found"
    client.voices.delete(added.voice_id)
    assert client.voices.share(one.public_owner_id, one.voice_id, new_name="Again").voice_id == added.voice_id
    sandbox.control.do("elevenlabs", "set_voices", library=False)
    status, detail = refusal(client.voices.share, one.public_owner_id, one.voice_id, new_name="N")
    assert (status, detail["code"], detail["status"]) == (402, "paid_plan_required", "payment_required")


def test_a_designed_voice(sandbox: Sandbox, client: Any) -> None:
    said = client.text_to_voice.design(voice_description=WARM, auto_generate_text=True)
    assert len({one.generated_voice_id for one in said.previews}) == 3
    assert base64.b64decode(said.previews[0].audio_base_64).startswith(b"\xff\xfb")
    assert bill(sandbox) == {"characters": len(said.text), "generations": 1}
    chosen = said.previews[1].generated_voice_id
    create = client.text_to_voice.create
    made = create(voice_name="Warm host", voice_description=WARM, generated_voice_id=chosen, labels={"age": "old"})
    assert (made.voice_id, made.category, made.labels) == (chosen, "generated", {"age": "old"})
    assert [one.name for one in client.voices.search(voice_type="personal").voices] == ["Warm host"]
    given = {"voice_name": "x", "voice_description": WARM, "generated_voice_id": "guessed"}
    assert refusal(create, **given)[1]["code"] == "voice_not_found"
    design = client.text_to_voice.design
    assert refusal(design, voice_description="short", auto_generate_text=True)[1]["code"] == "text_too_short"
    assert refusal(design, voice_description=WARM)[1]["code"] == "missing_required_field"
    assert refusal(design, voice_description=WARM, text="x" * 1001)[1]["code"] == "text_too_long"


def test_a_professional_clone_is_verified_and_trained(sandbox: Sandbox, client: Any) -> None:
    pvc = client.voices.pvc
    made = pvc.create(name="Pro host", language="en", labels={"accent": "us"})
    assert made.voice_id == "pro00000000000000001"
    train = pvc.train
    assert refusal(train, made.voice_id)[1]["code"] == "invalid_parameters"
    files = [("a.mp3", b"ID3a", "audio/mpeg"), ("b.mp3", b"ID3b", "audio/mpeg")]
    first, second = pvc.samples.create(made.voice_id, files=files)
    pvc.samples.update(made.voice_id, first.sample_id, file_name="intro.mp3")
    assert pvc.samples.delete(made.voice_id, second.sample_id).status == "ok"
    assert refusal(pvc.samples.delete, made.voice_id, second.sample_id)[1]["code"] == "sample_not_found"
    assert refusal(train, made.voice_id)[1]["code"] == "voice_access_denied"
    assert refusal(client.text_to_speech.convert, made.voice_id, text=TEXT)[0] == 403
    assert pvc.verification.request(made.voice_id, files=files).status == "ok"
    assert pvc.verification.captcha.verify(made.voice_id, recording=("r.mp3", b"ID3", "audio/mpeg")).status == "ok"
    assert train(made.voice_id, model_id="eleven_multilingual_v2").status == "ok"
    assert refusal(train, made.voice_id)[1]["code"] == "already_running"
    looks = [client.voices.get(made.voice_id) for _ in range(3)]
    states = [one.fine_tuning.state["eleven_multilingual_v2"] for one in looks]
    assert states == ["queued", "fine_tuning", "fine_tuned"]
    assert [one.file_name for one in looks[-1].samples] == ["intro.mp3"]
    assert (looks[-1].category, looks[-1].labels) == ("professional", {"language": "en", "accent": "us"})
    assert b"".join(client.text_to_speech.convert(made.voice_id, text=TEXT))
    client.voices.delete(made.voice_id)
    assert pvc.create(name="Next", language="en").voice_id == "pro00000000000000002"
    assert refusal(train, "v_host")[1]["code"] == "voice_not_found"


def test_a_training_may_fail_and_takes_a_place_of_the_plan(sandbox: Sandbox, client: Any) -> None:
    pvc, files = client.voices.pvc, [("a.mp3", b"ID3a", "audio/mpeg")]
    made = pvc.create(name="Pro host", language="en")
    pvc.samples.create(made.voice_id, files=files)
    assert client.user.subscription.get().professional_voice_slots_used == 1
    assert client.voices.get(made.voice_id).fine_tuning.manual_verification_requested is False
    pvc.verification.request(made.voice_id, files=files)
    assert client.voices.get(made.voice_id).fine_tuning.manual_verification_requested is True
    sandbox.control.do("elevenlabs", "verify_voice", key=KEY, voice_id=made.voice_id)
    sandbox.control.do("elevenlabs", "fail_training", key=KEY, voice_id=made.voice_id)
    pvc.train(made.voice_id, model_id="eleven_multilingual_v2")
    looks = [client.voices.get(made.voice_id).fine_tuning for _ in range(3)]
    assert [one.state["eleven_multilingual_v2"] for one in looks] == ["queued", "fine_tuning", "failed"]
    assert looks[-1].message["eleven_multilingual_v2"]
    assert bill(sandbox)["trainings"] == 1
    with pytest.raises(SandboxRefused):
        sandbox.control.do("elevenlabs", "fail_training", key=KEY, voice_id="v_host")
    sandbox.control.do("elevenlabs", "set_voices", professional=False, key=KEY)
    assert client.user.subscription.get().can_use_professional_voice_cloning is False


@NEEDS_FOLDER
def test_answers_validate_against_the_schemas(sandbox: Sandbox) -> None:
    shared = ask(sandbox, "GET", "/v1/shared-voices?page_size=2")
    check("GetLibraryVoicesResponse", shared)
    for one in shared["voices"]:
        check("LibraryVoiceResponse", one)
    path = f"/v1/voices/add/{one['public_owner_id']}/{one['voice_id']}"
    check("AddVoiceResponseModel", ask(sandbox, "POST", path, b'{"new_name": "N"}'))
    body = json.dumps({"voice_description": WARM, "text": "x" * 100}).encode()
    designed = ask(sandbox, "POST", "/v1/text-to-voice/design", body)
    check("VoiceDesignPreviewResponse", designed)
    given = {
        "voice_name": "x",
        "voice_description": WARM,
        "generated_voice_id": designed["previews"][0]["generated_voice_id"],
    }
    check("Voice", ask(sandbox, "POST", "/v1/text-to-voice", json.dumps(given).encode()))
    made = ask(sandbox, "POST", "/v1/voices/pvc", b'{"name": "Pro", "language": "en"}')
    check("AddVoiceResponseModel", made)
    check("Voice", ask(sandbox, "GET", f"/v1/voices/{made['voice_id']}"))

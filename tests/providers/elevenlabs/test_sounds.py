"""Changed voices, effects, music, isolation and dubs: what is asked for, what is kept, and what a lost answer means."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from model import Cost, Done, Wait
from providers.contract import Repeat
from providers.elevenlabs import PROVIDER, dubbing
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Unavailable
from sandbox.process import Sandbox
from tests.providers.doubles import DELIVERY_ID, NOW, Memory, Scripted, answer
from tests.providers.elevenlabs.calls import KEY, Cached, calling, found, page, spoken
from tests.providers.elevenlabs.roads import ASSET, MP3, Road, bill, checked, recordings
from tests.providers.elevenlabs.test_voices import form_of

CHANGE = {"asset_id": ASSET, "voice_id": "v_guest", "name": "intro"}
DUB = {"asset_id": ASSET, "target_language": "es", "name": "Episode 12"}


def run(using: Any, event_type: str, data: Any, **more: Any) -> Any:
    return PROVIDER.actions[event_type].run(calling(using, event_type, data, **{"media": recordings(), **more}))


# ---------------------------------------------------------------------------------------------------- another voice


def test_a_recording_is_said_by_another_voice(sandbox: Sandbox) -> None:
    done = Road(sandbox, "voice.change_requested", CHANGE).end()
    (event,) = done.events
    assert event.type == "audio.rendered"
    assert (event.data["voice_id"], event.data["source_asset_id"], event.data["name"]) == ("v_guest", ASSET, "intro")
    assert (event.data["mime"], event.data["model_id"]) == ("audio/mpeg", "eleven_multilingual_sts_v2")
    assert done.cost == Cost(Decimal(event.data["character_cost"]), "characters")
    assert bill(sandbox) == {"characters": int(event.data["character_cost"]), "generations": 1}
    (made,) = sandbox.control.do("elevenlabs", "generations", key=KEY)
    assert (made["source"], made["voice_ids"]) == ("STS", ["v_guest"])


def test_the_form_of_a_change_and_its_path_can_be_another() -> None:
    scripted = Scripted(spoken())
    data = {**CHANGE, "voice_settings": {"stability": 0.4}, "seed": 7, "output_format": "mp3_22050_32"}
    paths = {**PROVIDER.paths, "voice_changer": "/v1/speech-to-speech/{voice_id}"}
    run(scripted, "voice.change_requested", data, paths=paths)
    (request,) = scripted.requests
    assert request.url == "https://api.elevenlabs.io/v1/speech-to-speech/v_guest?output_format=mp3_22050_32"
    form = form_of(request)
    fields = dict(form.fields)
    assert json.loads(fields.pop("voice_settings")) == {"stability": 0.4}
    assert fields == {"model_id": "eleven_multilingual_sts_v2", "seed": "7"}
    assert [(one.part, one.content) for one in form.files] == [("audio", MP3)]


def test_a_voice_may_be_named_and_is_the_accounts_own_otherwise() -> None:
    voices = Cached(voices={"voices": [{"id": "v_anna", "name": "Anna"}, {"id": "v_host", "name": "Host"}]})
    scripted = Scripted(spoken(), spoken())
    run(scripted, "voice.change_requested", {"asset_id": ASSET, "voice_id": "anna"}, known=voices)
    run(scripted, "voice.change_requested", {"asset_id": ASSET}, known=voices)
    assert ["/v_anna?" in request.url for request in scripted.requests] == [True, False]
    assert "/v_host?" in scripted.requests[1].url


def test_a_change_that_left_nothing_in_the_history_is_made_again(sandbox: Sandbox) -> None:
    road = Road(sandbox, "voice.change_requested", CHANGE)
    road.lose("/v1/voice-changer/*", "before")
    assert road.find() is None
    road.end()
    assert bill(sandbox)["generations"] == 1


def test_a_change_that_may_have_been_made_is_for_a_person(sandbox: Sandbox) -> None:
    road = Road(sandbox, "voice.change_requested", CHANGE)
    road.lose("/v1/voice-changer/*")
    (made,) = sandbox.control.do("elevenlabs", "generations", key=KEY)
    with pytest.raises(Refused, match=made["history_item_id"]) as refused:
        road.find()
    assert refused.value.code == "not_told_apart"


@pytest.mark.parametrize("given", [page(found(1, "", source="STS", state="processing")), answer(500)])
def test_while_it_cannot_be_told_nothing_is_paid(given: Any) -> None:
    find = PROVIDER.actions["voice.change_requested"].find
    assert find is not None
    with pytest.raises(Unavailable):
        find(calling(Scripted(given), "voice.change_requested", CHANGE))


# ------------------------------------------------------------------------------------------------- effects and music


def test_an_effect_and_music_are_made_and_billed(sandbox: Sandbox) -> None:
    effect = Road(sandbox, "sound.render_requested", {"text": "whoosh", "duration_s": 2.5, "loop": False}).end()
    music = Road(sandbox, "music.render_requested", {"prompt": "calm lo-fi bed", "length_ms": 4_000}).end()
    costs = [Decimal(done.events[0].data["character_cost"]) for done in (effect, music)]
    assert [done.cost for done in (effect, music)] == [Cost(cost, "characters") for cost in costs]
    assert bill(sandbox) == {"characters": sum(costs), "generations": 2}
    assert music.result["song_id"]
    assert (effect.result["characters"], music.result["model_id"]) == (6, "music_v1")


def test_what_an_effect_and_music_ask_for() -> None:
    scripted = Scripted(spoken(), spoken(output_format="wav_44100"))
    config = {"voice_id": "v", "model_id": "eleven_v3", "output_format": "ulaw_8000"}
    run(scripted, "sound.render_requested", {"text": "rain", "prompt_influence": 0}, config=config)
    music = {"composition_plan": {"sections": []}, "length_ms": 30_000, "seed": 0, "output_format": "wav_44100"}
    run(scripted, "music.render_requested", music, config=config)
    effect, composed = scripted.requests
    assert effect.url == "https://api.elevenlabs.io/v1/sound-generation?output_format=mp3_44100_128"
    assert json.loads(effect.body) == {"text": "rain", "model_id": "eleven_text_to_sound_v2", "prompt_influence": 0}
    assert composed.url == "https://api.elevenlabs.io/v1/music?output_format=wav_44100"
    assert json.loads(composed.body) == {
        "model_id": "music_v1",
        "composition_plan": {"sections": []},
        "music_length_ms": 30_000,
        "seed": 0,
    }


@pytest.mark.parametrize("data", [{}, {"prompt": "a", "composition_plan": {"sections": []}}])
def test_music_is_made_by_a_prompt_or_by_a_plan(data: Any) -> None:
    with pytest.raises(InvalidPayload, match="either"):
        run(Scripted(), "music.render_requested", data)


def test_a_voice_is_kept_without_its_noise(sandbox: Sandbox) -> None:
    done = Road(sandbox, "audio.isolate_requested", {"asset_id": ASSET}).end()
    assert (done.result["source_asset_id"], done.result["mime"]) == (ASSET, "audio/mpeg")
    assert bill(sandbox)["generations"] == 1


@pytest.mark.parametrize("event_type", ["sound.render_requested", "music.render_requested", "audio.isolate_requested"])
def test_what_is_in_no_history_is_never_repeated(event_type: str) -> None:
    assert PROVIDER.actions[event_type].repeat is Repeat.NEVER


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("voice.change_requested", CHANGE),
        ("sound.render_requested", {"text": "a"}),
        ("music.render_requested", {"prompt": "a"}),
        ("audio.isolate_requested", {"asset_id": ASSET}),
    ],
)
def test_sound_that_is_none_or_cannot_be_kept_was_paid_for(event_type: str, data: Any) -> None:
    with pytest.raises(OutcomeUnknown) as unusable:
        run(Scripted(answer(200, b"")), event_type, data)
    assert unusable.value.code == "answer_unusable"

    class Full(Memory):
        def keep(self, name: str, content: bytes, mime: str, **details: Any) -> Any:
            raise OSError("disk full")

    media = Full()
    media.stored(ASSET, MP3, "audio/mpeg")
    with pytest.raises(OutcomeUnknown) as lost:
        run(Scripted(spoken()), event_type, data, media=media)
    assert lost.value.code == "media_not_kept"


@pytest.mark.parametrize(("asset_id", "code"), [(None, "missing_field"), (7, "missing_field"), ("x", "asset_unknown")])
def test_a_recording_must_be_one_of_the_tenants(asset_id: Any, code: str) -> None:
    for event_type in ("voice.change_requested", "audio.isolate_requested"):
        with pytest.raises(InvalidPayload) as refused:
            run(Scripted(), event_type, {"asset_id": asset_id})
        assert refused.value.code == code


def test_an_empty_recording_is_refused_first() -> None:
    media = Memory()
    media.stored(ASSET, b"", "audio/mpeg")
    with pytest.raises(InvalidPayload) as refused:
        run(Scripted(), "audio.isolate_requested", {"asset_id": ASSET}, media=media)
    assert refused.value.code == "asset_size"


# --------------------------------------------------------------------------------------------------------------- dubs


def test_a_recording_is_dubbed_and_looked_after(sandbox: Sandbox) -> None:
    road = Road(sandbox, "audio.dub_requested", DUB)
    done = road.end()
    assert road.waits == [dubbing.FIRST_LOOK_S, dubbing.FIRST_LOOK_S, dubbing.FIRST_LOOK_S, 0]
    assert (done.result["language_code"], done.result["source_asset_id"]) == ("es", ASSET)
    assert done.result["duration_s"] == pytest.approx(2.0, abs=0.1)
    assert done.events[0].type == "audio.rendered"
    assert done.external_id == done.result["dubbing_id"]
    assert bill(sandbox)["dubs"] == 1


def test_a_dub_whose_begin_was_lost_is_found_by_its_name(sandbox: Sandbox) -> None:
    Road(sandbox, "audio.dub_requested", DUB, more={"delivery_id": "another"}).step()
    road = Road(sandbox, "audio.dub_requested", DUB)
    road.lose("/v1/dubbing", "before")
    assert road.find() is None
    road.lose("/v1/dubbing")
    assert isinstance(road.find(), Wait)
    assert checked(road.end()).result["dubbing_id"] == road.progress["dubbing_id"]
    assert bill(sandbox)["dubs"] == 2
    repeat = PROVIDER.actions["audio.dub_requested"].repeat_after
    assert (repeat({}), repeat({"step": "look"})) == (Repeat.LOOKUP, Repeat.SAFE)


def test_a_dub_that_fails_says_so(sandbox: Sandbox) -> None:
    sandbox.control.do("elevenlabs", "set_dubs", polls=1, outcome="failed")
    with pytest.raises(Refused, match="was told that it fails") as refused:
        Road(sandbox, "audio.dub_requested", DUB).end()
    assert refused.value.code == "dub_failed"


def test_the_form_of_a_dub_of_an_address() -> None:
    scripted = Scripted(answer(200, {"dubbing_id": "d1", "expected_duration_sec": 9}))
    data = {"url": "https://example.org/a.mp4", "target_language": "de", "num_speakers": 2, "start_s": 5}
    outcome = run(scripted, "audio.dub_requested", {**data, "drop_background_audio": True})
    assert (outcome.external_id, outcome.progress["dubbing_id"]) == ("d1", "d1")
    assert dict(form_of(scripted.requests[0]).fields) == {
        "target_lang": "de",
        "name": f"Dub [{DELIVERY_ID}]",
        "num_speakers": "2",
        "start_time": "5",
        "drop_background_audio": "true",
        "source_url": "https://example.org/a.mp4",
    }


@pytest.mark.parametrize("data", [{}, {"asset_id": ASSET, "url": "https://example.org/a"}])
def test_a_dub_has_one_source(data: Any) -> None:
    with pytest.raises(InvalidPayload, match="either"):
        run(Scripted(), "audio.dub_requested", {"target_language": "es", **data})


def dub_step(using: Any, step: str, **progress: Any) -> Any:
    given = {"step": step, "dubbing_id": "d1", "since": int(NOW.timestamp()), **progress}
    return run(using, "audio.dub_requested", DUB, progress=given)


def test_a_dubbed_video_stays_a_video() -> None:
    done = dub_step(Scripted(answer(200, b"\x00\x00\x00\x18ftypmp42rest")), "fetch")
    assert isinstance(done, Done)
    assert (done.result["mime"], done.assets[0].uri) == ("video/mp4", f"memory://{DELIVERY_ID}.mp4")


def test_a_dub_that_never_ends_is_given_up() -> None:
    long_ago = int(NOW.timestamp()) - int(dubbing.UNTIL_S)
    with pytest.raises(Refused, match=r"Dub d1 is not ready \(dubbing\), 24 hours after"):
        dub_step(Scripted(answer(200, {"status": "dubbing"})), "look", since=long_ago)


@pytest.mark.parametrize("body", [{"dubs": None}, [], {"dubs": [], "has_more": True, "next_cursor": "1"}])
def test_dubs_that_cannot_be_listed_prove_nothing(body: Any) -> None:
    find = PROVIDER.actions["audio.dub_requested"].find
    assert find is not None
    with pytest.raises(Unavailable):
        find(calling(Scripted(*[answer(200, body)] * dubbing.PAGES), "audio.dub_requested", DUB))


# ------------------------------------------------------------------------------------------------------ a plan of music


def test_a_plan_becomes_music_and_costs_nothing_itself(sandbox: Sandbox) -> None:
    done = Road(sandbox, "music.plan_requested", {"prompt": "calm bed", "length_ms": 4000, "name": "bed"}).end()
    (event,) = done.events
    assert (event.type, event.data["name"], done.cost) == ("music.planned", "bed", None)
    assert bill(sandbox) == {}
    plan = event.data["composition_plan"]
    assert plan["sections"][0]["duration_ms"] == 4000
    made = Road(sandbox, "music.render_requested", {"composition_plan": plan}).end()
    assert made.result["mime"] == "audio/mpeg"


def test_what_a_plan_is_asked_with() -> None:
    scripted = Scripted(answer(200, {"sections": []}))
    run(scripted, "music.plan_requested", {"prompt": "p", "length_ms": 4000, "source_composition_plan": {"a": 1}})
    assert json.loads(scripted.requests[0].body) == {
        "prompt": "p",
        "model_id": "music_v1",
        "music_length_ms": 4000,
        "source_composition_plan": {"a": 1},
    }


@pytest.mark.parametrize("body", [{}, [], "x"])
def test_a_plan_that_is_none_is_no_success(body: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        run(Scripted(answer(200, body)), "music.plan_requested", {"prompt": "p"})

"""Voices: cloned with consent and never twice, trained in steps, designed, saved, added, removed."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import timedelta
from typing import Any

import pytest

from model import Done, Wait
from providers.contract import Repeat
from providers.elevenlabs import PROVIDER, cloning, looking, namesakes, training
from providers.errors import AccountBlocked, InvalidPayload, OutcomeUnknown, Refused, Unavailable
from providers.http import Answer
from sandbox.elevenlabs.multipart import File, Form, read_form
from sandbox.process import Sandbox
from sandbox.wire import Request as Received
from tests.providers.doubles import DELIVERY_ID, NOW, Memory, Scripted, answer
from tests.providers.elevenlabs.calls import KEY, calling, stepped
from tests.providers.elevenlabs.roads import ASSET, CONSENT, MP3, SECOND, Road, bill, checked, recordings

CLONE = {"name": "Dana", "sample_asset_ids": [ASSET, SECOND], "consent": CONSENT}
TRAIN = {"name": "Dana, trained", "language": "en", "sample_asset_ids": [ASSET, SECOND], "consent": CONSENT}
DESCRIPTION = "A warm middle-aged radio host with a calm pace."
SUBSCRIPTION = {
    "tier": "creator",
    "can_use_instant_voice_cloning": True,
    "can_use_professional_voice_cloning": True,
    "voice_slots_used": 3,
    "voice_limit": 30,
    "professional_voice_slots_used": 0,
    "professional_voice_limit": 1,
    "voice_add_edit_counter": 4,
    "max_voice_add_edits": 95,
}


def plan(**changes: Any) -> Answer:
    return answer(200, {**SUBSCRIPTION, **changes})


def voices(*rows: Any, after: str | None = None) -> Answer:
    return answer(200, {"voices": rows, "has_more": after is not None, "total_count": 9, "next_page_token": after})


def voice(voice_id: str, name: str = "Dana", category: str = "cloned", **more: Any) -> dict[str, Any]:
    at = int(NOW.timestamp())
    return {"voice_id": voice_id, "name": name, "category": category, "created_at_unix": at, "samples": None, **more}


def form_of(request: Any) -> Form:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return read_form(Received("POST", request.url, "", headers, request.body, now=0.0))


def cloning_call(using: Any, data: Any = CLONE, **more: Any) -> Any:
    return calling(using, "voice.clone_requested", data, **{"media": recordings(), **more})


# ------------------------------------------------------------------------------------------------------------ cloned


def test_a_voice_is_cloned_once_and_its_consent_is_kept(sandbox: Sandbox) -> None:
    road = Road(sandbox, "voice.clone_requested", {**CLONE, "description": "Calm.", "labels": {"accent": "british"}})
    done = road.end()
    facts = {
        "voice_id": "clone000000000000001",
        "name": "Dana",
        "requires_verification": False,
        "consent": CONSENT,
        "sample_asset_ids": [ASSET, SECOND],
    }
    assert done.result == facts
    assert done.external_id == "clone000000000000001"
    (event,) = done.events
    assert (event.type, event.key) == ("voice.cloned", f"voice.cloned:{DELIVERY_ID}")
    assert {name: event.data[name] for name in facts} == facts
    assert bill(sandbox) == {"characters": 0, "generations": 0, "clones": 1}


def test_the_form_repeats_files_and_holds_labels_as_one_text() -> None:
    scripted = Scripted(answer(200, {"voice_id": "v1", "requires_verification": True}))
    data = {**CLONE, "labels": {"accent": "british", "age": "old"}, "remove_background_noise": True}
    done = cloning.clone(cloning_call(scripted, data, progress={"known": []}))
    assert isinstance(done, Done)
    assert done.result["requires_verification"] is True
    (request,) = scripted.requests
    assert (request.method, request.url) == ("POST", "https://api.elevenlabs.io/v1/voices/add")
    form = form_of(request)
    assert json.loads(form.fields["labels"]) == {"accent": "british", "age": "old"}
    assert {name: form.fields[name] for name in ("name", "remove_background_noise")} == {
        "name": "Dana",
        "remove_background_noise": "true",
    }
    assert form.files == (
        File("files", f"{DELIVERY_ID}-0.mp3", "audio/mpeg", MP3),
        File("files", f"{DELIVERY_ID}-1.wav", "audio/wav", MP3 + b"more"),
    )


@pytest.mark.parametrize(
    "consent",
    [
        None,
        "yes",
        {},
        {"given": False, "by": "D", "at": "now"},
        {"given": True, "at": "now"},
        {"given": True, "by": "D"},
    ],
)
@pytest.mark.parametrize("event_type", ["voice.clone_requested", "voice.train_requested"])
def test_without_consent_nothing_is_asked_for(event_type: str, consent: Any) -> None:
    scripted = Scripted()
    call = calling(scripted, event_type, {**TRAIN, "consent": consent}, media=recordings())
    with pytest.raises(InvalidPayload, match="speaker's permission") as refused:
        PROVIDER.actions[event_type].run(call)
    assert (refused.value.code, scripted.requests) == ("consent_missing", [])


@pytest.mark.parametrize(
    ("ids", "settings", "code"),
    [
        ([], {}, "missing_field"),
        ([f"{number}" for number in range(26)], {}, "sample_count"),
        ([ASSET, SECOND], {"max_samples": "1"}, "sample_count"),
        (["01930000-0000-7000-8000-000000000bad"], {}, "asset_unknown"),
        ([ASSET], {"max_sample_bytes": "100"}, "sample_too_large"),
    ],
)
def test_recordings_that_cannot_be_sent_are_refused_first(ids: Any, settings: Any, code: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        cloning.clone(cloning_call(Scripted(), {**CLONE, "sample_asset_ids": ids}, settings=settings))
    assert refused.value.code == code


def test_a_recording_that_went_from_storage_is_refused_and_named() -> None:
    media = recordings()
    del media.files[ASSET]
    with pytest.raises(InvalidPayload, match=ASSET) as refused:
        cloning.clone(cloning_call(Scripted(), media=media, progress={"known": []}))
    assert refused.value.code == "asset_gone"


class Away(Memory):
    def find(self, asset_id: str) -> Any:
        raise OSError("no route to storage")


def test_storage_that_is_away_holds_up_only_this_delivery() -> None:
    with pytest.raises(Unavailable) as away:
        cloning.clone(cloning_call(Scripted(), media=Away()))
    assert (away.value.code, away.value.holds) == ("media_away", False)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"can_use_instant_voice_cloning": False}, "cloning_not_in_plan", "The plan creator of this"),
        ({"voice_slots_used": 30}, "voice_slots_full", "All 30 places for instant voices"),
        ({"voice_add_edit_counter": 95}, "voice_edits_used", "allows 95 additions"),
    ],
)
def test_a_plan_without_room_blocks_the_account_before_a_clone_is_paid(changes: Any, code: str, said: str) -> None:
    scripted = Scripted(plan(**changes))
    with pytest.raises(AccountBlocked, match=said) as blocked:
        cloning.clone(cloning_call(scripted))
    assert blocked.value.code == code
    assert [request.method for request in scripted.requests] == ["GET"]


@pytest.mark.parametrize("said", [{}, {"voice_limit": None, "voice_slots_used": "many"}, {"max_voice_add_edits": None}])
def test_what_a_plan_does_not_say_is_not_held_against_it(said: Any) -> None:
    scripted = Scripted(answer(200, said), voices(voice("old"), voice("x", "Other")))
    assert stepped(cloning.clone(cloning_call(scripted))) == {"known": ["old"]}


def test_only_the_step_that_makes_a_voice_is_looked_up() -> None:
    repeat = PROVIDER.actions["voice.clone_requested"].repeat_after
    assert (repeat({}), repeat({"known": []})) == (Repeat.SAFE, Repeat.LOOKUP)


def test_a_clone_whose_answer_was_lost_is_found_and_not_made_again(sandbox: Sandbox) -> None:
    Road(sandbox, "voice.clone_requested", CLONE, more={"delivery_id": NAMESAKE}).end()
    road = Road(sandbox, "voice.clone_requested", CLONE)
    road.step()
    assert road.progress == {"known": ["clone000000000000001"]}
    road.lose("/v1/voices/add")
    done = checked(road.find())
    assert (done.result["voice_id"], done.result["recovered"]) == ("clone000000000000002", True)
    assert done.events[0].data["consent"] == CONSENT
    assert bill(sandbox)["clones"] == 2


def test_a_clone_that_was_not_made_is_made_after_the_look(sandbox: Sandbox) -> None:
    road = Road(sandbox, "voice.clone_requested", CLONE)
    road.step()
    road.lose("/v1/voices/add", "before")
    assert road.find() is None
    assert checked(road.step()).result["voice_id"] == "clone000000000000001"
    assert bill(sandbox)["clones"] == 1


NAMESAKE = "01930000-0000-7000-8000-00000000ffff"


def sample(delivery_id: Any, number: int = 0) -> dict[str, Any]:
    return {"sample_id": f"s{number}", "file_name": f"{delivery_id}-{number}.mp3"}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [voice("v9", "Another name")],
        [voice("v9", category="generated")],
        [voice("known")],
        [voice("v9", created_at_unix=int(NOW.timestamp()) - 3600)],
        [voice("v9", samples=[sample(NAMESAKE)])],
    ],
)
def test_a_namesake_is_not_taken_for_it(rows: list[Any]) -> None:
    assert cloning.find(cloning_call(Scripted(voices(*rows)), progress={"known": ["known"]})) is None


@pytest.mark.parametrize(
    "rows",
    [
        [voice("v9")],
        [voice("v9", created_at_unix=None)],
        [voice("other", samples=[sample(NAMESAKE)]), voice("v9")],
        [voice("other"), voice("v9", samples=[sample(DELIVERY_ID), sample(DELIVERY_ID, 1)])],
        [voice("v9", samples=[{"file_name": "a.mp3"}, None, {"file_name": None}])],
    ],
)
def test_it_is_known_by_its_recordings_else_by_being_new(rows: list[Any]) -> None:
    done = cloning.find(cloning_call(Scripted(voices(*rows)), progress={"known": ["known"]}))
    assert isinstance(done, Done)
    assert done.result["voice_id"] == "v9"


def test_it_is_found_though_its_recordings_went_from_storage() -> None:
    call = cloning_call(Scripted(voices(voice("v9"))), media=Memory(), progress={"known": []})
    assert isinstance(cloning.find(call), Done)


def test_two_that_it_may_be_are_for_a_person_to_tell_apart() -> None:
    with pytest.raises(Refused, match="v8, v9") as refused:
        cloning.find(cloning_call(Scripted(voices(voice("v8"), voice("v9"))), progress={"known": []}))
    assert refused.value.code == "not_told_apart"


def test_a_found_clone_says_whether_it_has_to_be_verified() -> None:
    waiting = voice("v9", voice_verification={"requires_verification": True, "is_verified": False})
    done = cloning.find(cloning_call(Scripted(voices(waiting)), progress={"known": []}))
    assert isinstance(done, Done)
    assert done.result["requires_verification"] is True


def test_all_pages_of_voices_are_looked_through() -> None:
    scripted = Scripted(voices(voice("v1", "x"), after="t1"), voices(voice("v9")))
    assert cloning.find(cloning_call(scripted, progress={"known": []})) is not None
    assert "category=cloned" in scripted.requests[0].url
    assert "next_page_token=t1" in scripted.requests[1].url


@pytest.mark.parametrize(
    "answers",
    [
        [OutcomeUnknown("lost")],
        [answer(500)],
        [answer(200, {"voices": None})],
        [answer(200, [])],
        [voices(voice("x", "x"), after="t")] * namesakes.PAGES,
    ],
)
def test_a_look_that_fails_proves_nothing_and_is_tried_again(answers: list[Any]) -> None:
    with pytest.raises(Unavailable):
        cloning.find(cloning_call(Scripted(*answers), progress={"known": []}))


@pytest.mark.parametrize("body", [b"<html>", [], {"requires_verification": False}, {"voice_id": ""}])
def test_an_answer_that_names_no_voice_is_looked_up(body: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        cloning.clone(cloning_call(Scripted(answer(200, body)), progress={"known": []}))


def test_the_stand_ins_plan_blocks_too(sandbox: Sandbox) -> None:
    sandbox.control.do("elevenlabs", "set_voices", cloning=False)
    with pytest.raises(AccountBlocked):
        Road(sandbox, "voice.clone_requested", CLONE).step()
    sandbox.control.do("elevenlabs", "set_voices", cloning=True, limit=0)
    with pytest.raises(AccountBlocked, match="All 0 places"):
        Road(sandbox, "voice.clone_requested", CLONE).step()
    assert bill(sandbox) == {}


# ----------------------------------------------------------------------------------------------------------- trained


def test_a_voice_is_trained_step_by_step(sandbox: Sandbox) -> None:
    road = Road(sandbox, "voice.train_requested", TRAIN)
    road.to("speaker")
    assert "Dana, trained" in road.progress["waits_for"]
    voice_id = road.progress["voice_id"]
    assert isinstance(road.step(), Wait)
    assert (road.progress["step"], road.waits[-1]) == ("speaker", training.FIRST_LOOK_S)
    sandbox.control.do("elevenlabs", "verify_voice", key=KEY, voice_id=voice_id)
    done = road.end()
    assert done.result == {
        "voice_id": voice_id,
        "name": "Dana, trained",
        "model_id": "eleven_multilingual_v2",
        "language": "en",
        "consent": CONSENT,
        "sample_asset_ids": [ASSET, SECOND],
    }
    assert done.events[0].type == "voice.trained"
    assert bill(sandbox)["trainings"] == 1


@pytest.mark.parametrize(
    ("step", "path", "following"),
    [
        ("create", "/v1/voices/pvc", "samples"),
        ("samples", "/v1/voices/pvc/*", "samples"),
        ("train", "/v1/voices/pvc/*", "ready"),
    ],
)
def test_each_step_whose_answer_was_lost_is_found(sandbox: Sandbox, step: str, path: str, following: str) -> None:
    road = Road(sandbox, "voice.train_requested", TRAIN)
    if step == "train":
        road.to("speaker")
        sandbox.control.do("elevenlabs", "verify_voice", key=KEY, voice_id=road.progress["voice_id"])
    road.to(step)
    before = dict(road.progress)
    road.lose(path, "before")
    assert road.find() is None
    road.lose(path)
    assert isinstance(road.find(), Wait)
    assert road.progress["step"] == following
    if step == "samples":
        assert len(road.progress["added"]) == len(before["added"]) + 1
    if step != "train":
        road.to("speaker")
        sandbox.control.do("elevenlabs", "verify_voice", key=KEY, voice_id=road.progress["voice_id"])
    road.end()
    assert bill(sandbox)["trainings"] == 1
    assert road.progress["voice_id"] == "pro00000000000000001", "only one was made"


def test_what_was_added_is_never_sent_again(sandbox: Sandbox) -> None:
    """Two recordings of one size and other names: each counts once."""
    media = recordings()
    media.stored(SECOND, MP3[:-1] + b"x", "audio/mpeg")
    road = Road(sandbox, "voice.train_requested", TRAIN, media=media)
    road.to("samples")
    for _ in range(2):
        road.lose("/v1/voices/pvc/*")
        assert isinstance(road.find(), Wait)
    assert road.progress["step"] == "speaker"


def trained(using: Any, step: str, **progress: Any) -> Any:
    since = int(NOW.timestamp())
    given = {"step": step, "voice_id": "v1", "since": since, "added": [], **progress}
    return calling(using, "voice.train_requested", TRAIN, media=recordings(), progress=given)


def test_a_recording_that_was_renamed_there_is_known_by_its_size() -> None:
    rows = [{"sample_id": "s1", "file_name": "x", "size_bytes": len(MP3)}, {"sample_id": "s2", "file_name": "y"}]
    outcome = training.find(trained(Scripted(answer(200, {"samples": rows})), "samples"))
    assert stepped(outcome)["added"] == ["s1"]
    known = trained(Scripted(answer(200, {"samples": rows})), "samples", added=["s1"])
    assert training.find(known) is None


@pytest.mark.parametrize("state", [None, {}, {"requires_verification": True}, {"is_verified": "yes"}])
def test_a_speaker_counts_as_verified_only_when_that_is_said(state: Any) -> None:
    waiting = training.train(trained(Scripted(answer(200, {"voice_verification": state})), "speaker"))
    assert stepped(waiting)["step"] == "speaker"


@pytest.mark.parametrize("state", [{"is_verified": True}, {"requires_verification": False, "is_verified": False}])
def test_a_verified_speaker_may_be_trained(state: Any) -> None:
    after = training.train(trained(Scripted(answer(200, {"voice_verification": state})), "speaker"))
    assert stepped(after) == {"step": "train", "voice_id": "v1"}


def test_a_speaker_who_never_comes_ends_it_with_a_sentence() -> None:
    state = {"requires_verification": True, "verification_failures": ["too noisy"]}
    long_ago = int(NOW.timestamp()) - int(training.SPEAKER_S)
    call = trained(Scripted(answer(200, {"voice_verification": state})), "speaker", since=long_ago)
    with pytest.raises(Refused, match=r"voice v1 is not verified \(too noisy\), 14 days after") as refused:
        training.train(call)
    assert refused.value.code == "waited_too_long"


def test_a_training_that_fails_says_why(sandbox: Sandbox) -> None:
    road = Road(sandbox, "voice.train_requested", TRAIN)
    road.to("speaker")
    voice_id = road.progress["voice_id"]
    sandbox.control.do("elevenlabs", "verify_voice", key=KEY, voice_id=voice_id)
    sandbox.control.do("elevenlabs", "fail_training", key=KEY, voice_id=voice_id)
    with pytest.raises(Refused, match="was told that it fails") as refused:
        road.end()
    assert refused.value.code == "training_failed"


@pytest.mark.parametrize(
    "tuning",
    [None, {"state": None}, {"state": {"other": "fine_tuned"}}, {"state": {"eleven_multilingual_v2": "brand_new"}}],
)
def test_a_state_that_is_not_known_is_waited_for(tuning: Any) -> None:
    waiting = training.train(trained(Scripted(answer(200, {"fine_tuning": tuning})), "ready"))
    assert isinstance(waiting, Wait)
    assert waiting.wait_s == training.FIRST_LOOK_S


def test_a_plan_without_training_blocks(sandbox: Sandbox) -> None:
    sandbox.control.do("elevenlabs", "set_voices", professional=False)
    with pytest.raises(AccountBlocked, match="professional voice cloning"):
        Road(sandbox, "voice.train_requested", TRAIN).step()


def test_only_steps_that_change_something_are_looked_up() -> None:
    repeat = PROVIDER.actions["voice.train_requested"].repeat_after
    found = {step: repeat({"step": step}) for step in ("plan", "create", "samples", "speaker", "train", "ready")}
    assert {step for step, each in found.items() if each is Repeat.LOOKUP} == {"create", "samples", "train"}
    assert repeat({}) is Repeat.SAFE


@pytest.mark.parametrize(("waited_s", "wait_s"), [(0, 60.0), (600, 60.0), (1_200, 120.0), (90_000, 3_600.0)])
def test_looks_become_rarer(waited_s: int, wait_s: float) -> None:
    call = calling(Scripted(), "voice.train_requested", TRAIN, now=NOW + timedelta(seconds=waited_s))
    progress = {"since": int(NOW.timestamp()), "kept": 1}
    waiting = looking.again(call, progress, first_s=60, most_s=3_600, until_s=100_000, still="It is not there")
    assert (waiting.wait_s, waiting.progress) == (wait_s, progress)


# ---------------------------------------------------------------------------------------------------------- verified


@pytest.mark.parametrize(
    ("proof", "how"), [({"recording_asset_id": ASSET}, "captcha"), ({"file_asset_ids": [ASSET, SECOND]}, "files")]
)
def test_a_speakers_proof_is_handed_in(sandbox: Sandbox, proof: dict[str, Any], how: str) -> None:
    training_road = Road(sandbox, "voice.train_requested", TRAIN)
    training_road.to("speaker")
    voice_id = training_road.progress["voice_id"]
    road = Road(sandbox, "voice.verify_requested", {"voice_id": voice_id, "extra_text": "It is me.", **proof})
    assert road.find() is None
    road.lose("/v1/voices/pvc/*")
    assert checked(road.find()).result == {"voice_id": voice_id, "proof": how}
    assert road.end().result == {"voice_id": voice_id, "proof": how}


@pytest.mark.parametrize("proof", [{}, {"recording_asset_id": ASSET, "file_asset_ids": [ASSET]}])
def test_one_kind_of_proof_is_needed(proof: Any) -> None:
    with pytest.raises(InvalidPayload, match="either"):
        PROVIDER.actions["voice.verify_requested"].run(
            calling(Scripted(), "voice.verify_requested", {"voice_id": "v1", **proof}, media=recordings())
        )


# ------------------------------------------------------------------------------------------------- designed and saved


def test_previews_are_kept_and_one_becomes_a_voice(sandbox: Sandbox) -> None:
    road = Road(sandbox, "voice.design_requested", {"description": DESCRIPTION, "text": "x" * 120, "name": "hosts"})
    done = road.end()
    assert len(done.assets) == 3
    assert len({asset.uri for asset in done.assets}) == 3
    previews = done.events[0].data["previews"]
    assert [each["mime"] for each in previews] == ["audio/mpeg"] * 3
    assert all(road.media.files[f"{DELIVERY_ID}-{number}.mp3"][:3] in (b"ID3", b"\xff\xfb\x90") for number in range(3))
    assert previews[0]["duration_s"] > 0
    assert bill(sandbox)["generations"] == 1
    chosen = previews[1]["generated_voice_id"]
    data = {"generated_voice_id": chosen, "name": "Radio host", "description": DESCRIPTION, "labels": {"age": "old"}}
    saving = Road(sandbox, "voice.save_requested", data)
    saved = saving.end()
    assert (saved.events[0].type, saved.result["voice_id"], saved.result["generated_voice_id"]) == (
        "voice.saved",
        chosen,
        chosen,
    )


def test_a_description_alone_lets_them_write_the_text() -> None:
    preview = {"audio_base_64": b64encode(MP3).decode(), "generated_voice_id": "g1", "media_type": "audio/mpeg"}
    scripted = Scripted(answer(200, {"previews": [preview], "text": "They wrote this."}))
    call = calling(scripted, "voice.design_requested", {"description": DESCRIPTION, "seed": 7})
    done = PROVIDER.actions["voice.design_requested"].run(call)
    assert isinstance(done, Done)
    assert json.loads(scripted.requests[0].body) == {
        "voice_description": DESCRIPTION,
        "auto_generate_text": True,
        "seed": 7,
    }
    assert done.result["text"] == "They wrote this."


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"previews": []},
        {"previews": [None]},
        {"previews": [{"generated_voice_id": "g"}]},
        {"previews": [{"generated_voice_id": "g", "audio_base_64": "?"}]},
        {"previews": [{"audio_base_64": "SUQz"}]},
    ],
)
def test_previews_that_cannot_be_used_were_paid_for_all_the_same(body: Any) -> None:
    call = calling(Scripted(answer(200, body)), "voice.design_requested", {"description": DESCRIPTION})
    with pytest.raises(OutcomeUnknown):
        PROVIDER.actions["voice.design_requested"].run(call)
    assert PROVIDER.actions["voice.design_requested"].repeat is Repeat.NEVER


def test_a_voice_of_the_library_is_added_once(sandbox: Sandbox) -> None:
    data = {"public_user_id": "pub_sandbox", "voice_id": "lib00000000000000002", "name": "Narrator"}
    road = Road(sandbox, "voice.add_requested", data)
    road.step()
    road.lose("/v1/voices/add/*", "before")
    assert road.find() is None
    road.lose("/v1/voices/add/*")
    done = checked(road.find())
    assert done.result == {
        "voice_id": "lib00000000000000002",
        "name": "Narrator",
        "public_user_id": "pub_sandbox",
        "recovered": True,
    }


def test_the_library_needs_a_paid_plan(sandbox: Sandbox) -> None:
    sandbox.control.do("elevenlabs", "set_voices", library=False)
    data = {"public_user_id": "pub_sandbox", "voice_id": "lib00000000000000002", "name": "Narrator"}
    with pytest.raises(AccountBlocked, match="paid plan"):
        Road(sandbox, "voice.add_requested", data).end()


# ----------------------------------------------------------------------------------------------------------- removed


def test_a_voice_is_removed_and_removing_it_again_is_no_failure(sandbox: Sandbox) -> None:
    voice_id = Road(sandbox, "voice.clone_requested", CLONE).end().result["voice_id"]
    first = Road(sandbox, "voice.remove_requested", {"voice_id": voice_id}).end()
    again = Road(sandbox, "voice.remove_requested", {"voice_id": voice_id}).end()
    assert (first.result, again.result) == (
        {"voice_id": voice_id, "was_gone": False},
        {"voice_id": voice_id, "was_gone": True},
    )
    assert {first.events[0].type, again.events[0].type} == {"voice.removed"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"detail": {"code": "voice_not_found", "message": "m"}}),
        (400, {"detail": {"status": "voice_not_found", "message": "m"}}),
        (400, {"detail": {"status": "voice_does_not_exist", "message": "m"}}),
    ],
)
def test_a_voice_that_is_not_there_is_gone_in_every_wording(status: int, body: Any) -> None:
    call = calling(Scripted(answer(status, body)), "voice.remove_requested", {"voice_id": "v1"})
    done = PROVIDER.actions["voice.remove_requested"].run(call)
    assert isinstance(done, Done)
    assert done.result["was_gone"] is True


@pytest.mark.parametrize(("status", "body"), [(404, {"detail": "Not Found"}), (400, {"detail": "Bad id"})])
def test_a_door_that_is_not_there_is_not_taken_for_a_voice(status: int, body: Any) -> None:
    call = calling(Scripted(answer(status, body)), "voice.remove_requested", {"voice_id": "v1"})
    with pytest.raises(InvalidPayload):
        PROVIDER.actions["voice.remove_requested"].run(call)

"""Podcasts and dialogues step by step: what is asked for, what is noted, and what is looked up."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from model import Cost, Done, Outcome, Wait
from providers.contract import Call
from providers.elevenlabs import PROVIDER, dialogue, podcast, speech
from providers.errors import InvalidPayload, OutcomeUnknown, RateLimited, Unavailable
from providers.http import Answer
from sandbox.audio import sound
from tests.providers.doubles import NOW, Memory, Scripted, answer
from tests.providers.elevenlabs.calls import Cached, calling, found, page, spoken, stepped
from worker.catalog import event_types

DATA = {
    "title": "Margin Notes 12",
    "segments": [{"speaker": "host", "text": "Hello."}, {"speaker": "guest", "text": "Hi."}, {"text": "Hello."}],
    "voices": {"host": "v_host", "guest": "v_guest"},
}
LIMITED = Cached(models={"models": {"eleven_multilingual_v2": {"limit": 600}, "eleven_v3": {"limit": 600}}})
SENTENCE = "This is a sentence of a text that is long. "
LONG = (SENTENCE * 30).strip()  # three pieces of at most 600
REFUSED = answer(
    400, {"detail": {"code": "invalid_parameters", "message": "Too old.", "param": "previous_request_ids"}}
)


def asking(using: Any, data: Mapping[str, Any] = DATA, **more: Any) -> Call:
    return calling(using, "podcast.render_requested", data, **more)


def bodies(scripted: Scripted) -> list[Any]:
    return [json.loads(request.body) for request in scripted.requests if request.body]


def walked(using: Scripted, data: Mapping[str, Any], event_type: str, **more: Any) -> Done:
    """All steps, one after another, each with nothing but the progress of the one before."""
    media, run = more.pop("media", None) or Memory(), PROVIDER.actions[event_type].run
    progress: Mapping[str, Any] = {}
    for _ in range(40):
        outcome = run(calling(using, event_type, data, media=media, progress=progress, **more))
        if isinstance(outcome, Done):
            return outcome
        progress = json.loads(json.dumps(outcome.progress))
    raise AssertionError("no end")


def test_a_podcast_walks_piece_by_piece_and_ends_as_one_file() -> None:
    media = Memory()
    scripted = Scripted(spoken(1.0, 1), spoken(2.0, 2), spoken(0.5, 3))
    done = walked(scripted, {**DATA, "pause_ms": 250}, "podcast.render_requested", media=media)
    assert list(media.files) == ["01930000-0000-7000-8000-000000000002.mp3"], "the pieces are gone"
    (event,) = done.events
    data = event.data
    assert event_types()["podcast.rendered"].problem(data) is None
    assert (data["name"], data["characters"], data["cost"], data["request_ids"]) == (
        "Margin Notes 12",
        15,
        30,
        ["rq_1", "rq_2", "rq_3"],
    )
    first, second, third = data["segments"]
    assert [each["voice_id"] for each in data["segments"]] == ["v_host", "v_guest", "v_host"]
    assert (first["offset_s"], second["duration_s"]) == (0.0, pytest.approx(2.0, abs=0.03))
    assert second["offset_s"] == pytest.approx(first["duration_s"] + 0.25, abs=0.02)
    assert data["duration_s"] == pytest.approx(third["offset_s"] + third["duration_s"], abs=0.002)
    assert done.cost is None, "the pieces' steps have told theirs"


def test_a_step_notes_little_and_tells_its_cost() -> None:
    media = Memory()
    outcome = podcast.render(asking(Scripted(spoken(1.0, 1)), media=media))
    assert isinstance(outcome, Wait)
    assert (outcome.wait_s, outcome.external_id, outcome.cost) == (0, "rq_1", Cost(outcome.cost.amount, "characters"))  # type: ignore[union-attr]
    assert outcome.progress == {
        "plan": {
            "model_id": "eleven_multilingual_v2",
            "output_format": "mp3_44100_128",
            "voices": {"host": "v_host", "guest": "v_guest", "": "v_host"},
            "limit": None,
        },
        "since": int(NOW.timestamp()),
        "takes": [["rq_1", None, int(NOW.timestamp()), 1.018776, "10", False]],
        "done": 1,
        "of": 3,
    }
    assert list(media.files) == ["01930000-0000-7000-8000-000000000002.part0"]


def test_one_segment_is_done_at_once_in_any_format() -> None:
    data = {"segments": [{"text": "Hello."}], "output_format": "opus_48000_64"}
    done = podcast.render(asking(Scripted(spoken(output_format="opus_48000_64")), data))
    assert isinstance(done, Done)
    assert (done.cost, done.result["mime"]) == (Cost(done.cost.amount, "characters"), "audio/ogg")  # type: ignore[union-attr]
    assert "duration_s" not in done.result


def test_later_steps_do_as_the_first_one_did() -> None:
    """The account's defaults, its voices and its limits may change in the middle of a podcast."""
    data = {**DATA, "voices": {"host": "Rachel", "guest": "v_guest"}}
    before = Cached(
        voices={
            "voices": [{"id": "v_a", "name": "Rachel"}, {"id": "v_guest", "name": "G"}, {"id": "v_host", "name": "H"}]
        }
    )
    progress = stepped(podcast.render(asking(Scripted(spoken()), data, known=before)))
    after = Cached(voices={"voices": [{"id": "v_b", "name": "Rachel"}]})
    config = {"voice_id": "v_other", "model_id": "eleven_v3", "output_format": "pcm_44100"}
    scripted = Scripted(spoken(number=2), spoken(number=3))
    for _ in range(2):
        progress = stepped(podcast.render(asking(scripted, data, known=after, config=config, progress=progress)))
    assert [urlsplit(request.url).path.rpartition("/")[2] for request in scripted.requests] == ["v_guest", "v_host"]
    assert {body["model_id"] for body in bodies(scripted)} == {"eleven_multilingual_v2"}
    assert after.asked == []


# ----------------------------------------------------------------------------------------------------------- stitching


def third_step(using: Any, seconds_later: float = 0.0, **more: Any) -> Outcome:
    progress = stepped(podcast.render(asking(Scripted(spoken(number=1)), **more)))
    progress = stepped(podcast.render(asking(Scripted(spoken(number=2)), progress=progress, **more)))
    return podcast.render(asking(using, progress=progress, now=NOW + timedelta(seconds=seconds_later), **more))


def test_a_piece_follows_the_requests_of_its_own_voice() -> None:
    scripted = Scripted(spoken(number=3))
    third_step(scripted)
    assert bodies(scripted)[0]["previous_request_ids"] == ["rq_1"]


def test_ids_older_than_two_hours_are_not_named() -> None:
    scripted = Scripted(spoken(number=3))
    third_step(scripted, seconds_later=2 * 3600)
    assert "previous_request_ids" not in bodies(scripted)[0]
    assert bodies(scripted)[0]["previous_text"] == "Hello."


def test_a_model_that_takes_no_ids_gets_the_text() -> None:
    scripted = Scripted(spoken(number=3))
    third_step(scripted, data={**DATA, "model_id": "eleven_v3"})
    assert ("previous_request_ids" in bodies(scripted)[0], bodies(scripted)[0]["previous_text"]) == (False, "Hello.")


def test_what_is_refused_is_asked_for_with_less() -> None:
    scripted = Scripted(REFUSED, REFUSED, spoken(number=3))
    assert isinstance(third_step(scripted), Wait)
    contexts = [{name for name in body if name.startswith("previous")} for body in bodies(scripted)]
    assert contexts == [{"previous_request_ids"}, {"previous_text"}, set()]


def test_what_is_refused_for_another_reason_is_refused() -> None:
    with pytest.raises(InvalidPayload):
        third_step(Scripted(REFUSED, REFUSED, REFUSED))


def test_at_most_three_ids_and_the_next_words_of_the_same_text() -> None:
    data = {"segments": [{"text": (SENTENCE * 66).strip()}]}
    scripted = Scripted(*(spoken(number=number) for number in range(1, 7)))
    progress: Mapping[str, Any] = {}
    media = Memory()
    for _ in range(6):
        progress = stepped(podcast.render(asking(scripted, data, progress=progress, media=media, known=LIMITED)))
    sent = bodies(scripted)
    assert [body.get("previous_request_ids") for body in sent[:5]] == [
        None,
        ["rq_1"],
        ["rq_1", "rq_2"],
        ["rq_1", "rq_2", "rq_3"],
        ["rq_2", "rq_3", "rq_4"],
    ]
    assert all(len(body["text"]) <= 600 for body in sent)
    assert sent[0]["next_text"].startswith(SENTENCE.strip())


# ------------------------------------------------------------------------------------------------------- lost answers


def progress_after(*numbers: int) -> Mapping[str, Any]:
    progress: Mapping[str, Any] = {}
    for number in numbers:
        progress = stepped(podcast.render(asking(Scripted(spoken(number=number)), progress=progress)))
    return progress


def test_a_lost_piece_is_found_and_costs_nothing_now_but_counts() -> None:
    scripted = Scripted(page(found(2, "Hi.", "v_guest")), answer(200, sound("mp3_44100_128", 1)))
    outcome = podcast.find(asking(scripted, progress=progress_after(1)))
    assert isinstance(outcome, Wait)
    assert (outcome.cost, outcome.external_id) == (None, "rq_2")
    assert outcome.progress["takes"][1][4:] == ["7", True]


def test_the_same_text_again_is_not_the_recording_that_was_used() -> None:
    used, fresh = found(1, "Hello."), found(3, "Hello.")
    progress = progress_after(1, 2)
    assert podcast.find(asking(Scripted(page(used)), progress=progress)) is None
    outcome = podcast.find(asking(Scripted(page(used, fresh), spoken()), progress=progress))
    assert stepped(outcome)["takes"][2][0] == "rq_3"


def test_a_recording_without_the_id_of_its_request_is_known_by_its_own() -> None:
    nameless = {**found(1, "Hello."), "request_id": None}
    progress = stepped(podcast.find(asking(Scripted(page(nameless), spoken()))))
    assert progress["takes"][0][:2] == [None, "h1"]
    progress = stepped(podcast.render(asking(Scripted(spoken(number=2)), progress=progress)))
    assert podcast.find(asking(Scripted(page(nameless)), progress=progress)) is None


def test_only_what_was_made_since_the_step_before_is_looked_at() -> None:
    progress = {**progress_after(1), "since": int(NOW.timestamp()) + 5_000}
    scripted = Scripted(page())
    assert podcast.find(asking(scripted, progress=progress)) is None
    query = parse_qs(urlsplit(scripted.requests[0].url).query)
    assert query["date_after_unix"] == [str(int(NOW.timestamp()) + 5_000 - 60)]
    assert (query["voice_id"], query["model_id"]) == (["v_guest"], ["eleven_multilingual_v2"])


@pytest.mark.parametrize(
    "item",
    [
        found(2, "Hi.", "v_host"),
        found(2, "Hi!", "v_guest"),
        found(2, "Hi.", "v_guest", model_id="eleven_v3"),
        found(2, "Hi.", "v_guest", state="deleted"),
    ],
)
def test_another_voice_text_or_model_is_not_ours(item: Any) -> None:
    assert podcast.find(asking(Scripted(page(item)), progress=progress_after(1))) is None


def test_one_that_is_being_made_is_waited_for() -> None:
    busy = found(2, "Hi.", "v_guest", state="processing")
    with pytest.raises(Unavailable) as waited:
        podcast.find(asking(Scripted(page(busy)), progress=progress_after(1)))
    assert (waited.value.code, waited.value.wait_s) == ("in_progress", 10.0)


def test_a_recording_in_another_format_cannot_be_joined_and_is_asked_for_again() -> None:
    scripted = Scripted(page(found(2, "Hi.", "v_guest")), answer(200, sound("mp3_22050_32", 1)))
    assert podcast.find(asking(scripted, progress=progress_after(1))) is None


def test_an_empty_recording_is_looked_for_again() -> None:
    with pytest.raises(Unavailable):
        podcast.find(asking(Scripted(page(found(2, "Hi.", "v_guest")), answer(200)), progress=progress_after(1)))


def test_nothing_is_looked_up_once_all_pieces_are_there() -> None:
    assert podcast.find(asking(Scripted(), progress=progress_after(1, 2, 3))) is None


@pytest.mark.parametrize("content", [b"", b"<html>", sound("mp3_22050_32", 1)])
def test_a_piece_that_is_of_no_use_was_still_paid_for(content: bytes) -> None:
    with pytest.raises(OutcomeUnknown) as lost:
        podcast.render(asking(Scripted(answer(200, content, {"request-id": "r"}))))
    assert lost.value.code == "answer_unusable"


def test_a_storage_that_is_away_strains_no_account() -> None:
    with pytest.raises(OutcomeUnknown) as lost:
        podcast.render(asking(Scripted(spoken()), media=Memory(OSError("full"))))
    assert (lost.value.code, lost.value.holds) == ("media_not_kept", False)


class Away(Memory):
    """A storage that takes files and does not give them back."""

    def read(self, name: str) -> bytes | None:
        raise OSError("gone")


def test_a_storage_that_is_away_while_pieces_are_joined() -> None:
    with pytest.raises(Unavailable) as away:
        podcast.render(asking(Scripted(), progress=progress_after(1, 2, 3), media=Away()))
    assert (away.value.code, away.value.holds) == ("media_away", False)


def test_a_rate_limit_in_the_middle_is_one() -> None:
    with pytest.raises(RateLimited):
        podcast.render(asking(Scripted(answer(429)), progress=progress_after(1)))


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "missing_field"),
        ({"segments": []}, "missing_field"),
        ({"segments": [{"text": " "}]}, "missing_field"),
        ({**DATA, "output_format": "opus_48000_64"}, "not_joinable"),
        ({**DATA, "output_format": "vorbis_1"}, "not_joinable"),
        ({"segments": [{"text": "x" * 90_000}] * 2, "output_format": "pcm_48000"}, "file_too_large"),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_sent(data: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        podcast.render(asking(Scripted(), data))
    assert refused.value.code == code


# --------------------------------------------------------------------------------------------------- long text, times


def test_a_long_text_is_one_file_in_the_end() -> None:
    scripted = Scripted(*(spoken(number=number) for number in (1, 2, 3)))
    done = walked(scripted, {"text": LONG}, "audio.render_requested", known=LIMITED)
    assert " ".join(body["text"] for body in bodies(scripted)) == LONG
    assert (done.result["request_ids"], done.result["character_cost"]) == (["rq_1", "rq_2", "rq_3"], "30")
    assert done.events[0].type == "audio.rendered"
    assert event_types()["audio.rendered"].problem(done.events[0].data) is None


def timed(text: str, number: int, **more: Any) -> Answer:
    times = [round(0.1 * at, 3) for at in range(len(text) + 1)]
    alignment = {
        "characters": list(text),
        "character_start_times_seconds": times[:-1],
        "character_end_times_seconds": times[1:],
    }
    body = {"audio_base64": b64encode(sound("mp3_44100_128", 2)).decode(), "alignment": alignment, **more}
    return answer(200, body, {"request-id": f"rq_{number}", "character-cost": "10"})


def test_the_times_of_a_text_are_kept_beside_it() -> None:
    media, scripted = Memory(), Scripted(timed("Hi.", 1, normalized_alignment=None))
    done = speech.render(calling(scripted, "audio.render_requested", {"text": "Hi.", "timestamps": True}, media=media))
    assert isinstance(done, Done)
    assert urlsplit(scripted.requests[0].url).path == "/v1/text-to-speech/v_host/with-timestamps"
    assert [asset.mime for asset in done.assets] == ["audio/mpeg", "application/json"]
    kept = json.loads(media.files["01930000-0000-7000-8000-000000000002.json"])
    assert kept["alignment"]["characters"] == ["H", "i", "."]
    assert kept["normalized_alignment"] is None
    assert done.result["alignment_uri"] == "memory://01930000-0000-7000-8000-000000000002.json"


def test_times_go_on_from_piece_to_piece_and_a_lost_piece_has_none() -> None:
    data = {"segments": [{"text": "Hi."}, {"text": "Yes."}, {"text": "Bye."}], "timestamps": True, "pause_ms": 500}
    media = Memory()
    progress = stepped(podcast.render(asking(Scripted(timed("Hi.", 1)), data, media=media)))
    lost = Scripted(page(found(2, "Yes.")), answer(200, sound("mp3_44100_128", 1)))
    progress = stepped(podcast.find(asking(lost, data, media=media, progress=progress)))
    progress = stepped(podcast.render(asking(Scripted(timed("Bye.", 3)), data, media=media, progress=progress)))
    progress = stepped(podcast.render(asking(Scripted(), data, media=media, progress=progress)))
    done = podcast.render(asking(Scripted(), data, media=media, progress=progress))
    assert isinstance(done, Done)
    assert set(media.files) == {f"01930000-0000-7000-8000-000000000002.{kind}" for kind in ("mp3", "json")}
    times = json.loads(media.files["01930000-0000-7000-8000-000000000002.json"])
    second, third = done.result["segments"][1:]
    assert times["missing"] == [{"offset_s": second["offset_s"], "text": "Yes."}]
    assert "".join(times["alignment"]["characters"]) == "Hi.Bye."
    assert times["alignment"]["character_start_times_seconds"][3] == third["offset_s"]


@pytest.mark.parametrize("body", [{"audio_base64": "%%%"}, {"alignment": None}, []])
def test_an_answer_without_sound_was_still_paid_for(body: Any) -> None:
    call = calling(Scripted(answer(200, body)), "audio.render_requested", {"text": "Hi.", "timestamps": True})
    with pytest.raises(OutcomeUnknown):
        speech.render(call)


def test_an_event_may_say_everything_that_the_api_takes() -> None:
    data = {
        "text": "Hi.",
        "pronunciation_dictionary_locators": [{"pronunciation_dictionary_id": "d1"}],
        "apply_text_normalization": "off",
        "use_pvc_as_ivc": True,
        "audio_effects": {"filter_id": "phone"},
        "language_code": "en",
        "previous_text": "Before.",
        "next_text": "After.",
    }
    scripted = Scripted(spoken())
    speech.render(calling(scripted, "audio.render_requested", data))
    sent = bodies(scripted)[0]
    assert sent == {
        **{name: value for name, value in data.items() if name != "language_code"},
        "model_id": "eleven_multilingual_v2",
    }


# ----------------------------------------------------------------------------------------------------------- dialogues

INPUTS = [{"text": f"{who} {number}. " + "x" * 480, "voice_id": who} for number in range(3) for who in ("v_a", "v_b")]
TALK = "dialogue.render_requested"


def test_a_short_dialogue_is_one_request() -> None:
    data = {"inputs": [{"text": "Hello.", "voice_id": "v_a"}, {"text": "Hi.", "voice_id": "v_b"}], "seed": 7}
    scripted = Scripted(spoken())
    done = dialogue.render(calling(scripted, TALK, data, config={"voice_id": "v", "model_id": "eleven_flash_v2"}))
    assert isinstance(done, Done)
    assert scripted.requests[0].url == "https://api.elevenlabs.io/v1/text-to-dialogue?output_format=mp3_44100_128"
    assert bodies(scripted) == [{**data, "model_id": "eleven_v3"}]
    assert done.result["voice_ids"] == ["v_a", "v_b"]
    assert done.events[0].type == "audio.rendered"
    assert event_types()["audio.rendered"].problem(done.events[0].data) is None


def test_a_long_dialogue_is_stitched_by_ids() -> None:
    scripted = Scripted(spoken(number=1), spoken(number=2))
    done = walked(scripted, {"inputs": INPUTS}, TALK)
    first, second = bodies(scripted)
    assert (len(first["inputs"]), len(second["inputs"])) == (4, 2)
    assert (first["future_text"], second["previous_request_ids"]) == ("v_a 2.", ["rq_1"])
    assert done.result["request_ids"] == ["rq_1", "rq_2"]


def test_a_dialogue_whose_ids_are_refused_follows_the_last_words() -> None:
    scripted = Scripted(spoken(number=1), REFUSED, spoken(number=2))
    walked(scripted, {"inputs": INPUTS}, TALK)
    last = bodies(scripted)[2]
    assert "previous_request_ids" not in last
    assert len(last["previous_text"]) <= 100


def test_a_lost_dialogue_is_known_by_its_lines() -> None:
    lines = [{"text": "Hello.", "voice_id": "v_a"}, {"text": "Hi.", "voice_id": "v_b"}]
    other = found(1, None, None, dialogue=list(reversed(lines)))
    ours = found(2, None, None, dialogue=[{**line, "voice_name": "x"} for line in lines])
    scripted = Scripted(page(other, ours), spoken())
    done = dialogue.find(calling(scripted, TALK, {"inputs": lines}))
    assert isinstance(done, Done)
    assert (done.external_id, done.result["recovered"], done.cost) == ("rq_2", True, None)
    assert scripted.requests[1].url.endswith("/v1/history/h2/audio")


def test_who_speaks_when_counts_from_the_begin_of_the_file() -> None:
    media = Memory()
    lines = [(INPUTS[number]["text"], number) for number in range(6)]

    def segments(some: list[tuple[str, int]]) -> list[dict[str, Any]]:
        return [
            {
                "voice_id": "v",
                "start_time_seconds": 0.5,
                "end_time_seconds": 1.0,
                "character_start_index": 0,
                "character_end_index": len(text),
                "dialogue_input_index": at,
            }
            for at, (text, _) in enumerate(some)
        ]

    scripted = Scripted(
        timed("".join(text for text, _ in lines[:4]), 1, voice_segments=segments(lines[:4])),
        timed("".join(text for text, _ in lines[4:]), 2, voice_segments=segments(lines[4:])),
    )
    walked(scripted, {"inputs": INPUTS, "timestamps": True}, TALK, media=media)
    assert urlsplit(scripted.requests[0].url).path == "/v1/text-to-dialogue/with-timestamps"
    told = json.loads(media.files["01930000-0000-7000-8000-000000000002.json"])["voice_segments"]
    assert [each["dialogue_input_index"] for each in told] == list(range(6))
    assert told[4]["character_start_index"] == sum(len(text) for text, _ in lines[:4])
    assert told[4]["start_time_seconds"] == pytest.approx(2.0 + 0.5, abs=0.03)


@pytest.mark.parametrize("data", [{}, {"inputs": []}, {"inputs": [{"text": "x"}]}, {"inputs": [{"voice_id": "v"}]}])
def test_a_dialogue_without_words_or_voices_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload) as refused:
        dialogue.render(calling(Scripted(), TALK, data))
    assert refused.value.code == "missing_field"


def test_paths_may_be_set_by_the_installation() -> None:
    call = asking(Scripted(spoken()))
    using = Scripted(spoken())
    podcast.render(replace(call, transport=using, paths={**call.paths, "speech": "/v2/speech/{voice_id}"}))
    assert urlsplit(using.requests[0].url).path == "/v2/speech/v_host"

"""Transcripts: at once and later, cut for events and whole in a file, told once."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.request import Request, urlopen

import pytest

from model import Cost, Done, Wait
from providers.contract import Repeat
from providers.elevenlabs import PROVIDER, transcripts
from providers.elevenlabs.inbound import read
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Unavailable
from providers.inbound import Arrival
from sandbox.process import Sandbox
from tests.providers.doubles import DELIVERY_ID, EVENT_ID, NOW, Scripted, answer
from tests.providers.elevenlabs.calls import KEY, calling
from tests.providers.elevenlabs.roads import ASSET, MP3, Road, bill, checked, recordings
from tests.providers.elevenlabs.test_voices import form_of
from worker.catalog import event_types

DATA = {"asset_id": ASSET, "diarize": True, "name": "interview"}
HEARD = {
    "text": "Good day.",
    "language_code": "eng",
    "language_probability": 0.9,
    "audio_duration_secs": 1.5,
    "words": [
        {"text": "Good", "type": "word", "start": 0.0, "end": 0.4, "speaker_id": "speaker_1", "logprob": 0},
        {"text": " ", "type": "spacing", "start": 0.4, "end": 0.5, "speaker_id": "speaker_1", "logprob": 0},
        {"text": "day.", "type": "word", "start": 0.5, "end": 0.9, "speaker_id": "speaker_0", "logprob": 0},
    ],
}


def run(using: Any, data: Any = DATA, **more: Any) -> Any:
    call = calling(using, "audio.transcribe_requested", data, **{"media": recordings(), **more})
    return PROVIDER.actions["audio.transcribe_requested"].run(call)


def test_a_recording_is_written_down_and_the_words_are_a_file(sandbox: Sandbox) -> None:
    road = Road(sandbox, "audio.transcribe_requested", DATA)
    done = road.end()
    (event,) = done.events
    assert event.type == "audio.transcribed"
    assert (event.data["text"], event.data["language_code"]) == ("Heard by the sandbox.", "eng")
    assert (event.data["words"], event.data["speakers"]) == (4, ["speaker_0"])
    assert (event.data["asset_id"], event.data["name"]) == (ASSET, "interview")
    whole = json.loads(road.media.files[f"{DELIVERY_ID}.json"])
    assert len(whole["words"]) == 7
    assert done.assets[0].mime == "application/json"
    assert done.cost == Cost(Decimal("1.6"), "seconds")
    assert bill(sandbox)["transcriptions"] == 1


def test_the_form() -> None:
    scripted = Scripted(answer(200, HEARD))
    data = {**DATA, "model_id": "scribe_v2", "language_code": "en", "num_speakers": 2, "diarize": False}
    run(scripted, data)
    form = form_of(scripted.requests[0])
    assert dict(form.fields) == {
        "model_id": "scribe_v2",
        "language_code": "en",
        "num_speakers": "2",
        "diarize": "false",
    }
    assert [(one.part, one.name, one.content) for one in form.files] == [("file", f"{DELIVERY_ID}-0.mp3", MP3)]


def test_they_may_fetch_it_themselves() -> None:
    scripted = Scripted(answer(200, HEARD))
    run(scripted, {"url": "https://example.org/a.mp3"})
    assert form_of(scripted.requests[0]).fields["source_url"] == "https://example.org/a.mp3"


@pytest.mark.parametrize("data", [{}, {"asset_id": ASSET, "url": "https://example.org/a"}])
def test_there_is_one_source(data: Any) -> None:
    with pytest.raises(InvalidPayload, match="either"):
        run(Scripted(), data)


def test_a_long_text_is_cut_in_the_event_and_whole_in_the_file() -> None:
    long = "word " * 10_000
    media = recordings()
    done = run(Scripted(answer(200, {**HEARD, "text": long})), media=media)
    assert isinstance(done, Done)
    assert (len(done.result["text"]), done.result["text_cut"]) == (transcripts.TEXT_CHARACTERS, True)
    assert json.loads(media.files[f"{DELIVERY_ID}.json"])["text"] == long
    assert event_types()["audio.transcribed"].problem(done.events[0].data) is None


def test_channels_are_told_together() -> None:
    two = {"transcripts": [HEARD, {**HEARD, "text": "Bye."}], "audio_duration_secs": None}
    told = transcripts.facts_of(two)
    assert (told["text"], told["words"], told["duration_s"]) == ("Good day.\n\nBye.", 4, 0.9)
    assert told["speakers"] == ["speaker_0", "speaker_1"]


@pytest.mark.parametrize("body", [[], {}, {"text": 5}, {"transcripts": []}, {"transcripts": [None]}])
def test_an_answer_without_text_was_paid_for(body: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        run(Scripted(answer(200, body)))


@pytest.mark.parametrize("words", [None, [None, 5], [{"type": "word"}]])
def test_words_of_any_shape_do_no_harm(words: Any) -> None:
    assert transcripts.facts_of({"text": "a", "words": words})["text"] == "a"


# -------------------------------------------------------------------------------------------------------------- later


def hooked(sandbox: Sandbox) -> None:
    """The workspace has a webhook that nobody answers."""
    body = {"settings": {"auth_type": "hmac", "name": "x", "webhook_url": "http://127.0.0.1:9/"}}
    headers = {"xi-api-key": KEY, "Content-Type": "application/json"}
    urlopen(Request(f"{sandbox.url}/v1/workspace/webhooks", json.dumps(body).encode(), headers), timeout=5).close()


def test_a_transcript_that_comes_later_is_fetched_though_no_webhook_arrives(sandbox: Sandbox) -> None:
    hooked(sandbox)
    road = Road(sandbox, "audio.transcribe_requested", {**DATA, "webhook": True})
    assert isinstance(road.step(), Wait)
    transcription_id = road.progress["transcription_id"]
    assert isinstance(road.step(), Wait), "it is not there yet"
    (sent,) = sandbox.control.do("elevenlabs", "finish_transcription", key=KEY, transcription_id=transcription_id)
    assert sent["status"] == 0
    done = checked(road.step())
    assert (done.external_id, done.result["transcription_id"]) == (transcription_id, transcription_id)
    assert bill(sandbox)["transcriptions"] == 1


def test_only_the_first_step_pays() -> None:
    repeat = PROVIDER.actions["audio.transcribe_requested"].repeat_after
    assert (repeat({}), repeat({"transcription_id": "t1"})) == (Repeat.NEVER, Repeat.SAFE)


def test_our_delivery_is_named_in_what_comes_back_with_the_webhook() -> None:
    said = {"message": "m", "request_id": "r1", "transcription_id": "t1"}
    scripted = Scripted(answer(202, said))
    outcome = run(scripted, {**DATA, "webhook": True, "webhook_id": "wh1"})
    assert (outcome.wait_s, outcome.external_id) == (transcripts.FIRST_LOOK_S, "t1")
    fields = form_of(scripted.requests[0]).fields
    assert (fields["webhook"], fields["webhook_id"]) == ("true", "wh1")
    assert json.loads(fields["webhook_metadata"]) == {
        "delivery_id": str(DELIVERY_ID),
        "source_event_id": str(EVENT_ID),
    }


def test_a_promise_without_an_id_cannot_be_kept_here() -> None:
    with pytest.raises(OutcomeUnknown, match="by webhook only"):
        run(Scripted(answer(202, {"message": "m", "request_id": "r1"})), {**DATA, "webhook": True})


def looked(given: Any, waited_s: int = 0) -> Any:
    progress = {"transcription_id": "t1", "request_id": "r1", "since": int(NOW.timestamp()) - waited_s}
    return run(Scripted(given), {**DATA, "webhook": True}, progress=progress)


NOT_YET = answer(404, {"detail": {"code": "transcript_not_found", "message": "m"}})


def test_a_transcript_that_never_comes_is_given_up() -> None:
    with pytest.raises(Refused, match="Transcript t1 is not there, 24 hours after"):
        looked(NOT_YET, int(transcripts.UNTIL_S))
    assert looked(NOT_YET, 3_000).wait_s == 300.0


def test_other_refusals_end_it_at_once() -> None:
    with pytest.raises(InvalidPayload):
        looked(answer(404, {"detail": "Not Found"}))
    with pytest.raises(Unavailable):
        looked(answer(425, {"detail": {"status": "too_early", "message": "m"}}))


# ------------------------------------------------------------------------------------------------------- by webhook


def notice(data: Any) -> Any:
    body = {"type": "speech_to_text_transcription", "event_timestamp": 1790000000, "data": data}
    (only,) = read(Arrival({}, json.dumps(body).encode(), NOW))
    return only.publishes


def test_a_transcript_that_nobody_here_asked_for_is_told() -> None:
    kind, data = notice({"request_id": "r1", "transcription": {**HEARD, "transcription_id": "t1"}})
    assert kind == "audio.transcribed"
    assert event_types()[kind].problem(data) is None
    assert (data["text"], data["transcription_id"]) == ("Good day.", "t1")


@pytest.mark.parametrize(
    "data",
    [
        {"request_id": "r1", "transcription": HEARD, "webhook_metadata": {"delivery_id": "d"}},
        {"request_id": "r1", "transcription": HEARD, "webhook_metadata": '{"delivery_id":"d"}'},
        {"request_id": "r1", "transcription": None},
        {"request_id": "r1", "transcription": {"words": []}},
        {"request_id": "r1"},
    ],
)
def test_what_a_delivery_fetches_itself_or_holds_no_text_is_not_told_again(data: Any) -> None:
    assert notice(data) is None


@pytest.mark.parametrize("metadata", ["{", "null", [], 5, {"episode": "e1"}])
def test_metadata_of_others_does_not_matter(metadata: Any) -> None:
    assert notice({"transcription": HEARD, "webhook_metadata": metadata}) is not None

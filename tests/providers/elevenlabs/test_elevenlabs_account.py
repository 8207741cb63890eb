"""What is read of an account, who its voices are, and how many calls it makes at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from model import Done, Wait
from providers.contract import Call
from providers.elevenlabs import PROVIDER
from providers.elevenlabs.cast import voice_id
from providers.elevenlabs.models import bytes_per_s, limit_of
from providers.elevenlabs.streams import MAX_VOICES, read_stream
from providers.errors import InvalidPayload, OutcomeUnknown, RateLimited, Unsupported
from sandbox.process import Sandbox
from tests.providers.doubles import NOW, Scripted, answer, transport
from tests.providers.elevenlabs.calls import VOICES, Cached, calling, stepped

# ------------------------------------------------------------------------------------------------------------- streams


def syncing(using: Any, stream: str, **more: Any) -> Call:
    return calling(using, "sync.due", {"integration_id": "i", "stream": stream}, **more)


def voice(number: int, **more: Any) -> dict[str, Any]:
    return {"voice_id": f"v{number}", "name": f"Voice {number}", "category": "premade", "labels": {}, **more}


def voices(*rows: Any, after: str | None = None) -> Any:
    return answer(200, {"voices": rows, "has_more": after is not None, "total_count": 9, "next_page_token": after})


def kept(outcome: Any, stream: str) -> Mapping[str, Any]:
    """What is kept of a stream that was read to its end."""
    assert isinstance(outcome, Done)
    assert outcome.records is not None
    assert outcome.records.cursor is not None
    assert (outcome.records.cursor.stream, outcome.records.cursor.finished) == (stream, True)
    return outcome.records.cursor.value


def test_voices_are_read_page_by_page_and_kept_once_each() -> None:
    labelled = voice(1, labels={"accent": "british", "mood": "x", "age": ""}, description="not kept")
    scripted = Scripted(voices(labelled, voice(2), after="t 1"), voices(voice(2, name="New"), voice(3)))
    progress = stepped(read_stream(syncing(scripted, "voices")))
    value = kept(read_stream(syncing(scripted, "voices", progress=progress)), "voices")
    assert value["voices"] == [
        {"id": "v1", "name": "Voice 1", "category": "premade", "labels": {"accent": "british"}},
        {"id": "v2", "name": "New", "category": "premade", "labels": {}},
        {"id": "v3", "name": "Voice 3", "category": "premade", "labels": {}},
    ]
    first, second = (parse_qs(urlsplit(request.url).query) for request in scripted.requests)
    assert (first, second) == ({"page_size": ["100"]}, {"page_size": ["100"], "next_page_token": ["t 1"]})


def test_a_listing_that_lay_for_long_begins_anew() -> None:
    progress = stepped(read_stream(syncing(Scripted(voices(voice(1), after="t")), "voices")))
    scripted = Scripted(voices(voice(2)))
    later = NOW + timedelta(hours=2)
    value = kept(read_stream(syncing(scripted, "voices", progress=progress, now=later)), "voices")
    assert [each["id"] for each in value["voices"]] == ["v2"]
    assert "next_page_token" not in scripted.requests[0].url


def test_a_listing_without_end_ends() -> None:
    rows = [voice(number) for number in range(MAX_VOICES + 5)]
    value = kept(read_stream(syncing(Scripted(voices(*rows, after="t")), "voices")), "voices")
    assert len(value["voices"]) == MAX_VOICES
    again = {"voices": [], "after": "t", "pages": 49, "done": 0, "at": int(NOW.timestamp())}
    kept(read_stream(syncing(Scripted(voices(voice(1), after="t")), "voices", progress=again)), "voices")


def test_models_come_as_a_bare_list() -> None:
    rows = [
        {
            "model_id": "eleven_v3",
            "name": "v3",
            "maximum_text_length_per_request": 3000,
            "concurrency_group": "standard",
            "model_rates": {"character_cost_multiplier": 1.0},
        },
        {"model_id": "bare"},
        None,
    ]
    value = kept(read_stream(syncing(Scripted(answer(200, rows)), "models")), "models")
    assert value["models"]["eleven_v3"]["limit"] == 3000
    assert (value["models"]["eleven_v3"]["group"], value["models"]["eleven_v3"]["cost"]) == ("standard", 1.0)
    assert value["models"]["bare"]["limit"] is None


def test_the_allowance_of_an_account() -> None:
    plan = {"tier": "creator", "status": "active", "character_count": 900, "character_limit": 1000, "voice_limit": 30}
    value = kept(read_stream(syncing(Scripted(answer(200, plan)), "account")), "account")
    assert (value["characters_left"], value["voice_limit"], value["voice_slots_used"]) == (100, 30, None)


def test_what_an_account_has_used_by_day() -> None:
    days = {"time": [1_763_769_600_000, 1_763_856_000_000], "usage": {"a": [1, 2], "b": [10.5, 0], "odd": [1]}}
    scripted = Scripted(answer(200, days))
    value = kept(read_stream(syncing(scripted, "usage")), "usage")
    assert value["days"] == {"2025-11-22": 11.5, "2025-11-23": 2}
    query = parse_qs(urlsplit(scripted.requests[0].url).query)
    now_ms = int(NOW.timestamp() * 1000)
    assert query == {"start_unix": [str(now_ms - 30 * 86_400_000)], "end_unix": [str(now_ms)]}


@pytest.mark.parametrize(
    ("stream", "body"),
    [
        *(("voices", body) for body in (b"<html>", b"5", b"{}", b'{"voices": 5}')),
        *(("models", body) for body in (b"<html>", b"5", b"{}")),
        *(("account", body) for body in (b"<html>", b"5", b"[]")),
        *(("usage", body) for body in (b"5", b"{}", b'{"time": [], "usage": []}')),
    ],
)
def test_what_cannot_be_read_is_read_again(stream: str, body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        read_stream(syncing(Scripted(answer(200, body)), stream))


def test_a_reading_that_is_held_up_holds_up_nothing_else() -> None:
    with pytest.raises(RateLimited) as limited:
        read_stream(syncing(Scripted(answer(429)), "models"))
    assert limited.value.holds is False


def test_an_unknown_stream() -> None:
    with pytest.raises(Unsupported):
        read_stream(syncing(Scripted(), "insights"))


def test_the_stand_in_tells_all_of_them(sandbox: Sandbox) -> None:
    with transport() as real:
        for stream in ("voices", "models", "account", "usage"):
            outcome: Any = Wait(0, {})
            while isinstance(outcome, Wait):
                call = syncing(real, stream, progress=outcome.progress, base_url=sandbox.url)
                outcome = read_stream(call)
            value = kept(outcome, stream)
            if stream == "voices":
                assert {"v_host", "v_guest"} <= {each["id"] for each in value["voices"]}
            if stream == "models":
                assert value["models"]["eleven_v3"]["limit"] == 3_000
            if stream == "account":
                assert value["characters_left"] > 0
            if stream == "usage":
                assert set(value["days"].values()) == {0}


# -------------------------------------------------------------------------------------------------------------- voices


@pytest.mark.parametrize(
    ("asked", "is_voice"),
    [
        ("v_host", "v_host"),
        ("Anna", "v_anna"),
        (" anna ", "v_anna"),
        ("rachel - calm", "v_host"),
        ("21m00Tcm4TlvDq8ikWAM", "21m00Tcm4TlvDq8ikWAM"),  # an id that is not in the list: new, or shared
    ],
)
def test_a_voice_by_id_or_name(asked: str, is_voice: str) -> None:
    assert voice_id(calling(Scripted(), "x", {}, known=Cached(voices={"voices": VOICES})), asked) == is_voice


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ("Tom", "voice_ambiguous", "Tom (v_guest), tom  (v_tom2)"),
        ("Rachel", "voice_unknown", "close: Rachel - calm (v_host)"),
        ("Ana", "voice_unknown", "close: Anna (v_anna)"),
        ("Zzzzz", "voice_unknown", "read stream `voices` again"),
    ],
)
def test_a_name_that_is_not_one_voice(asked: str, code: str, said: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        voice_id(calling(Scripted(), "x", {}, known=Cached(voices={"voices": VOICES})), asked)
    assert refused.value.code == code
    assert said in str(refused.value)


@pytest.mark.parametrize("known", [Cached(), Cached(voices={"voices": "none"}), Cached(voices={"voices": [5]})])
def test_while_no_list_was_read_a_voice_is_an_id(known: Cached) -> None:
    assert voice_id(calling(Scripted(), "x", {}, known=known), "Rachel") == "Rachel"


# -------------------------------------------------------------------------------------------------------------- models


def limit(model_id: str, output_format: str = "mp3_44100_128", characters: int = 50_000, **known: Any) -> int | None:
    call = calling(Scripted(), "x", {}, known=Cached(**known))
    return limit_of(call, model_id, output_format, characters)


def test_what_a_request_takes() -> None:
    assert limit("eleven_v3") == 3_000
    assert limit("eleven_multilingual_v2") == 10_000
    assert limit("eleven_multilingual_v2", models={"models": {"eleven_multilingual_v2": {"limit": 5_000}}}) == 5_000
    assert limit("eleven_multilingual_v2", models={"models": {"eleven_multilingual_v2": {"limit": None}}}) == 10_000
    assert limit("eleven_multilingual_v2", models={"models": []}) == 10_000
    assert limit("eleven_v3", characters=1_000) is None


def test_no_more_than_fits_into_an_answer() -> None:
    assert limit("eleven_multilingual_v2", "pcm_48000") == 6_990
    assert limit("eleven_v9") == 41_940
    assert bytes_per_s("mp3_44100_192") == 24_000
    assert (bytes_per_s("wav_16000"), bytes_per_s("ulaw_8000"), bytes_per_s("?")) == (32_000, 8_000, 16_000)


@pytest.mark.parametrize(
    ("event_type", "data", "config", "lane"),
    [
        ("audio.render_requested", {}, {}, "standard"),
        ("audio.render_requested", {"model_id": "eleven_flash_v2_5"}, {}, "turbo"),
        ("podcast.render_requested", {}, {"model_id": "eleven_turbo_v2"}, "turbo"),
        ("podcast.render_requested", {"model_id": "eleven_v3"}, {"model_id": "eleven_turbo_v2"}, "standard"),
        ("dialogue.render_requested", {}, {"model_id": "eleven_turbo_v2"}, "standard"),
        ("sync.due", {}, {}, ""),
        ("voice.clone_requested", {}, {}, ""),
    ],
)
def test_whose_ceiling_a_call_counts_against(event_type: str, data: Any, config: Any, lane: str) -> None:
    assert PROVIDER.ceiling is not None
    assert PROVIDER.ceiling.lane(event_type, data, config) == lane


@pytest.mark.parametrize(
    ("said", "most"), [("5", 5), (" 15 ", 15), ("0", None), ("many", None), ("", None), ("²", None)]
)
def test_an_answer_tells_the_ceiling(said: str, most: int | None) -> None:
    assert PROVIDER.ceiling is not None
    assert PROVIDER.ceiling.read(answer(200, headers={"Maximum-Concurrent-Requests": said})) == most
    assert PROVIDER.ceiling.read(answer(200)) is None

"""Podcasts of Studio, which few accounts may make, and pronunciation dictionaries."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model import Done, Wait
from providers.contract import NothingKnown, Repeat
from providers.elevenlabs import PROVIDER, dictionaries, studio
from providers.errors import CredentialsRejected, InvalidPayload, OutcomeUnknown, Refused, Unavailable
from sandbox.process import Sandbox
from tests.providers.doubles import NOW, Scripted, answer
from tests.providers.elevenlabs.calls import Cached, calling
from tests.providers.elevenlabs.roads import Road, bill, checked

PODCAST = {"source": {"text": "What changed in shipping."}, "host_voice_id": "v_host", "name": "notes-12"}
CALLBACK = "https://mesh.example/hooks/elevenlabs/i?delivery=d&token=planted-callback-token"
RULES = [{"type": "alias", "string_to_replace": "AGM", "alias": "Agent Mesh"}]
DICTIONARY = {"name": "Brand names", "rules": RULES}


class CalledBack(NothingKnown):
    """A delivery that was called back with this data, or with these bytes."""

    def __init__(self, data: Any = None, raw: bytes | None = None, kind: str = "project_conversion_status") -> None:
        body = {"type": kind, "event_timestamp": 1790000000, "data": data}
        self._body = raw if raw is not None else None if data is None else json.dumps(body).encode()

    def callback_url(self) -> str:
        """An address that is a credential."""
        return CALLBACK

    def called_back(self) -> bytes | None:
        """What came."""
        return self._body


def run(using: Any, data: Any = PODCAST, **more: Any) -> Any:
    call = calling(using, "studio.podcast_requested", data, **{"known": CalledBack(), **more})
    return PROVIDER.actions["studio.podcast_requested"].run(call)


def looking(using: Any, waited_s: int = 0, **more: Any) -> Any:
    progress = {"step": "look", "project_id": "p1", "since": int(NOW.timestamp()) - waited_s}
    return run(using, progress=progress, **more)


@pytest.fixture
def let_in(sandbox: Sandbox) -> Sandbox:
    """The stand-in with an account that their sales people let in."""
    sandbox.control.do("elevenlabs", "set_studio")
    return sandbox


def test_a_podcast_is_made_looked_after_and_fetched(let_in: Sandbox) -> None:
    road = Road(let_in, "studio.podcast_requested", PODCAST)
    done = road.end()
    assert road.waits == [studio.FIRST_LOOK_S] * 3 + [0]
    (event,) = done.events
    assert (event.type, event.data["mime"], event.data["name"]) == ("audio.rendered", "audio/mpeg", "notes-12")
    assert event.data["project_snapshot_id"] == f"snap-{event.data['project_id']}"
    assert done.external_id == event.data["project_id"]
    assert bill(let_in)["podcasts"] == 1


def test_an_account_that_was_not_let_in_is_told_so_and_not_blocked(sandbox: Sandbox) -> None:
    with pytest.raises(Refused, match="sales people let accounts in") as refused:
        Road(sandbox, "studio.podcast_requested", PODCAST).step()
    assert type(refused.value) is Refused
    assert refused.value.code == "studio_not_allowed"


def test_other_refusals_stay_what_they_are() -> None:
    with pytest.raises(CredentialsRejected):
        run(Scripted(answer(401, {"detail": {"code": "invalid_api_key", "message": "m"}})))


def test_what_is_asked_for() -> None:
    scripted = Scripted(answer(200, {"project": {"project_id": "p1"}}))
    data = {
        "source": [{"text": "A."}, {"url": "https://example.org/post"}],
        "host_voice_id": "Anna",
        "guest_voice_id": "v_guest",
        "duration_scale": "short",
        "highlights": ["what changed in shipping"],
    }
    cached = Cached(voices={"voices": [{"id": "v_anna", "name": "Anna"}, {"id": "v_guest", "name": "Tom"}]})
    outcome = run(scripted, data, known=cached)
    assert outcome.progress["project_id"] == "p1"
    (request,) = scripted.requests
    assert json.loads(request.body) == {
        "model_id": "eleven_multilingual_v2",
        "mode": {"type": "conversation", "conversation": {"host_voice_id": "v_anna", "guest_voice_id": "v_guest"}},
        "source": [{"type": "text", "text": "A."}, {"type": "url", "url": "https://example.org/post"}],
        "quality_preset": "standard",
        "duration_scale": "short",
        "highlights": ["what changed in shipping"],
        "callback_url": cached.callback_url(),
    }


def test_the_callbacks_address_is_never_shown() -> None:
    scripted = Scripted(answer(400, {"detail": {"message": f"Cannot reach {CALLBACK}."}}))
    with pytest.raises(InvalidPayload) as refused:
        run(scripted)
    assert "planted-callback-token" not in f"{refused.value} {scripted.requests!r}"


@pytest.mark.parametrize("source", [None, {}, [], "text", {"text": "a", "url": "https://a.example"}, [{"text": ""}]])
def test_a_source_is_a_text_or_an_address(source: Any) -> None:
    with pytest.raises(InvalidPayload, match="`source`"):
        run(Scripted(), {**PODCAST, "source": source})


# ------------------------------------------------------------------------------------------------------ a lost answer


def test_a_lost_begin_waits_for_the_callback_that_names_its_project(let_in: Sandbox) -> None:
    road = Road(let_in, "studio.podcast_requested", PODCAST)
    road.lose("/v1/studio/podcasts", "before")
    assert road.find() is None
    road.lose("/v1/studio/podcasts")
    with pytest.raises(Unavailable, match="the callback will tell") as waiting:
        road.find()
    assert waiting.value.code == "not_told_apart"
    project_id = str(waiting.value).partition("(")[2].partition(")")[0]
    road.known = CalledBack({"project_id": project_id, "conversion_status": "success"})
    assert isinstance(road.find(), Wait)
    assert checked(road.end()).result["project_id"] == project_id
    assert bill(let_in)["podcasts"] == 1


@pytest.mark.parametrize(
    "row",
    [
        {"project_id": "p1", "create_date_unix": int(NOW.timestamp()) - 3600, "creation_meta": None},
        {"project_id": "p1", "create_date_unix": int(NOW.timestamp()), "creation_meta": {"type": "blank"}},
        {"create_date_unix": int(NOW.timestamp())},
    ],
)
def test_projects_that_cannot_be_it_do_not_matter(row: Any) -> None:
    call = calling(Scripted(answer(200, {"projects": [row]})), "studio.podcast_requested", PODCAST, known=CalledBack())
    assert studio.find(call) is None


def test_only_the_begin_is_looked_up() -> None:
    repeat = PROVIDER.actions["studio.podcast_requested"].repeat_after
    assert (repeat({}), repeat({"step": "look"})) == (Repeat.LOOKUP, Repeat.SAFE)


# -------------------------------------------------------------------------------------------------------- looked after

NOTHING = answer(200, {"snapshots": []})
DONE_EMPTY = answer(200, {"project_id": "p1", "state": "default", "can_be_downloaded": False})


def test_a_failure_is_told_by_the_callback() -> None:
    known = CalledBack({"project_id": "p1", "conversion_status": "error", "error_details": "No words."})
    with pytest.raises(Refused, match="Project p1 failed: No words") as refused:
        looking(Scripted(NOTHING, answer(200, {"state": "creating"})), known=known)
    assert refused.value.code == "podcast_failed"


def test_a_snapshot_counts_more_than_a_callback_that_anybody_could_send() -> None:
    known = CalledBack({"project_id": "p1", "conversion_status": "error"})
    rows = [{"project_snapshot_id": "s1", "created_at_unix": 1}, {"project_snapshot_id": "s2", "created_at_unix": 2}]
    outcome = looking(Scripted(answer(200, {"snapshots": rows})), known=known)
    assert outcome.progress == {"step": "fetch", "project_id": "p1", "snapshot_id": "s2"}


@pytest.mark.parametrize("known", [CalledBack(raw=b"{"), CalledBack(raw=b"[]"), CalledBack(raw=b'{"data":5}')])
def test_a_callback_that_is_not_understood_changes_nothing(known: Any) -> None:
    assert isinstance(looking(Scripted(NOTHING, answer(200, {"state": "creating"})), known=known), Wait)


def test_a_chapter_that_failed_is_not_the_podcast() -> None:
    known = CalledBack({"project_id": "p1", "chapter_id": "c1", "conversion_status": "error"})
    assert isinstance(looking(Scripted(NOTHING, answer(200, {"state": "converting"})), known=known), Wait)


def test_a_project_that_is_done_and_empty_has_failed_when_it_stays_so() -> None:
    assert isinstance(looking(Scripted(NOTHING, DONE_EMPTY)), Wait)
    with pytest.raises(Refused, match="nothing to fetch"):
        looking(Scripted(NOTHING, DONE_EMPTY), waited_s=int(studio.NOTHING_S) + 1)


def test_how_it_was_made_tells_failure_too() -> None:
    with pytest.raises(Refused, match="could not be written"):
        looking(Scripted(NOTHING, answer(200, {"state": "default", "creation_meta": {"status": "failed"}})))


def test_a_podcast_that_never_ends_is_given_up() -> None:
    with pytest.raises(Refused, match=r"Project p1 is not ready \(in_queue\), 24 hours after"):
        looking(Scripted(NOTHING, answer(200, {"state": "in_queue"})), waited_s=int(studio.UNTIL_S))


@pytest.mark.parametrize("body", [{}, {"project": None}, {"project": {"project_id": 5}}])
def test_an_answer_that_names_no_project_is_looked_up(body: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        run(Scripted(answer(200, body)))


# -------------------------------------------------------------------------------------------------------- dictionaries


def test_a_dictionary_is_added(sandbox: Sandbox) -> None:
    done = Road(sandbox, "dictionary.add_requested", {**DICTIONARY, "description": "How we are called."}).end()
    assert done.events[0].type == "dictionary.added"
    assert (done.result["dictionary_id"], done.result["version_id"]) == ("dict0000000000000001", "dictv000000000000001")


def test_a_lost_dictionary_is_found_by_name_rules_and_time(sandbox: Sandbox) -> None:
    road = Road(sandbox, "dictionary.add_requested", DICTIONARY)
    Road(sandbox, "dictionary.add_requested", {**DICTIONARY, "rules": RULES * 2}).end()
    road.lose("/v1/pronunciation-dictionaries/*", "before")
    assert road.find() is None
    road.lose("/v1/pronunciation-dictionaries/*")
    done = checked(road.find())
    assert (done.result["dictionary_id"], done.result["recovered"]) == ("dict0000000000000002", True)


def dictionary(**more: Any) -> dict[str, Any]:
    at = int(NOW.timestamp())
    known = {"id": "d1", "latest_version_id": "v1", "latest_version_rules_num": 1, "creation_time_unix": at}
    return {"name": "Brand names", **known, **more}


@pytest.mark.parametrize(
    "row", [dictionary(name="x"), dictionary(latest_version_rules_num=2), dictionary(creation_time_unix=1), None]
)
def test_another_dictionary_is_not_taken_for_it(row: Any) -> None:
    scripted = Scripted(answer(200, {"pronunciation_dictionaries": [row], "has_more": False}))
    assert dictionaries.find(calling(scripted, "dictionary.add_requested", DICTIONARY)) is None


def test_all_pages_are_looked_through() -> None:
    first = {"pronunciation_dictionaries": [], "has_more": True, "next_cursor": "c 1"}
    scripted = Scripted(
        answer(200, first), answer(200, {"pronunciation_dictionaries": [dictionary()], "has_more": False})
    )
    done = dictionaries.find(calling(scripted, "dictionary.add_requested", DICTIONARY))
    assert isinstance(done, Done)
    assert "cursor=c+1" in scripted.requests[1].url


@pytest.mark.parametrize("answers", [[answer(500)], [answer(200, {})], [OutcomeUnknown("lost")]])
def test_a_list_that_does_not_come_proves_nothing(answers: Any) -> None:
    with pytest.raises(Unavailable):
        dictionaries.find(calling(Scripted(*answers), "dictionary.add_requested", DICTIONARY))


@pytest.mark.parametrize("rules", [None, [], "x"])
def test_a_dictionary_has_rules(rules: Any) -> None:
    with pytest.raises(InvalidPayload, match="`rules`"):
        dictionaries.add(calling(Scripted(), "dictionary.add_requested", {"name": "a", "rules": rules}))


def test_an_answer_without_ids_is_looked_up() -> None:
    with pytest.raises(OutcomeUnknown):
        dictionaries.add(calling(Scripted(answer(200, {"id": "d1"})), "dictionary.add_requested", DICTIONARY))

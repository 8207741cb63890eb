"""Studio projects by hand: made, filled, converted, fetched; nothing is made or converted twice."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from model import Wait
from providers.contract import Repeat
from providers.elevenlabs import PROVIDER, projects, studio
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Unavailable
from sandbox.process import Sandbox
from tests.providers.doubles import DELIVERY_ID, NOW, Scripted, answer
from tests.providers.elevenlabs.calls import calling
from tests.providers.elevenlabs.roads import ASSET, Road, bill
from tests.providers.elevenlabs.test_studio import CALLBACK, CalledBack
from tests.providers.elevenlabs.test_voices import form_of

ASKED = "studio.project_requested"
BOOK = {"name": "The book", "from_url": "https://example.org/book", "chapters": [{"name": "One"}, {"name": "Two"}]}


def run(using: Any, data: Any = BOOK, **more: Any) -> Any:
    return PROVIDER.actions[ASKED].run(calling(using, ASKED, data, **{"known": CalledBack(), **more}))


def test_a_project_is_made_filled_converted_and_fetched(sandbox: Sandbox) -> None:
    done = Road(sandbox, ASKED, BOOK).end()
    completed, rendered = done.events
    assert (completed.type, rendered.type) == ("studio.project_completed", "audio.rendered")
    assert (rendered.data["mime"], len(completed.data["chapter_ids"])) == ("audio/mpeg", 2)
    assert done.external_id == completed.data["project_id"]
    assert bill(sandbox) == {"characters": 0, "generations": 0, "conversions": 1}


def test_an_archive_holds_every_chapter(sandbox: Sandbox) -> None:
    road = Road(sandbox, ASKED, {**BOOK, "fetch": "archive"})
    done = road.end()
    (asset,) = done.assets
    assert asset.mime == "application/zip"
    with zipfile.ZipFile(io.BytesIO(road.media.files[asset.uri.removeprefix("memory://")])) as files:
        assert files.namelist() == ["000-Chapter 1.mp3", "001-One.mp3", "002-Two.mp3"]
    assert [event.type for event in done.events] == ["studio.project_completed"]


def test_one_that_is_there_gets_another_text_and_a_chapter_is_converted_alone(sandbox: Sandbox) -> None:
    made = Road(sandbox, ASKED, {"name": "The book", "convert": False, "chapters": [{"name": "One"}]}).end().result
    filled = {"project_id": made["project_id"], "content": [{"name": "Two", "blocks": []}], "convert": False}
    Road(sandbox, ASKED, {**filled, "chapters": [{"name": "Three"}]}).end()
    added = Road(
        sandbox, ASKED, {"project_id": made["project_id"], "chapters": [{"name": "Four"}], "convert": False}
    ).end()
    (chapter_id,) = added.result["chapter_ids"]
    assert "conversions" not in bill(sandbox)
    done = Road(sandbox, ASKED, {"project_id": made["project_id"], "chapter_id": chapter_id}).end()
    assert done.result["chapter_snapshot_id"]
    assert done.result["mime"] == "audio/mpeg"


def test_a_second_conversion_is_not_taken_for_the_first(sandbox: Sandbox) -> None:
    first = Road(sandbox, ASKED, BOOK).end().result
    second = Road(sandbox, ASKED, {"project_id": first["project_id"]}).end().result
    assert second["project_snapshot_id"] != first["project_snapshot_id"]


def test_a_project_goes(sandbox: Sandbox) -> None:
    project_id = Road(sandbox, ASKED, {"name": "N", "convert": False}).end().result["project_id"]
    ends = [Road(sandbox, "studio.project_remove_requested", {"project_id": project_id}).end() for _ in range(2)]
    assert [done.result["was_gone"] for done in ends] == [False, True]


# ------------------------------------------------------------------------------------------------------ lost answers


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["begin", "chapter", "convert"])
def test_a_lost_answer_makes_nothing_twice(sandbox: Sandbox, step: str, when: str) -> None:
    road = Road(sandbox, ASKED, BOOK)
    while road.progress.get("step", "begin") != step:
        road.step()
    paths = {"begin": "/v1/studio/projects", "chapter": "*/chapters", "convert": "*/convert"}
    project_id = road.progress.get("project_id")
    path = paths[step].replace("*", f"/v1/studio/projects/{project_id}")
    road.lose(path, when)
    assert (road.find() is None) == (when == "before")
    done = road.end()
    assert len(done.result["chapter_ids"]) == 2
    assert bill(sandbox)["conversions"] == 1
    listed = answer_of(sandbox)
    assert len(listed) == 1


def answer_of(sandbox: Sandbox) -> Any:
    from providers.elevenlabs import api
    from tests.providers.doubles import transport

    with transport() as real:
        return api.read(calling(real, ASKED, BOOK, base_url=sandbox.url), "/v1/studio/projects")["projects"]


def test_what_is_looked_up() -> None:
    repeat = PROVIDER.actions[ASKED].repeat_after
    steps = ("begin", "list", "chapter", "before", "convert", "look", "fetch")
    assert [step for step in steps if repeat({"step": step}) is Repeat.LOOKUP] == ["begin", "chapter", "convert"]
    assert repeat({}) is Repeat.LOOKUP


def test_another_text_may_be_sent_again() -> None:
    call = calling(Scripted(), ASKED, {"project_id": "p1", "from_url": "https://a.example/"}, known=CalledBack())
    assert projects.find(call) is None


# --------------------------------------------------------------------------------------------------- what is asked for


def test_the_form_of_a_project_and_its_callback_that_is_not_shown() -> None:
    scripted = Scripted(answer(200, {"project": {"project_id": "p1"}}))
    run(
        scripted,
        {"name": "The book", "asset_id": ASSET, "title": "T", "default_paragraph_voice_id": "v_host"},
        media=media(),
    )
    (request,) = scripted.requests
    form = form_of(request)
    assert dict(form.fields) == {
        "name": f"The book [{DELIVERY_ID}]",
        "default_model_id": "eleven_multilingual_v2",
        "quality_preset": "standard",
        "default_paragraph_voice_id": "v_host",
        "title": "T",
        "callback_url": CALLBACK,
    }
    assert [one.part for one in form.files] == ["from_document"]
    assert "planted-callback-token" not in repr(request)
    assert CALLBACK in request.secrets


def media() -> Any:
    from tests.providers.elevenlabs.roads import recordings

    return recordings()


def test_the_text_of_chapters_is_one_field_of_json() -> None:
    scripted = Scripted(answer(200, {"project": {"project_id": "p1"}}))
    run(scripted, {"project_id": "p1", "content": [{"name": "One", "blocks": []}]})
    assert scripted.requests[0].url.endswith("/v1/studio/projects/p1/content")
    assert json.loads(dict(form_of(scripted.requests[0]).fields)["from_content_json"]) == [
        {"name": "One", "blocks": []}
    ]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"name": "N", "project_id": "p1"},
        {"name": "N", "from_url": "https://a.example", "content": [{}]},
        {"name": "N", "chapter_id": "c1"},
        {"project_id": "p1", "chapter_id": "c1", "fetch": "archive"},
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(data: Any) -> None:
    scripted = Scripted()
    with pytest.raises(InvalidPayload):
        run(scripted, data)
    assert scripted.requests == []


# -------------------------------------------------------------------------------------------------------- looked after

NOTHING = answer(200, {"snapshots": []})


def looking(using: Any, waited_s: int = 0, data: Any = BOOK, **more: Any) -> Any:
    since = int(NOW.timestamp()) - waited_s
    return run(using, data, progress={"step": "look", "project_id": "p1", "before": ["old"], "since": since}, **more)


def test_a_failure_is_told_by_the_callback() -> None:
    known = CalledBack({"project_id": "p1", "conversion_status": "error", "error_details": "No words."})
    with pytest.raises(Refused, match="No words") as failed:
        looking(Scripted(NOTHING, answer(200, {"state": "converting"})), known=known)
    assert failed.value.code == "conversion_failed"


def test_a_conversion_that_fails_tells_so(sandbox: Sandbox) -> None:
    sandbox.control.do("elevenlabs", "set_studio", outcome="error", polls=0)
    made = Road(sandbox, ASKED, {"name": "N", "convert": False, "chapters": [{"name": "One"}]}).end().result
    road = Road(sandbox, ASKED, {"project_id": made["project_id"], "chapter_id": made["chapter_ids"][0]})
    with pytest.raises(Refused, match="told that it fails"):
        road.end()


def test_one_that_rests_without_anything_new_has_failed_when_it_stays_so() -> None:
    rests = answer(200, {"state": "default"})
    old = answer(200, {"snapshots": [{"project_snapshot_id": "old"}]})
    assert isinstance(looking(Scripted(old, rests)), Wait)
    with pytest.raises(Refused, match="nothing new to fetch"):
        looking(Scripted(old, rests), waited_s=int(studio.NOTHING_S) + 1)


def test_one_that_never_ends_is_given_up() -> None:
    with pytest.raises(Refused, match="24 hours after"):
        looking(Scripted(NOTHING, answer(200, {"state": "in_queue"})), waited_s=int(studio.UNTIL_S))


@pytest.mark.parametrize("body", [{}, {"snapshots": 5}, []])
def test_an_answer_that_is_not_understood_is_looked_at_again(body: Any) -> None:
    with pytest.raises((OutcomeUnknown, Unavailable)):
        looking(Scripted(answer(200, body)))


def test_an_archive_that_is_none_is_not_kept() -> None:
    progress = {"step": "fetch", "project_id": "p1", "snapshot_id": "s1"}
    with pytest.raises(OutcomeUnknown, match="no archive"):
        run(Scripted(answer(200, b"ID3")), {**BOOK, "fetch": "archive"}, progress=progress)

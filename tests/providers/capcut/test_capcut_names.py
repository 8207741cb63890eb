"""Closed lists: read daily, and looked at before a draft is begun. Workflows: published, listed, played."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from model import Done
from providers.capcut import PROVIDER
from providers.capcut.doors import LISTS
from providers.contract import Repeat
from providers.errors import InvalidPayload, OutcomeUnknown, ProviderError, Unavailable, Unsupported
from providers.http import Answer
from tests.providers.capcut.calls import (
    BASE_URL,
    Stored,
    body,
    calling,
    done,
    drafted,
    path,
    run,
    said,
    walked,
)
from tests.providers.capcut.test_capcut_videos import FETCHED
from tests.providers.doubles import NOW, Scripted, answer
from worker.catalog import event_types

ACCOUNT = "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e"
PUBLISH = "video.workflow_publish_requested"


def listed(*names: str) -> Answer:
    return said([{"name": name} for name in names])


def due(stream: str) -> dict[str, Any]:
    return {"integration_id": ACCOUNT, "stream": stream}


def known(**lists: list[str]) -> Stored:
    return Stored({"names": {"server": BASE_URL, "lists": lists}})


def test_every_list_is_read_one_a_step() -> None:
    using, store = Scripted(*(listed(f"{name}_1", f"{name}_2") for name in LISTS)), Stored()
    steps, last = walked(using, due("names"), "sync.due", known=store)
    assert [each.method for each in using.requests] == ["GET"] * len(LISTS)
    assert [path(each) for each in using.requests] == [door.path.removeprefix("/") for door in LISTS.values()]
    assert len(steps) == len(LISTS) - 1
    assert store.cursor("names") == {"server": BASE_URL, "lists": {name: [f"{name}_1", f"{name}_2"] for name in LISTS}}
    assert last.records is not None
    assert last.records.cursor is not None
    assert last.records.cursor.finished
    assert last.result["names"]["fonts"] == 2


def test_a_list_that_is_none_is_read_again_later() -> None:
    with pytest.raises(OutcomeUnknown):
        run(calling(Scripted(said("")), due("names"), "sync.due"))
    with pytest.raises(Unsupported, match="no stream orders"):
        run(calling(Scripted(), due("orders"), "sync.due"))


@pytest.mark.parametrize(
    ("op", "params", "lists", "words"),
    [
        (
            "add_text",
            {"font": "CC_Modern"},
            {"fonts": ["CC_Moderno", "Alex"]},
            "no font 'CC_Modern'. Close to it: CC_Mod",
        ),
        ("add_subtitle", {"font": "zzzz"}, {"fonts": ["CC_Moderno"]}, "add_subtitle has no font 'zzzz'."),
        ("add_text", {"intro_animation": "Clik"}, {"text_intros": ["Click"]}, "Close to it: Click"),
        ("add_text", {"outro_animation": "x"}, {"text_outros": ["Wiping_Out"]}, "no outro_animation"),
        ("add_image", {"intro_animation": "x"}, {"intro_animations": ["A"]}, "no intro_animation"),
        ("add_image", {"combo_animation": "x"}, {"combo_animations": ["A"]}, "no combo_animation"),
        ("add_image", {"transition": "mix"}, {"transitions": ["Mix"]}, "Close to it: Mix"),
        ("add_video", {"mask_type": "x"}, {"masks": ["圆形"]}, "no mask_type"),
        ("add_audio", {"effect_type": "x"}, {"audio_effects": ["Low"]}, "no effect_type"),
        ("add_effect", {"effect_type": "CRASH"}, {"scene_effects": ["Betamax"]}, "no effect_type 'CRASH'"),
        (
            "add_effect",
            {"effect_type": "Betamax", "effect_category": "character"},
            {"character_effects": ["CRASH"]},
            "no effect_type 'Betamax'",
        ),
    ],
)
def test_a_name_that_is_not_on_its_list_is_refused_with_those_close_to_it(
    op: str, params: dict[str, Any], lists: dict[str, list[str]], words: str
) -> None:
    needed = {"text": "x", "start": 0, "end": 1, "srt": "1\n00:00:00,000 --> 00:00:01,000\nx"}
    needed |= dict.fromkeys(("video_url", "image_url", "audio_url"), "https://a.example/x")
    data = {"operations": [{"op": op, "params": {**needed, **params}}]}
    look = [answer(200, headers={"Content-Type": "application/octet-stream"})] * 4
    progress = {"step": "look", "looked": 3, "audio_s": None, "background": "", "rebuilds": 0, "draft_id": None}
    with pytest.raises(InvalidPayload) as failed:
        run(calling(Scripted(*look), data, known=known(**lists), progress=progress))
    assert failed.value.code == "name_unknown"
    assert words in str(failed.value)


def test_lists_that_say_nothing_refuse_nothing() -> None:
    data = {"title": "x", "title_style": {"font": "Anything"}}
    elsewhere = Stored({"names": {"server": "https://other.example", "lists": {"fonts": ["A"]}}})
    for store in (Stored(), known(), known(fonts=[]), known(fonts=["Anything"]), elsewhere):
        using = Scripted(drafted())
        run(calling(using, data, known=store))
        assert path(using.requests[0]) == "create_draft"


# ----------------------------------------------------------------------------------------------------------- workflows


TEMPLATE = event_types()[PUBLISH].example
KEPT = {"workflow_id": "wf_1", "name": TEMPLATE["name"], "description": ""}


def page(*rows: dict[str, Any], total: int | None = None) -> Answer:
    return answer(200, {"success": True, "total": len(rows) if total is None else total, "workflows": list(rows)})


def test_a_template_is_published_as_a_script() -> None:
    using = Scripted(said(KEPT))
    made = done(run(calling(using, TEMPLATE, PUBLISH)))
    (request,) = using.requests
    assert request.url == f"{BASE_URL}/publish_workflow?name=title-and-voice&description=A+title+over+a+voice"
    assert json.loads(body(request)["script"][0]["params"]) == {"audio_url": "${voice_url}"}
    assert (made.result, made.external_id) == ({"workflow_id": "wf_1", "name": "title-and-voice"}, "wf_1")


def test_a_script_is_published_as_it_is_but_its_params_are_texts() -> None:
    using = Scripted(said(KEPT))
    script = [{"type": "action", "action_type": "add_text", "params": {"text": "${t}", "start": 0}}]
    run(calling(using, {"name": "n", "script": script}, PUBLISH))
    assert json.loads(body(using.requests[0])["script"][0]["params"]) == {"text": "${t}", "start": "0"}


@pytest.mark.parametrize("data", [{"name": "n"}, {"name": "n", "template": [{"op": "nope"}]}])
def test_what_is_no_workflow_is_not_published(data: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload):
        run(calling(Scripted(), data, PUBLISH))


@pytest.mark.parametrize("given", [OutcomeUnknown("lost"), answer(500), answer(503), said("")])
def test_a_workflow_whose_answer_was_lost_is_looked_for(given: Any) -> None:
    action = PROVIDER.actions[PUBLISH]
    assert (action.repeat, action.find is not None) == (Repeat.LOOKUP, True)
    assert action.find is not None
    with pytest.raises(OutcomeUnknown):
        run(calling(Scripted(given), TEMPLATE, PUBLISH))
    new, old = NOW.isoformat(), (NOW - timedelta(hours=1)).replace(tzinfo=None).isoformat()
    rows = [{**KEPT, "workflow_id": "old", "created_at": old}, {**KEPT, "name": "other"}, {**KEPT, "created_at": new}]
    found = action.find(calling(Scripted(page(*rows)), TEMPLATE, PUBLISH))
    assert isinstance(found, Done)
    assert found.result == {"workflow_id": "wf_1", "name": "title-and-voice", "recovered": True}
    assert action.find(calling(Scripted(page(*rows[:2])), TEMPLATE, PUBLISH)) is None
    second = Scripted(page(rows[1], total=101), page(KEPT, total=101))
    assert action.find(calling(second, TEMPLATE, PUBLISH)) is not None
    assert second.requests[1].url.endswith("limit=100&offset=100")
    for broken in (answer(200, b"{"), answer(200, {"success": True}), OutcomeUnknown("lost")):
        with pytest.raises(Unavailable):
            action.find(calling(Scripted(broken), TEMPLATE, PUBLISH))


def test_workflows_are_listed_and_played_by_name() -> None:
    store = Stored()
    rows = [{"workflow_id": f"wf_{n}", "name": f"name {n}", "tags": []} for n in range(101)]
    using = Scripted(page(*rows[:100], total=101), page(rows[100], total=101))
    steps, last = walked(using, due("workflows"), "sync.due", known=store)
    assert (len(steps), last.result) == (1, {"workflows": 101})
    script = [{"type": "action", "action_type": "add_text", "params": '{"text": "${t}", "start": "0", "end": "1"}'}]
    using = Scripted(drafted(), said({**KEPT, "script": script}), drafted(), *FETCHED[2:])
    walked(using, {"workflow": {"name": "name 100", "inputs": {"t": 'a "b"'}}}, known=store)
    assert [path(each) for each in using.requests][:3] == ["create_draft", "get_workflow", "execute_workflow"]
    assert using.requests[1].url.endswith("?workflow_id=wf_100")
    played = body(using.requests[2])
    assert json.loads(played["script"][0]["params"])["text"] == 'a "b"'
    using = Scripted(drafted(), drafted())
    with pytest.raises(InvalidPayload, match="Close to it: name 1"):
        walked(using, {"workflow": {"name": "nam 1"}}, known=store)


def test_a_workflow_without_a_script_adds_nothing() -> None:
    using = Scripted(drafted(), said({**KEPT}))
    with pytest.raises(ProviderError):
        walked(using, {"workflow": {"workflow_id": "wf_1"}})


def test_a_server_without_workflows_has_an_empty_list() -> None:
    store = Stored()
    _, last = walked(Scripted(answer(404)), due("workflows"), "sync.due", known=store, secrets={})
    assert last.result == {"workflows": 0}
    assert store.cursor("workflows")["workflows"] == []

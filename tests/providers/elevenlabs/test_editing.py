"""A voice that is there: what is not said stays, what is repeated changes nothing, recordings need a consent."""

from __future__ import annotations

from typing import Any

import pytest

from providers.contract import Repeat
from providers.elevenlabs import PROVIDER
from providers.errors import InvalidPayload, OutcomeUnknown
from sandbox.process import Sandbox
from tests.providers.doubles import Scripted, answer, transport
from tests.providers.elevenlabs.calls import KEY, calling
from tests.providers.elevenlabs.roads import ASSET, CONSENT, SECOND, Road
from tests.providers.elevenlabs.test_voices import form_of

CLONE = {
    "name": "Host",
    "description": "Calm.",
    "labels": {"accent": "british"},
    "sample_asset_ids": [ASSET],
    "consent": CONSENT,
}
UPDATE = "voice.update_requested"


def cloned(sandbox: Sandbox) -> str:
    """A clone of one recording."""
    return str(Road(sandbox, "voice.clone_requested", CLONE).end().result["voice_id"])


def voice_of(sandbox: Sandbox, voice_id: str, what: str = "") -> Any:
    with transport() as real:
        call = calling(real, "sync.due", {"stream": "voices"}, base_url=sandbox.url)
        from providers.elevenlabs import api

        return api.read(call, f"/v1/voices/{voice_id}{what}")


def changed(sandbox: Sandbox, **data: Any) -> Any:
    return Road(sandbox, UPDATE, data).end()


def test_a_new_name_leaves_everything_else(sandbox: Sandbox) -> None:
    voice_id = cloned(sandbox)
    done = changed(sandbox, voice_id=voice_id, name="Narrator")
    voice = voice_of(sandbox, voice_id)
    assert (voice["name"], voice["description"], voice["labels"]) == ("Narrator", "Calm.", {"accent": "british"})
    assert len(voice["samples"]) == 1
    (event,) = done.events
    assert (event.type, event.data["voice_id"], event.data["name"]) == ("voice.updated", voice_id, "Narrator")


def test_all_that_is_said_goes_into_an_edit_that_wipes_what_it_does_not_say() -> None:
    stored = {"name": "Host", "description": "Calm.", "labels": {"accent": "british"}, "samples": None}
    scripted = Scripted(answer(200, stored), answer(200, {"status": "ok"}))
    PROVIDER.actions[UPDATE].run(calling(scripted, UPDATE, {"voice_id": "nv1", "labels": {"age": "old"}}))
    assert scripted.requests[1].url == "https://api.elevenlabs.io/v1/voices/nv1/edit"
    fields = dict(form_of(scripted.requests[1]).fields)
    assert fields == {"name": "Host", "description": "Calm.", "labels": '{"age":"old"}'}


def test_settings_are_stored_and_the_others_stay(sandbox: Sandbox) -> None:
    voice_id = cloned(sandbox)
    before = voice_of(sandbox, voice_id, "/settings")
    changed(sandbox, voice_id=voice_id, settings={"stability": 0.9})
    assert voice_of(sandbox, voice_id, "/settings") == {**before, "stability": 0.9}


def test_recordings_come_once_and_go(sandbox: Sandbox) -> None:
    voice_id = cloned(sandbox)
    (first,) = voice_of(sandbox, voice_id)["samples"]
    road = Road(sandbox, UPDATE, {"voice_id": voice_id, "sample_asset_ids": [SECOND], "consent": CONSENT})
    road.sandbox.control.add_rule(f"/v1/voices/{voice_id}/edit", {"drop": "after"}, times=1)
    with pytest.raises(OutcomeUnknown):
        road.step()
    done = road.end()
    assert len(voice_of(sandbox, voice_id)["samples"]) == 2
    assert done.result["consent"]["by"] == CONSENT["by"]
    again = Road(sandbox, UPDATE, {"voice_id": voice_id, "remove_sample_ids": [first["sample_id"], "gone"]})
    again.end()
    assert [each["sample_id"] for each in voice_of(sandbox, voice_id)["samples"]] != [first["sample_id"]]
    assert len(voice_of(sandbox, voice_id)["samples"]) == 1


def test_a_professional_voice_has_a_door_of_its_own_for_its_recordings() -> None:
    voice = {"category": "professional", "samples": [{"sample_id": "s1"}]}
    scripted = Scripted(answer(200, voice), answer(200, {"status": "ok"}))
    PROVIDER.actions[UPDATE].run(calling(scripted, UPDATE, {"voice_id": "nv1", "remove_sample_ids": ["s1"]}))
    assert [(each.method, each.url) for each in scripted.requests][1] == (
        "DELETE",
        "https://api.elevenlabs.io/v1/voices/pvc/nv1/samples/s1",
    )


def test_each_change_is_a_step(sandbox: Sandbox) -> None:
    voice_id = cloned(sandbox)
    road = Road(
        sandbox, UPDATE, {"voice_id": voice_id, "name": "N", "settings": {"speed": 1.1}, "remove_sample_ids": ["x"]}
    )
    road.end()
    assert road.waits == [0, 0]
    assert PROVIDER.actions[UPDATE].repeat_after({"done": 1}) is Repeat.SAFE


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "`voice_id` is missing"),
        ({"voice_id": "v"}, "Nothing is said"),
        ({"voice_id": "v", "sample_asset_ids": [ASSET]}, "permission"),
    ],
)
def test_what_is_refused_before_anything_is_sent(data: Any, said: str) -> None:
    scripted = Scripted()
    with pytest.raises(InvalidPayload, match=said):
        PROVIDER.actions[UPDATE].run(calling(scripted, UPDATE, data or {"name": "N"}))
    assert scripted.requests == []


# ------------------------------------------------------------------------------------------------------ taken away


def test_an_item_of_the_history_goes_and_may_be_gone(sandbox: Sandbox) -> None:
    Road(sandbox, "audio.render_requested", {"text": "Hello.", "voice_id": "v_host"}).end()
    (made,) = sandbox.control.do("elevenlabs", "generations", key=KEY)
    data = {"history_item_id": made["history_item_id"]}
    assert Road(sandbox, "history_item.remove_requested", data).end().result["was_gone"] is False
    assert Road(sandbox, "history_item.remove_requested", data).end().result["was_gone"] is True


def test_what_else_is_refused_is_no_removal() -> None:
    with pytest.raises(InvalidPayload):
        PROVIDER.actions["history_item.remove_requested"].run(
            calling(Scripted(answer(422)), "history_item.remove_requested", {"history_item_id": "h1"})
        )

"""The workspace's webhooks: a secret is sealed and shown nowhere, and one that nobody knows is not left behind."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from model import Done
from providers.contract import NothingKnown
from providers.elevenlabs import PROVIDER
from providers.errors import InvalidPayload, OutcomeUnknown
from sandbox.process import Sandbox
from tests.providers.doubles import DELIVERY_ID, Scripted, answer
from tests.providers.elevenlabs.calls import calling
from tests.providers.elevenlabs.roads import Road, checked

HOOK = {"name": "podcast", "url": "https://mesh.example.org/hooks/elevenlabs/x"}
MAKE, CHANGE, REMOVE = (f"workspace_webhook.{each}_requested" for each in ("create", "update", "remove"))
OTHER = UUID("01930000-0000-7000-8000-0000000000ff")
SECRET = "wsec_planted0123456789"


class Sealing(NothingKnown):
    """Seals by turning round."""

    def seal(self, secret: str) -> str:
        return f"v1:{secret[::-1]}"


def listed(sandbox: Sandbox) -> list[Any]:
    done = Road(sandbox, "sync.due", {"stream": "webhooks"}).end()
    cursor = done.records.cursor if done.records else None
    assert cursor is not None
    assert cursor.finished
    found: list[Any] = cursor.value["webhooks"]
    return found


def test_a_webhook_is_made_and_its_secret_is_only_sealed(sandbox: Sandbox) -> None:
    road = Road(sandbox, MAKE, HOOK, known=Sealing())
    done = road.end()
    (row,) = listed(sandbox)
    assert (row["name"], row["webhook_url"]) == (f"podcast [{DELIVERY_ID}]", HOOK["url"])
    assert done.result["webhook_id"] == row["webhook_id"]
    assert done.result["secret_sealed"].startswith("v1:")
    (event,) = done.events
    assert (event.type, "secret_sealed" in event.data) == ("workspace_webhook.created", False)


def test_the_secret_is_nowhere_else() -> None:
    scripted = Scripted(answer(200, {"webhook_id": "wh1", "webhook_secret": SECRET}))
    call = calling(scripted, MAKE, HOOK, known=Sealing())
    done = PROVIDER.actions[MAKE].run(call)
    assert SECRET[::-1] in str(done)
    assert SECRET not in f"{done!r} {call!r} {call.exchange!r} {scripted.requests!r}"


def test_a_webhook_whose_secret_was_lost_is_removed_and_made_again(sandbox: Sandbox) -> None:
    other = Road(sandbox, MAKE, HOOK, more={"delivery_id": OTHER}).end().result["webhook_id"]
    road = Road(sandbox, MAKE, HOOK)
    road.lose("/v1/workspace/webhooks")
    assert len(listed(sandbox)) == 2
    assert road.find() is None
    assert [row["webhook_id"] for row in listed(sandbox)] == [other]
    made = road.end().result["webhook_id"]
    assert {row["webhook_id"] for row in listed(sandbox)} == {other, made}


def test_a_change_leaves_what_it_does_not_say(sandbox: Sandbox) -> None:
    webhook_id = Road(sandbox, MAKE, HOOK).end().result["webhook_id"]
    Road(sandbox, CHANGE, {"webhook_id": webhook_id, "events": ["speech_to_text"]}).end()
    Road(sandbox, CHANGE, {"webhook_id": webhook_id, "is_disabled": True}).end()
    (row,) = listed(sandbox)
    assert (row["name"], row["is_disabled"], row["events"]) == (f"podcast [{DELIVERY_ID}]", True, ["speech_to_text"])


def test_one_that_is_not_there_cannot_be_changed() -> None:
    with pytest.raises(InvalidPayload, match="no webhook 'x'"):
        PROVIDER.actions[CHANGE].run(calling(Scripted(answer(200, {"webhooks": []})), CHANGE, {"webhook_id": "x"}))


def test_one_goes_and_may_be_gone(sandbox: Sandbox) -> None:
    webhook_id = Road(sandbox, MAKE, HOOK).end().result["webhook_id"]
    ends = [checked(Road(sandbox, REMOVE, {"webhook_id": webhook_id}).end()) for _ in range(2)]
    assert [done.result["was_gone"] for done in ends] == [False, True]
    assert listed(sandbox) == []


@pytest.mark.parametrize("body", [{}, {"webhook_id": "wh1"}, {"webhook_id": 5, "webhook_secret": "s"}])
def test_an_answer_without_a_secret_is_no_success(body: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        PROVIDER.actions[MAKE].run(calling(Scripted(answer(200, body)), MAKE, HOOK))


def test_a_list_that_is_none_is_not_read() -> None:
    with pytest.raises(OutcomeUnknown):
        PROVIDER.actions["sync.due"].run(
            calling(Scripted(answer(200, {"webhooks": None})), "sync.due", {"stream": "webhooks"})
        )


def test_the_end_is_whole() -> None:
    done = PROVIDER.actions[REMOVE].run(calling(Scripted(answer(200, {"webhooks": []})), REMOVE, {"webhook_id": "w"}))
    assert isinstance(done, Done)
    assert done.external_id == "w"

"""What we send is what MindStudio's own clients send: held against their schemas and their recorded requests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from providers.mindstudio import runs, steps
from providers.mindstudio.doors import DOORS, OBSERVED
from tests.providers.doubles import Memory, Scripted, answer
from tests.providers.mindstudio.calls import STARTED, Walk, body_of
from worker.catalog import event_types

SPECS = Path(__file__).parents[4] / "shared" / "specs" / "content" / "mindstudio"

pytestmark = pytest.mark.skipif(
    not SPECS.exists(), reason="NOT CHECKED against MindStudio's own clients: the shared specs folder is not here"
)


def recorded(path: str) -> list[dict[str, Any]]:
    lines = (SPECS / "sdk-recorded-requests.jsonl").read_text().splitlines()
    return [each for line in lines if (each := json.loads(line))["path"] == path]


def schemas() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SPECS / "agent-0.1.7-steps.json").read_text())
    return found


def test_a_run_is_asked_for_as_their_client_asks() -> None:
    (theirs,) = recorded("/developer/v2/agents/run")
    walk = Walk(
        Scripted(STARTED), runs.REQUESTED, {"agent_id": "app1", "variables": {"topic": "x"}, "workflow": "Main"}
    )
    walk.step()
    request = walk.using.requests[0]
    assert (request.method, body_of(walk.using)) == (theirs["method"], theirs["json"])
    assert request.headers["Authorization"].split()[0] == theirs["headers"]["authorization"].split()[0]
    (look,) = recorded("/developer/v2/agents/run/poll/cb1")
    assert (look["method"], "authorization" in look["headers"]) == ("GET", False)


def test_a_batch_and_an_upload_are_asked_for_as_their_client_asks() -> None:
    (theirs,) = recorded("/developer/v2/steps/execute-batch")
    asked = {"steps": [{"step": each["stepType"], "input": each["step"]} for each in theirs["json"]["steps"]]}
    walk = Walk(Scripted(answer(404), answer(502)), steps.STEPS, asked)
    with pytest.raises(Exception, match="502"):
        walk.step()
    assert body_of(walk.using, 1) == theirs["json"]
    (upload,) = recorded("/developer/v2/account/upload")
    media = Memory()
    asset = "01930000-0000-7000-8000-00000000000a"
    media.stored(asset, b"abc", "image/png")
    place = answer(200, {"uploadUrl": "https://up.example/put", "url": "https://cdn.example/1"})
    copied = Walk(
        Scripted(place, answer(200)), steps.STEP, {"step": "x", "input": {"a": {"asset_id": asset}}}, media=media
    )
    copied.step()
    copied.step()
    assert body_of(copied.using) == upload["json"]


def test_what_is_called_observed_was_recorded() -> None:
    paths = {
        name: door.path.format(token="cb1", kind="userMessage")
        for name, door in DOORS.items()
        if door.evidence == OBSERVED
    }
    assert [name for name, path in paths.items() if not recorded(path)] == []


def test_names_of_steps_are_theirs() -> None:
    known = schemas()
    assert {ours: wire for wire, ours in known["aliases"].items()} == steps.WIRE_NAMES
    assert [name for name, each in known["steps"].items() if steps.wire_name(name) != each["stepType"]] == []


@pytest.mark.parametrize("event_type", ["agent.step_requested", "agent.steps_requested", "agent.cost_requested"])
def test_examples_of_the_catalog_are_steps_that_there_are(event_type: str) -> None:
    example = event_types()[event_type].example
    for each in example.get("steps", [example]):
        schema = schemas()["steps"][each["step"]]["input"]
        assert set(schema.get("required", [])) <= set(each["input"]) <= set(schema["properties"])

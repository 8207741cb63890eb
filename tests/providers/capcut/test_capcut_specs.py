"""What we send exists, and what was answered is understood: held against the open server's own fields and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model import Outcome
from providers.capcut.api import ask, output
from providers.capcut.doors import DOORS, LOCAL, SOURCE
from providers.capcut.errors import DraftLost
from providers.capcut.layers import Found
from providers.capcut.names import PARAMETERS
from providers.capcut.plan import NEEDS, operations
from providers.errors import InvalidPayload, ProviderError, Refused
from providers.http import Answer
from tests.providers.capcut.calls import PICTURE_ID, VOICE_ID, calling, run
from tests.providers.doubles import Scripted, answer

SPECS = Path(__file__).parents[4] / "shared" / "specs" / "content" / "capcut"

pytestmark = pytest.mark.skipif(
    not SPECS.exists(), reason="NOT CHECKED against VectCut's recorded exchanges: the shared specs folder is not here"
)


def endpoints() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SPECS / "capcutapi-wire.json").read_text(encoding="utf-8"))["endpoints"]
    return found


def recorded() -> list[dict[str, Any]]:
    lines = (SPECS / "capcutapi-recorded.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def answered(case: dict[str, Any]) -> Answer:
    said = case["response"]
    body = said["__html__"].encode() if "__html__" in said else said
    return answer(case["status"], body, {"Content-Type": case["content_type"]})


def test_every_path_of_a_server_of_ones_own_is_one_of_its_paths() -> None:
    theirs = {(path, facts["method"]) for path, facts in endpoints().items()}
    ours = {(door.path, door.method) for door in DOORS.values() if door.needs == LOCAL}
    assert ours == theirs
    assert {door.evidence for door in DOORS.values() if door.needs == LOCAL} == {SOURCE}


def test_every_field_that_we_send_by_ourselves_is_known_there() -> None:
    data = {
        "audio_asset_id": VOICE_ID,
        "background_url": "https://a.example/b",
        "images": [{"asset_id": PICTURE_ID}],
        "title": "x",
        "captions": [{"text": "x", "start": 0, "end": 1}],
    }
    for background in ("image", "video"):
        for each in operations(data, Found(3.0, background)):
            assert set(each.params) <= endpoints()[f"/{each.name}"]["fields_and_defaults"].keys()
    for name, parameters in PARAMETERS.items():
        assert parameters.keys() <= endpoints()[f"/{name}"]["fields_and_defaults"].keys()


def test_what_we_ask_for_is_what_they_need() -> None:
    theirs = {path.removeprefix("/"): facts.get("required", []) for path, facts in endpoints().items()}
    for name, needed in NEEDS.items():
        assert list(needed) == theirs.get(name, list(needed))


NOES = {
    "no body and no content type": InvalidPayload,
    "malformed json": InvalidPayload,
    "overlap on the same track": InvalidPayload,
    "missing text": InvalidPayload,
    "missing image_url": InvalidPayload,
    "missing video_url": InvalidPayload,
    "missing audio_url": InvalidPayload,
    "missing srt": InvalidPayload,
    "unknown effect": InvalidPayload,
    "missing effect_type": InvalidPayload,
    "unknown track": InvalidPayload,
    "query unknown": DraftLost,
    "status unknown": Refused,
    "missing draft_id": InvalidPayload,
}


def test_every_recorded_answer_is_understood() -> None:
    names = {door.path: name for name, door in DOORS.items()}
    refused: dict[str, type[ProviderError]] = {}
    for case in recorded():
        call = calling(Scripted(answered(case)), {"title": "x"})
        try:
            found = output(ask(call, names[case["path"]], case["request"] if isinstance(case["request"], dict) else {}))
        except ProviderError as error:
            refused[case["case"]] = type(error)
            continue
        assert found == case["response"]["output"]
    assert refused == NOES


def test_a_draft_that_was_silently_replaced_is_noticed_in_the_recorded_answer() -> None:
    (case,) = [each for each in recorded() if each["case"].startswith("unknown draft id silently")]
    progress = {"step": "build", "draft_id": case["request"]["draft_id"], "at": 0, "rebuilds": 0, "looked": 0}
    progress |= {"audio_s": None, "background": "", "draft_url": "", "draft_at": "2026-11-23T12:00:00+00:00"}
    outcome = step(answered(case), progress)
    assert getattr(outcome, "progress", {}).get("draft_id", "") is None


@pytest.mark.parametrize(
    ("begins", "before"), [("save unknown draft", "save"), ("status of failed save", "saved")], ids=["save", "status"]
)
def test_a_lost_draft_is_noticed_in_the_recorded_answers(begins: str, before: str) -> None:
    (case,) = [each for each in recorded() if each["case"].startswith(begins)]
    progress = {"step": before, "draft_id": "dfd_missing", "at": 1, "rebuilds": 0, "looked": 0}
    progress |= {"audio_s": None, "background": "", "draft_url": "", "draft_at": "2026-11-23T12:00:00+00:00"}
    outcome = step(answered(case), progress)
    assert getattr(outcome, "progress", {})["rebuilds"] == 1


def step(given: Answer, progress: dict[str, Any]) -> Outcome:
    return run(calling(Scripted(given), {"title": "x"}, progress=progress))

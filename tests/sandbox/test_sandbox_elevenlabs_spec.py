"""ElevenLabs' stand-in against the operations of its client: doors, names of fields; and strange values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sandbox.elevenlabs import dialogue, dictionaries, effects, projects, speech, webhooks
from sandbox.elevenlabs.doors import DOORS
from sandbox.process import Sandbox, start
from tests.sandbox.elevenlabs_judge import KEY, NEEDS_FOLDER, document

OLDER = "/v1/speech-to-speech/"  # of their description, not of the client
BODIES = {
    "/v1/text-to-speech/{voice_id}": speech.BODY,
    "/v1/text-to-dialogue": dialogue.BODY,
    "/v1/pronunciation-dictionaries/add-from-rules": dictionaries.BODY,
    "/v1/workspace/webhooks/{webhook_id}": webhooks.PATCH,
    "/v1/music/plan": effects.PLAN,
    "/v1/studio/projects/{project_id}/chapters": projects.CHAPTER,
}
STRANGE: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, "", "x", "²", [], [1], ["x"], [[]], {}, {"a": 1}, [{}])
LINE = {"text": "Hello.", "voice_id": "v_host"}
USUAL: Mapping[str, Mapping[str, Any]] = {
    "/v1/text-to-speech/v_host": {"text": "Hello.", **dict.fromkeys(speech.BODY)},
    "/v1/text-to-speech/v_host/stream/with-timestamps": {"text": "Hello.", "voice_settings": {"stability": 0.5}},
    "/v1/text-to-dialogue/with-timestamps": {"inputs": [LINE], **dict.fromkeys(dialogue.BODY)},
    "/v1/pronunciation-dictionaries/add-from-rules": {"name": "x", "rules": [{"type": "alias"}]},
    "/v1/history/download": {"history_item_ids": ["x"], "output_format": "wav"},
    "/v1/voices/v_host/settings/edit": {"stability": 0.5, "speed": 1.1, "use_speaker_boost": True},
    "/v1/music/plan": {"prompt": "calm bed", "music_length_ms": 4000, "model_id": "music_v1"},
    "/v1/workspace/webhooks": {"settings": {"name": "x", "webhook_url": "http://127.0.0.1:1", "request_headers": {}}},
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with start() as running:
        yield running


def wire() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document("sdk-2.78.0-wire.json")["endpoints"]
    return found


@NEEDS_FOLDER
def test_every_door_is_one_that_the_client_knows() -> None:
    known = {(one["method"], one["path"]) for one in wire()}
    assert {door for door in DOORS if not door[1].startswith(OLDER)} <= known


@NEEDS_FOLDER
@pytest.mark.parametrize("path", BODIES)
def test_fields_are_those_that_the_client_sends(path: str) -> None:
    (sent,) = [one["json_body"] for one in wire() if one["path"] == path and "json_body" in one]
    assert set(BODIES[path]) == set(sent)


@pytest.mark.parametrize("path", USUAL)
def test_strange_values_are_answered(sandbox: Sandbox, path: str) -> None:
    """Nothing that a client sends makes the stand-in fall over."""
    usual = {name: value for name, value in USUAL[path].items() if value is not None}
    statuses = set()
    for name in USUAL[path]:
        for value in STRANGE:
            statuses.add(status_of(sandbox, path, {**usual, name: value}))
        for inner in usual.get(name, {}) if isinstance(usual.get(name), dict) else ():
            for value in STRANGE:
                statuses.add(status_of(sandbox, path, {**usual, name: {**usual[name], inner: value}}))
    assert statuses <= {200, 400, 404, 422}
    assert 422 in statuses


def status_of(sandbox: Sandbox, path: str, body: Any) -> int | None:
    request = Request(sandbox.url + path, json.dumps(body).encode(), {"xi-api-key": KEY}, method="POST")
    try:
        with urlopen(request, timeout=5) as answer:
            answer.read()
            return answer.status  # type: ignore[no-any-return]
    except HTTPError as refused:
        refused.close()
        return refused.code

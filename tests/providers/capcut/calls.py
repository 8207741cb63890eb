"""What the CapCut tests share: calls of an account, VectCut's answers, and videos made step by step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from model import Done, Link, Outcome, Records, Wait
from providers.capcut import PROVIDER
from providers.contract import Call
from providers.http import Answer, Request
from tests.providers.doubles import Memory, a_call, answer

KEY = "vc_0123456789abcdef"
BASE_URL = "https://vectcut.example/cut_jianying"
VOICE_ID = "01930000-0000-7000-8000-00000000a55e"
PICTURE_ID = "01930000-0000-7000-8000-0000000000b1"
DRAFT_ID, OTHER_ID = "dfd_cat_1790000000_1a2b3c4d", "dfd_cat_1790000009_0badc0de"
TASK_ID = "6c653617-8133-4c51-8bd0-8635e9e25879"
RESULT = "https://videos.example/out/6c65.mp4?Expires=1790086400&Signature=planted-result-signature"
RENDER = "video.render_requested"
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2"


@dataclass
class Stored:
    """What earlier outcomes left: cursors by stream."""

    cursors: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def link(self, key: str) -> Link | None:
        return None

    def cursor(self, stream: str) -> Mapping[str, Any]:
        return self.cursors.get(stream, {})

    def callback_url(self) -> str:
        raise AssertionError("this service calls nobody back")

    def called_back(self) -> bytes | None:
        raise AssertionError("this service calls nobody back")

    def keep(self, records: Records | None) -> None:
        if records is not None and records.cursor is not None:
            self.cursors[records.cursor.stream] = json.loads(json.dumps(records.cursor.value))


def calling(using: Any, data: Mapping[str, Any], event_type: str = RENDER, **more: Any) -> Call:
    """A call of an action."""
    given = {"base_url": BASE_URL, "secrets": {"api_key": KEY}, "known": Stored(), **more}
    return a_call(PROVIDER, using, event_type, data, **given)


def run(call: Call) -> Outcome:
    """What the action of a call's event type does."""
    action = PROVIDER.action(call.event.type)
    assert action is not None
    return action.run(call)


def waiting(outcome: Outcome) -> Wait:
    """A step's end, its progress as Postgres gives it back."""
    assert isinstance(outcome, Wait)
    progress = json.loads(json.dumps(outcome.progress))
    return Wait(outcome.wait_s, progress, outcome.external_id, outcome.records, outcome.cost)


def done(outcome: Outcome) -> Done:
    assert isinstance(outcome, Done)
    return outcome


def walked(using: Any, data: Mapping[str, Any], event_type: str = RENDER, **more: Any) -> tuple[list[Wait], Done]:
    """All steps of a delivery: those that wait, and the last."""
    known = more.setdefault("known", Stored())
    steps: list[Wait] = []
    progress: Mapping[str, Any] = more.pop("progress", {})
    while True:
        outcome = run(calling(using, data, event_type, progress=progress, **more))
        known.keep(outcome.records)
        if isinstance(outcome, Done):
            return steps, outcome
        steps.append(waiting(outcome))
        progress = steps[-1].progress
        assert len(steps) < 300


def media() -> Memory:
    """Media storage with a voice of 3.004 seconds and a picture."""
    memory = Memory()
    memory.stored(VOICE_ID, voice(), "audio/mpeg")
    memory.stored(PICTURE_ID, b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png")
    return memory


def voice(frames: int = 115) -> bytes:
    """Frames of MPEG-1 layer III, 128 kbit/s, 44,100 Hz: 26.12 ms each."""
    return (b"\xff\xfb\x90\xc0" + bytes(413)) * frames


def said(output: Any = "", error: str = "", **more: Any) -> Answer:
    """An answer in its envelope."""
    return answer(200, {"success": not error, "output": output, "error": error, "purchase_link": "", **more})


def drafted(draft_id: str = DRAFT_ID) -> Answer:
    """The answer of an operation on a draft."""
    return said({"draft_id": draft_id, "draft_url": f"https://vectcut.example/draft?draft_id={draft_id}"})


def saved(draft_url: str | None = "https://vectcut.example/draft/1") -> Answer:
    return said({"success": True, "draft_url": draft_url})


def status(word: str, message: str = "") -> Answer:
    return said({"status": word, "message": message, "progress": 100, "draft_url": ""})


def asked(task_id: str = TASK_ID) -> Answer:
    return said({"success": True, "error": None, "task_id": task_id})


def looked(word: str, *, result: str | None = None, error: str | None = None) -> Answer:
    """The answer of task_status."""
    output = {"status": word, "success": word == "SUCCESS", "progress": None, "message": "", "task_id": TASK_ID}
    return said({**output, "result": result, "error": error})


def video(content: bytes = MP4) -> Answer:
    return answer(200, content, {"Content-Type": "video/mp4"})


def path(request: Request) -> str:
    """The operation of a request to the service, or where else it went."""
    parts = urlsplit(request.url)
    mine = request.url.startswith(BASE_URL)
    return parts.path.removeprefix("/cut_jianying/") if mine else f"{request.method} {parts.netloc}"


def body(request: Request) -> Any:
    return json.loads(request.body)


TITLED: Mapping[str, Any] = {"title": "Autumn sale", "duration_s": 3}
BUILT = (drafted(), drafted())  # of TITLED: begun, and its title added
SAVED = (*BUILT, saved(), status("completed"))

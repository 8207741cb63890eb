"""Dubbing: a recording or a video in another language; it takes a while, and is looked after.

https://elevenlabs.io/docs/api-reference/dubbing
Every look at a dub is a step. What it costs is unconfirmed: dubs are counted, no characters are charged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from sandbox.audio import sound
from sandbox.elevenlabs.errors import OldRefusal, Refusal
from sandbox.elevenlabs.fields import page_size
from sandbox.elevenlabs.generation import DEFAULT_FORMAT
from sandbox.elevenlabs.multipart import Form, read_form
from sandbox.elevenlabs.voice_changer import BYTES_PER_SECOND
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer, json_answer

PAGE: Final = (100, 200)  # default and greatest page size
DUBBING: Final = "dubbing"
OUTCOMES: Final = ("dubbed", "failed")
URL_SECONDS: Final = 10.0  # of what lies behind a source_url: nothing is fetched


@dataclass(slots=True)
class Dubs:
    """How the dubs begun from now on go: so many looks that find them under way, then their outcome."""

    polls: int = 2
    outcome: str = OUTCOMES[0]


@dataclass(slots=True)
class Dub:
    """One of them."""

    id: str
    name: str
    source_language: str | None
    target_languages: tuple[str, ...]
    made_at: float
    seconds: float
    content_type: str
    polls_left: int
    outcome: str

    @property
    def status(self) -> str:
        """Where it stands."""
        return DUBBING if self.polls_left > 0 else self.outcome

    def as_json(self) -> dict[str, Any]:
        """As they show it."""
        return {
            "dubbing_id": self.id,
            "name": self.name,
            "status": self.status,
            "source_language": self.source_language,
            "target_languages": list(self.target_languages),
            "editable": False,
            "created_at": datetime.fromtimestamp(self.made_at, UTC).isoformat(),
            "media_metadata": {"content_type": self.content_type, "duration": self.seconds},
            "error": "The sandbox was told that it fails." if self.status == OUTCOMES[1] else None,
        }


class DubbingDoors:
    """The doors; `dubs` says how new ones go."""

    def __init__(self, dubs: Dubs) -> None:
        self._dubs = dubs

    def create(self, call: Call) -> Answer:
        """Begin one."""
        form = read_form(call.request)
        seconds, content_type = source_of(form)
        target = form.required("target_lang")
        made = Dub(
            uuid4().hex,
            form.text("name") or "Untitled",
            form.text("source_lang"),
            (target,),
            call.now,
            seconds,
            content_type,
            self._dubs.polls,
            self._dubs.outcome,
        )
        call.workspace.dubs[made.id] = made
        call.workspace.count("dubs")
        return json_answer({"dubbing_id": made.id, "expected_duration_sec": seconds})


def source_of(form: Form) -> tuple[float, str]:
    """Seconds and type of the one source there is; raises Refusal."""
    files = form.uploads("file")
    if bool(files) == (form.text("source_url") is not None):
        raise Refusal("invalid_parameters", "Send either file or source_url.", "file")
    if not files:
        return URL_SECONDS, "video/mp4"
    if not files[0].content:
        raise Refusal("invalid_audio", "The file is empty.", "file")
    return len(files[0].content) / BYTES_PER_SECOND, files[0].content_type


def listing(call: Call) -> Answer:
    """One page, newest first."""
    args, wanted = call.args, call.args.get("dubbing_status")
    size, cursor = page_size(args, PAGE), args.get("cursor", "0")
    if not cursor.isdecimal():
        raise Refusal("invalid_cursor", "Unknown cursor.", "cursor")
    found = [one for one in reversed(call.workspace.dubs.values()) if wanted in (None, one.status)]
    end = int(cursor) + size
    dubs = [one.as_json() for one in found[int(cursor) : end]]
    more = end < len(found)
    return json_answer({"dubs": dubs, "next_cursor": str(end) if more else None, "has_more": more})


def read(call: Call) -> Answer:
    """One of them; this look is a step."""
    found = dub_of(call)
    answer = json_answer(found.as_json())
    found.polls_left -= 1
    return answer


def audio(call: Call) -> Answer:
    """The dubbed sound; 425 while it is made."""
    found, language = dub_of(call), call.params["language_code"]
    if found.status == DUBBING:
        raise OldRefusal("too_early", "Dubbing has not finished yet.")
    if found.status != OUTCOMES[0] or language not in found.target_languages:
        raise Refusal("dubbing_not_found", f"There is no dubbing for language {language}.", "language_code")
    return Answer(200, sound(DEFAULT_FORMAT, found.seconds), {"Content-Type": "audio/mpeg"})


def delete(call: Call) -> Answer:
    """Forget one."""
    del call.workspace.dubs[dub_of(call).id]
    return json_answer({"status": "ok"})


def dub_of(call: Call) -> Dub:
    """The dub of the path; raises Refusal."""
    found = call.workspace.dubs.get(call.params["dubbing_id"])
    if not isinstance(found, Dub):
        raise Refusal("dubbing_not_found", "No such dubbing.", "dubbing_id")
    return found

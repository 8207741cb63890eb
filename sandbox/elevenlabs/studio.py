"""Studio: a podcast that they write and speak themselves, for whom their sales people let in.

https://elevenlabs.io/docs/api-reference/studio/create-podcast
Every look at the project is a step. A podcast is counted on the bill; what it costs is unconfirmed. The callback
goes out when `finish_podcast` says so: nothing here happens by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sandbox.audio import sound
from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.fields import FLAG, LIST, TEXT, Kinds, json_body
from sandbox.elevenlabs.generation import DEFAULT_FORMAT
from sandbox.elevenlabs.making import existing_voice
from sandbox.elevenlabs.models import known_model
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer, json_answer

BODY: Final[Kinds] = {
    "model_id": (str,),
    "mode": (dict,),
    "source": (dict, list),
    "quality_preset": TEXT,
    "duration_scale": TEXT,
    "language": TEXT,
    "intro": TEXT,
    "outro": TEXT,
    "instructions_prompt": TEXT,
    "highlights": LIST,
    "callback_url": TEXT,
    "apply_text_normalization": TEXT,
}
MODES: Final = {"conversation": ("host_voice_id", "guest_voice_id"), "bulletin": ("host_voice_id",)}
OUTCOMES: Final = ("success", "error")
SECONDS: Final = 3.0  # of every podcast
CALLED: Final = "project_conversion_status"


@dataclass(slots=True)
class Project:
    """One podcast."""

    id: str
    model_id: str
    voice_id: str
    made_unix: int
    callback_url: str | None
    polls_left: int
    outcome: str

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.polls_left <= 0

    @property
    def snapshot_id(self) -> str | None:
        """The conversion, when it has ended well."""
        return f"snap-{self.id}" if self.is_done and self.outcome == OUTCOMES[0] else None

    def as_json(self) -> dict[str, Any]:
        """As they show it: that it failed stands in no state."""
        return {
            "project_id": self.id,
            "name": f"Podcast {self.id[:8]}",
            "create_date_unix": self.made_unix,
            "created_by_user_id": "u_sandbox",
            "default_title_voice_ref_id": self.voice_id,
            "default_paragraph_voice_ref_id": self.voice_id,
            "default_model_id": self.model_id,
            "last_conversion_date_unix": None,
            "can_be_downloaded": self.snapshot_id is not None,
            "volume_normalization": False,
            "state": "default" if self.is_done else "creating",
            "access_level": "admin",
            "quality_check_on": False,
            "quality_check_on_when_bulk_convert": False,
            "creation_meta": {
                "creation_progress": 1.0 if self.is_done else 0.5,
                "status": "finished" if self.is_done else "creating",
                "type": "generate_podcast",
            },
        }

    def callback(self) -> dict[str, Any]:
        """The data of the message to its callback."""
        failed = self.outcome != OUTCOMES[0]
        return {
            "request_id": uuid4().hex,
            "project_id": self.id,
            "conversion_status": self.outcome,
            "project_snapshot_id": self.snapshot_id,
            "error_details": "The sandbox was told that it fails." if failed else None,
        }


def create(call: Call) -> Answer:
    """Begin one; raises Refusal for whom they did not let in."""
    check_let_in(call)
    body = json_body(call.request, BODY, ("model_id", "mode", "source"))
    known_model(body["model_id"])
    check_sources(body["source"])
    plan = call.workspace.plan
    made = Project(
        uuid4().hex,
        body["model_id"],
        host_of(call, body["mode"]),
        int(call.now),
        body.get("callback_url"),
        plan.podcast_polls,
        plan.podcast_outcome,
    )
    call.workspace.projects[made.id] = made
    call.workspace.count("podcasts")
    return json_answer({"project": made.as_json()})


def check_let_in(call: Call) -> None:
    """Raise Refusal for an ordinary key."""
    if not call.workspace.plan.studio:
        raise Refusal("feature_not_available", "Your account has no access to this; ask the sales team.")


def host_of(call: Call, mode: dict[str, Any]) -> str:
    """The voice that leads; raises Refusal."""
    kind = str(mode.get("type"))
    named = mode.get(kind)
    if kind not in MODES or not isinstance(named, dict):
        raise Invalid("body", "mode", "Input should be a conversation or a bulletin", "union_tag_invalid")
    for name in MODES[kind]:
        if not isinstance(named.get(name), str):
            raise Invalid("body", f"mode.{kind}.{name}", "Field required", "missing")
        existing_voice(call.workspace, named[name])
    return str(named["host_voice_id"])


def check_sources(given: Any) -> None:
    """Raise Invalid for a source that is neither text nor address."""
    for one in given if isinstance(given, list) else [given]:
        kind = str(one.get("type")) if isinstance(one, dict) else ""
        if kind not in ("text", "url") or not isinstance(one.get(kind), str):
            raise Invalid("body", "source", "Input should be a text or a url", "union_tag_invalid")


def listing(call: Call) -> Answer:
    """All of them at once."""
    return json_answer({"projects": [one.as_json() for one in call.workspace.projects.values()]})


def read(call: Call) -> Answer:
    """One of them; this look is a step."""
    found = project_of(call)
    answer = json_answer(found.as_json())
    found.polls_left -= 1
    return answer


def snapshots(call: Call) -> Answer:
    """Its finished conversions."""
    found = project_of(call)
    shown = {
        "project_snapshot_id": found.snapshot_id,
        "project_id": found.id,
        "created_at_unix": found.made_unix,
        "name": "Snapshot",
    }
    return json_answer({"snapshots": [shown] if found.snapshot_id else []})


def stream(call: Call) -> Answer:
    """The sound of a conversion."""
    json_body(call.request, {"convert_to_mpeg": FLAG})
    found = project_of(call)
    if found.snapshot_id is None or found.snapshot_id != call.params["project_snapshot_id"]:
        raise Refusal("snapshot_not_found", "No such snapshot.", "project_snapshot_id")
    return Answer(200, sound(DEFAULT_FORMAT, SECONDS), {"Content-Type": "audio/mpeg"}, chunked=True)


def project_of(call: Call) -> Project:
    """The project of the path; raises Refusal."""
    found = call.workspace.projects.get(call.params["project_id"])
    if not isinstance(found, Project):
        raise Refusal("project_not_found", "No such project.", "project_id")
    return found

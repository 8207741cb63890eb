"""Studio projects made by hand: their text, chapters and conversions; every look at what is converted is a step.

https://elevenlabs.io/docs/api-reference/studio/add-project
A conversion is counted on the bill; what it costs is unconfirmed. It ends as `set_studio` says.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from sandbox.audio import sound
from sandbox.elevenlabs import studio
from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.fields import FLAG, TEXT, Kinds, json_body
from sandbox.elevenlabs.generation import DEFAULT_FORMAT
from sandbox.elevenlabs.multipart import Form, read_form
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer, json_answer

OK: Final = {"status": "ok"}
SOURCES: Final = ("from_url", "from_content_json")
CHAPTER: Final[Kinds] = {"name": (str,), "from_url": TEXT}
SECONDS: Final = 2.0  # of every conversion


@dataclass(slots=True)
class Work:
    """Something that is converted: a project, or one of its chapters."""

    snapshots: list[dict[str, Any]] = field(default_factory=list)
    polls_left: int | None = None  # of a conversion that is under way
    error: str | None = None

    def begin(self, call: Call) -> None:
        """One more conversion; raises Refusal while one is under way."""
        if self.polls_left is not None:
            raise Refusal("already_running", "It is being converted.")
        self.polls_left, self.error = call.workspace.plan.podcast_polls, None
        call.workspace.count("conversions")

    def look(self, call: Call, made: dict[str, Any]) -> None:
        """One step; in the end a snapshot, or an error."""
        if self.polls_left is None:
            return
        if self.polls_left > 0:
            self.polls_left -= 1
            return
        self.polls_left = None
        if call.workspace.plan.podcast_outcome == studio.OUTCOMES[0]:
            self.snapshots.append({**made, "created_at_unix": int(call.now), "name": "Snapshot"})
        else:
            self.error = "The sandbox was told that it fails."

    @property
    def state(self) -> str:
        """As they call it."""
        return "default" if self.polls_left is None else "converting"


@dataclass(slots=True)
class Chapter:
    """A part of a project."""

    id: str
    name: str
    work: Work = field(default_factory=Work)

    def as_json(self) -> dict[str, Any]:
        """As they list it."""
        return {
            "chapter_id": self.id,
            "name": self.name,
            "can_be_downloaded": bool(self.work.snapshots),
            "state": self.work.state,
            "last_conversion_error": self.work.error,
        }


@dataclass(slots=True)
class Handmade:
    """One project."""

    id: str
    name: str
    form: Form = field(repr=False)
    made_unix: int
    chapters: dict[str, Chapter] = field(default_factory=dict)
    work: Work = field(default_factory=Work)

    def as_json(self) -> dict[str, Any]:
        """As they show it: that a conversion failed stands in no state."""
        voice_id = self.form.text("default_paragraph_voice_id") or "v_narrator"
        return {
            "project_id": self.id,
            "name": self.name,
            "create_date_unix": self.made_unix,
            "created_by_user_id": "u_sandbox",
            "default_title_voice_ref_id": self.form.text("default_title_voice_id") or voice_id,
            "default_paragraph_voice_ref_id": voice_id,
            "default_model_id": self.form.text("default_model_id") or "eleven_multilingual_v2",
            "last_conversion_date_unix": None,
            "can_be_downloaded": bool(self.work.snapshots),
            "volume_normalization": self.form.flag("volume_normalization"),
            "state": self.work.state,
            "access_level": "admin",
            "quality_check_on": False,
            "quality_check_on_when_bulk_convert": False,
            "creation_meta": None,
        }


def create(call: Call) -> Answer:
    """A new one, with one chapter where it was given a text."""
    form = read_form(call.request)
    made = Handmade(uuid4().hex, form.required("name"), form, int(call.now))
    if source_of(form):
        add_chapter_to(made, "Chapter 1")
    call.workspace.projects[made.id] = made
    if form.flag("auto_convert"):
        made.work.begin(call)
    return json_answer({"project": made.as_json()})


def source_of(form: Form) -> str | None:
    """Where the text comes from; raises Invalid for more than one place."""
    given = [name for name in SOURCES if form.text(name)]
    given += ["from_document"] if form.uploads("from_document") else []
    if len(given) > 1:
        raise Invalid("body", given[1], "Give one source", "value_error")
    return given[0] if given else None


def replace_content(call: Call) -> Answer:
    """Another text: all chapters go, and one comes."""
    found, form = handmade(call), read_form(call.request)
    if source_of(form) is None:
        raise Refusal("missing_required_field", "Give a source.", "from_url")
    found.chapters.clear()
    add_chapter_to(found, "Chapter 1")
    if form.flag("auto_convert"):
        found.work.begin(call)
    return json_answer({"project": found.as_json()})


def add_chapter_to(project: Handmade, name: str) -> Chapter:
    """One more chapter."""
    made = Chapter(uuid4().hex, name)
    project.chapters[made.id] = made
    return made


def delete(call: Call) -> Answer:
    """End one, whatever made it."""
    if call.workspace.projects.pop(call.params["project_id"], None) is None:
        raise Refusal("project_not_found", "No such project.", "project_id")
    return json_answer(OK)


def read(call: Call) -> Answer:
    """One of them; this look is a step."""
    found = call.workspace.projects.get(call.params["project_id"])
    if not isinstance(found, Handmade):
        return studio.read(call)
    answer = json_answer(found.as_json())
    found.work.look(call, {"project_snapshot_id": uuid4().hex, "project_id": found.id})
    return answer


def convert(call: Call) -> Answer:
    """Begin a conversion of all of it."""
    handmade(call).work.begin(call)
    return json_answer(OK)


def snapshots(call: Call) -> Answer:
    """Its finished conversions."""
    found = call.workspace.projects.get(call.params["project_id"])
    if not isinstance(found, Handmade):
        return studio.snapshots(call)
    return json_answer({"snapshots": found.work.snapshots})


def stream(call: Call) -> Answer:
    """The sound of a conversion."""
    found = call.workspace.projects.get(call.params["project_id"])
    if not isinstance(found, Handmade):
        return studio.stream(call)
    json_body(call.request, {"convert_to_mpeg": FLAG})
    check_snapshot(found.work, "project_snapshot_id", call)
    return heard()


def archive(call: Call) -> Answer:
    """The conversion as a zip of its chapters."""
    found = handmade(call)
    check_snapshot(found.work, "project_snapshot_id", call)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as files:
        for number, chapter in enumerate(found.chapters.values()):
            files.writestr(f"{number:03d}-{chapter.name}.mp3", sound(DEFAULT_FORMAT, SECONDS))
    return Answer(200, content.getvalue(), {"Content-Type": "application/zip"}, chunked=True)


def chapters(call: Call) -> Answer:
    """All chapters."""
    return json_answer({"chapters": [one.as_json() for one in handmade(call).chapters.values()]})


def add_chapter(call: Call) -> Answer:
    """One more."""
    project, body = handmade(call), json_body(call.request, CHAPTER, ("name",))
    made = add_chapter_to(project, body["name"])
    return json_answer({"chapter": {**made.as_json(), "content": {"blocks": []}}})


def read_chapter(call: Call) -> Answer:
    """One of them; this look is a step."""
    project, found = handmade(call), chapter_of(call)
    answer = json_answer({**found.as_json(), "content": {"blocks": []}})
    made = {"chapter_snapshot_id": uuid4().hex, "project_id": project.id, "chapter_id": found.id}
    found.work.look(call, made)
    return answer


def convert_chapter(call: Call) -> Answer:
    """Begin a conversion of one."""
    chapter_of(call).work.begin(call)
    return json_answer(OK)


def chapter_snapshots(call: Call) -> Answer:
    """Its finished conversions."""
    return json_answer({"snapshots": chapter_of(call).work.snapshots})


def stream_chapter(call: Call) -> Answer:
    """The sound of one."""
    json_body(call.request, {"convert_to_mpeg": FLAG})
    check_snapshot(chapter_of(call).work, "chapter_snapshot_id", call)
    return heard()


def heard() -> Answer:
    """The same sound always."""
    return Answer(200, sound(DEFAULT_FORMAT, SECONDS), {"Content-Type": "audio/mpeg"}, chunked=True)


def check_snapshot(work: Work, name: str, call: Call) -> None:
    """Raise Refusal for a conversion that is not there."""
    if call.params[name] not in [one[name] for one in work.snapshots]:
        raise Refusal("snapshot_not_found", "No such snapshot.", name)


def handmade(call: Call) -> Handmade:
    """The project of the path; raises Refusal."""
    found = call.workspace.projects.get(call.params["project_id"])
    if not isinstance(found, Handmade):
        raise Refusal("project_not_found", "No such project.", "project_id")
    return found


def chapter_of(call: Call) -> Chapter:
    """The chapter of the path; raises Refusal."""
    found = handmade(call).chapters.get(call.params["chapter_id"])
    if found is None:
        raise Refusal("project_not_found", "No such chapter.", "chapter_id")
    return found

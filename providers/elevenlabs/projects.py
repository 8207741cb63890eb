"""Projects of Studio made by hand: their text, their chapters, their conversion, and what came of it as a file.

https://elevenlabs.io/docs/api-reference/studio/add-project
A step each: begin (made, or its text replaced), list (which chapters there are), chapter (one added), before (which
conversions there are), convert, look, fetch. What is made, added and converted is looked for after a lost answer: a
project by its name, which ends in the delivery's id; a chapter and a conversion by what was not there before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jsontext
from model import Done, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, cast, looking, recordings, studio
from providers.elevenlabs.audio import Audio, playable, unusable
from providers.errors import InvalidPayload, OutcomeUnknown, Refused
from providers.http import Part, Request

COMPLETED = "studio.project_completed"
BEGIN, LIST, CHAPTER, BEFORE, CONVERT, LOOK, FETCH = "begin", "list", "chapter", "before", "convert", "look", "fetch"
PAID = (BEGIN, CHAPTER, CONVERT)  # or not to be done twice
AUDIO, ARCHIVE, NOTHING = "audio", "archive", "none"  # what of a conversion is fetched
UNDER_WAY = ("converting", "in_queue", "creating")
VOICES = ("default_title_voice_id", "default_paragraph_voice_id")
PASSED_ON = (
    "title",
    "author",
    "description",
    "language",
    "content_type",
    "isbn_number",
    "volume_normalization",
    "apply_text_normalization",
)
MAX_ARCHIVE_BYTES = 512 * 1024 * 1024

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What is converted: the operations of it, and the names in their answers."""

    name: str
    read: str
    convert: str
    snapshots: str
    audio: str
    snapshot_id: str


PROJECT = Target(
    "Project", "project", "project_convert", "project_snapshots", "project_snapshot_audio", "project_snapshot_id"
)
CHAPTER_ALONE = Target(
    "Chapter", "chapter", "chapter_convert", "chapter_snapshots", "chapter_snapshot_audio", "chapter_snapshot_id"
)


def make(call: Call) -> Outcome:
    """studio.project_requested {name or project_id, …} -> its sound or its archive, and studio.project_completed."""
    _check(call.event.data)
    return _STEPS[_step(call.progress)](call)


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """Looking and fetching are free."""
    return Repeat.LOOKUP if _step(progress) in PAID else Repeat.SAFE


def find(call: Call) -> Outcome | None:
    """What a lost answer told of; None where it was not done, or may be done again."""
    return api.reading(lambda: _FINDS[_step(call.progress)](call))


def _step(progress: Mapping[str, Any]) -> str:
    return str(progress.get("step", BEGIN))


def _check(data: Row) -> None:
    """InvalidPayload for what cannot be meant, before anything is made."""
    if bool(data.get("name")) == bool(data.get("project_id")):
        raise InvalidPayload("Give either `name`, of a new project, or `project_id`.", code="one_of")
    if sum(bool(data.get(each)) for each in ("from_url", "asset_id", "content")) > 1:
        raise InvalidPayload("Give one of `from_url`, `asset_id` and `content`.", code="one_of")
    if data.get("chapter_id") and not data.get("project_id"):
        raise InvalidPayload("A `chapter_id` needs its `project_id`.", code="missing_field")
    if data.get("chapter_id") and data.get("fetch") == ARCHIVE:
        raise InvalidPayload("A chapter alone has no archive: ask for audio.", code="no_archive")


def _target(call: Call) -> Target:
    return CHAPTER_ALONE if call.event.data.get("chapter_id") else PROJECT


def _path(call: Call, operation: str, **more: str) -> str:
    data = call.event.data
    project_id = str(call.progress.get("project_id") or data.get("project_id"))
    return api.path(call, operation, project_id=project_id, chapter_id=str(data.get("chapter_id") or ""), **more)


def _then(call: Call, step: str, wait_s: float = 0, **more: Any) -> Wait:
    """The next step, with what is known by now."""
    progress = {**call.progress, "step": step, **more}
    return Wait(wait_s, progress, external_id=progress.get("project_id"))


def _rows(call: Call, operation: str, what: str, id_name: str) -> list[Row]:
    found = api.object_in(api.read(call, _path(call, operation)), f"list of {what}").get(what)
    if not isinstance(found, list):
        raise OutcomeUnknown(f"The {what} that came back are no list.", code="answer_unreadable")
    return [row for row in found if isinstance(row, dict) and isinstance(row.get(id_name), str)]


# --------------------------------------------------------------------------------------------------- made and filled


def _begin(call: Call) -> Outcome:
    """A new project; or the text of one that is there; or nothing yet."""
    data = call.event.data
    if data.get("name"):
        made = api.object_in(call.send(_creating(call)).json()).get("project")
        return _begun(call, api.object_in(made, "project").get("project_id"))
    source = _source(call)
    if source:
        call.send(api.post_form(call, _path(call, "project_content"), source))
    return _begun(call, data["project_id"])


def _creating(call: Call) -> Request:
    data, callback = call.event.data, call.known.callback_url()
    voices = {name: cast.voice_id(call, data[name]) for name in VOICES if data.get(name)}
    said = {
        "name": _name(call),
        "default_model_id": data.get("model_id") or call.config.get("model_id") or api.MODEL,
        "quality_preset": data.get("quality_preset") or studio.QUALITY,
        **voices,
        **api.optional(data, PASSED_ON),
        "callback_url": callback,
    }
    parts = [*(recordings.field(name, value) for name, value in said.items()), *_source(call)]
    return replace(api.post_form(call, api.path(call, "projects"), parts), secrets=(callback,))


def _name(call: Call) -> str:
    return f"{str(call.event.data.get('name'))[:100]} [{call.delivery_id}]"


def _source(call: Call) -> list[Part]:
    """Where the text comes from."""
    data = call.event.data
    if data.get("asset_id"):
        return [recordings.part(call, "from_document", recordings.chosen(call, "asset_id", data["asset_id"]))]
    if data.get("content"):
        return [recordings.field("from_content_json", jsontext.text(data["content"]))]
    return [recordings.field("from_url", data["from_url"])] if data.get("from_url") else []


def _begun(call: Call, project_id: Any) -> Wait:
    if not isinstance(project_id, str) or not project_id:
        raise OutcomeUnknown("The answer names no project.", code="answer_unreadable")
    return _then(call, LIST, project_id=project_id)


def _find_project(call: Call) -> Outcome | None:
    if not call.event.data.get("name"):
        return None
    rows = _rows(call, "projects", "projects", "project_id")
    return next((_begun(call, row["project_id"]) for row in rows if row.get("name") == _name(call)), None)


def _list(call: Call) -> Wait:
    """Which chapters there are, so that a new one is known again."""
    wanted = call.event.data.get("chapters")
    there = [row["chapter_id"] for row in _chapters(call)] if wanted else []
    return _then(call, CHAPTER if wanted else BEFORE, there=there, added=[])


def _chapters(call: Call) -> list[Row]:
    return _rows(call, "chapters", "chapters", "chapter_id")


def _add(call: Call) -> Wait:
    """The next chapter."""
    wanted = call.event.data["chapters"][len(call.progress["added"])]
    body = {"name": api.required("chapters[].name", wanted.get("name")), **api.optional(wanted, ("from_url",))}
    made = api.object_in(call.send(api.post(call, _path(call, "chapters"), body)).json()).get("chapter")
    chapter_id = api.object_in(made, "chapter").get("chapter_id")
    if not isinstance(chapter_id, str):
        raise OutcomeUnknown("The answer names no chapter.", code="answer_unreadable")
    return _added(call, chapter_id)


def _added(call: Call, chapter_id: str) -> Wait:
    added = [*call.progress["added"], chapter_id]
    is_last = len(added) == len(call.event.data["chapters"])
    return _then(call, BEFORE if is_last else CHAPTER, added=added)


def _find_chapter(call: Call) -> Outcome | None:
    progress = call.progress
    name = call.event.data["chapters"][len(progress["added"])].get("name")
    known = {*progress["there"], *progress["added"]}
    found = (row for row in _chapters(call) if row.get("name") == name and row["chapter_id"] not in known)
    return next((_added(call, row["chapter_id"]) for row in found), None)


# -------------------------------------------------------------------------------------------------------- converted


def _before(call: Call) -> Outcome:
    """Which conversions there are; the end, where nothing is to be converted."""
    if call.event.data.get("convert") is False:
        return _done(call, {})
    return _then(call, CONVERT, before=[row[_target(call).snapshot_id] for row in _snapshots(call)])


def _snapshots(call: Call) -> list[Row]:
    target = _target(call)
    return _rows(call, target.snapshots, "snapshots", target.snapshot_id)


def _convert(call: Call) -> Wait:
    call.send(api.post(call, _path(call, _target(call).convert), {}))
    return _converting(call)


def _converting(call: Call) -> Wait:
    return _then(call, LOOK, studio.FIRST_LOOK_S, **looking.begun(call))


def _find_conversion(call: Call) -> Outcome | None:
    """It was begun where it runs, or has ended."""
    under_way = _read(call).get("state") in UNDER_WAY
    return _converting(call) if under_way or _new(call) else None


def _read(call: Call) -> Row:
    target = _target(call)
    return api.object_in(api.read(call, _path(call, target.read)), target.name.lower())


def _new(call: Call) -> list[Row]:
    return [row for row in _snapshots(call) if row[_target(call).snapshot_id] not in call.progress["before"]]


def _look(call: Call) -> Outcome:
    target, new = _target(call), _new(call)
    if new:
        newest = max(new, key=lambda row: row.get("created_at_unix") or 0)[target.snapshot_id]
        return (
            _done(call, {target.snapshot_id: newest})
            if _wanted(call) == NOTHING
            else _then(call, FETCH, snapshot_id=newest)
        )
    found = _read(call)
    why = _why_failed(call, found)
    if why is not None:
        raise Refused(f"The conversion failed: {why[:200]}.", code="conversion_failed")
    still = f"{target.name} {found.get('name', '')} is not converted ({found.get('state')})"
    times = {"first_s": studio.FIRST_LOOK_S, "most_s": studio.RAREST_LOOK_S, "until_s": studio.UNTIL_S}
    return looking.again(call, call.progress, still=still, **times)


def _why_failed(call: Call, found: Row) -> str | None:
    told = studio.called_back(call)
    if told.get("conversion_status") == "error" and told.get("chapter_id") == call.event.data.get("chapter_id"):
        return str(told.get("error_details") or "they did not say why")
    if found.get("last_conversion_error"):
        return str(found["last_conversion_error"])
    waited_s = call.now.timestamp() - call.progress["since"]
    rests = found.get("state") not in UNDER_WAY
    return "it is over, and there is nothing new to fetch" if rests and waited_s > studio.NOTHING_S else None


# ---------------------------------------------------------------------------------------------------------- fetched


def _wanted(call: Call) -> str:
    return call.event.data.get("fetch") or AUDIO


def _fetch(call: Call) -> Done:
    """The file of the conversion."""
    target, snapshot_id = _target(call), call.progress["snapshot_id"]
    archive = _wanted(call) == ARCHIVE
    path = _path(call, "project_snapshot_archive" if archive else target.audio, snapshot_id=snapshot_id)
    body: dict[str, Any] = {} if archive else {"convert_to_mpeg": True}
    most = MAX_ARCHIVE_BYTES if archive else api.MAX_AUDIO_BYTES
    content = call.send(api.post(call, path, body, max_bytes=most)).content
    file = _zip(content) if archive else playable(content, api.FORMAT)
    asset = api.keep(call, f"{call.delivery_id}.{file.extension}", file)
    return _done(call, {target.snapshot_id: snapshot_id, **api.facts_of(asset)}, [asset])


def _zip(content: bytes) -> Audio:
    if not content.startswith(b"PK"):
        raise unusable("is no archive")
    return Audio(content, "application/zip", "zip")


def _done(call: Call, found: Row, assets: Iterable[Any] = ()) -> Done:
    data, progress = call.event.data, call.progress
    facts = {
        "project_id": progress["project_id"],
        **api.named(call),
        **api.optional(data, ("chapter_id",)),
        **({"chapter_ids": progress["added"]} if progress.get("added") else {}),
        **found,
    }
    events = [api.published(call, COMPLETED, facts)]
    if "asset_id" in facts and _wanted(call) == AUDIO:
        events.append(api.published(call, studio.RENDERED, facts))
    return Done(facts, external_id=progress["project_id"], assets=tuple(assets), events=tuple(events))


_STEPS: Mapping[str, Callable[[Call], Outcome]] = {
    BEGIN: _begin,
    LIST: _list,
    CHAPTER: _add,
    BEFORE: _before,
    CONVERT: _convert,
    LOOK: _look,
    FETCH: _fetch,
}
_FINDS: Mapping[str, Callable[[Call], Outcome | None]] = {
    BEGIN: _find_project,
    CHAPTER: _find_chapter,
    CONVERT: _find_conversion,
}
ACTIONS: Mapping[str, Action] = {
    "studio.project_requested": Action(make, repeat, find, publishes=(COMPLETED, studio.RENDERED)),
}

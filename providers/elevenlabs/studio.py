"""Studio: podcasts that they write and speak themselves, and pronunciation dictionaries.

https://elevenlabs.io/docs/api-reference/studio/create-podcast
Their sales people let accounts in. A project has no state for failure: the callback tells it, else how it was made,
else that it is done and there is nothing to fetch. A callback is not signed: it comes to an address that only they
know, and what can be looked up is looked up all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jsontext
from model import Done, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, cast, dictionaries, looking
from providers.elevenlabs.audio import playable
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Unavailable
from providers.http import Request, api_request

RENDERED = "audio.rendered"
PASSED_ON = (
    "duration_scale",
    "language",
    "intro",
    "outro",
    "instructions_prompt",
    "highlights",
    "apply_text_normalization",
)
QUALITY = "standard"  # theirs is the best of the plan, which costs more
PODCAST = "generate_podcast"  # how a project says what made it
CLOCKS_APART_S = 60
FIRST_LOOK_S = 30.0
RAREST_LOOK_S = 300.0
UNTIL_S = 24 * 3600.0
NOTHING_S = 600.0  # so long a project that is done may be without a snapshot
ASK_AGAIN_S = 300.0


def make(call: Call) -> Outcome:
    """studio.podcast_requested {source, host_voice_id} -> a podcast as one file, and audio.rendered."""
    step = call.progress.get("step")
    if step == "fetch":
        return _fetch(call)
    return _look(call) if step == "look" else _begin(call)


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """Only the begin costs."""
    return Repeat.SAFE if progress else Repeat.LOOKUP


# --------------------------------------------------------------------------------------------------------- begun


def _begin(call: Call) -> Wait:
    try:
        answer = call.send(_request(call))
    except Refused as error:
        if call.exchange is not None and call.exchange.status == 403:
            raise Refused(
                f"This ElevenLabs account may not make podcasts in Studio; their sales people let accounts in. {error}",
                code="studio_not_allowed",
            ) from None
        raise
    project = api.object_in(api.object_in(answer.json()).get("project"), "project")
    return _looking(call, project.get("project_id"))


def _request(call: Call) -> Request:
    callback = call.known.callback_url()
    body = {**_body(call), "callback_url": callback}
    path = api.path(call, "podcasts")
    return api_request("POST", call.base_url, path, headers=api.headers(call), json_body=body, secrets=(callback,))


def _body(call: Call) -> dict[str, Any]:
    data = call.event.data
    return {
        "model_id": data.get("model_id") or call.config.get("model_id") or api.MODEL,
        "mode": _mode(call),
        "source": _sources(data.get("source")),
        "quality_preset": data.get("quality_preset") or QUALITY,
        **api.optional(data, PASSED_ON),
    }


def _mode(call: Call) -> dict[str, Any]:
    """One voice tells, or two talk."""
    asked = call.event.data.get("host_voice_id") or call.config.get("voice_id")
    host = cast.voice_id(call, api.required("host_voice_id", asked))
    guest = call.event.data.get("guest_voice_id")
    if not guest:
        return {"type": "bulletin", "bulletin": {"host_voice_id": host}}
    voices = {"host_voice_id": host, "guest_voice_id": cast.voice_id(call, guest)}
    return {"type": "conversation", "conversation": voices}


def _sources(given: Any) -> Any:
    """What it is about: `{text}` or `{url}`, one or several."""
    if isinstance(given, list) and given:
        return [_source(each) for each in given]
    return _source(given)


def _source(given: Any) -> dict[str, str]:
    kinds = [kind for kind in ("text", "url") if isinstance(given, dict) and given.get(kind)]
    if len(kinds) != 1:
        raise InvalidPayload("`source` must be {text} or {url}, or a list of those.", code="one_of")
    return {"type": kinds[0], kinds[0]: given[kinds[0]]}


def find(call: Call) -> Wait | None:
    """The project of a lost answer, which the callback names; None where there is none that it could be."""
    told = called_back(call)
    if told.get("project_id"):
        return _looking(call, told["project_id"])
    maybe = [row["project_id"] for row in api.reading(lambda: _projects(call)) if _may_be_ours(call, row)]
    if maybe:
        raise Unavailable(
            f"An answer was lost, and podcasts were begun since then ({', '.join(map(str, maybe[:5]))}): the callback"
            " will tell which is this one.",
            code="not_told_apart",
            wait_s=ASK_AGAIN_S,
        )
    return None


def _may_be_ours(call: Call, row: Mapping[str, Any]) -> bool:
    made, meta = row.get("create_date_unix"), row.get("creation_meta")
    kind = meta.get("type") if isinstance(meta, dict) else None
    is_new = not isinstance(made, (int, float)) or made >= call.first_attempt_at.timestamp() - CLOCKS_APART_S
    return is_new and kind in (None, PODCAST)


def _projects(call: Call) -> Sequence[Mapping[str, Any]]:
    rows = api.object_in(call.send(api.get(call, api.path(call, "projects"))).json(), "list of projects").get(
        "projects"
    )
    if not isinstance(rows, list):
        raise OutcomeUnknown("The projects that came back are no list.", code="answer_unreadable")
    return [row for row in rows if isinstance(row, dict) and row.get("project_id")]


# ------------------------------------------------------------------------------------------------------ looked at


def _looking(call: Call, project_id: Any) -> Wait:
    if not isinstance(project_id, str) or not project_id:
        raise OutcomeUnknown("The answer names no project.", code="answer_unreadable")
    progress = {"step": "look", "project_id": project_id, **looking.begun(call)}
    return Wait(FIRST_LOOK_S, progress, external_id=project_id)


def _look(call: Call) -> Wait:
    """How far the project is."""
    project_id = call.progress["project_id"]
    snapshots = _snapshots(call)
    if snapshots:
        return Wait(0, {"step": "fetch", "project_id": project_id, "snapshot_id": _newest(snapshots)})
    path = api.path(call, "project", project_id=project_id)
    project = api.object_in(call.send(api.get(call, path)).json(), "project")
    why = _why_failed(call, project)
    if why is not None:
        raise Refused(f"Project {project_id} failed: {why[:200]}.", code="podcast_failed")
    return looking.again(
        call,
        call.progress,
        first_s=FIRST_LOOK_S,
        most_s=RAREST_LOOK_S,
        until_s=UNTIL_S,
        still=f"Project {project_id} is not ready ({project.get('state')})",
    )


def _why_failed(call: Call, project: Mapping[str, Any]) -> str | None:
    """Why nothing will come of a project; None while something may."""
    told, meta = called_back(call), project.get("creation_meta")
    if told.get("conversion_status") == "error" and "chapter_id" not in told:
        return str(told.get("error_details") or "they did not say why")
    if isinstance(meta, dict) and meta.get("status") == "failed":
        return "it could not be written"
    waited_s = call.now.timestamp() - call.progress["since"]
    is_empty = project.get("state") == "default" and not project.get("can_be_downloaded")
    return "it is done, and there is nothing to fetch" if is_empty and waited_s > NOTHING_S else None


def called_back(call: Call) -> Mapping[str, Any]:
    """What came to the callback's address; empty when nothing did, or nothing that is understood."""
    body = call.known.called_back()
    try:
        message = jsontext.decoded(body) if body else None
    except ValueError:
        return {}
    data = message.get("data") if isinstance(message, dict) else None
    return data if isinstance(data, dict) else {}


def _snapshots(call: Call) -> list[Mapping[str, Any]]:
    """The conversions that have ended well."""
    path = api.path(call, "project_snapshots", project_id=call.progress["project_id"])
    rows = api.object_in(call.send(api.get(call, path)).json(), "list of snapshots").get("snapshots")
    return [row for row in rows or () if isinstance(row, dict) and row.get("project_snapshot_id")]


def _newest(snapshots: list[Mapping[str, Any]]) -> str:
    return str(max(snapshots, key=lambda row: row.get("created_at_unix") or 0)["project_snapshot_id"])


# -------------------------------------------------------------------------------------------------------- fetched


def _fetch(call: Call) -> Done:
    project_id, snapshot_id = call.progress["project_id"], call.progress["snapshot_id"]
    path = api.path(call, "project_snapshot_audio", project_id=project_id, snapshot_id=snapshot_id)
    answer = call.send(api.post(call, path, {"convert_to_mpeg": True}, max_bytes=api.MAX_AUDIO_BYTES))
    facts = {"project_id": project_id, "project_snapshot_id": snapshot_id}
    return api.done_with_audio(call, playable(answer.content, api.FORMAT), facts, request_id=project_id)


ACTIONS: Mapping[str, Action] = {
    "studio.podcast_requested": Action(make, repeat, find, publishes=(RENDERED,)),
    **dictionaries.ACTIONS,
}

"""Dubbing: a recording in another language, with its speakers' voices. It takes minutes, and is looked after.

https://elevenlabs.io/docs/api-reference/dubbing/create
The name that a dub gets there ends in the delivery's id, by which it is found after a lost answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model import Done, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api, looking, recordings
from providers.elevenlabs.audio import Audio, playable
from providers.errors import OutcomeUnknown, Refused
from providers.http import Answer

RENDERED = "audio.rendered"
PASSED_ON = {
    "source_language": "source_lang",
    "num_speakers": "num_speakers",
    "start_s": "start_time",
    "end_s": "end_time",
    "drop_background_audio": "drop_background_audio",
    "disable_voice_cloning": "disable_voice_cloning",
    "watermark": "watermark",
}
MAX_DUB_BYTES = 512 * 1024 * 1024  # a dubbed video comes whole
PAGES = 10  # of 200 dubs
FIRST_LOOK_S = 15.0
RAREST_LOOK_S = 300.0
UNTIL_S = 24 * 3600.0
VIDEO = "video/mp4"


def dub(call: Call) -> Outcome:
    """audio.dub_requested {asset_id | url, target_language} -> the dubbed file, and audio.rendered."""
    step = call.progress.get("step")
    if step == "fetch":
        return _fetch(call)
    return _look(call) if step == "look" else _begin(call)


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """Only the begin costs."""
    return Repeat.SAFE if progress else Repeat.LOOKUP


def find(call: Call) -> Wait | None:
    """The dub whose begin was lost, by its name; None when it was not begun."""
    return api.reading(lambda: next((_begun(call, row) for row in _dubs(call) if row.get("name") == _name(call)), None))


def _begin(call: Call) -> Wait:
    data = call.event.data
    fields = {
        "target_lang": api.required("target_language", data.get("target_language")),
        "name": _name(call),
        **{theirs: data[ours] for ours, theirs in PASSED_ON.items() if data.get(ours) is not None},
    }
    parts = [*(recordings.field(name, value) for name, value in fields.items()), recordings.source(call)]
    return _begun(call, api.object_in(call.send(api.post_form(call, api.path(call, "dubbing"), parts)).json()))


def _name(call: Call) -> str:
    given = str(call.event.data.get("name") or "Dub")[:100]
    return f"{given} [{call.delivery_id}]"


def _begun(call: Call, said: Mapping[str, Any]) -> Wait:
    dubbing_id = said.get("dubbing_id")
    if not isinstance(dubbing_id, str) or not dubbing_id:
        raise OutcomeUnknown("The answer names no dub.", code="answer_unreadable")
    progress = {"step": "look", "dubbing_id": dubbing_id, **looking.begun(call)}
    return Wait(FIRST_LOOK_S, progress, external_id=dubbing_id)


def _dubs(call: Call) -> Iterator[Mapping[str, Any]]:
    """All dubs of the account."""
    asked = {"page_size": "200"}
    for _ in range(PAGES):
        page = api.object_in(call.send(api.get(call, api.path(call, "dubbing"), asked)).json(), "page of dubs")
        rows = page.get("dubs")
        if not isinstance(rows, list):
            raise OutcomeUnknown("The dubs that came back are no list.", code="answer_unreadable")
        yield from (row for row in rows if isinstance(row, dict))
        if not page.get("has_more") or not page.get("next_cursor"):
            return
        asked["cursor"] = str(page["next_cursor"])
    raise OutcomeUnknown("The account has more dubs than are looked through.", code="dubs_too_many")


def _look(call: Call) -> Wait:
    dubbing_id = call.progress["dubbing_id"]
    found = api.object_in(call.send(api.get(call, api.path(call, "dub", dubbing_id=dubbing_id))).json(), "dub")
    status = found.get("status")
    if status == "dubbed":
        media = found.get("media_metadata")
        seconds = media.get("duration") if isinstance(media, dict) else None
        return Wait(0, {"step": "fetch", "dubbing_id": dubbing_id, "duration_s": seconds})
    if status == "failed":
        why = f": {str(found['error'])[:200]}" if found.get("error") else ""
        raise Refused(f"Dub {dubbing_id} failed{why}.", code="dub_failed")
    return looking.again(
        call,
        call.progress,
        first_s=FIRST_LOOK_S,
        most_s=RAREST_LOOK_S,
        until_s=UNTIL_S,
        still=f"Dub {dubbing_id} is not ready ({status})",
    )


def _fetch(call: Call) -> Done:
    data, dubbing_id = call.event.data, call.progress["dubbing_id"]
    path = api.path(call, "dub_audio", dubbing_id=dubbing_id, language_code=data["target_language"])
    audio = _heard(call.send(api.get(call, path, max_bytes=MAX_DUB_BYTES)))
    seconds = call.progress.get("duration_s")
    facts = {
        "dubbing_id": dubbing_id,
        "language_code": data["target_language"],
        **({"source_asset_id": data["asset_id"]} if data.get("asset_id") else {}),
        **({"duration_s": seconds} if seconds is not None else {}),
    }
    return api.done_with_audio(call, audio, facts, request_id=dubbing_id)


def _heard(answer: Answer) -> Audio:
    """MP3, or MP4 where the source was a video."""
    if answer.content[4:8] == b"ftyp":
        return Audio(answer.content, VIDEO, "mp4")
    return playable(answer.content, api.FORMAT)


ACTIONS: Mapping[str, Action] = {
    "audio.dub_requested": Action(dub, repeat, find, publishes=(RENDERED,)),
}

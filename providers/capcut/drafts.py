"""Building a draft: begun, filled one operation a step, saved.

A draft is free and lives in the service's memory: an unknown one silently becomes a new one. So whenever it is not
certain what is in it, it is built anew from the event's own list, a few times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from providers.capcut.api import Data, ask, maybe_done, output, output_object, text_in, unreadable
from providers.capcut.errors import FETCH_FAILED, NOT_OFFERED, TASK_GONE, DraftLost, told
from providers.capcut.layers import Found, Operation
from providers.capcut.media import PATIENCE, kept, linked
from providers.capcut.plan import operations
from providers.capcut.workflows import script_of
from providers.contract import Call
from providers.errors import Refused, Unavailable

Progress = dict[str, Any]

REBUILDS = 5
LIMIT_S = 45 * 60.0  # of a render, where the event says nothing
LINK_SPARE_S = 3600.0  # links to media outlive the render that fetches them by this
WIDTH, HEIGHT = 1080, 1920
SAVE_POLL_S = 2.0
SAVING = ("initialized", "processing")
MAX_SCRIPT_BYTES = 16 * 1024 * 1024

EMPTY: Mapping[str, Any] = {"draft_id": None, "draft_url": "", "at": 0, "draft_at": None}


def begun() -> Progress:
    """The progress of an event of which nothing has been done."""
    return {"step": "look", "looked": 0, "audio_s": None, "background": "", "rebuilds": 0, **EMPTY}


def found(progress: Mapping[str, Any]) -> Found:
    """What the files are, as far as they were looked at."""
    return Found(progress["audio_s"], progress["background"])


def size(data: Data) -> tuple[int, int]:
    """Width and height of an event's video, in pixels."""
    return data.get("width") or WIDTH, data.get("height") or HEIGHT


def planned(call: Call, progress: Mapping[str, Any]) -> tuple[Operation, ...]:
    """The operations of the call's event."""
    return operations(call.event.data, found(progress))


# ----------------------------------------------------------------------------------------------------------- building


def begin(call: Call, progress: Progress) -> None:
    """A new draft."""
    width, height = size(call.event.data)
    made = output_object(ask(call, "create_draft", {"width": width, "height": height}))
    progress |= {
        **EMPTY,
        "draft_id": text_in(made, "draft_id"),
        "draft_url": str(made.get("draft_url") or ""),
        "draft_at": call.now.isoformat(),
    }


def add_next(call: Call, progress: Progress) -> bool:
    """Do the next operation; whether that was the last. OutcomeUnknown where it is not certain that it was done."""
    todo = planned(call, progress)
    operation = todo[progress["at"]]
    fields, secrets = linked(call, operation.params, link_s(call))
    if operation.name == "execute_workflow":
        fields = script_of(call, fields)
    fields = {**fields, "draft_id": progress["draft_id"]}
    try:
        with maybe_done(call, even_if_told=False):
            answer = ask(call, operation.name, fields, secrets=secrets)
    except Unavailable as error:
        raise patient(call, progress, error) from error
    same_draft(output_object(answer), progress)
    progress["at"] += 1
    return bool(progress["at"] == len(todo))


def patient(call: Call, progress: Progress, error: Unavailable) -> Exception:
    """Media that the service cannot fetch now is tried for a while; the service itself as long as deliveries are."""
    if error.code != FETCH_FAILED or not _is_late(call, progress["draft_at"]):
        return error
    return Refused(f"{error} It was tried for a quarter of an hour.", code=error.code)


def _is_late(call: Call, since: str) -> bool:
    return call.now - datetime.fromisoformat(since) > PATIENCE


def same_draft(made: Data, progress: Progress) -> None:
    """Raise DraftLost where the service has quietly begun another one."""
    if text_in(made, "draft_id") != progress["draft_id"]:
        raise DraftLost("The service no longer knows the draft and has begun another one.")


def link_s(call: Call) -> float:
    """How long links to media last: the service fetches them when it renders."""
    return float(call.event.data.get("render_within_s") or LIMIT_S) + LINK_SPARE_S


def rebuilt(progress: Mapping[str, Any], why: str) -> Progress:
    """The progress from which the draft is built anew. Refused where that was done too often."""
    if progress["rebuilds"] >= REBUILDS:
        raise Refused(
            f"The draft was built {REBUILDS + 1} times and lost each time, the last time because: {why}",
            code="draft_lost",
        )
    return {**progress, **EMPTY, "step": "build", "rebuilds": progress["rebuilds"] + 1}


# ------------------------------------------------------------------------------------------------------------- saving


def save(call: Call, progress: Progress) -> None:
    """Have the draft saved, which fetches its media. A null address is how an unknown draft shows."""
    answer = ask(call, "save_draft", {"draft_id": progress["draft_id"]})
    saved = output_object(answer)
    if saved.get("success") is False:
        raise told(answer, str(saved.get("error") or saved.get("message") or ""))
    if "draft_url" in saved and saved["draft_url"] is None:
        raise DraftLost("The service had no such draft to save.")
    progress |= {"draft_url": str(saved.get("draft_url") or progress["draft_url"]), "saved_at": call.now.isoformat()}


def is_saved(call: Call, progress: Progress) -> bool:
    """Whether the draft is saved by now. Raises what became of it otherwise."""
    try:
        answer = ask(call, "query_draft_status", {"task_id": progress["draft_id"]})
    except Refused as error:
        if error.code == TASK_GONE:
            raise DraftLost(str(error)) from error
        raise
    state = output_object(answer)
    if state.get("status") == "failed":
        raise told(answer, str(state.get("message") or ""))
    saving = state.get("status") in SAVING
    if saving and _is_late(call, progress["saved_at"]):
        raise Refused("The service has been saving the draft for more than a quarter of an hour.", code="save_too_slow")
    return not saving


def keep_script(call: Call, progress: Progress) -> None:
    """Keep the draft's project as a file."""
    asked = {"draft_id": progress["draft_id"], "force_update": True}
    script = output(ask(call, "query_script", asked, max_answer_bytes=MAX_SCRIPT_BYTES))
    try:
        json.loads(script)
    except (TypeError, ValueError):
        raise unreadable("a script that is no JSON") from None
    kept(call, script_name(call), script.encode(), "application/json", {})


def script_name(call: Call) -> str:
    """What the project of a draft is called in media storage."""
    return f"{call.delivery_id}.draft.json"


def set_name(call: Call, progress: Progress) -> None:
    """Give the draft its name and its cover."""
    data = call.event.data
    wanted = {name: data[name] for name in ("name", "cover") if data.get(name)}
    fields, secrets = linked(call, wanted, link_s(call))
    try:
        answer = ask(call, "modify_draft", {**fields, "draft_id": progress["draft_id"]}, secrets=secrets)
    except Refused as error:
        if error.code == NOT_OFFERED and "cover" not in wanted:
            return  # a name is for people, and in our own result
        raise
    same_draft(output_object(answer), progress)


def find_address(call: Call, progress: Progress) -> None:
    """Ask where the draft can be downloaded. The open server forgets the parameter's name."""
    found_at = output_object(ask(call, "generate_draft_url", {"draft_id": progress["draft_id"]}))
    progress["draft_url"] = str(found_at.get("draft_url") or "").replace("?=", "?draft_id=")

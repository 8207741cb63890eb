"""Rendering a saved draft: asked for once, looked at until its end, fetched and kept.

The task's id is stored before anything else happens. The address of a finished video is a credential that expires: it
is never stored, each look gives a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from model import Cost, Done, MediaAsset, NewEvent, Outcome, Wait
from providers.capcut import drafts
from providers.capcut.api import ask, maybe_done, object_in, output_object, text_in
from providers.capcut.drafts import LIMIT_S, Progress
from providers.capcut.errors import TIMEOUT_WORDS, told
from providers.capcut.lengths import is_mp4, of_mp4
from providers.capcut.media import download, kept, later, linked
from providers.contract import Call
from providers.errors import OutcomeUnknown, ProviderError, Refused, TargetForbidden
from providers.http import Answer

RENDERED = "video.rendered"
RESOLUTION, FRAMERATE = "720P", "24"  # texts there
QUEUES = {"normal": "generate_video", "idle": "generate_idle_video"}
POLL_S, POLL_GROWS, LONGEST_POLL_S = 5.0, 1.3, 30.0
MAX_VIDEO_BYTES = 256 * 1024 * 1024
RERENDERS = 1  # of one that ended in a time-out of theirs
ONE_RENDER = Cost(Decimal(1), "renders")

SUCCESS, FAILURE = "SUCCESS", "FAILURE"
AGENT_SUCCESS, AGENT_FAILURES = "success", ("failure", "failed", "error")


def begin(call: Call, progress: Progress) -> Outcome:
    """Ask for the video. This is what costs."""
    data = call.event.data
    fields = {
        "draft_id": progress["draft_id"],
        "resolution": data.get("resolution") or RESOLUTION,
        "framerate": data.get("framerate") or FRAMERATE,
    }
    key = call.settings.get("license_key")
    if key:
        fields["license_key"] = key
    with _billed(), maybe_done(call, even_if_told=True):
        answer = ask(call, QUEUES[data.get("queue") or "normal"], fields, secrets=(key,) if key else ())
        asked = output_object(answer)
        if asked.get("success") is False:
            raise told(answer, str(asked.get("error") or ""))
        task_id = text_in(asked, "task_id")
    return follow(call, progress, task_id, "poll")


def submit(call: Call, progress: Progress) -> Outcome:
    """Give an agent its task. This is what costs."""
    agent = call.event.data["agent"]
    params, secrets = linked(call, agent.get("params") or {}, drafts.link_s(call))
    fields = {"agent_id": agent["agent_id"], "params": params}
    with _billed(), maybe_done(call, even_if_told=True):
        task_id = text_in(object_in(ask(call, "submit_agent_task", fields, secrets=secrets)), "task_id")
    return follow(call, progress, task_id, "agent")


@contextmanager
def _billed() -> Iterator[None]:
    """Says what an unknown outcome means here, for whoever reads the dead letter."""
    try:
        yield
    except OutcomeUnknown as error:
        raise OutcomeUnknown(
            f"{error} The render may have been begun, and billed: look at the service before this is tried again,"
            " which renders anew.",
            code=error.code,
        ) from error


def follow(call: Call, progress: Progress, task_id: str, step: str) -> Wait:
    """It is begun, and paid for: the next step looks at it."""
    progress |= {"step": step, "task_id": task_id, "asked_at": call.now.isoformat(), "poll_s": POLL_S}
    return Wait(POLL_S, progress, external_id=task_id, cost=ONE_RENDER)


def look(call: Call, progress: Progress) -> Outcome:
    """Look how far it is; fetch it when it is there. The address of a video is a credential, and is not kept."""
    answer = ask(call, "task_status", {"task_id": progress["task_id"]})
    state = output_object(answer)
    status = state.get("status")
    if status == SUCCESS:
        return fetched(call, progress, text_in(state, "result"))
    if status == FAILURE:
        return failed(answer, progress, str(state.get("error") or state.get("message") or ""))
    return not_yet(call, progress, str(status))


def failed(answer: Answer, progress: Progress, said: str) -> Outcome:
    """A time-out of theirs is tried once more; all else is the end."""
    timed_out = any(word in said.lower() for word in TIMEOUT_WORDS)
    if timed_out and progress.get("rerenders", 0) < RERENDERS:
        return Wait(0, progress | {"step": "render", "rerenders": progress.get("rerenders", 0) + 1})
    raise Refused(_words(answer, progress, said), code="render_failed")


def _words(answer: Answer, progress: Progress, said: str) -> str:
    shown = answer.shown(said).rstrip(".") or "no reason was given"
    return f"The render {progress['task_id']} failed: {shown}."


def look_at_agent(call: Call, progress: Progress) -> Outcome:
    """The same for an agent's task, whose states are others and stand elsewhere."""
    answer = ask(call, "agent_task_status", query={"task_id": progress["task_id"]})
    state = object_in(answer)
    status = str(state.get("status") or "").lower()
    if status == AGENT_SUCCESS:
        made = state["output"] if isinstance(state.get("output"), dict) else {}
        progress |= {"draft_id": made.get("draft_id"), "draft_url": str(made.get("draft_url") or "")}
        return fetched(call, progress, text_in(made, "video_url"))
    if status in AGENT_FAILURES:
        raise Refused(
            _words(answer, progress, str(state.get("error") or state.get("message") or "")), code="render_failed"
        )
    return not_yet(call, progress, status)


def not_yet(call: Call, progress: Progress, status: str) -> Wait:
    """Look again later. Refused where it lasts too long."""
    limit_s = float(call.event.data.get("render_within_s") or LIMIT_S)
    if (call.now - datetime.fromisoformat(progress["asked_at"])).total_seconds() > limit_s:
        raise Refused(
            f"The render {progress['task_id']} is {status} after {limit_s / 60:.0f} minutes. Replay the delivery to"
            " look again: nothing is rendered twice.",
            code="render_too_slow",
        )
    wait_s = min(progress["poll_s"] * POLL_GROWS, LONGEST_POLL_S)
    return Wait(wait_s, progress | {"poll_s": wait_s}, external_id=progress["task_id"])


# ------------------------------------------------------------------------------------------------------------ the end


def fetched(call: Call, progress: Progress, url: str) -> Done:
    """The video, checked and kept. Whatever goes wrong is tried again from the look, which gives a new address."""
    task = progress["task_id"]
    try:
        answer = call.send(download(url, MAX_VIDEO_BYTES))
    except TargetForbidden:
        raise
    except ProviderError as error:
        raise later(f"The render {task} is done, but could not be fetched: {error}", "video_not_fetched") from error
    if answer.cut:
        raise Refused(
            f"The video of the render {task} is larger than {MAX_VIDEO_BYTES // 2**20} MiB: ask for a smaller"
            " resolution or a shorter video.",
            code="video_too_large",
        )
    if not is_mp4(answer.content):
        raise later(f"What was fetched of the render {task} is no MP4 file.", "answer_unusable")
    return _video_done(call, progress, answer.content)


def _video_done(call: Call, progress: Progress, content: bytes) -> Done:
    seconds = of_mp4(content)
    facts = {
        **({"draft_id": progress["draft_id"]} if progress["draft_id"] else {}),
        "task_id": progress["task_id"],
        **({} if seconds is None else {"duration_s": round(seconds, 3)}),
        **_asked_for(call),
    }
    asset = kept(call, f"{call.delivery_id}.mp4", content, "video/mp4", facts)
    described = {"asset_id": str(asset.id), "uri": asset.uri, "mime": asset.mime, "size_bytes": asset.size_bytes}
    result = {**described, **facts, **_named(call)}
    rendered = NewEvent(
        tenant_id=call.event.tenant_id,
        type=RENDERED,
        data={**result, "source_event_id": str(call.event.id)},
        key=f"{RENDERED}:{call.delivery_id}",
    )
    scripts = _scripts(call)
    return Done(
        result={**result, **_beside(progress, scripts)},
        external_id=progress["task_id"],
        assets=(asset, *scripts),
        events=(rendered,),
    )


def _asked_for(call: Call) -> dict[str, Any]:
    data = call.event.data
    if call.progress.get("dialect"):
        return {}
    if data.get("agent"):
        return {"agent_id": data["agent"]["agent_id"]}
    return {"resolution": data.get("resolution") or RESOLUTION, "framerate": data.get("framerate") or FRAMERATE}


def draft_done(call: Call, progress: Progress) -> Done:
    """The end where only a draft is wanted."""
    scripts = _scripts(call)
    return Done(
        result={"draft_id": progress["draft_id"], **_named(call), **_beside(progress, scripts)},
        external_id=progress["draft_id"],
        assets=scripts,
    )


def _named(call: Call) -> dict[str, str]:
    return {"name": call.event.data["name"]} if call.event.data.get("name") else {}


def _beside(progress: Progress, scripts: tuple[MediaAsset, ...]) -> dict[str, str]:
    """What a result says of the draft: where it can be downloaded, and which file holds its project."""
    address = {"draft_url": progress["draft_url"]} if progress["draft_url"] else {}
    return address | ({"draft_asset_id": str(scripts[0].id)} if scripts else {})


def _scripts(call: Call) -> tuple[MediaAsset, ...]:
    """The project that was kept on the way, as a file of this delivery."""
    name = drafts.script_name(call)
    content = call.media.read(name) if call.event.data.get("keep_draft") else None
    return (kept(call, name, content, "application/json", {}),) if content else ()

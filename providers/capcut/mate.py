"""Videos through capcut-mate, a server of another kind, which an account chooses by its field `dialect`.

https://github.com/Hommy-master/capcut-mate
Every answer is HTTP 200 with `{"code", "message"}`; success is 0. A draft is known by its whole address, and media is
fetched when it is added. A render is asked for by its draft, so whether one was begun can be looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from model import Cursor, Done, Outcome, Records, Wait
from providers.capcut import drafts, files, mate_layers, renders
from providers.capcut.api import Data, maybe_done, object_in, server, text_in, unreadable
from providers.capcut.drafts import Progress
from providers.capcut.errors import FETCH_FAILED, REFUSED, DraftLost
from providers.capcut.media import linked
from providers.contract import Call, Repeat
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    Refused,
    Unavailable,
)
from providers.http import Answer, Fault, api_request

DIALECT = "capcut-mate"
BUILD, SAVE, RENDER, POLL, LOOK = "build", "save", "render", "poll", "look"
SUCCESS, FAILURE = "completed", "failed"
NO_TASK = 2031
NOT_SAID: Mapping[str, str] = {  # what an event may say and this server cannot do
    "preset": "presets",
    "workflow": "workflows",
    "agent": "agents",
    "cover": "covers",
    "keep_draft": "handing over a draft's project",
    "resolution": "choosing a resolution",
    "framerate": "choosing a frame rate",
}


def _gone(said: str) -> Refused:
    return Refused(said, code="not_found_there")


def _refused(said: str) -> InvalidPayload:
    return InvalidPayload(said, code=REFUSED)


def _not_fetched(said: str) -> Unavailable:
    """Of one event's media: the account's other deliveries go on."""
    error = Unavailable(said, code=FETCH_FAILED)
    error.holds = False
    return error


CODES: Mapping[int, Fault] = {
    **dict.fromkeys((1003, 1004, 2036), CredentialsRejected),
    2035: AccountBlocked,
    2001: DraftLost,
    2005: _not_fetched,
    **dict.fromkeys((2002, 2030, 2032, 2042, 9998, 9999), Unavailable),
    **dict.fromkeys((404, 1002, NO_TASK), _gone),
}  # all others: what was said cannot be done


class NoTask(Exception):
    """No render was ever asked for of this draft."""


# -------------------------------------------------------------------------------------------------------- one exchange


def ask(call: Call, operation: str, fields: Data, secrets: tuple[str, ...] = ()) -> Answer:
    """Do one operation. Its code decides, whatever the status."""
    answer = call.send(
        api_request(
            "POST",
            server(call),
            call.paths[f"mate_{operation}"],
            headers={"User-Agent": "AgentMesh/1", "Accept-Language": "en"},
            json_body=fields,
            secrets=secrets,
        )
    )
    said = object_in(answer)
    code = said.get("code")
    if isinstance(code, bool) or not isinstance(code, int):
        raise unreadable("no code")
    if code == 0:
        return answer
    if code == NO_TASK and operation == "gen_video_status":
        raise NoTask
    words = answer.shown(str(said.get("message") or "")).rstrip(".") or "no reason was given"
    raise CODES.get(code, _refused)(f"capcut-mate said {code}: {words}.")


def _draft(progress: Progress) -> dict[str, str]:
    return {"draft_url": progress["draft_url"]}


# --------------------------------------------------------------------------------------------------------------- steps


def render(call: Call) -> Outcome:
    """One step of an event's video."""
    progress: Progress = dict(call.progress) or {**drafts.begun(), "dialect": DIALECT}
    try:
        return _STEPS[progress["step"]](call, progress)
    except DraftLost as error:
        return Wait(0, drafts.rebuilt(progress, str(error)))


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """What was added twice is there twice; whether a render was begun can be asked."""
    step = progress.get("step")
    return Repeat.LOOKUP if step == RENDER or (step == BUILD and progress["draft_id"]) else Repeat.SAFE


def find(call: Call) -> Outcome | None:
    """After a lost answer: the render, where one was begun; a draft that may hold anything is built anew."""
    if call.progress["step"] == BUILD:
        return Wait(0, drafts.rebuilt(call.progress, "the answer to an operation was lost."))
    progress = dict(call.progress)
    try:
        ask(call, "gen_video_status", _draft(progress))
    except NoTask:
        return None
    except DraftLost as error:
        return Wait(0, drafts.rebuilt(progress, str(error)))
    return renders.follow(call, progress, progress["draft_id"], POLL)


def _look(call: Call, progress: Progress) -> Outcome:
    """Every file, before a draft is begun; and whether all of it can be said here."""
    _check(call.event.data)
    if not files.look_at_next(call, progress):
        return Wait(0, progress)
    for operation in drafts.planned(call, progress):
        mate_layers.translated(operation, drafts.size(call.event.data))
    progress["step"] = BUILD
    return _build(call, progress) if call.exchange is None else Wait(0, progress)


def _check(data: Data) -> None:
    for name, what in NOT_SAID.items():
        if data.get(name):
            raise InvalidPayload(f"capcut-mate knows no {what}: `{name}` cannot be said to it.", code="not_offered")


def _build(call: Call, progress: Progress) -> Outcome:
    if not progress["draft_id"]:
        _begin(call, progress)
        return Wait(0, progress)
    todo = drafts.planned(call, progress)
    name, fields = mate_layers.translated(todo[progress["at"]], drafts.size(call.event.data))
    filled, secrets = linked(call, fields, drafts.link_s(call))
    try:
        with maybe_done(call, even_if_told=False):
            said = object_in(ask(call, name, {**mate_layers.texts(filled), **_draft(progress)}, secrets))
    except Unavailable as error:
        raise drafts.patient(call, progress, error) from error
    if said.get("draft_url") not in (None, progress["draft_url"]):
        raise DraftLost("The service has answered for another draft.")
    progress["at"] += 1
    return Wait(0, progress | {"step": SAVE} if progress["at"] == len(todo) else progress)


def _begin(call: Call, progress: Progress) -> None:
    width, height = drafts.size(call.event.data)
    url = text_in(object_in(ask(call, "create_draft", {"width": width, "height": height})), "draft_url")
    ids = parse_qs(urlsplit(url).query).get("draft_id")
    if not ids:
        raise unreadable("a draft without an id")
    progress |= {**drafts.EMPTY, "draft_id": ids[0], "draft_url": url, "draft_at": call.now.isoformat()}


def _save(call: Call, progress: Progress) -> Outcome:
    ask(call, "save_draft", _draft(progress))
    if call.event.data.get("draft_only"):
        return renders.draft_done(call, progress)
    return Wait(0, progress | {"step": RENDER})


def _render(call: Call, progress: Progress) -> Outcome:
    """Ask for the video. This is what costs, where the vendor counts points."""
    key = call.secrets.get("api_key")
    fields = {**_draft(progress), **({"apiKey": key} if key else {})}
    with maybe_done(call, even_if_told=True):
        ask(call, "gen_video", fields, secrets=(key,) if key else ())
    return renders.follow(call, progress, progress["draft_id"], POLL)


def _poll(call: Call, progress: Progress) -> Outcome:
    """How far it is; the video, when it is there."""
    try:
        answer = ask(call, "gen_video_status", _draft(progress))
    except (NoTask, DraftLost):
        raise Refused(
            f"capcut-mate no longer knows the render of draft {progress['draft_id']}: it keeps them for some days.",
            code="task_gone",
        ) from None
    state = object_in(answer)
    if state.get("status") == SUCCESS:
        return renders.fetched(call, progress, text_in(state, "video_url"))
    if state.get("status") == FAILURE:
        return renders.failed(answer, progress, str(state.get("error_message") or ""))
    return renders.not_yet(call, progress, str(state.get("status")))


_STEPS: Mapping[str, Callable[[Call, Progress], Outcome]] = {
    LOOK: _look,
    BUILD: _build,
    SAVE: _save,
    RENDER: _render,
    POLL: _poll,
}


# ---------------------------------------------------------------------------------------------------- what has no place


def read_nothing(call: Call) -> Done:
    """sync.due: this server has neither lists of names that are read here, nor workflows."""
    stream = call.event.data["stream"]
    return Done({"left_out": DIALECT}, records=Records(cursor=Cursor(stream, {}, finished=True)))


def publish_nothing(call: Call) -> Outcome:
    """video.workflow_publish_requested: Refused, there are no workflows."""
    raise Refused("capcut-mate knows no workflows: they are published at VectCut's cloud.", code="not_offered")

"""video.render_requested: files are looked at, a draft is built and saved, rendered, and the video fetched.

Each step is one exchange and one commit. Only one of them costs money, `generate_video` (or an agent's task), and it
knows no key: it is never made again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model import Outcome, Wait
from providers.capcut import drafts, files, mate, renders
from providers.capcut.drafts import Progress
from providers.capcut.errors import DraftLost
from providers.contract import Call, Repeat
from providers.errors import InvalidPayload

VECTCUT = "vectcut"


def render(call: Call) -> Outcome:
    """One step of an event's video, in the words of the server that the account has chosen."""
    if _speaks_mate(call):
        return mate.render(call)
    progress: Progress = dict(call.progress) or drafts.begun()
    try:
        return _STEPS[progress["step"]](call, progress)
    except DraftLost as error:
        return Wait(0, drafts.rebuilt(progress, str(error)))


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """What may be done when the answer of the step was lost: a render is never asked for again."""
    if progress.get("dialect") == mate.DIALECT:
        return mate.repeat(progress)
    step = progress.get("step")
    if step in ("render", "submit"):
        return Repeat.NEVER
    return Repeat.LOOKUP if step == "build" and progress["draft_id"] else Repeat.SAFE


def find(call: Call) -> Outcome | None:
    """After a lost answer nobody knows what is in the draft: it is built anew."""
    if _speaks_mate(call):
        return mate.find(call)
    return Wait(0, drafts.rebuilt(call.progress, "the answer to an operation was lost."))


def _speaks_mate(call: Call) -> bool:
    """As the delivery began; before that, as the account says. InvalidPayload for a server that nobody knows."""
    said = call.config.get("dialect") or VECTCUT
    if call.progress:
        return call.progress.get("dialect") == mate.DIALECT
    if said not in (VECTCUT, mate.DIALECT):
        raise InvalidPayload(f"`dialect` is {VECTCUT} or {mate.DIALECT}, not {said!r}.", code="dialect_unknown")
    return bool(said == mate.DIALECT)


# -------------------------------------------------------------------------------------------------------------- steps


def _look(call: Call, progress: Progress) -> Outcome:
    if not files.look_at_next(call, progress):
        return Wait(0, progress)
    if call.event.data.get("agent"):
        return Wait(0, progress | {"step": "submit"})
    progress["step"] = "build"
    return _build(call, progress) if call.exchange is None else Wait(0, progress)


def _build(call: Call, progress: Progress) -> Outcome:
    if not progress["draft_id"]:
        drafts.begin(call, progress)
    elif drafts.add_next(call, progress):
        return _onward(call, progress, "build")
    return Wait(0, progress)


def _name(call: Call, progress: Progress) -> Outcome:
    drafts.set_name(call, progress)
    return _onward(call, progress, "name")


def _save(call: Call, progress: Progress) -> Outcome:
    drafts.save(call, progress)
    return _onward(call, progress, "save")


def _saved(call: Call, progress: Progress) -> Outcome:
    if not drafts.is_saved(call, progress):
        return Wait(drafts.SAVE_POLL_S, progress)
    return _onward(call, progress, "saved")


def _keep(call: Call, progress: Progress) -> Outcome:
    drafts.keep_script(call, progress)
    return _onward(call, progress, "keep")


def _address(call: Call, progress: Progress) -> Outcome:
    drafts.find_address(call, progress)
    return _onward(call, progress, "address")


def _onward(call: Call, progress: Progress, step: str) -> Outcome:
    """The next step of those that this event asks for, or its end where only a draft is wanted."""
    following = list(_WANTED)[list(_WANTED).index(step) + 1 :]
    wanted = next((each for each in following if _WANTED[each](call, progress)), None)
    return renders.draft_done(call, progress) if wanted is None else Wait(0, progress | {"step": wanted})


_WANTED: Mapping[str, Callable[[Call, Progress], bool]] = {  # what becomes of a draft, in order
    "build": lambda call, progress: True,
    "name": lambda call, progress: _is_cloud(call) and not call.event.data.keys().isdisjoint(("name", "cover")),
    "save": lambda call, progress: True,
    "saved": lambda call, progress: True,
    "keep": lambda call, progress: bool(call.event.data.get("keep_draft")),
    "address": lambda call, progress: _is_draft_only(call) and not progress["draft_url"],
    "render": lambda call, progress: not _is_draft_only(call),
}


def _is_draft_only(call: Call) -> bool:
    return bool(call.event.data.get("draft_only"))


def _is_cloud(call: Call) -> bool:
    """A server of one's own knows no keys, and has drafts without names."""
    return bool(call.secrets.get("api_key"))


_STEPS: Mapping[str, Callable[[Call, Progress], Outcome]] = {
    "look": _look,
    "build": _build,
    "name": _name,
    "save": _save,
    "saved": _saved,
    "keep": _keep,
    "address": _address,
    "render": renders.begin,
    "poll": renders.look,
    "submit": renders.submit,
    "agent": renders.look_at_agent,
}

"""The steps that everything which is paid for goes through: begun once, looked at until it has ended.

upload   copy the media files that are named, one a step
begin    the one call that is paid for. Its answer lost: it is not repeated, a person decides
look     ask how far it is, in growing waits
await    look whether the provider has called back
fetch    fetch outputs that the end only named
over     it did not end well: the delivery becomes a dead letter with these words, and made due again it goes on from
         `then`, which is the beginning unless something is still to be waited for

All but `begin` may be repeated. The progress holds the token to look with, sealed: it is a credential.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

import jsontext
from model import Cost, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.errors import InvalidPayload, Refused, Unsettled
from providers.mindstudio import api, files
from providers.mindstudio.errors import may_pass, words

UPLOAD, BEGIN, LOOK, AWAIT, FETCH, OVER = "upload", "begin", "look", "await", "fetch", "over"
CALLBACK, POLL = "callback", "poll"
FIRST_LOOK_S, LONGEST_LOOK_S = 1.0, 30.0  # doubled from one to the other
FIRST_AWAIT_S, AWAIT_S = 2.0, 30.0  # a callback makes a delivery due by itself; the first may come before we wait
AGAIN_S = 30.0  # before a run that timed out there is begun once more
TIMEOUT_S = 1_800.0  # unless the event says otherwise
ENDS = frozenset({"success", "result", "error", "message"})  # one of them is in what a callback tells

Body = Mapping[str, Any]
Progress = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One kind of work."""

    name: str  # in sentences
    door: str  # that tells how far it is
    given: Callable[[Call], Any]  # what is sent, and may name files; InvalidPayload before anything is paid for
    begin: Callable[[Call, Any], Outcome]  # with addresses in the place of files
    ended: Callable[[Call, Body], Outcome]  # with the body of a look that says so
    calls_back: Callable[[Call], bool] = lambda call: False
    fetch: Callable[[Call], Outcome] | None = None

    def action(self, publishes: str) -> Action:
        """The action that does it, and tells its end by such an event."""
        return Action(
            lambda call: _STEPS[step_of(call.progress)](call, self),
            repeat_after,
            lambda call: find(call, self),
            publishes=(publishes,),
        )


def step_of(progress: Progress) -> str:
    """The step that comes next."""
    return str(progress.get("step", BEGIN))


def repeat_after(progress: Progress) -> Repeat:
    """Only what may have been paid for is asked about (`find`)."""
    return Repeat.LOOKUP if step_of(progress) in (BEGIN, OVER) else Repeat.SAFE


def find(call: Call, job: Job) -> Outcome | None:
    """After a lost answer: the end, or the wait for it, where the provider calls back; None where nothing can have been
    sent. Refused otherwise: nothing there can be searched for it, so a person decides.
    """
    if step_of(call.progress) == OVER:
        _say(call.progress)
    if _lacks_files(call, job) or _lacks_way(call, job):
        return None
    if call.progress.get("by") == CALLBACK:
        came = call.known.called_back()
        return awaiting(call, AWAIT_S) if came is None else _called_back(call, job, came)
    raise Unsettled(
        f"The answer to a {job.name} that was begun was lost: it may have been done, and be on the bill."
        " Look for it at MindStudio; a replay begins it again."
    )


# -------------------------------------------------------------------------------------------------------------- before


def _lacks_files(call: Call, job: Job) -> list[str]:
    """The media files that are still to be copied."""
    return [each for each in files.named_in(job.given(call)) if each not in _urls(call)]


def _urls(call: Call) -> Mapping[str, str]:
    urls: Mapping[str, str] = call.progress.get("urls", {})
    return urls


def _lacks_way(call: Call, job: Job) -> bool:
    """Whether it is still to be settled how the end is heard of."""
    return job.calls_back(call) and "by" not in call.progress


def _begin(call: Call, job: Job) -> Outcome:
    if _lacks_files(call, job):
        return Wait(0, {**call.progress, "step": UPLOAD})
    if _lacks_way(call, job):
        return _by(call, job)
    with api.paid(call, job.name):
        return job.begin(call, files.with_urls(job.given(call), _urls(call)))


def _upload(call: Call, job: Job) -> Outcome:
    first, *rest = _lacks_files(call, job)
    urls = {**_urls(call), first: files.upload(call, first)}
    return Wait(0, {**call.progress, "step": UPLOAD if rest else BEGIN, "urls": urls})


def _by(call: Call, job: Job) -> Outcome:
    """Settle how the end is heard of. An address is good for one message: where that has come, and told of a success,
    it was late; where it told of a failure, the next run is looked at instead.
    """
    came = call.known.called_back()
    body = _message(came) if came is not None else None
    if body is not None and body.get("success") is True:
        return job.ended(call, {"result": body})
    return Wait(0, {**call.progress, "step": BEGIN, "by": CALLBACK if came is None else POLL})


# ---------------------------------------------------------------------------------------------------------- under way


def looking(call: Call, token: str, kind: str = "", **place: Any) -> Wait:
    """It is begun: look at it in a moment."""
    sealed = call.known.seal(token)
    begun = {"step": LOOK, "token": sealed, "kind": kind, "since": call.now.isoformat(), "wait_s": FIRST_LOOK_S}
    return Wait(FIRST_LOOK_S, {**_kept(call), **begun, **place}, external_id=place.get("thread_id"))


def awaiting(call: Call, wait_s: float = FIRST_AWAIT_S, **place: Any) -> Wait:
    """It is begun, or may be: they call back."""
    return Wait(wait_s, {**_kept(call), "step": AWAIT, "since": call.now.isoformat(), "wait_s": AWAIT_S, **place})


def _kept(call: Call) -> dict[str, Any]:
    """What a second beginning needs of a first one."""
    return {name: call.progress[name] for name in ("urls", "again") if name in call.progress}


def _look(call: Call, job: Job) -> Outcome:
    try:
        body = api.look(call, job.door, api.token(call), call.progress.get("kind", ""))
    except Refused as error:
        return _forgotten(call, job, error)
    status = body.get("status")
    if status == "error":
        return failed(call, job.name, words(body), api.cost(body.get("billingCost")))
    return job.ended(call, body) if status == "complete" else _later(call, job)


def _forgotten(call: Call, job: Job, error: Refused) -> Outcome:
    """Tokens expire; what they stood for is not undone by that."""
    said = (
        f"MindStudio does not tell any more how the {job.name} ended: {str(error).rstrip('.')}. It may have been done"
        f" and be on the bill{_see(call)}. A replay begins it again."
    )
    return over(call, "end_unknown", said, unsettled=True)


def _await(call: Call, job: Job) -> Outcome:
    came = call.known.called_back()
    return _later(call, job) if came is None else _called_back(call, job, came)


def _called_back(call: Call, job: Job, came: bytes) -> Outcome:
    body = _message(came)
    if body is None:
        said = f"MindStudio called back with something that is no end of a {job.name}{_see(call)}."
        return over(call, "callback_unreadable", f"{said} A replay begins it again.", unsettled=True)
    return job.ended(call, {"result": body})


def _message(came: bytes) -> Body | None:
    try:
        body = jsontext.decoded(came)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) and ENDS.intersection(body) else None


def _later(call: Call, job: Job) -> Outcome:
    """Wait on, as long as the event allows."""
    left_s = timeout_s(call) - (call.now - datetime.fromisoformat(call.progress["since"])).total_seconds()
    wait_s = float(call.progress["wait_s"])
    if left_s > 0:
        return Wait(min(wait_s, left_s), {**call.progress, "wait_s": min(2 * wait_s, LONGEST_LOOK_S)})
    said, then = _ran_out(call, job)
    return over(call, "not_ended", said, then, unsettled=not then)


def _ran_out(call: Call, job: Job) -> tuple[str, Progress]:
    """What to say, and where a replay goes on."""
    ends = f"The {job.name} did not end within {timeout_s(call):g} s{_see(call)}."
    if step_of(call.progress) == LOOK:
        then = {**call.progress, "since": None, "wait_s": FIRST_LOOK_S}
        return f"{ends} A replay goes on looking; the event published anew begins it again.", then
    return (
        f"{ends} MindStudio has not called back: see that it reaches MESH_HOOKS_URL, or ask for the mode poll."
        " A replay begins it again unless the call has come meanwhile.",
        {},
    )


def timeout_s(call: Call) -> float:
    """How long the end is waited for."""
    return float(call.event.data.get("timeout_s", TIMEOUT_S))


def _see(call: Call) -> str:
    thread_id = call.progress.get("thread_id")
    return f": look at thread {thread_id} there" if thread_id else ": look for it there"


# --------------------------------------------------------------------------------------------------------------- after


def failed(call: Call, name: str, said: str, cost: Cost | None = None) -> Wait:
    """It ended, and not well. What timed out there is begun once more; all else is over."""
    if may_pass(said) and not call.progress.get("again"):
        return Wait(AGAIN_S, {**_kept(call), "step": BEGIN, "again": True}, cost=cost)
    reason = api.shown(call, said).rstrip(".") or "no reason was given"
    return over(call, "failed_there", f"MindStudio said that the {name} failed: {reason}.", cost=cost)


def over(
    call: Call,
    code: str,
    said: str,
    then: Progress | None = None,
    cost: Cost | None = None,
    *,
    unsettled: bool = False,
) -> Wait:
    """The next attempt says so; one after that was asked for by a person. `unsettled`: it may have been done."""
    facts = {"code": code, "said": said, "attempt": call.attempt_number + 1, "then": dict(then or {})}
    facts |= {"unsettled": True} if unsettled else {}
    return Wait(0, {"step": OVER, **facts}, cost=cost)


def _over(call: Call, job: Job) -> Outcome:
    if call.attempt_number <= call.progress["attempt"]:
        _say(call.progress)
    then = call.progress["then"]
    return Wait(0, {**then, "since": call.now.isoformat()} if "since" in then else then)


def _say(progress: Progress) -> NoReturn:
    kind = Unsettled if progress.get("unsettled") else Refused
    raise kind(progress["said"], code=progress["code"])


def _fetch(call: Call, job: Job) -> Outcome:
    if job.fetch is None:
        raise InvalidPayload(f"A {job.name} has nothing to fetch.")
    return job.fetch(call)


_STEPS: Mapping[str, Callable[[Call, Job], Outcome]] = {
    UPLOAD: _upload,
    BEGIN: _begin,
    LOOK: _look,
    AWAIT: _await,
    FETCH: _fetch,
    OVER: _over,
}

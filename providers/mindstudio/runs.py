"""Agents: one run of a workflow with its variables, and what it gave.

https://docs.mindstudio.ai/youai/additional-guides/use-the-mindstudio-api
There is no idempotency key, and no list of runs: one that was begun and not answered cannot be looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jsontext
from model import Done, Outcome
from providers.contract import Action, Call
from providers.errors import InvalidPayload, Refused
from providers.mindstudio import agents, api, jobs
from providers.mindstudio.errors import words

REQUESTED, COMPLETED = "agent.run_requested", "agent.run_completed"
POLL, SYNC, CALLBACK = jobs.POLL, "sync", jobs.CALLBACK
ONLY_POLLED = ("version", "metadata")  # fields of the one operation only


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be run."""

    agent_id: str
    workflow: str | None
    mode: str

    @classmethod
    def of(cls, call: Call) -> Run:
        """From an event's data, with the account's agent."""
        data = call.event.data
        agent_id = data.get("agent_id") or call.config.get("agent_id")
        if not agent_id:
            raise InvalidPayload("No agent is named: give `agent_id`, or set it for the account.", code="missing_field")
        workflow = data.get("workflow")
        mode = call.progress.get("by") or data.get("mode") or POLL
        return cls(str(agent_id), workflow.removesuffix(".flow") if workflow else None, mode)

    def asked(self, call: Call, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The request."""
        flow = {"workflow": self.workflow} if self.workflow else {}
        return {"appId": self.agent_id, "variables": _sent(call, variables), **flow, "includeBillingCost": True}


def _given(call: Call) -> Mapping[str, Any]:
    """The variables, checked against what is known of the workflow."""
    data, run = call.event.data, Run.of(call)
    asked_mode = data.get("mode") or POLL
    only = [name for name in ONLY_POLLED if data.get(name) is not None]
    if only and asked_mode != POLL:
        raise InvalidPayload(f"`{only[0]}` is taken in the mode poll only, not in {asked_mode}.", code="wrong_mode")
    variables: Mapping[str, Any] = data.get("variables") or {}
    workflow = None if data.get("version") else agents.workflow_of(call, run.agent_id, run.workflow)
    if workflow is not None:
        agents.check(call, workflow, variables)
    return variables


def _sent(call: Call, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Variables as they go out: texts, as in the types of their clients, so all else is written as JSON; or, where the
    event says so, as it came.
    """
    as_given = call.event.data.get("variables_as") == "json"
    return {
        name: value if as_given or isinstance(value, str) else jsontext.text(value)
        for name, value in variables.items()
        if value is not None
    }


# ------------------------------------------------------------------------------------------------------------ beginning


def _begin(call: Call, variables: Mapping[str, Any]) -> Outcome:
    run = Run.of(call)
    return _BEGIN[run.mode](call, run.asked(call, variables))


def _polled(call: Call, asked: Mapping[str, Any]) -> Outcome:
    more = {name: call.event.data[name] for name in ONLY_POLLED if call.event.data.get(name) is not None}
    body = api.object_in(api.post(call, api.path(call, "run_async"), {**asked, "async": True, **more}))
    if body.get("success") is False or "result" in body:
        return _told(call, body)
    return jobs.looking(call, api.text_in(body, "callbackToken"), thread_id=_thread(call, body))


def _at_once(call: Call, asked: Mapping[str, Any]) -> Outcome:
    return _told(call, api.object_in(api.post(call, api.path(call, "run"), asked)))


def _called(call: Call, asked: Mapping[str, Any]) -> Outcome:
    url = call.known.callback_url()
    if call.base_url.startswith("https:") and not url.startswith("https:"):
        raise Refused(
            "MindStudio calls back over https only: set MESH_HOOKS_URL to an https address that it reaches, or ask for"
            " the mode poll.",
            code="no_callback_address",
        )
    asked = {**asked, "callbackUrl": url}
    body = api.object_in(api.post(call, api.path(call, "run"), asked, secrets=(url, urlsplit(url).query)))
    if body.get("success") is False or "result" in body:
        return _told(call, body)
    return jobs.awaiting(call, thread_id=_thread(call, body))


_BEGIN: Mapping[str, Callable[[Call, Mapping[str, Any]], Outcome]] = {
    POLL: _polled,
    SYNC: _at_once,
    CALLBACK: _called,
}


# --------------------------------------------------------------------------------------------------------------- ending


def _ended(call: Call, body: Mapping[str, Any]) -> Outcome:
    told = body.get("result")
    if not isinstance(told, dict):
        raise api.unreadable("the end of a run without `result`")
    return _told(call, told)


def _told(call: Call, told: Mapping[str, Any]) -> Outcome:
    """What a run says at its end: the same at once, to a look, and in a callback."""
    cost = api.cost(told.get("billingCost"))
    if told.get("success") is False or (words(told) and "result" not in told):
        return jobs.failed(call, "run", words(told), cost)
    if told.get("success") is not True and "result" not in told:
        raise api.unreadable("no end of a run")
    run, thread_id = Run.of(call), _thread(call, told)
    result, assets = _result(call, run, told.get("result"))
    facts = {
        "agent_id": run.agent_id,
        **({"workflow": run.workflow} if run.workflow else {}),
        **({"thread_id": thread_id} if thread_id else {}),
        **result,
        **api.cost_facts(cost),
        **api.named(call),
    }
    events = (api.published(call, COMPLETED, facts),)
    return Done(result=facts, external_id=thread_id, assets=assets, events=events, cost=cost)


def _thread(call: Call, body: Mapping[str, Any]) -> str | None:
    thread = body.get("thread")
    said = body.get("threadId") or (thread.get("id") if isinstance(thread, dict) else None)
    found = said or call.progress.get("thread_id")
    return str(found) if found else None


def _result(call: Call, run: Run, given: Any) -> tuple[dict[str, Any], Any]:
    """`text`, or `data` where it is an object or a text that is one; neither where there is nothing."""
    value = _object_in(given) if isinstance(given, str) else given
    if value is None:
        return {}, ()
    if isinstance(value, dict):
        return api.told(call, "data", _named(call, run, value))
    return api.told(call, "text" if isinstance(value, str) else "data", value)


def _object_in(text: str) -> Any:
    """The JSON object that a text is; the text itself where it is none."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        value = jsontext.decoded(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def _named(call: Call, run: Run, value: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs under the names that the workflow declares, else without the spaces around them. Of two that then have
    one name the first counts.
    """
    try:
        workflow = agents.workflow_of(call, run.agent_id, run.workflow)
    except InvalidPayload:  # it ran all the same
        workflow = None
    named: dict[str, Any] = {}
    for name, each in value.items():
        named.setdefault(workflow.given_name(name) if workflow else name.strip(), each)
    return named


JOB = jobs.Job(
    name="run",
    door="run_poll",
    given=_given,
    begin=_begin,
    ended=_ended,
    calls_back=lambda call: call.event.data.get("mode") == CALLBACK,
)
ACTIONS: Mapping[str, Action] = {REQUESTED: JOB.action(COMPLETED)}

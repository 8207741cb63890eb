"""Runs of agents: at once, by callback, or by polling. They end as the settings say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from sandbox.mindstudio.agents import Result, agent_and_workflow, stable_id
from sandbox.mindstudio.callbacks import Callbacks
from sandbox.mindstudio.errors import Refusal
from sandbox.mindstudio.gateway import Call, Gateway, check_credits
from sandbox.mindstudio.polls import Polls
from sandbox.mindstudio.workspaces import COMPLETE, ERROR, Run, Settings, new_id
from sandbox.routes import Route
from sandbox.wire import Answer, json_answer

RUN_USD: Final = Decimal("0.001")
CHARACTER_USD: Final = Decimal("0.00001")


class Runs:
    """The doors that run agents."""

    def __init__(self, settings: Settings, callbacks: Callbacks, polls: Polls) -> None:
        self._settings = settings
        self._callbacks = callbacks
        self._polls = polls

    def routes(self, gateway: Gateway) -> tuple[Route, ...]:
        """The three names of one thing; only `agents/run` can be polled."""
        return (
            gateway.route("POST", "/apps/run", self.run_app),
            gateway.route("POST", "/agents/run", self.run_agent),
            gateway.route("POST", "/workers/run", self.run_worker),
        )

    def run_app(self, call: Call) -> Answer:
        """At once, or by callback."""
        return self._run(call, call.text("appId"), billed=call.body.get("includeBillingCost") is True)

    def run_agent(self, call: Call) -> Answer:
        """The same, or asynchronously: a token to poll with."""
        call.object("metadata")
        app_id, billed = call.text("appId"), call.body.get("includeBillingCost") is True
        if call.body.get("async") is not True:
            return self._run(call, app_id, billed)
        run = self._new(call, app_id, billed)
        token = self._polls.begin("run", poll_end(run, call))
        return json_answer({"success": True, "threadId": run.thread_id, "callbackToken": token})

    def run_worker(self, call: Call) -> Answer:
        """The older way, which always says what it cost."""
        return self._run(call, call.text("workerId"), billed=True)

    def _run(self, call: Call, app_id: str, billed: bool) -> Answer:
        callback_url = call.optional("callbackUrl")
        if callback_url is not None and not callback_url.startswith(("http://", "https://")):
            raise Refusal("invalid_request", "callbackUrl must be a URL.")
        run = self._new(call, app_id, billed)
        if callback_url is not None:
            run.callback_url = callback_url
            self._callbacks.due(run)
            return json_answer({"success": True, "callbackInProgress": True})
        if run.end == ERROR:
            raise Refusal("run_failed", run.error)
        return json_answer(outcome(run, call))

    def _new(self, call: Call, app_id: str, billed: bool) -> Run:
        """A run, done and billed; raises Refusal."""
        check_credits(call.workspace)
        variables = call.object("variables", "invalid_variables")
        agent, workflow = agent_and_workflow(app_id, call.optional("workflow"))
        run = Run(
            thread_id=new_id(),
            agent=agent,
            workflow=workflow,
            variables=variables,
            result=shaped(workflow.result(variables), self._settings.shape),
            end=self._settings.end,
            error=self._settings.error,
            cost_usd=cost_usd(variables),
            started_at=call.now,
            billed=billed,
        )
        call.workspace.runs.append(run)
        return run


def cost_usd(variables: Mapping[str, Any]) -> Decimal:
    """What a run costs: something, and a little for each character of its variables."""
    return RUN_USD + CHARACTER_USD * len(json.dumps(variables, ensure_ascii=False))


def shaped(result: Result, shape: str) -> Result:
    """A result as it is; as a text that holds JSON; or with keys as careless agents write them."""
    if shape == "text" and not isinstance(result, str):
        return json.dumps(result, ensure_ascii=False)
    if shape == "spaced" and not isinstance(result, str):
        return {f"{name.capitalize()} ": value for name, value in result.items()}
    return result


def outcome(run: Run, call: Call) -> dict[str, Any]:
    """What a run that has ended says."""
    told: dict[str, Any] = {"success": run.end == COMPLETE, "threadId": run.thread_id, "thread": thread(run, call)}
    told |= {"result": run.result} if run.end == COMPLETE else {"error": run.error}
    return told | ({"billingCost": f"${run.cost_usd}"} if run.billed else {})


def poll_end(run: Run, call: Call) -> dict[str, Any]:
    """What the last look at a run says."""
    if run.end == ERROR:
        return {"status": "error", "error": run.error}
    return {"status": "complete", "result": outcome(run, call)}


def thread(run: Run, call: Call) -> dict[str, Any]:
    """The run as they show it."""
    moment = datetime.fromtimestamp(run.started_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    content = run.result if isinstance(run.result, str) else json.dumps(run.result, ensure_ascii=False)
    posts = [{"id": stable_id("post", run.thread_id), "role": "system", "content": content, "dateCreated": moment}]
    return {
        "id": run.thread_id,
        "appId": run.agent.id,
        "organizationId": call.workspace.id,
        "userId": stable_id("user", call.workspace.key),
        "entryWorkflowId": stable_id("workflow", run.agent.id, run.workflow.name),
        "sourceThreadId": None,
        "source": "api",
        "parentThreadId": None,
        "name": run.workflow.name,
        "variables": dict(run.variables),
        "isRunning": False,
        "hasContent": run.end == COMPLETE,
        "isFinished": True,
        "isUnread": True,
        "notifyOnComplete": False,
        "dateCreated": moment,
        "dateLastMessage": moment,
        "error": None if run.end == COMPLETE else run.error,
        "posts": posts if run.end == COMPLETE else [],
        "assets": [],
    }

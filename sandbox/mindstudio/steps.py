"""Single steps without an agent: one or many, at once, as a stream of events, or by polling."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sandbox.mindstudio.errors import Refusal
from sandbox.mindstudio.files import Files
from sandbox.mindstudio.gateway import Call, Gateway, check_credits
from sandbox.mindstudio.polls import Polls
from sandbox.mindstudio.step_types import Step, performed
from sandbox.mindstudio.workspaces import COMPLETE, ERROR, Settings, Workspace, new_id
from sandbox.routes import Route
from sandbox.wire import Answer, json_answer

BATCH_MAX: Final = 50
STEP_COST: Final = 30_000  # in 1e-9 credits, unlike the dollars of a run
CHARACTER_COST: Final = 1_000
EVENT_STREAM: Final = "text/event-stream"


class Steps:
    """The doors of steps."""

    def __init__(self, settings: Settings, polls: Polls, files: Files) -> None:
        self._settings = settings
        self._polls = polls
        self._files = files

    def routes(self, gateway: Gateway) -> tuple[Route, ...]:
        """One step and batches, each at once and asynchronously."""
        return (
            gateway.route("POST", "/steps/execute-batch", self.batch),
            gateway.route("POST", "/steps/execute-batch-async", self.batch_async),
            gateway.route("POST", "/steps/{step_type}/execute", self.execute),
            gateway.route("POST", "/steps/{step_type}/execute-async", self.execute_async),
        )

    def execute(self, call: Call) -> Answer:
        """One step, at once; as a stream for those who ask for one."""
        place = place_of(call)
        done = self._done(call, call.request.params["step_type"], call.object("step"), place["threadId"])
        headers = {
            "x-mindstudio-app-id": place["appId"],
            "x-mindstudio-thread-id": place["threadId"],
            "x-mindstudio-billing-cost": str(done["billingCost"]),
            "x-mindstudio-billing-events": json.dumps(done["billingEvents"]),
        }
        if EVENT_STREAM in call.request.headers.get("accept", ""):
            return self._stream(call, done, headers)
        if "error" in done:
            raise Refusal("step_failed", done["error"])
        return json_answer(done, headers=headers)

    def execute_async(self, call: Call) -> Answer:
        """One step, and a token to look for its end with."""
        place = place_of(call)
        done = self._done(call, call.request.params["step_type"], call.object("step"), place["threadId"])
        status = "error" if "error" in done else COMPLETE
        return json_answer({"executionToken": self._polls.begin("step", {"status": status, **done, **place}), **place})

    def batch(self, call: Call) -> Answer:
        """Many steps; those that fail do so within the answer."""
        return json_answer(self._batch(call))

    def batch_async(self, call: Call) -> Answer:
        """The same, and a token to look for its end with."""
        done = self._batch(call)
        total = {"totalSteps": len(done["results"])}
        end = {"status": COMPLETE, **total, "completedSteps": len(done["results"]), **done}
        return json_answer({"batchToken": self._polls.begin("batch", end, {**total, "completedSteps": 0})})

    def _batch(self, call: Call) -> dict[str, Any]:
        place, items = place_of(call), call.body.get("steps")
        if not isinstance(items, list) or not 1 <= len(items) <= BATCH_MAX:
            raise Refusal("invalid_request", f"steps must be a list of 1 to {BATCH_MAX}.")
        results = [self._item(call, item, place["threadId"]) for item in items]
        return {"results": results, "totalBillingCost": sum(one.get("billingCost", 0) for one in results), **place}

    def _item(self, call: Call, item: Any, thread_id: str) -> dict[str, Any]:
        """One step of a batch, refusals as its error."""
        named = isinstance(item, dict) and isinstance(item.get("stepType"), str)
        if not named or not isinstance(item.get("step"), dict):
            raise Refusal("invalid_request", "Each of steps needs stepType and step.")
        try:
            done = self._done(call, item["stepType"], item["step"], thread_id)
        except Refusal as refusal:
            return {"stepType": item["stepType"], "error": refusal.problem.message}
        done.pop("billingEvents")
        return {"stepType": item["stepType"], **done}

    def _done(self, call: Call, step_type: str, inputs: Mapping[str, Any], thread_id: str) -> dict[str, Any]:
        """A step, done and billed: its output or its error, and its cost; raises Refusal."""
        check_credits(call.workspace)
        message = call.workspace.speak(thread_id)
        output = performed(step_type, Step(inputs, message, call, self._files))
        cost = charge(call.workspace, step_type, inputs)
        if self._settings.end == ERROR:
            return {"error": self._settings.error, **cost}
        if self._settings.outputs_by_url:
            return {"outputUrl": self._files.keep_value(call, output), **cost}
        return {"output": output, **cost}

    def _stream(self, call: Call, done: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        name = call.request.params["step_type"]
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events(name, done, call.now))
        return Answer(200, body.encode(), {**headers, "Content-Type": EVENT_STREAM}, chunked=True)


def place_of(call: Call) -> dict[str, str]:
    """The app and the conversation that steps run in: those sent, or new ones; raises Refusal."""
    return {
        "appId": call.optional("appId") or call.workspace.app_id,
        "threadId": call.optional("threadId") or new_id(),
    }


def charge(workspace: Workspace, step_type: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Put a step on the bill; its cost as answers tell it."""
    cost = step_cost(inputs)
    workspace.steps += 1
    workspace.nano_credits += cost
    event = {"eventType": f"step:{step_type}", "label": step_type, "unitType": "step", "quantity": 1, "cost": cost}
    return {"billingCost": cost, "billingEvents": [event]}


def step_cost(inputs: Mapping[str, Any]) -> int:
    """What a step costs, in 1e-9 credits: something, and a little for each character of its inputs."""
    return STEP_COST + CHARACTER_COST * len(json.dumps(inputs, ensure_ascii=False))


def events(name: str, done: Mapping[str, Any], now: float) -> Iterator[dict[str, Any]]:
    """The events of a stream: two lines of a log, then the end."""
    for value in ("Started.", "Finished."):
        yield {"type": "log", "value": value, "tag": name, "ts": int(now * 1000)}
    if "error" in done:
        yield {"type": "error", "error": done["error"]}
    else:
        yield {"type": "done", **done}

"""Tasks: a prompt and tools, which a model works with by itself until it has an output.

https://github.com/mindstudio-ai/mindstudio-agent (src/task)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsontext
from model import Done, Outcome
from providers.contract import Action, Call
from providers.mindstudio import api, jobs
from providers.mindstudio.steps import wire_name

REQUESTED, COMPLETED = "agent.task_requested", "agent.task_completed"


def _given(call: Call) -> dict[str, Any]:
    data = call.event.data
    example = data.get("structured_output_example")
    named = {
        "input": data.get("input"),
        "structuredOutputExample": example if example is None or isinstance(example, str) else jsontext.text(example),
        "maxTurns": data.get("max_turns"),
        "appId": data.get("app_id"),
        "threadId": data.get("thread_id"),
    }
    given = {"prompt": data["prompt"], "model": data["model"], "tools": [_tool(each) for each in data.get("tools", [])]}
    return {**given, **{name: value for name, value in named.items() if value is not None}}


def _tool(tool: Any) -> dict[str, Any]:
    """A step as a tool: its name, or that with inputs which are always the same."""
    if isinstance(tool, str):
        return {"stepType": wire_name(tool)}
    defaults = {"defaults": tool["defaults"]} if tool.get("defaults") else {}
    return {"stepType": wire_name(tool.get("step")), **defaults}


def _begin(call: Call, given: Mapping[str, Any]) -> Outcome:
    body = api.object_in(api.post(call, api.path(call, "task"), given))
    return jobs.looking(call, api.text_in(body, "taskToken"))


def _ended(call: Call, body: Mapping[str, Any]) -> Outcome:
    """`parsed` is false where the output is a text instead of what the example shows."""
    usage = _object(body.get("usage"))
    cost = api.cost(usage.get("totalBillingCost"))
    parsed = body.get("parsedSuccessfully") is not False
    told, assets = api.told(call, "output", body.get("output") if parsed else body.get("outputRaw", body.get("output")))
    facts = {
        **told,
        "parsed": parsed,
        **_whole(
            turns=body.get("turns"), input_tokens=usage.get("inputTokens"), output_tokens=usage.get("outputTokens")
        ),
        "tool_calls": [_tool_call(each) for each in body.get("toolCalls") or [] if isinstance(each, dict)],
        **api.cost_facts(cost),
        **api.named(call),
    }
    return Done(facts, assets=assets, events=(api.published(call, COMPLETED, facts),), cost=cost)


def _tool_call(row: Mapping[str, Any]) -> dict[str, Any]:
    took = _whole(duration_ms=row.get("durationMs"))
    return {"name": str(row.get("name")), "success": row.get("success") is True, **took}


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _whole(**numbers: Any) -> dict[str, int]:
    """Those that are whole numbers."""
    return {name: value for name, value in numbers.items() if isinstance(value, int)}


JOB = jobs.Job("task", "task_poll", _given, _begin, _ended)
ACTIONS: Mapping[str, Action] = {REQUESTED: JOB.action(COMPLETED)}

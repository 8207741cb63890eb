"""Autonomous tasks: a prompt, tools, and an output in the shape of an example."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sandbox.mindstudio.errors import Refusal
from sandbox.mindstudio.gateway import Call, Gateway, check_credits
from sandbox.mindstudio.polls import Polls
from sandbox.mindstudio.steps import step_cost
from sandbox.mindstudio.workspaces import ERROR, UNSUCCESSFUL, Settings
from sandbox.routes import Route
from sandbox.wire import Answer, json_answer

TURNS: Final = 20
TURNS_MAX: Final = 100
TOOL_MS: Final = 40


class Tasks:
    """The door of tasks."""

    def __init__(self, settings: Settings, polls: Polls) -> None:
        self._settings = settings
        self._polls = polls

    def routes(self, gateway: Gateway) -> tuple[Route, ...]:
        """Begin one; the look at it is among the polls."""
        return (gateway.route("POST", "/task", self.begin),)

    def begin(self, call: Call) -> Answer:
        """A new task: its token."""
        check_credits(call.workspace)
        prompt, turns = call.text("prompt"), max_turns(call.body.get("maxTurns", TURNS))
        call.text("model")
        cost = step_cost(call.body)
        call.workspace.tasks += 1
        call.workspace.nano_credits += cost
        end = self._end(tool_names(call.body.get("tools")), prompt, call.optional("structuredOutputExample"), cost)
        token = self._polls.begin("task", end, {"currentTurn": 1, "maxTurns": turns})
        return json_answer({"taskToken": token})

    def _end(self, tools: list[str], prompt: str, example: str | None, cost: int) -> dict[str, Any]:
        """What the last look says: the example itself is the output, unless the settings spoil it."""
        if self._settings.end == ERROR:
            return {"status": "error", "error": self._settings.error}
        raw = f"I could not do this: {prompt}" if self._settings.end == UNSUCCESSFUL else example or prompt
        output, parsed = parsed_output(raw)
        return {
            "status": "complete",
            "output": output,
            "outputRaw": raw,
            "parsedSuccessfully": parsed,
            "turns": len(tools) + 1,
            "usage": {
                "inputTokens": len(prompt.split()),
                "outputTokens": len(raw.split()),
                "totalBillingCost": cost,
            },
            "toolCalls": [{"name": name, "success": True, "durationMs": TOOL_MS} for name in tools],
        }


def max_turns(value: Any) -> int:
    """How many turns a task may take; raises Refusal."""
    if not isinstance(value, int) or not 1 <= value <= TURNS_MAX:
        raise Refusal("invalid_request", f"maxTurns must be between 1 and {TURNS_MAX}.")
    return value


def tool_names(tools: Any) -> list[str]:
    """The tools of a task by name; raises Refusal."""
    if not isinstance(tools, list) or not all(map(is_tool, tools)):
        raise Refusal("invalid_request", "tools must be a list of objects with a stepType.")
    return [tool["stepType"] for tool in tools]


def is_tool(tool: Any) -> bool:
    """Whether this names a step."""
    return isinstance(tool, Mapping) and isinstance(tool.get("stepType"), str)


def parsed_output(raw: str) -> tuple[Any, bool]:
    """The JSON in a text, or the text itself, and which of the two it is."""
    try:
        return json.loads(raw), True
    except ValueError:
        return raw, False

"""What can be looked up: agents, workflows, the account, models, connectors, prices. Nothing of it is paged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.mindstudio.agents import AGENTS, BY_ID, Agent, Workflow, stable_id
from sandbox.mindstudio.errors import Refusal
from sandbox.mindstudio.gateway import PREFIX, Call, Gateway
from sandbox.mindstudio.step_types import PLAYED
from sandbox.mindstudio.steps import CHARACTER_COST, STEP_COST, step_cost
from sandbox.routes import Route
from sandbox.wire import Answer, json_answer

CREATED: Final = "2026-01-05T09:00:00.000Z"
ORGANIZATION: Final = "Sandbox"
MODELS: Final[Mapping[str, str]] = {  # one of each type
    "gpt-4o-mini": "llm_chat",
    "sandbox-image": "image_generation",
    "sandbox-video": "video_generation",
    "sandbox-watcher": "video_analysis",
    "sandbox-voice": "text_to_speech",
    "sandbox-eye": "vision",
    "sandbox-ear": "transcription",
}
CONNECTOR: Final[Mapping[str, Any]] = {
    "id": "chat",
    "name": "Team Chat",
    "icon": "",
    "actions": [{"id": "post-message", "name": "Post a message"}],
}


class Discovery:
    """The doors that change nothing."""

    def routes(self, gateway: Gateway) -> tuple[Route, ...]:
        """All of them; models and connectors have doors for a type, a service, an action."""
        doors = {
            "/apps/load": agents,
            "/agents/load": agents,
            "/workers/load": workers,
            "/workers/{worker_id}/workflows": workflows,
            "/account/userinfo": user_info,
            "/helpers/models": models,
            "/helpers/models/{type}": models,
            "/helpers/models-summary": model_summaries,
            "/helpers/models-summary/{type}": model_summaries,
            "/helpers/connectors": connectors,
            "/helpers/connectors/{service}": connector,
            "/helpers/connectors/{service}/{action}": connector_action,
            "/helpers/connections": connections,
            "/steps/openapi.json": openapi,
        }
        return (
            *(gateway.route("GET", path, door) for path, door in doors.items()),
            gateway.route("POST", "/helpers/step-cost-estimate", estimate),
            gateway.route("POST", "/generate-signed-access-url", signed_access_url),
        )


def agents(call: Call) -> Answer:
    """The agents of the organisation."""
    listed = [agent_json(agent) for agent in AGENTS]
    return json_answer({"orgId": call.workspace.id, "orgName": ORGANIZATION, "apps": listed})


def agent_json(agent: Agent) -> dict[str, Any]:
    """An agent as they list it."""
    return {
        "id": agent.id,
        "name": agent.name,
        "slug": agent.slug,
        "description": agent.description,
        "iconUrl": "",
        "refs": {},
        "dateCreated": CREATED,
        "dateLastEdited": CREATED,
    }


def workers(call: Call) -> Answer:
    """The same, as the older client asks for them."""
    return json_answer({"apps": [{"id": one.id, "name": one.name, "slug": one.slug} for one in AGENTS]})


def workflows(call: Call) -> Answer:
    """The flows of an agent, with their variables; raises Refusal."""
    agent = BY_ID.get(call.request.params["worker_id"])
    if agent is None:
        raise Refusal("agent_not_found")
    return json_answer({"workflows": [workflow_json(agent, one) for one in agent.workflows]})


def workflow_json(agent: Agent, workflow: Workflow) -> dict[str, Any]:
    """A flow as they list it."""
    return {
        "id": stable_id("workflow", agent.id, workflow.name),
        "name": workflow.name,
        "slug": workflow.name.lower(),
        "launchVariables": list(workflow.launch_variables),
        "outputVariables": list(workflow.output_variables),
    }


def user_info(call: Call) -> Answer:
    """Who the key belongs to."""
    person = {"userId": stable_id("user", call.workspace.key), "displayName": "Sandbox Key"}
    return json_answer(
        {
            **person,
            "organizationId": call.workspace.id,
            "organizationName": ORGANIZATION,
            "members": [{**person, "role": "owner", "isAgent": False}],
        }
    )


def of_type(call: Call) -> Mapping[str, str]:
    """The models, those of one type if the path names one."""
    kind = call.request.params.get("type")
    return {name: one for name, one in MODELS.items() if kind in (None, one)}


def models(call: Call) -> Answer:
    """Models, in full."""
    listed = [
        {"id": name, "name": name, "type": kind, "maxTemperature": 1, "maxResponseSize": 16_000, "inputs": []}
        for name, kind in of_type(call).items()
    ]
    return json_answer({"models": listed})


def model_summaries(call: Call) -> Answer:
    """Models, in short."""
    return json_answer(
        {"models": [{"id": name, "name": name, "type": kind, "tags": ""} for name, kind in of_type(call).items()]}
    )


def connectors(call: Call) -> Answer:
    """The services that agents can be connected to."""
    return json_answer({"services": [CONNECTOR]})


def connector(call: Call) -> Answer:
    """One service; raises Refusal."""
    return json_answer({"service": known_connector(call)})


def connector_action(call: Call) -> Answer:
    """One action of a service; raises Refusal."""
    for action in known_connector(call)["actions"]:
        if action["id"] == call.request.params["action"]:
            return json_answer({"action": {**action, "description": "", "quickHelp": "", "configuration": []}})
    raise Refusal("not_found")


def known_connector(call: Call) -> Mapping[str, Any]:
    """The service of the path; raises Refusal."""
    if call.request.params["service"] != CONNECTOR["id"]:
        raise Refusal("not_found")
    return CONNECTOR


def connections(call: Call) -> Answer:
    """What the organisation has connected: nothing."""
    return json_answer({"connections": []})


def estimate(call: Call) -> Answer:
    """What a step would cost: exactly what it will; raises Refusal."""
    step = dict(call.object("step"))
    kind = step.pop("type", None)
    if kind not in PLAYED:
        raise Refusal("invalid_step_config", f"The step {kind} is not played by the sandbox.")
    cost = step_cost(step)
    quantity = (cost - STEP_COST) // CHARACTER_COST
    entry = {"eventType": f"step:{kind}", "label": kind, "unitPrice": CHARACTER_COST, "unitType": "character"}
    return json_answer({"costType": "estimate", "estimates": [{**entry, "estimatedCost": cost, "quantity": quantity}]})


def signed_access_url(call: Call) -> Answer:
    """A link that embeds an agent; it leads nowhere."""
    agent_id, user_id = call.text("agentId"), call.optional("userId") or ""
    token = stable_id("access", call.workspace.key, agent_id, user_id)
    return json_answer({"url": f"https://app.example.org/agents/{agent_id}?token={token}"})


def openapi(call: Call) -> Answer:
    """The steps that are played, with the inputs they need."""
    paths = {
        f"{PREFIX}/steps/{name}/execute": {"post": {"operationId": name, "requestBody": step_body(played.required)}}
        for name, played in PLAYED.items()
    }
    return json_answer({"openapi": "3.1.0", "info": {"title": "Steps", "version": "2"}, "paths": paths})


def step_body(required: tuple[str, ...]) -> dict[str, Any]:
    """The body of a step as a schema."""
    step = {"type": "object", "required": list(required), "properties": {name: {} for name in required}}
    schema = {"type": "object", "required": ["step"], "properties": {"step": step}}
    return {"content": {"application/json": {"schema": schema}}}

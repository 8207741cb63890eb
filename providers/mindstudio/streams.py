"""What is read from an account again and again, and kept as the stream's value: its agents, and who the key belongs to.

Nothing there is paged. An agent's workflows are asked for one agent at a time, a few in a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model import Cursor, Done, Outcome, Records, Wait
from providers.contract import Action, Call, Stream
from providers.errors import InvalidPayload, Unavailable
from providers.mindstudio import agents, api
from providers.streams import Walk, walk

HOUR_S, DAY_S = 3600.0, 24 * 3600.0
STREAMS = (
    Stream(agents.STREAM, HOUR_S),
    Stream("account", DAY_S),
    Stream("models", DAY_S),
    Stream("connectors", DAY_S),
)
AT_ONCE = 10  # agents whose workflows are read in one step
MAX_AGENTS = 500  # that are kept, so that the value stays small
PERSON = {
    "user_id": "userId",
    "name": "displayName",
    "organization_id": "organizationId",
    "organization": "organizationName",
}


def _read_agents(call: Call) -> Outcome:
    """The list of agents, then the workflows of a few of them a step."""
    if not call.progress:
        rows = _rows(api.get(call, api.path(call, "agents")), "apps")
        found = {str(row["id"]): _agent(row) for row in rows[:MAX_AGENTS] if row.get("id")}
        return _go_on(call, found, list(found))
    found, rest = dict(call.progress["agents"]), list(call.progress["rest"])
    for agent_id in rest[:AT_ONCE]:
        found[agent_id] = {**found[agent_id], "workflows": _workflows(call, agent_id)}
    return _go_on(call, found, rest[AT_ONCE:])


def _go_on(call: Call, found: Mapping[str, Any], rest: list[str]) -> Outcome:
    if rest:
        counts = {"done": len(found) - len(rest), "of": len(found)}
        return Wait(0, {"agents": dict(found), "rest": rest, **counts})
    value = {"agents": dict(found), "read_at": call.now.isoformat()}
    flows = sum(len(each.get("workflows") or ()) for each in found.values())
    return _kept(agents.STREAM, value, {"agents": len(found), "workflows": flows})


def _agent(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": str(row.get("name") or row["id"]), **({"slug": row["slug"]} if row.get("slug") else {})}


def _workflows(call: Call, agent_id: str) -> list[dict[str, Any]]:
    """The workflows of an agent; none where it is gone, or its workflows are not told."""
    try:
        rows = _rows(api.get(call, api.path(call, "workflows", agent_id=agent_id)), "workflows")
    except InvalidPayload:
        return []
    return [_workflow(row) for row in rows if row.get("name")]


def _workflow(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: str(row[name]) for name in ("id", "name", "slug") if row.get(name)}
    return {**known, "takes": _texts(row.get("launchVariables")), "gives": _texts(row.get("outputVariables"))}


def _read_account(call: Call) -> Outcome:
    """Who the key belongs to: a cheap check of it. The other people of the organisation are not kept."""
    said = api.get(call, api.path(call, "user"))
    value = {ours: str(said[theirs]) for ours, theirs in PERSON.items() if said.get(theirs)}
    return _kept("account", value, value)


def _read_models(call: Call) -> Outcome:
    rows = _rows(api.get(call, api.path(call, "models")), "models")
    models = [{name: str(row[name]) for name in ("id", "name", "type") if row.get(name)} for row in rows]
    return _kept("models", {"models": models}, {"models": len(models)})


def _read_connectors(call: Call) -> Outcome:
    """The services that agents can be connected to, then which of them are."""
    if not call.progress:
        rows = _rows(api.get(call, api.path(call, "connectors")), "services")
        return Wait(0, {"services": [{n: str(row[n]) for n in ("id", "name") if row.get(n)} for row in rows]})
    connections = _rows(api.get(call, api.path(call, "connections")), "connections")
    named = [{n: str(row[n]) for n in ("id", "name", "provider") if row.get(n)} for row in connections]
    services = call.progress["services"]
    value = {"services": services, "connections": named}
    return _kept("connectors", value, {"services": len(services), "connections": len(named)})


_READERS: Mapping[str, Walk] = {
    agents.STREAM: _read_agents,
    "account": _read_account,
    "models": _read_models,
    "connectors": _read_connectors,
}


def _rows(said: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = said.get(name)
    if not isinstance(rows, list):
        raise Unavailable(f"MindStudio answered without `{name}`.", code="answer_unreadable")
    return [row for row in rows if isinstance(row, dict)]


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _kept(stream: str, value: Mapping[str, Any], facts: Mapping[str, Any]) -> Done:
    return Done(result=facts, records=Records(cursor=Cursor(stream, value, finished=True)))


ACTIONS: Mapping[str, Action] = {"sync.due": Action(walk(_READERS))}

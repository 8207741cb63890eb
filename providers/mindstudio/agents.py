"""What is known of the account's agents: their workflows, and the variables that these take and give.

Read by the stream `agents`. Where an agent was not read, nothing is checked: MindStudio decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.contract import Call
from providers.errors import InvalidPayload

STREAM = "agents"
MAIN = "main"


@dataclass(frozen=True, slots=True)
class Workflow:
    """One flow of an agent."""

    name: str
    takes: tuple[str, ...]
    gives: tuple[str, ...]

    def given_name(self, name: str) -> str:
        """The name of an output as it is declared: agents write it with other case, or spaces around it."""
        wanted = name.strip().casefold()
        return next((each for each in self.gives if each.casefold() == wanted), name.strip())


def workflow_of(call: Call, agent_id: str, name: str | None) -> Workflow | None:
    """The workflow of a run, where it is known. InvalidPayload where it is known that there is none of that name."""
    agent = call.known.cursor(STREAM).get("agents", {}).get(agent_id)
    rows = agent.get("workflows") if agent else None
    if not rows:
        return None
    found = [row for row in rows if _is_called(row, name or MAIN)]
    if not found and name is None:  # which of several is the main one is told by its name only
        found = rows if len(rows) == 1 else []
    if not found and name is not None:
        there = ", ".join(row["name"] for row in rows)
        raise InvalidPayload(
            f"The agent {agent['name']} has no workflow `{name}`: it has {there}. {_reread(call)}",
            code="unknown_workflow",
        )
    return Workflow(found[0]["name"], tuple(found[0]["takes"]), tuple(found[0]["gives"])) if found else None


def check(call: Call, workflow: Workflow, variables: Mapping[str, Any]) -> None:
    """InvalidPayload where a variable is missing. One that is null is left out on purpose."""
    missing = [name for name in workflow.takes if name not in variables]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing)
        raise InvalidPayload(
            f"The workflow {workflow.name} takes {', '.join(workflow.takes)}: give {names} in `variables`, or null to"
            f" leave it out. {_reread(call)}",
            code="missing_variable",
        )


def _is_called(row: Mapping[str, Any], name: str) -> bool:
    return name.casefold() in {str(row[part]).casefold() for part in ("id", "name", "slug") if row.get(part)}


def _reread(call: Call) -> str:
    return f"If that has changed since: `mesh integrations sync {call.integration_id} --stream {STREAM}`."

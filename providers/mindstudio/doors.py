"""The operations of MindStudio's developer API v2: where each is, and how well that is known.

An installation may replace single paths (`MINDSTUDIO_PATHS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OFFICIAL = "official"  # in the published API reference
OBSERVED = "observed"  # in requests of their own clients, which were recorded
CLIENT = "client"  # in the source of their own clients
ASSUMED = "assumed"  # named in their clients' types only


@dataclass(frozen=True, slots=True)
class Door:
    """One operation. Names in braces are filled in, quoted."""

    path: str
    evidence: str


_V2 = "/developer/v2"

DOORS: Mapping[str, Door] = {
    "run": Door(f"{_V2}/apps/run", OFFICIAL),
    "run_async": Door(f"{_V2}/agents/run", OBSERVED),
    "run_poll": Door(f"{_V2}/agents/run/poll/{{token}}", OBSERVED),
    "step": Door(f"{_V2}/steps/{{kind}}/execute", OBSERVED),
    "step_async": Door(f"{_V2}/steps/{{kind}}/execute-async", CLIENT),
    "step_poll": Door(f"{_V2}/steps/{{kind}}/execute-async/poll/{{token}}", CLIENT),
    "batch": Door(f"{_V2}/steps/execute-batch", OBSERVED),
    "batch_async": Door(f"{_V2}/steps/execute-batch-async", CLIENT),
    "batch_poll": Door(f"{_V2}/steps/execute-batch-async/poll/{{token}}", CLIENT),
    "task": Door(f"{_V2}/task", CLIENT),
    "task_poll": Door(f"{_V2}/task/poll/{{token}}", CLIENT),
    "link": Door(f"{_V2}/generate-signed-access-url", CLIENT),
    "estimate": Door(f"{_V2}/helpers/step-cost-estimate", ASSUMED),
    "upload": Door(f"{_V2}/account/upload", OBSERVED),
    "user": Door(f"{_V2}/account/userinfo", CLIENT),
    "agents": Door(f"{_V2}/agents/load", OBSERVED),
    "workflows": Door(f"{_V2}/workers/{{agent_id}}/workflows", CLIENT),
    "models": Door(f"{_V2}/helpers/models-summary", ASSUMED),
    "connectors": Door(f"{_V2}/helpers/connectors", ASSUMED),
    "connections": Door(f"{_V2}/helpers/connections", ASSUMED),
}
PATHS: Mapping[str, str] = {name: door.path for name, door in DOORS.items()}

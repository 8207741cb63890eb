"""MindStudio: agents, steps and tasks, developer API v2.

https://docs.mindstudio.ai/youai/additional-guides/use-the-mindstudio-api
What is begun is billed, and nothing is deduplicated there: a call whose answer was lost is never repeated by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.contract import Ceiling, Field, Provider
from providers.http import Answer
from providers.mindstudio import embedding, runs, steps, streams, tasks
from providers.mindstudio.doors import PATHS
from providers.mindstudio.errors import REFUSALS

AT_ONCE = 20  # requests of one key, by default


def lane(event_type: str, data: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """All requests of a key count together."""
    return "requests"


def most_at_once(answer: Answer) -> int | None:
    """What an answer says of how many requests of its key may run at once."""
    said = answer.headers.get("x-ratelimit-concurrency-limit", "").strip()
    return int(said) if said.isascii() and said.isdigit() and int(said) > 0 else None


PROVIDER = Provider(
    name="mindstudio",
    title="MindStudio",
    base_url="https://v1.mindstudio-api.com",
    docs_url="https://docs.mindstudio.ai/youai/additional-guides/use-the-mindstudio-api",
    api_version="v2",
    auth="api_key",
    actions={**runs.ACTIONS, **steps.ACTIONS, **tasks.ACTIONS, **embedding.ACTIONS, **streams.ACTIONS},
    fields=(
        Field("api_key", "API key", sensitive=True, help="Made in the workspace's settings, for developers."),
        Field("agent_id", "Agent", required=False, help="Run by default, an id; an event may name another."),
    ),
    refusals=REFUSALS,
    streams=streams.STREAMS,
    deadline_s=120.0,  # of a run in the mode sync; all else answers within seconds
    ceiling=Ceiling(first=AT_ONCE, lane=lane, read=most_at_once),
    paths=PATHS,
)

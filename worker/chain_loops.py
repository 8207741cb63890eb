"""Whether chains go round: a step that may be started, by whatever way, by what comes of itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from providers import PROVIDERS


def published(provider: str, action: str) -> frozenset[str]:
    """The event types that an action's outcomes publish."""
    found = PROVIDERS[provider].action(action)
    return frozenset(found.publishes if found else ())


@dataclass(frozen=True, slots=True)
class _Node:
    """A step as the search sees it."""

    id: UUID
    shown: str
    after_id: UUID | None
    event_type: str
    leads_to: frozenset[str]  # event types that may come of it


def find_loop(steps: Sequence[Any], providers: Mapping[UUID, str]) -> list[str]:
    """The steps of a loop, as people read them; none where no way leads back to any step.

    `steps` have id, after_id, event_type, integration_id and action; `providers` are those of all the tenant's
    accounts, by the account's id.
    """
    nodes = [_node(step, providers) for step in steps]
    return next((way for start in nodes if (way := _way_back(start, nodes))), [])


def _node(step: Any, providers: Mapping[UUID, str]) -> _Node:
    comes = published(providers[step.integration_id], step.action)
    shown = f"{step.event_type} → {step.action}"
    return _Node(step.id, shown, step.after_id, step.event_type, _spread(comes, set(providers.values())))


def _spread(types: frozenset[str], providers: set[str]) -> frozenset[str]:
    """These event types, and those that a tenant's accounts publish when such events happen."""
    found, fresh = set(types), list(types)
    while fresh:
        happened = fresh.pop()
        more = {each for name in providers for each in published(name, happened)} - found
        found |= more
        fresh += more
    return frozenset(found)


def _way_back(start: _Node, nodes: Sequence[_Node]) -> list[str]:
    """The steps from one back to itself; none where no way leads back."""
    seen: set[UUID] = set()
    line: list[tuple[_Node, list[str]]] = [(start, [start.shown])]
    while line:
        node, way = line.pop()
        for following in nodes:
            if following.event_type not in node.leads_to or following.after_id not in (None, node.id):
                continue
            if following.id == start.id:
                return way
            if following.id not in seen:
                seen.add(following.id)
                line.append((following, [*way, following.shown]))
    return []

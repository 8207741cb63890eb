"""Whether chains go round: a step that may be started, by whatever way, by what comes of itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from providers import PROVIDERS

SYNC_DUE = "sync.due"


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
    filtered: bool
    leads_to: frozenset[str]  # event types that may come of it
    read_back: frozenset[str]  # event types that a sync may make of what it changes there


@dataclass(frozen=True, slots=True)
class Loop:
    """Steps that start each other, as people read them. `read_back`: somewhere by what a sync publishes."""

    steps: tuple[str, ...]
    read_back: bool = False


def find_loop(steps: Sequence[Any], providers: Mapping[UUID, str]) -> Loop | None:
    """A way that leads from a step back to it; None where there is none.

    `steps` have id, after_id, event_type, filters, integration_id and action; `providers` are those of all the
    tenant's accounts, by the account's id. What a sync makes of a step's work starts a step again only where that has
    no filters: those are there to end it.
    """
    nodes = [_node(step, providers) for step in steps]
    return next((way for start in nodes if (way := _way_back(start, nodes))), None)


def _node(step: Any, providers: Mapping[UUID, str]) -> _Node:
    provider = providers[step.integration_id]
    comes = published(provider, step.action)
    return _Node(
        step.id,
        f"{step.event_type} → {step.action}",
        step.after_id,
        step.event_type,
        bool(step.filters),
        _spread(comes, set(providers.values())),
        published(provider, SYNC_DUE),
    )


def _spread(types: frozenset[str], providers: set[str]) -> frozenset[str]:
    """These event types, and those that a tenant's accounts publish when such events happen."""
    found, fresh = set(types), list(types)
    while fresh:
        happened = fresh.pop()
        more = {each for name in providers for each in published(name, happened)} - found
        found |= more
        fresh += more
    return frozenset(found)


def _way_back(start: _Node, nodes: Sequence[_Node]) -> Loop | None:
    """The steps from one back to itself."""
    seen: set[UUID] = set()
    line: list[tuple[_Node, Loop]] = [(start, Loop((start.shown,)))]
    while line:
        node, way = line.pop()
        for following in nodes:
            directly, by_sync = _starts(node, following)
            if not directly and not by_sync:
                continue
            read_back = way.read_back or not directly
            if following.id == start.id:
                return Loop(way.steps, read_back)
            if following.id not in seen:
                seen.add(following.id)
                line.append((following, Loop((*way.steps, following.shown), read_back)))
    return None


def _starts(node: _Node, following: _Node) -> tuple[bool, bool]:
    """Whether what comes of a step starts another: at once, or when a sync reads it back."""
    directly = following.event_type in node.leads_to and following.after_id in (None, node.id)
    by_sync = following.event_type in node.read_back and following.after_id is None and not following.filtered
    return directly, by_sync

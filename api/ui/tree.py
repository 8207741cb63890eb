"""All that came of one event, as a tree: its deliveries, and the events that they and the steps of chains published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.chains
import db.events
import db.pages
from api.ui.words import cost, lasting
from db.engine import Rows

MOST_EVENTS = 200  # of one tree that are drawn


@dataclass(slots=True)
class Leaf:
    """One delivery."""

    row: Any
    took: str
    costs: Sequence[str]


@dataclass(slots=True)
class Node:
    """One event. `origin`: how it came of the one above."""

    row: Any
    origin: str = ""
    leaves: list[Leaf] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Grown:
    """A tree. `hidden`: how many more events there are."""

    root: Node
    hidden: int


def grow(connection: Connection, event: Any) -> Grown:
    """The tree below an event."""
    rows = db.events.of_trace(connection, event.id)
    shown = rows[:MOST_EVENTS]
    nodes = {row.id: Node(row, _origin(connection, row)) for row in shown}
    for delivery in db.pages.of_events(connection, list(nodes)):
        nodes[delivery.event_id].leaves.append(_leaf(delivery))
    _join(shown, nodes)
    return Grown(nodes[event.id], len(rows) - len(shown))


def _join(rows: Rows, nodes: Mapping[UUID, Node]) -> None:
    for row in rows:
        above = nodes.get(row.caused_by)
        if above is not None:
            above.nodes.append(nodes[row.id])


def _origin(connection: Connection, row: Any) -> str:
    step = db.chains.get(connection, row.chain_step_id) if row.chain_step_id else None
    return f"chain {step.chain}, step {step.position}" if step else "published"


def _leaf(row: Any) -> Leaf:
    took = lasting((row.settled_at - row.created_at).total_seconds()) if row.settled_at else ""
    costs = [cost(Decimal(amount), unit) for unit, amount in sorted((row.costs or {}).items())]
    return Leaf(row, took, costs)

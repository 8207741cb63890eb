"""How the engine's statements find their rows: the plans that a worker's session ends up with, as one line each.

What a function executes is caught on its way to the server and explained there, prepared statements by the plan that
serves every set of parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, event

from db.engine import run

LOG = "integration_sync_logs"
BIG = ("events", "deliveries", LOG)
Plan = Mapping[str, Any]


@dataclass
class Reads:
    """What a plan reads of the tables that grow."""

    ways: list[str] = field(default_factory=list)  # "deliveries by deliveries_pkey", in the plan's order
    whole: list[str] = field(default_factory=list)  # tables read from end to end
    partitions: int = 0  # of the log, that are opened for one search
    pruned: int = 0  # of the log, that are not

    @property
    def searches(self) -> bool:
        """Whether it reads any of the tables that grow."""
        return bool(self.ways or self.whole)

    @property
    def text(self) -> str:
        """In one line."""
        parts = [*dict.fromkeys(self.ways), *(f"WHOLE TABLE {table}" for table in self.whole)]
        if self.partitions:
            parts.append(f"{self.partitions} of {self.partitions + self.pruned} partitions")
        return ", ".join(parts)


def explain(connection: Connection, call: Callable[[Connection], object]) -> list[Reads]:
    """The plans of all statements that a function executes; what they change is undone."""
    with connection.begin_nested() as undone, _caught(connection) as statements:
        call(connection)
        undone.rollback()
    run(connection, "set local plan_cache_mode = force_generic_plan")
    return [reads(plan) for statement in statements if (plan := _plan(connection, *statement))]


@contextmanager
def _caught(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []

    def catch(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", catch)
    try:
        yield found
    finally:
        event.remove(connection, "before_cursor_execute", catch)


def _plan(connection: Connection, statement: str, parameters: Any) -> Plan | None:
    if statement.startswith(("prepare ", "savepoint ", "SAVEPOINT ", "set ", "ROLLBACK ")):
        return None
    rows = connection.exec_driver_sql(f"explain (format json) {statement}", parameters or {}).fetchall()
    found: Plan = rows[0][0][0]["Plan"]
    return found


def reads(plan: Plan) -> Reads:
    """What this plan and all below it read."""
    found = Reads()
    _walk(plan, found)
    return found


def _walk(plan: Plan, found: Reads) -> None:
    children: Sequence[Plan] = plan.get("Plans", ())
    if plan["Node Type"] in ("Append", "Merge Append") and any(_table(child) == LOG for child in children):
        found.partitions = max(found.partitions, len(children))
        found.pruned = max(found.pruned, plan.get("Subplans Removed", 0))
    table = _table(plan)
    if table in BIG and plan["Node Type"] == "Seq Scan":
        found.whole.append(plan["Relation Name"])
    elif index := plan.get("Index Name"):
        _note(plan, index, found)
    for child in children:
        _walk(child, found)


def _note(plan: Plan, index: str, found: Reads) -> None:
    if index.startswith(LOG):  # a partition's: its name holds a date
        found.ways.append(f"log by {index.removeprefix(LOG).lstrip('_0123456789').removeprefix('default_')}")
    elif index.startswith(BIG):
        found.ways.append(index)


def _table(plan: Plan) -> str:
    name: str = plan.get("Relation Name", "")
    return LOG if name.startswith(LOG) else name

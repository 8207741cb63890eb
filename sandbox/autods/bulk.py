"""Bulk actions: begun by an upload, a publication, a change; every look at one is a step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.autods.assumed import ASSUMED
from sandbox.autods.values import CREATED, ERROR, FINISHED, IN_PROGRESS

ITEM_NAMES: Final = ASSUMED["bulk.item"]


@dataclass(slots=True)
class Bulk:
    """One of them; its items are done when it finishes."""

    id: int
    kind: str
    items: list[dict[str, Any]]
    apply: Callable[[Mapping[str, Any]], str | None]
    polls_left: int
    outcome: int
    status: int = CREATED

    def look(self) -> list[dict[str, Any]]:
        """Its items as they are now; then it gets on by a step."""
        if self.polls_left <= 0:
            self.finish()
        shown = [self._shown(number, item) for number, item in enumerate(self.items)]
        self.polls_left -= 1
        if self.status == CREATED:
            self.status = IN_PROGRESS
        return shown

    def finish(self) -> None:
        """All items are done, once."""
        if self.status not in (CREATED, IN_PROGRESS):
            return
        self.polls_left = 0
        self.status = self.outcome
        for item in self.items:
            if self.outcome == FINISHED:
                problem = self.apply(item)
                item |= {"status": FINISHED if problem is None else ERROR, "error_message": problem}
            else:
                item |= {"status": self.outcome, "error_message": "The bulk action did not finish."}

    def _shown(self, number: int, item: Mapping[str, Any]) -> dict[str, Any]:
        known = {"id": f"{self.id}-{number}", "status": self.status, **item}
        return {name: known.get(name) for name in ITEM_NAMES}

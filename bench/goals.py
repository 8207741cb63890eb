"""Goals: a figure, its bound, and the line that says whether it is met or by how much it is missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is to be at least its bound, or at most."""

    name: str
    value: float
    bound: float
    unit: str = "×"
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        wanted = f"{'at most' if self.at_most else 'at least'} {self.bound:g} {self.unit}"
        verdict = "met" if self.met else f"missed by {abs(self.value - self.bound):.2f} {self.unit}"
        return f"{self.name}: {self.value:.2f} {self.unit}, wanted {wanted}: {verdict}"

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        bound = "at_most" if self.at_most else "at_least"
        return {"name": self.name, "value": self.value, bound: self.bound, "unit": self.unit, "met": self.met}


def table(goals: Sequence[Goal]) -> str:
    """Goals as they are printed."""
    return "\n".join(["Goals", *(f"  {goal}" for goal in goals)])

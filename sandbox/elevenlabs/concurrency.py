"""How many generations of a workspace run at once: a ceiling for each group of models, a queue above it, then 429.

A generation takes as long as the plan says (no time, unless a test sets a pace), so the times of those under way
say all: nothing has to be freed, and a client that leaves ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.elevenlabs.errors import Refusal


@dataclass(slots=True)
class Lane:
    """The generations of one group, by when they begin and when they are done (unix seconds)."""

    under_way: list[tuple[float, float]] = field(default_factory=list)
    refused: int = 0
    busiest: int = 0  # the most that ran at once

    def enter(self, now: float, ceiling: int, queue: int, takes_s: float) -> float:
        """When a generation that arrives now is done; raises Refusal when the queue is full."""
        self.under_way = [one for one in self.under_way if one[1] > now]
        ahead = sorted(done for _, done in self.under_way)
        free = len(ahead) - ceiling
        begins = now if free < 0 else ahead[free]
        if begins > now and sum(begin > now for begin, _ in self.under_way) >= queue:
            self.refused += 1
            message = f"Too many concurrent requests: the plan allows {ceiling} at once."
            headers = concurrency_headers(ceiling, ceiling)
            raise Refusal("concurrent_limit_exceeded", message, headers=headers)
        self.under_way.append((begins, begins + takes_s))
        self.busiest = max(self.busiest, self.running(now))
        return begins + takes_s

    def running(self, now: float) -> int:
        """How many run; one that takes no time counts until the next arrives."""
        return sum(begin <= now and (now < done or begin == done) for begin, done in self.under_way)


def concurrency_headers(running: int, ceiling: int) -> Mapping[str, str]:
    """What every generation, and every refusal for this reason, says about it."""
    return {"current-concurrent-requests": str(running), "maximum-concurrent-requests": str(ceiling)}

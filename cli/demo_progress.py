"""The demo while it runs: what is accepted, delivered, waiting, and how many calls a second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from uuid import UUID

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

import db.audit
from cli import session
from db.audit import Pulse

LOOK_EVERY_S = 0.2
WINDOW_S = 1.0  # over which calls a second are counted
BAR = 34


class Progress:
    """Looks at the database now and then and shows it."""

    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live
        self._rates: deque[tuple[float, int]] = deque()
        self._fastest = 0.0
        self._scenes: dict[str, str] = {}  # by tenant
        self.published = 0
        self.note = ""

    def beside(self, tenant: str, scene: str) -> None:
        """What is played at a tenant of its own meanwhile. From any thread."""
        self._scenes = {**self._scenes, tenant: scene}

    def look(self) -> Pulse:
        """Read, show, and return what is there."""
        with session.transaction() as connection:
            now = db.audit.pulse(connection)
        self._live.update(self._drawn(now, self._rate(now.attempts)), refresh=self._console.is_terminal)
        return now

    def until(self, done: Callable[[Pulse], bool], timeout_s: float) -> bool:
        """Look until it is done; False when the time is over."""
        deadline = time.monotonic() + timeout_s
        while not done(self.look()):
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK_EVERY_S)
        return True

    def _rate(self, attempts: int) -> float:
        now = time.monotonic()
        self._rates.append((now, attempts))
        while len(self._rates) > 2 and now - self._rates[0][0] > WINDOW_S:
            self._rates.popleft()
        (first_at, first), (last_at, last) = self._rates[0], self._rates[-1]
        rate = (last - first) / (last_at - first_at) if last_at > first_at else 0.0
        self._fastest = max(self._fastest, rate)
        return rate

    def _drawn(self, now: Pulse, rate: float) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=11)
        grid.add_column(width=BAR)
        grid.add_column(justify="right", width=9)
        grid.add_column(style="dim")
        done = f"{now.succeeded}/{now.deliveries}"
        refused = f"and {now.rejected} rejected" if now.rejected else ""
        ended = f", {now.ended} given up or cancelled" if now.ended else ""
        speed = f"{rate:.0f} a second now, {self._fastest:.0f} at most"
        grid.add_row("  accepted", _bar(now.events, self.published, "cyan"), f"{now.events}", refused)
        grid.add_row("  delivered", _bar(now.succeeded, now.deliveries, "green"), done, f"{now.busy} in the air")
        grid.add_row("  retrying", _bar(now.later, now.deliveries, "yellow"), f"{now.later}", f"due later{ended}")
        grid.add_row("  attempts", "", f"{now.attempts}", speed)
        scenes = [f"  [dim]at {tenant}: {scene}[/]" for tenant, scene in self._scenes.items()]
        return Group(grid, f"  [dim]{self.note}[/]", *scenes)


def _bar(part: int, whole: int, style: str) -> ProgressBar:
    return ProgressBar(total=max(whole, part, 1), completed=part, width=BAR, complete_style=style, finished_style=style)


def tries(webhook_ids: list[UUID]) -> int:
    """The fewest attempts that any of these hooks has seen for its most tried delivery."""
    with session.transaction() as connection:
        seen = db.audit.most_tries(connection, webhook_ids)
    return min((seen.get(webhook_id, 0) for webhook_id in webhook_ids), default=0)

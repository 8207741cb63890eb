"""The rate limit: so many requests in any one second per developer app, over all of its tokens.

https://business-api.tiktok.com/portal/docs?id=1740029171730433
Off until an action switches it on; it counts either way. No header tells how much is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.tiktok_ads.envelope import Refused

WINDOW_S: Final = 1.0
OWN_QPS: Final[Mapping[str, int]] = {"event/track/": 1000, "report/task/create/": 2}  # beside the one of the app


@dataclass(slots=True)
class Meter:
    """The requests of one app to what shares a limit."""

    requests: int = 0
    throttled: int = 0
    busiest_second: int = 0  # the most that arrived within one second, refused ones included
    arrived: deque[float] = field(default_factory=deque)  # in the last second
    admitted: deque[float] = field(default_factory=deque)

    def count(self, now: float) -> None:
        """One more request is here."""
        self.requests += 1
        self.arrived.append(now)
        forget(self.arrived, now)
        self.busiest_second = max(self.busiest_second, len(self.arrived))

    def admit(self, now: float, qps: int) -> None:
        """Let it in, or raise Refused."""
        forget(self.admitted, now)
        if len(self.admitted) >= qps:
            self.throttled += 1
            raise Refused("rate_limited")
        self.admitted.append(now)

    def as_json(self) -> dict[str, int]:
        """The counts."""
        return {"requests": self.requests, "throttled": self.throttled, "busiest_second": self.busiest_second}


class Limits:
    """The meters of all apps."""

    def __init__(self) -> None:
        self.qps: int | None = None  # of an app; None: off
        self._meters: dict[tuple[str, str], Meter] = {}

    def admit(self, app_id: str, path: str, now: float) -> None:
        """Count a request; raises Refused above the limit."""
        shared = path if path in OWN_QPS else ""
        meter = self._meters.setdefault((app_id, shared), Meter())
        meter.count(now)
        if self.qps is not None:
            meter.admit(now, OWN_QPS.get(path, self.qps))

    def as_json(self) -> dict[str, dict[str, Any]]:
        """The counts by app; those of endpoints with a limit of their own stand apart, under their path."""
        shown: dict[str, dict[str, Any]] = {}
        for (app_id, path), meter in self._meters.items():
            app = shown.setdefault(app_id, {**Meter().as_json(), "own": {}})
            app.update(meter.as_json() if not path else {"own": {**app["own"], path: meter.as_json()}})
        return shown


def forget(times: deque[float], now: float) -> None:
    """Drop what is a second ago."""
    while times and times[0] <= now - WINDOW_S:
        times.popleft()

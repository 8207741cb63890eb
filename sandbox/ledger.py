"""What the sandbox received: exact counts per path and `webhook-id` of all, full records of the last ones.

This is the receiver's own word, to hold against the ledger of the mesh.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, Final

RECORDS_KEPT: Final = 200_000
BODY_KEPT: Final = 4096  # bytes of a body in a record
NO_ANSWER: Final = "none"

# Headers that say nothing about a delivery, and headers that are credentials (kept as a few characters).
DULL_HEADERS: Final = frozenset({"host", "accept", "accept-encoding", "connection", "content-length"})
SECRET_HEADERS: Final = frozenset({"authorization", "xi-api-key", "access-token", "cookie", "x-api-key"})
SECRET_SHOWN: Final = 4


class Tally:
    """How often one `webhook-id` came to one path, how often it got a whole 2xx, and when it first came."""

    __slots__ = ("first_at", "ok", "requests")

    def __init__(self, first_at: float) -> None:
        self.requests = 0
        self.ok = 0
        self.first_at = first_at


class PathTally:
    """The counts of one path."""

    __slots__ = ("by_id", "by_status", "in_flight", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.in_flight = 0
        self.by_status: dict[int | None, int] = {}
        self.by_id: dict[str, Tally] = {}


@dataclass(slots=True)
class Exchange:
    """One request from its arrival to its end."""

    seq: int
    at: float
    method: str
    path: str
    query: str
    webhook_id: str | None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body_size: int = 0
    body: str = field(default="", repr=False)
    status: int | None = None  # None: no answer was begun
    complete: bool = False  # the whole answer was handed to the client's connection
    client_left: bool = False
    ended: bool = False

    @property
    def answered(self) -> bool:
        """Whether a 2xx was sent in full."""
        return self.complete and self.status is not None and 200 <= self.status < 300

    def as_json(self) -> dict[str, Any]:
        """The record as the control door shows it; `status` is null while the request is in the air."""
        shown = {name: getattr(self, name) for name in RECORD_FIELDS}
        shown["status"] = NO_ANSWER if self.ended and self.status is None else self.status
        return shown


RECORD_FIELDS: Final = tuple(Exchange.__slots__)


class Ledger:
    """Counts, records and gauges. Bounded in records, exact in counts."""

    def __init__(self) -> None:
        self.seq = 0
        self.paths: dict[str, PathTally] = {}
        self.records: deque[Exchange] = deque(maxlen=RECORDS_KEPT)
        self.in_flight = 0
        self.max_in_flight = 0
        self.busy: Counter[str] = Counter()  # requests in the air by provider

    def quick(self, path: str, webhook_id: str | None, now: float, ok: bool) -> None:
        """Count a request that was answered with 200 at once, without a record."""
        self.seq += 1
        if self.in_flight >= self.max_in_flight:
            self.max_in_flight = self.in_flight + 1
        tally = self.paths.get(path)
        if tally is None:
            tally = self.paths[path] = PathTally()
        tally.requests += 1
        status = 200 if ok else None
        tally.by_status[status] = tally.by_status.get(status, 0) + 1
        if webhook_id is not None:
            by_id = tally.by_id.get(webhook_id)
            if by_id is None:
                by_id = tally.by_id[webhook_id] = Tally(now)
            by_id.requests += 1
            by_id.ok += ok

    def arrived(self, exchange: Exchange, keep: bool) -> None:
        """A request is here; its answer comes later."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        tally = self.paths.setdefault(exchange.path, PathTally())
        tally.requests += 1
        tally.in_flight += 1
        if exchange.webhook_id is not None:
            by_id = tally.by_id.setdefault(exchange.webhook_id, Tally(exchange.at))
            by_id.requests += 1
        if keep:
            self.records.append(exchange)

    def ended(self, exchange: Exchange) -> None:
        """The request that arrived before has its end; its `status` and `complete` say which."""
        exchange.ended = True
        self.in_flight -= 1
        tally = self.paths[exchange.path]
        tally.in_flight -= 1
        tally.by_status[exchange.status] = tally.by_status.get(exchange.status, 0) + 1
        if exchange.webhook_id is not None and exchange.answered:
            tally.by_id[exchange.webhook_id].ok += 1

    def seen(self, path: str, webhook_id: str | None) -> int:
        """How often this id (or, without one, anything) came to this path, the request at hand included."""
        tally = self.paths[path]
        return tally.requests if webhook_id is None else tally.by_id[webhook_id].requests

    def matching(self, path: str | None) -> Iterable[PathTally]:
        """The tallies of a path, of all paths under a prefix ending in `*`, or of all."""
        return [tally for name, tally in self.paths.items() if path_matches(path, name)]

    def counts(self, path: str | None, ids: bool = True) -> dict[str, Any]:
        """Requests, answers by status, and requests and whole 2xx answers by `webhook-id`."""
        requests = 0
        by_status: Counter[str] = Counter()
        by_id: dict[str, dict[str, int]] = {}
        for tally in self.matching(path):
            requests += tally.requests
            by_status.update({str(k or NO_ANSWER): n for k, n in tally.by_status.items()})
            for webhook_id, one in tally.by_id.items() if ids else ():
                entry = by_id.setdefault(webhook_id, {"requests": 0, "ok": 0})
                entry["requests"] += one.requests
                entry["ok"] += one.ok
        return {"requests": requests, "by_status": dict(by_status), "by_id": by_id}

    def arrivals(self, path: str | None) -> dict[str, float]:
        """When each `webhook-id` was first here, in unix seconds."""
        first: dict[str, float] = {}
        for tally in self.matching(path):
            for webhook_id, one in tally.by_id.items():
                first[webhook_id] = min(one.first_at, first.get(webhook_id, one.first_at))
        return first

    def received(self, after: int, limit: int, path: str | None) -> list[dict[str, Any]]:
        """Records with a greater sequence number, oldest first."""
        newer = list(takewhile(lambda one: one.seq > after, reversed(self.records)))
        wanted = (one for one in reversed(newer) if path_matches(path, one.path))
        return [one.as_json() for one, _ in zip(wanted, range(limit), strict=False)]

    def state(self) -> dict[str, Any]:
        """What is in the air now."""
        return {
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "in_flight_by_path": {name: t.in_flight for name, t in self.paths.items() if t.in_flight},
            "seq": self.seq,
        }


def path_matches(pattern: str | None, path: str) -> bool:
    """Whether a path is the pattern's: all (None), itself, or under a prefix ending in `*`."""
    if pattern is None or pattern == path:
        return True
    return pattern.endswith("*") and path.startswith(pattern[:-1])


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers worth a record, credentials cut to their first characters."""
    return {
        name: value[:SECRET_SHOWN] + "…" if name in SECRET_HEADERS else value
        for name, value in headers.items()
        if name not in DULL_HEADERS
    }

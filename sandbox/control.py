"""A typed client of the sandbox's control doors, for the demo, tests, chaos runs and benchmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict, cast
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

TIMEOUT_S: Final = 30.0

RuleSource = Mapping[str, Any]


class SandboxRefused(ValueError):
    """The sandbox did not understand; the text is its sentence."""


class IdCount(TypedDict):
    """How often one webhook-id came, and how often it was answered in full with a 2xx."""

    requests: int
    ok: int


class Counts(TypedDict):
    """What came in; `by_status` keys are "200" … and "none"."""

    requests: int
    by_status: dict[str, int]
    by_id: dict[str, IdCount]


class Record(TypedDict):
    """One received request."""

    seq: int
    at: float
    method: str
    path: str
    query: str
    webhook_id: str | None
    headers: dict[str, str]
    body_size: int
    body: str
    status: int | str | None
    complete: bool
    client_left: bool
    ended: bool


class State(TypedDict):
    """What is in the air now."""

    in_flight: int
    max_in_flight: int
    in_flight_by_path: dict[str, int]
    seq: int
    connections: int


class Control:
    """The control doors of a running sandbox."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._opener: OpenerDirector = build_opener(ProxyHandler({}))  # never through a proxy

    def rules(self, rules: Sequence[RuleSource] | None = None) -> list[dict[str, Any]]:
        """The rules in force with how often each fired; given a list, these replace them first."""
        answer = self._ask("GET", "rules") if rules is None else self._ask("PUT", "rules", list(rules))
        return cast(list[dict[str, Any]], answer["rules"])

    def add_rule(self, path: str, fault: Mapping[str, Any] | str, **choice: Any) -> None:
        """One more rule; `choice` is any of method, times, skip, share, seed; a fault may be a name."""
        self._ask("POST", "rules", {"path": path, "fault": fault, **choice})

    def clear_rules(self) -> None:
        """No rules."""
        self._ask("DELETE", "rules")

    def reset(self) -> None:
        """Forget records, rules, bills and histories."""
        self._ask("POST", "reset")

    def record_bodies(self, on: bool) -> None:
        """Whether /receive keeps full records too."""
        self._ask("PUT", "options", {"record_bodies": on})

    def counts(self, path: str | None = None, ids: bool = True) -> Counts:
        """Counts of a path, of a prefix ending in `*`, or of all; without `ids` cheap to ask often."""
        return cast(Counts, self._ask("GET", "counts", path=path, ids=int(ids)))

    def received(self, after: int = 0, limit: int = 1000, path: str | None = None) -> list[Record]:
        """Records with a greater sequence number, oldest first."""
        answer = self._ask("GET", "received", after=after, limit=limit, path=path)
        return cast(list[Record], answer["received"])

    def arrivals(self, path: str | None = None) -> dict[str, float]:
        """When each webhook-id first came, in unix seconds."""
        return cast(dict[str, float], self._ask("GET", "arrivals", path=path))

    def bill(self) -> dict[str, Any]:
        """By provider, what it would charge: `bill()["elevenlabs"][api_key]`."""
        return cast(dict[str, Any], self._ask("GET", "bill"))

    def do(self, provider: str, action: str, /, **arguments: Any) -> Any:
        """What a test or the demo does at a provider beyond its HTTP API; see the provider's actions."""
        return self._ask("POST", f"do/{provider}/{action}", arguments)["result"]

    def state(self) -> State:
        """What is in the air."""
        return cast(State, self._ask("GET", "state"))

    def _ask(self, method: str, door: str, body: object = None, **args: object) -> Any:
        query = urlencode({name: value for name, value in args.items() if value is not None})
        data = None if body is None else json.dumps(body).encode()
        url = f"{self._base_url}/_sandbox/{door}?{query}"
        request = Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return json.load(answer)
        except HTTPError as refusal:
            with refusal:
                raise SandboxRefused(refusal.read().decode("utf-8", "replace")) from None

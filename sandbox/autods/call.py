"""One request to an operation, its token checked, and what the operations read of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.autods.errors import Refused
from sandbox.autods.people import Store
from sandbox.autods.state import AutoDS
from sandbox.autods.values import Fields, checked, read_json, shown
from sandbox.wire import Answer, Request, json_answer

BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation is asked."""

    ours: AutoDS
    request: Request
    params: Mapping[str, str]
    token: str = field(repr=False)

    @property
    def now(self) -> float:
        """Unix seconds."""
        return self.request.now

    def body(self, fields: Fields) -> dict[str, Any]:
        """The JSON object that was sent, checked; raises Refused."""
        return checked(read_json(self.request.body), fields)

    def stores(self) -> list[Store]:
        """Those of a path with one id, or several with commas between; raises Refused."""
        return [self.ours.store(one) for one in self.params["store_ids"].split(",")]

    def store(self) -> Store:
        """That of a path with one id; raises Refused."""
        return self.ours.store(self.params["store_id"])

    def number(self, name: str, default: int | None = None, least: int = 0, most: int | None = None) -> int:
        """A number of the query; raises Refused."""
        text = self.request.args.get(name, "" if default is None else str(default))
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            raise Refused("invalid", f"{name} must be a whole number in range.")
        return int(text)

    def answer(self, value: Any, status: int = 200) -> Answer:
        """A JSON answer, money as the shapes have it."""
        return json_answer(shown(value, self.ours.shapes["money"] == "text"), status)


Handler = Callable[[Call], Answer]


def token_of(request: Request, gateway: bool) -> str:
    """The Bearer token, if it is good; raises Refused."""
    header = request.headers.get("authorization", "")
    token = header[len(BEARER) :].strip()
    if not header.lower().startswith(BEARER) or not token or token.startswith("bad"):
        raise Refused("unauthorized")
    if token.startswith("expired"):
        raise Refused("token_expired")
    if gateway and token.startswith("noplan"):
        raise Refused("plan_missing")
    return token

"""One request as the doors see it, and what a door says about itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.meta_ads import values
from sandbox.meta_ads.errors import refusal
from sandbox.meta_ads.people import PEOPLE, Person
from sandbox.meta_ads.state import Meta, Token
from sandbox.wire import Request

Kind = Literal["", "account", "campaign", "adset", "ad", "creative", "video", "lead", "run", "pixel", "person", "app"]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, its parameters merged out of query, form and JSON body; nested values are JSON texts."""

    meta: Meta
    method: str
    version: str
    path: tuple[str, ...]
    params: Mapping[str, str] = field(repr=False)
    base_url: str
    now: float
    bearer: Token | None = None

    @property
    def token(self) -> Token:
        """Whose request it is; only behind doors that ask for a token."""
        if self.bearer is None:
            raise refusal("token_missing")
        return self.bearer

    @property
    def person(self) -> Person:
        """The person whose token it is."""
        person = self.token.person
        if person is None:
            raise refusal("unknown_path", "An active access token must be used to query information about a user.")
        return PEOPLE[person]

    def read(self, name: str, reader: values.Reader) -> Any:
        """A parameter through its reader; None when it is absent."""
        value = self.params.get(name)
        return None if value is None else reader(name, value)

    def need(self, name: str) -> str:
        """A parameter that must be there."""
        value = self.params.get(name)
        if not value:
            raise refusal("invalid_parameter", f"(#100) The parameter {name} is required.", name)
        return value


Handler = Callable[[Call, Any], Any]


@dataclass(frozen=True, slots=True)
class Door:
    """One edge of a kind of node."""

    handler: Handler
    parameters: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()  # one of them is needed
    bearer: Literal["user", "app", "nobody"] = "user"


Doors = Mapping[tuple[str, Kind, str], Door]


def params_of(request: Request) -> dict[str, str]:
    """Query, form or JSON body and the Authorization header as one set of texts; the body wins."""
    params = dict(request.args)
    if request.headers.get("content-type", "").startswith("application/json"):
        params |= json_params(request)
    else:
        params |= request.form
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        params["access_token"] = token.strip()
    return params


def json_params(request: Request) -> dict[str, str]:
    """The fields of a JSON body as a form would hold them."""
    try:
        body = request.json() if request.body else {}
    except ValueError:
        raise refusal("invalid_parameter", "(#100) The body is not JSON") from None
    if not isinstance(body, dict):
        raise refusal("invalid_parameter", "(#100) The body is not a JSON object")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}


def base_url(request: Request) -> str:
    """Where the client reached us, for the URLs of further pages."""
    return "http://" + request.headers.get("host", "localhost")

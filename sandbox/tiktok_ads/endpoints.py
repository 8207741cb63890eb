"""The door of the Marketing API: path, token, rate limit, parameters, then the endpoint, then the envelope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.routes import Route
from sandbox.tiktok_ads.accounts import Grants, Token
from sandbox.tiktok_ads.envelope import Refused, plain, refusal, success
from sandbox.tiktok_ads.forms import fields_of, is_form
from sandbox.tiktok_ads.limits import Limits
from sandbox.tiktok_ads.parameters import Args, Parameters, checked, from_body, from_query
from sandbox.wire import Answer, Request

VERSION: Final = "v1.3"
RETIRED: Final = ("campaign/spc/",)  # on their way out there (smart_plus/ takes over), offline here: 41001 can be met


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an endpoint, its parameters read and its token known."""

    args: Args
    now: float  # unix seconds
    host: str  # as the client calls this server
    token: Token | None = None


Handler = Callable[[Call], Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation; its path, under `/open_api/v1.3/`, ends in a slash. `open` ones need no token.

    The handler returns what stands in `data`, or an Answer without an envelope.
    """

    method: str
    path: str
    handler: Handler
    parameters: Parameters
    open: bool = False


class Gateway:
    """All endpoints behind one door."""

    def __init__(self, endpoints: Iterable[Endpoint], grants: Grants, limits: Limits) -> None:
        self._endpoints: Mapping[str, Endpoint] = {endpoint.path: endpoint for endpoint in endpoints}
        self._grants = grants
        self._limits = limits

    def routes(self) -> tuple[Route, ...]:
        """The door for both methods; it sees the whole path, so the slash at its end matters."""
        return tuple(Route(method, "/open_api/{version}/{path*}", self.answer) for method in ("GET", "POST"))

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """What the API says to a request."""
        version, _, path = request.path.removeprefix("/open_api/").partition("/")
        if not path.endswith("/"):
            return plain(404, "404 page not found")
        endpoint = self._endpoints.get(path)
        try:
            check_offline(version, path)
            if endpoint is None:
                return plain(404, "404 page not found")
            if endpoint.method != request.method:
                return plain(405, "405 method not allowed")
            said = endpoint.handler(self._call(endpoint, request))
        except Refused as refused:
            return refusal(refused)
        return later(said) if isinstance(said, Awaitable) else said if isinstance(said, Answer) else success(said)

    def _call(self, endpoint: Endpoint, request: Request) -> Call:
        """The request as the endpoint wants it; raises Refused."""
        token = None if endpoint.open else self._grants.token(request.headers.get("access-token", ""))
        if token is not None:
            self._limits.admit(token.app_id, endpoint.path, request.now)
        kind = request.headers.get("content-type", "")
        if request.method == "GET":
            args = from_query(request.args, endpoint.parameters)
        elif is_form(kind):
            args = checked(fields_of(kind, request.body), endpoint.parameters)
        else:
            args = from_body(request.body, endpoint.parameters)
        if token is None:
            self._limits.admit(args.get("app_id", ""), endpoint.path, request.now)
        else:
            check_advertisers(token, args)
        return Call(args, request.now, request.headers.get("host", "127.0.0.1"), token)


async def later(said: Awaitable[Any]) -> Answer:
    """The answer of a handler that has to wait for something."""
    try:
        return success(await said)
    except Refused as refused:
        return refusal(refused)


def check_offline(version: str, path: str) -> None:
    """Raise Refused for another version, or an endpoint that is gone."""
    if version != VERSION:
        raise Refused("invalid_version", f"Invalid API version {version}; use {VERSION}.")
    if path.startswith(RETIRED):
        raise Refused("endpoint_offline", f"{path} is offline.")


def check_advertisers(token: Token, args: Args) -> None:
    """Raise Refused for an advertiser that the token does not cover."""
    single = [args["advertiser_id"]] if "advertiser_id" in args else []
    for advertiser_id in [*single, *args.get("advertiser_ids", ())]:
        token.check(advertiser_id)

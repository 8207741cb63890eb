"""The doors of VectCut: the same operations without a key (a server of one's own) and with one (the cloud)."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.capcut.envelope import PURCHASE_LINK, Page, Refused, enveloped, refusal
from sandbox.capcut.fields import CLOUD_FIELDS, FIELDS
from sandbox.routes import Handler, Route
from sandbox.wire import JSON_TYPE, Answer, Request

CLOUD: Final = "/cut_jianying"
LOCAL_ACCOUNT: Final = "local"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its fields, who pays, and whether it came to the cloud."""

    request: Request
    data: Mapping[str, Any]
    account: str
    cloud: bool

    @property
    def host(self) -> str:
        """This server, as the client calls it."""
        return self.request.headers.get("host", "127.0.0.1")

    def get(self, name: str, default: Any = None) -> Any:
        """A field, or what stands for one that is missing or null."""
        value = self.data.get(name)
        return default if value is None else value

    def need(self, name: str) -> Any:
        """A field that must be there; raises Refused."""
        if not self.data.get(name):
            raise Refused(f"Hi, the required parameter '{name}' is missing. Please add it and try again.")
        return self.data[name]


Operation = Callable[[Call], Any]  # what stands in `output`, or an Answer of its own; or an awaitable of either


def routes(operations: Mapping[str, Operation], lists: Mapping[str, Operation]) -> Iterator[Route]:
    """The doors of operations (POST) and lists (GET), each with a key and, unless only the cloud has it, without."""
    for method, doors in (("POST", operations), ("GET", lists)):
        for path, operation in doors.items():
            yield Route(method, CLOUD + path, handler(path, operation, cloud=True))
            if path not in CLOUD_FIELDS or path in FIELDS:
                yield Route(method, path, handler(path, operation, cloud=False))


def cloud_lists(operations: Mapping[str, Operation]) -> Iterator[Route]:
    """Doors that are read, in the cloud only."""
    for path, operation in operations.items():
        yield Route("GET", CLOUD + path, handler(path, operation, cloud=True))


def handler(path: str, operation: Operation, cloud: bool) -> Handler:
    """The door of an operation."""

    def handle(request: Request) -> Answer | Awaitable[Answer]:
        try:
            account = account_of(request) if cloud else LOCAL_ACCOUNT
            data = fields_of(request, path, cloud) if request.method == "POST" else request.args
            said = operation(Call(request, data, account, cloud))
        except (Refused, Page) as problem:
            return told(problem, cloud)
        return finished(said, cloud) if inspect.isawaitable(said) else answered(said, cloud)

    return handle


async def finished(said: Awaitable[Any], cloud: bool) -> Answer:
    """The answer of an operation that had to call somebody first."""
    try:
        return answered(await said, cloud)
    except (Refused, Page) as problem:
        return told(problem, cloud)


def answered(said: Any, cloud: bool) -> Answer:
    """A success in its envelope, unless it has its own."""
    return said if isinstance(said, Answer) else enveloped(said, cloud)


def told(problem: Refused | Page, cloud: bool) -> Answer:
    """A failure."""
    return problem.answer() if isinstance(problem, Page) else refusal(problem, cloud)


def account_of(request: Request) -> str:
    """The key of a request to the cloud; raises Refused. Keys `bad…` are wrong, keys `empty…` have no credits."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not key or key.startswith("bad"):
        raise Refused("Invalid API key.", 401)
    if key.startswith("empty"):
        raise Refused("Insufficient credits.", purchase_link=PURCHASE_LINK)
    return key


def fields_of(request: Request, path: str, cloud: bool) -> Mapping[str, Any]:
    """The JSON object of a request, all its fields known; raises Page, Refused."""
    if JSON_TYPE not in request.headers.get("content-type", ""):
        raise Page(415)
    try:
        data = request.json()
    except ValueError:
        raise Page(400) from None
    if not isinstance(data, dict):
        raise Page(500)
    check_known(data, path, cloud)
    return data


def check_known(data: Mapping[str, Any], path: str, cloud: bool) -> None:
    """Raise Refused for fields that an operation does not have."""
    known = FIELDS.get(path, frozenset()) | (CLOUD_FIELDS.get(path, frozenset()) if cloud else frozenset())
    unknown = sorted(set(data) - known)
    if unknown:
        raise Refused(f"{path} has no parameter {', '.join(unknown)}.")

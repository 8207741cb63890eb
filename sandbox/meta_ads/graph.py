"""The conventions of the Graph API: versions, tokens, parameters, fields, pages, errors, batches.

The doors themselves are data: which node, which edge, which parameters and scopes, and the function that answers.
A parameter that a door does not know is refused here (the provider ignores it), so that a typo is seen.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from sandbox.meta_ads import values
from sandbox.meta_ads.access import authenticated, check_bearer, node_of
from sandbox.meta_ads.call import Call, Door, Doors, base_url, params_of
from sandbox.meta_ads.errors import Refusal, envelope, refusal, trace_id
from sandbox.meta_ads.state import Meta
from sandbox.wire import Answer, Request, json_answer

OLDEST: Final = 25  # Marketing API versions below are retired
NEWEST: Final = 26
BATCH_LIMIT: Final = 50
COMMON: Final = frozenset({"access_token", "appsecret_proof", "fields", "limit", "after", "before", "summary"})
JSON_UTF8: Final = {"Content-Type": "application/json; charset=UTF-8"}


class Graph:
    """Answers requests by the table of doors."""

    def __init__(self, meta: Meta, doors: Doors) -> None:
        self._meta = meta
        self._doors = doors

    def handle(self, request: Request) -> Answer | Awaitable[Answer]:
        """One request, or a batch of them."""
        major = request.params.get("major", str(NEWEST))
        version = f"v{major}.0" if major.isascii() else f"v{NEWEST}.0"
        path = tuple(part for part in request.params.get("path", "").split("/") if part)
        try:
            check_version(major)
            call = Call(self._meta, request.method, version, path, params_of(request), base_url(request), request.now)
            if not path and request.method == "POST":
                return self._later(self._batch(call), call)
            said = self._said(call)
        except Refusal as problem:
            return refused(problem, version)
        if isinstance(said, Awaitable):
            return self._later(said, call)
        return answered(said, call)

    async def _later(self, said: Awaitable[Any], call: Call) -> Answer:
        try:
            return answered(await said, call)
        except Refusal as problem:
            return refused(problem, call.version)

    async def _batch(self, call: Call) -> list[Any]:
        """Up to 50 requests in one; each part has its own status, and shares the token."""
        parts = values.array("batch", call.need("batch"))
        if not 0 < len(parts) <= BATCH_LIMIT:
            text = f"(#100) A batch holds 1 to {BATCH_LIMIT} requests"
            raise refusal("invalid_parameter", text, "batch")
        answers = []
        for part in parts:
            said = self.handle(part_request(part, call))
            answers.append(part_json(said if isinstance(said, Answer) else await said))
        return answers

    def _said(self, call: Call) -> Any:
        """What the door says; raises Refusal."""
        whole = "/".join(call.path)
        door = self._doors.get((call.method, "", whole))
        if door is not None:
            check_parameters(call, door)
            return door.handler(call, None)
        call = replace(call, bearer=authenticated(call))
        kind, node = node_of(call)
        edge = call.path[1] if len(call.path) > 1 else ""
        door = self._doors.get((call.method, kind, edge))
        if door is None or len(call.path) > (3 if edge == "permissions" else 2):
            raise refusal("unknown_path", f"Unknown path components: /{'/'.join(call.path[1:])} ({call.method})")
        check_bearer(call, door)
        check_parameters(call, door)
        return door.handler(call, node)


def check_version(major: str) -> None:
    """Retired versions are refused; those that are not there yet are unknown paths."""
    if not (major.isascii() and major.isdigit()) or len(major) > 2 or int(major) > NEWEST:
        raise refusal("unknown_path", f"Unknown path components: /v{major}.0")
    if int(major) < OLDEST:
        raise refusal("api_version")


def check_parameters(call: Call, door: Door) -> None:
    """No parameter that the door does not know; raises Refusal."""
    unknown = sorted(set(call.params) - door.parameters - COMMON)
    if unknown:
        raise refusal("invalid_parameter", f"(#100) Unknown parameter: {', '.join(unknown)}", *unknown)


def answered(said: Any, call: Call) -> Answer:
    """A value as the answer, with the usage headers that an action has set."""
    usage = dict(call.meta.usage.get(None, {}))
    for account in accounts_of(call):
        usage |= call.meta.usage.get(account, {})
    return json_answer(said, headers={**headers_of(call.version), **usage})


def accounts_of(call: Call) -> Iterator[str]:
    """The ad account that a request is about."""
    name = call.path[0] if call.path else ""
    if name.startswith("act_"):
        yield name.removeprefix("act_")
    meta = call.meta
    for store in (meta.campaigns, meta.ad_sets, meta.ads, meta.runs):
        holder = store.get(name)
        if holder is not None:
            yield holder.account.id


def refused(problem: Refusal, version: str) -> Answer:
    """A refusal as the answer."""
    body = envelope(problem.problem, problem.message, problem.blame)
    return json_answer(body, problem.problem.status, headers_of(version, body["error"]["fbtrace_id"]))


def headers_of(version: str, trace: str | None = None) -> dict[str, str]:
    """The headers of every answer."""
    return {**JSON_UTF8, "facebook-api-version": version, "x-fb-trace-id": trace or trace_id(), "x-fb-rev": "1"}


def part_request(part: Any, call: Call) -> Request:
    """One request out of a batch; it has the batch's token unless it brings its own."""
    part = part if isinstance(part, dict) else {}
    target, _, query = str(part.get("relative_url", "")).lstrip("/").partition("?")
    named = re.fullmatch(r"v(\d+)\.0(?:/(.*))?", target)
    major, path = (named[1], named[2] or "") if named else (call.version[1:-2], target)
    given = {name: call.params[name] for name in ("access_token", "appsecret_proof") if name in call.params}
    own = dict(parse_qsl(query, keep_blank_values=True))
    shared = urlencode({name: value for name, value in given.items() if name not in own})
    return Request(
        method=str(part.get("method", "GET")),
        path=target,
        query=f"{query}&{shared}",
        headers={"host": call.base_url.removeprefix("http://")},
        body=str(part.get("body", "")).encode(),
        now=call.now,
        params={"major": major, "path": path or "-"},
    )


def part_json(answer: Answer) -> dict[str, Any]:
    """One answer as a batch holds it: the headers a list, the body a text."""
    headers = [{"name": name, "value": value} for name, value in answer.headers.items()]
    return {"code": answer.status, "headers": headers, "body": answer.body.decode()}

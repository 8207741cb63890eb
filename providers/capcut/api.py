"""Requests to a server that speaks VectCut's protocol, and its envelope.

Every answer is HTTP 200 with `{"success", "output", "error"}`.
Times are seconds; sizes and rates of a render are texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from providers.capcut.doors import DOORS
from providers.contract import Call
from providers.errors import AccountBlocked, OutcomeUnknown, Unavailable
from providers.http import MAX_ANSWER_BYTES, Answer, api_request

Data = Mapping[str, Any]


def ask(
    call: Call,
    operation: str,
    fields: Data | None = None,
    *,
    query: Mapping[str, str] | None = None,
    secrets: tuple[str, ...] = (),
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> Answer:
    """Do one operation. `secrets` are those among the fields: links to media."""
    method = DOORS[operation].method
    return call.send(
        api_request(
            method,
            server(call),
            call.paths[operation],
            headers=_headers(call),
            query=query,
            json_body=None if method == "GET" else fields or {},
            secrets=secrets,
            max_answer_bytes=max_answer_bytes,
        )
    )


def server(call: Call) -> str:
    """The base URL. AccountBlocked where it would carry a key over the open net in clear."""
    parts = urlsplit(call.base_url)
    if parts.scheme != "https" and _carries_key(call) and not is_near(parts.hostname or ""):
        raise AccountBlocked(
            "CAPCUT_BASE_URL starts with http://, over which the key would be sent in clear: use https://.",
            code="base_url_insecure",
        )
    return call.base_url


def _carries_key(call: Call) -> bool:
    return bool(call.secrets.get("api_key") or call.settings.get("license_key"))


def is_near(host: str) -> bool:
    """Whether a host is this machine or in a private network: an address, or a name without a dot."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host


def _headers(call: Call) -> dict[str, str]:
    key = call.secrets.get("api_key")
    return {"User-Agent": "AgentMesh/1", **({"Authorization": f"Bearer {key}"} if key else {})}


def output(answer: Answer) -> Any:
    """What stands in the envelope of a success."""
    body = answer.json()
    if not isinstance(body, dict) or "output" not in body:
        raise unreadable("no envelope")
    return body["output"]


def output_object(answer: Answer) -> Data:
    """The same where it must be an object."""
    found = output(answer)
    if not isinstance(found, dict):
        raise unreadable("no object in its envelope")
    return found


def object_in(answer: Answer) -> Data:
    """The body of an answer that has no envelope."""
    body = answer.json()
    if not isinstance(body, dict):
        raise unreadable("no object")
    return body


def text_in(found: Data, name: str) -> str:
    """A text that must be there."""
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise unreadable(f"no `{name}`")
    return value


def unreadable(what: str) -> OutcomeUnknown:
    """An answer that does not say what was asked."""
    return OutcomeUnknown(f"VectCut answered with {what}.", code="answer_unreadable")


@contextmanager
def maybe_done(call: Call, *, even_if_told: bool) -> Iterator[None]:
    """A fault of theirs may have come after the work was done: OutcomeUnknown instead of Unavailable.

    `even_if_told`: also where they answer that it failed, because of the network or a time-out behind them.
    """
    try:
        yield
    except Unavailable as error:
        status = call.exchange.status if call.exchange is not None else None
        if status is None or (status == 200 and not even_if_told):
            raise
        raise OutcomeUnknown(str(error), code="provider_fault") from error

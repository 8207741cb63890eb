"""Making one exchange, and what its answer's status means.

`HttpTransport.send` makes it once: no redirects, no cookies, no proxies or passwords from the environment,
one deadline from the first lookup to the last byte. It returns any answer with a status, and raises where
there is none:

    before a byte went out   Unavailable, TargetForbidden
    afterwards               OutcomeUnknown

`judge` turns a status outside 2xx into one ProviderError: the provider's own code decides first, then its own
table of statuses, then the table here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol

from providers.addresses import AddressPolicy
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    Gone,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Retryable,
    Unavailable,
)
from providers.messages import (
    MAX_ANSWER_BYTES,
    Answer,
    Headers,
    Part,
    Request,
    api_request,
    form_request,
    masked,
    media_request,
    multipart_request,
    webhook_request,
)
from providers.pools import Limits, PooledAdapter, Sent

__all__ = [
    "MAX_ANSWER_BYTES",
    "STATUSES",
    "Answer",
    "Fault",
    "Headers",
    "HttpTransport",
    "Part",
    "Refusals",
    "Request",
    "Transport",
    "api_request",
    "form_request",
    "judge",
    "masked",
    "media_request",
    "multipart_request",
    "retry_after",
    "webhook_request",
]

LONGEST_WAIT_S = 24 * 3600.0  # what a Retry-After may ask for

Fault = Callable[[str], ProviderError]  # an error from a sentence


@dataclass(frozen=True, slots=True)
class Refusals:
    """How a provider says no, where its ways are not HTTP's own.

    A code may have a part behind a slash ("190/463"): the table is asked for the whole, then for what is before it.
    """

    codes: Mapping[str, Fault] = field(default_factory=dict)  # by the provider's own code; they decide first
    statuses: Mapping[int, Fault] = field(default_factory=dict)  # where its statuses differ from `STATUSES`
    read: Callable[[Answer], tuple[str, str]] | None = None  # (code, message) of a refusal's body
    in_success: Callable[[Answer], bool] | None = None  # whether an answer with a 2xx is a refusal all the same
    other: Callable[[str], Fault | None] = lambda code: None  # for codes that the table does not name
    wait_s: Callable[[Answer], float | None] = lambda answer: None  # its own way of asking for time

    def fault(self, code: str, status: int) -> Fault:
        """The error that a refusal means."""
        return (
            self.codes.get(code)
            or self.codes.get(code.partition("/")[0])
            or self.other(code)
            or self.statuses.get(status)
            or STATUSES.get(status)
            or _fault_of_class(status)
        )


class Transport(Protocol):
    """Makes exchanges."""

    def send(self, request: Request, deadline_s: float) -> Answer:
        """Make one exchange within `deadline_s`. Returns the answer whatever its status."""


class HttpTransport:
    """The real transport, one for a process. Shared by all threads; keeps connections alive between calls.

    `policy` says which addresses may be called. `ca_bundle` is a file of certificates to trust instead of
    certifi's. `sent` gets each request that has gone out.
    """

    def __init__(
        self,
        *,
        policy: AddressPolicy,
        ca_bundle: str | None = None,
        connect_s: float = 5.0,
        idle_per_host: int = 256,
        idle_in_all: int = 1024,
        sent: Sent = lambda request: None,
    ) -> None:
        self._adapter = PooledAdapter(
            policy,
            ca_bundle=ca_bundle,
            connect_s=connect_s,
            idle_per_host=idle_per_host,
            idle_in_all=idle_in_all,
            sent=sent,
        )

    def send(self, request: Request, deadline_s: float) -> Answer:
        """Make one exchange. Returns the answer whatever its status; raises as this module's head says."""
        started = time.monotonic()
        received = self._adapter.exchange(request, Limits(started + deadline_s, request))
        answer = Answer(
            received.status_code,
            Headers(received.headers),
            received.body,
            round((time.monotonic() - started) * 1000),
            received.cut,
            request,
        )
        if received.cut and not request.cut_answer and 200 <= answer.status < 300:
            raise OutcomeUnknown(
                f"The provider answered {answer.status}, but the body is longer than"
                f" {request.max_answer_bytes} bytes or cannot be decoded.",
                code="answer_truncated",
            )
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()


STATUSES: Mapping[int, Fault] = {
    401: CredentialsRejected,
    402: AccountBlocked,
    403: Refused,
    408: lambda said: Unavailable(said, transient=True),
    410: Gone,
    425: Unavailable,
    429: RateLimited,
    500: Unavailable,
    502: lambda said: Unavailable(said, transient=True),
    503: lambda said: Unavailable(said, transient=True),
    504: Unavailable,
}


def judge(answer: Answer, refusals: Refusals) -> None:
    """Return for a success; raise the one ProviderError that the answer means otherwise.

    The provider's own words end up in the message, masked; the time it asked for in the error's `wait_s`. An
    unknown code or status is named in the message and judged by its class.
    """
    if 200 <= answer.status < 300 and not (refusals.in_success and refusals.in_success(answer)):
        return
    code, message = refusals.read(answer) if refusals.read is not None else ("", answer.excerpt())
    error = refusals.fault(code, answer.status)(_sentence(answer, code, message))
    if isinstance(error, Retryable):
        asked = [retry_after(answer.headers, datetime.now(UTC)), refusals.wait_s(answer), error.wait_s]
        error.wait_s = next((wait_s for wait_s in asked if wait_s is not None), None)
    raise error


def _sentence(answer: Answer, code: str, message: str) -> str:
    said = answer.shown(message).rstrip(".")
    named = f" {answer.shown(code)}" if code else ""
    return f"The answer was {answer.status}{named}{f': {said}' if said else ''}."


def _fault_of_class(status: int) -> Fault:
    if 300 <= status < 400:
        return lambda said: Refused(f"{said} Redirects are not followed.", code="redirected")
    if 400 <= status < 500:
        return InvalidPayload
    if 500 <= status < 600:
        return Unavailable
    return lambda said: OutcomeUnknown(said, code="unknown_status")


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, at most 24 hours; None without a readable one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    seconds = _seconds(value, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_WAIT_S)


def _seconds(value: str, now: datetime) -> float | None:
    if value.isascii() and value.replace(".", "", 1).isdigit():  # some send fractions
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()

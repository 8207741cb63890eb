"""What the API answers when it says no, as data.

Of the codes only `invalid_step_config`, `step_error` and `api_error` have been seen; no list of them is published. That
used-up credits are a 402 is unconfirmed too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sandbox.faults import Fault
from sandbox.wire import Answer, json_answer

RETRY_AFTER_S: Final = 1
HTML: Final = {"Content-Type": "text/html"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One way to be refused."""

    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, str]:
        """The envelope of errors."""
        return {"message": self.message, "code": self.code}


SLOW_DOWN: Final = {"Retry-After": str(RETRY_AFTER_S)}
PROBLEMS: Final[Mapping[str, Problem]] = {
    "missing_key": Problem(401, "unauthorized", "Missing API key."),
    "invalid_key": Problem(401, "unauthorized", "Invalid API key."),
    "forbidden": Problem(403, "forbidden", "This key may not do that."),
    "no_credits": Problem(402, "insufficient_credits", "The workspace has no credits left."),
    "invalid_request": Problem(400, "invalid_request", "The request was invalid."),
    "invalid_variables": Problem(400, "invalid_request", "variables must be an object."),
    "workflow_not_found": Problem(400, "invalid_request", "There is no such workflow."),
    "invalid_step_config": Problem(400, "invalid_step_config", "The step is not configured correctly."),
    "agent_not_found": Problem(404, "not_found", "There is no such app."),
    "not_found": Problem(404, "not_found", "Not found."),
    "poll_expired": Problem(404, "not_found", "The token is unknown or has expired."),
    "rate_limited": Problem(429, "rate_limited", "Too many requests.", SLOW_DOWN),
    "rate_limited_date": Problem(429, "rate_limited", "Too many requests.", {"Retry-After": "http-date:+3"}),
    "concurrency_limited": Problem(429, "rate_limited", "Too many requests at once.", SLOW_DOWN),
    "run_failed": Problem(500, "api_error", "The run failed."),
    "step_failed": Problem(500, "step_error", "The step failed."),
    "internal": Problem(500, "api_error", "An unexpected condition was met."),
    "unavailable": Problem(503, "api_error", "The service is unavailable."),
}


class Refusal(Exception):
    """A problem that ends the request, by its name in PROBLEMS."""

    def __init__(self, name: str, message: str | None = None) -> None:
        problem = PROBLEMS[name]
        self.problem = problem if message is None else replace(problem, message=message)
        super().__init__(self.problem.message)

    def answer(self) -> Answer:
        """As it is sent."""
        return json_answer(self.problem.body, self.problem.status, self.problem.headers)


def fault(problem: Problem, work: bool = False) -> Fault:
    """A problem as a fault: of a request that did nothing, or of one whose work was done all the same."""
    return Fault(status=problem.status, headers=problem.headers, body=problem.body, work=work)


def said(body: Any, status: int = 200) -> Fault:
    """A fault that answers with a body of its own."""
    return Fault(status=status, body=body, work=False)


def gateway(status: int, words: str, work: bool = False) -> Fault:
    """What the gateway before the API says: a page."""
    page = f"<html><head><title>{status} {words}</title></head><body><h1>{status} {words}</h1></body></html>"
    return Fault(status=status, headers=HTML, body=page, work=work)


FAILED: Final = "The model did not answer in time."
FAULTS: Final[Mapping[str, Fault]] = {
    **{name: fault(problem) for name, problem in PROBLEMS.items()},
    "internal_after": fault(PROBLEMS["internal"], work=True),
    "gateway": gateway(502, "Bad Gateway"),
    "gateway_timeout": gateway(504, "Gateway Time-out"),
    "gateway_timeout_after": gateway(504, "Gateway Time-out", work=True),
    "error_text": said({"error": "Something went wrong."}, 500),  # the three other places of the words
    "details_object": said({"details": {"message": ["is required"]}, "code": "invalid_step_config"}, 400),
    "details_text": said({"details": "The step is not configured correctly."}, 400),
    "success_false": said({"success": False, "error": FAILED}),
    "poll_pending": said({"status": "pending"}),
    "poll_error": said({"status": "error", "error": FAILED}),
    "poll_unsuccessful": said({"status": "complete", "result": {"success": False, "error": FAILED}}),
}

"""How it says no: the errors as data, and all of them as faults with a name.

No catalogue is public: statuses are known, texts and which of five names holds them are not (`error.names`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.autods.assumed import ASSUMED
from sandbox.faults import Fault
from sandbox.wire import Answer, json_answer

ELSEWHERE: Final = "/receive/redirected"  # which counts who follows
HTML: Final = {"Content-Type": "text/html"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One error: status, the name that holds its text, the text."""

    status: int
    name: str
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, text: str | None = None) -> dict[str, str]:
        """As it is sent."""
        return {self.name: text or self.text}


PROBLEMS: Final[Mapping[str, Problem]] = {
    "bad_request": Problem(400, "message", "The request is not understood."),
    "unauthorized": Problem(401, "message", "Unauthorized"),
    "token_expired": Problem(401, "error_description", "The incoming token has expired"),
    "forbidden": Problem(403, "message", "You have no access to this store."),
    "plan_missing": Problem(403, "detail", "Your plan has no access to this API."),
    "addon_missing": Problem(307, "title", "An add-on is missing.", {"Location": ELSEWHERE}),
    "not_found": Problem(404, "detail", "Not found."),
    "already_exists": Problem(409, "message", "An order with this sell_site_order_id exists."),
    "invalid": Problem(422, "detail", "A field is missing or wrong."),
    "rate_limited": Problem(429, "message", "Too many requests.", {"Retry-After": "30"}),
    "rate_limited_silent": Problem(429, "error", "Too many requests."),  # without a word about when
    "server_error": Problem(500, "error", "Internal server error."),
    "unavailable": Problem(503, "message", "Service unavailable."),
    "gateway_timeout": Problem(504, "message", "Endpoint request timed out"),
}


class Refused(Exception):
    """One of PROBLEMS, with a sentence of its own if need be."""

    def __init__(self, name: str, text: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.problem = PROBLEMS[name]
        super().__init__(text or self.problem.text)
        self.headers = {**self.problem.headers, **(headers or {})}

    def answer(self) -> Answer:
        """As it goes out."""
        return json_answer(self.problem.body(str(self)), self.problem.status, self.headers)


class Invalid(Refused):
    """422: which field, and what is wrong with it."""

    def __init__(self, where: Sequence[str | int], message: str) -> None:
        super().__init__("invalid", message)
        self.where = list(where)

    def answer(self) -> Answer:
        """A list under `detail`."""
        detail = [{"loc": ["body", *self.where], "msg": str(self), "type": "value_error"}]
        return json_answer({"detail": detail}, self.problem.status)


def fault(problem: Problem, work: bool = False, body: Any = None) -> Fault:
    """An error as a fault."""
    return Fault(status=problem.status, headers=problem.headers, body=body or problem.body(), work=work)


INVALID_BODY: Final = {"detail": [{"loc": ["body", "product_status"], "msg": "Not an integer.", "type": "type_error"}]}
FAULTS: Final[Mapping[str, Fault]] = {
    **{name: fault(problem) for name, problem in PROBLEMS.items()},
    "invalid": fault(PROBLEMS["invalid"], body=INVALID_BODY),
    "server_error_after": fault(PROBLEMS["server_error"], work=True),  # it is done, and they say it is not
    "gateway_timeout_after": fault(PROBLEMS["gateway_timeout"], work=True),
    "bad_gateway": Fault(status=502, headers=HTML, body="<h1>502 Bad Gateway</h1>", work=False),
    **{
        f"text_in_{name}": Fault(status=400, body={name: "The request is not understood."}, work=False)
        for name in ASSUMED["error.names"]
    },
}

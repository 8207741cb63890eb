"""TikTok's return codes, and the envelope they arrive in.

https://business-api.tiktok.com/portal/docs?id=1737172488964097
HTTP says 200 for nearly everything; `code` in the body says what happened, and decides before the status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Retryable,
    Unavailable,
)
from providers.http import Answer, Fault, Refusals
from providers.oauth2 import CODE_USED, PERMISSION_MISSING, WRONG_CLIENT

SUCCESS = "0"
PARTIAL = "20001"  # some items were taken; which ones stands in `data`

# Words for rows, by which our own steps know what may be done about a refusal.
INVALID = "invalid_parameter"
NOT_THERE = "not_there"
NOTHING_TO_UPDATE = "nothing_to_update"
DUPLICATE_REQUEST = "duplicate_request"
REPORT_TOO_LARGE = "report_too_large"
TASK_FAILED = "task_failed"
TASK_NOT_READY = "task_not_ready"

LIMIT_WAIT_S = 2.0  # limits are per second; what lasts longer is left to the schedule
CONFLICT_WAIT_S = 3.0
FAULT_WAIT_S = 30.0
MAINTENANCE_WAIT_S = 300.0
BLOCKED_WAIT_S = 3600.0
TASK_WAIT_S = 10.0


def code_of(answer: Answer) -> str | None:
    """The code of an answer's envelope; None for what is no envelope."""
    body = answer.json_or_none()
    code = body.get("code") if isinstance(body, dict) else None
    return None if code is None or isinstance(code, bool) or not isinstance(code, int | str) else str(code)


def message_of(answer: Answer) -> str:
    """What the envelope says to people; the start of the body where it is no envelope."""
    body = answer.json_or_none()
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else answer.excerpt()


def read_error(answer: Answer) -> tuple[str, str]:
    """(code, message) of a refusal."""
    return code_of(answer) or "", message_of(answer)


def is_refusal(answer: Answer) -> bool:
    """Whether an answer with a 2xx says no. What is no envelope is judged where it is read."""
    return code_of(answer) not in (None, SUCCESS, PARTIAL)


def _maybe_done(said: str) -> OutcomeUnknown:
    """A fault of theirs, perhaps after the work: what is written is looked for before it is written again."""
    return OutcomeUnknown(said, code="provider_fault")


def _named(error: type[Refused], code: str, hint: str = "") -> Fault:
    return lambda said: error(f"{said} {hint}".rstrip(), code=code)


def _quietly(code: str, wait_s: float) -> Fault:
    """About one object only: the account's other deliveries go on."""

    def fault(said: str) -> Retryable:
        error = Retryable(said, code=code, wait_s=wait_s)
        error.holds = False
        return error

    return fault


def _later(wait_s: float) -> Fault:
    return lambda said: Unavailable(said, wait_s=wait_s)


def _limited(said: str) -> RateLimited:
    return RateLimited(said, wait_s=LIMIT_WAIT_S)


def _each(codes: Iterable[int], fault: Fault) -> dict[str, Fault]:
    return {str(code): fault for code in codes}


CODES: Mapping[str, Fault] = {
    **_each((40000, 40002), _named(InvalidPayload, INVALID)),
    **_each((40001, 40003), _named(Refused, "forbidden", "Connect an account that may do this.")),
    **_each(
        (
            40006,  # parameters of another version
            40010,  # wrong domain
            40051,  # version
            41001,  # endpoint offline
            41002,  # field offline
        ),
        _named(Refused, "api_retired", "TikTok has retired this part of its API: the adapter must be updated."),
    ),
    "40007": _named(InvalidPayload, NOT_THERE),
    **_each((40008, 40009, 40013, 40014), _named(Refused, "not_in_sandbox")),
    "40011": _named(InvalidPayload, "too_many_ids"),
    "40012": _named(InvalidPayload, NOTHING_TO_UPDATE),
    "40050": lambda said: OutcomeUnknown(said, code=DUPLICATE_REQUEST),  # it was made before: to be read back
    **_each((40052, 40053, 40065, 40502), InvalidPayload),
    **_each((40061, 40062), _named(InvalidPayload, INVALID)),  # conversions: too many, or not hashed
    "40063": InvalidPayload,
    "40067": _named(InvalidPayload, REPORT_TOO_LARGE),  # unconfirmed: not in TikTok's own list
    **_each(
        (
            40016,  # the app
            40100,  # the app
            40132,  # one value, such as a pixel code
            40133,  # the advertiser
            61000,
        ),
        _limited,
    ),
    "40101": _named(Refused, WRONG_CLIENT, "Check TIKTOK_ADS_API_KEY and TIKTOK_ADS_SECRET, then connect again."),
    **_each((40110, 40115), _named(Refused, CODE_USED, "Connect the account again.")),
    **_each(
        (
            40102,  # expired: tokens of advertisers do not, so it was cancelled
            40103,  # to 40108: refresh tokens, which only creators have
            40104,
            40105,
            40106,
            40107,
            40108,
            40114,
            40120,
            40300,  # the advertiser is gone, or another's
            40301,
            40302,
            40309,
            70001,
        ),
        CredentialsRejected,
    ),
    "40113": _named(AccountBlocked, "app_blocked", "The app itself is blocked at TikTok."),
    **_each((40116, 40117, 40118, 40119, 40124, 40125), _named(Refused, "app_not_allowed")),
    # Not CredentialsRejected: a missing permission for conversions must not stop the campaigns.
    **_each((40130, 40131), _named(Refused, PERMISSION_MISSING, "Connect again and give the app this permission.")),
    "40200": _named(Refused, TASK_FAILED),
    "40201": _quietly(TASK_NOT_READY, TASK_WAIT_S),
    "40202": _quietly("write_conflict", CONFLICT_WAIT_S),
    "40400": _named(Refused, "no_such_route"),
    "40700": InvalidPayload,
    **_each((40901, 40902, 40903, 40913, 40914), _quietly("media_not_ready", 120.0)),
    **_each((*range(40904, 40913), 40915, 40916), _named(InvalidPayload, "media_rejected")),
    "41000": _later(BLOCKED_WAIT_S),  # the address that we call from is blocked
    **_each((50000, 50002), _maybe_done),
    **_each((*range(51000, 51100), *range(52000, 53000), 53102, 53103), _maybe_done),
    "60001": _later(MAINTENANCE_WAIT_S),
}

CLASSES: Mapping[str, Fault] = {"4": InvalidPayload, "5": _maybe_done, "6": _maybe_done}  # by a code's first digit


def fault_of_class(code: str) -> Fault | None:
    """What a code means that the table does not name; None for what is no return code."""
    return CLASSES.get(code[0]) if len(code) == 5 and code.isascii() and code.isdigit() else None


REFUSALS = Refusals(
    codes=CODES,
    statuses=dict.fromkeys((500, 502, 503, 504), _maybe_done),
    read=read_error,
    in_success=is_refusal,
    other=fault_of_class,
)


def unreadable(what: str = "") -> OutcomeUnknown:
    """The error for a success that says nothing."""
    return OutcomeUnknown(
        f"TikTok's answer is not what its documentation says{f': {what}' if what else ''}.", code="answer_unreadable"
    )


def text_of(value: Any) -> str:
    """An id or a word as text: some answers hold ids as numbers, which exceed 2^53. Empty for neither."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""

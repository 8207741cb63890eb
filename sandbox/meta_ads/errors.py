"""Everything the Graph API can refuse with, as one table; each row is also a fault by name.

A refusal is `{"error": {...}}`, mostly with HTTP 400 and now and then with 500, 403 or even 200.
Subcodes marked [K] were not confirmed against the provider.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sandbox.faults import Fault
from sandbox.meta_ads.people import ACCOUNTS

REGAIN_MIN: Final = 9  # minutes, in the header that comes with a business-use-case limit
RESET_S: Final = 300  # seconds, in the header that comes with an ad-account limit
TIER: Final = "standard_access"
TOKEN_TEXT: Final = "Error validating access token: "  # noqa: S105 - the beginning of a message
CALLS_TEXT: Final = "There have been too many calls "


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of refusal."""

    code: int
    message: str
    subcode: int | None = None
    status: int = 400
    transient: bool = False
    title: str | None = None
    kind: str = "OAuthException"
    limit: str | None = None  # which usage header comes with it: "app", "account", or a business use case


class Refusal(Exception):
    """An answer that is an error; `blame` names the parameters at fault."""

    def __init__(self, problem: Problem, message: str | None = None, blame: Sequence[str] = ()) -> None:
        super().__init__(message or problem.message)
        self.problem = problem
        self.message = message or problem.message
        self.blame = tuple(blame)


def envelope(problem: Problem, message: str, blame: Sequence[str] = ()) -> dict[str, Any]:
    """An error as the Graph API writes it."""
    error: dict[str, Any] = {"message": message, "type": problem.kind, "code": problem.code}
    if problem.subcode is not None:
        error |= {"error_subcode": problem.subcode, "is_transient": problem.transient}
    elif problem.transient:
        error["is_transient"] = True
    if problem.title is not None:
        error |= {"error_user_title": problem.title, "error_user_msg": message}
    if blame:
        error["error_data"] = {"blame_field_specs": [[name] for name in blame]}
    return {"error": {**error, "fbtrace_id": trace_id()}}


def trace_id() -> str:
    """What the provider's support asks for."""
    return "A" + secrets.token_urlsafe(12)


def limited(code: int, what: str, limit: str | None, subcode: int | None = 2446079) -> Problem:
    """A limit of calls."""
    return Problem(code, f"(#{code}) {CALLS_TEXT}{what}.", subcode, limit=limit)


def token(subcode: int, why: str, code: int = 190) -> Problem:
    """A token that does not work, or no longer."""
    return Problem(code, TOKEN_TEXT + why, subcode)


PROBLEMS: Final[Mapping[str, Problem]] = {
    "unknown": Problem(1, "An unknown error occurred", 99, 500, transient=True),
    "data_too_large": Problem(
        1, "Please reduce the amount of data you're asking for, then retry your request", status=500
    ),
    "query_too_large": Problem(
        100, "(#100) Please reduce the amount of data you're asking for, then retry your request", 1487534
    ),
    "temporary": Problem(
        2, "Service temporarily unavailable", status=500, transient=True, title="Service temporarily unavailable"
    ),
    "capability": Problem(3, "(#3) Application does not have the capability to make this API call."),
    "rate_limited_app": limited(4, "from this app", "app", 1504022),
    "rate_limited_app_403": Problem(4, "(#4) Application request limit reached", 1504039, 403, True, limit="app"),
    "rate_limited_user": limited(17, "from this user or ad-account", "account"),
    "rate_limited_page": limited(32, "to this page", None, None),
    "rate_limited_account": limited(613, "from this ad-account", "account", 1487742),
    "rate_limited_volume": limited(613, "of an inconsistent volume", "account", 1996),
    "rate_limited_insights": limited(80000, "from this ad-account", "ads_insights"),
    "rate_limited_pages": limited(80001, "to this Page account", "pages"),
    "rate_limited_instagram": limited(80002, "to this Instagram account", "instagram"),
    "rate_limited_audience": limited(80003, "to this ad-account", "custom_audience"),
    "rate_limited_ads": limited(80004, "to this ad-account", "ads_management"),
    "rate_limited_leadgen": limited(80005, "to this leadgen account", "leadgen"),
    "rate_limited_messenger": limited(80006, "to this Messenger account", "messenger"),
    "rate_limited_whatsapp": limited(80008, "to this WhatsApp Business account", "whatsapp"),
    "rate_limited_catalog": limited(80009, "to this catalog account", "catalog_management"),
    "rate_limited_catalog_batch": limited(80014, "to this catalog account", "catalog_batch"),
    "action_limit": limited(341, "of this action", None, None),
    "error_in_200": Problem(17, f"(#17) {CALLS_TEXT}from this user", 2446079, 200, limit="account"),
    "permission_denied": Problem(10, "(#10) Application does not have permission for this action", status=403),
    "permission": Problem(
        200, "(#200) Ad account owner has NOT grant ads_management or ads_read permission", status=403
    ),
    "access_tier": Problem(294, "(#294) Managing advertisements requires the access tier of it", status=403),
    "revoked": token(458, "The user has not authorized the application."),
    "token_checkpoint": token(459, "The user is enrolled in a blocking, logged-in checkpoint."),
    "token_password": token(460, "The session has been invalidated because the user changed the password."),
    "token_expired": token(463, "Session has expired."),
    "token_unconfirmed": token(464, "Sessions for the user are not allowed because the user is not confirmed."),
    "token_invalid": token(467, "The session is invalid."),
    "token_session": token(492, "The user is not allowed to use this session."),
    "token_unknown": Problem(190, "Invalid OAuth access token - Cannot parse access token"),
    "session_expired": token(463, "Session has expired.", 102),
    "session_invalid": token(467, "The session is invalid.", 102),
    "invalid_parameter": Problem(100, "(#100) Invalid parameter"),
    "object_missing": Problem(
        100,
        "Unsupported request. The object does not exist, cannot be loaded due to missing permissions, "
        "or does not support this operation.",
        33,
        kind="GraphMethodException",
    ),
    "ad_validation": Problem(100, "Invalid parameter", 1487390, title="The campaign is not valid"),  # [K]
    "ad_business_rule": Problem(100, "Invalid parameter", 1885183, title="The campaign breaks a rule"),  # [K]
    "budget_too_low": Problem(100, "Invalid parameter", 1885272, title="Your budget is too low"),  # [K]
    "no_payment_method": Problem(100, "Invalid parameter", 1359188, title="No payment method"),  # [K]
    "ended_object": Problem(100, "Invalid parameter", 1487056, title="It cannot be edited any more"),  # [K]
    "budget_sharing": Problem(
        100,
        "Invalid parameter",
        4834011,
        title="State is_adset_budget_sharing_enabled for a campaign without its own budget",
    ),
    "dsa_missing": Problem(
        100, "Invalid parameter", 3858081, title="Say who benefits from and pays for ads in the European Union"
    ),  # [K]
    "bid_amount": Problem(100, "Invalid parameter", 1815857, title="A capped bid has an amount, others none"),  # [K]
    "rate_limited_budget": Problem(
        613, "(#613) The budget of an ad set can be changed four times in an hour", 1487632, limit="account"
    ),  # [K]
    "video_not_ready": Problem(100, "Invalid parameter", 1885252, title="The video is still being encoded"),  # [K]
    "video_cover": Problem(100, "Invalid parameter", 1443226, title="A video needs a cover"),  # [K]
    "copy_too_large": Problem(100, "Invalid parameter", 1885194, title="Too many ad sets and ads to be copied"),  # [K]
    "event_too_old": Problem(100, "Invalid parameter", 2804003, title="Event Timestamp Too Old"),
    "event_invalid": Problem(100, "Invalid parameter", 2804019, title="Invalid event"),  # [K] which 28040xx
    "event_hash": Problem(100, "Invalid parameter", 2804013, title="Value is not hashed"),  # [K] which 28040xx
    "event_user": Problem(100, "Invalid parameter", 2804050, title="Not enough customer information"),  # [K]
    "code_expired": Problem(100, "This authorization code has expired.", 36007),  # [K]
    "code_redirect": Problem(
        100,
        "Error validating verification code. Please make sure your redirect_uri is identical to the one you used "
        "in the OAuth dialog request",
        36008,  # [K]
    ),
    "code_used": Problem(100, "This authorization code has been used.", 36009),
    "client_secret": Problem(1, "Error validating client secret."),
    "proof": Problem(100, "Invalid appsecret_proof provided in the API argument", kind="GraphMethodException"),
    "proof_missing": Problem(
        100, "API calls from the server require an appsecret_proof argument", kind="GraphMethodException"
    ),
    "signature": Problem(104, "Incorrect signature"),
    "token_missing": Problem(104, "An access token is required to request this resource."),
    "policy": Problem(368, "The action attempted has been deemed abusive or is otherwise disallowed", 1390008, 403),
    "duplicate_post": Problem(506, "Duplicate status message"),
    "timeout": Problem(960, "Request timed out", status=500, transient=True),
    "link_preview": Problem(100, "The link preview could not be fetched", 1609005),
    "callback": Problem(2200, "(#2200) Callback verification failed"),  # [K]
    "unknown_path": Problem(2500, "Unknown path components"),
    "report_not_ready": Problem(2601, "(#2601) The report is not ready"),  # [K]
    "too_long_ago": Problem(3018, "(#3018) The start date of the time range is more than 37 months ago"),  # [K]
    "api_version": Problem(
        2635,
        "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest version: v26.0.",
    ),
}


def usage_headers(limit: str | None) -> dict[str, str]:
    """The headers that come with a limit: minutes for a business use case, seconds for an ad account."""
    if limit is None:
        return {}
    full = {"call_count": 100, "total_cputime": 41, "total_time": 38}
    if limit == "app":
        return {"x-app-usage": json.dumps(full)}
    if limit == "account":
        account = {"acc_id_util_pct": 100, "reset_time_duration": RESET_S, "ads_api_access_tier": TIER}
        return {"x-ad-account-usage": json.dumps(account)}
    entry = {"type": limit, **full, "estimated_time_to_regain_access": REGAIN_MIN, "ads_api_access_tier": TIER}
    return {"x-business-use-case-usage": json.dumps({account: [entry] for account in ACCOUNTS})}


def fault(problem: Problem, work: bool = False) -> Fault:
    """A refusal as a fault: of a request that did nothing, or of one whose work was done all the same."""
    body = envelope(problem, problem.message)
    return Fault(status=problem.status, headers=usage_headers(problem.limit), body=body, work=work)


FAULTS: Final[Mapping[str, Fault]] = {
    **{name: fault(problem) for name, problem in PROBLEMS.items()},
    "unknown_after": fault(PROBLEMS["unknown"], work=True),
    "temporary_after": fault(PROBLEMS["temporary"], work=True),
    "not_json": Fault(status=502, headers={"Content-Type": "text/html"}, body="<html>Bad gateway</html>", work=False),
}


def refusal(name: str, message: str | None = None, *blame: str) -> Refusal:
    """A row of the table as an exception."""
    return Refusal(PROBLEMS[name], message, blame)


def invalid(name: str, wanted: str) -> Refusal:
    """A parameter that is not what it must be."""
    return refusal("invalid_parameter", f"(#100) Param {name} must be {wanted}", name)

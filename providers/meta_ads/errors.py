"""Meta's error codes, the bodies they arrive in, and the waits they ask for.

https://developers.facebook.com/docs/marketing-api/error-reference
Limits come with a 400 rather than a 429, an error may come with a 200, and `is_transient` overrules all codes but those
of limits and tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from providers.errors import (
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Retryable,
    Unavailable,
)
from providers.http import Answer, Fault, Refusals
from providers.meta_ads.usage import usage_of
from providers.oauth2 import CODE_USED, WRONG_CLIENT

MINUTE_S = 60.0
HOUR_S = 3600.0
LIMIT_WAITS_S: Mapping[str, float] = {  # where the usage headers say nothing
    "4": 15 * MINUTE_S,  # the app
    "17": 5 * MINUTE_S,  # a user or an ad account
    "32": 15 * MINUTE_S,  # a page
    "341": HOUR_S,  # an action of the app
    "613": 5 * MINUTE_S,  # an ad account
    "80000": 15 * MINUTE_S,  # insights
    "80001": 15 * MINUTE_S,  # pages
    "80002": 15 * MINUTE_S,  # Instagram
    "80003": 15 * MINUTE_S,  # custom audiences
    "80004": 15 * MINUTE_S,  # ads management
    "80005": 15 * MINUTE_S,  # lead ads
    "80006": 15 * MINUTE_S,  # Messenger
    "80008": 15 * MINUTE_S,  # WhatsApp
    "80009": 15 * MINUTE_S,  # catalogs
    "80014": 15 * MINUTE_S,  # catalog batches
}
JITTER = (1.1, 1.2)  # what waited together must not come back together
POLICY_WAIT_S = 6 * HOUR_S

TOO_MUCH = "too_much_data"
TRANSIENT = "transient"
CONVERSION = "conversion"
INVALID_PARAMETER = "invalid_parameter"
CONVERSION_REFUSED = "conversion_refused"
OBJECT_MISSING = "object_missing"
PROVIDER_FAULT = "provider_fault"
PERMISSION = "permission_missing"
_TOO_MUCH_SAID = "reduce the amount of data"  # the one message that decides: code 1 alone is something else
_CONVERSION_SUBCODES = "2804"  # of the Conversions API: 2804xxx


class TooMuchData(Retryable):
    """The result would be too large: ask for less."""

    code = TOO_MUCH
    holds = False


def _named(kind: type[Refused], code: str, hint: str = "") -> Fault:
    return lambda said: kind(f"{said} {hint}".rstrip(), code=code)


def _rejected(code: str, why: str) -> Fault:
    return _named(CredentialsRejected, code, f"{why} Connect the account again.")


def _maybe_done(said: str) -> OutcomeUnknown:
    """A fault of theirs, perhaps after it was done: a write is looked up before it is repeated."""
    return OutcomeUnknown(said, code=PROVIDER_FAULT)


def _each(codes: Iterable[object], fault: Fault) -> dict[str, Fault]:
    return {str(code): fault for code in codes}


LIMITS: Mapping[str, Fault] = _each(LIMIT_WAITS_S, RateLimited)

TOKENS: Mapping[str, Fault] = {
    "190": _rejected("token_invalid", "The token is not valid."),
    "190/458": _rejected("app_removed", "The person has removed the app."),
    "190/459": _rejected("token_checkpoint", "The person must log in at facebook.com and answer a question there."),
    "190/460": _rejected("token_password_changed", "The person has changed the password."),
    "190/463": _rejected("token_expired", "The token has expired."),
    "190/464": _rejected("token_unconfirmed", "The person is not confirmed."),
    "190/467": _rejected("token_invalid", "The token is not valid."),
    "190/492": _rejected("token_session", "The login has ended."),
    "102": _rejected("token_invalid", "The login has ended."),
    "102/463": _rejected("token_expired", "The token has expired."),
    "102/467": _rejected("token_invalid", "The token is not valid."),
}

CODES: Mapping[str, Fault] = {
    **LIMITS,
    **TOKENS,
    # What `read_error` makes of messages, flags and families of subcodes.
    TOO_MUCH: TooMuchData,
    TRANSIENT: _maybe_done,
    CONVERSION: _named(InvalidPayload, CONVERSION_REFUSED),
    # Faults of theirs.
    **_each((1, 2, 960), _maybe_done),
    "100/1609005": lambda said: Unavailable(said, code="link_preview"),
    "368": lambda said: Retryable(
        f"{said} Meta has blocked this for now: see Account Quality at Meta.",
        code="policy_blocked",
        wait_s=POLICY_WAIT_S,
    ),
    # What the login or the app may not do.
    "3": _named(Refused, "app_not_allowed", "The app lacks a capability: see its App Review at Meta."),
    **_each(
        (10, *range(200, 300)),
        _named(CredentialsRejected, PERMISSION, "Connect the account again, with all permissions."),
    ),
    "294": _named(Refused, "app_not_allowed", "The app needs a higher access tier for ads_management."),
    "104": _named(Refused, "app_misconfigured", "META_ADS_SECRET must be the secret of the app META_ADS_API_KEY."),
    "2635": _named(Refused, "api_version_gone", "The API version has ended: set META_ADS_API_VERSION to a newer one."),
    # What cannot work as it was sent. 1359188, 1885xxx and 1487xxx come under 100 [unconfirmed which there are].
    "100": _named(InvalidPayload, INVALID_PARAMETER),
    "100/33": _named(InvalidPayload, OBJECT_MISSING, "It is not there, or the login may not see it."),
    **_each(("100/36007", "100/36009"), _named(Refused, CODE_USED)),  # expired, used; unconfirmed
    "100/1359188": _named(InvalidPayload, "no_payment_method", "Add a payment method at Meta."),  # unconfirmed
    "100/4834011": _named(InvalidPayload, "budget_sharing_missing"),
    "506": _named(InvalidPayload, "duplicate_post"),
}


def read_error(answer: Answer) -> tuple[str, str]:
    """(code, message) of a refusal: "190/463", "17"; "too_much_data/1", "transient/2", "conversion/100/2804003".

    No code where the body is not Meta's.
    """
    error = error_in(answer)
    if error is None:
        return "", answer.excerpt()
    code, subcode = _text(error.get("code")), _text(error.get("error_subcode"))
    return _family(error, code, subcode) + (f"{code}/{subcode}" if subcode else code), _words(error)


def _family(error: Mapping[str, Any], code: str, subcode: str) -> str:
    if code in LIMITS or code in TOKENS:
        return ""
    if _TOO_MUCH_SAID in _text(error.get("message")).lower() or (code, subcode) == ("100", "1487534"):
        return f"{TOO_MUCH}/"
    if error.get("is_transient") is True:
        return f"{TRANSIENT}/"
    return f"{CONVERSION}/" if code == "100" and subcode.startswith(_CONVERSION_SUBCODES) else ""


def _words(error: Mapping[str, Any]) -> str:
    """What Meta says: the message, its words for people, the fields at fault, and the id that its support asks for."""
    said = [_text(error.get(name)) for name in ("message", "error_user_title", "error_user_msg")]
    data = error.get("error_data")
    blamed = data.get("blame_field_specs") if isinstance(data, dict) else None
    if isinstance(blamed, list) and blamed:
        fields = (".".join(map(str, path)) if isinstance(path, list) else str(path) for path in blamed)
        said.append(f"fields: {', '.join(fields)}")
    if error.get("fbtrace_id"):
        said.append(f"trace: {_text(error['fbtrace_id'])}")
    return "; ".join(dict.fromkeys(part.strip().rstrip(".") for part in said if part.strip()))


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def error_in(answer: Answer) -> Mapping[str, Any] | None:
    """The error that a body holds, whatever the status."""
    body = answer.json_or_none() if b'"error"' in answer.content else None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def wait_s(answer: Answer) -> float | None:
    """The seconds after which a limit may be over: what the headers say, else the code's default."""
    error = error_in(answer)
    default_s = LIMIT_WAITS_S.get(_text(error.get("code"))) if error is not None else None
    if default_s is None:
        return None
    return (usage_of(answer).regain_s or default_s) * random.uniform(*JITTER)  # noqa: S311


REFUSALS = Refusals(
    codes=CODES,
    statuses={
        200: _named(Refused, "unknown_code"),  # an error in a success, with a code that the table does not know
        **dict.fromkeys((500, 502, 503, 504), _maybe_done),
    },
    read=read_error,
    in_success=lambda answer: error_in(answer) is not None,
    wait_s=wait_s,
)

# At the token endpoint code 1 alone says that the app's secret is wrong (unconfirmed).
TOKEN_REFUSALS = replace(
    REFUSALS,
    codes={**CODES, "1": _named(Refused, WRONG_CLIENT), "1/99": _maybe_done, "101": _named(Refused, WRONG_CLIENT)},
)

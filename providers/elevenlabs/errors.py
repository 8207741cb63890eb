"""ElevenLabs' error codes, and the bodies they arrive in.

https://elevenlabs.io/docs/eleven-api/resources/errors
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
    Unavailable,
)
from providers.http import Answer, Fault, Refusals

CONCURRENCY_WAIT_S = 5.0  # about one short generation: what is in flight has to end first


def read_error(answer: Answer) -> tuple[str, str]:
    """(code, message) of any of the six shapes that a refusal comes in; no code where there is none.

    `{"detail": {"code", "message"}}`, the older `{"detail": {"status", "message"}}`, FastAPI's `{"detail":
    [{"loc", "msg"}]}`, `{"detail": "text"}`, the flat `{"error", "message"}`, and what proxies say.
    """
    body = answer.json_or_none()
    if not isinstance(body, dict):
        return "", answer.excerpt()
    detail = body.get("detail")
    if isinstance(detail, dict):
        return _text(detail.get("code") or detail.get("status")), _text(detail.get("message"))
    if isinstance(detail, list):
        return "", "; ".join(_violation(item) for item in detail)
    if isinstance(detail, str):
        return "", detail
    return _text(body.get("error")), _text(body.get("message"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _violation(item: Any) -> str:
    if not isinstance(item, dict):
        return ""
    place = item.get("loc")
    where = ".".join(str(piece) for piece in place) if isinstance(place, list) else ""
    return f"{where}: {_text(item.get('msg'))}" if where else _text(item.get("msg"))


def _maybe_billed(said: str) -> OutcomeUnknown:
    """A fault of theirs, perhaps after the characters were billed: their history is asked first."""
    return OutcomeUnknown(said, code="provider_fault")


def _soon(said: str) -> Unavailable:
    return Unavailable(said, wait_s=CONCURRENCY_WAIT_S)


def _crowded(said: str) -> RateLimited:
    return RateLimited(said, wait_s=CONCURRENCY_WAIT_S)


def _each(codes: Iterable[str], fault: Fault) -> dict[str, Fault]:
    return dict.fromkeys(codes, fault)


CODES: Mapping[str, Fault] = {
    **_each(
        (
            "invalid_api_key",
            "missing_api_key",
            "invalid_authorization_header",
            "unauthorized",
            "missing_permissions",  # the key lacks a scope; the message names it
            "sign_in_required",
            "detected_unusual_activity",
        ),
        CredentialsRejected,
    ),
    **_each(
        (
            "quota_exceeded",  # arrives as a 401
            "insufficient_credits",
            "paid_plan_required",
            "payment_required",
            "feature_not_available",
            "subscription_required",
            "only_for_creator+",
            "can_not_use_instant_voice_cloning",
        ),
        AccountBlocked,
    ),
    **_each(
        (
            "forbidden",
            "insufficient_permissions",
            "workspace_access_denied",
            "voice_access_denied",
            "model_access_denied",
        ),
        Refused,
    ),
    **_each(
        (
            "text_too_long",
            "max_character_limit_exceeded",
            "text_too_short",
            "invalid_text",
            "empty_text",
            "invalid_parameters",
            "missing_required_field",
            "invalid_voice_settings",
            "invalid_voice_id",
            "unsupported_model",
            "invalid_output_format",
            "bad_request",
            "malformed_json",
            "invalid_content_type",
            "request_too_large",
            "voice_not_found",
            "model_not_found",
            "history_item_not_found",
            "pronunciation_dictionary_not_found",
        ),
        InvalidPayload,
    ),
    **_each(("concurrent_limit_exceeded", "too_many_concurrent_requests"), _crowded),
    "rate_limit_exceeded": RateLimited,
    "system_busy": lambda said: Unavailable(said, transient=True),
    "concurrent_modification": lambda said: Unavailable(said, transient=True),
    "invalid_cursor": Unavailable,  # the listing starts anew
    **_each(("already_running", "already_processing", "too_early"), _soon),
    **_each(("internal_error", "service_unavailable", "maintenance"), _maybe_billed),
}

REFUSALS = Refusals(CODES, dict.fromkeys((500, 502, 503, 504), _maybe_billed), read_error)

"""How they say no: the codes as data, the shapes of an error, and all of them as faults with a name.

https://elevenlabs.io/docs/eleven-api/resources/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from sandbox.faults import Fault
from sandbox.wire import Answer, json_answer

# By type: the HTTP status and the codes.
TYPES: Final[Mapping[str, tuple[int, tuple[str, ...]]]] = {
    "not_found": (
        404,
        (
            "agent_not_found",
            "auth_account_not_found",
            "category_not_found",
            "collection_not_found",
            "conversation_not_found",
            "document_not_found",
            "dubbing_not_found",
            "file_not_found",
            "history_item_not_found",
            "keywords_list_not_found",
            "knowledge_base_not_found",
            "model_not_found",
            "phone_number_not_found",
            "project_not_found",
            "pronunciation_dictionary_not_found",
            "read_not_found",
            "sample_not_found",
            "snapshot_not_found",
            "song_not_found",
            "task_not_found",
            "tool_not_found",
            "transcript_not_found",
            "user_not_found",
            "voice_collection_not_found",
            "voice_not_found",
            "workspace_not_found",
        ),
    ),
    "validation_error": (
        400,
        (
            "audio_too_long",
            "audio_too_short",
            "empty_text",
            "invalid_audio",
            "invalid_audio_format",
            "invalid_cursor",
            "invalid_file_type",
            "invalid_output_format",
            "invalid_page_size",
            "invalid_parameters",
            "invalid_text",
            "invalid_voice_id",
            "invalid_voice_settings",
            "missing_required_field",
            "text_too_long",
            "text_too_short",
            "unsupported_model",
        ),
    ),
    "invalid_request": (400, ("bad_request", "invalid_content_type", "malformed_json", "request_too_large")),
    "authentication_error": (
        401,
        ("invalid_api_key", "invalid_authorization_header", "missing_api_key", "sign_in_required", "unauthorized"),
    ),
    "payment_required": (402, ("insufficient_credits", "paid_plan_required")),
    "authorization_error": (
        403,
        (
            "feature_not_available",
            "forbidden",
            "insufficient_permissions",
            "model_access_denied",
            "subscription_required",
            "voice_access_denied",
            "workspace_access_denied",
        ),
    ),
    "conflict": (
        409,
        (
            "already_processing",
            "already_running",
            "concurrent_modification",
            "conflict",
            "resource_already_exists",
            "slug_already_exists",
            "voice_already_exists",
        ),
    ),
    "rate_limit_error": (429, ("concurrent_limit_exceeded", "rate_limit_exceeded", "system_busy")),
    "internal_error": (500, ("internal_error",)),
    "service_unavailable": (503, ("maintenance", "service_unavailable")),
}
CODES: Final[Mapping[str, tuple[int, str]]] = {
    code: (status, kind) for kind, (status, codes) in TYPES.items() for code in codes
}
LEGACY: Final[Mapping[str, str]] = {  # where the older `status` is another word than the code
    "concurrent_limit_exceeded": "too_many_concurrent_requests",
    "paid_plan_required": "payment_required",
    "text_too_long": "max_character_limit_exceeded",
    "unauthorized": "missing_permissions",
}
# Said in the older shape only, `{"detail": {"status", "message"}}`, with this HTTP status.
OLD_STATUSES: Final[Mapping[str, int]] = {
    "can_not_use_instant_voice_cloning": 403,  # reported with 401 and 402 too
    "detected_unusual_activity": 401,
    "max_character_limit_exceeded": 400,
    "missing_permissions": 401,
    "only_for_creator+": 403,
    "payment_required": 402,
    "quota_exceeded": 401,  # nothing left on the plan, told as a 401
    "too_early": 425,
    "too_many_concurrent_requests": 429,
    "voice_limit_reached": 400,  # unconfirmed: no list names it
}
CROWDED: Final = {"current-concurrent-requests": "10", "maximum-concurrent-requests": "10"}
HTML: Final = {"Content-Type": "text/html"}


class Refusal(Exception):
    """An answer other than 200, in the current shape: by its code in CODES."""

    def __init__(
        self, code: str, message: str, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, kind = CODES[code]
        self.detail: Any = current(kind, code, message, param)
        self.headers = headers or {}

    def answer(self) -> Answer:
        """As it goes out."""
        return json_answer({"detail": self.detail}, self.status, {"x-trace-id": uuid4().hex, **self.headers})


class OldRefusal(Refusal):
    """An answer in the older shape: by its status in OLD_STATUSES."""

    def __init__(self, status: str, message: str) -> None:
        Exception.__init__(self, message)
        self.status = OLD_STATUSES[status]
        self.detail = {"status": status, "message": message}
        self.headers = {}


class Invalid(Refusal):
    """422: the list that FastAPI makes of a missing or wrong field."""

    def __init__(self, where: str, name: str, message: str, kind: str) -> None:
        Exception.__init__(self, message)
        self.status = 422
        self.detail = [{"type": kind, "loc": [where, name], "msg": message}]
        self.headers = {}


class FlatRefusal(Refusal):
    """400 in the flat shape that only the download of a history has."""

    def __init__(self, error: str, message: str) -> None:
        Exception.__init__(self, message)
        self.body = {"error": error, "message": message}

    def answer(self) -> Answer:
        """Without `detail`."""
        return json_answer(self.body, 400)


def current(kind: str, code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """The current shape of an error."""
    return {
        "type": kind,
        "code": code,
        "message": message,
        "status": LEGACY.get(code, code),
        "request_id": uuid4().hex,
        "param": param,
    }


def coded(code: str, work: bool = False) -> Fault:
    """A fault in the current shape."""
    status, kind = CODES[code]
    body = {"detail": current(kind, code, f"The sandbox was asked for {code}.")}
    headers = CROWDED if code == "concurrent_limit_exceeded" else {}
    return Fault(status=status, headers=headers, body=body, work=work)


def older(status: str) -> Fault:
    """A fault in the older shape."""
    detail = {"status": status, "message": f"The sandbox was asked for {status}."}
    return Fault(status=OLD_STATUSES[status], body={"detail": detail}, work=False)


FAULTS: Final[Mapping[str, Fault]] = {
    **{code: coded(code) for code in CODES},
    **{status: older(status) for status in OLD_STATUSES},
    "internal_error_after": coded("internal_error", work=True),  # made and billed, and they say it is not
    "service_unavailable_after": coded("service_unavailable", work=True),
    "unknown_429": Fault(status=429, body={}, work=False),
    "validation_list": Fault(
        status=422,
        body={"detail": [{"loc": ["body", "text"], "msg": "field required", "type": "value_error.missing"}]},
        work=False,
    ),
    "plain_404": Fault(status=404, body={"detail": "Not Found"}, work=False),
    "flat_400": Fault(
        status=400, body={"error": "invalid_output_format", "message": "output_format must be wav or none"}, work=False
    ),
    "html_503": Fault(status=503, headers=HTML, body="<html>busy</html>", work=False),
}

"""What every answer of the API looks like, and the return codes as data.

https://business-api.tiktok.com/portal/docs?id=1737172488964097
HTTP says 200 for nearly everything; the `code` in the body says what happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from sandbox.faults import Fault
from sandbox.wire import Answer, json_answer

OK: Final = 0
PARTIAL: Final = 20001

# By the name of the fault: the code and a message. The messages are made up; the codes are TikTok's.
RETURN_CODES: Final[Mapping[str, tuple[int, str]]] = {
    "partial": (PARTIAL, "Partially successful."),
    "invalid_params": (40000, "Invalid parameters."),
    "no_permission": (40001, "You have no permission for this object or operation."),
    "invalid": (40002, "A parameter is missing or wrong."),
    "forbidden": (40003, "This operation is forbidden."),
    "version_error": (40006, "The parameters do not belong to this version."),
    "not_exist": (40007, "The object or operation does not exist."),
    "not_implemented": (40008, "Not implemented."),
    "not_in_sandbox": (40009, "Not supported in the sandbox environment."),
    "wrong_domain": (40010, "This domain is not supported."),
    "too_many_ids": (40011, "Too many ids."),
    "nothing_to_update": (40012, "There is nothing to update."),
    "no_sandbox_advertiser": (40013, "This advertiser does not exist in the sandbox environment."),
    "wrong_cluster": (40014, "Not supported in this cluster."),
    "app_frequency": (40016, "Too many requests of this app."),
    "duplicate_request": (40050, "This request was made already."),
    "invalid_version": (40051, "Invalid API version."),
    "material_exists": (40052, "This material exists in the ACO ad."),
    "invalid_video": (40053, "Invalid video id."),
    "invalid_batch_size": (40061, "Invalid batch size."),
    "not_hashed": (40062, "Personal data is not hashed."),
    "invalid_partner_name": (40063, "Invalid partner name."),
    "policy": (40065, "The age targeting is against the advertising policy."),
    # 40067 is on no list of theirs; clients have met it.
    "report_too_large": (40067, "The query is too large; ask for less."),
    "rate_limited": (40100, "Too many requests. The app reaches the QPS limit."),
    "wrong_secret": (40101, "The app id, secret or auth_code do not match."),
    "token_expired": (40102, "Access token is expired."),
    "refresh_token_expired": (40103, "Refresh token is expired."),
    "token_missing": (40104, "Access token is empty."),
    "revoked": (40105, "Access token is incorrect or has been revoked."),
    "invalid_user": (40106, "Invalid core user."),
    "invalid_refresh_token": (40107, "Invalid refresh token."),
    "invalid_grant_type": (40108, "Invalid grant type."),
    "auth_code_used": (40110, "The auth_code is used or wrong."),
    "app_blocked": (40113, "The app is blocked."),
    "logged_out": (40114, "The advertiser is logged out."),
    "auth_code_expired": (40115, "The auth_code is expired or cancelled."),
    "bad_signature": (40116, "The signature is wrong."),
    "method_not_allowed": (40117, "The app may not use this method."),
    "not_in_allow_list": (40118, "The app is not on the allow-list."),
    "not_same_company": (40119, "The companies do not match."),
    "user_logged_out": (40120, "The TikTok user is not logged in."),
    "developer_rejected": (40124, "The developer profile is rejected."),
    "developer_no_permission": (40125, "The developer has no permission."),
    "scope_missing": (40130, "The scope is not authorized."),
    "user_scope_missing": (40131, "The scope of the TikTok user is not authorized."),
    "value_limited": (40132, "Too many requests for this value."),
    "advertiser_qps": (40133, "Too many requests for this advertiser."),
    "task_error": (40200, "The task failed."),
    "task_not_ready": (40201, "The task is not ready."),
    "write_conflict": (40202, "Another write is under way."),
    "advertiser_missing": (40300, "The advertiser does not exist."),
    "advertiser_role": (40301, "The advertiser has another role."),
    "customer_missing": (40302, "The customer's advertiser does not exist."),
    "login_required": (40309, "Login is required."),
    "route_not_found": (40400, "The route is not found."),
    "ad_limit": (40502, "The account has too many ads."),
    "rpc_validation": (40700, "Internal validation error."),
    "video_transcoding": (40901, "The video is being transcoded."),
    "media_timeout": (40902, "Fetching the URL took too long."),
    "media_unavailable": (40903, "The URL is unavailable."),
    "media_rejected": (40904, "The image has illegal content."),
    "image_timeout": (40913, "Fetching the image took too long."),
    "media_fetch_error": (40914, "The URL cannot be fetched."),
    "upload_invalid": (40915, "The uploaded file is invalid."),
    "video_rejected": (40916, "The video has illegal content."),
    "ip_blocked": (41000, "Requests from this address are blocked."),
    "endpoint_offline": (41001, "This endpoint is offline."),
    "field_offline": (41002, "This field is offline."),
    "system_error": (50000, "System error."),
    "system_timeout": (50002, "System timeout."),
    "dependency_error": (51000, "An internal service failed."),
    "dependency_timeout": (51010, "An internal service took too long."),
    "auth_service_error": (51039, "The authorization service failed."),
    "storage_error": (52000, "The database failed."),
    "deserialization_error": (53102, "Deserialization error."),
    "serialization_error": (53103, "Serialization error."),
    "maintenance": (60001, "The service is under maintenance."),
    "too_many_requests": (61000, "Too many requests."),
    "invalid_auth_type": (70001, "Invalid authorization type of the business."),
    "unknown_client_error": (49999, "An error that no list names."),
    "unknown_service_error": (59999, "An error that no list names."),
}
PARTIAL_DATA: Final = {"partial_failure": True, "failed_events": [{"order_in_batch": 0, "error": "invalid timestamp"}]}


class Refused(Exception):
    """An answer whose code is not 0, by its name in RETURN_CODES."""

    def __init__(self, name: str, message: str | None = None) -> None:
        code, usual = RETURN_CODES[name]
        super().__init__(message or usual)
        self.code = code
        self.message = message or usual


class Invalid(Refused):
    """40002 with a sentence that names the parameter."""

    def __init__(self, message: str) -> None:
        super().__init__("invalid", message)


def success(data: object) -> Answer:
    """Data in the envelope."""
    return enveloped(OK, "OK", data)


def refusal(refused: Refused) -> Answer:
    """A refusal in the envelope."""
    return enveloped(refused.code, refused.message, {})


def enveloped(code: int, message: str, data: object) -> Answer:
    """The envelope; `request_id` is also in the header that their support asks for."""
    request_id = uuid4().hex.upper()
    value = {"code": code, "message": message, "request_id": request_id, "data": data}
    return json_answer(value, headers={"X-Tt-Logid": request_id})


def plain(status: int, text: str) -> Answer:
    """What their gateway says before the API is asked."""
    return Answer(status, text.encode(), {"Content-Type": "text/plain; charset=utf-8"})


def coded(code: int, message: str, work: bool = False) -> Fault:
    """A fault that answers with a code."""
    request_id = f"FAULT{code}"
    data: Any = PARTIAL_DATA if code == PARTIAL else {}
    body = {"code": code, "message": message, "request_id": request_id, "data": data}
    return Fault(headers={"X-Tt-Logid": request_id}, body=body, work=work)


PLAIN_TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}
FAULTS: Final[Mapping[str, Fault]] = {
    **{name: coded(code, message) for name, (code, message) in RETURN_CODES.items()},
    "system_error_after": coded(*RETURN_CODES["system_error"], work=True),  # it is done, and they say it is not
    "http_404": Fault(status=404, headers=PLAIN_TEXT, body="404 page not found", work=False),
    "http_502": Fault(status=502, headers={"Content-Type": "text/html"}, body="<h1>502 Bad Gateway</h1>", work=False),
}

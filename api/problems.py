"""What a door answers when it cannot do what was asked: `application/problem+json` with one sentence (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from db.engine import AWAY, is_away, is_bad_data
from providers.errors import TargetForbidden
from worker.accounts import AccountError
from worker.api_keys import ApiKeyError
from worker.chain_setup import ChainError
from worker.event_checks import EventRejected
from worker.redelivery import RedeliveryError
from worker.subscriptions import SubscriptionError
from worker.syncs import SyncError
from worker.tenants import TenantError

AWAY_S = "5"  # when to come back while PostgreSQL is away

# What the engine says no to, most special first: each message is a sentence that says why.
REFUSALS: Mapping[type[Exception], int] = {
    EventRejected: 422,
    ChainError: 422,
    SubscriptionError: 422,
    TargetForbidden: 422,
    SyncError: 409,
    RedeliveryError: 409,
    AccountError: 422,
    ApiKeyError: 422,
    TenantError: 422,
}

log = structlog.get_logger("mesh.api")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """One answer."""
    body = {"status": status, "title": HTTPStatus(status).phrase, "detail": detail, "message": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Have every error of an application answered so."""
    app.add_exception_handler(HTTPException, _said)
    app.add_exception_handler(RequestValidationError, _not_understood)
    for refusal in REFUSALS:
        app.add_exception_handler(refusal, _refused)
    for kind in (*AWAY, DBAPIError, ValueError, Exception):  # what has no handler of its own is raised again
        app.add_exception_handler(kind, _failed)


def _said(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


def _not_understood(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return problem(422, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}.")


def _refused(request: Request, error: Exception) -> JSONResponse:
    status = next(status for kind, status in REFUSALS.items() if isinstance(error, kind))
    return problem(status, str(error))


def _failed(request: Request, error: Exception) -> JSONResponse:
    if is_away(error):
        return problem(503, "The database does not answer: send it again.", {"Retry-After": AWAY_S})
    if is_bad_data(error):
        return problem(422, "A value cannot be stored: it holds a NUL or half a character, or is out of range.")
    log.error("request_failed", path=request.url.path, exc_info=error)
    return problem(500, "Something failed here; the log says what.")

"""What a door answers when it cannot do what was asked: `application/problem+json` with one sentence (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from db.engine import AWAY, is_away

AWAY_S = "5"  # when to come back while PostgreSQL is away

log = structlog.get_logger("mesh.api")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """One answer."""
    body = {"status": status, "title": HTTPStatus(status).phrase, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Have every error of an application answered so."""
    app.add_exception_handler(HTTPException, _said)
    app.add_exception_handler(RequestValidationError, _not_understood)
    for kind in (*AWAY, Exception):
        app.add_exception_handler(kind, _failed)


def _said(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


def _not_understood(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return problem(422, f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}.")


def _failed(request: Request, error: Exception) -> JSONResponse:
    if is_away(error):
        return problem(503, "The database does not answer: send it again.", {"Retry-After": AWAY_S})
    log.error("request_failed", path=request.url.path, exc_info=error)
    return problem(500, "Something failed here; the log says what.")

"""The application behind `/ui`: its routes, what its errors look like, and the headers of everything it answers."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.ui import (
    chains,
    connecting,
    deliveries,
    events,
    inbox,
    integrations,
    keys,
    login,
    overview,
    publishing,
    records,
    tenants,
    webhooks,
)
from api.ui.fields import FormError
from api.ui.guard import BASE, NotLoggedIn, Viewer
from api.ui.render import HERE, address, problem
from db.engine import AWAY, is_away
from db.pages import TooLong
from providers.errors import TargetForbidden
from worker.accounts import AccountError
from worker.chain_setup import ChainError
from worker.event_checks import EventRejected
from worker.people import LoginRefused, PeopleError
from worker.redelivery import RedeliveryError
from worker.rejections import RejectionError
from worker.subscriptions import SubscriptionError
from worker.tenants import TenantError

# In this order a request is tried: `/events/publish` before `/events/{event_id}`.
PAGES = (
    login,
    overview,
    integrations,
    connecting,
    webhooks,
    publishing,
    events,
    deliveries,
    inbox,
    chains,
    keys,
    records,
    tenants,
)

# What these say is meant for people.
SAYINGS = (
    AccountError,
    ChainError,
    EventRejected,
    FormError,
    LoginRefused,
    PeopleError,
    RedeliveryError,
    RejectionError,
    SubscriptionError,
    TargetForbidden,
    TenantError,
)

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

log = structlog.get_logger("mesh.pages")


def install(app: FastAPI) -> None:
    """Put the pages below `/ui` of an application that has its parts."""
    site = create()
    site.state.parts = app.state.parts
    app.mount(BASE, Headers(site))
    app.add_api_route(BASE, _first_page, include_in_schema=False)


def create() -> FastAPI:
    """The pages."""
    # No redirects to other spellings of an address: they would lead to whatever host a request names.
    site = FastAPI(title="Agent Mesh", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    site.mount("/static", StaticFiles(directory=HERE / "static"))
    for each in PAGES:
        site.include_router(each.router)
    site.add_api_route("/{rest:path}", _nowhere)
    site.add_exception_handler(NotLoggedIn, _log_in_first)
    site.add_exception_handler(HTTPException, _said)
    site.add_exception_handler(TooLong, _too_long)
    site.add_exception_handler(RequestValidationError, _not_understood)
    for saying in SAYINGS:
        site.add_exception_handler(saying, _refused)
    for kind in (*AWAY, Exception):
        site.add_exception_handler(kind, _failed)
    return site


class Headers:
    """Gives everything that an application answers the headers of a page; static files may be kept."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        answered = False

        async def with_headers(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["path"].startswith(f"{BASE}/static/"):
                    headers["Cache-Control"] = "no-cache"
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception:  # it was logged, and answered with a page
            if not answered:
                raise


def _first_page() -> Response:
    return RedirectResponse(f"{BASE}/")


def _nowhere(visitor: Viewer, rest: str) -> Response:
    """Whatever has no page, for those who are logged in: with the navigation around it."""
    raise HTTPException(404, "There is no such page.")


def _log_in_first(request: Request, error: Exception) -> Response:
    if "fragment" in request.query_params:
        return problem(request, 401, "You are not logged in any more.")
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(address("/login", next=wanted if request.method == "GET" else None), 303)


def _said(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    plain = error.detail in ("Not Found", "Method Not Allowed")  # the framework's own words
    return problem(request, error.status_code, "There is no such page." if plain else str(error.detail))


def _not_understood(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["loc"][0] == "path":
        return problem(request, 404, "There is no such page.")
    return problem(request, 422, f"{first['loc'][-1]}: {first['msg']}.")


def _too_long(request: Request, error: Exception) -> Response:
    return problem(request, 503, "There is too much to look through in time: filter by tenant, state or provider.")


def _refused(request: Request, error: Exception) -> Response:
    return problem(request, 422, str(error))


def _failed(request: Request, error: Exception) -> Response:
    if is_away(error):
        return problem(request, 503, "The database does not answer now: load the page again in a moment.")
    log.error("page_failed", path=request.url.path, exc_info=error)
    return problem(request, 500, "Something failed here; the log says what.")

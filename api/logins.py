"""`/oauth/<provider>/authorize` and `/callback`: a browser logs in at a provider, and an account is connected by it."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.parts import Parts, Shared
from providers import PROVIDERS
from worker import oauth_requests
from worker.accounts import AccountError
from worker.oauth import Connected, new_browser_secret

COOKIE = "mesh_login"
COOKIE_S = 600  # as long as a login lives
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – Agent Mesh</title></head>
<body><main><h1>{title}</h1><p role="{role}">{said}</p></main></body>
</html>
"""

router = APIRouter(prefix="/oauth", tags=["Logins"])


@router.get("/{provider}/authorize", response_class=RedirectResponse, status_code=302)
def begin(provider: str, shared: Shared, request: str = "") -> Response:
    """Tie a login to this browser, and send it to the provider. `request` is of an address that the API answered."""
    wanted = oauth_requests.opened(shared.vault, request)
    if wanted is None or wanted.provider != provider:
        return _page("Not connected", "This address is older than ten minutes, or not whole: ask for a new one.", 400)
    browser = new_browser_secret()
    try:
        there = shared.logins.begin(
            tenant_id=wanted.tenant_id,
            provider=provider,
            name=wanted.name,
            fields=wanted.fields,
            browser_secret=browser,
            redirect_to=wanted.redirect_to,
        )
    except AccountError as error:
        return _page("Not connected", str(error), 400)
    answer = RedirectResponse(there, 302, HEADERS)
    _set_cookie(answer, shared, browser)
    return answer


@router.get("/{provider}/callback", response_class=HTMLResponse)
def finish(provider: str, request: Request, shared: Shared) -> Response:
    """Where the provider sends the browser back to."""
    query = dict(request.query_params)
    try:
        connected = shared.logins.finish(
            provider=provider, callback=query, browser_secret=request.cookies.get(COOKIE, "")
        )
    except AccountError as error:
        return _page("Not connected", str(error), 400)
    if connected.redirect_to:
        answer: Response = RedirectResponse(connected.redirect_to, 303, HEADERS)
    else:
        answer = _page("Connected", _said(connected), 200)
    answer.delete_cookie(COOKIE, path=_path(shared))
    return answer


def _said(connected: Connected) -> str:
    title = PROVIDERS[connected.provider].title
    if connected.waits_for_choice:
        return f"{title} is connected. Now choose one of its {len(connected.accounts)} accounts."
    which = "" if connected.chosen is None else f": {connected.chosen.name} ({connected.chosen.id})"
    return f"{title} is connected{which}. You may close this page."


def _set_cookie(answer: Response, shared: Parts, browser: str) -> None:
    answer.set_cookie(
        COOKIE,
        browser,
        max_age=COOKIE_S,
        path=_path(shared),
        secure=shared.public_url.startswith("https:"),
        httponly=True,
        samesite="lax",
    )


def _path(shared: Parts) -> str:
    return f"{urlsplit(shared.public_url).path}/oauth"


def _page(title: str, said: str, status: int) -> HTMLResponse:
    body = PAGE.format(title=escape(title), said=escape(said), role="status" if status == 200 else "alert")
    return HTMLResponse(body, status, HEADERS)

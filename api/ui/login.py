"""Logging in and out."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from api.parts import Parts, Shared
from api.ui.guard import BASE, SESSION, TOO_OLD, LoggedIn, form_of, local, matches, token_of
from api.ui.render import address, page, set_cookie
from worker import audit, people
from worker.people import SESSION_S, LoginRefused

BEFORE = "mesh_before"  # ties the form to the browser that asked for it, before there is a session

router = APIRouter()


@router.get("/login")
def show(request: Request, shared: Shared, next: str = "") -> Response:
    """The form."""
    return _form(request, shared, next)


@router.post("/login")
def log_in(
    request: Request, shared: Shared, form: Annotated[Mapping[str, list[str]], Depends(form_of)], next: str = ""
) -> Response:
    """Let somebody in, and show the page that they came for."""
    if not matches(form, token_of(request.cookies.get(BEFORE, ""))) or not request.cookies.get(BEFORE):
        raise HTTPException(403, TOO_OLD)
    name, password = (form.get("name") or [""])[0], (form.get("password") or [""])[0]
    try:
        person, token = people.log_in(shared.engine, name, password)
    except LoginRefused as refused:
        return _form(request, shared, next, status=401, name=name, error=str(refused))
    with shared.engine.begin() as connection:
        audit.record(connection, audit.Actor(person.name, "pages"), "log in", tenant_id=person.tenant_id)
        if old := request.cookies.get(SESSION):
            people.log_out(connection, old)
    answer = RedirectResponse(local(next), 303)
    set_cookie(answer, shared, SESSION, token, SESSION_S)
    answer.delete_cookie(BEFORE, path=BASE)
    return answer


@router.post("/logout")
def log_out(request: Request, shared: Shared, change: LoggedIn) -> Response:
    """End the session."""
    with shared.engine.begin() as connection:
        people.log_out(connection, request.cookies[SESSION])
        audit.record(connection, change.visitor.actor, "log out", tenant_id=change.visitor.person.tenant_id)
    answer = RedirectResponse(address("/login"), 303)
    answer.delete_cookie(SESSION, path=BASE)
    return answer


def _form(
    request: Request, shared: Parts, next: str, *, status: int = 200, name: str = "", error: str = ""
) -> Response:
    secret = request.cookies.get(BEFORE) or secrets.token_urlsafe(24)
    shown = page(
        None, "login", status=status, csrf=token_of(secret), next=local(next) if next else "", name=name, error=error
    )
    set_cookie(shown, shared, BEFORE, secret, None)
    return shown

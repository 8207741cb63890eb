"""Every route of the pages, as each role: what is refused, and that nothing is open by mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
import requests
from fastapi.routing import APIRoute

from api.ui import site
from tests.mesh import Mesh
from tests.ui.conftest import Enter, Visit, said
from worker.people import Role

SOME_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
PUBLIC = {("GET", "/login"), ("POST", "/login")}
ANYBODY = {("POST", "/logout")}  # with any role
ADMIN = {
    ("GET", "/people"),
    ("POST", "/people"),
    ("POST", "/tenants"),
    ("POST", "/people/{name}/{state}"),
    ("POST", "/keys"),
    ("POST", "/keys/{key_id}/revoke"),
}


def routes() -> Iterator[tuple[str, str]]:
    """Every route by its method and path."""
    for module in site.PAGES:
        for each in module.router.routes:
            assert isinstance(each, APIRoute)
            yield from ((method, each.path) for method in each.methods or ())


ROUTES = sorted(set(routes()))


def path_of(route: str) -> str:
    """A path that fits."""
    filled = {"provider": "elevenlabs", "act": "enable", "name": "somebody", "state": "disabled"}
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: filled.get(found[1], str(SOME_ID)), route)


def needed(method: str, path: str) -> Role | None:
    """Which role a route is for, by the rule: who looks is a viewer, who changes an operator."""
    if (method, path) in PUBLIC:
        return None
    if (method, path) in ADMIN:
        return Role.ADMIN
    return Role.VIEWER if method == "GET" or (method, path) in ANYBODY else Role.OPERATOR


def ask(visit: Visit, method: str, path: str, **options: object) -> requests.Response:
    if method == "GET":
        return visit.get(path_of(path), allow_redirects=False)
    return visit.post(path_of(path), allow_redirects=False)


def test_there_are_routes_and_only_of_two_kinds() -> None:
    assert len(ROUTES) > 50
    assert {method for method, _ in ROUTES} == {"GET", "POST"}
    assert set(ROUTES) >= PUBLIC | ANYBODY | ADMIN, "the tables name routes that are not there"


def test_nobody_gets_anywhere_without_a_session(mesh: Mesh, doors: str) -> None:
    stranger = Visit(doors)
    opened = []
    for method, path in ROUTES:
        answer = ask(stranger, method, path)
        away = answer.status_code == 303 and answer.headers["location"].startswith("/ui/login")
        if not away:
            opened.append((method, path))
    assert opened == sorted(PUBLIC)


@pytest.mark.parametrize("role", Role)
def test_each_role_gets_what_is_for_it(mesh: Mesh, enter: Enter, role: Role) -> None:
    mesh.tenant()
    visit, wrong = enter(role), []
    token = visit.csrf
    for method, path in ROUTES:
        if needed(method, path) is None or (method, path) in ANYBODY:
            continue
        visit.csrf = token
        answer = ask(visit, method, path)
        refused = answer.status_code == 403 and f"you are {role}" in said(answer.text)
        wanted = needed(method, path)
        assert wanted is not None
        if refused == role.may(wanted) or answer.status_code >= 500:
            wrong.append((method, path, answer.status_code))
    assert wrong == []


def test_no_form_is_taken_without_its_token(mesh: Mesh, enter: Enter) -> None:
    visit, wrong = enter("admin"), []
    for method, path in ROUTES:
        if method == "POST" and (method, path) not in PUBLIC:
            for token in ("", "0" * 64):
                visit.csrf = token
                answer = visit.post(path_of(path), allow_redirects=False)
                if answer.status_code != 403 or "another session" not in said(answer.text):
                    wrong.append((path, answer.status_code))
    assert wrong == []
    assert visit.get("/", allow_redirects=False).status_code == 200, "still logged in: logging out needs the token too"


def test_a_token_is_good_for_its_own_session_only(mesh: Mesh, enter: Enter) -> None:
    first, second = enter("admin", name="first"), enter("admin", name="second")
    second.csrf = first.csrf
    assert second.post("/keys", {"name": "x", "scope": "read"}).status_code == 403
    assert mesh.count("api_keys") == 0


def test_who_only_looks_sees_no_buttons(mesh: Mesh, enter: Enter) -> None:
    hook, account = mesh.hook(), mesh.account()
    visit = enter("viewer")
    for path in (f"/webhooks/{hook.webhook_id}", f"/integrations/{account}", "/letters", "/keys", "/chains"):
        forms = re.findall(r'<form[^>]*method="post" action="([^"]*)"', visit.get(path).text)
        assert forms == ["/ui/logout"], path

"""Logging in and out, and what every answer has: headers, no way to run a stranger's script, no way out."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from api.app import create
from api.parts import parts
from api.ui import guard, render
from tests.mesh import Mesh
from tests.ui.conftest import PASSWORD, Enter, Visit, said
from worker import people

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)


@pytest.fixture
def ada(mesh: Mesh, doors: str, cheap: None) -> Visit:
    """A viewer's browser, at the door."""
    with mesh.engine.begin() as connection:
        people.add(connection, "ada", "viewer", PASSWORD)
    return Visit(doors)


def test_whoever_is_not_logged_in_is_asked_to_and_brought_back(ada: Visit) -> None:
    there = ada.get("/events?type=user.signup", allow_redirects=False)
    assert (there.status_code, there.headers["location"]) == (303, "/ui/login?next=%2Fui%2Fevents%3Ftype%3Duser.signup")
    back = ada.log_in("ada", to="%2Fui%2Fevents%3Ftype%3Duser.signup")
    assert back.headers["location"] == "/ui/events?type=user.signup"
    assert ada.get("/").status_code == 200


def test_the_short_address_leads_to_the_first_page(ada: Visit) -> None:
    assert ada.get("", allow_redirects=False).headers["location"] == "/ui/"


def test_a_wrong_password_is_one_sentence(ada: Visit) -> None:
    answer = ada.log_in("ada", "not the password")
    assert answer.status_code == 401
    assert "The name or the password is wrong." in said(answer.text)
    assert "not the password" not in answer.text
    assert guard.SESSION not in ada.session.cookies


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(ada: Visit) -> None:
    set_there = ada.log_in("ada").headers["set-cookie"]
    (session,) = [each for each in set_there.split(", ") if each.startswith("mesh_session=")]
    assert {"HttpOnly", "SameSite=lax", "Path=/ui"} <= {part.strip() for part in session.split(";")}
    assert "Secure" not in session


def test_the_cookie_is_for_https_alone_where_that_is_our_address(mesh: Mesh) -> None:
    shared = parts(mesh.settings.model_copy(update={"mesh_public_url": "https://mesh.example.com"}))
    answer = render.page(None, "problem", code=404, sentence="")
    render.set_cookie(answer, shared, guard.SESSION, "x", 10)
    shared.close()
    assert "; Secure" in answer.headers["set-cookie"]


def test_logging_out_ends_the_session_itself(ada: Visit) -> None:
    ada.log_in("ada")
    ada.get("/")
    kept = ada.session.cookies[guard.SESSION]
    assert ada.post("/logout", allow_redirects=False).headers["location"] == "/ui/login"
    old = requests.get(f"{ada.base}/", cookies={guard.SESSION: kept}, allow_redirects=False, timeout=10)
    assert (old.status_code, old.headers["location"]) == (303, "/ui/login?next=%2Fui%2F")


def test_logging_in_makes_a_new_session_and_ends_the_one_before(mesh: Mesh, ada: Visit) -> None:
    ada.log_in("ada")
    first = ada.session.cookies[guard.SESSION]
    ada.log_in("ada")
    assert ada.session.cookies[guard.SESSION] != first
    assert mesh.count("people_sessions") == 1


def test_the_login_form_is_taken_from_the_browser_that_asked_for_it_only(ada: Visit, doors: str) -> None:
    ada.get("/login")
    stranger = Visit(doors)
    answer = stranger.session.post(
        f"{stranger.base}/login", {"csrf": ada.csrf, "name": "ada", "password": PASSWORD}, timeout=10
    )
    assert answer.status_code == 403
    stranger.csrf = guard.token_of("")
    assert stranger.post("/login", {"name": "ada", "password": PASSWORD}).status_code == 403


@pytest.mark.parametrize(
    "elsewhere",
    [
        *("https://evil.example/ui/", "//evil.example/ui/", "/\\evil.example", "/ui/\\..\\x", "javascript:alert(1)"),
        *("/ui\n//evil.example", "/uix", "/other", "ui/", "http:/ui/x"),
    ],
)
def test_a_login_leads_nowhere_else(elsewhere: str) -> None:
    assert guard.local(elsewhere) == "/ui/"


@pytest.mark.parametrize("ours", ["/ui", "/ui/", "/ui/events?type=a&before=b", "/ui/integrations/x"])
def test_a_login_leads_to_the_page_that_was_asked_for(ours: str) -> None:
    assert guard.local(ours) == ours


def test_a_fragment_says_that_the_session_has_ended_instead_of_leading_away(ada: Visit) -> None:
    assert ada.get("/?fragment=1", allow_redirects=False).status_code == 401


# ------------------------------------------------------------------------------------------------------ every answer


@pytest.mark.parametrize("path", ["/login", "/", "/events", "/nothing/here", "/events/not-an-id", "/?tenant=nobody"])
def test_every_answer_is_kept_by_nobody_and_runs_no_strangers_script(enter: Enter, path: str) -> None:
    answer = enter("viewer").get(path)
    headers = {name: answer.headers.get(name) for name in ("content-security-policy", "cache-control")}
    assert headers == {"content-security-policy": POLICY, "cache-control": "no-store"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=\"/ui/static/)", answer.text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.text), "something is loaded from elsewhere"


@pytest.mark.parametrize("name", ["mesh.css", "mesh.js", "icon.svg"])
def test_static_files_are_there_for_everybody(doors: str, name: str) -> None:
    answer = requests.get(f"{doors}/ui/static/{name}", timeout=10)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize("path", ["/static/../site.py", "/static/%2e%2e/site.py", "/static/..%2fsite.py", "/static/"])
def test_static_files_are_no_way_to_others(doors: str, path: str) -> None:
    prepared = requests.Request("GET", f"{doors}/ui/x").prepare()
    prepared.url = f"{doors}/ui{path}"
    with requests.Session() as session:
        assert session.send(prepared, timeout=10).status_code == 404


def test_what_is_not_there_is_one_sentence(enter: Enter) -> None:
    visit = enter("viewer")
    for path in ("/nothing", "/events/not-an-id", "/deliveries/01890a5d-ac96-774b-bcce-b302099a8057"):
        assert "Not found" in visit.read(path, 404)
    assert "Before must be an id" in visit.read("/events?before=x", 422)
    assert "There is no such state" in visit.read("/deliveries?state=lost", 422)


def test_a_form_that_is_too_long_is_not_read(enter: Enter) -> None:
    visit = enter("operator")
    assert visit.post("/webhooks/new", {"url": "x" * 300_000}).status_code == 413


def test_a_bug_is_one_sentence_and_the_database_away_is_another(
    mesh: Mesh, enter: Enter, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = enter("viewer")

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("s3cret inside")

    monkeypatch.setattr("db.pages.events", broken)
    answer = visit.get("/events")
    assert answer.status_code == 500
    assert "Something failed here; the log says what." in said(answer.text)
    assert "s3cret" not in answer.text
    assert answer.headers["content-security-policy"] == POLICY


def test_what_takes_too_long_is_one_sentence(mesh: Mesh, enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.hook()
    mesh.signup()
    visit = enter("viewer")
    monkeypatch.setattr("db.pages.MOST_MS", 50)
    monkeypatch.setattr("db.pages.where", lambda *_: "pg_sleep(5) is null")
    assert "There is too much to look through in time" in visit.read("/deliveries", 503)


def test_the_application_has_the_pages(mesh: Mesh) -> None:
    shared = parts(mesh.settings)
    paths = [getattr(route, "path", "") for route in create(shared).routes]
    shared.close()
    assert paths.count("/ui") == 2  # the pages below it, and the address without its slash

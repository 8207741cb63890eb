"""People at the pages of a real mesh: a browser without a window, and how to log in with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
import requests

from tests.mesh import Mesh
from worker import people

PASSWORD = "correct horse battery"
CSRF = re.compile(r'name="csrf" value="(\w+)"')


class Text(HTMLParser):
    """What a page says, without its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        """Keep it."""
        self.words.append(data)


def said(html: str) -> str:
    """The words of a page, blanks folded."""
    reader = Text()
    reader.feed(html)
    return " ".join(" ".join(reader.words).split())


class Visit:
    """A browser with its cookies. Redirects are followed unless asked otherwise."""

    def __init__(self, doors: str) -> None:
        self.base = f"{doors}/ui"
        self.session = requests.Session()
        self.session.trust_env = False
        self.csrf = ""

    def get(self, path: str, **options: Any) -> requests.Response:
        """One page."""
        answer = self.session.get(self.base + path, timeout=30, **options)
        found = CSRF.search(answer.text)
        self.csrf = found[1] if found else self.csrf
        return answer

    def post(self, path: str, form: Mapping[str, Any] | None = None, **options: Any) -> requests.Response:
        """Send a form, with the token of the last page that was seen."""
        return self.session.post(self.base + path, {"csrf": self.csrf, **(form or {})}, timeout=30, **options)

    def log_in(self, name: str, password: str = PASSWORD, *, to: str = "") -> requests.Response:
        """Fill in the form."""
        path = "/login" + (f"?next={to}" if to else "")
        self.get(path)
        return self.post(path, {"name": name, "password": password}, allow_redirects=False)

    def read(self, path: str, status: int = 200) -> str:
        """The words of a page."""
        answer = self.get(path)
        assert answer.status_code == status, said(answer.text)
        return said(answer.text)

    def did(self, path: str, form: Mapping[str, Any] | None = None) -> str:
        """What a page says after a form was sent; the form must be taken."""
        answer = self.post(path, form)
        assert answer.status_code == 200, said(answer.text)
        return said(answer.text)

    def refused(self, path: str, form: Mapping[str, Any] | None = None, status: int = 422) -> str:
        """The one sentence that says why a form is not taken."""
        answer = self.post(path, form)
        assert answer.status_code == status, said(answer.text)
        (sentence,) = re.findall(r'class="wrong" role="alert">(.*?)</p>', answer.text, re.S)
        return unescape(sentence)


Enter = Callable[..., Visit]


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that cost nothing to hash: what they cost is measured by one test."""
    monkeypatch.setattr(people, "_LOG_N", 4)
    people._nobodys.cache_clear()


@pytest.fixture
def enter(mesh: Mesh, doors: str, cheap: None) -> Enter:
    """Let somebody with a role in, for all tenants or for one."""

    def entered(role: str = "operator", tenant: str | None = None, name: str = "") -> Visit:
        who = name or f"{role}-{tenant or 'all'}"
        with mesh.engine.begin() as connection:
            people.add(connection, who, role, PASSWORD, tenant)
        visit = Visit(doors)
        assert visit.log_in(who).status_code == 303
        visit.get("/")
        return visit

    return entered


@pytest.fixture
def olga(mesh: Mesh, enter: Enter) -> Visit:
    """An operator of all tenants, of which acme is one."""
    mesh.tenant()
    return enter("operator", name="olga")

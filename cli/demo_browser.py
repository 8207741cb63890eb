"""A person in front of a login page, played by the demo: follows redirects, keeps cookies, presses a button."""

from __future__ import annotations

from collections.abc import Mapping
from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, ProxyHandler, Request, build_opener

TIMEOUT_S = 30.0


class Browser:
    """One browser, for pages on this machine."""

    def __init__(self) -> None:
        cookies = CookieJar(DefaultCookiePolicy(strict_domain=False))
        self._opener: OpenerDirector = build_opener(ProxyHandler({}), HTTPCookieProcessor(cookies))
        self.url = ""
        self.text = ""

    def open(self, url: str) -> str:
        """Go to a page; its text, whatever its status."""
        return self._go(Request(url))  # noqa: S310

    def press(self, label: str, **changes: str) -> str:
        """Press the button with this label on the page's form as it is filled in, but for `changes`."""
        form = _Form()
        form.feed(self.text)
        name, value = form.buttons[label]
        filled = [(field, given) for field, given in form.fields if field not in changes]
        body = urlencode([*filled, *changes.items(), (name, value)]).encode()
        return self._go(Request(urljoin(self.url, form.action), body, method="POST"))  # noqa: S310

    def _go(self, request: Request) -> str:
        try:
            answer = self._opener.open(request, timeout=TIMEOUT_S)
        except HTTPError as refusal:
            answer = refusal
        with answer:
            self.url, self.text = answer.geturl(), answer.read().decode("utf-8", "replace")
        return self.text


class _Form(HTMLParser):
    """The first form of a page: where it goes, what it holds, its buttons by their labels."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.fields: list[tuple[str, str]] = []
        self.buttons: dict[str, tuple[str, str]] = {}
        self._button: tuple[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take what a form, a field or a button says of itself."""
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given.get("action", "")
        elif tag == "button":
            self._button = given.get("name", ""), given.get("value", "")
        elif tag == "input" and _is_sent(given):
            self.fields.append((given["name"], given.get("value", "on")))

    def handle_data(self, data: str) -> None:
        """The label of a button."""
        if self._button is not None and data.strip():
            self.buttons[data.strip()] = self._button
            self._button = None


def _is_sent(given: Mapping[str, str]) -> bool:
    return "name" in given and ("checked" in given or given.get("type") not in ("radio", "checkbox"))

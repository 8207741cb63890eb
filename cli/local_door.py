"""The local door: where a browser on this machine connects an account, for as long as one command waits for it.

It listens where MESH_PUBLIC_URL says, which must be this machine: the same addresses as the mesh's own pages have.
Nothing that a browser sends is logged: the code of a login is part of its address.
"""

from __future__ import annotations

import contextlib
import html
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import AF_INET6
from urllib.parse import parse_qsl, urlsplit

import typer

from cli import errors, session
from cli.errors import Problem
from cli.show import safe, say
from providers import PROVIDERS
from providers.http import HttpTransport
from settings import current
from worker.accounts import AccountError
from worker.oauth import Connected, OAuth, new_browser_secret
from worker.oauth_errors import StateRefused
from worker.resources import installed
from worker.tokens import Tokens

WAIT_S = 600.0  # as long as a login lives
COOKIE = "mesh_login"
COOKIE_KIND = f"Max-Age={WAIT_S:.0f}; HttpOnly; SameSite=Lax"
LOOK_S = 0.2
IDLE_S = 30.0  # a browser that opens a connection and says nothing
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – Agent Mesh</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem }}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p role="{role}">{said}</p>
{more}</main>
</body>
</html>
"""
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}

Outcome = Connected | Exception


@contextmanager
def logins() -> Iterator[OAuth]:
    """Logins of this installation, for one command."""
    settings = current()
    transport = HttpTransport(policy=session.policy())
    facts = {name: installed(settings, provider) for name, provider in PROVIDERS.items()}
    tokens = Tokens(session.engine(), session.keys(), transport, facts)
    try:
        yield OAuth(session.engine(), session.keys(), transport, facts, tokens, settings.mesh_public_url)
    finally:
        tokens.close()
        transport.close()


@dataclass(frozen=True, slots=True)
class Login:
    """What is to be connected."""

    tenant_id: str
    provider: str
    name: str
    fields: Mapping[str, str]
    account: str | None = None  # the one to use, where that was said beforehand


def connect_in_browser(oauth: OAuth, login: Login, *, wait_s: float = WAIT_S) -> Connected:
    """Print the address to open, wait for the browser to come back, and say what it came to. Raises what went wrong."""
    oauth.check(tenant_id=login.tenant_id, provider=login.provider, name=login.name, fields=login.fields)
    if _address(oauth.public_url) is None:
        return _brought_by_hand(oauth, login)
    with opened(oauth, login) as door:
        title = PROVIDERS[login.provider].title
        say(f"Open this in a browser on this machine to log in at {title}:\n\n  {door.url('authorize')}\n")
        say(f"[dim]Waiting for it, {wait_s / 60:.0f} minutes at most; Ctrl-C stops.[/]")
        sys.stdout.flush()
        return door.outcome(wait_s)


def _brought_by_hand(oauth: OAuth, login: Login) -> Connected:
    """Connect where browsers reach the mesh at another place: the person brings the address that the login ends at."""
    browser = new_browser_secret()
    there = oauth.begin(
        tenant_id=login.tenant_id,
        provider=login.provider,
        name=login.name,
        fields=login.fields,
        browser_secret=browser,
    )
    say(f"Open this in a browser to log in at {PROVIDERS[login.provider].title}:\n\n  {safe(there)}\n")
    ends = safe(oauth.redirect_uri(login.provider))
    say(f"The login ends at {ends}?… Copy that whole address, even if the browser shows nothing there.")
    brought = str(typer.prompt("The address"))
    callback = dict(parse_qsl(urlsplit(brought.strip()).query, keep_blank_values=True))
    return oauth.finish(provider=login.provider, callback=callback, browser_secret=browser)


def _first(outcomes: queue.Queue[Outcome], wait_s: float) -> Outcome | None:
    """The first outcome; None when there is none in time. In short waits: another thread may have got Ctrl-C."""
    give_up_at = time.monotonic() + wait_s
    while (left_s := give_up_at - time.monotonic()) > 0:
        with contextlib.suppress(queue.Empty):
            return outcomes.get(timeout=min(left_s, LOOK_S))
    return None


@dataclass(frozen=True, slots=True)
class Door:
    """One login's pages on this machine, and what came of it."""

    oauth: OAuth
    login: Login
    outcomes: queue.Queue[Outcome] = field(default_factory=queue.Queue)

    def url(self, page: str) -> str:
        """The address of one of the door's pages."""
        return f"{self.oauth.public_url.rstrip('/')}/oauth/{self.login.provider}/{page}"

    @property
    def title(self) -> str:
        """The provider's name."""
        return PROVIDERS[self.login.provider].title

    def outcome(self, wait_s: float) -> Connected:
        """Wait for the browser to come back. Raises what went wrong."""
        outcome = _first(self.outcomes, wait_s)
        if outcome is None:
            raise Problem("Nobody came back from the login in time: run the command again.")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@contextmanager
def opened(oauth: OAuth, login: Login) -> Iterator[Door]:
    """A door that is open until the end of the block, served on a thread of its own."""
    door = Door(oauth, login)
    here = _address(oauth.public_url)
    assert here is not None, "the door is on this machine"
    host, port = here

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False  # a browser may keep a connection open
        address_family = AF_INET6 if ":" in host else ThreadingHTTPServer.address_family

        def handle_error(self, request: object, client_address: object) -> None:
            """A browser hung up: nobody's fault, and nothing for the terminal."""

    try:
        server = Server((host, port), partial(_Handler, door))
    except OSError as error:
        raise Problem(
            f"The local door cannot listen on {host}:{port} ({error.strerror}): stop what runs there, or set"
            " MESH_PUBLIC_URL to another port and register that address at the provider."
        ) from None
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="local-door", daemon=True)
    thread.start()
    try:
        yield door
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _address(public_url: str) -> tuple[str, int] | None:
    """Host and port of the door; None where that is not this machine."""
    try:
        parts = urlsplit(public_url)
        host, port = parts.hostname or "", parts.port or 80
        here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return None
    return (host, port) if here and parts.scheme == "http" else None


def _next(login: Login, connected: Connected) -> str:
    """What is to be done when the login has come back."""
    if not connected.waits_for_choice:
        return "You may close this page."
    if login.account is not None:
        return f"The terminal says whether account {login.account} can be used."
    return "Now choose one of its accounts in the terminal."


class _Handler(BaseHTTPRequestHandler):
    """The door's two pages."""

    timeout = IDLE_S
    server_version, sys_version = "mesh", ""

    def __init__(self, door: Door, *args: object) -> None:
        self._door = door
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        """One page."""
        address = urlsplit(self.path)
        here = urlsplit(self._door.oauth.public_url).path.rstrip("/") + f"/oauth/{self._door.login.provider}"
        if address.path == f"{here}/authorize":
            self._authorize()
        elif address.path == f"{here}/callback":
            self._callback(dict(parse_qsl(address.query, keep_blank_values=True)))
        else:
            self._page(404, "Nothing is here", f"This door is for connecting {self._door.title} only.")

    def _authorize(self) -> None:
        """Tie the login to this browser, and send it to the provider."""
        oauth, login = self._door.oauth, self._door.login
        if not self._is_at(urlsplit(oauth.public_url).hostname):  # the cookie must be of the callback's host
            return self._redirect(self._door.url("authorize"))
        browser = new_browser_secret()
        try:
            there = oauth.begin(
                tenant_id=login.tenant_id,
                provider=login.provider,
                name=login.name,
                fields=login.fields,
                browser_secret=browser,
            )
        except Exception as error:  # noqa: BLE001 - the command ends with it
            return self._failed(error)
        return self._redirect(
            there, f"{COOKIE}={browser}; Path={urlsplit(oauth.public_url).path or '/'}; {COOKIE_KIND}"
        )

    def _is_at(self, host: str | None) -> bool:
        """Whether the browser knows us by this name."""
        try:
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname == host
        except ValueError:
            return False

    def _callback(self, query: Mapping[str, str]) -> None:
        """Finish the login that comes back."""
        door = self._door
        try:
            connected = door.oauth.finish(
                provider=door.login.provider, callback=query, browser_secret=self._browser_secret()
            )
        except Exception as error:  # noqa: BLE001 - shown here, and the command ends with it
            return self._failed(error)
        which = "" if connected.chosen is None else f": {connected.chosen.name} ({connected.chosen.id})"
        self._page(200, "Connected", f"{door.title} is connected{which}. {_next(door.login, connected)}")
        return door.outcomes.put(connected)

    def _browser_secret(self) -> str:
        try:
            found = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            return ""
        return found.value if found else ""

    def _failed(self, error: Exception) -> None:
        """Say what went wrong. A callback that is nobody's does not end the command: the right one may still come."""
        said = errors.sentence(error) or "Something failed inside mesh: see the terminal."
        status = 400 if isinstance(error, AccountError) else 503
        again = f'<p><a href="{html.escape(self._door.url("authorize"))}">Begin again</a></p>\n'
        stays = isinstance(error, StateRefused)
        self._page(status, "Not connected", said, role="alert", more=again if stays else "")
        if not stays:
            self._door.outcomes.put(error)

    def _redirect(self, url: str, cookie: str = "") -> None:
        self.send_response(302)
        for name, value in {"Location": url, **HEADERS, "Content-Length": "0"}.items():
            self.send_header(name, value)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()

    def _page(self, status: int, title: str, said: str, *, role: str = "status", more: str = "") -> None:
        body = PAGE.format(
            title=html.escape(title), said=html.escape(errors.visible(said)), role=role, more=more
        ).encode()
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

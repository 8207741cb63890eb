"""A plain HTTP client of the Meta stand-in, and an app's callback that hears its webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

from sandbox.process import Sandbox

APP_ID, APP_SECRET = "1111111111", "meta_app_secret_1"
APP_TOKEN = f"{APP_ID}|{APP_SECRET}"
MIRA, JONAS = "10001", "10002"
USD, EUR, JPY, GBP = "1234567890", "2345678901", "3456789012", "4567890123"
FIRST = "120210000000000001"  # the first campaign of the USD account
PIXEL = "987654321098765"
PATIENCE_S = 10.0


@dataclass(frozen=True)
class Reply:
    """Status, headers by lower-case name, and the JSON of an answer."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def codes(self) -> tuple[int, int, int | None]:
        """HTTP status, code and subcode of an error."""
        error = self.json["error"]
        return self.status, error["code"], error.get("error_subcode")


class Graph:
    """Requests with a token, at v25.0 unless the path says otherwise."""

    def __init__(self, url: str, token: str | None) -> None:
        self.url = url
        self.token = token
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, path: str, **params: Any) -> Reply:
        return self._ask("GET", path, params=texts(params))

    def post(self, path: str, **form: Any) -> Reply:
        return self._ask("POST", path, data=texts(form))

    def post_json(self, path: str, body: Any) -> Reply:
        return self._ask("POST", path, json=body)

    def delete(self, path: str, **params: Any) -> Reply:
        return self._ask("DELETE", path, params=texts(params))

    def all(self, path: str, **params: Any) -> list[Any]:
        """Every page of a list, by the cursors."""
        found: list[Any] = []
        while True:
            answer = self.get(path, **params)
            assert answer.status == 200, answer.json
            found += answer.json["data"]
            if "next" not in answer.json.get("paging", {}):
                return found
            params["after"] = answer.json["paging"]["cursors"]["after"]

    def _ask(self, method: str, path: str, **sent: Any) -> Reply:
        url = path if path.startswith("http") else self.url + (path if path.startswith("/") else f"/v25.0/{path}")
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        answer = self._session.request(method, url, headers=headers, timeout=PATIENCE_S, **sent)
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status_code, lower, answer.json())


def texts(params: Mapping[str, Any]) -> dict[str, str]:
    """Parameters as they travel: nested values as JSON."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in params.items()}


def issue_token(sandbox: Sandbox, person: str = MIRA, **more: Any) -> str:
    """A person's token for the app."""
    given = {"app_id": APP_ID, "app_secret": APP_SECRET, "person": person, **more}
    return str(sandbox.control.do("meta_ads", "issue_token", **given))


@dataclass
class Callback:
    """An app's callback URL: repeats challenges (unless told otherwise) and keeps what is posted."""

    url: str = ""
    repeats: bool = True
    asked: list[dict[str, str]] = field(default_factory=list)
    posted: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def callback() -> Iterator[Callback]:
    """A callback that listens until the end of the block."""
    heard = Callback()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
            heard.asked.append(asked)
            self._answer(asked["hub.challenge"].encode() if heard.repeats else b"no")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.posted.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self._answer(b"thanks")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    heard.url = f"http://127.0.0.1:{server.server_port}/hooks/meta"
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def a_file(content: bytes) -> Iterator[str]:
    """The address of a file, where it is until the end of the block; what is asked for beside it is not there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there = self.path == "/file"
            self.send_response(200 if there else 404)
            self.send_header("Content-Length", str(len(content) if there else 0))
            self.end_headers()
            self.wfile.write(content if there else b"")

        def log_message(self, format: str, *args: Any) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/file"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""What the provider tests share: small real servers, a transport that answers from a list, and calls."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from model import Event, MediaAsset
from providers.addresses import AddressPolicy, networks
from providers.contract import Call, Provider
from providers.http import Answer, Headers, HttpTransport, Request, webhook_request

LOOPBACK = networks(["127.0.0.0/8", "::1"])
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
EVENT_ID = UUID("01930000-0000-7000-8000-000000000001")
DELIVERY_ID = UUID("01930000-0000-7000-8000-000000000002")
INTEGRATION_ID = UUID("01930000-0000-7000-8000-000000000003")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, server: Server, number: int) -> None:
        self.sock = sock
        self.server = server
        self.number = number  # of the connection, from 1
        self._buffer = b""

    def request(self) -> bytes:
        """One whole request as it came; empty when the client is gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return b""
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(rest) < length:
            if not self._more():
                return b""
            rest = self._buffer.partition(b"\r\n\r\n")[2]
        self._buffer = rest[length:]
        whole = head + b"\r\n\r\n" + rest[:length]
        self.server.requests.append(whole)
        return whole

    def _more(self) -> bool:
        data = self.sock.recv(65536)
        self._buffer += data
        return bool(data)

    def say(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def drip(self, data: bytes, every_s: float = 0.02) -> None:
        """Send one byte at a time until the client is gone or the test is over."""
        for index in range(len(data)):
            self.say(data[index : index + 1])
            if self.server.over.wait(every_s):
                return

    def hang(self) -> None:
        """Say nothing until the test is over."""
        self.server.over.wait(10)

    def reset(self) -> None:
        """Close with a reset instead of an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


Script = Callable[[Peer], None]


class Server:
    """A TCP server that plays a script on each connection, on a thread of its own."""

    def __init__(self, script: Script, wrap: Callable[[socket.socket], socket.socket] | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = threading.Semaphore(0)  # one for each connection that the server closed
        self.over = threading.Event()
        self._script = script
        self._wrap = wrap or (lambda sock: sock)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.base_url}/hooks/catch/123456/s3cretpath/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.over.is_set():
                sock.close()
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            sock = self._wrap(sock)
            self._script(Peer(sock, self, number))
        except OSError:
            pass  # the client went away; what it saw is what the test looks at
        finally:
            sock.close()
            self.closed.release()

    def close(self) -> None:
        """Stop listening and let hanging scripts go."""
        self.over.set()
        # A blocked accept is not woken by close alone.
        with socket.socket() as knock:
            knock.settimeout(1)
            knock.connect_ex(("127.0.0.1", self.port))
        self._listener.close()


@contextmanager
def serving(script: Script, wrap: Callable[[socket.socket], socket.socket] | None = None) -> Iterator[Server]:
    """A server for the length of a `with`."""
    server = Server(script, wrap)
    try:
        yield server
    finally:
        server.close()


def always(*pieces: bytes) -> Script:
    """A script that gives every request the same answer and keeps the connection open."""

    def script(peer: Peer) -> None:
        while peer.request():
            for piece in pieces:
                peer.say(piece)

    return script


def once(*pieces: bytes) -> Script:
    """A script that answers one request and closes."""

    def script(peer: Peer) -> None:
        peer.request()
        for piece in pieces:
            peer.say(piece)

    return script


@contextmanager
def transport(policy: AddressPolicy | None = None, **settings: Any) -> Iterator[HttpTransport]:
    """The real transport, which may call this machine."""
    made = HttpTransport(policy=policy or AddressPolicy(LOOPBACK), **settings)
    try:
        yield made
    finally:
        made.close()


def hook(url: str, body: bytes = b"{}", headers: Mapping[str, str] | None = None) -> Request:
    """A webhook's POST."""
    return webhook_request("POST", url, headers or {}, body)


def answer(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """An answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, Headers.of(headers or {}), content)


class Scripted:
    """A transport that gives the next of its answers, or raises it, and remembers the requests."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[Request] = []
        self.deadlines: list[float] = []

    def send(self, request: Request, deadline_s: float) -> Answer:
        self.requests.append(request)
        self.deadlines.append(deadline_s)
        given = self._answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return Answer(given.status, given.headers, given.content, 1, given.cut, request)


class Memory:
    """Media storage in memory."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.files: dict[str, bytes] = {}
        self.kept: list[MediaAsset] = []
        self.assets: dict[str, MediaAsset] = {}
        self._failure = failure

    def keep(self, name: str, content: bytes, mime: str, **details: Any) -> MediaAsset:
        if self._failure:
            raise self._failure
        self.files[name] = content
        asset = MediaAsset(EVENT_ID, f"memory://{name}", mime, len(content), "sha", details)
        self.kept.append(asset)
        return asset

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def drop(self, name: str) -> None:
        self.files.pop(name, None)

    def stored(self, asset_id: str, content: bytes, mime: str) -> MediaAsset:
        """A file that another delivery has left."""
        asset = MediaAsset(UUID(asset_id), f"memory://{asset_id}", mime, len(content), "sha")
        self.files[asset_id] = content
        self.assets[asset_id] = asset
        return asset

    def find(self, asset_id: str) -> MediaAsset | None:
        return self.assets.get(asset_id)

    def load(self, asset: MediaAsset) -> bytes | None:
        return self.files.get(asset.uri.removeprefix("memory://"))

    def link(self, asset: MediaAsset, lasts_s: float) -> str:
        return f"https://media.example/{asset.id}?lasts={lasts_s:.0f}&token=planted-media-token"


def a_call(
    provider: Provider,
    using: Any,
    event_type: str,
    data: Mapping[str, Any],
    **more: Any,
) -> Call:
    """A call of a provider's action."""
    given: dict[str, Any] = {
        "provider": provider,
        "event": Event(EVENT_ID, "t_42", event_type, data, NOW),
        "delivery_id": DELIVERY_ID,
        "integration_id": INTEGRATION_ID,
        "attempt_number": 1,
        "base_url": provider.base_url,
        "config": {},
        "secrets": {},
        "progress": {},
        "first_attempt_at": NOW,
        "now": NOW,
        "deadline_s": provider.deadline_s,
        "transport": using,
        "media": Memory(),
        "hosts": provider.hosts,
        "paths": provider.paths,
    }
    return Call(**{**given, **more})

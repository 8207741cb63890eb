"""Connections, kept alive and shared by all threads, behind requests' own adapter.

`PooledAdapter` is a `requests.adapters.HTTPAdapter`: its pools and connections are urllib3's (which open TLS and
check certificates), and what happens on an open connection is `providers.wire`. The rest of requests' and
urllib3's way is replaced, because it costs 290 µs of CPU for a POST: a session, cookies, environment proxies,
pool keys, e-mail parsing of headers, response objects.

Sockets never block: every wait goes through `providers.waiting` and ends at the exchange's one deadline.

A connection belongs to one `Origin`: scheme, host, port, and whether the operator wrote the address. A
tenant's URL can never reuse a connection that was opened to an address which only the operator may name.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.ssl_ import create_urllib3_context
from urllib3.util.ssl_match_hostname import CertificateError

from providers.addresses import DEFAULT_PORTS, AddressPolicy, Endpoint
from providers.errors import InvalidPayload, OutcomeUnknown, Unavailable
from providers.messages import Request
from providers.waiting import READ, WRITE, aside, until
from providers.wire import Closed, NotHttp, Raw, read_answer, request_bytes

# Node, Apache and uvicorn close an idle connection after 5 s. Closing first avoids the one race that cannot
# be told apart from a lost answer: a request that meets the server's close on its way.
IDLE_S = 4.0
FORGET_ORIGIN_S = 600.0  # > any deadline
SWEEP_EVERY_S = 1.0


Sent = Callable[[bytes], None]  # gets a request that has gone out, before its answer is awaited


class Limits:
    """What one exchange may take: until `at` (`time.monotonic()`), and as much as its request says."""

    __slots__ = ("at", "request")

    def __init__(self, at: float, request: Request) -> None:
        self.at = at
        self.request = request

    def left_s(self, at_most: float) -> float:
        """Seconds until the deadline, at least a hair, because a socket takes 0 for "do not block"."""
        return max(min(self.at - time.monotonic(), at_most), 0.001)


class Received(requests.Response):
    """An answer as requests' adapter hands it on."""

    def __init__(self, raw: Raw) -> None:
        # Not requests' own __init__, which makes a cookie jar and a history for each answer.
        self.status_code = raw.status
        self.headers = cast("CaseInsensitiveDict[str]", raw.headers)
        self.body = raw.content
        self.cut = raw.cut


@dataclass(frozen=True, slots=True)
class Target:
    """A URL, taken apart once."""

    scheme: str
    host: str
    port: int
    host_header: str
    path: str


@lru_cache(maxsize=4096)
def target_of(url: str) -> Target:
    """The parts of a URL that a call needs, byte for byte. InvalidPayload for what is no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidPayload("The address to call is not a URL.") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise InvalidPayload("The address to call is not an http:// or https:// URL.")
    path = parts.path or "/"
    return Target(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or DEFAULT_PORTS[parts.scheme],
        host_header=parts.netloc.rpartition("@")[2],
        path=f"{path}?{parts.query}" if parts.query else path,
    )


class _Dialing:
    """How a connection is opened here: to a checked address, within the deadline."""

    endpoints: tuple[Endpoint, ...] = ()
    limits: Limits
    connect_s: float
    idle_since = 0.0

    def _new_conn(self) -> socket.socket:
        """A connected socket to the first endpoint that takes the call. OSError of the last one otherwise."""
        refused: OSError = TimeoutError()
        for endpoint in self.endpoints:
            sock = socket.socket(endpoint.family, socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(self.limits.left_s(self.connect_s))
                sock.connect(endpoint.sockaddr)
                sock.settimeout(self.limits.left_s(self.connect_s))  # of the TLS handshake, where there is one
            except OSError as error:
                sock.close()
                refused = error
            else:
                return sock
        raise refused


class PlainConnection(_Dialing, HTTPConnection):
    """An HTTP connection to a checked address."""


class TlsConnection(_Dialing, HTTPSConnection):
    """An HTTPS connection to a checked address; the certificate must be the name's."""


Connection = PlainConnection | TlsConnection


def is_quiet(sock: socket.socket) -> bool:
    """Whether an idle connection is open and has nothing to say: an early word can only be a goodbye."""
    try:
        socket.socket.recv(sock, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class Idle:
    """The idle connections of all origins: bounded in number and age."""

    def __init__(self, per_host: int, in_all: int) -> None:
        self._per_host = per_host
        self._in_all = in_all
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._origins: dict[tuple[str, str, int, bool], Origin] = {}
        self._count = 0
        self._swept_at = time.monotonic()

    def origin(self, key: tuple[str, str, int, bool]) -> Origin | None:
        return self._origins.get(key)

    def add(self, key: tuple[str, str, int, bool], origin: Origin) -> Origin:
        """Know an origin from now on; the one that is already known otherwise."""
        with self._lock:
            return self._origins.setdefault(key, origin)

    def take(self, origin: Origin) -> Connection | None:
        """A connection that is ready for another exchange, the one used last; None when there is none."""
        while True:
            with self._lock:
                if not origin.idle:
                    return None
                connection = origin.idle.pop()
                self._count -= 1
            sock = connection.sock
            fresh = time.monotonic() - connection.idle_since < IDLE_S
            if fresh and sock is not None and is_quiet(sock):
                return connection
            connection.close()

    def put(self, origin: Origin, connection: Connection) -> None:
        """Keep a connection for the next exchange, or close it when there are enough."""
        now = connection.idle_since = origin.used_at = time.monotonic()
        with self._lock:
            keep = not origin.forgotten and len(origin.idle) < self._per_host and self._count < self._in_all
            if keep:
                origin.idle.append(connection)
                self._count += 1
            stale = self._sweep(now) if now - self._swept_at > SWEEP_EVERY_S else []
        for other in stale if keep else [*stale, connection]:
            other.close()

    def _sweep(self, now: float) -> list[Connection]:
        """Take out what is idle for too long, and forget the origins that nobody calls."""
        self._swept_at = now
        stale: list[Connection] = []
        for key, origin in list(self._origins.items()):
            while origin.idle and now - origin.idle[0].idle_since >= IDLE_S:
                stale.append(origin.idle.popleft())
            if not origin.idle and now - origin.used_at > FORGET_ORIGIN_S:
                origin.forgotten = True
                del self._origins[key]
        self._count -= len(stale)
        return stale

    def clear(self) -> None:
        """Close every idle connection."""
        with self._lock:
            origins = list(self._origins.values())
            connections = [connection for origin in origins for connection in origin.idle]
            for origin in origins:
                origin.idle.clear()
            self._count = 0
        for connection in connections:
            connection.close()

    def forget_parents(self) -> None:
        """In a forked child: the connections are the parent's, and so is whoever held the lock."""
        for origin in self._origins.values():
            origin.forgotten = True
        self._reset()


class Origin(HTTPConnectionPool):
    """All connections to one scheme, host and port, as urllib3's pool."""

    ConnectionCls: Any = PlainConnection
    secure = False

    def prepare(
        self, idle: Idle, policy: AddressPolicy, connect_s: float, target: Target, trusted: bool, sent: Sent
    ) -> None:
        """Say how connections of this pool are opened and where they are kept."""
        self._sent = sent
        self._kept = idle
        self._policy = policy
        self._connect_s = connect_s
        self._target = target
        self._trusted = trusted
        self.idle: deque[Connection] = deque()
        self.used_at = time.monotonic()
        self.forgotten = False

    def exchange(self, path: str, limits: Limits) -> Received:
        """One exchange, on a kept connection or on a new one."""
        request = limits.request
        data = request_bytes(request.method, path, self._target.host_header, request.headers, request.body)
        connection = self._kept.take(self)
        if connection is not None:
            try:
                return self._exchange(connection, data, limits)
            except _NothingSent:
                pass  # the other side had hung up: this exchange has not begun
        try:
            return self._exchange(aside(partial(self._open, limits)), data, limits)
        except _NothingSent as hung_up:
            raise Unavailable(
                f"{self.host} closed the connection before the request was sent.",
                code="connection_refused",
                transient=True,
            ) from hung_up

    def _open(self, limits: Limits) -> Connection:
        endpoints = self._policy.resolve(
            self._target.host,
            self._target.port,
            secure=self.secure,
            trusted=self._trusted,
            deadline=limits.at,
        )
        connection = cast(Connection, self._new_conn())
        connection.endpoints, connection.limits, connection.connect_s = endpoints, limits, self._connect_s
        try:
            connection.connect()
        except (OSError, CertificateError) as error:
            connection.close()
            raise _not_connected(self.host, error) from None
        assert connection.sock is not None
        connection.sock.setblocking(False)
        return connection

    def _exchange(self, connection: Connection, data: bytes, limits: Limits) -> Received:
        line = _Line(cast(socket.socket, connection.sock), limits.at)
        request = limits.request
        raw: Raw | None = None
        failure: OSError | NotHttp | _NothingSent | None = None
        try:
            line.push(data)
            self._sent(data)
            raw = read_answer(line.receive, method=request.method, cap=request.max_answer_bytes)
        except (OSError, NotHttp, _NothingSent) as error:
            failure = error
        finally:
            if raw is not None and raw.reusable:
                self._kept.put(self, connection)
            else:
                connection.close()
        if raw is None or (raw.broken and 200 <= raw.status < 300):
            raise _ended(self.host, failure, in_time=not line.timed_out)
        return Received(raw)


class SecureOrigin(Origin, HTTPSConnectionPool):
    """An origin whose connections are TLS."""

    ConnectionCls = TlsConnection
    secure = True


class _NothingSent(Exception):
    """The connection was closed before the first byte of the request left."""


class _Line:
    """An open connection during one exchange. Every wait ends at `at`, so a peer that drips gains nothing by it."""

    __slots__ = ("_answering", "_at", "_sock", "timed_out")

    def __init__(self, sock: socket.socket, at: float) -> None:
        self._sock = sock
        self._at = at
        self._answering = False
        self.timed_out = False

    def push(self, data: bytes) -> None:
        """Send everything, or as much as the peer takes. _NothingSent when the system took none of it."""
        if self._at <= time.monotonic():
            self.timed_out = True
            raise _NothingSent
        try:
            sent = self._send(data)
        except OSError as error:
            raise _NothingSent from error
        if sent < len(data):
            # A server may answer and close before it has read everything; its answer counts, if there is one.
            with contextlib.suppress(OSError):
                rest = memoryview(data)[sent:]
                while rest:
                    rest = rest[self._send(rest) :]

    def _send(self, data: bytes | memoryview) -> int:
        while True:
            try:
                return self._sock.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._until(WRITE)
            except ssl.SSLWantReadError:
                self._until(READ)

    def receive(self, size: int) -> bytes:
        """Some bytes, none at the end of the stream."""
        if not self._answering:  # nothing can have come yet: asking would cost a system call
            self._answering = True
            self._until(READ)
        while True:
            try:
                return self._sock.recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):
                self._until(READ)
            except ssl.SSLWantWriteError:
                self._until(WRITE)

    def _until(self, events: int) -> None:
        try:
            until(self._sock, events, self._at)
        except TimeoutError:
            self.timed_out = True
            raise


def _ended(host: str, failure: OSError | NotHttp | _NothingSent | None, *, in_time: bool) -> Exception:
    """What an exchange that gave no usable answer ended in."""
    if isinstance(failure, _NothingSent):
        if in_time:
            return failure
        return Unavailable(f"No time was left to call {host}.", code="deadline_exceeded")
    if not in_time:
        return OutcomeUnknown(f"{host} did not finish its answer in time.", code="deadline_exceeded")
    if failure is None:
        return OutcomeUnknown(f"{host} broke off in the middle of its answer.", code="answer_truncated")
    if isinstance(failure, NotHttp) and not isinstance(failure, Closed):
        return OutcomeUnknown(f"{host} sent something that is not an answer: {failure}.", code="answer_unreadable")
    return OutcomeUnknown(f"The connection to {host} broke before the answer came.", code="connection_lost")


def _not_connected(host: str, error: OSError | CertificateError) -> Unavailable:
    if isinstance(error, TimeoutError):
        return Unavailable(f"{host} did not take the connection in time.", code="connect_timeout")
    if isinstance(error, (ssl.SSLError, CertificateError)):
        why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "handshake failed"
        return Unavailable(f"No secure connection to {host}: {why}.", code="tls_failed")
    if isinstance(error, ConnectionError):
        return Unavailable(f"{host} refused the connection.", code="connection_refused", transient=True)
    return Unavailable(f"{host} cannot be reached: {error.strerror or 'no route'}.", code="host_unreachable")


class _Prepared(requests.PreparedRequest):
    """Our request, in the shape that requests' adapter takes. Nothing in it has to be prepared any more."""

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.url = request.url
        self.headers = cast("CaseInsensitiveDict[str]", request.headers)
        self.body = request.body
        self.trusted = request.trusted


class PooledAdapter(HTTPAdapter):
    """requests' adapter over our own pools. Certificates are always checked, nothing is repeated."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        ca_bundle: str | None,
        connect_s: float,
        idle_per_host: int,
        idle_in_all: int,
        sent: Sent,
    ) -> None:
        super().__init__(max_retries=0)
        self._sent = sent
        self._policy = policy
        self._connect_s = connect_s
        self._idle = Idle(idle_per_host, idle_in_all)
        self._tls = create_urllib3_context()
        self._tls.load_verify_locations(cafile=ca_bundle or DEFAULT_CA_BUNDLE_PATH)
        _forget_when_forked(self._idle)

    def exchange(self, request: Request, limits: Limits) -> Received:
        """Make one exchange. Raises the errors that `providers.http` promises."""
        return self.send(_Prepared(request), timeout=limits)

    def send(self, request: Any, *_given: Any, timeout: Any = None, **_named: Any) -> Received:
        """One exchange, as a session of requests would ask for it: without the ten steps that requests takes here."""
        target = target_of(request.url)
        key = (target.scheme, target.host, target.port, request.trusted)
        origin = self._idle.origin(key) or self._idle.add(key, self._new_origin(target, request.trusted))
        return origin.exchange(target.path, timeout)

    def close(self) -> None:
        """Close the idle connections."""
        self._idle.clear()
        super().close()

    def _new_origin(self, target: Target, trusted: bool) -> Origin:
        origin: Origin
        if target.scheme == "https":
            origin = SecureOrigin(target.host, target.port, cert_reqs=ssl.CERT_REQUIRED, ssl_context=self._tls)
        else:
            origin = Origin(target.host, target.port)
        origin.prepare(self._idle, self._policy, self._connect_s, target, trusted, self._sent)
        return origin


_all_idle: weakref.WeakSet[Idle] = weakref.WeakSet()


def _forget_when_forked(idle: Idle) -> None:
    _all_idle.add(idle)


def _forked() -> None:
    for idle in list(_all_idle):
        idle.forget_parents()


os.register_at_fork(after_in_child=_forked)

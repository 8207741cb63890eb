"""The transport against real servers that misbehave."""

from __future__ import annotations

import gzip
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from providers import pools
from providers.addresses import AddressPolicy
from providers.errors import OutcomeUnknown, ProviderError, TargetForbidden, Unavailable
from providers.http import Answer, HttpTransport, Request, api_request
from providers.waiting import Loop
from tests.providers.doubles import LOOPBACK, NOW, OK, Peer, Script, always, hook, once, serving, transport
from tests.providers.loops import on_loop, run

SHORT_S = 0.25
Send = Callable[[HttpTransport, Request, float], Answer]
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
ONE_MIB = 1024 * 1024


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop("test-loop", threads=4)
    yield made
    made.close()


@pytest.fixture(params=["thread", "loop"])
def send(request: pytest.FixtureRequest, loop: Loop) -> Send:
    """Make an exchange on a plain thread, or as a call on a loop: what comes out is the same."""
    if request.param == "thread":
        return lambda http, asked, deadline_s: http.send(asked, deadline_s)
    return lambda http, asked, deadline_s: on_loop(loop, lambda: http.send(asked, deadline_s))


def test_a_post_on_the_wire_byte_for_byte(send: Send) -> None:
    with serving(always(OK)) as server, transport() as http:
        got = send(http, hook(server.url + "?keep=%20this&", b'{"a":1}', {"X-One": "1"}), 5)
    assert (got.status, got.content, got.headers["content-LENGTH"]) == (200, b"ok", "2")
    assert server.requests == [
        b"POST /hooks/catch/123456/s3cretpath/?keep=%20this& HTTP/1.1\r\n"
        b"Host: 127.0.0.1:" + str(server.port).encode() + b"\r\n"
        b"X-One: 1\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Content-Length: 7\r\n"
        b"\r\n"
        b'{"a":1}'
    ]


def test_connections_are_kept_alive(send: Send) -> None:
    with serving(always(OK)) as server, transport() as http:
        for _ in range(5):
            send(http, hook(server.url), 5)
    assert server.connections == 1


def test_nothing_is_followed_remembered_or_taken_from_the_environment(
    send: Send,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    with serving(always(moved)) as server, transport() as http:
        assert send(http, hook(server.url), 5).status == 302
        send(http, hook(server.url), 5)
    assert len(server.requests) == 2
    assert b"ookie" not in server.requests[1]


def drip_headers(peer: Peer) -> None:
    peer.request()
    peer.drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000)


def drip_body(peer: Peer) -> None:
    peer.request()
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    peer.drip(b"x" * 1000)


def drip_chunks(peer: Peer) -> None:
    peer.request()
    peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    peer.drip(b"1\r\nx\r\n" * 200)


def hang(peer: Peer) -> None:
    peer.request()
    peer.hang()


def hang_unread(peer: Peer) -> None:
    peer.hang()


@pytest.mark.parametrize("script", [drip_headers, drip_body, drip_chunks, hang])
def test_one_deadline_ends_every_slow_answer(send: Send, script: Script) -> None:
    with serving(script) as server, transport() as http:
        started = time.monotonic()
        with pytest.raises(OutcomeUnknown) as lost:
            send(http, hook(server.url), SHORT_S)
        took_s = time.monotonic() - started
    assert lost.value.code == "deadline_exceeded"
    assert SHORT_S <= took_s < SHORT_S + 0.5


def test_the_deadline_also_ends_a_request_that_nobody_reads(send: Send) -> None:
    with serving(hang_unread) as server, transport() as http, pytest.raises(OutcomeUnknown) as lost:
        send(http, hook(server.url, b"x" * 20 * ONE_MIB), SHORT_S)
    assert lost.value.code == "deadline_exceeded"


def reset_after_request(peer: Peer) -> None:
    peer.request()
    peer.reset()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (once(), "connection_lost"),
        (reset_after_request, "connection_lost"),
        (once(b"HTTP/1.1 200 OK\r\nContent-Le"), "connection_lost"),
        (once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), "answer_truncated"),
        (once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), "answer_truncated"),
        (once(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "answer_unreadable"),
        (once(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000), "answer_unreadable"),
    ],
)
def test_an_answer_that_breaks_leaves_the_outcome_unknown(send: Send, script: Script, code: str) -> None:
    with serving(script) as server, transport() as http, pytest.raises(OutcomeUnknown) as lost:
        send(http, hook(server.url), 5)
    assert lost.value.code == code
    assert "s3cretpath" not in str(lost.value)


def test_a_refusal_counts_even_when_its_body_breaks(send: Send) -> None:
    with serving(once(b"HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\nhalf")) as server, transport() as http:
        got = send(http, hook(server.url), 5)
    assert (got.status, got.content) == (503, b"half")


def test_an_early_refusal_of_a_long_request_is_heard(send: Send) -> None:
    def refuse_unread(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.say(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with serving(refuse_unread) as server, transport() as http:
        assert send(http, hook(server.url, b"x" * 20 * ONE_MIB), 5).status == 413


def test_nobody_listening_is_a_transient_fault(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with transport() as http, pytest.raises(Unavailable) as refused:
        send(http, hook(f"http://127.0.0.1:{port}/"), 5)
    assert (refused.value.code, refused.value.transient) == ("connection_refused", True)


def test_a_connection_that_nobody_takes_ends_after_the_connect_time(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # the kernel takes one or two more than asked for
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with transport(connect_s=0.2) as http, pytest.raises(Unavailable) as slow:
            send(http, hook(f"http://127.0.0.1:{port}/"), 5)
        for filler in fillers:
            filler.close()
    assert slow.value.code == "connect_timeout"


def encoded(body: bytes, encoding: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        encoding,
        len(body),
        body,
    )


BOMB = encoded(gzip.compress(bytes(50 * ONE_MIB)), b"gzip")
FLOOD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + b"x" * ONE_MIB + b"\r\n") * 3


@pytest.mark.parametrize("said", [BOMB, FLOOD], ids=["bomb", "flood"])
def test_too_long_an_answer_is_cut_for_a_webhook_and_unknown_for_an_api(send: Send, said: bytes) -> None:
    with serving(once(said)) as server, transport() as http:
        got = send(http, hook(server.url), 5)
        with pytest.raises(OutcomeUnknown) as lost:
            send(http, api_request("POST", server.base_url, "/v1", headers={}), 5)
    assert (got.status, got.cut, len(got.content)) == (200, True, ONE_MIB)
    assert lost.value.code == "answer_truncated"


def test_a_request_may_ask_for_a_longer_answer(send: Send) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * ONE_MIB) + bytes(2 * ONE_MIB)
    with serving(always(said)) as server, transport() as http:
        request = api_request("GET", server.base_url, "/audio", headers={}, max_answer_bytes=2 * ONE_MIB)
        assert len(send(http, request, 5).content) == 2 * ONE_MIB


def test_a_connection_that_the_server_closed_meanwhile_is_no_fault(send: Send) -> None:
    with serving(once(OK)) as server, transport() as http:
        for _ in range(3):
            assert send(http, hook(server.url), 5).status == 200
            server.closed.acquire(timeout=5)
    assert server.connections == 3


def test_an_old_idle_connection_is_not_used(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_S", 0.0)
    with serving(always(OK)) as server, transport() as http:
        send(http, hook(server.url), 5)
        send(http, hook(server.url), 5)
    assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        CLOSING,
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_a_connection_of_doubtful_state_is_not_used_again(send: Send, said: bytes) -> None:
    with serving(always(said)) as server, transport() as http:
        assert send(http, hook(server.url), 5).content == b"ok"
        assert send(http, hook(server.url), 5).content == b"ok"
    assert server.connections == 2


def test_idle_connections_are_bounded() -> None:
    together = threading.Barrier(6)

    def answer_together(peer: Peer) -> None:
        while peer.request():
            together.wait(5)
            peer.say(OK)

    with serving(answer_together) as server, transport(idle_per_host=2) as http:
        run_threads(6, lambda _: http.send(hook(server.url), 5))
        for _ in range(4):
            assert server.closed.acquire(timeout=5)
    assert server.connections == 6


def test_a_forked_child_leaves_its_parents_connections_alone(send: Send) -> None:
    with serving(always(OK)) as server, transport() as http:
        send(http, hook(server.url), 5)
        pools._forked()
        send(http, hook(server.url), 5)
    assert server.connections == 2


def test_only_the_operators_own_address_may_be_private(send: Send) -> None:
    with serving(always(OK)) as server, transport(AddressPolicy()) as http:
        assert send(http, api_request("GET", server.base_url, "/v1", headers={}), 5).status == 200
        with pytest.raises(TargetForbidden):  # although an idle connection to it is there
            send(http, hook(server.url), 5)
    assert len(server.requests) == 1


def test_the_connection_goes_to_an_address_that_was_checked(send: Send) -> None:
    answers = ["127.0.0.1", "10.0.0.1"]  # the second time the name leads inside
    policy = AddressPolicy(LOOPBACK, lookup=lambda _host, port: [(socket.AF_INET, (answers.pop(0), port))])
    with serving(always(CLOSING)) as server, transport(policy) as http:
        request = hook(f"http://rebind.example:{server.port}/a")
        assert [send(http, request, 5).status, send(http, request, 5).status] == [200, 200]
        assert (server.connections, answers) == (2, ["10.0.0.1"])  # one look-up for two connections
        policy.forget()
        with pytest.raises(TargetForbidden):
            send(http, request, 5)
    assert f"Host: rebind.example:{server.port}".encode() in server.requests[0]


def echo_in_a_while(peer: Peer) -> None:
    chance = random.Random(peer.number)
    while request := peer.request():
        peer.server.over.wait(chance.choice((0, 0, 0.001, 0.004, 0.012)))
        body = request.partition(b"\r\n\r\n")[2]
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


class Askers:
    """Who asks all the time, with deadlines that pass all the time, and notes what should not be."""

    def __init__(self, http: HttpTransport, url: str) -> None:
        self.wrong: list[object] = []
        self.ended: set[str] = set()
        self._http = http
        self._url = url

    def ask(self, number: int) -> None:
        """Ask often, each time something else."""
        chance = random.Random(number)
        for count in range(120):
            self._once(f"{number}-{count}".encode(), chance.choice((0.002, 0.005, 0.010, 5.0)))

    def _once(self, body: bytes, deadline_s: float) -> None:
        started = time.monotonic()
        try:
            if self._http.send(hook(self._url, body), deadline_s).content != body:
                self.wrong.append("another's answer")
            self.ended.add("answered")
        except ProviderError as error:
            late = time.monotonic() - started >= deadline_s
            if not late or error.code not in ("deadline_exceeded", "connect_timeout", "dns_failed"):
                self.wrong.append((error.code, late))
            self.ended.add("cut")


@pytest.mark.parametrize("where", ["threads", "loop"])
def test_a_deadline_never_ends_somebody_elses_exchange(loop: Loop, where: str) -> None:
    """Calls share connections while deadlines pass all the time; every answer is the asker's own."""
    with serving(echo_in_a_while) as server, transport() as http:
        askers = Askers(http, server.url)
        if where == "threads":
            run_threads(8, askers.ask)
        else:
            for call in [run(loop, partial(askers.ask, number)) for number in range(8)]:
                call.result(20)
    assert askers.wrong == []
    assert askers.ended == {"answered", "cut"}


def run_threads(count: int, work: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


class Authority:
    """A certificate authority with one server certificate, for one name."""

    def __init__(self, folder: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.bundle = folder / f"{name}-ca.pem"
        self.bundle.write_bytes(self._certificate("test authority", key, key, None))
        server_key = ec.generate_private_key(ec.SECP256R1())
        chain = folder / f"{name}.pem"
        chain.write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self._certificate("server", server_key, key, name)
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)

    def wrap(self, sock: socket.socket) -> socket.socket:
        """The server's side of TLS."""
        return self._context.wrap_socket(sock, server_side=True)

    def _certificate(
        self,
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        issuer_key: ec.EllipticCurvePrivateKey,
        name: str | None,
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=3650))
            .not_valid_after(NOW + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=name is None, path_length=None), critical=True)
        )
        if name is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "hooks.example")


def at_home(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    """A resolver that finds every name on this machine."""
    return [(socket.AF_INET, ("127.0.0.1", port))]


def test_tls_is_checked_against_the_name_and_kept_alive(send: Send, authority: Authority) -> None:
    policy = AddressPolicy(LOOPBACK, lookup=at_home)
    with (
        serving(always(OK), authority.wrap) as server,
        transport(policy, ca_bundle=str(authority.bundle)) as http,
    ):
        for _ in range(3):
            assert send(http, hook(f"https://hooks.example:{server.port}/a"), 5).content == b"ok"
        with pytest.raises(Unavailable) as other_name:
            send(http, hook(f"https://other.example:{server.port}/a"), 5)
    assert other_name.value.code == "tls_failed"
    assert len(server.requests) == 3
    assert server.connections == 2


def test_an_unknown_authority_is_not_trusted(send: Send, authority: Authority) -> None:
    policy = AddressPolicy(LOOPBACK, lookup=at_home)
    with (
        serving(always(OK), authority.wrap) as server,
        transport(policy) as http,
        pytest.raises(Unavailable) as no,
    ):
        send(http, hook(f"https://hooks.example:{server.port}/a"), 5)
    assert no.value.code == "tls_failed"
    assert "certificate" in str(no.value)


def test_the_deadline_ends_a_dripping_tls_answer(send: Send, authority: Authority) -> None:
    policy = AddressPolicy(LOOPBACK, lookup=at_home)
    with (
        serving(drip_body, authority.wrap) as server,
        transport(policy, ca_bundle=str(authority.bundle)) as http,
        pytest.raises(OutcomeUnknown) as lost,
    ):
        send(http, hook(f"https://hooks.example:{server.port}/a"), SHORT_S)
    assert lost.value.code == "deadline_exceeded"


def test_a_handshake_that_hangs_ends_after_the_connect_time(send: Send) -> None:
    policy = AddressPolicy(LOOPBACK, lookup=at_home)
    with (
        serving(hang_unread) as server,
        transport(policy, connect_s=0.2) as http,
        pytest.raises(Unavailable) as slow,
    ):
        send(http, hook(f"https://hooks.example:{server.port}/a"), 5)
    assert slow.value.code == "connect_timeout"


def test_a_lookup_that_hangs_ends_at_the_deadline(send: Send) -> None:
    over = threading.Event()

    def hanging(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        over.wait(10)
        return []

    with transport(AddressPolicy(lookup=hanging)) as http, pytest.raises(Unavailable) as slow:
        send(http, hook("https://hooks.example/a"), SHORT_S)
    over.set()
    assert slow.value.code == "dns_failed"


def test_an_answer_says_how_long_it_took(send: Send) -> None:
    with serving(always(OK)) as server, transport() as http:
        got = send(http, hook(server.url), 5)
    assert 0 <= got.elapsed_ms < 5000


def test_json_of_a_gzipped_api_answer(send: Send) -> None:
    body = gzip.compress(json.dumps({"a": [1]}).encode())
    with serving(always(encoded(body, b"gzip"))) as server, transport() as http:
        assert send(http, api_request("GET", server.base_url, "/v1", headers={}), 5).json() == {"a": [1]}

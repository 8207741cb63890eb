"""Each fault, as a client sees it that reads bytes; a real sandbox process."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from sandbox.control import SandboxRefused
from sandbox.faults import HUGE, NAMED
from sandbox.process import Sandbox, start

PATIENCE_S = 5.0


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@dataclass(frozen=True)
class Got:
    """What a raw client read until the end of the connection."""

    raw: bytes

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]


def connect(sandbox: Sandbox) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", sandbox.port), PATIENCE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def request(path: str, webhook_id: str = "m1", body: bytes = b"{}", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nwebhook-id: {webhook_id}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def post(sandbox: Sandbox, path: str, webhook_id: str = "m1", method: str = "POST") -> Got:
    """Send one request and read until the sandbox closes."""
    with connect(sandbox) as client:
        client.sendall(request(path, webhook_id, method=method))
        return Got(read_all(client))


def read_all(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(1 << 20), b""))


def wait_for_in_flight(sandbox: Sandbox, wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while sandbox.control.state()["in_flight"] != wanted:
        assert time.monotonic() < deadline, sandbox.control.state()


@pytest.mark.parametrize("name", ["404", "410", "429", "500", "503"])
def test_a_status_by_name_does_no_work(sandbox: Sandbox, name: str) -> None:
    got = post(sandbox, f"/fault/{name}/hooks/standard/1/abc")
    assert got.status == int(name)
    assert json.loads(got.body) == {"error": "fault", "status": int(name)}


def test_retry_after_in_seconds_and_as_a_date(sandbox: Sandbox) -> None:
    assert post(sandbox, "/fault/429/receive/x").headers["retry-after"] == "1"
    date = parsedate_to_datetime(post(sandbox, "/fault/429-date/receive/x").headers["retry-after"])
    assert 1 <= date.timestamp() - time.time() <= 4


def test_the_rest_of_the_path_is_served_normally(sandbox: Sandbox) -> None:
    assert json.loads(post(sandbox, "/fault/ok/hooks/catch/1/abc/").body)["status"] == "success"
    assert json.loads(post(sandbox, "/fault/ok/receive/x").body) == {"ok": True}
    assert post(sandbox, "/fault/nonsense/receive/x").status == 404


def test_flaky_fails_twice_for_each_id(sandbox: Sandbox) -> None:
    statuses = [post(sandbox, "/fault/flaky/receive/x", f"m{n % 2}").status for n in range(6)]
    assert statuses == [500, 500, 500, 500, 200, 200]
    assert sandbox.control.counts()["by_id"]["m1"] == {"requests": 3, "ok": 1}


def test_a_redirect_names_a_place_that_counts_who_follows(sandbox: Sandbox) -> None:
    got = post(sandbox, "/fault/302/receive/x")
    assert (got.status, got.headers["location"]) == (302, "/receive/redirected")
    assert sandbox.control.counts("/receive/redirected")["requests"] == 0


def test_a_slow_answer_comes_whole(sandbox: Sandbox) -> None:
    started = time.monotonic()
    assert post(sandbox, "/fault/slow-200ms/receive/x").body == b'{"ok":true}'
    assert 0.2 <= time.monotonic() - started < 2


def test_hang_never_answers_and_ends_when_the_client_leaves(sandbox: Sandbox) -> None:
    with connect(sandbox) as client:
        client.sendall(request("/fault/hang/hooks/standard/1/abc"))
        wait_for_in_flight(sandbox, 1)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
    wait_for_in_flight(sandbox, 0)
    (record,) = sandbox.control.received()
    assert (record["status"], record["client_left"]) == ("none", True)


@pytest.mark.parametrize("name", ["drop", "drop-after"])
def test_drop_is_an_end_without_an_answer(sandbox: Sandbox, name: str) -> None:
    assert post(sandbox, f"/fault/{name}/receive/x").raw == b""
    counts = sandbox.control.counts()
    assert counts["by_status"] == {"none": 1}
    assert counts["by_id"] == {"m1": {"requests": 1, "ok": 0}}


@pytest.mark.parametrize("name", ["reset", "reset-after"])
def test_reset_really_is_one(sandbox: Sandbox, name: str) -> None:
    with pytest.raises(ConnectionResetError):
        post(sandbox, f"/fault/{name}/receive/x")


def test_drip_sends_at_its_pace(sandbox: Sandbox) -> None:
    sandbox.control.add_rule("/receive/drip", {"drip": {"bytes_s": 40}})
    started = time.monotonic()
    assert post(sandbox, "/receive/drip").body == b'{"ok":true}'
    assert 0.2 <= time.monotonic() - started < 2


def test_drip_of_headers_gives_them_byte_by_byte(sandbox: Sandbox) -> None:
    sandbox.control.add_rule("/receive/drip", {"drip": {"bytes_s": 200, "headers": True}})
    with connect(sandbox) as client:
        client.sendall(request("/receive/drip"))
        assert 1 <= len(client.recv(4096)) < len(b"HTTP/1.1 200 OK\r\nContent-Type")


def test_huge_is_as_long_as_it_says(sandbox: Sandbox) -> None:
    sandbox.control.add_rule("/receive/huge", {"huge": 1_000_000})
    got = post(sandbox, "/receive/huge")
    assert got.headers["transfer-encoding"] == "chunked"
    assert 1_000_000 < len(got.body) < 1_001_000
    assert HUGE == 100 * 1024 * 1024


def test_a_client_that_stops_reading_a_huge_answer_is_seen(sandbox: Sandbox) -> None:
    with connect(sandbox) as client:
        client.sendall(request("/fault/huge/receive/x"))
        client.recv(1000)
    wait_for_in_flight(sandbox, 0)
    assert sandbox.control.counts()["by_id"]["m1"] == {"requests": 1, "ok": 0}


def test_a_gzip_bomb_inflates(sandbox: Sandbox) -> None:
    size = 3_500_000
    sandbox.control.add_rule("/receive/bomb", {"huge": size, "compressed": "gzip"})
    got = post(sandbox, "/receive/bomb")
    assert got.headers["content-encoding"] == "gzip"
    assert len(got.body) < size / 500
    assert gzip.decompress(got.body) == bytes(size)
    assert len(zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(got.body)) == size  # one member


def test_a_truncated_answer_promises_more(sandbox: Sandbox) -> None:
    got = post(sandbox, "/fault/truncate/receive/x")
    assert int(got.headers["content-length"]) > len(got.body) == len(b'{"ok":true}')
    assert sandbox.control.counts()["by_id"]["m1"]["ok"] == 0


def test_wrong_json_is_a_200(sandbox: Sandbox) -> None:
    got = post(sandbox, "/fault/wrong-json/receive/x")
    assert got.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(got.body)


def test_status_headers_and_body_combine(sandbox: Sandbox) -> None:
    fault = {"status": 400, "headers": {"x-why": "test"}, "body": {"detail": "no"}, "delay_s": 0.01}
    sandbox.control.add_rule("/receive/x", fault)
    got = post(sandbox, "/receive/x")
    assert (got.status, got.headers["x-why"], json.loads(got.body)) == (400, "test", {"detail": "no"})


def test_the_first_live_rule_wins_until_it_is_used_up(sandbox: Sandbox) -> None:
    rules = [
        {"path": "/receive/a", "skip": 1, "times": 2, "fault": {"status": 503}},
        {"path": "/receive/*", "method": "POST", "times": 1, "fault": "429"},
    ]
    sandbox.control.rules(rules)
    assert [post(sandbox, "/receive/a").status for _ in range(4)] == [429, 503, 503, 200]
    assert [(rule["path"], rule["fired"]) for rule in sandbox.control.rules()] == [
        ("/receive/a", 2),
        ("/receive/*", 1),
    ]
    sandbox.control.clear_rules()
    assert sandbox.control.rules() == []


def test_a_share_is_the_same_part_for_the_same_seed(sandbox: Sandbox) -> None:
    def statuses(seed: int) -> list[int]:
        sandbox.control.rules([{"path": "/receive/*", "share": 0.3, "seed": seed, "fault": {"status": 500}}])
        return [post(sandbox, "/receive/a").status for _ in range(60)]

    first = statuses(7)
    assert statuses(7) == first
    assert statuses(8) != first
    assert 5 <= first.count(500) <= 35


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"path": "/x"}, "needs fault"),
        ({"path": "/x", "fault": {"statsu": 500}}, "no statsu"),
        ({"path": "/x", "fault": "nope"}, "no fault is named"),
        ({"path": "/x", "fault": {"drop": "later"}}, "before"),
        ({"path": "/x", "fault": {"status": "500"}}, "status"),
        ({"path": "/x", "fault": {"drip": {}}}, "bytes_s"),
        ({"path": "/x", "fault": {"drip": {"bytes_s": 0}}}, "more than 0"),
        ({"path": "/x", "fault": {"headers": {"Retry-After": 2}}}, "headers"),
        ({"path": "/x", "fault": {"headers": {"Retry-After": "http-date:soon"}}}, "soon"),
        ([], "JSON object"),
    ],
)
def test_a_rule_that_means_nothing_is_refused_with_a_sentence(sandbox: Sandbox, rule: Any, sentence: str) -> None:
    with pytest.raises(SandboxRefused, match=sentence):
        sandbox.control.rules([rule])


def test_requests_wait_their_turn_on_one_connection(sandbox: Sandbox) -> None:
    slow, fast = request("/fault/slow-200ms/receive/a"), request("/receive/b")
    with connect(sandbox) as client:
        client.sendall(slow.replace(b"Connection: close\r\n", b"") + fast)
        raw = read_all(client)
    assert raw.count(b"HTTP/1.1 200 OK") == 2
    assert sandbox.control.counts("/receive/b")["by_status"] == {"200": 1}


def test_a_chunked_body_and_a_body_held_back_are_read(sandbox: Sandbox) -> None:
    head = b"POST /hooks/catch/1/abc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    with connect(sandbox) as client:
        for piece in (
            head,
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
            b"lo\r\n1;x=y\r\n!\r\n0\r\n",
            b"\r\n",
        ):
            client.sendall(piece)
        read_all(client)
    with connect(sandbox) as client:
        client.sendall(head + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(b"abc")
        read_all(client)
    assert [record["body"] for record in sandbox.control.received()] == ["hello!", "abc"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"x" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused(sandbox: Sandbox, sent: bytes, status: int) -> None:
    with connect(sandbox) as client:
        client.sendall(sent)
        assert Got(client.recv(4096)).status == status


def test_every_named_fault_stands_in_the_readme() -> None:
    import sandbox.faults

    readme = sandbox.faults.__file__.replace("faults.py", "README.md")
    with open(readme) as text:
        table = text.read()
    assert [name for name in NAMED if f"`{name}`" not in table] == []

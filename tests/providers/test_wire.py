"""Reading an answer and writing a request, byte by byte and against what a hostile peer may send."""

from __future__ import annotations

import gzip
import zlib

import pytest

from providers.errors import InvalidPayload
from providers.wire import MAX_HEAD_BYTES, Closed, NotHttp, Raw, Receive, read_answer, request_bytes

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CAP = 1000


def from_pieces(data: bytes, size: int) -> Receive:
    """A socket's recv that gives `size` bytes at a time, then the end."""
    pieces = iter([data[at : at + size] for at in range(0, len(data), size)])
    return lambda _wanted: next(pieces, b"")


def read(data: bytes, *, size: int = 65536, method: str = "POST", cap: int = CAP) -> Raw:
    return read_answer(from_pieces(data, size), method=method, cap=cap)


def length(body: bytes, *more: bytes) -> bytes:
    lines = b"".join(line + b"\r\n" for line in more)
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (lines, len(body), body)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 65536])
@pytest.mark.parametrize(
    "said",
    [
        length(b"hello world"),
        CHUNKED + b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n",
        CHUNKED + b"B\r\nhello world\r\n000\r\nTrailer: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + length(b"hello world"),
        b"HTTP/1.1 200\r\ncontent-length:11\r\n\r\nhello world",
        length(gzip.compress(b"hello ") + gzip.compress(b"world"), b"Content-Encoding: gzip"),
        length(zlib.compress(b"hello world"), b"Content-Encoding: deflate"),
    ],
)
def test_an_answer_is_the_same_however_it_is_cut_into_packets(said: bytes, size: int) -> None:
    got = read(said, size=size)
    assert (got.status, got.content, got.reusable, got.cut, got.broken) == (
        200,
        b"hello world",
        True,
        False,
        False,
    )


def test_a_bare_deflate_stream_is_understood() -> None:
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(b"hello hello hello") + packer.flush()
    assert read(length(body, b"Content-Encoding: deflate")).content == b"hello hello hello"


def test_without_a_length_the_body_ends_with_the_connection() -> None:
    got = read(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    assert (got.content, got.reusable) == (b"all of it", False)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"200 OK\r\nContent-Length: 5"),
        ("POST", b"204 No\r\nX: 1"),
        ("POST", b"304 No\r\nContent-Length: 5"),
    ],
)
def test_answers_without_a_body(method: str, head: bytes) -> None:
    got = read(b"HTTP/1.1 " + head + b"\r\n\r\n", method=method)
    assert (got.content, got.reusable, got.broken) == (b"", True, False)


def test_repeated_headers_are_one() -> None:
    assert read(length(b"", b"Via: a", b"VIA:  b ")).headers["via"] == "a, b"


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n folded: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: nameless\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"a" * 2 * MAX_HEAD_BYTES,
    ],
)
def test_what_is_not_http_is_said_to_be_so(said: bytes) -> None:
    with pytest.raises(NotHttp) as odd:
        read(said, size=4096)
    assert not isinstance(odd.value, Closed)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_an_end_before_the_headers_end(said: bytes) -> None:
    with pytest.raises(Closed):
        read(said)


@pytest.mark.parametrize(
    "said",
    [
        length(b"hello")[:-1],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello",
        CHUNKED + b"5\r\nhelloo\r\n0\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5" * 9000,
        CHUNKED + b"0\r\n" + b"T: 1\r\n" * 20_000,
    ],
)
def test_a_broken_body_keeps_its_status_and_loses_its_connection(said: bytes) -> None:
    got = read(said, size=4096)
    assert (got.status, got.broken, got.reusable) == (200, True, False)


def test_the_same_length_twice_is_one_length() -> None:
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok").content == b"ok"


@pytest.mark.parametrize(
    "said",
    [
        length(b"x" * 5000),
        CHUNKED + b"1388\r\n" + b"x" * 5000 + b"\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000,
        length(gzip.compress(b"x" * 5_000_000), b"Content-Encoding: gzip"),
        length(gzip.compress(b"x" * 600) + gzip.compress(b"x" * 600), b"Content-Encoding: gzip"),
    ],
)
def test_no_more_than_the_cap_is_kept(said: bytes) -> None:
    got = read(said, size=100, cap=CAP if b"gzip" not in said else 1000)
    assert got.cut
    assert got.content.strip(b"x") == b""
    assert len(got.content) <= CAP


def test_exactly_the_cap_is_whole() -> None:
    assert not read(length(b"x" * CAP)).cut
    assert not read(length(gzip.compress(b"x" * CAP), b"Content-Encoding: gzip")).cut


def test_a_body_that_is_not_what_its_coding_says_is_cut() -> None:
    got = read(length(b"plain text", b"Content-Encoding: gzip"))
    assert (got.cut, got.content) == (True, b"")


def test_codings_that_nobody_asked_for_are_left_alone() -> None:
    assert read(length(b"\x1b\x05", b"Content-Encoding: br")).content == b"\x1b\x05"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a b", {}),
        ("/a\r\nX: 1", {}),
        ("/ä", {}),
        ("", {}),
        ("/a", {"X": "1\r\nY: 2"}),
        ("/a", {"X": "1\nY: 2"}),
        ("/a", {"X\r": "1"}),
        ("/a", {"X": "snow ☃"}),
    ],
)
def test_a_request_cannot_be_written_so_that_it_reads_as_two(target: str, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidPayload):
        request_bytes("POST", target, "a.example", headers, b"")


def test_a_get_says_no_length() -> None:
    assert request_bytes("GET", "/a", "a.example", {}, b"") == b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"

"""HTTP/1.1 as bytes: requests out of what a client sent, answers into what it will read.

Written by hand, because the faults need every byte (a header sent one byte at a time, a length that lies, a
reset in place of an answer), and because the receiver's own cost is part of every benchmark: about 20 µs
of CPU for a `/receive`, where aiohttp's lowest server takes 76.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

HEAD_LIMIT: Final = 64 * 1024
BODY_LIMIT: Final = 64 * 1024 * 1024
CHUNK: Final = 16 * 1024  # bytes per piece of a chunked answer
JSON_TYPE: Final = "application/json"
HTML_TYPE: Final = "text/html; charset=utf-8"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Malformed(Exception):
    """What came in is not a request this server reads; `status` is the answer it deserves."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RawRequest(NamedTuple):
    """One whole request, its headers still unparsed."""

    method: str
    target: str
    head: bytes
    lower: bytes  # the head in lower case, to search in
    body: bytes
    keep_alive: bool

    def header(self, line_start: bytes) -> str | None:
        """The first value of a header, given as the start of its line: `b"\\r\\nwebhook-id:"`."""
        found = self.lower.find(line_start)
        if found < 0:
            return None
        start = found + len(line_start)
        end = self.head.find(b"\r\n", start)
        return self.head[start : end if end >= 0 else None].strip().decode("latin-1")

    def headers(self) -> dict[str, str]:
        """All headers by their lower-case name; a repeated one keeps its last value."""
        lines = self.head.split(b"\r\n")[1:]
        pairs = (line.partition(b":") for line in lines)
        return {k.strip().lower().decode("latin-1"): v.strip().decode("latin-1") for k, _, v in pairs}


@dataclass(frozen=True)
class Request:
    """One request as a stand-in sees it: its path without any `/fault/<name>` or provider prefix."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    now: float  # unix seconds of its arrival
    in_flight: int = 1  # requests that the same provider is busy with, this one included
    params: Mapping[str, str] = field(default_factory=dict)  # what the route's {names} stand for

    @cached_property
    def args(self) -> dict[str, str]:
        """The query string; of a repeated name the last value."""
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @cached_property
    def form(self) -> dict[str, str]:
        """The body as a URL-encoded form; of a repeated name the last value."""
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json(self) -> Any:
        """The body as JSON; raises ValueError when it is none."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back. `chunked` sends the body in pieces without a length, as the streaming doors do."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False


def json_answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """A value as a JSON answer."""
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return Answer(status, body, {"Content-Type": JSON_TYPE, **(headers or {})})


def html_answer(page: str, status: int = 200) -> Answer:
    """A page for a browser; it is not kept."""
    return Answer(status, page.encode(), {"Content-Type": HTML_TYPE, "Cache-Control": "no-store"})


def redirect(url: str) -> Answer:
    """Send a browser elsewhere."""
    return Answer(302, headers={"Location": url, "Cache-Control": "no-store"})


def encode_head(answer: Answer, keep_alive: bool, length: int | None) -> bytes:
    """Status line and headers; `length` None means that pieces follow."""
    lines = [f"HTTP/1.1 {answer.status} {reason(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode(answer: Answer, keep_alive: bool) -> bytes:
    """The whole answer as bytes."""
    if not answer.chunked:
        return encode_head(answer, keep_alive, len(answer.body)) + answer.body
    pieces = (answer.body[i : i + CHUNK] for i in range(0, len(answer.body), CHUNK))
    return encode_head(answer, keep_alive, None) + b"".join(map(chunk, pieces)) + chunk(b"")


def chunk(piece: bytes) -> bytes:
    """One piece of a chunked body; the empty one ends it."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def reason(status: int) -> str:
    """The words beside a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class RequestReader:
    """Turns received pieces into whole requests, one after another."""

    __slots__ = ("_need", "_pieces", "_size", "wants_continue")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._need = 1  # bytes that must be there before another look is worth it
        self.wants_continue = False  # the client holds its body back until it hears "100 Continue"

    def feed(self, piece: bytes) -> None:
        """Take what the client sent."""
        self._pieces.append(piece)
        self._size += len(piece)

    def take(self) -> RawRequest | None:
        """The next whole request, or None while part of it is missing; raises Malformed."""
        if self._size < self._need:
            return None
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0:
            self._wait(data, len(data) + 1)
            return None
        head = data[:head_end]
        lower = head.lower()
        start = head_end + 4
        if b"\r\ntransfer-encoding:" in lower:
            body, end = read_chunks(data, start)
        else:
            end = start + content_length(lower)
            body = data[start:end]
        if end > len(data):
            self.wants_continue = b"\r\nexpect: 100-continue" in lower
            self._wait(data, end)
            return None
        self._keep(data[end:], 1)
        return raw_request(head, lower, body)

    def _wait(self, data: bytes, need: int) -> None:
        """Nothing whole yet: come back when `need` bytes are there."""
        if need > BODY_LIMIT + HEAD_LIMIT:
            raise Malformed(413, "body too large")
        if data.find(b"\r\n\r\n", 0, HEAD_LIMIT) < 0 and len(data) > HEAD_LIMIT:
            raise Malformed(431, "headers too large")
        self._keep(data, need)

    def _keep(self, data: bytes, need: int) -> None:
        self._pieces = [data] if data else []
        self._size = len(data)
        self._need = need


def raw_request(head: bytes, lower: bytes, body: bytes) -> RawRequest:
    """A request from its head and its whole body."""
    line_end = head.find(b"\r\n")
    parts = (head if line_end < 0 else head[:line_end]).decode("latin-1").split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise Malformed(400, "not an HTTP/1 request line")
    if parts[2] == "HTTP/1.1":
        keep_alive = b"\r\nconnection: close" not in lower
    else:
        keep_alive = b"\r\nconnection: keep-alive" in lower
    return RawRequest(parts[0], parts[1], head, lower, body, keep_alive)


def content_length(lower: bytes) -> int:
    """The declared length of the body, from lower-case headers; 0 when there is none."""
    found = lower.find(b"\r\ncontent-length:")
    if found < 0:
        return 0
    start = found + len(b"\r\ncontent-length:")
    end = lower.find(b"\r\n", start)
    value = lower[start : end if end >= 0 else None].strip()
    if not value.isdigit():
        raise Malformed(400, "Content-Length is not a number")
    return int(value)


def read_chunks(data: bytes, start: int) -> tuple[bytes, int]:
    """A chunked body and where it ends; an end beyond `data` says that bytes are missing."""
    pieces: list[bytes] = []
    while True:
        line_end = data.find(b"\r\n", start)
        if line_end < 0:
            return b"", len(data) + 1
        try:
            size = int(data[start:line_end].partition(b";")[0], 16)
        except ValueError:
            raise Malformed(400, "a chunk without its size") from None
        start = line_end + 2
        if size == 0:
            return read_trailer(data, start, b"".join(pieces))
        if len(data) < start + size + 2:
            return b"", start + size + 2
        pieces.append(data[start : start + size])
        start += size + 2


def read_trailer(data: bytes, start: int, body: bytes) -> tuple[bytes, int]:
    """Skip the lines after the last chunk, up to the empty one."""
    while True:
        line_end = data.find(b"\r\n", start)
        if line_end < 0:
            return b"", len(data) + 1
        if line_end == start:
            return body, start + 2
        start = line_end + 2

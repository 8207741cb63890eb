"""One HTTP/1.1 exchange on an open socket: the request as bytes, the answer as a status, headers and a body.

Written out because the hot path is here: http.client, urllib3 and the e-mail parser behind them cost several
times the system calls. It is strict where leniency is dangerous (framing), and reads no more than it was told
to. Not taken: bare line feeds as line ends, and anything but HTTP/1.0 and 1.1.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from providers.errors import InvalidPayload

MAX_HEAD_BYTES = 64 * 1024
READ_BYTES = 64 * 1024

Receive = Callable[[int], bytes]

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9]\d\d)(?: |$)")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;|$)")
_TARGET = re.compile(r"[\x21-\x7e]+")
_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


class NotHttp(Exception):
    """What the peer sent is not an HTTP/1.x answer."""


class Closed(NotHttp):
    """The peer closed before its answer was complete."""


@dataclass(slots=True)
class Raw:
    """An answer as read. `cut`: its body is over the cap or cannot be decoded. `broken`: it ended early."""

    status: int
    headers: dict[str, str]
    content: bytes = b""
    reusable: bool = True  # the connection may carry another exchange
    cut: bool = False
    broken: bool = False


def request_bytes(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The whole request in one piece. InvalidPayload when a part of it could be read as something else."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method not in ("GET", "HEAD", "DELETE"):
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines)
    line_ends = len(lines) - 1
    if head.count("\n") != line_ends or head.count("\r") != line_ends or not _TARGET.fullmatch(target):
        raise InvalidPayload("The request's address or one of its headers holds a character that cannot be sent.")
    try:
        return head.encode("latin-1") + b"\r\n\r\n" + body
    except UnicodeEncodeError:
        raise InvalidPayload("One of the request's headers holds a character that cannot be sent.") from None


def read_answer(receive: Receive, *, method: str, cap: int) -> Raw:
    """Read one answer; interim ones (1xx) are skipped.

    Raises OSError or NotHttp while there is no status and headers; from then on the answer is returned with
    what is known of its body. At most `cap` bytes of body are kept, compressed and decompressed.
    """
    buffered = b""
    while True:
        version, raw, buffered = _read_head(receive, buffered)
        if raw.status >= 200 or raw.status == 101:
            break
    connection = raw.headers.get("connection", "").lower()
    raw.reusable = version == "1" and "close" not in connection and raw.status != 101
    if method == "HEAD" or raw.status in (101, 204, 304):
        raw.reusable = raw.reusable and not buffered
        return raw
    _read_body(_Body(receive, buffered, cap), raw)
    encoding = raw.headers.get("content-encoding")
    if encoding is not None and raw.content:
        _inflate(raw, encoding.strip().lower(), cap)
    return raw


def _read_head(receive: Receive, buffered: bytes) -> tuple[str, Raw, bytes]:
    data = bytearray(buffered or receive(READ_BYTES))
    searched = 0
    while (end := data.find(b"\r\n\r\n", searched)) < 0:
        if len(data) > MAX_HEAD_BYTES:
            raise NotHttp("its headers are too long")
        searched = max(len(data) - 3, 0)
        more = receive(READ_BYTES)
        if not more:
            raise Closed("it closed the connection" + (" in the middle of its headers" if data else ""))
        data += more
    lines = data[:end].decode("latin-1").split("\r\n")
    status_line = _STATUS_LINE.match(lines[0])
    if status_line is None:
        raise NotHttp("its first line is not one of HTTP/1.x")
    return status_line[1], Raw(int(status_line[2]), _headers(lines)), bytes(data[end + 4 :])


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise NotHttp("one of its headers is malformed")
        value = value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class _Body:
    """A body being received, and the bytes that came with the headers."""

    __slots__ = ("buffer", "cap", "parts", "receive", "size")

    def __init__(self, receive: Receive, buffer: bytes, cap: int) -> None:
        self.receive = receive
        self.buffer = buffer
        self.cap = cap
        self.parts: list[bytes] = []
        self.size = 0

    def take(self, part: bytes) -> bool:
        """Keep a part. False when the cap is passed; then as much is kept as the cap allows."""
        room = self.cap - self.size
        if len(part) > room:
            self.parts.append(part[:room])
            self.size = self.cap
            return False
        self.parts.append(part)
        self.size += len(part)
        return True

    def read(self, wanted: int) -> bytes:
        """Up to `wanted` bytes, at least one. NotHttp at the end of the stream."""
        data = self.buffer or self.receive(READ_BYTES)
        if not data:
            raise Closed("it closed the connection in the middle of the body")
        self.buffer = data[wanted:]
        return data[:wanted]

    def line(self) -> bytes:
        """One line, without its end."""
        while (end := self.buffer.find(b"\r\n")) < 0:
            if len(self.buffer) > 8192:
                raise NotHttp("a chunk's line is too long")
            more = self.receive(READ_BYTES)
            if not more:
                raise Closed("it closed the connection in the middle of the body")
            self.buffer += more
        line, self.buffer = self.buffer[:end], self.buffer[end + 2 :]
        return line

    def counted(self, length: int) -> bool:
        """Take `length` bytes. False when the cap is passed."""
        while length > 0:
            part = self.read(length)
            length -= len(part)
            if not self.take(part):
                return False
        return True

    def chunked(self) -> bool:
        """Take all chunks and the trailer. False when the cap is passed."""
        while True:
            size = _CHUNK_SIZE.match(self.line())
            if size is None:
                raise NotHttp("a chunk's size is malformed")
            length = int(size[1], 16)
            if length == 0:
                break
            if not self.counted(length):
                return False
            if self.line():
                raise NotHttp("a chunk is longer than it said")
        trailer_bytes = 0
        while line := self.line():
            trailer_bytes += len(line)
            if trailer_bytes > MAX_HEAD_BYTES:
                raise NotHttp("its trailer is too long")
        return True

    def to_the_end(self) -> bool:
        """Take everything until the peer closes. False when the cap is passed."""
        data = self.buffer or self.receive(READ_BYTES)
        self.buffer = b""
        while data:
            if not self.take(data):
                return False
            data = self.receive(READ_BYTES)
        return True


def _read_body(body: _Body, raw: Raw) -> None:
    try:
        raw.cut = not _framed(body, raw)
    except (OSError, NotHttp):
        raw.broken = True
    raw.content = body.parts[0] if len(body.parts) == 1 else b"".join(body.parts)
    if raw.cut or raw.broken or body.buffer:  # more bytes than one answer: they must not become the next one
        raw.reusable = False


def _framed(body: _Body, raw: Raw) -> bool:
    coding = raw.headers.get("transfer-encoding")
    length = raw.headers.get("content-length")
    if coding is not None:
        if coding.lower().strip() != "chunked":
            raise NotHttp("its transfer encoding is unknown")
        if length is not None:
            raw.reusable = False  # two lengths: whoever stands between may have believed the other one
        return body.chunked()
    if length is not None:
        lengths = {part.strip() for part in length.split(",")}
        only = lengths.pop()
        if lengths or not (only.isascii() and only.isdigit()):
            raise NotHttp("its content length is malformed")
        return body.counted(int(only))
    raw.reusable = False
    return body.to_the_end()


def _inflate(raw: Raw, encoding: str, cap: int) -> None:
    """Decompress in place, never past the cap. Codings that nobody asked for are left as they are."""
    wbits = _WBITS.get(encoding)
    if wbits is None:
        return
    if encoding == "deflate" and raw.content[0] & 0x0F != 8:
        wbits = -15  # some servers send the bare stream
    content, whole = _inflated(raw.content, wbits, cap)
    raw.cut = raw.cut or not whole or len(content) > cap
    raw.content = content[:cap]


def _inflated(data: bytes, wbits: int, cap: int) -> tuple[bytes, bool]:
    """At most `cap` + 1 bytes, and whether the stream ended. Several gzip members are one content."""
    parts: list[bytes] = []
    size, whole = 0, False
    while data and size <= cap:
        stream = zlib.decompressobj(wbits)
        try:
            part = stream.decompress(data, cap + 1 - size)
        except zlib.error:
            break  # not this coding at all, or padding behind the last member
        parts.append(part)
        size += len(part)
        whole = stream.eof
        if not whole:
            break
        data = stream.unused_data
    return b"".join(parts), whole

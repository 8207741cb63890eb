"""Media for those who have none at hand: a clip, a voice and a picture, under any name."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from sandbox.audio import sound
from sandbox.capcut.mp4 import video
from sandbox.routes import Route
from sandbox.wire import Answer, Request

SECONDS: Final = 4.0
WIDTH, HEIGHT = 1080, 1920
FRAMES_S: Final = 24
VOICE: Final = "mp3_44100_128"
GREY: Final = 0x80


def png(width: int, height: int) -> bytes:
    """A grey picture: one byte of filter (none) before each line of 8-bit samples."""
    lines = (b"\0" + bytes((GREY,)) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file: length, name, content, checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


KINDS: Final[Mapping[str, tuple[str, Callable[[], bytes]]]] = {
    "mp4": ("video/mp4", lambda: video(WIDTH, HEIGHT, FRAMES_S, SECONDS)),
    "mp3": ("audio/mpeg", lambda: sound(VOICE, SECONDS)),
    "png": ("image/png", lambda: png(WIDTH, HEIGHT)),
}


def medium(request: Request) -> Answer:
    """What a name ends in; names that begin with `missing` are not there."""
    name = request.params["name"]
    kind = KINDS.get(name.rpartition(".")[2])
    if kind is None or name.startswith("missing"):
        return Answer(404)
    mime, content = kind
    return Answer(200, content(), {"Content-Type": mime})


def readable(template: str, handler: Callable[[Request], Answer]) -> tuple[Route, Route]:
    """Doors to read a file, and to ask whether it is there; the latter does not say how long it is."""
    return Route("GET", template, handler), Route("HEAD", template, lambda request: replace(handler(request), body=b""))

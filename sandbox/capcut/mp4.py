"""A playable MP4 file of a given length: a grey H.264 picture. ISO/IEC 14496-12 and -15."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from sandbox.capcut.h264 import Picture

SECONDS_MAX: Final = 600.0  # a longer video is cut
MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
FILM_TIMESCALE: Final = 1000
UNDETERMINED: Final = 0x55C4  # the language "und"


@lru_cache(maxsize=16)
def video(width: int, height: int, frames_s: int, seconds: float) -> bytes:
    """So many seconds of grey, at least one frame, both sides made even."""
    picture = Picture(max(2, width & ~1), max(2, height & ~1))
    count = max(1, round(min(seconds, SECONDS_MAX) * frames_s))
    samples = [prefixed(picture.key()), *(prefixed(picture.repeat(number)) for number in range(1, count))]
    head = box("ftyp", b"isom", struct.pack(">I", 0x200), b"isomiso2avc1mp41")
    start = len(head) + len(movie(picture, frames_s, samples, 0)) + 8
    return head + movie(picture, frames_s, samples, start) + box("mdat", *samples)


def prefixed(unit: bytes) -> bytes:
    """A NAL unit behind its length."""
    return struct.pack(">I", len(unit)) + unit


def box(name: str, *parts: bytes) -> bytes:
    """A box: its length, its name, its content."""
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, name.encode()) + content


def full(name: str, *parts: bytes, flags: int = 0) -> bytes:
    """A box with a version (0) and flags."""
    return box(name, struct.pack(">I", flags), *parts)


def movie(picture: Picture, frames_s: int, samples: Sequence[bytes], start: int) -> bytes:
    """The moov box; `start` is where the first sample lies in the file."""
    length = len(samples) * FILM_TIMESCALE // frames_s
    times = struct.pack(">IIII", 0, 0, FILM_TIMESCALE, length)
    header = full("mvhd", times, struct.pack(">IH10x", 0x10000, 0x100), MATRIX, bytes(24), struct.pack(">I", 2))
    return box("moov", header, track(picture, frames_s, samples, start, length))


def track(picture: Picture, frames_s: int, samples: Sequence[bytes], start: int, length: int) -> bytes:
    """The one track."""
    sides = struct.pack(">II", picture.width << 16, picture.height << 16)
    times = struct.pack(">IIIII", 0, 0, 1, 0, length)
    header = full("tkhd", times, bytes(16), MATRIX, sides, flags=3)
    media_header = full("mdhd", struct.pack(">IIIIHH", 0, 0, frames_s, len(samples), UNDETERMINED, 0))
    handler = full("hdlr", bytes(4), b"vide", bytes(12), b"video\0")
    here = box("dinf", full("dref", struct.pack(">I", 1), full("url ", flags=1)))
    info = box("minf", full("vmhd", bytes(8), flags=1), here, table(picture, samples, start))
    return box("trak", header, box("mdia", media_header, handler, info))


def table(picture: Picture, samples: Sequence[bytes], start: int) -> bytes:
    """Where the samples are: all in one chunk, each as long as one tick; the first is the key frame."""
    count = len(samples)
    return box(
        "stbl",
        full("stsd", struct.pack(">I", 1), sample_entry(picture)),
        full("stts", struct.pack(">III", 1, count, 1)),
        full("stss", struct.pack(">II", 1, 1)),
        full("stsc", struct.pack(">IIII", 1, 1, count, 1)),
        full("stsz", struct.pack(f">II{count}I", 0, count, *map(len, samples))),
        full("stco", struct.pack(">II", 1, start)),
    )


def sample_entry(picture: Picture) -> bytes:
    """How the samples are coded."""
    sequence, parameters = picture.sequence(), picture.parameters()
    config = box(
        "avcC",
        bytes((1, *sequence[1:4], 0xFF, 0xE1)),
        struct.pack(">H", len(sequence)) + sequence,
        struct.pack(">BH", 1, len(parameters)) + parameters,
    )
    sides = struct.pack(">HH", picture.width, picture.height)
    resolution = struct.pack(">II4xH32xHh", 72 << 16, 72 << 16, 1, 24, -1)
    return box("avc1", struct.pack(">6xH16x", 1), sides, resolution, config)

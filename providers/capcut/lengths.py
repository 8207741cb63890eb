"""How long a file plays: MP3, WAV and MP4 (M4A too), from the file itself.

MP3 frames: ISO/IEC 11172-3 2.4.2.3 and 13818-3. MP4: the movie header of ISO/IEC 14496-12.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

_MPEG1 = 3  # the version's bits; 2 is MPEG 2, 0 is MPEG 2.5
_LAYER3 = 1
_RATES: Mapping[int, tuple[int, ...]] = {
    3: (44_100, 48_000, 32_000),
    2: (22_050, 24_000, 16_000),
    0: (11_025, 12_000, 8_000),
}
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_STRAY_BYTES = 64 * 1024  # before the first frame


def seconds_of(content: bytes) -> float | None:
    """How long a file plays; None where it is of no kind that can be measured."""
    if content[:4] == b"RIFF" and content[8:12] == b"WAVE":
        return _of_wav(content)
    if is_mp4(content):
        return of_mp4(content)
    return _of_mp3(content)


def is_mp4(content: bytes) -> bool:
    """Whether this begins as an MP4 file does."""
    return content[4:8] == b"ftyp"


def of_mp4(content: bytes) -> float | None:
    """What the movie header says; None where there is no readable one."""
    movie = next((body for name, body in _boxes(content) if name == b"moov"), b"")
    header = next((body for name, body in _boxes(movie) if name == b"mvhd"), b"")
    shape, at = (">IQ", 20) if header[:1] == b"\x01" else (">II", 12)
    if len(header) < at + struct.calcsize(shape):
        return None
    scale, length = struct.unpack_from(shape, header, at)
    return length / scale if scale else None


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, at)
        head = 8
        if size == 1 and at + 16 <= len(content):
            (size,) = struct.unpack_from(">Q", content, at + 8)
            head = 16
        size = size or len(content) - at  # 0 = to the end
        if size < head:
            return
        yield name, content[at + head : at + size] if name in (b"moov", b"mvhd") else b""
        at += size


def _of_wav(content: bytes) -> float | None:
    at, bytes_s = 12, 0
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        if name == b"fmt " and at + 20 <= len(content):
            (bytes_s,) = struct.unpack_from("<I", content, at + 16)
        if name == b"data" and bytes_s:
            return min(int(size), len(content) - at - 8) / bytes_s  # a stream's size is not what it says
        at += 8 + size + size % 2
    return None


def _of_mp3(content: bytes) -> float | None:
    at, seconds = _first_frame(content), 0.0
    while (frame := _frame(content, at)) is not None:
        size, length_s = frame
        at += size
        seconds += length_s
    return seconds or None


def _first_frame(content: bytes) -> int:
    """Behind the tags, where one frame follows another."""
    at = 0
    if content[:3] == b"ID3" and len(content) > 10:
        at = 10 + (content[6] << 21 | content[7] << 14 | content[8] << 7 | content[9])
    for start in range(at, min(at + _STRAY_BYTES, len(content) - 4)):
        frame = _frame(content, start)
        if frame is not None and (start + frame[0] >= len(content) or _frame(content, start + frame[0])):
            return start
    return len(content)


def _frame(content: bytes, at: int) -> tuple[int, float] | None:
    """Size and seconds of the frame of layer III that begins here; None where none does."""
    if at + 4 > len(content) or content[at] != 0xFF or content[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = content[at + 1] >> 3 & 3, content[at + 1] >> 1 & 3
    kbits_at, rate_at, padding = content[at + 2] >> 4, content[at + 2] >> 2 & 3, content[at + 2] >> 1 & 1
    if version not in _RATES or layer != _LAYER3 or rate_at == 3 or kbits_at in (0, 15):
        return None
    rate, samples = _RATES[version][rate_at], 1152 if version == _MPEG1 else 576
    kbits = (_KBITS_1 if version == _MPEG1 else _KBITS_2)[kbits_at]
    return samples // 8 * kbits * 1000 // rate + padding, samples / rate

"""Playable sound without an encoder: silence as MPEG and Opus frames, a quiet tone as PCM and RIFF.

Formats are named as ElevenLabs names them: `<codec>_<samples per second>[_<kbit/s>]`.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final

# Layer III: the rates in kbit/s by their 4-bit index, for MPEG-1 (44.1 kHz) and MPEG-2 (half that).
MPEG1_KBIT: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MPEG2_KBIT: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
MPEG1_HZ: Final = (44100, 48000, 32000)
MPEG2_HZ: Final = (22050, 24000, 16000)
MONO: Final = 0b11 << 6

TONE_HZ: Final = 200
TONE_LEVEL: Final = 300  # of 32767: quiet

OPUS_FRAME_S: Final = 0.02
OPUS_SILENCE: Final = b"\xf8\xff\xfe"  # 20 ms, CELT, mono
OPUS_PRE_SKIP: Final = 312
OGG_PACKETS: Final = 50  # in a page
OGG_SERIAL: Final = 1

RATES: Final[Mapping[str, tuple[str, ...]]] = {
    "mp3": ("22050_32", "24000_48", "44100_32", "44100_64", "44100_96", "44100_128", "44100_192"),
    "pcm": ("8000", "16000", "22050", "24000", "32000", "44100", "48000"),
    "wav": ("8000", "16000", "22050", "24000", "32000", "44100", "48000"),
    "ulaw": ("8000",),
    "alaw": ("8000",),
    "opus": ("48000_32", "48000_64", "48000_96", "48000_128", "48000_192"),
}
FORMATS: Final = frozenset(f"{codec}_{rate}" for codec, rates in RATES.items() for rate in rates)


def sound(output_format: str, seconds: float) -> bytes:
    """So many seconds of sound in one of FORMATS."""
    codec, rate, *_ = output_format.split("_")
    kbit = int(output_format.rpartition("_")[2])
    return CODECS[codec](int(rate), kbit, seconds)


def mp3(rate: int, kbit: int, seconds: float) -> bytes:
    """Silent MPEG audio frames, layer III, mono."""
    samples = 1152 if rate in MPEG1_HZ else 576
    return mp3_frame(rate, kbit) * max(1, math.ceil(seconds * rate / samples))


def mp3_frame(rate: int, kbit: int) -> bytes:
    """One frame: a header, and zeros, which say that no bits describe any sound."""
    version1 = rate in MPEG1_HZ
    rates, kbits = (MPEG1_HZ, MPEG1_KBIT) if version1 else (MPEG2_HZ, MPEG2_KBIT)
    header = bytes((0xFF, 0xFB if version1 else 0xF3, kbits.index(kbit) << 4 | rates.index(rate) << 2, MONO))
    length = (144 if version1 else 72) * kbit * 1000 // rate
    return header.ljust(length, b"\0")


def pcm(rate: int, kbit: int, seconds: float) -> bytes:
    """A quiet tone, signed 16-bit little-endian mono, no header."""
    period = one_second(rate)
    size = 2 * math.ceil(seconds * rate)
    return (period * (size // len(period) + 1))[:size]


@lru_cache(maxsize=8)
def one_second(rate: int) -> bytes:
    """One second of the tone, which ends where it began."""
    turn = 2 * math.pi * TONE_HZ / rate
    return struct.pack(f"<{rate}h", *array("h", (round(TONE_LEVEL * math.sin(turn * n)) for n in range(rate))))


def wav(rate: int, kbit: int, seconds: float) -> bytes:
    """The same tone in a RIFF file."""
    data = pcm(rate, kbit, seconds)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE") + form + struct.pack("<4sI", b"data", len(data)) + data
    )


def ulaw(rate: int, kbit: int, seconds: float) -> bytes:
    """Silence in µ-law."""
    return b"\xff" * math.ceil(seconds * rate)


def alaw(rate: int, kbit: int, seconds: float) -> bytes:
    """Silence in A-law."""
    return b"\xd5" * math.ceil(seconds * rate)


def opus(rate: int, kbit: int, seconds: float) -> bytes:
    """Silent Opus packets in an Ogg stream."""
    head = struct.pack("<8sBBHIHB", b"OpusHead", 1, 1, OPUS_PRE_SKIP, rate, 0, 0)
    tags = struct.pack("<8sI7sI", b"OpusTags", 7, b"sandbox", 0)
    start = ogg_page(head, [len(head)], 0, 0, 0x02) + ogg_page(tags, [len(tags)], 1, 0, 0)
    return start + b"".join(opus_pages(max(1, math.ceil(seconds / OPUS_FRAME_S))))


def opus_pages(packets: int) -> Iterator[bytes]:
    """The pages after the two headers."""
    samples = round(48000 * OPUS_FRAME_S)  # positions count at 48 kHz, whatever the rate
    for number, start in enumerate(range(0, packets, OGG_PACKETS), start=2):
        end = min(start + OGG_PACKETS, packets)
        sizes = [len(OPUS_SILENCE)] * (end - start)
        yield ogg_page(OPUS_SILENCE * len(sizes), sizes, number, end * samples, 0x04 if end == packets else 0)


def ogg_page(data: bytes, sizes: list[int], number: int, position: int, flags: int) -> bytes:
    """A page of whole packets, each shorter than 255 bytes."""
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, position, OGG_SERIAL, number, 0)
    page = head + bytes((len(sizes), *sizes)) + data
    return page[:22] + ogg_crc(page).to_bytes(4, "little") + page[26:]


def ogg_crc(page: bytes) -> int:
    """The checksum of a page whose checksum field is zero."""
    crc = 0
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ OGG_TABLE[crc >> 24 ^ byte]
    return crc


def ogg_table() -> Iterator[int]:
    """The remainders of all bytes by the polynomial of Ogg."""
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x104C11DB7 if crc & 0x80000000 else 0)
        yield crc


OGG_TABLE: Final = tuple(ogg_table())

CODECS: Final[Mapping[str, Callable[[int, int, float], bytes]]] = {
    "mp3": mp3,
    "pcm": pcm,
    "wav": wav,
    "ulaw": ulaw,
    "alaw": alaw,
    "opus": opus,
}

"""How long files play, against files of known length made by others' hands."""

from __future__ import annotations

import io
import struct
import wave

import pytest

from providers.capcut.lengths import is_mp4, of_mp4, seconds_of
from sandbox.audio import sound
from sandbox.capcut.mp4 import video
from tests.providers.capcut.calls import MP4, voice


@pytest.mark.parametrize("kind", ["mp3_44100_128", "mp3_44100_192", "mp3_22050_32", "mp3_24000_48"])
@pytest.mark.parametrize("seconds", [0.5, 7.0, 61.0])
def test_mp3(kind: str, seconds: float) -> None:
    measured = seconds_of(sound(kind, seconds))
    assert measured == pytest.approx(seconds, abs=0.06)  # whole frames


def test_mp3_behind_a_tag_and_before_one() -> None:
    tag = b"ID3\x04\x00\x00" + bytes((0, 0, 2, 0)) + b"\xff\xfb" * 128  # 256 bytes, which look like frames
    assert seconds_of(tag + voice(50) + b"TAG" + bytes(125)) == pytest.approx(50 * 1152 / 44_100)
    assert seconds_of(bytes(100) + voice(50)) == pytest.approx(50 * 1152 / 44_100)


def test_mp3_of_changing_bit_rate() -> None:
    slow = (b"\xff\xfb\x50\xc0" + bytes(204)) * 10  # 64 kbit/s
    assert seconds_of(slow + voice(10)) == pytest.approx(20 * 1152 / 44_100)


@pytest.mark.parametrize("rate", [8_000, 44_100])
def test_wav(rate: int) -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(2)
        made.setsampwidth(2)
        made.setframerate(rate)
        made.writeframes(bytes(4 * rate * 3))
    assert seconds_of(file.getvalue()) == 3.0
    streamed = bytearray(file.getvalue())
    streamed[40:44] = b"\xff\xff\xff\xff"
    assert seconds_of(bytes(streamed)) == 3.0


def test_mp4() -> None:
    content = video(64, 64, 24, 3.5)
    assert (is_mp4(content), seconds_of(content)) == (True, 3.5)
    long_header = bytes((1, 0, 0, 0)) + bytes(16) + struct.pack(">IQ", 1000, 2500) + bytes(80)
    movie = struct.pack(">I4s", 16 + len(long_header), b"moov") + struct.pack(">I4s", 8 + len(long_header), b"mvhd")
    assert of_mp4(MP4 + movie + long_header) == 2.5
    wide = struct.pack(">I4sQ", 1, b"mdat", 16 + 4) + bytes(4)
    assert of_mp4(wide + movie + long_header) == 2.5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"ID3",
        b"ID3\x04\x00" + bytes(100),
        b"\xff\xfb",
        bytes(1000),
        b"RIFF\x00\x00\x00\x00WAVE",
        b"RIFF\x00\x00\x00\x00WAVEdata\x04\x00\x00\x00abcd",
        MP4,
        MP4 + b"\x00\x00\x00\x04moov",
        MP4 + b"\x00\x00\x00\x10moov\x00\x00\x00\x08mvhd",
        b"OggS" + bytes(50),
        b"<html>not found</html>",
    ],
)
def test_what_cannot_be_measured_is_none(content: bytes) -> None:
    assert seconds_of(content) is None

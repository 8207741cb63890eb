"""Files are joined by frames and samples: every one of them, and nothing else."""

from __future__ import annotations

import io
import struct
import wave

import pytest

from providers.elevenlabs.audio import NotThisFormat, parsed, wav_header
from providers.elevenlabs.joining import bare, codec_of, frame_at, join, seconds_of, silence_s
from sandbox.audio import RATES, mp3_frame, sound

MP3 = "mp3_44100_128"
JOINABLE = [f"{kind}_{rate}" for kind, rates in RATES.items() if kind != "opus" for rate in rates]


@pytest.mark.parametrize("output_format", JOINABLE)
def test_every_format_joins_to_the_sum_of_its_parts(output_format: str) -> None:
    parts = [bare(sound(output_format, seconds), output_format) for seconds in (0.5, 1.25)]
    pause_s = silence_s(output_format, 0.3)
    assert pause_s == pytest.approx(0.3, abs=0.03)
    joined = join([(parts[0].content, 0.3), (parts[1].content, 0.0)], output_format)
    assert seconds_of(joined, output_format) == pytest.approx(sum(part.seconds for part in parts) + pause_s, abs=0.001)


@pytest.mark.parametrize("output_format", ["opus_48000_64", "new_1", "mp3", "mp3_x", ""])
def test_what_cannot_be_joined(output_format: str) -> None:
    assert codec_of(output_format) is None
    with pytest.raises(NotThisFormat):
        bare(b"x", output_format)


def id3(size: int) -> bytes:
    return (
        b"ID3\x04\x00\x00" + bytes((size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127)) + b"\xff" * size
    )


def xing(name: bytes) -> bytes:
    frame = mp3_frame(44100, 128)
    return frame[:21] + name + frame[25:]


def test_what_tells_of_a_whole_file_does_not_come_along() -> None:
    frames = mp3_frame(44100, 128) * 3
    vbri = frames[:36] + b"VBRI" + frames[40 : len(frames) // 3]
    for content in (
        id3(300) + xing(b"Info") + frames,
        xing(b"Xing") + frames,
        vbri + frames,
        frames + b"TAG" + bytes(125),
        frames + frames[:100],  # the last frame is not whole
        b"\0\0\xff\x00junk" + frames,
    ):
        assert bare(content, MP3).content == frames
        assert bare(content, MP3).seconds == pytest.approx(3 * 1152 / 44100)


def test_frames_with_padding_and_checksums_and_of_either_version() -> None:
    padded = bytes((0xFF, 0xFB, 0x92, 0xC4)).ljust(418, b"\x01")
    checked = bytes((0xFF, 0xFA, 0x90, 0xC4)).ljust(417, b"\x02")
    assert bare(padded + checked, MP3).content == padded + checked
    frame = frame_at(checked, 0)
    assert frame is not None
    assert (frame.checked, frame.side_info, frame.size) == (True, 19, 417)
    low = frame_at(mp3_frame(22050, 32), 0)
    assert low is not None
    assert (low.samples, low.side_info, low.size) == (576, 9, 104)


def test_a_silence_is_frames_that_say_nothing_of_the_same_kind() -> None:
    checked = bytes((0xFF, 0xFA, 0x92, 0xC4)).ljust(418, b"\x02")
    joined = join([(checked, 0.05), (checked, 0.0)], MP3)
    silent = bytes((0xFF, 0xFB, 0x90, 0xC4)).ljust(417, b"\0")
    assert joined == checked + silent * 2 + checked
    assert silence_s(MP3, 0.05) == pytest.approx(2 * 1152 / 44100)
    assert silence_s(MP3, 0.0) == 0.0


@pytest.mark.parametrize(
    ("content", "output_format"),
    [
        (b"", MP3),
        (b"RIFF0000WAVE", MP3),
        (sound("mp3_22050_32", 1), MP3),  # another rate cannot follow
        (sound(MP3, 1), "pcm_44100"),
        (sound("pcm_16000", 1)[:1], "pcm_16000"),
        (sound("wav_22050", 1), "wav_44100"),
        (sound("wav_22050", 1), "pcm_44100"),
        (sound("wav_16000", 1)[:30], "wav_16000"),
        (sound(MP3, 1), "ulaw_8000"),
        (b"", "alaw_8000"),
    ],
)
def test_what_is_not_the_format_is_not_taken(content: bytes, output_format: str) -> None:
    with pytest.raises(NotThisFormat):
        bare(content, output_format)


def test_samples_that_look_like_one_frame_are_samples() -> None:
    content = bytes((0xFF, 0xFB, 0x90, 0xC4)) + bytes(1000)
    assert bare(content, "pcm_16000").content == content


def test_a_wav_whose_header_was_written_before_its_samples_were_known() -> None:
    samples = bytes(range(200))
    header = bytearray(wav_header(0, 16000))
    odd = struct.pack("<4sI3sx", b"LIST", 3, b"abc")
    for size in (0, 0xFFFFFFFF):
        header[40:44] = struct.pack("<I", size)
        content = bytes(header[:36]) + odd + bytes(header[36:]) + samples
        assert bare(content, "wav_16000").content == samples


def test_a_joined_wav_is_one_file_that_plays() -> None:
    parts = [bare(sound("wav_24000", seconds), "wav_24000") for seconds in (0.1, 0.2)]
    joined = join([(part.content, 0.0) for part in parts], "wav_24000")
    with wave.open(io.BytesIO(joined)) as played:
        assert (played.getframerate(), played.getnframes()) == (24_000, 7_200)
        assert played.readframes(10_000) == parts[0].content + parts[1].content


@pytest.mark.parametrize(
    ("name", "said"),
    [("mp3_44100_128", ("mp3", 44100, 128)), ("pcm_8000", ("pcm", 8000, 0)), ("opus", ("opus", 0, 0))],
)
def test_what_a_format_is_called(name: str, said: tuple[str, int, int]) -> None:
    assert parsed(name) == said

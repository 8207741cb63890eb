"""Audio as ElevenLabs sends it: what a format is called, and whether the bytes are what they claim."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from providers.errors import OutcomeUnknown

_WAV_MIME = "audio/wav"


class NotThisFormat(ValueError):
    """The bytes are not what their format says."""


@dataclass(frozen=True, slots=True)
class Audio:
    """A file that can be played as it is."""

    content: bytes
    mime: str
    extension: str


_KINDS = {  # first word of output_format -> (mime, extension)
    "mp3": ("audio/mpeg", "mp3"),
    "wav": (_WAV_MIME, "wav"),
    "pcm": (_WAV_MIME, "wav"),  # headerless; gets a header here
    "opus": ("audio/ogg", "opus"),
    "ulaw": ("audio/basic", "ulaw"),
    "alaw": ("audio/x-alaw-basic", "alaw"),
}


def parsed(output_format: str) -> tuple[str, int, int]:
    """Kind, samples per second and kbit/s of a format; 0 for what its name does not say."""
    kind, *numbers = output_format.split("_")
    rate, kbit = (int(each) if each.isdecimal() else 0 for each in (*numbers, "", "")[:2])
    return kind, rate, kbit


def kind_of(output_format: str) -> tuple[str, str]:
    """The MIME type of a format and what its files' names end with."""
    return _KINDS.get(output_format.partition("_")[0], ("application/octet-stream", "bin"))


def playable(content: bytes, output_format: str) -> Audio:
    """The answer's bytes as a file. OutcomeUnknown when they are not what was asked for: they were paid for.

    The kind comes from the requested format, because the answer's content type says audio/mpeg for all of
    them.
    """
    kind, _, rest = output_format.partition("_")
    mime, extension = kind_of(output_format)
    if not content:
        raise unusable("is empty")
    if kind == "mp3" and not _is_mp3(content):
        raise unusable("is not MP3")
    if kind == "wav" and not _is_wav(content):
        raise unusable("is not WAV")
    if kind == "pcm" and not _is_wav(content):
        content = wav_header(len(content), int(rest.partition("_")[0])) + content
    return Audio(content, mime, extension)


def recovered(content: bytes, output_format: str) -> Audio:
    """A file from the history, whose format may differ from the one that was asked for."""
    if _is_mp3(content):
        return playable(content, "mp3")
    return playable(content, "wav" if _is_wav(content) else output_format)


def wav_header(size: int, samples_per_s: int) -> bytes:
    """The header of a WAV file with `size` bytes of signed 16-bit little-endian mono samples."""
    return struct.pack(
        "<4sI4s 4sIHHIIHH 4sI",
        *(b"RIFF", 36 + size, b"WAVE"),
        *(b"fmt ", 16, 1, 1, samples_per_s, samples_per_s * 2, 2, 16),
        *(b"data", size),
    )


def _is_mp3(content: bytes) -> bool:
    return content[:3] == b"ID3" or (len(content) > 1 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0)


def _is_wav(content: bytes) -> bool:
    return content[:4] == b"RIFF" and content[8:12] == b"WAVE"


def unusable(why: str) -> OutcomeUnknown:
    """Audio was made, paid for, and is of no use as it came."""
    return OutcomeUnknown(f"The audio that came back {why}.", code="answer_unusable")

"""Several audio files of one format as one file, without decoding: frames of MP3, samples of everything else.

MP3: ISO/IEC 11172-3 and 13818-3, layer III. Each file that is joined begins with an empty bit reservoir, so whole
frames may follow one another; headers of a whole file (ID3, Xing, VBRI) would lie about the joined one, and go.
Opus is not joined: an Ogg stream may be chained, but few players play more than the first link.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from providers.elevenlabs.audio import NotThisFormat, parsed, wav_header

_BITRATES = {  # kbit/s by index, of MPEG-1 and of MPEG-2 and 2.5
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES = {0b11: (44100, 48000, 32000), 0b10: (22050, 24000, 16000), 0b00: (11025, 12000, 8000)}  # Hz, by version
_LAYER_3 = 0b01
_MONO = 0b11
_PADDING = 0b10  # of the third byte
_NO_CRC = 0b1  # of the second byte


@dataclass(frozen=True, slots=True)
class Bare:
    """Frames or samples without anything around them."""

    content: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Codec:
    """How files of one kind are taken apart and put together; each gets the samples per second that were asked for."""

    bare: Callable[[bytes, int], Bare]  # raises NotThisFormat
    silence: Callable[[bytes, int, float], bytes]  # so many seconds that fit in with this bare content
    silent_s: Callable[[int, float], float]  # how long that is in truth
    whole: Callable[[bytes, int], bytes]


def codec_of(output_format: str) -> Codec | None:
    """How a format is joined; None where it cannot be."""
    kind, rate, _ = parsed(output_format)
    return _CODECS.get(kind) if rate else None


def bare(content: bytes, output_format: str) -> Bare:
    """A file taken apart, so that it can be joined. Raises NotThisFormat."""
    codec = codec_of(output_format)
    if codec is None:
        raise NotThisFormat(output_format)
    return codec.bare(content, parsed(output_format)[1])


def seconds_of(content: bytes, output_format: str) -> float | None:
    """How long a file plays; None where that cannot be told."""
    try:
        return round(bare(content, output_format).seconds, 3)
    except NotThisFormat:
        return None


def silence_s(output_format: str, pause_s: float) -> float:
    """How long a silence of about `pause_s` is in that format."""
    codec = codec_of(output_format)
    return codec.silent_s(parsed(output_format)[1], pause_s) if codec and pause_s else 0.0


def breaks_off(content: bytes, output_format: str) -> bool:
    """Whether the end of a file is only the begin of something: of a frame of MP3, of a sample of PCM."""
    kind = parsed(output_format)[0]
    if kind == "pcm":
        return bool(len(content) % 2)
    end = max((at + frame.size for at, frame in _frames(content)), default=None) if kind == "mp3" else None
    return end is not None and content[end : end + 1] == b"\xff"


def join(parts: Iterable[tuple[bytes, float]], output_format: str) -> bytes:
    """One file of bare parts, each followed by about so many seconds of silence."""
    codec, rate = codec_of(output_format), parsed(output_format)[1]
    if codec is None:
        raise NotThisFormat(output_format)
    contents: list[bytes] = []
    for content, pause_s in parts:
        contents.append(content)
        if pause_s:
            contents.append(codec.silence(content, rate, pause_s))
    return codec.whole(b"".join(contents), rate)


# ---------------------------------------------------------------------------------------------------------------- MP3


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of an MP3 frame."""

    version_1: bool
    rate: int
    mono: bool
    checked: bool  # a checksum of two bytes follows the header
    size: int  # of the whole frame in bytes

    @property
    def samples(self) -> int:
        """How many it plays."""
        return 1152 if self.version_1 else 576

    @property
    def side_info(self) -> int:
        """Bytes between the header and what is played."""
        size = (17 if self.mono else 32) if self.version_1 else (9 if self.mono else 17)
        return size + (2 if self.checked else 0)


def frame_at(content: bytes, at: int) -> Frame | None:
    """The frame that begins there, if one does."""
    return _frame(content[at : at + 4])


@lru_cache(maxsize=256)  # a file has few different ones
def _frame(header: bytes) -> Frame | None:
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    second, third, fourth = header[1], header[2], header[3]
    rates = _RATES.get(second >> 3 & 0b11)
    bitrate, rate = third >> 4, third >> 2 & 0b11
    if rates is None or second >> 1 & 0b11 != _LAYER_3 or not 0 < bitrate < 15 or rate == 0b11:
        return None
    version_1 = second >> 3 & 0b11 == 0b11
    kbit, hertz = _BITRATES[version_1][bitrate], rates[rate]
    size = (144 if version_1 else 72) * kbit * 1000 // hertz + (1 if third & _PADDING else 0)
    return Frame(version_1, hertz, fourth >> 6 == _MONO, not second & _NO_CRC, size)


def _frames(content: bytes) -> Iterator[tuple[int, Frame]]:
    """Every whole frame and where it begins. What is between frames is passed over."""
    at, first = _behind_id3(content), None
    while 0 <= at < len(content):
        frame = frame_at(content, at)
        if frame is None or (first and (frame.rate, frame.mono) != (first.rate, first.mono)):
            at = content.find(b"\xff", at + 1)
            continue
        if at + frame.size > len(content):
            return
        if first or not _describes(content, at, frame):
            first = first or frame
            yield at, frame
        at += frame.size


def _behind_id3(content: bytes) -> int:
    if content[:3] != b"ID3" or len(content) < 10:
        return 0
    size = 0
    for byte in content[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _describes(content: bytes, at: int, frame: Frame) -> bool:
    """Whether a frame tells of the whole file instead of being played."""
    body = at + 4 + frame.side_info
    return content[body : body + 4] in (b"Xing", b"Info") or content[at + 36 : at + 40] == b"VBRI"


def _bare_mp3(content: bytes, rate: int) -> Bare:
    frames = list(_frames(content))
    if not frames or frames[0][1].rate != rate:
        raise NotThisFormat("MP3")
    whole = b"".join(content[at : at + frame.size] for at, frame in frames)
    return Bare(whole, len(frames) * frames[0][1].samples / rate)


def _silent_mp3(content: bytes, rate: int, pause_s: float) -> bytes:
    """Frames like the first one, in which no bits describe any sound."""
    header = bytes((content[0], content[1] | _NO_CRC, content[2] & ~_PADDING, content[3]))
    frame = frame_at(header, 0)
    if frame is None:  # a bare part begins with a frame
        raise NotThisFormat("MP3")
    return header.ljust(frame.size, b"\0") * _silent_frames(rate, pause_s)


def _silent_frames(rate: int, pause_s: float) -> int:
    return max(1, round(pause_s * rate / _mp3_samples(rate)))


def _mp3_samples(rate: int) -> int:
    return 1152 if rate in _RATES[0b11] else 576


def _silent_mp3_s(rate: int, pause_s: float) -> float:
    return _silent_frames(rate, pause_s) * _mp3_samples(rate) / rate


# ------------------------------------------------------------------------------------------------------------ samples


def _bare_wav(content: bytes, rate: int) -> Bare:
    """The samples of a RIFF file: signed 16-bit mono, as all of theirs are."""
    form, data = _chunk(content, b"fmt "), _chunk(content, b"data")
    if form is None or data is None or struct.unpack_from("<HHIIHH", form.ljust(16, b"\0")) != _pcm_form(rate):
        raise NotThisFormat("WAV")
    return _bare_pcm(data, rate)


def _pcm_form(rate: int) -> tuple[int, ...]:
    return 1, 1, rate, rate * 2, 2, 16


def _chunk(content: bytes, wanted: bytes) -> bytes | None:
    """A chunk's content. A file that was made while it was sent gives no true size of its last one: the rest is it."""
    at = 12 if content[:4] == b"RIFF" and content[8:12] == b"WAVE" else len(content)
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        if name == wanted:
            return content[at + 8 : at + 8 + size] if size else content[at + 8 :]
        at += 8 + size + size % 2
    return None


def _bare_pcm(content: bytes, rate: int) -> Bare:
    if content[:4] == b"RIFF":
        return _bare_wav(content, rate)
    whole = content[: len(content) // 2 * 2]
    if not whole or _looks_like_mp3(content):
        raise NotThisFormat("PCM")
    return Bare(whole, len(whole) / 2 / rate)


def _looks_like_mp3(content: bytes) -> bool:
    """Two frames in a row: samples may look like the begin of one."""
    frame = frame_at(content, 0)
    return content[:3] == b"ID3" or (frame is not None and frame_at(content, frame.size) is not None)


def _bare_law(content: bytes, rate: int) -> Bare:
    if not content or content[:4] == b"RIFF" or _looks_like_mp3(content):
        raise NotThisFormat("8-bit samples")
    return Bare(content, len(content) / rate)


def _samples(rate: int, pause_s: float) -> int:
    return round(pause_s * rate)


def _silent(sample: bytes) -> Callable[[bytes, int, float], bytes]:
    return lambda content, rate, pause_s: sample * _samples(rate, pause_s)


def _silent_samples_s(rate: int, pause_s: float) -> float:
    return _samples(rate, pause_s) / rate


def _with_header(samples: bytes, rate: int) -> bytes:
    return wav_header(len(samples), rate) + samples


def _as_it_is(samples: bytes, rate: int) -> bytes:
    return samples


_CODECS: Mapping[str, Codec] = {
    "mp3": Codec(_bare_mp3, _silent_mp3, _silent_mp3_s, _as_it_is),
    "wav": Codec(_bare_wav, _silent(b"\0\0"), _silent_samples_s, _with_header),
    "pcm": Codec(_bare_pcm, _silent(b"\0\0"), _silent_samples_s, _with_header),
    "ulaw": Codec(_bare_law, _silent(b"\xff"), _silent_samples_s, _as_it_is),
    "alaw": Codec(_bare_law, _silent(b"\xd5"), _silent_samples_s, _as_it_is),
}

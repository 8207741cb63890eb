"""A grey H.264 picture without an encoder: one coded picture, then pictures that repeat it.

ITU-T H.264, baseline profile: every macroblock of the first picture is predicted from nothing (mid-grey) with no
residual; every later picture skips all macroblocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MACROBLOCK: Final = 16  # pixels
BASELINE: Final = 66
CONSTRAINTS: Final = 0xC0
LEVELS: Final = ((3600, 31), (8192, 40), (22080, 50), (36864, 51))  # macroblocks in a picture, level times ten
FRAME_NUMBERS: Final = 16

SEQUENCE, PICTURE, KEY_SLICE, SLICE = 0x67, 0x68, 0x65, 0x41  # first bytes of NAL units
INTRA, PREDICTED = 7, 5  # slice types, when all slices of the picture are of that type


class Bits:
    """Bits that are written one after another."""

    def __init__(self) -> None:
        self._text = ""

    def fixed(self, value: int, width: int) -> Bits:
        """An unsigned number of so many bits."""
        self._text += f"{value:0{width}b}"
        return self

    def golomb(self, *values: int) -> Bits:
        """Unsigned Exp-Golomb codes."""
        for value in values:
            code = f"{value + 1:b}"
            self._text += "0" * (len(code) - 1) + code
        return self

    def repeated(self, pattern: str, times: int) -> Bits:
        """The same bits again and again."""
        self._text += pattern * times
        return self

    def unit(self, first: int) -> bytes:
        """A NAL unit: the stop bit, whole bytes, and a 3 between two zero bytes and what must not follow them."""
        text = self._text + "1"
        text += "0" * (-len(text) % 8)
        data, zeros = bytearray([first]), 0
        for byte in int(text, 2).to_bytes(len(text) // 8, "big"):
            if zeros >= 2 and byte <= 3:
                data.append(3)
                zeros = 0
            data.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes(data)


@dataclass(frozen=True, slots=True)
class Picture:
    """The size of a video in pixels; both sides are even."""

    width: int
    height: int

    @property
    def across(self) -> int:
        """Macroblocks in a row."""
        return -(-self.width // MACROBLOCK)

    @property
    def down(self) -> int:
        """Rows of macroblocks."""
        return -(-self.height // MACROBLOCK)

    @property
    def macroblocks(self) -> int:
        """All of them."""
        return self.across * self.down

    @property
    def level(self) -> int:
        """The lowest level that is enough for the picture, the highest for greater ones."""
        return next((level for most, level in LEVELS if self.macroblocks <= most), LEVELS[-1][1])

    def sequence(self) -> bytes:
        """The sequence parameter set."""
        bits = Bits().fixed(BASELINE, 8).fixed(CONSTRAINTS, 8).fixed(self.level, 8)
        bits.golomb(0, 0, 2, 1)  # id, 4-bit frame numbers, output in coding order, one reference
        bits.fixed(0, 1).golomb(self.across - 1, self.down - 1).fixed(0b111, 3)  # whole frames, cropped
        right, bottom = self.across * MACROBLOCK - self.width, self.down * MACROBLOCK - self.height
        bits.golomb(0, right // 2, 0, bottom // 2).fixed(0, 1)
        return bits.unit(SEQUENCE)

    def parameters(self) -> bytes:
        """The picture parameter set: variable-length codes, the deblocking filter under control of the slice."""
        bits = Bits().golomb(0, 0).fixed(0, 2).golomb(0, 0, 0).fixed(0, 3).golomb(0, 0, 0).fixed(0b100, 3)
        return bits.unit(PICTURE)

    def key(self) -> bytes:
        """The first picture; a macroblock is its type (5 bits), no chroma mode, no change of QP, no coefficients."""
        bits = Bits().golomb(0, INTRA, 0).fixed(0, 4).golomb(0).fixed(0, 2).golomb(0, 1)
        return bits.repeated("00100111", self.macroblocks).unit(KEY_SLICE)

    def repeat(self, number: int) -> bytes:
        """The n-th picture after it, which is the same."""
        bits = Bits().golomb(0, PREDICTED, 0).fixed(number % FRAME_NUMBERS, 4).fixed(0, 3).golomb(0, 1)
        return bits.golomb(self.macroblocks).unit(SLICE)

"""The codes of capcut-mate, as data. HTTP says 200 always; success is code 0.

The words are theirs where they are known (up to 2027, 2031, 9998, 9999), elsewhere a paraphrase, and for 2028, 2029
and 2037 to 2041 a guess. They are Chinese unless the client asks for English; here only a few are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.faults import Fault
from sandbox.wire import Answer, Request, json_answer

INVALID: Final = 1001
UNKNOWN_DRAFT: Final = 2001
DOWNLOAD_FAILED: Final = 2005
CODES: Final[Mapping[int, str]] = {
    0: "Success",
    1001: "Parameter validation failed",
    1002: "Resource not found",
    1003: "Permission denied",
    1004: "Authentication failed",
    2001: "Invalid draft URL",
    2002: "Draft creation failed",
    2003: "Invalid video information, please check if the value of the video_infos field is correct.",
    2004: "File size exceeds the limit",
    2005: "Download file failed",
    2006: "Video addition failed",
    2007: "Invalid audio information, please check if the value of the audio_infos field is correct.",
    2008: "Audio addition failed",
    2009: "Invalid image information, please check if the value of the image_infos field is correct.",
    2010: "Image addition failed",
    2011: "Invalid sticker information, please check if sticker parameters are correct.",
    2012: "Sticker addition failed",
    2013: "Invalid keyframe information, please check if the value of the keyframes field is correct.",
    2014: "Keyframe addition failed",
    2015: "Segment not found, please check if the segment_id is correct.",
    2016: "Invalid segment type, this segment does not support keyframes.",
    2017: "Invalid keyframe property type.",
    2018: "Invalid caption information, please check if the value of the captions field is correct.",
    2019: "Caption addition failed",
    2020: "Invalid effect information, please check if the value of the effect_infos field is correct.",
    2021: "Effect addition failed",
    2022: "Effect not found, please check if the effect name is correct.",
    2023: "Invalid mask information, please check if mask parameters are correct.",
    2024: "Mask addition failed",
    2025: "Mask type not found, please check if the mask name is correct.",
    2026: "Invalid text style information, please check text or keyword parameters.",
    2027: "Text style creation failed",
    2028: "Invalid filter information",
    2029: "Filter not found",
    2030: "Video generation submission failed",
    2031: "Video generation task not found",
    2032: "Video generation status query failed",
    2035: "Insufficient points",
    2036: "Invalid API key",
    2037: "Invalid parameter",
    2038: "Invalid parameter",
    2039: "Invalid parameter",
    2040: "Invalid parameter",
    2041: "Invalid parameter",
    2042: "The draft is locked",
    9998: "Internal server error",
    9999: "Unknown error",
}
CHINESE: Final[Mapping[int, str]] = {
    0: "成功",
    1001: "参数校验失败",
    2001: "无效的草稿URL",
    2005: "下载文件失败",
    2031: "视频生成任务不存在",
}
NOT_FOUND: Final = {"code": 404, "message": 'HTTP Error 404, detail: {"detail":"Not Found"}'}


class MateRefused(Exception):
    """An answer whose code is not 0."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(CODES[code])
        self.code = code
        self.detail = detail


def message(code: int, detail: str, request: Request) -> str:
    """The words for a code in the client's language, with what exactly is wrong."""
    english = request.headers.get("accept-language", "").lower().startswith("en")
    words = CODES[code] if english else CHINESE.get(code, CODES[code])
    return f"{words}({detail})" if detail else words


def mate_answer(request: Request, code: int = 0, detail: str = "", **more: object) -> Answer:
    """An answer in the envelope."""
    return json_answer({"code": code, "message": message(code, detail, request), **more})


# By name "mate_<code>"; those without a fixed meaning here are codes all the same.
MATE_FAULTS: Final[Mapping[str, Fault]] = {
    f"mate_{code}": Fault(body={"code": code, "message": words}, work=False) for code, words in CODES.items() if code
}

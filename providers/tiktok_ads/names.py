"""Names as TikTok takes them: at most 512 characters, wide ones count double, no emoji; ours carry our key.

https://business-api.tiktok.com/portal/docs?id=1739318962329602
"""

from __future__ import annotations

import re
import unicodedata

from providers.ads import marked
from providers.errors import InvalidPayload

LONGEST = 512

_PICTURES = "\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2300-\u23ff\u20e3\ufe0e\ufe0f\U000e0020-\U000e007f"
_EMOJI = re.compile(f"(?:[{_PICTURES}]\u200d?)+")


def named(name: str, key: str) -> str:
    """The name that a campaign of the product gets there. InvalidPayload for a key that no name can carry."""
    if _EMOJI.search(key):
        raise InvalidPayload(
            f"Campaign {key} has an emoji in its id: TikTok's names cannot carry it.", code="invalid_id"
        )
    plain = " ".join(_EMOJI.sub(" ", name).split())
    room = LONGEST - _width(marked("", key, LONGEST))
    return marked(_clipped(plain or key, room), key, LONGEST)


def _width(text: str) -> int:
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _clipped(text: str, room: int) -> str:
    """As much of the text as fits."""
    for index, char in enumerate(text):
        room -= _columns(char)
        if room < 0:
            return text[:index]
    return text

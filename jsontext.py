"""JSON as text: fast where it can be, exact always.

`orjson` writes what it can in a tenth of the time; what it refuses (integers over 64 bits) or would change (NaN becomes
null) is left to the standard library.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

_exact = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def encoded(value: Any) -> bytes:
    """UTF-8 without spaces. ValueError, TypeError or RecursionError for what is no JSON."""
    try:
        text = orjson.dumps(value)
    except TypeError:
        return _exact(value).encode()
    return _exact(value).encode() if b"null" in text else text  # a null may have been a NaN


def ascii_encoded(value: Any) -> bytes:
    """The same in ASCII only, so that every reader reads the same characters."""
    text = encoded(value)
    return text if text.isascii() else _ascii(value).encode("ascii")


def text(value: Any) -> str:
    """The same as text."""
    return encoded(value).decode()


def decoded(given: bytes | str) -> Any:
    """The value. ValueError for what is no JSON."""
    return orjson.loads(given)

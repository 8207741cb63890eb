"""Whether the media of a draft can be fetched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from sandbox.outgoing import NotSent, is_loopback, send

NOWHERE: Final = ".invalid"  # reserved: no such host ever exists


async def unreachable(urls: Iterable[str]) -> list[str]:
    """Those that cannot be fetched. Nothing is asked beyond this machine: what lies there counts as there."""
    return [url for url in dict.fromkeys(urls) if not await reachable(url)]


async def reachable(url: str) -> bool:
    """Whether one can be fetched."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if not is_web(url) or not host or host.endswith(NOWHERE):
        return False
    if parts.scheme == "https" or not is_loopback(host):
        return True
    try:
        status, _ = await send("GET", url, {}, b"")
    except NotSent:
        return False
    return 200 <= status < 300


def is_web(url: str) -> bool:
    """Whether this is the address of something on the web."""
    return url.startswith(("http://", "https://"))

"""What the providers send of their own accord: webhooks, handshakes. Only to this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_S: Final = 5.0


class NotSent(ValueError):
    """Nobody answered, or the address is not on this machine; the text says which."""


async def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Send one request and read its answer: status and body. Follows no redirect; raises NotSent."""
    return await asyncio.to_thread(exchange, method, url, headers, body)


def exchange(method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """The same, blocking."""
    host, port, target = address(url)
    with closing(HTTPConnection(host, port, timeout=TIMEOUT_S)) as connection:
        try:
            connection.request(method, target, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException, ValueError) as problem:
            raise NotSent(f"{method} {url} was not answered: {problem}") from None


def address(url: str) -> tuple[str, int, str]:
    """Host, port and target of a URL; raises NotSent when it leads away from this machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError as problem:
        raise NotSent(f"{url} is no URL: {problem}") from None
    if parts.scheme != "http" or not is_loopback(host):
        raise NotSent(f"the sandbox sends to http:// on this machine only, not to {url}")
    return host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine's own."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

"""Celery's own Redis transport, made safe against what is not a message.

The stock transport takes an item off its list and only then reads it: an item that is no JSON, or no message, ends the
worker and is gone. Here it goes to `on_malformed` and the worker goes on. The wire format is unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import kombu.transport
from kombu.transport import redis

# Called with (queue, raw item, reason). The worker keeps the item; a process that only publishes never gets one.
on_malformed: list[Callable[[str, bytes, str], None]] = []


def _report(queue: str, raw: bytes, reason: str) -> None:
    for listener in on_malformed:
        listener(queue, raw, reason)


class Channel(redis.Channel):
    """A channel that survives an unreadable item."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)
        except json.JSONDecodeError as error:
            _report("", error.doc.encode("utf-8", "surrogatepass"), f"it is not JSON: {error.msg}")
        except UnicodeDecodeError as error:
            _report("", bytes(error.object), "it is not UTF-8")
        return True


class Transport(redis.Transport):
    """The Redis transport with our channel."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        problem = _problem(message)
        if problem:
            _report(queue, json.dumps(message).encode(), problem)
        else:
            super()._deliver(message, queue)


def _problem(message: Any) -> str | None:
    """Why an item is not a message, or None."""
    if not isinstance(message, dict):
        return "it is not a Celery message but another JSON value"
    properties = message.get("properties")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_tag"), str):
        return "it is a JSON object without a message's properties"
    if not isinstance(message.get("headers"), dict) or not isinstance(message.get("body"), str):
        return "it is a message without headers or body"
    info = properties.get("delivery_info")
    if not isinstance(info, dict) or "routing_key" not in info:
        return "it is a message without delivery information"
    return None


def install() -> None:
    """Use this transport wherever kombu would use the stock one."""
    for scheme in ("redis", "rediss", "redis+socket"):
        if scheme in kombu.transport.TRANSPORT_ALIASES:
            kombu.transport.TRANSPORT_ALIASES[scheme] = "worker.transport:Transport"

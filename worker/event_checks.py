"""What an event must be to be accepted, whatever door it comes through."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jsontext
from model import NewEvent
from worker.catalog import event_types, unknown
from worker.tenants import TENANT_ID

MAX_DATA_BYTES = 256 * 1024
MAX_KEY_LENGTH = 255
MESSAGE_KEY = "message:"  # how the keys begin that name an event by its message
RESERVED_KEYS = (MESSAGE_KEY, "chain:", "hook:")  # how the mesh's own keys begin: producers may not use them
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and halves of surrogate pairs: Postgres takes neither
_FIELDS = frozenset({"type", "tenant_id", "data", "id", "occurred_at"})


class EventRejected(ValueError):
    """An event cannot be accepted; the message is one sentence that says why."""


def parse(message: Any) -> NewEvent:
    """Read one event as doors take it: {type, tenant_id, data, id?, occurred_at?}. Raises EventRejected."""
    if isinstance(message, NewEvent):
        return _checked(message)
    if not isinstance(message, Mapping):
        raise EventRejected(f"An event must be a JSON object, not {_kind(message)}.")
    unexpected = sorted(str(key) for key in message.keys() - _FIELDS)
    if unexpected:
        raise EventRejected(
            f"Unexpected field {unexpected[0][:100]!r}: an event has type, tenant_id, data, id and occurred_at."
        )
    for name in ("type", "tenant_id"):
        if not isinstance(message.get(name), str) or not message[name]:
            raise EventRejected(f"{name} must be a non-empty string, not {_kind(message.get(name))}.")
    if not isinstance(message.get("data"), Mapping):
        raise EventRejected(f"data must be a JSON object, not {_kind(message.get('data'))}.")
    return _checked(
        NewEvent(
            tenant_id=message["tenant_id"],
            type=message["type"],
            data=message["data"],
            key=_key(message.get("id")),
            occurred_at=_moment(message.get("occurred_at")),
        )
    )


def _kind(value: Any) -> str:
    if value == "":
        return "an empty string"
    names = {
        type(None): "missing or null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
    }
    return names.get(type(value), "a list" if isinstance(value, list) else "something else")


def _key(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY_LENGTH or _UNSTORABLE.search(value):
        raise EventRejected(f"id, the idempotency key, must be a string of 1 to {MAX_KEY_LENGTH} characters.")
    reserved = next((each for each in RESERVED_KEYS if value.startswith(each)), None)
    if reserved:
        raise EventRejected(f'id must not begin with "{reserved}": such keys are the mesh\'s own.')
    return value


def _moment(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        in_utc = moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise EventRejected('occurred_at must be a time such as "2026-03-01T12:00:00Z".') from None
    if moment.tzinfo is None:
        raise EventRejected('occurred_at must name its time zone, such as "2026-03-01T12:00:00Z".')
    return in_utc


def _checked(event: NewEvent) -> NewEvent:
    kind = event_types().get(event.type)
    if kind is None:
        raise EventRejected(unknown(event.type))
    if not TENANT_ID.fullmatch(event.tenant_id):
        raise EventRejected("tenant_id must be 1 to 128 letters, digits, dots, colons, dashes or underscores.")
    try:
        encoded = jsontext.encoded(event.data)
    except (TypeError, ValueError, RecursionError) as error:
        raise EventRejected(f"data of {event.type} is not JSON: {str(error)[:200]}.") from None
    if len(encoded) > MAX_DATA_BYTES:
        raise EventRejected(
            f"data of {event.type} is {len(encoded)} bytes, more than the {MAX_DATA_BYTES} allowed:"
            " store it elsewhere and send a reference."
        )
    if b"\\u0000" in encoded.replace(b"\\\\", b""):  # an escaped backslash before u0000 is no NUL
        raise EventRejected(f"data of {event.type} holds a NUL character, which cannot be stored: remove it.")
    problem = kind.problem(event.data)
    if problem:
        raise EventRejected(f"data of {event.type} does not fit its schema: {problem}.")
    return event

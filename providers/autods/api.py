"""Requests to AutoDS' three hosts, and what is made of their answers.

The token is opaque and good for all three; redirects are never followed. Amounts come as numbers or texts and go out as
numbers; an amount without a currency is the store's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from model import NewEvent
from providers.autods.doors import DOORS
from providers.contract import Call
from providers.errors import InvalidPayload, OutcomeUnknown, Unavailable
from providers.http import Answer, api_request

MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a page of products, each with its variations and pictures
LARGEST_AMOUNT = Decimal(10) ** 14  # what is more has no place in a row, and is no price


def ask(
    call: Call,
    operation: str,
    body: Mapping[str, Any] | None = None,
    *,
    query: Mapping[str, str] | None = None,
    **pieces: str | int,
) -> Answer:
    """Make one exchange. `pieces` fill the path's names."""
    door = DOORS[operation]
    base_url = call.hosts[door.host] if door.host else call.base_url
    path = call.paths[operation].format_map({name: quote(str(piece), safe=",") for name, piece in pieces.items()})
    return call.send(
        api_request(
            door.method,
            base_url,
            path,
            headers={"Authorization": f"Bearer {call.secrets['api_key']}", "User-Agent": "AgentMesh/1"},
            query=query,
            json_body=body,
            max_answer_bytes=MAX_ANSWER_BYTES,
        )
    )


@contextmanager
def begun(call: Call) -> Iterator[None]:
    """Around a call that makes something: after a 5xx it may have been made."""
    try:
        yield
    except Unavailable as error:
        if call.exchange is None or call.exchange.status is None:  # nothing was sent
            raise
        raise OutcomeUnknown(str(error), code="provider_fault") from error


def rows(answer: Answer, name: str = "results") -> list[Mapping[str, Any]]:
    """The objects of a list in an answer."""
    body = answer.json()
    found = body.get(name) if isinstance(body, dict) else body
    if not isinstance(found, list):
        raise Unavailable(f"AutoDS answered without `{name}`.", code="answer_unreadable")
    return [row for row in found if isinstance(row, dict)]


def order_by_key(call: Call, key: str, most: int) -> Mapping[str, Any] | None:
    """The newest order with this id of the product's own; None where there is none."""
    body = {
        "limit": most,
        "offset": 0,
        "condition": "and",
        "filters": [{"name": "sell_site_order_id", "op": "=", "value_type": "string", "value": key}],
        "order_by": {"name": "sold_date", "direction": "desc"},
    }
    listed = rows(ask(call, "list_orders", body, store=store_of(call)))
    # A filter that they should not know would show them all, the newest first: only this very id counts.
    return next((row for row in listed if text(row.get("sell_site_order_id")) == key), None)


def amount(value: Any) -> Decimal | None:
    """An amount as a decimal; None where there is none, or none that can be."""
    if value is None or isinstance(value, bool):
        return None
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < LARGEST_AMOUNT else None


def wire_amount(value: Any, what: str) -> float:
    """An amount of an event as the wire has it. Raises InvalidPayload."""
    found = amount(value)
    if found is None or found < 0:
        raise InvalidPayload(f"{what} must be an amount, such as 24.90.", code="invalid_amount")
    return float(found)


def moment(value: Any, time_zone: str) -> datetime | None:
    """A time in UTC; one without an offset is in the store's time zone. None where it cannot be read."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(time_zone))).astimezone(UTC)
    except (ValueError, OverflowError, ZoneInfoNotFoundError, OSError):  # OSError: "America" is a folder of zones
        return None


def text(value: Any) -> str:
    """A text or a number as a text that rows take, without NUL; empty for anything else."""
    return str(value).replace("\x00", "\ufffd") if isinstance(value, str | int) and not isinstance(value, bool) else ""


def published(call: Call, event_type: str, facts: Mapping[str, Any]) -> NewEvent:
    """The event that tells of a delivery's result, once."""
    data = {**facts, "source_event_id": str(call.event.id)}
    return NewEvent(call.event.tenant_id, event_type, data, f"{event_type}:{call.delivery_id}")


def store_of(call: Call) -> str:
    """The store that an event means: its own word, else the account's only one. Raises InvalidPayload."""
    given = text(call.event.data.get("store_id"))
    stores = stores_of(call)
    if given or len(stores) == 1:
        return given or stores[0]
    raise InvalidPayload("`store_id` says which store is meant: the account has several or none.", code="missing_field")


def stores_of(call: Call) -> list[str]:
    """The stores that the account's fields name; none = all."""
    return [each.strip() for each in text(call.config.get("store_ids")).split(",") if each.strip()]

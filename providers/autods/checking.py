"""One order looked at now, by AutoDS' id on either host, or by the product's own id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model import Done, Records
from providers.autods import api, stores
from providers.autods.shop import order
from providers.contract import Action, Call, Repeat
from providers.errors import InvalidPayload, Unavailable

LOOKED_AT = 100  # orders, when one is searched for by the product's own id


def check(call: Call) -> Done:
    """order.check_requested {external_id | order_id} -> its state and tracking; order.updated where they are new."""
    data = call.event.data
    wanted = api.text(data.get("external_id"))
    if not wanted and not data.get("order_id"):
        raise InvalidPayload(
            "`external_id`, AutoDS' own, or `order_id` says which order is meant.", code="missing_field"
        )
    row = _by_id(call, wanted) if wanted else _by_key(call, str(data["order_id"]))
    store_id = api.text(row.get("store_id")) or api.store_of(call)
    found = order(row, stores.known(call, store_id), key=data.get("order_id"))
    facts = {
        "external_id": found.external_id,
        "store_id": store_id,
        "state": found.state,
        **({"external_state": found.external_state} if found.external_state else {}),
        **({"tracking": [dict(each) for each in found.tracking]} if found.tracking else {}),
        **({"order_id": data["order_id"]} if data.get("order_id") else {}),
    }
    return Done(result=facts, external_id=found.external_id, records=Records(orders=(found,)))


def _by_id(call: Call, wanted: str) -> Mapping[str, Any]:
    """Flat, or under `order`: both were seen."""
    if call.event.data.get("host") == "gateway":
        body = api.ask(call, "get_external_order", query={"order_id": wanted}).json()
    else:
        body = api.ask(call, "get_order", store=api.store_of(call), order=wanted).json()
    row = body.get("order", body) if isinstance(body, dict) else None
    if not isinstance(row, dict) or api.text(row.get("id")) != wanted:
        raise Unavailable("AutoDS has answered with another order than was asked for.", code="answer_unreadable")
    return row


def _by_key(call: Call, key: str) -> Mapping[str, Any]:
    row = api.order_by_key(call, key, LOOKED_AT)
    if row is None:
        raise InvalidPayload(f"The store has no order {key!r}.", code="order_unknown")
    return row


ACTIONS: Mapping[str, Action] = {
    "order.check_requested": Action(check, Repeat.SAFE, publishes=("order.updated",)),
}

"""What else is read of an account, each kept as its stream's value: who it is, how much there is, the gateway's lists.

Official of these is only a user's id, name and email. What the gateway answers is not known: it is kept raw, without
what is named like a credential. Where the account's plan has no gateway, or the gateway no such list,
the reading says so and ends well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

import jsontext
from model import Cursor, Done, Outcome, Records, Wait
from providers.autods import api, stores
from providers.autods.words import PRODUCT_STATUSES
from providers.contract import Call, Stream
from providers.errors import Refused, Unavailable
from providers.streams import Walk

DAY_S = 24 * 3600.0
USER, COUNTS = "user", "counts"
USER_FIELDS = ("id", "name", "email")
ORDERS = "orders"
MAX_KEPT_BYTES = 256 * 1024  # of a raw answer
NOT_FOR_US = (403, 404, 405)  # no plan; or not there, as these paths are only quoted
HIDDEN = re.compile(r"pass|secret|token|cookie|api_?key|otp|2fa|totp|card|cvv|iban|session", re.IGNORECASE)

# Lists of the gateway: by stream, the operation and what it is told.
GATEWAY: Mapping[str, tuple[str, Mapping[str, Any] | None]] = {
    "gateway_user": ("gateway_user", None),
    "gateway_current_user": ("gateway_current_user", None),
    "suppliers": ("gateway_suppliers", None),
    "wallets": ("gateway_wallets", None),
    "buyer_accounts": ("gateway_buyer_accounts", {}),
}


def read_user(call: Call) -> Done:
    """Whose token it is: the cheapest check of one."""
    found = api.rows(api.ask(call, "get_user"), "users")
    users = [{name: row.get(name) for name in USER_FIELDS} for row in found]
    return _ended(call, USER, {"users": users}, {"users": len(users)})


def read_counts(call: Call) -> Outcome:
    """How many products of each status, and how many orders, each store has: one count a step."""
    if not call.progress:
        found = stores.meant(call, stores.fetched(call))
        left = [[store.id, what] for store in found for what in (*PRODUCT_STATUSES, ORDERS)]
        return _counted(call, left, {store.id: {"products": {}, ORDERS: None} for store in found})
    (store, what), *left = call.progress["left"]
    counts = {**call.progress["counts"]}
    if what == ORDERS:
        counts[store] = {**counts[store], ORDERS: _count(call, "count_orders", {}, store)}
    else:
        number = _count(call, "count_products", {"product_status": PRODUCT_STATUSES[what]}, store)
        counts[store] = {**counts[store], "products": {**counts[store]["products"], what: number}}
    return _counted(call, left, counts)


def _count(call: Call, operation: str, body: Mapping[str, Any], store: str) -> int:
    answer = api.ask(call, operation, {**body, "condition": "and", "filters": []}, store=store).json()
    total = answer.get("total_results") if isinstance(answer, dict) else answer
    if not isinstance(total, int) or isinstance(total, bool):
        raise Unavailable("AutoDS answered without `total_results`.", code="answer_unreadable")
    return total


def _counted(call: Call, left: list[Any], counts: Mapping[str, Any]) -> Outcome:
    if left:
        return Wait(0, {"left": left, "counts": counts})
    products = sum(sum(each["products"].values()) for each in counts.values())
    orders = sum(each[ORDERS] or 0 for each in counts.values())
    return _ended(call, COUNTS, {"stores": counts}, {"stores": len(counts), "products": products, ORDERS: orders})


def read_gateway(call: Call, stream: str) -> Done:
    """One list of the gateway, raw."""
    operation, body = GATEWAY[stream]
    try:
        said = api.ask(call, operation, body).json()
    except Refused as refused:
        if call.exchange is None or call.exchange.status not in NOT_FOR_US:
            raise
        return _ended(call, stream, {"refused": str(refused)}, {"refused": True})
    kept = bare(said)
    size = len(jsontext.encoded(kept))
    value = {"answer": kept} if size <= MAX_KEPT_BYTES else {"left_out": f"The answer has {size} bytes."}
    return _ended(call, stream, value, {"bytes": size})


def bare(value: Any) -> Any:
    """An answer of an unknown shape without what is named like a credential."""
    if isinstance(value, dict):
        return {name: bare(each) for name, each in value.items() if not HIDDEN.search(str(name))}
    return [bare(each) for each in value] if isinstance(value, list) else value


def _ended(call: Call, stream: str, value: Mapping[str, Any], said: Mapping[str, Any]) -> Done:
    cursor = Cursor(stream, {**value, "read_at": call.now.isoformat()}, finished=True)
    return Done(result=dict(said), records=Records(cursor=cursor))


READERS: Mapping[str, Walk] = {
    USER: read_user,
    COUNTS: read_counts,
    **{stream: partial(read_gateway, stream=stream) for stream in GATEWAY},
}
STREAMS = tuple(Stream(name, DAY_S) for name in READERS)

"""What sells elsewhere: AutoDS' product research."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jsontext
from model import Done
from providers.autods import api
from providers.autods.account import bare
from providers.contract import Action, Call, Repeat
from providers.errors import InvalidPayload, Unavailable
from providers.http import Answer

LIMIT = 10
ONE = ("product", "catalogue_product")  # kinds that are answered with one product
GATEWAY = ("catalogue", "catalogue_product")  # kinds whose answers are not known: kept raw
MAX_RAW_BYTES = 128 * 1024  # of all rows together: an event holds 256 KiB
COMPLETED = "product.research_completed"


def research(call: Call) -> Done:
    """product.research_requested {kind} -> the products that were found."""
    data = call.event.data
    kind = data.get("kind", "winning")
    answer = _KINDS[kind](call, data)
    rows = [_one(answer)] if kind in ONE else api.rows(answer)
    shown = rows[: int(data.get("limit", LIMIT))]
    found = [{**_product(row), **(_raw(row, len(shown)) if kind in GATEWAY else {})} for row in shown]
    facts = {"kind": kind, "count": len(found), "products": found, **_currency(answer)}
    return Done(
        result={"kind": kind, "products": len(found)},
        events=(api.published(call, COMPLETED, facts),),
    )


def _raw(row: Mapping[str, Any], of: int) -> dict[str, Any]:
    """A row of unknown shape as it came, where it is not too long to be one of so many in an event."""
    kept = bare(row)
    return {"raw": kept} if len(jsontext.encoded(kept)) <= MAX_RAW_BYTES // of else {}


def _winning(call: Call, data: Mapping[str, Any]) -> Answer:
    query = {"offset": "0", "limit": str(data.get("limit", LIMIT)), "sort": data.get("sort", "-created_at")}
    return api.ask(call, "winning_research", query={**query, **({"search": data["query"]} if "query" in data else {})})


def _search(call: Call, data: Mapping[str, Any]) -> Answer:
    words = data.get("query")  # this host has other operators than the shop's: no `like`, but `search`
    wanted = [{"name": "title", "op": "search", "value_type": "string", "value": words}] if words else []
    body = {
        "order_by": {"name": "created_at", "direction": "desc"},
        "condition": "and",
        "filters": [*wanted, *data.get("filters", ())],
        "limit": data.get("limit", LIMIT),
        "offset": 0,
    }
    return api.ask(call, "search_research", body)


def _one_product(call: Call, data: Mapping[str, Any]) -> Answer:
    return api.ask(call, "read_research", product=_product_id(data))


def _similar(call: Call, data: Mapping[str, Any]) -> Answer:
    return api.ask(call, "similar_research", product=_product_id(data))


def _recommended(call: Call, data: Mapping[str, Any]) -> Answer:
    query = {"offset": "0", "limit": str(data.get("limit", LIMIT))}
    return api.ask(call, "recommended_research", query=query, product=_product_id(data))


def _catalogue(call: Call, data: Mapping[str, Any]) -> Answer:
    """The gateway's catalogue: what it is asked was seen, what it answers is not known."""
    words = data.get("query")
    wanted = [{"name": "search_query", "op": "search", "value_type": "string", "value": words}] if words else []
    body = {
        "projection": [],
        "order_by": {"name": "spv_param", "direction": "desc"},
        "condition": "and",
        "limit": data.get("limit", LIMIT),
        "offset": 0,
        "filters": [*wanted, *data.get("filters", ())],
    }
    return api.ask(call, "gateway_catalogue", body)


def _gateway_product(call: Call, data: Mapping[str, Any]) -> Answer:
    return api.ask(call, "gateway_product", product=_product_id(data))


_KINDS: Mapping[str, Callable[[Call, Mapping[str, Any]], Answer]] = {
    "winning": _winning,
    "search": _search,
    "product": _one_product,
    "similar": _similar,
    "recommended": _recommended,
    "catalogue": _catalogue,
    "catalogue_product": _gateway_product,
}


def _product_id(data: Mapping[str, Any]) -> str:
    if not data.get("product_id"):
        raise InvalidPayload("`product_id` says which product is meant.", code="missing_field")
    return str(data["product_id"])


def _one(answer: Answer) -> Mapping[str, Any]:
    """The product that an answer is."""
    body = answer.json()
    if not isinstance(body, dict) or not api.text(body.get("id")):
        raise Unavailable("AutoDS answered without a product.", code="answer_unreadable")
    return body


def _currency(answer: Answer) -> dict[str, str]:
    """The currency of the prices, where the answer tells it."""
    body = answer.json()
    told = body.get("currency") if isinstance(body, dict) else None
    return {"currency": told} if isinstance(told, str) and told else {}


def _product(row: Mapping[str, Any]) -> dict[str, Any]:
    """A product as the event tells it: what it is called, and the few facts that were seen of all."""
    price = api.amount(row.get("price"))
    picture = row.get("main_picture_url")
    image = picture.get("url") if isinstance(picture, dict) else picture
    return {
        "product_id": api.text(row.get("id")),
        "title": api.text(row.get("title")),
        **({"price": f"{price.normalize():f}"} if price is not None else {}),
        **({"image": image} if isinstance(image, str) else {}),
    }


ACTIONS: Mapping[str, Action] = {
    "product.research_requested": Action(research, Repeat.SAFE, publishes=(COMPLETED,)),
}

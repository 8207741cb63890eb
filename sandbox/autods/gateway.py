"""The gateway's smaller doors, as others quote its description; the shapes of their answers are assumed."""

from __future__ import annotations

from typing import Final

from sandbox.autods.call import Call
from sandbox.autods.errors import Refused
from sandbox.autods.people import USER
from sandbox.autods.values import INTEGER, LIST, OBJECT, TEXT, Field, Fields
from sandbox.wire import Answer

FIRST: Final = 1001  # the store whose products are the catalogue
LIMIT: Final = 50
CATALOGUE: Final[Fields] = {
    "projection": Field(LIST),
    "order_by": Field(OBJECT),
    "condition": Field(TEXT),
    "limit": Field(INTEGER, least=1, most=100),
    "offset": Field(INTEGER, least=0),
    "filters": Field(LIST),
}
SUPPLIERS: Final = {1: "Amazon", 2: "AliExpress", 4: "Walmart", 5: "HomeDepot", 27: "AutoDS Marketplace"}


def user(call: Call) -> Answer:
    """Whose token it is: the cheapest check of one."""
    return call.answer(USER)


def suppliers(call: Call) -> Answer:
    """From where orders are bought."""
    return call.answer({"results": [{"id": number, "name": name} for number, name in SUPPLIERS.items()]})


def wallets(call: Call) -> Answer:
    """From what orders are paid."""
    return call.answer({"results": [{"id": 1, "currency": "USD", "balance": 120.5}]})


def buyer_accounts(call: Call) -> Answer:
    """The accounts at suppliers that orders are bought with; what they log in with must not be kept by anybody."""
    call.body({})
    row = {"id": 9, "site_id": 1, "email": "buyer@example.com", "password": "planted-buyer-password"}
    return call.answer({"results": [row], "total_results": 1})


def catalogue(call: Call) -> Answer:
    """What may be sold, of the first store; the words of `search_query` stand in the title."""
    body = call.body(CATALOGUE)
    words = [str(one.get("value", "")).lower() for one in body.get("filters", ()) if isinstance(one, dict)]
    found = [one for one in call.ours.products[FIRST].values() if all(word in one["title"].lower() for word in words)]
    start = body.get("offset", 0)
    rows = [{"id": one["id"], "title": one["title"], "spv": 1} for one in found]
    return call.answer({"results": rows[start : start + body.get("limit", LIMIT)]})


def product(call: Call) -> Answer:
    """A product, whichever store it is in."""
    wanted = call.params["product_id"]
    for products in call.ours.products.values():
        if wanted in products:
            return call.answer(products[wanted])
    raise Refused("not_found", f"There is no product {wanted}.")

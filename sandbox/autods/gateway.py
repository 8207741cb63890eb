"""The gateway's smaller doors, as others quote its description; the shapes of their answers are assumed."""

from __future__ import annotations

from typing import Final

from sandbox.autods.call import Call
from sandbox.autods.errors import Refused
from sandbox.autods.people import USER
from sandbox.wire import Answer

SUPPLIERS: Final = {1: "Amazon", 2: "AliExpress", 4: "Walmart", 5: "HomeDepot", 27: "AutoDS Marketplace"}


def user(call: Call) -> Answer:
    """Whose token it is: the cheapest check of one."""
    return call.answer(USER)


def suppliers(call: Call) -> Answer:
    """From where orders are bought."""
    return call.answer({"results": [{"id": number, "name": name} for number, name in SUPPLIERS.items()]})


def product(call: Call) -> Answer:
    """A product, whichever store it is in."""
    wanted = call.params["product_id"]
    for products in call.ours.products.values():
        if wanted in products:
            return call.answer(products[wanted])
    raise Refused("not_found", f"There is no product {wanted}.")

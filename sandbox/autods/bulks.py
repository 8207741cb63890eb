"""The door of the bulk actions, and who asks."""

from __future__ import annotations

from typing import Final

from sandbox.autods.call import Call
from sandbox.autods.errors import Refused
from sandbox.autods.people import USER
from sandbox.autods.values import INTEGER, TEXT, Field, Fields
from sandbox.wire import Answer

ITEMS: Final[Fields] = {
    "search_term": Field(TEXT),
    "status": Field(INTEGER, choices=(1, 2, 3, 4, 99)),
    "limit": Field(INTEGER, least=1),
    "offset": Field(INTEGER, least=0),
}
LIMIT: Final = 10


def items(call: Call) -> Answer:
    """One page of a bulk action's items; this look is a step."""
    call.stores()
    body, text = call.body(ITEMS), call.params["bulk_action_id"]
    bulk = call.ours.bulks.get(int(text)) if text.isdecimal() else None
    if bulk is None:
        raise Refused("not_found", f"There is no bulk action {text}.")
    found = [
        one
        for one in bulk.look()
        if body.get("status", one["status"]) == one["status"] and body.get("search_term", "") in str(one["item"])
    ]
    start = body.get("offset", 0)
    return call.answer({"results": found[start : start + body.get("limit", LIMIT)], "total_results": len(found)})


def user(call: Call) -> Answer:
    """A list of one: whose token it is."""
    return call.answer([USER])

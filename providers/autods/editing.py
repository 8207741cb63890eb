"""One product changed: single fields of it, or the whole of it replaced by what was read a moment before.

A replacement wipes every field that it does not say, so the product is read first and the changes are merged into it;
variations come as one list, so they are read first too, and merged by their sku. What is said is said in full, not
added, so all of it may be repeated. What a change answers is not known: the product is read again afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model import Done, Outcome, Records, Wait
from providers.autods import api, stores
from providers.autods.shop import product
from providers.autods.words import PRODUCT_STATUSES, number
from providers.contract import Action, Call, Repeat
from providers.errors import InvalidPayload, Unavailable

FIXED = ("id", "autods_store_id")  # what tells which product it is
WORDS = {code: word for word, code in PRODUCT_STATUSES.items()}


def update(call: Call) -> Outcome:
    """product.update_requested {product_id, changes, replace?} -> the product as it is then, and its row."""
    if call.progress.get("step") == "read":
        return _read(call)
    changes = _changes(call)
    whole = call.event.data.get("replace") is True
    if whole or "variations" in changes:
        stored = _stored(call)
        if "variations" in changes:
            changes["variations"] = _merged(stored.get("variations"), changes["variations"])
        changes = {**stored, **changes} if whole else changes
    store, wanted = _place(call)
    api.ask(call, "replace_product" if whole else "patch_product", changes, store=store, product=wanted)
    return Wait(0, {"step": "read"}, external_id=wanted)


def _place(call: Call) -> tuple[str, str]:
    """The store, and the product in it."""
    wanted = api.text(call.event.data.get("product_id"))
    if not wanted:
        raise InvalidPayload("`product_id` says which product is meant.", code="missing_field")
    return api.store_of(call), wanted


def _stored(call: Call) -> dict[str, Any]:
    store, wanted = _place(call)
    found = api.ask(call, "get_product", store=store, product=wanted).json()
    if not isinstance(found, dict) or api.text(found.get("id")) != wanted:
        raise Unavailable("AutoDS has answered with another product than was asked for.", code="answer_unreadable")
    return found


def _changes(call: Call) -> dict[str, Any]:
    """What is to be said, as the wire has it."""
    given = dict(call.event.data.get("changes") or {})
    if not given:
        raise InvalidPayload("`changes` says what is to be changed.", code="missing_field")
    fixed = [name for name in FIXED if name in given]
    if fixed:
        raise InvalidPayload(f"A product's {' and '.join(fixed)} cannot be changed.", code="fixed_field")
    if isinstance(given.get("status"), str):
        given["status"] = number(PRODUCT_STATUSES, given["status"], "product status")
    if "variations" in given:
        given["variations"] = [_variation(each) for each in given["variations"]]
    return given


def _variation(given: Mapping[str, Any]) -> dict[str, Any]:
    if not api.text(given.get("sku")):
        raise InvalidPayload("Each of `variations` needs the `sku` of one that is there.", code="missing_field")
    price = {"price": api.wire_amount(given["price"], f"the price of {given['sku']}")} if "price" in given else {}
    return {**given, **price}


def _merged(stored: Any, changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All variations, those that are named with their changes. InvalidPayload for one that is not there."""
    there = [each for each in stored or () if isinstance(each, dict)]
    by_sku = {each["sku"]: each for each in changes}
    unknown = by_sku.keys() - {api.text(each.get("sku")) for each in there}
    if unknown:
        raise InvalidPayload(f"The product has no variation {', '.join(sorted(unknown))}.", code="unknown_sku")
    return [{**each, **by_sku.get(api.text(each.get("sku")), {})} for each in there]


def _read(call: Call) -> Done:
    """The product as it is now."""
    row, (store, _) = _stored(call), _place(call)
    status = WORDS.get(row.get("status", 0))
    found = product(row, stores.known(call, store), status or "draft")
    facts = {
        "product_id": found.external_id,
        "store_id": store,
        "changed": sorted(call.event.data["changes"]),
        **({"status": status} if status else {}),
    }
    rows = Records(products=(found,)) if status else None  # without it nobody knows whether it is sold
    return Done(result=facts, external_id=found.external_id, records=rows)


ACTIONS: Mapping[str, Action] = {
    "product.update_requested": Action(update, Repeat.SAFE, publishes=("product.updated",)),
}

"""Products put in, published, priced and taken out: bulk actions, which AutoDS begins at once and ends by and by.

What begins one is not deduplicated: after a lost answer it may run, and a person decides. Looking at it is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model import Done, Outcome, Wait
from providers.autods import api
from providers.autods.words import CREATED, ERROR, FINISHED, IN_PROGRESS, PRODUCT_STATUSES, REGIONS, SUPPLIERS, number
from providers.contract import Action, Call, Repeat
from providers.errors import InvalidPayload, OutcomeUnknown, Refused

COMPLETED = "product.bulk_completed"
PAGE = 100
FIRST_LOOK_S, LONGEST_LOOK_S = 5.0, 60.0
PATIENCE_S = 6 * 3600.0  # an upload of a thousand products takes hours
SHOWN = 100  # items that are named one by one
EMPTY_LOOKS = 3  # so often a bulk action without any item is looked at again: they may not be listed at once

Body = tuple[str, Mapping[str, Any]]  # an operation, and what it is told


def bulk(body: Callable[[Call], Body]) -> Callable[[Call], Outcome]:
    """An action that begins a bulk action, then looks at it until none of its items is under way."""

    def act(call: Call) -> Outcome:
        return _look(call) if "bulk_id" in call.progress else _begin(call, *body(call))

    return act


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """Only the beginning is not safe."""
    return Repeat.SAFE if "bulk_id" in progress else Repeat.NEVER


def _begin(call: Call, operation: str, body: Mapping[str, Any]) -> Outcome:
    store = api.store_of(call)
    with api.begun(call):
        said = api.ask(call, operation, body, store=store).json()
    action = said.get("bulk_action") if isinstance(said, dict) else None
    bulk_id = api.text(action.get("id")) if isinstance(action, dict) else ""
    if not bulk_id:
        raise OutcomeUnknown("AutoDS took it, and did not say as which bulk action.", code="answer_unreadable")
    progress = {"bulk_id": bulk_id, "store": store, "looks": 0, "began_at": call.now.timestamp()}
    return Wait(FIRST_LOOK_S, progress, external_id=bulk_id)


def _look(call: Call) -> Outcome:
    """One page of its items; the next page, or the next look, or the end."""
    progress = dict(call.progress)
    offset, done, failed = progress.get("offset", 0), progress.get("done", 0), list(progress.get("failed", ()))
    body = {"limit": PAGE, "offset": offset}
    answer = api.ask(call, "bulk_items", body, store=progress["store"], bulk=progress["bulk_id"])
    items = api.rows(answer)
    not_yet = not items and not offset and progress["looks"] < EMPTY_LOOKS
    if not_yet or any(item.get("status") in (CREATED, IN_PROGRESS) for item in items):
        return _later(call, progress)
    done += sum(item.get("status") == FINISHED for item in items)
    failed += [_failure(item) for item in items if item.get("status") != FINISHED][: max(0, SHOWN - len(failed))]
    progress = {**progress, "done": done, "failed": failed, "items": progress.get("items", 0) + len(items)}
    if len(items) == PAGE:
        return Wait(0, {**progress, "offset": offset + PAGE})
    return _finished(call, progress)


def _later(call: Call, progress: Mapping[str, Any]) -> Wait:
    """Look again, from the first item on. Refused where it lasts too long."""
    if call.now.timestamp() - progress["began_at"] > PATIENCE_S:
        raise Refused(
            f"Bulk action {progress['bulk_id']} has not ended within {PATIENCE_S / 3600:.0f} hours: look at it at"
            " AutoDS; replayed, this delivery looks again.",
            code="never_ended",
        )
    looks = progress["looks"] + 1
    kept = {name: progress[name] for name in ("bulk_id", "store", "began_at")}
    return Wait(min(FIRST_LOOK_S * 2 ** min(looks, 10), LONGEST_LOOK_S), {**kept, "looks": looks})


def _failure(item: Mapping[str, Any]) -> dict[str, str]:
    why = api.text(item.get("error_message")) or ("failed" if item.get("status") == ERROR else "not done")
    names = {"item": api.text(item.get("item")), "product_id": api.text(item.get("product_id")), "why": why}
    return {name: value[:255] for name, value in names.items() if value}


def _finished(call: Call, progress: Mapping[str, Any]) -> Done:
    action = call.event.type.partition(".")[2].removesuffix("_requested")
    facts = {
        "action": action,
        "bulk_id": progress["bulk_id"],
        "store_id": progress["store"],
        "done": progress["done"],
        "not_done": progress["items"] - progress["done"],
        "failed": progress["failed"],
    }
    shown = {name: facts[name] for name in ("action", "bulk_id", "done", "not_done")}
    refused = [{"event_id": each.get("item", ""), "why": each["why"]} for each in progress["failed"]]
    return Done(
        result={**shown, "refused": refused},
        external_id=progress["bulk_id"],
        events=(api.published(call, COMPLETED, facts),),
    )


# ------------------------------------------------------------------------------------------------------ what is told


def _upload(call: Call) -> Body:
    data = call.event.data
    given = _sources(data)
    status = number(PRODUCT_STATUSES, data.get("status", "draft"), "product status")
    settings = dict(data.get("settings", {}))
    if data.get("scheduled_at"):
        settings["scheduled_datetime"] = data["scheduled_at"]
    if status == PRODUCT_STATUSES["scheduled"] and "scheduled_datetime" not in settings:
        raise InvalidPayload("`scheduled_at` says when scheduled products are published.", code="missing_field")
    return "upload_products", {
        "region": number(REGIONS, data.get("region", "us"), "region"),
        "status": status,
        "buy_site_id": number(SUPPLIERS, data.get("supplier", "amazon"), "supplier"),
        **given,
        **({"upload_settings": settings} if settings else {}),
    }


def _sources(data: Mapping[str, Any]) -> dict[str, Any]:
    """What is put in: products by name, those of a file, or the best of categories."""
    ways = [name for name in ("products", "file_url", "categories") if data.get(name)]
    if len(ways) != 1:
        raise InvalidPayload(
            "One of `products`, `file_url` and `categories` says what is put in.", code="missing_field"
        )
    if "file_url" in ways:
        return {"file_url": data["file_url"]}
    if "categories" in ways:
        wanted = [{"category_id": each["id"], "amount_of_products": each["count"]} for each in data["categories"]]
        return {"finder_categories": wanted}
    return {"new_products": [_new_product(each, place) for place, each in enumerate(data["products"], 1)]}


def _new_product(given: Mapping[str, Any], place: int) -> dict[str, Any]:
    source = given.get("supplier_id") or given.get("url")
    if not source:
        raise InvalidPayload(f"Product {place} needs its supplier_id or its url.", code="missing_field")
    return {
        "asin": str(source),
        **({"title": given["title"]} if given.get("title") else {}),
        **({"price": api.wire_amount(given["price"], f"the price of product {place}")} if "price" in given else {}),
    }


def _chosen(call: Call, status: str) -> dict[str, Any]:
    """Which products are meant. None at all would mean every one, so that is refused before it is sent."""
    data = call.event.data
    filters = list(data.get("filters", ()))
    if ids := data.get("product_ids"):
        filters.append({"name": "id", "op": "in", "value_type": "list", "value_list": list(ids)})
    if not filters:
        raise InvalidPayload(
            "`product_ids` or `filters` say which products are meant: without them it would be all.", code="no_filter"
        )
    return {
        "product_status": number(PRODUCT_STATUSES, data.get("status", status), "product status"),
        "condition": "and",
        "filters": filters,
    }


def _publish(call: Call) -> Body:
    return "publish_products", _chosen(call, "draft")


def _reprice(call: Call) -> Body:
    margin = call.event.data["margin_percent"]  # set, not added
    return "change_products", {**_chosen(call, "active"), "bulk_changes": {"percentage_profit": margin}}


def _remove(call: Call) -> Body:
    there = bool(call.event.data.get("from_marketplace", True))
    return "remove_products", {**_chosen(call, "active"), "remove_from_marketplace": there}


ACTIONS: Mapping[str, Action] = {
    f"product.{name}_requested": Action(bulk(body), repeat, publishes=(COMPLETED,))
    for name, body in {
        "upload": _upload,
        "publish": _publish,
        "price_change": _reprice,
        "removal": _remove,
    }.items()
}

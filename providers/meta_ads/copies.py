"""Copies of campaigns, with or without their ad sets and ads.

https://developers.facebook.com/docs/marketing-api/reference/ad-campaign-group/copies
Meta puts our key behind the copy's name in the same call, so that a lost answer can be looked up; a second step gives
the copy its own name. How many ad sets and ads one call copies is Meta's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model import Campaign, Done, Link, NewEvent, Outcome, Records, Wait
from providers.ads import marked
from providers.contract import Call, Repeat
from providers.errors import InvalidPayload
from providers.meta_ads.api import confirmed, created_id, graph, over, own_parameters
from providers.meta_ads.campaigns import found, found_as
from providers.meta_ads.lookup import NAME_CHARS, mark_of, not_there


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """The copy is looked for; giving it its name may be repeated."""
    return Repeat.SAFE if progress.get("copy_id") else Repeat.LOOKUP


def copy(call: Call) -> Outcome:
    """campaign.copy_requested -> a copy, paused."""
    if call.progress.get("copy_id"):
        return _named(call, call.progress["copy_id"])
    known = call.known.link(call.event.data["campaign_id"])
    if known is not None and not known.deleted:
        return Done(result={"skipped": "The copy is there already."}, external_id=known.external_id)
    request = graph(call).post(f"{_source(call).external_id}/copies", over(_new(call), own_parameters(call.event.data)))
    return _copied(created_id(call.send(request), "copied_campaign_id"))


def _source(call: Call) -> Link:
    key = call.event.data["source_campaign_id"]
    link = call.known.link(key) or found_as(call, key)
    if link is None:
        raise not_there(call, f"Campaign {key}")
    if link.deleted:
        raise InvalidPayload(f"Campaign {key} was deleted there.", code="campaign_deleted")
    return link


def _new(call: Call) -> dict[str, Any]:
    return {
        "deep_copy": bool(call.event.data.get("deep")),
        "status_option": "PAUSED",
        "rename_options": {
            "rename_strategy": "ONLY_TOP_LEVEL_RENAME",
            "rename_suffix": mark_of(call.event.data["campaign_id"]),
        },
    }


def _copied(copy_id: str) -> Wait:
    return Wait(0, {"copy_id": copy_id}, external_id=copy_id)


def find(call: Call) -> Outcome | None:
    """The copy whose making was not answered, by our key behind its name; None when it is not there."""
    link = found(call)
    return None if link is None else _copied(link.external_id)


def _named(call: Call, copy_id: str) -> Done:
    """Give the copy its own name: the last step."""
    data = call.event.data
    key = data["campaign_id"]
    name = marked(data.get("name") or key, key, NAME_CHARS)
    confirmed(call.send(graph(call).post(copy_id, {"name": name})))
    said = {
        "campaign_id": key,
        "source_campaign_id": data["source_campaign_id"],
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "external_id": copy_id,
        "source_event_id": str(call.event.id),
    }
    link = Link(copy_id, key, "PAUSED", {"name": name}, applied_at=call.event.occurred_at)
    return Done(
        result={"campaign_id": key, "external_id": copy_id, "status": "PAUSED"},
        external_id=copy_id,
        records=Records(campaigns=(Campaign(key, data.get("name"), state="paused"),), links=(link,)),
        events=(NewEvent(call.event.tenant_id, "campaign.copied", said, key=f"campaign.copied:{call.delivery_id}"),),
    )

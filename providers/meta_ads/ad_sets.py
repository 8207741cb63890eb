"""Ad sets: who sees the ads of a campaign, when, and for how much.

https://developers.facebook.com/docs/marketing-api/reference/ad-campaign
There is no idempotency key: as with campaigns, the name carries ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model import Done, Link, NewEvent
from providers.ad_notes import noting, there
from providers.ads import decimal, link_of, marked, unix_s
from providers.contract import Call
from providers.errors import InvalidPayload
from providers.meta_ads import campaigns
from providers.meta_ads.api import account, graph, made, over, own_parameters
from providers.meta_ads.children import Kind, change, found, new_status
from providers.meta_ads.lookup import NAME_CHARS, Listed
from providers.meta_ads.money import BUDGETS, budget, in_units

STATES = ("ACTIVE", "PAUSED", "ARCHIVED", "CAMPAIGN_PAUSED", "IN_PROCESS", "WITH_ISSUES")  # all but the deleted
AD_SET = Kind("ad_set", "Ad set", Listed("adsets", "adset.name", "id,name", STATES, "ad set"))
GOALS: Mapping[str, str] = {
    "clicks": "LINK_CLICKS",
    "impressions": "IMPRESSIONS",
    "reach": "REACH",
    "landing_page_views": "LANDING_PAGE_VIEWS",
    "conversions": "OFFSITE_CONVERSIONS",
    "value": "VALUE",
    "leads": "LEAD_GENERATION",
    "engagement": "POST_ENGAGEMENT",
    "video_views": "THRUPLAY",
    "app_installs": "APP_INSTALLS",
}
BILLED: Mapping[str, str] = {
    "impressions": "IMPRESSIONS",
    "clicks": "LINK_CLICKS",
    "video_views": "THRUPLAY",
    "app_installs": "APP_INSTALLS",
}
COUNTED: Mapping[str, str] = {  # of a pixel, by the product's name of a conversion
    "view_content": "CONTENT_VIEW",
    "add_to_cart": "ADD_TO_CART",
    "initiate_checkout": "INITIATED_CHECKOUT",
    "purchase": "PURCHASE",
    "lead": "LEAD",
    "complete_registration": "COMPLETE_REGISTRATION",
    "subscribe": "SUBSCRIBE",
    "contact": "CONTACT",
}
OF_A_PIXEL = ("OFFSITE_CONVERSIONS", "VALUE")
OF_A_PAGE = ("LEAD_GENERATION",)
GENDERS: Mapping[str, int] = {"male": 1, "female": 2}


def create(call: Call) -> Done:
    """ad_set.create_requested -> an ad set, paused unless the event says that it is active."""
    campaign, key = link_of(call, campaigns.found), call.event.data["ad_set_id"]
    known = there(campaign, AD_SET.name, key) or found(call, AD_SET, campaign.external_id, key)
    if known is not None:
        return _done(call, campaign, known, skipped="The ad set is there already.")
    form = over(_new(call, campaign), own_parameters(call.event.data))
    external_id = made(call.send(graph(call).post(f"{account(call)}/adsets", form)), form)
    if external_id is None:
        return Done(result={"ad_set_id": key, "only_checked": True})
    return _done(call, campaign, external_id)


def find(call: Call) -> Done | None:
    """The ad set whose creation was not answered, by our key in its name; None when it is not there."""
    campaign = link_of(call, campaigns.found)
    external_id = found(call, AD_SET, campaign.external_id, call.event.data["ad_set_id"])
    return None if external_id is None else _done(call, campaign, external_id, recovered=True)


def update(call: Call) -> Done:
    """ad_set.update_requested -> name, budget, bid, dates and targeting as the event has them."""
    data = call.event.data
    changes = {
        "name": marked(data["name"], data["ad_set_id"], NAME_CHARS) if data.get("name") else None,
        "targeting": targeting(data["targeting"]) if data.get("targeting") else None,
        **_amounts(call),
        **_times(call),
    }
    given = {name: value for name, value in changes.items() if value is not None}
    return change(call, AD_SET, over(given, own_parameters(data)))


def _done(call: Call, campaign: Link, external_id: str, **more: Any) -> Done:
    """The outcome, and the event that tells it. One that was there already is told again: nobody may have heard."""
    data = call.event.data
    said = {
        "ad_set_id": data["ad_set_id"],
        "campaign_id": data["campaign_id"],
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "external_id": external_id,
        "external_campaign_id": campaign.external_id,
        "source_event_id": str(call.event.id),
        **({} if "skipped" in more else {"state": data.get("state") or "paused"}),
    }
    return Done(
        result={"ad_set_id": data["ad_set_id"], "external_id": external_id, **more},
        external_id=external_id,
        records=noting(campaign, AD_SET.name, data["ad_set_id"], external_id, call.event.occurred_at),
        events=(NewEvent(call.event.tenant_id, "ad_set.created", said, key=f"ad_set.created:{call.delivery_id}"),),
    )


def _new(call: Call, campaign: Link) -> dict[str, Any]:
    data = call.event.data
    goal = GOALS.get(data["optimization_goal"], data["optimization_goal"])
    billed = data.get("billing_event") or "impressions"
    return {
        "name": marked(data["name"], data["ad_set_id"], NAME_CHARS),
        "campaign_id": campaign.external_id,
        "status": new_status(data),
        "optimization_goal": goal,
        "billing_event": BILLED.get(billed, billed),
        **_money(call),
        "targeting": targeting(data["targeting"]),
        "promoted_object": _promoted(call, goal),
        **{name: data.get(name) for name in ("dsa_beneficiary", "dsa_payor")},
        **_times(call),
    }


def _times(call: Call) -> dict[str, int]:
    data = call.event.data
    return {name: unix_s(data[name], call.now) for name in ("start_time", "end_time") if data.get(name)}


def _money(call: Call) -> dict[str, Any]:
    """Budget and bid. Where the campaign has the budget, it has the strategy of bids too."""
    money: dict[str, Any] = _amounts(call)
    if "lifetime_budget" in money and not call.event.data.get("end_time"):
        raise InvalidPayload("A lifetime budget needs `end_time`.", code="missing_field")
    if money.keys() & set(BUDGETS.values()):
        money["bid_strategy"] = "LOWEST_COST_WITH_BID_CAP" if "bid_amount" in money else "LOWEST_COST_WITHOUT_CAP"
    return money


def _amounts(call: Call) -> dict[str, int]:
    """Budget and bid in the account's smallest unit, as far as the event holds them."""
    data = call.event.data
    currency, bid = data.get("currency"), decimal(data.get("bid_amount"))
    amounts = budget(call, decimal(data.get("budget")), currency, data.get("budget_kind") or "daily")
    return amounts if bid is None else {**amounts, "bid_amount": in_units(call, bid, currency)}


def targeting(given: Mapping[str, Any]) -> dict[str, Any]:
    """Who is to see it. Ages and genders are limits here, not hints: the audience is not widened by Meta."""
    ours = {
        "geo_locations": {"countries": given["countries"]},
        "age_min": given.get("age_min"),
        "age_max": given.get("age_max"),
        "genders": [GENDERS[each] for each in given.get("genders") or ()] or None,
        "targeting_automation": {"advantage_audience": 0},
        **_placements(given.get("placements") or ()),
    }
    return over({name: value for name, value in ours.items() if value is not None}, own_parameters(given))


def _placements(words: Any) -> dict[str, list[str]]:
    """`facebook`, or one of its places alone: `facebook:feed`."""
    chosen: dict[str, list[str]] = {}
    for word in words:
        platform, _, position = word.partition(":")
        for name, value in (("publisher_platforms", platform), (f"{platform}_positions", position)):
            if value and value not in chosen.setdefault(name, []):
                chosen[name].append(value)
    return {name: values for name, values in chosen.items() if values}


def _promoted(call: Call, goal: str) -> dict[str, Any] | None:
    """What results are counted of: the account's own pixel or page, where the event names none."""
    given = call.event.data.get("promoted") or {}
    event = given.get("event")
    if event and event not in COUNTED:
        raise InvalidPayload(f"Meta optimizes for no {event}: only for {', '.join(COUNTED)}.", code="unsupported_event")
    found_in_config = {"pixel_id": goal in OF_A_PIXEL or bool(event), "page_id": goal in OF_A_PAGE}
    parts = {
        **{name: given.get(name) or (needed and call.config.get(name)) for name, needed in found_in_config.items()},
        "custom_event_type": COUNTED.get(event or ""),
        "application_id": given.get("app_id"),
        "object_store_url": given.get("store_url"),
    }
    for name, needed in found_in_config.items():
        if needed and not parts[name]:
            raise InvalidPayload(f"{goal} needs `promoted.{name}`, or the account's own.", code="missing_field")
    return {name: value for name, value in parts.items() if value} or None

"""Ad groups: who sees the ads of a campaign, when, and for how much.

https://business-api.tiktok.com/portal/docs?id=1739499616346114
`request_id` catches a repeated creation for ten seconds only: as with campaigns, the name carries our key. Countries
are named by TikTok's own ids, which are asked for first, as a step of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from model import Done, Link, NewEvent, Outcome, Wait
from providers.ad_notes import noting, there
from providers.ads import decimal, link_of
from providers.contract import Call, Repeat
from providers.errors import InvalidPayload, OutcomeUnknown
from providers.tiktok_ads.api import read, write
from providers.tiktok_ads.campaigns import BUDGET_MODES, find_link
from providers.tiktok_ads.children import AD_GROUP, change, found, new_status, own_parameters
from providers.tiktok_ads.errors import DUPLICATE_REQUEST, text_of, unreadable
from providers.tiktok_ads.names import named

# CLICK, CONVERT and REACH are confirmed; the others are TikTok's words in its client, and `extra` overrules them.
GOALS: Mapping[str, str] = {
    "clicks": "CLICK",
    "impressions": "REACH",
    "reach": "REACH",
    "landing_page_views": "TRAFFIC_LANDING_PAGE_VIEW",
    "conversions": "CONVERT",
    "value": "VALUE",
    "leads": "LEAD_GENERATION",
    "engagement": "ENGAGED_VIEW",
    "video_views": "ENGAGED_VIEW",
    "app_installs": "INSTALL",
}
BILLED: Mapping[str, str] = {"impressions": "CPM", "clicks": "CPC", "video_views": "CPV", "app_installs": "OCPM"}
BILLED_BY_GOAL: Mapping[str, str] = {"CLICK": "CPC", "REACH": "CPM", "ENGAGED_VIEW": "CPV"}
BILLED_ELSE = "OCPM"
COUNTED: Mapping[str, str] = {  # unconfirmed: of a pixel, by the product's name of a conversion
    "view_content": "ON_WEB_DETAIL",
    "add_to_cart": "ON_WEB_CART",
    "initiate_checkout": "INITIATE_ORDER",
    "purchase": "SHOPPING",
    "lead": "FORM",
    "complete_registration": "ON_WEB_REGISTER",
    "subscribe": "ON_WEB_SUBSCRIBE",
    "contact": "CONSULT",
}
OF_A_PIXEL = ("CONVERT", "VALUE")
PROMOTED: Mapping[str, str] = {  # unconfirmed: `promotion_type` by the campaign's objective
    "TRAFFIC": "WEBSITE",
    "WEB_CONVERSIONS": "WEBSITE",
    "LEAD_GENERATION": "LEAD_GENERATION",
}
GENDERS: Mapping[str, str] = {"male": "GENDER_MALE", "female": "GENDER_FEMALE"}
AGES: Mapping[str, tuple[int, int]] = {
    "AGE_13_17": (13, 17),
    "AGE_18_24": (18, 24),
    "AGE_25_34": (25, 34),
    "AGE_35_44": (35, 44),
    "AGE_45_54": (45, 54),
    "AGE_55_100": (55, 100),
}
OLDEST = 65  # of an event's targeting: and older
TIKTOK = "PLACEMENT_TIKTOK"


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """Only the ad group itself is looked for: what comes before it only reads."""
    return Repeat.LOOKUP if progress.get("location_ids") else Repeat.SAFE


def create(call: Call) -> Outcome:
    """ad_set.create_requested -> an ad group, disabled unless the event says that it is active."""
    campaign, key = link_of(call, find_link), call.event.data["ad_set_id"]
    locations = call.progress.get("location_ids")
    if not locations:
        known = there(campaign, AD_GROUP.name, key) or found(call, AD_GROUP, campaign.external_id, key)
        if known is not None:
            return _done(call, campaign, known, skipped="The ad group is there already.")
        return Wait(0, {"location_ids": _locations(call, campaign)})
    try:
        made = write(call, "adgroup/create/", _new(call, campaign, locations))
    except OutcomeUnknown as error:
        recovered = find(call) if error.code == DUPLICATE_REQUEST else None
        if recovered is None:
            raise
        return recovered
    external_id = text_of(made.get("adgroup_id"))
    if not external_id:
        raise unreadable("it names no ad group")
    return _done(call, campaign, external_id)


def find(call: Call) -> Done | None:
    """The ad group whose creation was not answered, by our key in its name; None when it is not there."""
    campaign = link_of(call, find_link)
    external_id = found(call, AD_GROUP, campaign.external_id, call.event.data["ad_set_id"])
    return None if external_id is None else _done(call, campaign, external_id, recovered=True)


def update(call: Call) -> Done:
    """ad_set.update_requested -> name, budget, bid, dates and targeting as the event has them."""
    data = call.event.data
    given = data.get("targeting") or {}
    changes = {
        "adgroup_name": named(data["name"], data["ad_set_id"]) if data.get("name") else None,
        "budget": _amount(call, "budget"),
        "bid_price": _amount(call, "bid_amount"),
        "schedule_start_time": _utc(data.get("start_time")),
        "schedule_end_time": _utc(data.get("end_time")),
        **(_people(given) if given else {}),
        **own_parameters(given),
        **own_parameters(data),
    }
    return change(call, AD_GROUP, {name: value for name, value in changes.items() if value is not None})


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
        records=noting(campaign, AD_GROUP.name, data["ad_set_id"], external_id, call.event.occurred_at),
        events=(NewEvent(call.event.tenant_id, "ad_set.created", said, key=f"ad_set.created:{call.delivery_id}"),),
    )


# ------------------------------------------------------------------------------------------------------- what is made


def _locations(call: Call, campaign: Link) -> list[str]:
    """TikTok's ids of the event's countries; InvalidPayload for one that it does not advertise in."""
    targeting = call.event.data["targeting"]
    own = own_parameters(targeting).get("location_ids")
    if isinstance(own, list) and own:
        return [text_of(each) for each in own]
    objective = campaign.details.get("objective_type") or "TRAFFIC"
    query = {"placements": [TIKTOK], "objective_type": objective, "level_range": "TO_COUNTRY"}
    rows = read(call, "tool/region/", query).get("region_info")
    if not isinstance(rows, list):
        raise unreadable("it holds no regions")
    ids = {text_of(row.get("region_code")): text_of(row.get("location_id")) for row in rows if isinstance(row, dict)}
    unknown = [country for country in targeting["countries"] if not ids.get(country)]
    if unknown:
        raise InvalidPayload(f"TikTok shows no ads in {', '.join(unknown)}.", code="unknown_country")
    return [ids[country] for country in targeting["countries"]]


def _new(call: Call, campaign: Link, locations: list[str]) -> dict[str, Any]:
    data = call.event.data
    goal = GOALS.get(data["optimization_goal"], data["optimization_goal"])
    billed = data.get("billing_event") or ""
    body = {
        "campaign_id": campaign.external_id,
        "adgroup_name": named(data["name"], data["ad_set_id"]),
        "promotion_type": PROMOTED.get(str(campaign.details.get("objective_type"))),
        "location_ids": locations,
        **_people(data["targeting"]),
        **_placements(data["targeting"].get("placements") or ()),
        "optimization_goal": goal,
        "billing_event": BILLED.get(billed, billed) or BILLED_BY_GOAL.get(goal, BILLED_ELSE),
        "pacing": "PACING_MODE_SMOOTH",
        **_money(call, goal),
        **_schedule(call),
        **_counted(call, goal),
        "operation_status": new_status(data),
        "request_id": str(call.delivery_id.int % 2**63),
        **own_parameters(data["targeting"]),
        **own_parameters(data),
    }
    return {name: value for name, value in body.items() if value is not None}


def _people(targeting: Mapping[str, Any]) -> dict[str, Any]:
    """Ages in TikTok's groups, all that overlap; a gender."""
    youngest, oldest = targeting.get("age_min"), targeting.get("age_max")
    last = 100 if oldest is None or oldest >= OLDEST else oldest
    groups = [name for name, (first, end) in AGES.items() if end >= (youngest or 0) and first <= last]
    genders = [GENDERS[each] for each in targeting.get("genders") or ()]
    return {
        "age_groups": groups if youngest or oldest else None,
        "gender": genders[0] if len(genders) == 1 else None,
    }


def _placements(words: Any) -> dict[str, Any]:
    if not words:
        return {"placement_type": "PLACEMENT_TYPE_AUTOMATIC"}
    names = [word if word.startswith("PLACEMENT_") else f"PLACEMENT_{word.upper()}" for word in words]
    return {"placement_type": "PLACEMENT_TYPE_NORMAL", "placements": names}


def _money(call: Call, goal: str) -> dict[str, Any]:
    """Budget and bid, in major units of the account's currency."""
    data, budget, bid = call.event.data, _amount(call, "budget"), _amount(call, "bid_amount")
    if budget is None:
        raise InvalidPayload("An ad group at TikTok needs a `budget`.", code="missing_budget")
    if data.get("budget_kind") == "lifetime" and not data.get("end_time"):
        raise InvalidPayload("A lifetime budget needs `end_time`.", code="missing_field")
    bids = "conversion_bid_price" if goal in OF_A_PIXEL else "bid_price"
    return {
        "budget_mode": BUDGET_MODES[data.get("budget_kind") or "daily"],
        "budget": budget,
        "bid_type": "BID_TYPE_NO_BID" if bid is None else "BID_TYPE_CUSTOM",
        bids: bid,
    }


def _amount(call: Call, name: str) -> float | None:
    amount, currency = decimal(call.event.data.get(name)), call.event.data.get("currency")
    own = call.config.get("currency")
    if amount is not None and currency and own and currency != own:
        raise InvalidPayload(f"`{name}` is in {currency}, and the account has {own}.", code="currency_mismatch")
    return None if amount is None else float(amount)


def _schedule(call: Call) -> dict[str, Any]:
    data = call.event.data
    start = _utc(data.get("start_time")) or _text(max(call.now, call.event.occurred_at))
    if not data.get("end_time"):
        return {"schedule_type": "SCHEDULE_FROM_NOW", "schedule_start_time": start}
    return {
        "schedule_type": "SCHEDULE_START_END",
        "schedule_start_time": start,
        "schedule_end_time": _utc(data["end_time"]),
    }


def _utc(moment: str | None) -> str | None:
    return _text(datetime.fromisoformat(moment)) if moment else None


def _text(moment: datetime) -> str:
    """As TikTok writes times: UTC, without a zone. One without a zone of its own is taken for UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _counted(call: Call, goal: str) -> dict[str, Any]:
    """The pixel's conversions that results are counted of."""
    given = call.event.data.get("promoted") or {}
    event = given.get("event")
    if goal not in OF_A_PIXEL and not event:
        return {"app_id": given.get("app_id")}
    if event and event not in COUNTED:
        raise InvalidPayload(
            f"TikTok optimizes for no {event}: only for {', '.join(COUNTED)}.", code="unsupported_event"
        )
    pixel = given.get("pixel_id")
    if not pixel:
        raise InvalidPayload(f"{goal} needs `promoted.pixel_id`: TikTok's id of the pixel.", code="missing_field")
    return {"pixel_id": pixel, "optimization_event": COUNTED.get(event or "")}

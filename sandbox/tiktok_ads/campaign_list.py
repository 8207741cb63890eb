"""Which campaigns campaign/get/ shows: the filters as a table.

https://business-api.tiktok.com/portal/docs?id=1739315828649986
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sandbox.tiktok_ads.campaigns import Campaign, Campaigns, Status, campaign_json, utc_text
from sandbox.tiktok_ads.endpoints import Call
from sandbox.tiktok_ads.envelope import Invalid, Refused
from sandbox.tiktok_ads.parameters import ID, PAGING, Parameter, Parameters, checked, paged, selected

IDS_MAX: Final = 100
CREATION_SPAN_MAX_DAYS: Final = 184  # six months

ALIVE: Final[frozenset[Status]] = frozenset({"ENABLE", "DISABLE"})
PRIMARY: Final[Mapping[str, frozenset[Status]]] = {
    "STATUS_ALL": ALIVE | {"DELETE"},
    "STATUS_NOT_DELETE": ALIVE,
    "STATUS_NOT_DELIVERY": frozenset({"DISABLE"}),
    "STATUS_DELIVERY_OK": frozenset({"ENABLE"}),
    "STATUS_DISABLE": frozenset({"DISABLE"}),
    "STATUS_DELETE": frozenset({"DELETE"}),
    "STATUS_TIME_DONE": frozenset(),
    "STATUS_FROZEN": frozenset(),
    "STATUS_RF_CLOSED": frozenset(),
}
SECONDARY: Final[Mapping[str, frozenset[Status]]] = {
    "CAMPAIGN_STATUS_ALL": ALIVE | {"DELETE"},
    "CAMPAIGN_STATUS_NOT_DELETE": ALIVE,
    "CAMPAIGN_STATUS_ENABLE": frozenset({"ENABLE"}),
    "CAMPAIGN_STATUS_DISABLE": frozenset({"DISABLE"}),
    "CAMPAIGN_STATUS_DELETE": frozenset({"DELETE"}),
}
NULL_FIELD: Final = "NULL_FIELD"

LIST: Final[Parameters] = {
    "advertiser_id": ID,
    "fields": Parameter("texts"),
    "filtering": Parameter("object"),
    "exclude_field_types_in_response": Parameter("texts"),
    **PAGING,
}
FILTERING: Final[Parameters] = {
    "campaign_ids": Parameter("ids"),
    "campaign_name": Parameter("text"),
    "primary_status": Parameter("text", choices=PRIMARY),
    "secondary_status": Parameter("text", choices=SECONDARY),
    "objective_type": Parameter("text"),
    "campaign_type": Parameter("text"),
    "campaign_automation_type": Parameter("text", choices=("MANUAL", "SMART_PLUS", "UPGRADED_SMART_PLUS")),
    "is_smart_performance_campaign": Parameter("flag"),
    "sales_destination": Parameter("text"),
    "buying_types": Parameter("texts"),
    "campaign_system_origins": Parameter("texts"),
    "creation_filter_start_time": Parameter("text"),
    "creation_filter_end_time": Parameter("text"),
}
FILTERS: Final[Mapping[str, Callable[[Campaign, Any], bool]]] = {
    "campaign_ids": lambda one, ids: one.id in ids,
    "campaign_name": lambda one, part: part.casefold() in one.name.casefold(),
    "primary_status": lambda one, name: one.status in PRIMARY[name],
    "secondary_status": lambda one, name: one.status in SECONDARY[name],
    "buying_types": lambda one, types: "AUCTION" in types,  # all campaigns here are
    "campaign_system_origins": lambda one, origins: "TT_ADS_PLATFORM" in origins,
    "creation_filter_start_time": lambda one, start: start <= utc_text(one.created_at),
    "creation_filter_end_time": lambda one, end: utc_text(one.created_at) <= end,
}


def listed(campaigns: Campaigns, call: Call) -> dict[str, Any]:
    """One page of campaigns, newest id first; deleted ones only when a filter asks for them."""
    filtering = checked(call.args.get("filtering", {}), FILTERING)
    check_filtering(filtering)
    if "primary_status" not in filtering and "secondary_status" not in filtering:
        filtering = {**filtering, "primary_status": "STATUS_NOT_DELETE"}
    found = [one for one in campaigns.of(call.args["advertiser_id"]) if matches(one, filtering)]
    page, info = paged(found, call.args)
    without_null = NULL_FIELD in call.args.get("exclude_field_types_in_response", ())
    shown = (selected(campaign_json(one), call.args.get("fields")) for one in page)
    return {"list": [without_nulls(one) if without_null else one for one in shown], "page_info": info}


def matches(one: Campaign, filtering: Mapping[str, Any]) -> bool:
    """Whether a campaign passes all filters; one without an entry in FILTERS compares the field of its name."""
    shown = campaign_json(one)
    return all(
        FILTERS[name](one, wanted) if name in FILTERS else shown[name] == wanted for name, wanted in filtering.items()
    )


def check_filtering(filtering: Mapping[str, Any]) -> None:
    """Raise Refused for too many ids, or times that are none or too far apart."""
    if len(filtering.get("campaign_ids", ())) > IDS_MAX:
        raise Refused("too_many_ids", f"filtering.campaign_ids: at most {IDS_MAX} ids.")
    start, end = (moment(filtering, f"creation_filter_{side}_time") for side in ("start", "end"))
    if start and end and (end - start).days > CREATION_SPAN_MAX_DAYS:
        raise Invalid("filtering: creation times may be at most 6 months apart.")


def moment(filtering: Mapping[str, Any], name: str) -> datetime | None:
    """A time in a filter; raises Invalid."""
    if name not in filtering:
        return None
    try:
        return datetime.strptime(filtering[name], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - compared with its like only
    except ValueError:
        raise Invalid(f"filtering.{name}: must be YYYY-MM-DD HH:MM:SS.") from None


def without_nulls(shown: dict[str, Any]) -> dict[str, Any]:
    """The fields that have a value."""
    return {name: value for name, value in shown.items() if value is not None}

"""Campaigns: made, read, changed, ended and listed under an ad account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid, refusal
from sandbox.meta_ads.figures import delivered, local_day
from sandbox.meta_ads.people import Account
from sandbox.meta_ads.shape import fields_asked, page, project
from sandbox.meta_ads.state import ENDED, Campaign

NAME_MAX: Final = 400  # characters [K]
OBJECTIVES: Final = frozenset(
    {
        "OUTCOME_APP_PROMOTION",
        "OUTCOME_AWARENESS",
        "OUTCOME_ENGAGEMENT",
        "OUTCOME_LEADS",
        "OUTCOME_SALES",
        "OUTCOME_TRAFFIC",
    }
)
CATEGORIES: Final = frozenset(
    {
        "CREDIT",
        "EMPLOYMENT",
        "FINANCIAL_PRODUCTS_SERVICES",
        "HOUSING",
        "ISSUES_ELECTIONS_POLITICS",
        "NONE",
        "ONLINE_GAMBLING_AND_GAMING",
    }
)
BID_STRATEGIES: Final = frozenset(
    {"COST_CAP", "LOWEST_COST_WITHOUT_CAP", "LOWEST_COST_WITH_BID_CAP", "LOWEST_COST_WITH_MIN_ROAS"}
)
BUYING_TYPES: Final = frozenset({"AUCTION", "RESERVED"})
NEW_STATUSES: Final = frozenset({"ACTIVE", "PAUSED"})
STATUSES: Final = NEW_STATUSES | ENDED
EFFECTIVE: Final = frozenset({*STATUSES, "IN_PROCESS", "WITH_ISSUES"})
# What the list's `effective_status` takes: states of ad sets and ads too, which no campaign is ever in.
EFFECTIVE_ASKED: Final = EFFECTIVE | {
    "ADSET_PAUSED",
    "CAMPAIGN_PAUSED",
    "DISAPPROVED",
    "PENDING_BILLING_INFO",
    "PENDING_REVIEW",
    "PREAPPROVED",
}
EXECUTION: Final = frozenset({"include_recommendations", "validate_only"})
DEFAULT_STATUS: Final = "ACTIVE"  # unconfirmed what the provider takes when none is given

UPDATABLE: Final[Mapping[str, values.Reader]] = {
    "name": values.text(NAME_MAX),
    "status": values.one_of(STATUSES),
    "daily_budget": values.uint,
    "lifetime_budget": values.uint,
    "spend_cap": values.uint,
    "bid_strategy": values.one_of(BID_STRATEGIES),
    "special_ad_categories": values.some_of(CATEGORIES),
    "special_ad_category_country": values.words,
    "is_adset_budget_sharing_enabled": values.boolean,
    "start_time": values.moment,
    "stop_time": values.moment,
    "promoted_object": values.record,
    "execution_options": values.some_of(EXECUTION),
}
CREATABLE: Final[Mapping[str, values.Reader]] = {
    **UPDATABLE,
    "objective": values.one_of(OBJECTIVES),
    "status": values.one_of(NEW_STATUSES),
    "buying_type": values.one_of(BUYING_TYPES),
}
REQUIRED: Final = ("special_ad_categories", "name", "objective")
STORED_AS: Final = {"start_time": "start_at", "stop_time": "stop_at"}  # other names are the campaign's own
BUDGETS: Final = ("daily_budget", "lifetime_budget")
ISSUES: Final = (
    {
        "level": "CAMPAIGN",
        "error_code": 1359188,
        "error_summary": "No payment method",
        "error_message": "Add a payment method to run this campaign.",
        "error_type": "HARD_ERROR",
    },
)

Filter = Callable[[Campaign, Any], bool]
FILTERS: Final[Mapping[tuple[str, str], Filter]] = {
    ("campaign.name", "CONTAIN"): lambda campaign, value: str(value).lower() in campaign.name.lower(),
    ("campaign.updated_time", "GREATER_THAN"): lambda campaign, value: campaign.updated_at > float(value),
    ("campaign.id", "IN"): lambda campaign, value: campaign.id in value,
}


def create(call: Call, account: Account) -> dict[str, Any]:
    """A new campaign; there is no idempotency key, a repeat is another one."""
    for name in REQUIRED:
        if name not in call.params:
            raise refusal("invalid_parameter", f"(#100) The parameter {name} is required.", name)
    given = read_all(call, CREATABLE)
    check_budgets(given, account)
    if not any(name in given for name in BUDGETS) and "is_adset_budget_sharing_enabled" not in given:
        raise refusal("budget_sharing", None, "is_adset_budget_sharing_enabled")
    if "validate_only" in given.pop("execution_options", ()):
        return {"success": True}
    status = given.pop("status", DEFAULT_STATUS)
    campaign = make(call, account, status, given)
    call.meta.campaigns_created += 1
    return {"id": campaign.id}


def make(call: Call, account: Account, status: str, given: Mapping[str, Any]) -> Campaign:
    """Write a campaign down."""
    named = {STORED_AS.get(name, name): value for name, value in given.items()}
    campaign = Campaign(
        id=call.meta.next_id(account),
        account=account,
        status="PAUSED",
        created_at=call.now,
        updated_at=call.now,
        **named,
    )
    campaign.turn(status, call.now)
    call.meta.campaigns[campaign.id] = campaign
    return campaign


def read_all(call: Call, readers: Mapping[str, values.Reader]) -> dict[str, Any]:
    """The parameters that are there, through their readers."""
    return {name: call.read(name, reader) for name, reader in readers.items() if name in call.params}


def check_budgets(values_now: Mapping[str, Any], account: Account) -> None:
    """The rules between budgets, bids and times; raises Refusal."""
    daily, lifetime = (values_now.get(name) for name in BUDGETS)
    if daily is not None and lifetime is not None:
        text = "(#100) Only one of daily_budget and lifetime_budget can be set."
        raise refusal("invalid_parameter", text, *BUDGETS)
    budget = daily if lifetime is None else lifetime
    if budget is not None and budget < account.min_daily_budget:
        raise refusal("budget_too_low", None, "daily_budget" if lifetime is None else "lifetime_budget")
    if lifetime is not None and values_now.get("stop_time") is None:
        raise refusal("invalid_parameter", "(#100) lifetime_budget needs stop_time", "stop_time")
    if budget is None and values_now.get("bid_strategy") is not None:
        raise refusal("invalid_parameter", "(#100) bid_strategy needs a campaign budget", "bid_strategy")
    start, stop = values_now.get("start_time"), values_now.get("stop_time")
    if start is not None and stop is not None and stop <= start:
        raise invalid("stop_time", "after start_time")


def read(call: Call, campaign: Campaign) -> dict[str, Any]:
    """One campaign, deleted ones too."""
    return shown(call, campaign, fields_asked(call, ()))


def update(call: Call, campaign: Campaign) -> dict[str, Any]:
    """Change what is given; archived and deleted campaigns have had their end."""
    given = read_all(call, UPDATABLE)
    status = given.pop("status", campaign.status)
    if campaign.status == "DELETED" or (campaign.status == "ARCHIVED" and (status, given) != ("DELETED", {})):
        raise refusal("ended_object", f"A campaign that is {campaign.status.lower()} cannot be edited.")
    only_validate = "validate_only" in given.pop("execution_options", ())
    check_budgets({**current(campaign), **given}, campaign.account)
    if not only_validate:
        for name, value in given.items():
            setattr(campaign, STORED_AS.get(name, name), value)
        campaign.turn(status, call.now)
        campaign.updated_at = call.now
    return {"success": True}


def current(campaign: Campaign) -> dict[str, Any]:
    """What the rules between budgets look at, as it is."""
    return {
        "daily_budget": campaign.daily_budget,
        "lifetime_budget": campaign.lifetime_budget,
        "bid_strategy": campaign.bid_strategy,
        "start_time": campaign.start_at,
        "stop_time": campaign.stop_at,
    }


def delete(call: Call, campaign: Campaign) -> dict[str, Any]:
    """The end of a campaign; to repeat it is harmless."""
    if campaign.status != "DELETED":
        campaign.turn("DELETED", call.now)
        campaign.updated_at = call.now
    return {"success": True}


def listing(call: Call, account: Account) -> dict[str, Any]:
    """The campaigns of an account, newest first; archived and deleted ones only when asked for."""
    asked = fields_asked(call, ())
    statuses = call.read("effective_status", values.some_of(EFFECTIVE_ASKED)) or EFFECTIVE - ENDED
    conditions = read_filters(call)
    found = [
        one
        for one in reversed(call.meta.of_account(account))
        if one.effective_status in statuses and all(keep(one) for keep in conditions)
    ]
    return page(call, [(-int(one.id), shown(call, one, asked)) for one in found])


def read_filters(call: Call) -> list[Callable[[Campaign], bool]]:
    """The conditions of `filtering`; raises Refusal for those that are not known here."""
    return [condition(one) for one in call.read("filtering", values.array) or ()]


def condition(source: Any) -> Callable[[Campaign], bool]:
    """One condition: `{"field", "operator", "value"}`."""
    if not isinstance(source, dict) or "value" not in source:
        raise invalid("filtering", 'a list of {"field", "operator", "value"}')
    keep = FILTERS.get((str(source.get("field")), str(source.get("operator"))))
    if keep is None:
        known = ", ".join(" ".join(one) for one in FILTERS)
        raise invalid("filtering", f"one of the conditions {known}")
    value = source["value"]
    if (source["operator"] == "IN") != isinstance(value, list):
        raise invalid("filtering", "with a list of values for IN, and one value for the others")
    if source["operator"] == "GREATER_THAN" and not str(value).isdigit():
        raise invalid("filtering", "with Unix seconds for updated_time")
    return lambda campaign: keep(campaign, value)


def shown(call: Call, campaign: Campaign, asked: Mapping[str, str]) -> dict[str, Any]:
    """The asked-for fields of a campaign."""
    return project(campaign_json(call, campaign, "budget_remaining" in asked), asked, "AdCampaignGroup")


def campaign_json(call: Call, campaign: Campaign, with_remaining: bool) -> dict[str, Any]:
    """All fields that this stand-in knows; those without a value are None and left out of answers."""
    zone = campaign.account.zone

    def local(at: float | None) -> str | None:
        return None if at is None else datetime.fromtimestamp(at, zone).strftime("%Y-%m-%dT%H:%M:%S%z")

    return {
        "id": campaign.id,
        "account_id": campaign.account.id,
        "name": campaign.name,
        "objective": campaign.objective,
        "status": campaign.status,
        "configured_status": campaign.status,
        "effective_status": campaign.effective_status,
        "buying_type": campaign.buying_type,
        "bid_strategy": campaign.bid_strategy,
        "daily_budget": amount(campaign.daily_budget),
        "lifetime_budget": amount(campaign.lifetime_budget),
        "spend_cap": amount(campaign.spend_cap),
        "budget_remaining": remaining(call, campaign) if with_remaining else None,
        "special_ad_categories": list(campaign.special_ad_categories),
        "special_ad_category_country": list(campaign.special_ad_category_country) or None,
        "is_adset_budget_sharing_enabled": campaign.is_adset_budget_sharing_enabled,
        "promoted_object": campaign.promoted_object,
        "issues_info": list(ISSUES) if campaign.effective_status == "WITH_ISSUES" else None,
        "start_time": local(campaign.start_at or campaign.created_at),
        "stop_time": local(campaign.stop_at),
        "created_time": local(campaign.created_at),
        "updated_time": local(campaign.updated_at),
    }


def amount(minor: int | None) -> str | None:
    """A budget in minor units, as the text it is sent as."""
    return None if minor is None else str(minor)


def remaining(call: Call, campaign: Campaign) -> str:
    """What today's or the whole budget still holds, in minor units."""
    today = local_day(campaign, call.now)
    since = today if campaign.lifetime_budget is None else local_day(campaign, campaign.created_at)
    spent = sum(one.spend for _, one in delivered(call.meta, campaign, since, today, call.now))
    return str(max(0, (campaign.lifetime_budget or campaign.daily_budget or 0) - spent))

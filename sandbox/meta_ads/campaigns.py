"""Campaigns: made, read, changed, ended and listed under an ad account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid, refusal
from sandbox.meta_ads.figures import delivered, local_day
from sandbox.meta_ads.nodes import (
    DEFAULT_STATUS,
    EXECUTION,
    NAME_MAX,
    NEW_STATUSES,
    STATUSES,
    amount,
    check_not_ended,
    listed,
    local,
    read_all,
    require,
)
from sandbox.meta_ads.people import Account
from sandbox.meta_ads.shape import fields_asked, project
from sandbox.meta_ads.state import Campaign

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
EFFECTIVE: Final = frozenset({*STATUSES, "IN_PROCESS", "WITH_ISSUES"})

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


def create(call: Call, account: Account) -> dict[str, Any]:
    """A new campaign; there is no idempotency key, a repeat is another one."""
    require(call, REQUIRED)
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
    check_not_ended("A campaign", campaign.status, {**given, "status": status})
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
    """The campaigns of an account."""
    found = call.meta.of_account(account)
    return listed(call, "campaign", found, lambda one, asked: shown(call, one, asked))


def shown(call: Call, campaign: Campaign, asked: Mapping[str, str]) -> dict[str, Any]:
    """The asked-for fields of a campaign."""
    return project(campaign_json(call, campaign, "budget_remaining" in asked), asked, "AdCampaignGroup")


def campaign_json(call: Call, campaign: Campaign, with_remaining: bool) -> dict[str, Any]:
    """All fields that this stand-in knows; those without a value are None and left out of answers."""
    account = campaign.account
    return {
        "id": campaign.id,
        "account_id": account.id,
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
        "start_time": local(account, campaign.start_at or campaign.created_at),
        "stop_time": local(account, campaign.stop_at),
        "created_time": local(account, campaign.created_at),
        "updated_time": local(account, campaign.updated_at),
    }


def remaining(call: Call, campaign: Campaign) -> str:
    """What today's or the whole budget still holds, in minor units."""
    today = local_day(campaign, call.now)
    since = today if campaign.lifetime_budget is None else local_day(campaign, campaign.created_at)
    spent = sum(one.spend for _, one in delivered(call.meta, campaign, since, today, call.now))
    return str(max(0, (campaign.lifetime_budget or campaign.daily_budget or 0) - spent))

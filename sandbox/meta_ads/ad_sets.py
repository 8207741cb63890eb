"""Ad sets: made in a campaign, read, changed, ended and listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.campaigns import BID_STRATEGIES, BUDGETS
from sandbox.meta_ads.errors import invalid, refusal
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
from sandbox.meta_ads.state import ENDED, AdSet, Campaign
from sandbox.meta_ads.targeting import countries, targeting

BUDGET_CHANGES: Final = 4  # of an ad set
PER_S: Final = 3600.0
GOALS: Final[Mapping[str, frozenset[str]]] = {  # with what may be paid for beside IMPRESSIONS
    "APP_INSTALLS": frozenset({"APP_INSTALLS"}),
    "IMPRESSIONS": frozenset(),
    "LANDING_PAGE_VIEWS": frozenset(),
    "LEAD_GENERATION": frozenset(),
    "LINK_CLICKS": frozenset({"LINK_CLICKS"}),
    "OFFSITE_CONVERSIONS": frozenset(),
    "POST_ENGAGEMENT": frozenset({"POST_ENGAGEMENT"}),
    "REACH": frozenset(),
    "THRUPLAY": frozenset({"THRUPLAY"}),
    "VALUE": frozenset(),
}
BILLED: Final = frozenset({"IMPRESSIONS"}).union(*GOALS.values())
CAPPED: Final = frozenset({"COST_CAP", "LOWEST_COST_WITH_BID_CAP"})
PROMOTED: Final[Mapping[str, frozenset[str]]] = {  # what a goal must name
    "APP_INSTALLS": frozenset({"application_id", "object_store_url"}),
    "LEAD_GENERATION": frozenset({"page_id"}),
    "OFFSITE_CONVERSIONS": frozenset({"pixel_id", "custom_event_type"}),
    "VALUE": frozenset({"pixel_id", "custom_event_type"}),
}
PROMOTABLE: Final = frozenset({"application_id", "custom_event_type", "object_store_url", "page_id", "pixel_id"})
CONVERSIONS: Final = frozenset(
    {
        "ADD_PAYMENT_INFO",
        "ADD_TO_CART",
        "COMPLETE_REGISTRATION",
        "CONTACT",
        "CONTENT_VIEW",
        "INITIATED_CHECKOUT",
        "LEAD",
        "PURCHASE",
        "SEARCH",
        "START_TRIAL",
        "SUBSCRIBE",
    }
)
# The European Union, where it must be said who is behind an ad.
UNION: Final = frozenset(
    {
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
        *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    }
)
BEHIND: Final = ("dsa_beneficiary", "dsa_payor")

UPDATABLE: Final[Mapping[str, values.Reader]] = {
    "name": values.text(NAME_MAX),
    "status": values.one_of(STATUSES),
    "optimization_goal": values.one_of(GOALS),
    "billing_event": values.one_of(BILLED),
    "targeting": targeting,
    "daily_budget": values.uint,
    "lifetime_budget": values.uint,
    "bid_amount": values.uint,
    "bid_strategy": values.one_of(BID_STRATEGIES),
    "promoted_object": values.record,
    "attribution_spec": values.array,
    "dsa_beneficiary": values.text(512),
    "dsa_payor": values.text(512),
    "start_time": values.moment,
    "end_time": values.moment,
    "execution_options": values.some_of(EXECUTION),
}
CREATABLE: Final[Mapping[str, values.Reader]] = {
    **UPDATABLE,
    "status": values.one_of(NEW_STATUSES),
    "campaign_id": values.text(30),
}
REQUIRED: Final = ("name", "campaign_id", "optimization_goal", "billing_event", "targeting")
STORED_AS: Final = {"start_time": "start_at", "end_time": "end_at"}  # other names are the ad set's own
KEPT: Final = tuple(STORED_AS.get(name, name) for name in UPDATABLE if name not in ("status", "execution_options"))


def create(call: Call, account: Account) -> dict[str, Any]:
    """A new ad set; there is no idempotency key, a repeat is another one."""
    require(call, REQUIRED)
    given = read_all(call, CREATABLE)
    campaign = campaign_of(call, account, given.pop("campaign_id"))
    only_validate = "validate_only" in given.pop("execution_options", ())
    status = given.pop("status", DEFAULT_STATUS)
    check(campaign, given)
    if only_validate:
        return {"success": True}
    named = {STORED_AS.get(name, name): value for name, value in given.items()}
    ad_set = AdSet(
        id=call.meta.next_child_id(account),
        campaign=campaign,
        status=status,
        created_at=call.now,
        updated_at=call.now,
        **named,
    )
    call.meta.ad_sets[ad_set.id] = ad_set
    call.meta.ad_sets_created += 1
    return {"id": ad_set.id}


def campaign_of(call: Call, account: Account, name: str) -> Campaign:
    """The campaign that an ad set is made in; raises Refusal."""
    campaign = call.meta.campaigns.get(name)
    if campaign is None or campaign.account is not account:
        raise invalid("campaign_id", "a campaign of this ad account")
    if campaign.status in ENDED:
        raise refusal("ended_object", f"A campaign that is {campaign.status.lower()} takes no ad sets.")
    return campaign


def check(campaign: Campaign, now: Mapping[str, Any]) -> None:
    """The rules of an ad set as it would be; raises Refusal."""
    goal, billed = now["optimization_goal"], now["billing_event"]
    if billed not in GOALS[goal] | {"IMPRESSIONS"}:
        raise invalid("billing_event", f"one that goes with {goal}")
    check_money(campaign, now)
    check_promoted(campaign.account, goal, now.get("promoted_object"))
    for name in BEHIND:
        if countries(now["targeting"]) & UNION and not now.get(name):
            raise refusal("dsa_missing", None, name)
    start, end = now.get("start_time"), now.get("end_time")
    if start is not None and end is not None and end <= start:
        raise invalid("end_time", "after start_time")


def check_money(campaign: Campaign, now: Mapping[str, Any]) -> None:
    """A budget is the campaign's or the ad set's, and a capped bid has its amount; raises Refusal."""
    own = [name for name in BUDGETS if now.get(name) is not None]
    above = campaign.daily_budget is not None or campaign.lifetime_budget is not None
    if above and (own or now.get("bid_strategy")):
        text = "(#100) The campaign has the budget and the bid strategy: an ad set of it has none"
        raise refusal("invalid_parameter", text, *(own or ["bid_strategy"]))
    if not above and len(own) != 1:
        raise refusal("invalid_parameter", "(#100) Exactly one of daily_budget and lifetime_budget is needed", *BUDGETS)
    if own and now[own[0]] < campaign.account.min_daily_budget:
        raise refusal("budget_too_low", None, own[0])
    if own == ["lifetime_budget"] and now.get("end_time") is None:
        raise refusal("invalid_parameter", "(#100) lifetime_budget needs end_time", "end_time")
    if not above and (now.get("bid_strategy") in CAPPED) != (now.get("bid_amount") is not None):
        raise refusal("bid_amount", None, "bid_amount", "bid_strategy")


def check_promoted(account: Account, goal: str, promoted: Mapping[str, Any] | None) -> None:
    """What results are counted of; raises Refusal."""
    given = promoted or {}
    unknown = sorted(set(given) - PROMOTABLE)
    missing = sorted(PROMOTED.get(goal, frozenset()) - set(given))
    if unknown or missing:
        raise invalid("promoted_object", f"an object with {', '.join(missing)}" if missing else f"without {unknown[0]}")
    if "pixel_id" in given and given["pixel_id"] != account.pixel:
        raise invalid("promoted_object[pixel_id]", "a pixel of this ad account")
    if "page_id" in given and given["page_id"] != account.page:
        raise invalid("promoted_object[page_id]", "a page of this ad account")
    if "custom_event_type" in given:
        values.one_of(CONVERSIONS)("promoted_object[custom_event_type]", str(given["custom_event_type"]))


def update(call: Call, ad_set: AdSet) -> dict[str, Any]:
    """Change what is given; budgets at most four times an hour."""
    given = read_all(call, UPDATABLE)
    only_validate = "validate_only" in given.pop("execution_options", ())
    check_not_ended("An ad set", ad_set.effective_status, {"status": ad_set.status, **given})
    status = given.pop("status", ad_set.status)
    check(ad_set.campaign, {**current(ad_set), **given})
    changes_budget = any(name in given and given[name] != getattr(ad_set, name) for name in BUDGETS)
    recent = [at for at in ad_set.budget_changes if at > call.now - PER_S]
    if changes_budget and len(recent) >= BUDGET_CHANGES:
        raise refusal("rate_limited_budget", None, "daily_budget")
    if not only_validate:
        ad_set.budget_changes = [*recent, call.now] if changes_budget else recent
        for name, value in given.items():
            setattr(ad_set, STORED_AS.get(name, name), value)
        ad_set.status, ad_set.updated_at = status, call.now
    return {"success": True}


def current(ad_set: AdSet) -> dict[str, Any]:
    """What the rules look at, as it is."""
    names = {"start_time": ad_set.start_at, "end_time": ad_set.end_at}
    return {**{name: getattr(ad_set, name) for name in KEPT if name not in STORED_AS.values()}, **names}


def delete(call: Call, ad_set: AdSet) -> dict[str, Any]:
    """The end of an ad set; to repeat it is harmless."""
    if ad_set.status != "DELETED":
        ad_set.status, ad_set.updated_at = "DELETED", call.now
    return {"success": True}


def read(call: Call, ad_set: AdSet) -> dict[str, Any]:
    """One ad set, deleted ones too."""
    return shown(ad_set, fields_asked(call, ()))


def of_account(call: Call, account: Account) -> dict[str, Any]:
    """The ad sets of an account."""
    return listed(call, "adset", [one for one in call.meta.ad_sets.values() if one.account is account], shown)


def of_campaign(call: Call, campaign: Campaign) -> dict[str, Any]:
    """The ad sets of a campaign."""
    return listed(call, "adset", call.meta.sets_of(campaign), shown)


def shown(ad_set: AdSet, asked: Mapping[str, str]) -> dict[str, Any]:
    """The asked-for fields of an ad set."""
    return project(ad_set_json(ad_set), asked, "AdCampaign")


def ad_set_json(ad_set: AdSet) -> dict[str, Any]:
    """All fields that this stand-in knows."""
    account = ad_set.account
    return {
        "id": ad_set.id,
        "account_id": account.id,
        "campaign_id": ad_set.campaign.id,
        "name": ad_set.name,
        "status": ad_set.status,
        "configured_status": ad_set.status,
        "effective_status": ad_set.effective_status,
        "optimization_goal": ad_set.optimization_goal,
        "billing_event": ad_set.billing_event,
        "targeting": dict(ad_set.targeting) or None,
        "daily_budget": amount(ad_set.daily_budget),
        "lifetime_budget": amount(ad_set.lifetime_budget),
        "bid_amount": ad_set.bid_amount,
        "bid_strategy": ad_set.bid_strategy,
        "promoted_object": ad_set.promoted_object,
        "attribution_spec": ad_set.attribution_spec,
        "dsa_beneficiary": ad_set.dsa_beneficiary,
        "dsa_payor": ad_set.dsa_payor,
        "start_time": local(account, ad_set.start_at or ad_set.created_at),
        "end_time": local(account, ad_set.end_at),
        "created_time": local(account, ad_set.created_at),
        "updated_time": local(account, ad_set.updated_at),
    }

"""Making, changing and deleting campaigns, with the rules of the platform.

https://business-api.tiktok.com/portal/docs?id=1739318962329602
`request_id` catches a repeated request for ten seconds only.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from sandbox.tiktok_ads.accounts import ADVERTISERS
from sandbox.tiktok_ads.campaign_list import LIST, listed
from sandbox.tiktok_ads.campaigns import BUDGET_MIN, Campaign, Campaigns, campaign_json
from sandbox.tiktok_ads.endpoints import Call, Endpoint
from sandbox.tiktok_ads.envelope import Invalid, Refused
from sandbox.tiktok_ads.figures import Figures
from sandbox.tiktok_ads.parameters import ID, Args, Parameter, Parameters

REQUEST_ID_LIFE_S: Final = 10.0  # what a repeat does later is unconfirmed: here only the name can be taken
CAMPAIGNS_MAX: Final = 999  # in an account, without the deleted ones
STATUS_IDS_MAX: Final = 20
NAME_MAX: Final = 512  # a wide character counts double
BUDGET_OVER_SPEND: Final = Decimal("1.05")
EMOJI: Final = ((0x1F000, 0x1FAFF), (0x2600, 0x27BF), (0xFE0F, 0xFE0F), (0x20E3, 0x20E3))  # ranges of code points

OBJECTIVES: Final = frozenset(
    {
        "APP_PROMOTION",
        "ENGAGEMENT",
        "LEAD_GENERATION",
        "PRODUCT_SALES",
        "REACH",
        "RF_REACH",
        "TRAFFIC",
        "VIDEO_VIEWS",
        "WEB_CONVERSIONS",
    }
)
WITHOUT_BUDGET_MODE: Final = "RF_REACH"
NO_BUDGET: Final = "BUDGET_MODE_INFINITE"
LIFETIME: Final = "BUDGET_MODE_TOTAL"
AD_GROUP_MODES: Final = frozenset({NO_BUDGET, "BUDGET_MODE_DAY", LIFETIME})
CAMPAIGN_MODES: Final = frozenset({"BUDGET_MODE_DYNAMIC_DAILY_BUDGET", "BUDGET_MODE_DAY", LIFETIME})  # with CBO
INDUSTRIES: Final = frozenset({"HOUSING", "EMPLOYMENT", "CREDIT"})

TEXT: Final = Parameter("text")
FLAG: Final = Parameter("flag")
CREATE: Final[Parameters] = {
    "advertiser_id": ID,
    "campaign_name": Parameter("text", required=True),
    "objective_type": Parameter("text", required=True, choices=OBJECTIVES),
    "budget_mode": Parameter("text", choices=AD_GROUP_MODES | CAMPAIGN_MODES),
    "budget": Parameter("number"),
    "budget_optimize_on": FLAG,
    "operation_status": Parameter("text", choices=("ENABLE", "DISABLE")),
    "request_id": Parameter("id"),
    "app_promotion_type": Parameter("text", choices=("APP_INSTALL", "APP_RETARGETING", "APP_PREREGISTRATION")),
    "app_id": Parameter("id"),
    "campaign_type": Parameter("text", choices=("REGULAR_CAMPAIGN", "IOS14_CAMPAIGN")),
    "virtual_objective_type": Parameter("text", choices=("SALES",)),
    "sales_destination": Parameter("text", choices=("TIKTOK_SHOP", "WEBSITE", "APP", "WEB_AND_APP")),
    "campaign_product_source": Parameter("text", choices=("CATALOG", "STORE")),
    "catalog_enabled": FLAG,
    "special_industries": Parameter("texts"),
    "postback_window_mode": TEXT,
    "po_number": TEXT,
    "is_search_campaign": FLAG,
    # Taken and shown again, without any effect here.
    "bid_type": TEXT,
    "campaign_app_profile_page_state": TEXT,
    "deep_bid_type": TEXT,
    "disable_skan_campaign": FLAG,
    "internal_channel": TEXT,
    "is_advanced_dedicated_campaign": FLAG,
    "optimization_goal": TEXT,
    "plugin_partner": TEXT,
    "rf_campaign_type": TEXT,
    "roas_bid": Parameter("number"),
    "rta_bid_enabled": FLAG,
    "rta_id": TEXT,
    "rta_product_selection_enabled": FLAG,
}
UPDATE: Final[Parameters] = {
    "advertiser_id": ID,
    "campaign_id": ID,
    "campaign_name": TEXT,
    "budget": Parameter("number"),
    "special_industries": Parameter("texts"),
    "po_number": TEXT,
}
STATUS: Final[Parameters] = {
    "advertiser_id": ID,
    "campaign_ids": Parameter("ids", required=True),
    "operation_status": Parameter("text", required=True, choices=("ENABLE", "DISABLE", "DELETE")),
    "postback_window_mode": TEXT,
}
SMART: Final[Parameters] = {**CREATE, "request_id": Parameter("id", required=True)}
OWN_FIELDS: Final = frozenset({"advertiser_id", "campaign_name", "objective_type", "budget_mode", "budget"})
NOT_SHOWN: Final = frozenset({"request_id", "operation_status"})


class CampaignDoors:
    """The endpoints of campaigns."""

    def __init__(self, campaigns: Campaigns, figures: Figures) -> None:
        self._campaigns = campaigns
        self._figures = figures
        self._recent: deque[tuple[float, tuple[str, str]]] = deque()  # when, and which account's request_id

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this part answers."""
        return (
            Endpoint("POST", "campaign/create/", self.create, CREATE),
            Endpoint("GET", "campaign/get/", lambda call: listed(self._campaigns, call), LIST),
            Endpoint("POST", "campaign/update/", self.update, UPDATE),
            Endpoint("POST", "campaign/status/update/", self.update_status, STATUS),
            Endpoint("POST", "smart_plus/campaign/create/", self.create_smart, SMART),
            Endpoint("POST", "smart_plus/campaign/update/", self.update, UPDATE),
            Endpoint("POST", "smart_plus/campaign/status/update/", self.update_status, STATUS),
        )

    def create(self, call: Call) -> dict[str, Any]:
        """A new campaign, enabled unless the caller says otherwise."""
        args = call.args
        self._check_repeated(args, call.now)
        check_name(args["campaign_name"])
        check_objective(args)
        check_budget(args)
        self._check_room(args)
        made = self._campaigns.add(
            args["advertiser_id"],
            args["campaign_name"],
            args["objective_type"],
            call.now,
            budget_mode=args.get("budget_mode", NO_BUDGET),
            budget=float(args.get("budget", 0.0)),
            request_id=args.get("request_id"),
            given={name: value for name, value in args.items() if name not in OWN_FIELDS | NOT_SHOWN},
        )
        made.set_status(args.get("operation_status", "ENABLE"), call.now)
        self._campaigns.created += 1
        if "request_id" in args:
            self._recent.append((call.now, (args["advertiser_id"], args["request_id"])))
        return campaign_json(made)

    def create_smart(self, call: Call) -> dict[str, Any]:
        """A new campaign that the platform runs by itself."""
        made = self.create(call)
        campaign = self._campaigns.get(made["advertiser_id"], made["campaign_id"])
        campaign.given = {**campaign.given, "campaign_automation_type": "UPGRADED_SMART_PLUS"}
        return campaign_json(campaign)

    def update(self, call: Call) -> dict[str, Any]:
        """Another name, budget, industries or order number."""
        args = call.args
        campaign = self._campaigns.get(args["advertiser_id"], args["campaign_id"])
        check_not_deleted(campaign)
        changed = changes(campaign, args)
        if not changed:
            raise Refused("nothing_to_update")
        if "campaign_name" in changed:
            check_name(changed["campaign_name"])
            self._check_name_free(args["advertiser_id"], changed["campaign_name"], None)
        if "budget" in changed:
            self._check_new_budget(campaign, changed["budget"], call.now)
        self._apply(campaign, changed, call.now)
        return campaign_json(campaign)

    def update_status(self, call: Call) -> dict[str, Any]:
        """Enable, disable or delete up to twenty campaigns; all of them or, when one is refused, none."""
        ids, status = call.args["campaign_ids"], call.args["operation_status"]
        if not ids:
            raise Invalid("campaign_ids: must not be empty.")
        if len(ids) > STATUS_IDS_MAX:
            raise Refused("too_many_ids", f"campaign_ids: at most {STATUS_IDS_MAX} ids.")
        found = [self._campaigns.get(call.args["advertiser_id"], one) for one in ids]
        for campaign in found:
            check_not_deleted(campaign)
        for campaign in found:
            campaign.set_status(status, call.now)
        shown = [{"campaign_id": one, "status": status} for one in ids]
        return {"campaign_ids": ids, "status": status, "campaign_list": shown}

    def _check_repeated(self, args: Args, now: float) -> None:
        """Raise Refused for a `request_id` of the last ten seconds."""
        while self._recent and self._recent[0][0] <= now - REQUEST_ID_LIFE_S:
            self._recent.popleft()
        key = (args["advertiser_id"], args.get("request_id"))
        if any(key == recent for _, recent in self._recent):
            raise Refused("duplicate_request")

    def _check_room(self, args: Args) -> None:
        """Raise Refused when the name is taken or the account is full."""
        self._check_name_free(args["advertiser_id"], args["campaign_name"], args.get("request_id"))
        if len(self._alive(args["advertiser_id"])) >= CAMPAIGNS_MAX:
            raise Invalid(f"The ad account has {CAMPAIGNS_MAX} campaigns; delete one first.")

    def _check_name_free(self, advertiser_id: str, name: str, request_id: str | None) -> None:
        """Raise Refused for a name in use, unless another `request_id` tells the two apart."""
        for other in self._alive(advertiser_id):
            if other.name == name and (request_id is None or request_id == other.request_id):
                raise Invalid("campaign_name: Campaign name already exists. Please try another one.")

    def _alive(self, advertiser_id: str) -> list[Campaign]:
        return [one for one in self._campaigns.of(advertiser_id) if one.status != "DELETE"]

    def _check_new_budget(self, campaign: Campaign, budget: float, now: float) -> None:
        """Raise Refused for a budget where there is none, or one that is nearly spent."""
        if campaign.budget_mode == NO_BUDGET:
            raise Invalid("budget: this campaign has none; its ad groups have.")
        check_minimum(budget, campaign.advertiser.currency)
        today = campaign.advertiser.today(now)
        days = campaign.days(today) if campaign.budget_mode == LIFETIME else [today]
        least = self._figures.total((campaign, day) for day in days).spend * BUDGET_OVER_SPEND
        if Decimal(str(budget)) < least:
            raise Invalid(f"budget: must be no less than 105 % of what is spent, {least:.2f}.")

    def _apply(self, campaign: Campaign, changed: Mapping[str, Any], now: float) -> None:
        campaign.name = changed.get("campaign_name", campaign.name)
        campaign.budget = float(changed.get("budget", campaign.budget))
        rest = {name: value for name, value in changed.items() if name not in OWN_FIELDS}
        campaign.given = {**campaign.given, **rest}
        campaign.modified_at = now


def changes(campaign: Campaign, args: Args) -> dict[str, Any]:
    """What differs from what is there; raises Invalid for an industry that is to be added."""
    shown = campaign_json(campaign)
    if not set(args.get("special_industries", ())) <= set(shown["special_industries"]):
        raise Invalid("special_industries: can be removed, not added.")
    return {name: value for name, value in args.items() if shown[name] != value}


def check_not_deleted(campaign: Campaign) -> None:
    """Raise Invalid for a campaign that is gone."""
    if campaign.status == "DELETE":
        raise Invalid(f"campaign_id: {campaign.id} is deleted, which is final.")


def check_name(name: str) -> None:
    """Raise Invalid for a name that is too long or holds an emoji."""
    if sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name) > NAME_MAX:
        raise Invalid(f"campaign_name: at most {NAME_MAX} characters.")
    if any(first <= ord(letter) <= last for letter in name for first, last in EMOJI):
        raise Invalid("campaign_name: must not contain emoji.")


def check_objective(args: Args) -> None:
    """Raise Invalid when the objective needs what is not there."""
    if args["objective_type"] == "APP_PROMOTION" and "app_promotion_type" not in args:
        raise Invalid("app_promotion_type: Missing data for required field.")
    if args["objective_type"] != WITHOUT_BUDGET_MODE and "budget_mode" not in args:
        raise Invalid("budget_mode: Missing data for required field.")
    if not set(args.get("special_industries", ())) <= INDUSTRIES:
        raise Invalid(f"special_industries: must be of {', '.join(sorted(INDUSTRIES))}.")


def check_budget(args: Args) -> None:
    """Raise Invalid when budget mode, budget and who spreads the budget do not go together."""
    mode, budget = args.get("budget_mode", NO_BUDGET), args.get("budget")
    if "budget_mode" in args:
        allowed = CAMPAIGN_MODES if args.get("budget_optimize_on") else AD_GROUP_MODES
        if mode not in allowed:
            raise Invalid(f"budget_mode: must be one of {', '.join(sorted(allowed))}.")
    if mode == NO_BUDGET:
        if budget:
            raise Invalid(f"budget: {NO_BUDGET} takes none.")
    elif budget is None:
        raise Invalid("budget: Missing data for required field.")
    else:
        check_minimum(budget, ADVERTISERS[args["advertiser_id"]].currency)


def check_minimum(budget: float, currency: str) -> None:
    """Raise Invalid for a budget below the minimum of the currency."""
    if budget < BUDGET_MIN[currency]:
        raise Invalid(f"budget: must be no less than {BUDGET_MIN[currency]:g} {currency}.")

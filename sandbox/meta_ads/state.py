"""What this provider remembers: tokens, campaigns and what is in them, reports, events, leads, and its bill."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from sandbox.meta_ads.people import ACCOUNTS, MADE_DAYS_AGO, SEEDS, Account, Seed

DAY_S: Final = 86_400
CAMPAIGN_ID: Final = "1202{number}{sequence:013}"
CHILD_ID: Final = "1202{number}5{sequence:012}"  # of ad sets, ads and creatives
VIDEO_ID: Final = "9901{sequence:011}"
LEAD_ID: Final = "7770{sequence:011}"
SEED_SETS, SEED_ADS = 2, 2  # ad sets of each first campaign, and ads of each of those
SEED_SET_BUDGET: Final = 3_000
RUN_ID: Final = "6023{sequence:011}"
ENDED: Final = frozenset({"ARCHIVED", "DELETED"})  # states that a campaign does not leave, but for archived -> deleted


@dataclass(slots=True)
class Token:
    """A user's access token, or an app's own (then nobody's)."""

    value: str = field(repr=False)
    app_id: str
    app_secret: str = field(repr=False)
    person: str | None
    scopes: set[str]
    declined: set[str]
    issued_at: float
    expires_at: float  # 0 = never
    revoked: str | None = None  # the name of the error that it meets


@dataclass(slots=True)
class Code:
    """What the dialog sends back, to be exchanged once."""

    app_id: str
    redirect_uri: str
    person: str
    scopes: set[str]
    declined: set[str]
    expires_at: float
    used: bool = False


@dataclass(slots=True)
class Campaign:
    """One campaign; budgets in minor units, times in Unix seconds."""

    id: str
    account: Account
    name: str
    objective: str
    status: str
    created_at: float
    updated_at: float
    daily_budget: int | None = None
    lifetime_budget: int | None = None
    spend_cap: int | None = None
    bid_strategy: str | None = None
    buying_type: str = "AUCTION"
    special_ad_categories: tuple[str, ...] = ()
    special_ad_category_country: tuple[str, ...] = ()
    is_adset_budget_sharing_enabled: bool | None = None
    start_at: float | None = None
    stop_at: float | None = None
    promoted_object: Mapping[str, Any] | None = None
    trouble: str | None = None  # an effective status other than `status`
    active: list[tuple[float, float | None]] = field(default_factory=list)  # from, until

    @property
    def effective_status(self) -> str:
        """What is so, where `status` is what was asked for."""
        return self.trouble if self.trouble is not None and self.status == "ACTIVE" else self.status

    def turn(self, status: str, now: float) -> None:
        """Take a status; delivery begins or ends with it."""
        if status == "ACTIVE" and self.status != "ACTIVE":
            self.active.append((now, None))
        elif status != "ACTIVE" and self.active and self.active[-1][1] is None:
            self.active[-1] = (self.active[-1][0], now)
        self.status = status


@dataclass(slots=True)
class AdSet:
    """One ad set; money in minor units, times in Unix seconds."""

    id: str
    campaign: Campaign
    name: str
    status: str
    created_at: float
    updated_at: float
    optimization_goal: str = "LINK_CLICKS"
    billing_event: str = "IMPRESSIONS"
    targeting: Mapping[str, Any] = field(default_factory=dict)
    daily_budget: int | None = None
    lifetime_budget: int | None = None
    bid_amount: int | None = None
    bid_strategy: str | None = None
    promoted_object: Mapping[str, Any] | None = None
    attribution_spec: Any = None
    dsa_beneficiary: str | None = None
    dsa_payor: str | None = None
    start_at: float | None = None
    end_at: float | None = None
    budget_changes: list[float] = field(default_factory=list)

    @property
    def account(self) -> Account:
        """Whose it is."""
        return self.campaign.account

    @property
    def effective_status(self) -> str:
        """What is so: it ends and pauses with its campaign."""
        return under(self.status, self.campaign.effective_status, "CAMPAIGN_PAUSED")


@dataclass(slots=True)
class Creative:
    """What people see of an ad."""

    id: str
    account: Account
    name: str
    object_story_spec: Mapping[str, Any]
    url_tags: str | None = None


@dataclass(slots=True)
class Ad:
    """One ad; times in Unix seconds."""

    id: str
    ad_set: AdSet
    creative: Creative
    name: str
    status: str
    created_at: float
    updated_at: float
    tracking_specs: Any = None
    conversion_domain: str | None = None

    @property
    def account(self) -> Account:
        """Whose it is."""
        return self.ad_set.account

    @property
    def effective_status(self) -> str:
        """What is so: it ends and pauses with its ad set and its campaign."""
        return under(self.status, self.ad_set.effective_status, "ADSET_PAUSED")


def under(status: str, parent: str, paused: str) -> str:
    """The effective status of an object below another one."""
    if status in ENDED or parent in ENDED:
        return status if status == "DELETED" or parent not in ENDED else parent
    if status != "ACTIVE":
        return status
    return paused if parent == "PAUSED" else "CAMPAIGN_PAUSED" if parent == "CAMPAIGN_PAUSED" else "ACTIVE"


@dataclass(slots=True)
class Video:
    """A video in an account's library: encoded after some looks at it, unless it could not be fetched."""

    id: str
    account: Account
    title: str
    needed: int  # looks before it is ready
    failed: bool = False
    looks: int = 0

    @property
    def status(self) -> str:
        """Where it stands."""
        return "error" if self.failed else "ready" if self.looks > self.needed else "processing"


@dataclass(frozen=True, slots=True)
class Lead:
    """What somebody wrote in a form of a page."""

    id: str
    page: str
    form: str
    ad: Ad | None
    fields: Mapping[str, Any]
    created_at: float


@dataclass(slots=True)
class Run:
    """A report that is being made."""

    id: str
    account: Account
    rows: list[dict[str, Any]]
    needed: int  # polls before it is complete
    outcome: str
    polls: int = 0


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where an app wants to hear about one kind of object."""

    callback_url: str
    fields: tuple[str, ...]
    include_values: bool
    app_secret: str = field(repr=False)


@dataclass(slots=True)
class Settings:
    """What actions adjust. Lives in seconds; limits None = none."""

    code_life_s: float = 600
    short_life_s: float = 5_400
    long_life_s: float = 60 * DAY_S
    data_access_s: float = 90 * DAY_S
    page_rows: int | None = None  # the longest page, whatever `limit` asks for
    response_rows: int | None = None  # a longer page is "too much data": code 1
    query_rows: int | None = None  # a longer result is "too much data": 100/1487534
    report_polls: int = 2
    report_outcome: str = "Job Completed"
    video_looks: int = 1  # at a video before it is ready


@dataclass(slots=True)
class Meta:
    """The whole provider."""

    started_at: float = field(default_factory=time.time)
    tokens: dict[str, Token] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    ad_sets: dict[str, AdSet] = field(default_factory=dict)
    ads: dict[str, Ad] = field(default_factory=dict)
    creatives: dict[str, Creative] = field(default_factory=dict)
    images: dict[str, set[str]] = field(default_factory=dict)  # hashes in each account's library
    videos: dict[str, Video] = field(default_factory=dict)
    leads: dict[str, Lead] = field(default_factory=dict)
    sequences: Counter[str] = field(default_factory=Counter)  # campaigns so far, by account; reports so far
    runs: dict[str, Run] = field(default_factory=dict)
    revisions: Counter[tuple[str, date]] = field(default_factory=Counter)  # of an account's day
    subscriptions: dict[tuple[str, str], Subscription] = field(default_factory=dict)  # by app and object
    subscribed_apps: dict[str, set[str]] = field(default_factory=dict)  # by account
    usage: dict[str | None, dict[str, str]] = field(default_factory=dict)  # headers by account, None = everywhere
    settings: Settings = field(default_factory=Settings)
    events: dict[str, Counter[str]] = field(default_factory=dict)  # by pixel: how often each event came
    test_events: int = 0
    campaigns_created: int = 0
    ad_sets_created: int = 0
    ads_created: int = 0
    campaigns_copied: int = 0
    exchanges: Counter[str] = field(default_factory=Counter)  # by kind

    def __post_init__(self) -> None:
        for account in ACCOUNTS.values():
            for seed in SEEDS:
                self._plant(account, seed)

    def _plant(self, account: Account, seed: Seed) -> None:
        made = datetime.fromtimestamp(self.started_at, account.zone) - timedelta(days=MADE_DAYS_AGO)
        at = made.replace(hour=9, minute=0, second=0, microsecond=0).timestamp()
        until = None if seed.delivered_until is None else self.started_at - seed.delivered_until * DAY_S
        campaign = Campaign(
            id=self.next_id(account),
            account=account,
            name=seed.name,
            objective=seed.objective,
            status=seed.status,
            created_at=at,
            updated_at=until or at,
            daily_budget=seed.daily_budget,
            lifetime_budget=seed.lifetime_budget,
            spend_cap=seed.spend_cap,
            bid_strategy="LOWEST_COST_WITHOUT_CAP" if seed.daily_budget or seed.lifetime_budget else None,
            special_ad_categories=() if seed.category is None else (seed.category,),
            is_adset_budget_sharing_enabled=False,
            start_at=at,
            stop_at=self.started_at + MADE_DAYS_AGO * DAY_S if seed.lifetime_budget else None,
            trouble=seed.trouble,
            active=[] if seed.never_ran else [(at, until)],
        )
        self.campaigns[campaign.id] = campaign
        own_budget = SEED_SET_BUDGET if campaign.bid_strategy is None else None
        for number in range(1, SEED_SETS + 1):
            name = f"{seed.name}, group {number}"
            ad_set = AdSet(self.next_child_id(account), campaign, name, "ACTIVE", at, at, daily_budget=own_budget)
            self.ad_sets[ad_set.id] = ad_set
            for ad in range(1, SEED_ADS + 1):
                self._plant_ad(ad_set, f"{name}, ad {ad}")

    def _plant_ad(self, ad_set: AdSet, name: str) -> None:
        account, at = ad_set.account, ad_set.created_at
        story = {"page_id": account.page, "link_data": {"link": "https://shop.example/", "message": name}}
        creative = Creative(self.next_child_id(account), account, name, story)
        self.creatives[creative.id] = creative
        ad = Ad(self.next_child_id(account), ad_set, creative, name, "ACTIVE", at, at)
        self.ads[ad.id] = ad

    def next_child_id(self, account: Account) -> str:
        """The id of the next ad set, ad or creative of an account: 18 digits."""
        self.sequences[f"{account.id} children"] += 1
        return CHILD_ID.format(number=account.number, sequence=self.sequences[f"{account.id} children"])

    def next_of(self, kind: str, pattern: str) -> str:
        """The id of the next object of a kind that counts over all accounts."""
        self.sequences[kind] += 1
        return pattern.format(sequence=self.sequences[kind])

    def next_id(self, account: Account) -> str:
        """The id of the next campaign of an account: 18 digits."""
        self.sequences[account.id] += 1
        return CAMPAIGN_ID.format(number=account.number, sequence=self.sequences[account.id])

    def next_run_id(self) -> str:
        """The id of the next report."""
        self.sequences["reports"] += 1
        return RUN_ID.format(sequence=self.sequences["reports"])

    def of_account(self, account: Account) -> list[Campaign]:
        """The campaigns of an account, oldest first."""
        return [one for one in self.campaigns.values() if one.account is account]

    def sets_of(self, campaign: Campaign) -> list[AdSet]:
        """The ad sets of a campaign, oldest first."""
        return [one for one in self.ad_sets.values() if one.campaign is campaign]

    def ads_of(self, ad_set: AdSet) -> list[Ad]:
        """The ads of an ad set, oldest first."""
        return [one for one in self.ads.values() if one.ad_set is ad_set]

    def bill(self) -> dict[str, Any]:
        """What was done here over the API that counts; empty when nothing was."""
        counts = {
            "campaigns_created": self.campaigns_created,
            "campaigns_copied": self.campaigns_copied,
            "ad_sets_created": self.ad_sets_created,
            "ads_created": self.ads_created,
            "events_received": sum(seen.total() for seen in self.events.values()),
            "events_distinct": sum(map(len, self.events.values())),
            "test_events": self.test_events,
            "conversions": {
                pixel: {"received": seen.total(), "distinct": len(seen)} for pixel, seen in self.events.items()
            },
            "token_exchanges": dict(self.exchanges),
        }
        return counts if any(counts.values()) else {}

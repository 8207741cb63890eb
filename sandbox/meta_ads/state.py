"""What this provider remembers: tokens, campaigns, reports, events, subscriptions, and what it would bill."""

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


@dataclass(slots=True)
class Meta:
    """The whole provider."""

    started_at: float = field(default_factory=time.time)
    tokens: dict[str, Token] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    campaigns: dict[str, Campaign] = field(default_factory=dict)
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

    def bill(self) -> dict[str, Any]:
        """What was done here over the API that counts; empty when nothing was."""
        counts = {
            "campaigns_created": self.campaigns_created,
            "events_received": sum(seen.total() for seen in self.events.values()),
            "events_distinct": sum(map(len, self.events.values())),
            "test_events": self.test_events,
            "conversions": {
                pixel: {"received": seen.total(), "distinct": len(seen)} for pixel, seen in self.events.items()
            },
            "token_exchanges": dict(self.exchanges),
        }
        return counts if any(counts.values()) else {}

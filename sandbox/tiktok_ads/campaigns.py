"""Campaigns as the platform keeps them: made, changed, paused, deleted, and the days on which they run.

https://business-api.tiktok.com/portal/docs?id=1739320994354178
There is no archive and no way back from DELETE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal

from sandbox.tiktok_ads.accounts import ADVERTISERS, Advertiser
from sandbox.tiktok_ads.envelope import Refused

Status = Literal["ENABLE", "DISABLE", "DELETE"]

FIRST_ID: Final = 1_801_000_000_000_000_000  # above 2^53; a later campaign has a greater id
SEED_AGE_DAYS: Final = 120
SEEDS_PER_ADVERTISER: Final = 12

# The minimum daily budget by currency; unconfirmed, the API does not publish it.
BUDGET_MIN: Final[Mapping[str, float]] = {"EUR": 50.0, "USD": 50.0, "JPY": 7500.0}

# What each account begins with: name, objective, status, and how many days ago it stopped.
SEEDS: Final[tuple[tuple[str, str, Status, int | None], ...]] = (
    ("Autumn roast launch", "TRAFFIC", "ENABLE", None),
    ("Cold brew reach", "REACH", "ENABLE", None),
    ("Subscription sign-up", "WEB_CONVERSIONS", "ENABLE", None),
    ("Barista stories", "VIDEO_VIEWS", "ENABLE", None),
    ("Office supply leads", "LEAD_GENERATION", "ENABLE", None),
    ("App installs", "APP_PROMOTION", "ENABLE", None),
    ("Follow the farm", "ENGAGEMENT", "ENABLE", None),
    ("Bean catalogue", "PRODUCT_SALES", "ENABLE", None),
    ("Summer iced range", "TRAFFIC", "DISABLE", 20),
    ("Grinder offer", "WEB_CONVERSIONS", "DISABLE", 45),
    ("Gift box retargeting", "WEB_CONVERSIONS", "DISABLE", 7),
    ("Spring clearance", "TRAFFIC", "DELETE", 10),
)


@dataclass(slots=True)
class Run:
    """Days on which a campaign was enabled, both ends included; `last` is None while it runs."""

    first: date
    last: date | None = None

    def holds(self, day: date) -> bool:
        """Whether the day is one of them."""
        return self.first <= day and (self.last is None or day <= self.last)


@dataclass(slots=True)
class Campaign:
    """One campaign. `given` holds what else its maker said, as the API shows it."""

    id: str
    advertiser: Advertiser
    name: str
    objective_type: str
    budget_mode: str
    budget: float
    created_at: float
    modified_at: float
    status: Status = "DISABLE"
    request_id: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def runs_on(self, day: date) -> bool:
        """Whether it was enabled on that day of its account."""
        return any(run.holds(day) for run in self.runs)

    def days(self, until: date) -> Iterator[date]:
        """Every day it ran, up to one."""
        for run in self.runs:
            last = min(until, run.last or until)
            yield from (run.first + timedelta(n) for n in range((last - run.first).days + 1))

    def set_status(self, status: Status, now: float) -> None:
        """Enable, disable or delete; the day of the change still counts as a day it ran."""
        self.status = status
        self.modified_at = now
        self._set_running(status == "ENABLE", self.advertiser.today(now))

    def _set_running(self, running: bool, today: date) -> None:
        last = self.runs[-1] if self.runs else None
        if not running:
            if last is not None and last.last is None:
                last.last = today
        elif last is None or (last.last is not None and last.last < today):
            self.runs.append(Run(today))
        else:
            last.last = None


class Campaigns:
    """All campaigns of all accounts; `created` counts those made through the API."""

    def __init__(self, now: float) -> None:
        self.created = 0
        self._all: dict[str, Campaign] = {}
        self._last_id = FIRST_ID + 1000 * len(ADVERTISERS)
        for number, advertiser in enumerate(ADVERTISERS.values()):
            for one in seeded(advertiser, FIRST_ID + 1000 * number, now):
                self._all[one.id] = one

    def of(self, *advertiser_ids: str) -> list[Campaign]:
        """Those of some accounts, newest id first, deleted ones included."""
        found = [one for one in self._all.values() if one.advertiser.id in advertiser_ids]
        return sorted(found, key=lambda one: int(one.id), reverse=True)

    def get(self, advertiser_id: str, campaign_id: str) -> Campaign:
        """One of an account; raises Refused."""
        found = self._all.get(campaign_id)
        if found is None or found.advertiser.id != advertiser_id:
            raise Refused("not_exist", f"The campaign {campaign_id} does not exist.")
        return found

    def add(
        self,
        advertiser_id: str,
        name: str,
        objective_type: str,
        now: float,
        budget_mode: str = "BUDGET_MODE_DAY",
        budget: float | None = None,
        request_id: str | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Campaign:
        """A new campaign, disabled; without a budget it gets the least that is allowed."""
        self._last_id += 1
        advertiser = ADVERTISERS[advertiser_id]
        made = Campaign(
            id=str(self._last_id),
            advertiser=advertiser,
            name=name,
            objective_type=objective_type,
            budget_mode=budget_mode,
            budget=BUDGET_MIN[advertiser.currency] if budget is None else budget,
            created_at=now,
            modified_at=now,
            request_id=request_id,
            given=given or {},
        )
        self._all[made.id] = made
        return made


def seeded(advertiser: Advertiser, base_id: int, now: float) -> Iterator[Campaign]:
    """The campaigns an account begins with, made long ago: ids `base_id` + 1, + 2, …"""
    made_at, today = now - SEED_AGE_DAYS * 86_400, advertiser.today(now)
    for number, (name, objective_type, status, stopped) in enumerate(SEEDS, start=1):
        last = None if stopped is None else today - timedelta(stopped)
        yield Campaign(
            id=str(base_id + number),
            advertiser=advertiser,
            name=name,
            objective_type=objective_type,
            budget_mode="BUDGET_MODE_DAY",
            budget=3 * BUDGET_MIN[advertiser.currency],
            created_at=made_at,
            modified_at=made_at if stopped is None else now - stopped * 86_400,
            status=status,
            runs=[Run(today - timedelta(SEED_AGE_DAYS), last)],
        )


def campaign_json(one: Campaign) -> dict[str, Any]:
    """A campaign as the API shows it."""
    return {
        "advertiser_id": one.advertiser.id,
        "campaign_id": one.id,
        "campaign_name": one.name,
        "campaign_system_origin": "TT_ADS_PLATFORM",
        "campaign_automation_type": "MANUAL",
        "campaign_type": "REGULAR_CAMPAIGN",
        "objective_type": one.objective_type,
        "budget_mode": one.budget_mode,
        "budget": one.budget,
        "operation_status": "DISABLE" if one.status == "DELETE" else one.status,
        "secondary_status": f"CAMPAIGN_STATUS_{one.status}",
        "app_promotion_type": None,
        "budget_optimize_on": False,
        "catalog_enabled": None,
        "is_smart_performance_campaign": False,
        "is_search_campaign": False,
        "po_number": None,
        "sales_destination": None,
        "special_industries": [],
        "virtual_objective_type": None,
        "create_time": utc_text(one.created_at),
        "modify_time": utc_text(one.modified_at),
        **one.given,
    }


def utc_text(at: float) -> str:
    """A unix time as the API writes it: UTC, no zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")

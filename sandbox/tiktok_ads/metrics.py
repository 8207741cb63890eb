"""The metrics of a report as a table: each is text, and "-" where there is no value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sandbox.tiktok_ads.accounts import Advertiser
from sandbox.tiktok_ads.campaigns import Campaign
from sandbox.tiktok_ads.figures import Day

NO_VALUE: Final = "-"
PERCENT: Final = 100
PURCHASE_EVERY: Final = 2  # conversions
PURCHASE_VALUE: Final = {"JPY": Decimal(3000)}
PURCHASE_VALUE_ELSEWHERE: Final = Decimal("19.90")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a row is about: an account, and a campaign of it where the report has rows for each."""

    advertiser: Advertiser
    campaign: Campaign | None = None


def count(number: int | None) -> str:
    """A whole number, or no value."""
    return NO_VALUE if number is None else str(number)


def ratio(over: Decimal | int | None, under: int | None, factor: int = 1) -> str:
    """A quotient with two decimals, or no value."""
    return NO_VALUE if over is None or not under else f"{Decimal(over) * factor / under:.2f}"


def purchases(day: Day) -> int | None:
    """Complete payments among the conversions."""
    return None if day.conversions is None else day.conversions // PURCHASE_EVERY


def revenue(day: Day, subject: Subject) -> Decimal | None:
    """What the purchases were worth."""
    made = purchases(day)
    return None if made is None else made * PURCHASE_VALUE.get(subject.advertiser.currency, PURCHASE_VALUE_ELSEWHERE)


def return_on_spend(day: Day, subject: Subject) -> str:
    """Revenue per spent unit of money."""
    earned = revenue(day, subject)
    return NO_VALUE if earned is None or not day.spend else f"{earned / day.spend:.2f}"


def average_value(day: Day, subject: Subject) -> str:
    """What a purchase was worth."""
    return ratio(revenue(day, subject), purchases(day))


def total_value(day: Day, subject: Subject) -> str:
    """What all purchases were worth."""
    earned = revenue(day, subject)
    return NO_VALUE if earned is None else str(earned)


def reach(day: Day) -> int:
    """People, some of whom saw it more than once."""
    return day.impressions * 4 // 5


Formula = Callable[[Day, Subject], str]
COUNTED: Final[Mapping[str, Formula]] = {
    "spend": lambda day, subject: str(day.spend),
    "impressions": lambda day, subject: count(day.impressions),
    "clicks": lambda day, subject: count(day.clicks),
    "ctr": lambda day, subject: ratio(day.clicks, day.impressions, PERCENT),
    "cpc": lambda day, subject: ratio(day.spend, day.clicks),
    "cpm": lambda day, subject: ratio(day.spend, day.impressions, 1000),
    "reach": lambda day, subject: count(reach(day)),
    "frequency": lambda day, subject: ratio(day.impressions, reach(day)),
    "conversion": lambda day, subject: count(day.conversions),
    "real_time_conversion": lambda day, subject: count(day.conversions),
    "result": lambda day, subject: count(day.conversions),
    "cta_conversion": lambda day, subject: count(day.conversions),
    "vta_conversion": lambda day, subject: NO_VALUE,
    "cost_per_conversion": lambda day, subject: ratio(day.spend, day.conversions),
    "cost_per_result": lambda day, subject: ratio(day.spend, day.conversions),
    "conversion_rate": lambda day, subject: ratio(day.conversions, day.clicks, PERCENT),
    "complete_payment": lambda day, subject: count(purchases(day)),
    "value_per_complete_payment": average_value,
    "total_purchase_value": total_value,
    "complete_payment_roas": return_on_spend,
    "video_play_actions": lambda day, subject: count(day.impressions * 9 // 10),
    "video_watched_2s": lambda day, subject: count(day.impressions // 3),
    "video_watched_6s": lambda day, subject: count(day.impressions // 8),
    "average_video_play": lambda day, subject: f"{Decimal(2 + day.clicks % 5):.2f}",
    "likes": lambda day, subject: count(day.clicks // 4),
    "comments": lambda day, subject: count(day.clicks // 40),
    "shares": lambda day, subject: count(day.clicks // 50),
    "follows": lambda day, subject: count(day.clicks // 30),
    "currency": lambda day, subject: subject.advertiser.currency,
}
OF_CAMPAIGNS: Final[Mapping[str, Callable[[Campaign], str]]] = {
    "campaign_name": lambda campaign: campaign.name,
    "objective_type": lambda campaign: campaign.objective_type,
    "campaign_budget": lambda campaign: f"{campaign.budget:.2f}",
}
DEFAULT: Final = ("spend", "impressions")


def measured(names: list[str], day: Day, subject: Subject) -> dict[str, str]:
    """The metrics of a row; an attribute of campaigns needs a subject that is one."""
    return {name: one_metric(name, day, subject) for name in names}


def one_metric(name: str, day: Day, subject: Subject) -> str:
    """One metric."""
    if name in COUNTED:
        return COUNTED[name](day, subject)
    return NO_VALUE if subject.campaign is None else OF_CAMPAIGNS[name](subject.campaign)

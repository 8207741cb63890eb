"""What a campaign did on a day: numbers that follow from its id, the day, and how often the day was restated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal
from hashlib import sha256
from typing import Final

from sandbox.tiktok_ads.campaigns import Campaign

CENT: Final = Decimal("0.01")
YEN_PER_UNIT: Final = 150  # money of a currency without decimals, per unit of one that has them
NO_DECIMALS: Final = frozenset({"JPY"})
NO_CONVERSIONS: Final = frozenset({"REACH", "RF_REACH", "VIDEO_VIEWS"})  # objectives that report "-"
IDLE_ONE_IN: Final = 16  # days without delivery: the report has no row for them


@dataclass(frozen=True, slots=True)
class Day:
    """The counts of a campaign on a day, or their sum. `conversions` is None where none are measured."""

    impressions: int = 0
    clicks: int = 0
    spend: Decimal = Decimal(0)  # major units
    conversions: int | None = None

    def __add__(self, other: Day) -> Day:
        conversions = None
        if self.conversions is not None or other.conversions is not None:
            conversions = (self.conversions or 0) + (other.conversions or 0)
        return Day(
            self.impressions + other.impressions, self.clicks + other.clicks, self.spend + other.spend, conversions
        )

    def shared(self, count: int) -> Iterator[Day]:
        """Into so many parts that add up to it, the first one with what cannot be divided."""
        for place in range(count):
            first = place == 0
            spend = (self.spend / count).quantize(self.spend, ROUND_DOWN)
            conversions = None if self.conversions is None else part(self.conversions, count, first)
            yield Day(
                part(self.impressions, count, first),
                part(self.clicks, count, first),
                self.spend - spend * (count - 1) if first else spend,
                conversions,
            )


def part(whole: int, count: int, first: bool) -> int:
    """One of so many parts of a whole."""
    return whole // count + (whole % count if first else 0)


class Figures:
    """The numbers of all campaigns, and which days were restated."""

    def __init__(self) -> None:
        self._revisions: Counter[tuple[str, date]] = Counter()

    def restate(self, campaign: Campaign, day: date) -> None:
        """From now on that day has other numbers, all of them greater."""
        self._revisions[campaign.id, day] += 1

    def of(self, campaign: Campaign, day: date) -> Day | None:
        """The numbers of a day; None when there was no delivery. A day's spend is below the least daily budget."""
        if not campaign.runs_on(day):
            return None
        chance = sha256(f"{campaign.id} {day}".encode()).digest()
        if chance[0] % IDLE_ONE_IN == 0:
            return None
        revision = self._revisions[campaign.id, day]
        impressions = 1000 + int.from_bytes(chance[1:3]) % 8000 + 11 * revision
        clicks = impressions * (5 + chance[3] % 25) // 1000 + revision
        per_thousand = Decimal(200 + chance[4]) * CENT
        converted = clicks * (2 + chance[5] % 10) // 100 + revision
        return Day(
            impressions,
            clicks,
            money(per_thousand * impressions / 1000, campaign.advertiser.currency),
            None if campaign.objective_type in NO_CONVERSIONS else converted,
        )

    def rows(self, pairs: Iterable[tuple[Campaign, date]]) -> int:
        """On how many of the campaign-days there was delivery."""
        return sum(self.of(campaign, day) is not None for campaign, day in pairs)

    def total(self, pairs: Iterable[tuple[Campaign, date]]) -> Day:
        """The sum over campaign-days."""
        return sum((found for one, day in pairs if (found := self.of(one, day)) is not None), start=Day())


def money(amount: Decimal, currency: str) -> Decimal:
    """An amount in the unit of a currency, with its decimals."""
    if currency in NO_DECIMALS:
        return (amount * YEN_PER_UNIT).quantize(Decimal(1))
    return amount.quantize(CENT)

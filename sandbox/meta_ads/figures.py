"""What a campaign did on a day: made-up numbers that depend on campaign, day and revision only.

A revision is what the provider does to the last weeks: spend is corrected and conversions come in late.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime, timedelta
from typing import Final, TypeVar

from sandbox.meta_ads.people import WHOLE_UNITS
from sandbox.meta_ads.state import Ad, AdSet, Campaign, Meta

Child = TypeVar("Child", AdSet, Ad)
One = TypeVar("One")

IDLE_ONE_IN: Final = 9  # days without delivery, for which there is no row
SPEND_PERCENT: Final = (94, 96, 97, 98, 99, 101, 102)  # of the first figure, after a revision
REACH_PERCENT: Final = 80  # of the impressions of a day; it cannot be summed over days


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers of a day or of a sum; spend and value in minor units."""

    impressions: int = 0
    clicks: int = 0
    link_clicks: int = 0
    reach: int = 0
    spend: int = 0
    purchases: int = 0
    value: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def of_day(campaign_id: str, day: date, revision: int) -> Figures | None:
    """The figures of one campaign on one day, None when nothing was delivered."""
    first = numbers(f"{campaign_id}:{day}")
    if first[0] % IDLE_ONE_IN == 0:
        return None
    impressions = 500 + first[1] % 20_000
    clicks = impressions * (50 + first[2] % 250) // 10_000
    spend = impressions * (300 + first[3] % 900) // 1000
    purchases = clicks * (first[4] % 60) // 1000
    if revision:
        later = numbers(f"{campaign_id}:{day}:{revision}")
        spend = spend * SPEND_PERCENT[later[0] % len(SPEND_PERCENT)] // 100
        purchases += 1 + later[1] % 3
    reach = impressions * REACH_PERCENT // 100
    value = purchases * (2_000 + first[5] % 6_000)
    return Figures(impressions, clicks, clicks * 4 // 5, reach, spend, purchases, value)


def numbers(text: str) -> list[int]:
    """Six numbers that the text fixes."""
    digest = hashlib.sha256(text.encode()).digest()
    return [int.from_bytes(digest[at : at + 4], "big") for at in range(0, 24, 4)]


def delivered(meta: Meta, campaign: Campaign, since: date, until: date, now: float) -> Iterator[tuple[date, Figures]]:
    """The days of a range, in the account's time zone, on which a campaign delivered."""
    account, active = campaign.account, spans(campaign, now)
    if not active:
        return
    for day in days(max(since, active[0][0]), min(until, active[-1][1])):
        if any(first <= day <= last for first, last in active):
            found = of_day(campaign.id, day, meta.revisions[account.id, day])
            if found is not None:
                yield day, found


def delivered_at(
    meta: Meta, campaign: Campaign, level: str, since: date, until: date, now: float
) -> Iterator[tuple[date, Campaign | AdSet | Ad, Figures]]:
    """The same of the campaign itself, of its ad sets or of its ads: the parts of a day are exactly the whole.

    A campaign without ad sets, or an ad set without ads, has no parts.
    """
    for day, whole in delivered(meta, campaign, since, until, now):
        if level == "campaign":
            yield day, campaign, whole
            continue
        for ad_set, share in shared(whole, made_by(meta.sets_of(campaign), day)):
            if level == "adset":
                yield day, ad_set, share
            else:
                yield from ((day, ad, part) for ad, part in shared(share, made_by(meta.ads_of(ad_set), day)))


def made_by(found: Sequence[Child], day: date) -> list[Child]:
    """Those that there were on a day."""
    return [one for one in found if datetime.fromtimestamp(one.created_at, one.account.zone).date() <= day]


def shared(whole: Figures, among: Sequence[One]) -> Iterator[tuple[One, Figures]]:
    """Figures in equal parts, the first ones a little larger where they do not come out even."""
    for number, one in enumerate(among):
        count = len(among)
        yield one, Figures(*(value // count + (number < value % count) for value in astuple(whole)))


def days(since: date, until: date) -> Iterator[date]:
    """Every day of a range, both ends included."""
    for n in range((until - since).days + 1):
        yield since + timedelta(days=n)


def spans(campaign: Campaign, now: float) -> list[tuple[date, date]]:
    """First and last day of each time that a campaign was active until now."""
    times = [
        (max(start, campaign.start_at or start), min(end or now, campaign.stop_at or now, now))
        for start, end in campaign.active
    ]
    return [(local_day(campaign, first), local_day(campaign, last)) for first, last in times if first <= last]


def local_day(campaign: Campaign, at: float) -> date:
    """The day of a moment in the account's time zone."""
    return datetime.fromtimestamp(at, campaign.account.zone).date()


def money(minor: int, currency: str) -> str:
    """An amount as the reports write it: in major units, as a decimal text."""
    return str(minor) if currency in WHOLE_UNITS else f"{minor // 100}.{minor % 100:02d}"

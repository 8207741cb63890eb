"""Reports: what is asked, and the rows that answer it.

https://business-api.tiktok.com/portal/docs?id=1740302848100353
Played are BASIC reports of accounts, campaigns, ad groups and ads, by day or as a sum. What is deleted is missing
unless a filter asks for STATUS_ALL. A day without delivery has no row. What a campaign did, its ad groups did together,
and the ads of an ad group likewise.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sandbox.tiktok_ads.accounts import ADVERTISERS
from sandbox.tiktok_ads.campaign_list import PRIMARY
from sandbox.tiktok_ads.campaigns import Campaign, Campaigns
from sandbox.tiktok_ads.endpoints import Call, Endpoint
from sandbox.tiktok_ads.envelope import Invalid, Refused
from sandbox.tiktok_ads.figures import Day, Figures
from sandbox.tiktok_ads.launches import Child, Launches
from sandbox.tiktok_ads.metrics import COUNTED, DEFAULT, NO_VALUE, OF_CAMPAIGNS, Subject, measured
from sandbox.tiktok_ads.parameters import PAGING, Args, Parameter, Parameters, checked, paged

BY_DAY: Final = "stat_time_day"
SPAN_MAX_DAYS: Final[Mapping[bool, int]] = {True: 30, False: 365}  # by whether the rows are by day
ADVERTISERS_MAX: Final = 5
LEVELS: Final[Mapping[str, str]] = {
    "AUCTION_CAMPAIGN": "campaign_id",
    "AUCTION_ADVERTISER": "advertiser_id",
    "AUCTION_ADGROUP": "adgroup_id",
    "AUCTION_AD": "ad_id",
}
NOUNS: Final[Mapping[str, str]] = {"adgroup_id": "adgroup", "ad_id": "ad"}  # levels below campaigns
STATUS_FILTER: Final = "campaign_status"
STATUS_FILTERS: Final = (STATUS_FILTER, "adgroup_status", "ad_status")
IDS_FILTER: Final = "campaign_ids"
IDS_FILTERS: Final = (IDS_FILTER, "adgroup_ids", "ad_ids")

# What report/integrated/get/ and report/task/create/ share.
QUESTION: Final[Parameters] = {
    "advertiser_id": Parameter("id"),
    "advertiser_ids": Parameter("ids"),
    "report_type": Parameter("text", required=True, choices=("BASIC",)),
    "data_level": Parameter("text", choices=LEVELS),
    "dimensions": Parameter("texts", required=True),
    "metrics": Parameter("texts"),
    "start_date": Parameter("date"),
    "end_date": Parameter("date"),
    "query_lifetime": Parameter("flag"),
    "filtering": Parameter("objects"),
    "service_type": Parameter("text", choices=("AUCTION",)),
    "order_field": Parameter("text"),
    "order_type": Parameter("text", choices=("ASC", "DESC")),
}
SYNC: Final[Parameters] = {
    **QUESTION,
    **PAGING,
    "enable_total_metrics": Parameter("flag"),
    "multi_adv_report_in_utc_time": Parameter("flag"),
    "query_mode": Parameter("text", choices=("REGULAR", "CHUNK")),
}
FILTER: Final[Parameters] = {
    "field_name": Parameter("text", required=True, choices=(*STATUS_FILTERS, *IDS_FILTERS)),
    "filter_type": Parameter("text", required=True, choices=("IN",)),
    "filter_value": Parameter("text", required=True),
}


@dataclass(frozen=True, slots=True)
class Question:
    """A report that makes sense; `since` None is the whole life."""

    advertiser_ids: tuple[str, ...]
    dimensions: tuple[str, ...]
    metrics: list[str]
    since: date | None
    until: date
    allowed: Callable[[Campaign], bool]
    children: Callable[[Child], bool]
    order_field: str | None
    descending: bool

    @property
    def by_day(self) -> bool:
        """Whether every day has rows of its own."""
        return BY_DAY in self.dimensions

    @property
    def by_campaign(self) -> bool:
        """Whether every campaign has rows of its own."""
        return LEVELS["AUCTION_CAMPAIGN"] in self.dimensions

    @property
    def noun(self) -> str | None:
        """What has rows of its own, below campaigns."""
        return next((NOUNS[name] for name in self.dimensions if name in NOUNS), None)


class Reports:
    """Answers questions; `rows_max` is what a report may have at most, None for no limit."""

    def __init__(self, campaigns: Campaigns, figures: Figures, launches: Launches) -> None:
        self.rows_max: int | None = None
        self._launches = launches
        self._campaigns = campaigns
        self._figures = figures

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this part answers."""
        return (Endpoint("GET", "report/integrated/get/", self.integrated, SYNC),)

    def integrated(self, call: Call) -> dict[str, Any]:
        """One page of a report, computed at once."""
        asked = question(call.args, call.now)
        rows = self.rows(asked, call.now)
        if self.rows_max is not None and len(rows) > self.rows_max:
            raise Refused("report_too_large")
        page, info = paged(rows, call.args)
        total = {"total_metrics": self._total(asked, call.now)} if call.args.get("enable_total_metrics") else {}
        return {"list": page, "page_info": info, **total}

    def rows(self, asked: Question, now: float) -> list[dict[str, Any]]:
        """All rows: by day and then newest campaign first, unless the question says otherwise."""
        sums: dict[tuple[str, str], Day] = defaultdict(Day)
        subjects: dict[str, Subject] = {}
        for campaign, day in self._campaign_days(asked, now):
            found = self._figures.of(campaign, day)
            for of, part in self._parts(asked, campaign, found) if found is not None else ():
                subjects[of] = Subject(campaign.advertiser, campaign if asked.by_campaign else None)
                sums[str(day) if asked.by_day else "", of] += part
        usual = sorted(sorted(sums, key=lambda key: int(key[1]), reverse=True), key=lambda key: key[0])
        rows = [row(asked, day, of, measured(asked.metrics, sums[day, of], subjects[of])) for day, of in usual]
        return ordered(rows, asked)

    def _parts(self, asked: Question, campaign: Campaign, found: Day) -> Iterator[tuple[str, Day]]:
        """A campaign's day by what has rows of its own."""
        if asked.noun is None:
            yield campaign.id if asked.by_campaign else campaign.advertiser.id, found
            return
        groups = self._launches.of("adgroup", campaign)
        for group, part in zip(groups, found.shared(len(groups)), strict=True):
            ads = [ad for ad in self._launches.of("ad", campaign) if ad.group is group]
            shares = [(group, part)] if asked.noun == "adgroup" else zip(ads, part.shared(len(ads)), strict=True)
            yield from ((child.id, share) for child, share in shares if asked.children(child))

    def _campaign_days(self, asked: Question, now: float) -> Iterator[tuple[Campaign, date]]:
        """The days of the campaigns in question, none of them in the future of the account."""
        for campaign in self._campaigns.of(*asked.advertiser_ids):
            if asked.allowed(campaign):
                until = min(asked.until, campaign.advertiser.today(now))
                days = campaign.days(until)
                yield from ((campaign, day) for day in days if asked.since is None or day >= asked.since)

    def _total(self, asked: Question, now: float) -> dict[str, str]:
        total = self._figures.total(self._campaign_days(asked, now))
        return measured(asked.metrics, total, Subject(ADVERTISERS[asked.advertiser_ids[0]]))


def question(args: Args, now: float, span_max_days: Mapping[bool, int] = SPAN_MAX_DAYS) -> Question:
    """What is asked; raises Invalid."""
    advertiser_ids = tuple(args.get("advertiser_ids") or filter(None, [args.get("advertiser_id")]))
    if not 1 <= len(advertiser_ids) <= ADVERTISERS_MAX:
        raise Invalid(f"advertiser_id: one is needed, or advertiser_ids with at most {ADVERTISERS_MAX}.")
    dimensions = tuple(args["dimensions"])
    check_dimensions(dimensions, args.get("data_level"))
    since, until = span(args, BY_DAY in dimensions, span_max_days[BY_DAY in dimensions])
    metrics = args.get("metrics") or list(DEFAULT)
    check_metrics(metrics, dimensions)
    check_order(args.get("order_field"), dimensions, metrics)
    latest = max(ADVERTISERS[one].today(now) for one in advertiser_ids)
    return Question(
        advertiser_ids=advertiser_ids,
        dimensions=dimensions,
        metrics=metrics,
        since=since,
        until=latest if until is None else until,
        allowed=filters(args.get("filtering", []), whole=not set(dimensions).isdisjoint(NOUNS)),
        children=child_filters(args.get("filtering", [])),
        order_field=args.get("order_field"),
        descending=args.get("order_type", "DESC") == "DESC",
    )


def check_dimensions(dimensions: tuple[str, ...], level: str | None) -> None:
    """Raise Invalid unless there is the id of the level, and at most the day beside it."""
    if level is None:
        raise Invalid("data_level: Missing data for required field.")
    if sorted(dimensions) not in ([LEVELS[level]], sorted([LEVELS[level], BY_DAY])):
        raise Invalid(f"dimensions: {level} takes {LEVELS[level]}, alone or with {BY_DAY}.")


def check_metrics(metrics: list[str], dimensions: tuple[str, ...]) -> None:
    """Raise Invalid for a metric that is unknown, or not of this level."""
    known = set(COUNTED) | (set(OF_CAMPAIGNS) if LEVELS["AUCTION_CAMPAIGN"] in dimensions else set())
    unknown = [name for name in metrics if name not in known]
    if unknown:
        raise Invalid(f"metrics: {', '.join(unknown)} cannot be had here.")


def check_order(field: str | None, dimensions: tuple[str, ...], metrics: list[str]) -> None:
    """Raise Invalid for an order by what is not in the rows."""
    if field is not None and field not in (*dimensions, *metrics):
        raise Invalid("order_field: must be one of the dimensions or metrics.")


def span(args: Args, by_day: bool, max_days: int) -> tuple[date | None, date | None]:
    """First and last day; none for a whole life. Raises Invalid for one that is too long."""
    if args.get("query_lifetime"):
        if by_day:
            raise Invalid(f"query_lifetime: not with {BY_DAY}.")
        return None, None
    if "start_date" not in args or "end_date" not in args:
        raise Invalid("start_date, end_date: Missing data for required field.")
    since, until = date.fromisoformat(args["start_date"]), date.fromisoformat(args["end_date"])
    if until < since:
        raise Invalid("end_date: must not be before start_date.")
    if until - since >= timedelta(max_days):
        raise Invalid(f"end_date: the time span must not be more than {max_days} days.")
    return since, until


def filters(given: Iterable[Mapping[str, Any]], *, whole: bool = False) -> Callable[[Campaign], bool]:
    """Which campaigns count; raises Invalid. `whole`: deleted ones too, for what is below them."""
    values = {STATUS_FILTER: ["STATUS_ALL" if whole else "STATUS_NOT_DELETE"]}
    for one in given:
        checked(one, FILTER)
        values[one["field_name"]] = filter_value(one["filter_value"])
    unknown = [name for name in values[STATUS_FILTER] if name not in PRIMARY]
    if unknown:
        raise Invalid(f"filtering: there is no status {', '.join(unknown)}.")
    statuses = {status for name in values[STATUS_FILTER] for status in PRIMARY[name]}
    ids = values.get(IDS_FILTER)
    return lambda campaign: campaign.status in statuses and (ids is None or campaign.id in ids)


def child_filters(given: Iterable[Mapping[str, Any]]) -> Callable[[Child], bool]:
    """Which ad groups or ads count."""
    values = {one["field_name"]: filter_value(one["filter_value"]) for one in given}

    def counts(child: Child) -> bool:
        ids = values.get(f"{child.noun}_ids")
        shown = child.status != "DELETE" or "STATUS_ALL" in values.get(f"{child.noun}_status", ())
        return shown and (ids is None or child.id in ids)

    return counts


def filter_value(text: str) -> list[str]:
    """The strings in a `filter_value`, which is JSON in a string; raises Invalid."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Invalid("filtering: filter_value must be a JSON array of strings, in a string.")
    return value


def row(asked: Question, day: str, of: str, metrics: Mapping[str, str]) -> dict[str, Any]:
    """A row as the API shows it."""
    dimensions = {name: f"{day} 00:00:00" if name == BY_DAY else of for name in asked.dimensions}
    return {"dimensions": dimensions, "metrics": metrics}


def ordered(rows: list[dict[str, Any]], asked: Question) -> list[dict[str, Any]]:
    """The rows in the order asked for; those without a value are the least."""
    if asked.order_field is None:
        return rows
    part = "dimensions" if asked.order_field in asked.dimensions else "metrics"
    return sorted(rows, key=lambda one: sortable(one[part][asked.order_field]), reverse=asked.descending)


def sortable(text: str) -> tuple[Decimal, str]:
    """Numbers by their size, all else by its letters."""
    try:
        return Decimal(text), ""
    except InvalidOperation:
        return Decimal("-Infinity"), "" if text == NO_VALUE else text

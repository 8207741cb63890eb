"""The whole platform put together: its parts, its doors, its bill, and what may be done there by other means."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from sandbox.routes import Action, StandIn, action
from sandbox.tiktok_ads.accounts import ADVERTISERS, Grants, check_secret
from sandbox.tiktok_ads.campaign_writes import CampaignDoors, check_not_deleted
from sandbox.tiktok_ads.campaigns import Campaign, Campaigns, Status, campaign_json
from sandbox.tiktok_ads.conversions import Conversions
from sandbox.tiktok_ads.dialog import Dialog
from sandbox.tiktok_ads.endpoints import Endpoint, Gateway
from sandbox.tiktok_ads.envelope import FAULTS, Refused
from sandbox.tiktok_ads.figures import Figures
from sandbox.tiktok_ads.launches import Launches
from sandbox.tiktok_ads.library import Library
from sandbox.tiktok_ads.limits import Limits
from sandbox.tiktok_ads.oauth import OAuth
from sandbox.tiktok_ads.report_tasks import FAILED, POLLS, SUCCESS, ReportTasks
from sandbox.tiktok_ads.reports import Reports
from sandbox.tiktok_ads.webhooks import Webhooks

STATUSES: Final[Mapping[str, Status]] = {"ENABLE": "ENABLE", "DISABLE": "DISABLE", "DELETE": "DELETE"}


class TikTok:
    """One platform: what its endpoints and its own screens share. `clock` gives unix seconds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.grants = Grants()
        self.limits = Limits()
        self.figures = Figures()
        self.campaigns = Campaigns(clock())
        self.library = Library()
        self.launches = Launches(self.campaigns, self.library)
        self.reports = Reports(self.campaigns, self.figures, self.launches)
        self.tasks = ReportTasks(self.reports)
        self.conversions = Conversions()
        self.webhooks = Webhooks(self.grants, clock)
        self.dialog = Dialog(self.grants)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """All operations of the API."""
        return (
            *OAuth(self.grants).endpoints(),
            *CampaignDoors(self.campaigns, self.figures).endpoints(),
            *self.library.endpoints(),
            *self.launches.endpoints(),
            *self.reports.endpoints(),
            *self.tasks.endpoints(),
            *self.conversions.endpoints(),
            *self.webhooks.endpoints(),
        )

    def stand_in(self) -> StandIn:
        """Its doors."""
        gateway = Gateway(self.endpoints(), self.grants, self.limits)
        return StandIn(
            routes=(*gateway.routes(), *self.dialog.routes(), *self.tasks.routes(), *self.library.routes()),
            bill=self.bill,
            faults=FAULTS,
            actions=self.actions(),
        )

    def bill(self) -> dict[str, int]:
        """What was made here through the API; empty when nothing was."""
        counts = {
            "campaigns_created": self.campaigns.created,
            "ad_groups_created": self.launches.created["adgroup"],
            "ads_created": self.launches.created["ad"],
            "images_uploaded": len(self.library.images),
            "videos_uploaded": len(self.library.videos),
            "events_received": self.conversions.received,
            "events_distinct": self.conversions.distinct,
            "test_events": self.conversions.tests,
            "code_exchanges": self.grants.exchanges,
        }
        return counts if any(counts.values()) else {}

    def actions(self) -> dict[str, Action]:
        """What may be done beyond the API, by name."""
        ours = (
            self.issue_token,
            self.revoke,
            self.totals,
            self.create_campaign,
            self.set_status,
            self.delete_campaign,
            self.set_limits,
            self.traffic,
            self.restate,
            self.set_polls,
        )
        return {**{one.__name__: action(one) for one in ours}, "send_webhook": action(self.webhooks.send_webhook)}

    def issue_token(self, app_id: str, secret: str, advertiser_ids: Sequence[str] | None = None) -> str:
        """A token as if the dialog had been confirmed; for all accounts unless some are named."""
        try:
            check_secret(secret)
        except Refused as refused:
            raise ValueError(refused.message) from None
        chosen = tuple(ADVERTISERS) if advertiser_ids is None else tuple(advertiser_ids)
        return self.grants.issue(app_id, [known_advertiser(one) for one in chosen])

    def revoke(self, token: str | None = None, app_id: str | None = None) -> dict[str, int]:
        """The advertiser takes back a token, or all tokens of an app; how many live ones ended."""
        return {"revoked": self.grants.revoke(token, app_id)}

    def totals(self, advertiser: str, since: str, until: str) -> dict[str, Any]:
        """What all campaigns did on these days, deleted ones too; `spend` is a decimal in a string."""
        pairs = list(self._campaign_days(advertiser, since, until))
        total = self.figures.total(pairs)
        return {
            "rows": self.figures.rows(pairs),
            "impressions": total.impressions,
            "clicks": total.clicks,
            "spend": str(total.spend),
            "conversions": total.conversions or 0,
        }

    def create_campaign(
        self, advertiser: str, name: str, objective_type: str = "TRAFFIC", operation_status: str = "ENABLE"
    ) -> dict[str, Any]:
        """Somebody makes a campaign in the Ads Manager."""
        made = self.campaigns.add(known_advertiser(advertiser), name, objective_type, self._clock())
        return self.set_status(advertiser, made.id, operation_status)

    def set_status(self, advertiser: str, campaign_id: str, operation_status: str) -> dict[str, Any]:
        """Somebody enables, disables or deletes a campaign in the Ads Manager."""
        if operation_status not in STATUSES:
            raise ValueError(f"operation_status is one of {', '.join(STATUSES)}")
        campaign = self._campaign(advertiser, campaign_id)
        campaign.set_status(STATUSES[operation_status], self._clock())
        return campaign_json(campaign)

    def delete_campaign(self, advertiser: str, campaign_id: str) -> dict[str, Any]:
        """Somebody deletes a campaign in the Ads Manager."""
        return self.set_status(advertiser, campaign_id, "DELETE")

    def set_limits(self, qps: int | None = None, report_rows: int | None = None) -> dict[str, int | None]:
        """Requests per second of an app, and rows of a report; None is no limit."""
        for name, value in (("qps", qps), ("report_rows", report_rows)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is a whole number of 1 or more, or null")
        self.limits.qps, self.reports.rows_max = qps, report_rows
        return {"qps": qps, "report_rows": report_rows}

    def traffic(self) -> dict[str, Any]:
        """By app: requests, how many were refused as too many, and the most within one second."""
        return self.limits.as_json()

    def restate(self, advertiser: str, since: str, until: str, campaign_id: str | None = None) -> dict[str, int]:
        """Late attribution: the numbers of these days become other ones, of one campaign or of all."""
        changed = 0
        for campaign, day in self._campaign_days(advertiser, since, until):
            if campaign_id in (None, campaign.id) and self.figures.of(campaign, day) is not None:
                self.figures.restate(campaign, day)
                changed += 1
        return {"restated": changed}

    def set_polls(self, polls: int = POLLS, end: str = SUCCESS) -> dict[str, Any]:
        """How often the report tasks to come are not ready yet, and how they end: SUCCESS or FAILED."""
        if not isinstance(polls, int) or polls < 0 or end not in (SUCCESS, FAILED):
            raise ValueError(f"polls is a whole number of 0 or more, end {SUCCESS} or {FAILED}")
        self.tasks.polls, self.tasks.end = polls, end
        return {"polls": polls, "end": end}

    def _campaign(self, advertiser: str, campaign_id: str) -> Campaign:
        """A campaign that is not deleted; raises ValueError."""
        try:
            found = self.campaigns.get(known_advertiser(advertiser), campaign_id)
            check_not_deleted(found)
            return found
        except Refused as refused:
            raise ValueError(refused.message) from None

    def _campaign_days(self, advertiser: str, since: str, until: str) -> Iterator[tuple[Campaign, date]]:
        first, last = date.fromisoformat(str(since)), date.fromisoformat(str(until))
        last = min(last, ADVERTISERS[known_advertiser(advertiser)].today(self._clock()))
        for campaign in self.campaigns.of(advertiser):
            yield from ((campaign, day) for day in campaign.days(last) if day >= first)


def known_advertiser(advertiser_id: str) -> str:
    """The id of an account that is there; raises ValueError."""
    if advertiser_id not in ADVERTISERS:
        raise ValueError(f"there is no advertiser {advertiser_id}; there are {', '.join(ADVERTISERS)}")
    return advertiser_id


def stand_in() -> StandIn:
    """A fresh TikTok: nobody has a token, the accounts have their first campaigns."""
    return TikTok().stand_in()

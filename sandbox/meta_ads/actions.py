"""What a test or the demo may do here beyond HTTP: as a person, on the platform's own pages, as the operator."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import urlencode

from sandbox.meta_ads.campaigns import EFFECTIVE, OBJECTIVES
from sandbox.meta_ads.errors import PROBLEMS
from sandbox.meta_ads.figures import Figures, days, delivered, money
from sandbox.meta_ads.insights import OUTCOMES
from sandbox.meta_ads.nodes import STATUSES
from sandbox.meta_ads.oauth import SCOPES, new_token
from sandbox.meta_ads.people import ACCOUNTS, account_named, owner_of_pixel, person_named
from sandbox.meta_ads.state import LEAD_ID, Ad, AdSet, Campaign, Lead, Meta
from sandbox.meta_ads.webhooks import AD_ACCOUNT, notify, signed_request
from sandbox.outgoing import send
from sandbox.routes import Action, action

DEFAULT_SCOPES: Final = ("ads_management", "ads_read", "business_management")
RESTATED_DAYS: Final = 28
USAGE_HEADERS: Final = {
    "app_usage": "x-app-usage",
    "ad_account_usage": "x-ad-account-usage",
    "business_use_case_usage": "x-business-use-case-usage",
    "insights_throttle": "x-fb-ads-insights-throttle",
}


class Actions:
    """The actions on one provider; the parameters of each are the fields of its JSON object."""

    def __init__(self, meta: Meta) -> None:
        self._meta = meta

    def table(self) -> Mapping[str, Action]:
        """All of them by name."""
        return {name: action(getattr(self, name)) for name in NAMES}

    def issue_token(
        self,
        app_id: str,
        app_secret: str,
        person: str,
        scopes: Sequence[str] = DEFAULT_SCOPES,
        expires_in_s: float | None = None,
    ) -> str:
        """A person's token for an app without the dialog; without a life it lives as long as a long-lived one."""
        life_s = self._meta.settings.long_life_s if expires_in_s is None else expires_in_s
        who = person_named(person).id
        return new_token(self._meta, app_id, app_secret, who, known_scopes(scopes), life_s, time.time()).value

    def revoke(self, person: str, error: str = "revoked") -> int:
        """The person's tokens end with an error of the table (revoked, token_password, ...); how many there were."""
        who = person_named(person).id
        if error not in PROBLEMS:
            raise ValueError(f"no error is named {error!r}")
        tokens = [one for one in self._meta.tokens.values() if one.person == who and one.revoked is None]
        for token in tokens:
            token.revoked = error
        return len(tokens)

    def set_token_life(
        self, code_s: float | None = None, short_s: float | None = None, long_s: float | None = None
    ) -> None:
        """How long codes, short-lived and long-lived tokens made from now on live, in seconds."""
        given = {"code_life_s": code_s, "short_life_s": short_s, "long_life_s": long_s}
        self._adjust(**{name: value for name, value in given.items() if value is not None})

    def set_limits(
        self, page_rows: int | None = None, response_rows: int | None = None, query_rows: int | None = None
    ) -> None:
        """The longest page; pages and whole results that are too much data. What is not given has no limit."""
        self._adjust(page_rows=page_rows, response_rows=response_rows, query_rows=query_rows)

    def set_reports(self, polls: int = 2, outcome: str = OUTCOMES[0]) -> None:
        """How reports begun from now on go: so many polls that find them running, then their outcome."""
        if outcome not in OUTCOMES:
            raise ValueError(f"a report ends as one of {', '.join(OUTCOMES)}")
        self._adjust(report_polls=polls, report_outcome=outcome)

    def forget_reports(self) -> int:
        """All reports are gone, as after some weeks; how many there were."""
        count = len(self._meta.runs)
        self._meta.runs.clear()
        return count

    def set_usage(self, account: str | None = None, **usage: Mapping[str, Any]) -> None:
        """The usage headers of all answers, or of those about one account; those not given are not sent."""
        unknown = set(usage) - set(USAGE_HEADERS)
        if unknown:
            raise ValueError(f"no usage is named {', '.join(sorted(unknown))}; there are {', '.join(USAGE_HEADERS)}")
        key = None if account is None else account_named(account).id
        self._meta.usage[key] = {USAGE_HEADERS[name]: json.dumps(value) for name, value in usage.items()}

    def totals(self, account: str, since: str, until: str) -> dict[str, Any]:
        """The figures of an account summed over its campaigns' days; spend in major units."""
        found = account_named(account)
        now = time.time()
        rows = [
            figures
            for campaign in self._meta.of_account(found)
            for _, figures in delivered(self._meta, campaign, day(since), day(until), now)
        ]
        whole = sum(rows, Figures())
        return {
            "rows": len(rows),
            "impressions": whole.impressions,
            "clicks": whole.clicks,
            "spend": money(whole.spend, found.currency),
            "conversions": whole.purchases,
        }

    def restate(self, account: str, since: str | None = None, until: str | None = None) -> int:
        """Correct the figures of days among the last 28 (all, unless given); how many days that are."""
        found = account_named(account)
        today = datetime.now(found.zone).date()
        oldest = date.fromordinal(today.toordinal() - RESTATED_DAYS + 1)
        first, last = day(since) if since else oldest, day(until) if until else today
        if not oldest <= first <= last <= today:
            raise ValueError(f"only days from {oldest} to {today} are restated")
        changed = list(days(first, last))
        self._meta.revisions.update((found.id, one) for one in changed)
        return len(changed)

    def campaigns(self, account: str) -> list[dict[str, str]]:
        """All campaigns of an account, oldest first, deleted ones too."""
        return [named(one) for one in self._meta.of_account(account_named(account))]

    def create_campaign(
        self,
        account: str,
        name: str,
        objective: str = "OUTCOME_TRAFFIC",
        status: str = "ACTIVE",
        daily_budget: int = 5_000,
    ) -> str:
        """A campaign made on the platform's own pages: its id; not on the bill."""
        found, now = account_named(account), time.time()
        one_of(objective, OBJECTIVES)
        campaign = Campaign(
            self._meta.next_id(found), found, name, objective, "PAUSED", now, now, daily_budget=daily_budget
        )
        campaign.turn(one_of(status, STATUSES), now)
        self._meta.campaigns[campaign.id] = campaign
        return campaign.id

    def update_campaign(
        self,
        campaign: str,
        name: str | None = None,
        status: str | None = None,
        daily_budget: int | None = None,
        effective_status: str | None = None,
    ) -> None:
        """A change on the platform's own pages, or trouble (`effective_status`) that the platform found."""
        found, now = self._campaign(campaign), time.time()
        if name is not None:
            found.name = name
        if daily_budget is not None:
            found.daily_budget = daily_budget
        if effective_status is not None:
            found.trouble = one_of(effective_status, EFFECTIVE)
        if status is not None:
            found.turn(one_of(status, STATUSES), now)
        found.updated_at = now

    def delete_campaign(self, campaign: str) -> None:
        """A campaign deleted on the platform's own pages."""
        self.update_campaign(campaign, status="DELETED")

    def ad_sets(self, campaign: str) -> list[dict[str, str]]:
        """All ad sets of a campaign, oldest first, deleted ones too."""
        return [named(one) for one in self._meta.sets_of(self._campaign(campaign))]

    def ads(self, ad_set: str) -> list[dict[str, str]]:
        """All ads of an ad set, oldest first, deleted ones too."""
        found = self._meta.ad_sets.get(ad_set)
        if found is None:
            raise ValueError(f"no ad set {ad_set!r}")
        return [named(one) for one in self._meta.ads_of(found)]

    def set_videos(self, looks: int = 1) -> None:
        """How many looks find a video of now on still being encoded."""
        self._adjust(video_looks=looks)

    def create_lead(
        self,
        page: str,
        fields: Mapping[str, Sequence[str]],
        ad: str | None = None,
        form: str = "888000000000001",
    ) -> str:
        """Somebody fills in a form of a page, below an ad or without one: the lead's id."""
        if page not in {account.page for account in ACCOUNTS.values()}:
            raise ValueError(f"no page {page!r}")
        if ad is not None and ad not in self._meta.ads:
            raise ValueError(f"no ad {ad!r}")
        written = {name: list(values) for name, values in fields.items()}
        below = None if ad is None else self._meta.ads[ad]
        lead = Lead(self._meta.next_of("leads", LEAD_ID), page, form, below, written, time.time())
        self._meta.leads[lead.id] = lead
        return lead.id

    def events(self, pixel: str) -> dict[str, int]:
        """How often each event of a pixel came, by `<event_name>/<event_id>`."""
        if owner_of_pixel(pixel) is None:
            raise ValueError(f"no pixel {pixel!r}")
        return dict(self._meta.events.get(pixel, {}))

    async def send_webhook(
        self,
        app_id: str,
        field: str,
        value: Any,
        entry_id: str,
        object: str = AD_ACCOUNT,
        time_s: int | None = None,
    ) -> dict[str, Any]:
        """Send a signed message to the app's callback; a list as `value` is several changes in one message.

        Answers `{"status", "answer", "body", "signature"}`; the same `time_s` again is the same message again."""
        at = int(time.time()) if time_s is None else time_s
        found = value if isinstance(value, list) else [value]
        return await notify(self._meta, app_id, object, field, found, str(entry_id).removeprefix("act_"), at)

    async def send_signed_request(
        self, url: str, app_secret: str, person: str, issued_at_s: int | None = None
    ) -> dict[str, Any]:
        """POST a `signed_request` to an app's deauthorize or data-deletion callback."""
        at = int(time.time()) if issued_at_s is None else issued_at_s
        signed = signed_request(app_secret, person_named(person).id, at)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        status, answer = await send("POST", url, headers, urlencode({"signed_request": signed}).encode())
        return {"status": status, "answer": answer.decode("utf-8", "replace"), "signed_request": signed}

    def _campaign(self, campaign: str) -> Campaign:
        found = self._meta.campaigns.get(campaign)
        if found is None:
            raise ValueError(f"no campaign {campaign!r}")
        return found

    def _adjust(self, **changes: Any) -> None:
        self._meta.settings = replace(self._meta.settings, **changes)


NAMES: Final = tuple(name for name in vars(Actions) if not name.startswith("_") and name != "table")


def named(one: Campaign | AdSet | Ad) -> dict[str, str]:
    """What lists of these actions say of an object."""
    return {"id": one.id, "name": one.name, "status": one.status, "effective_status": one.effective_status}


def known_scopes(scopes: Sequence[str]) -> set[str]:
    """The scopes, if all exist; raises ValueError."""
    unknown = set(scopes) - SCOPES
    if unknown:
        raise ValueError(f"no scope is named {', '.join(sorted(unknown))}")
    return set(scopes)


def one_of(value: str, known: frozenset[str]) -> str:
    """The value, if it is one of those known; raises ValueError."""
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(sorted(known))}")
    return value


def day(text: str) -> date:
    """A day as YYYY-MM-DD; raises ValueError."""
    return date.fromisoformat(text)

"""The demo's ad platforms: two accounts connected through their login pages, and everything that may happen to them.

One tenant of its own, so that its few events can be told apart. Every scene ends in what both sides say: the mesh's
rows, and what the platform counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import db.audit
import db.cursors
import db.integrations
import db.links
import db.tenants
from cli import local_door, session
from cli.demo_browser import Browser
from cli.demo_ledger import Check
from cli.demo_scenes import PATIENCE_S, NotInTime, Scenes
from cli.demo_world import hook
from cli.local_door import Login
from cli.stack import SANDBOX_APP
from tasks.events import publish, publish_many
from worker.oauth import Connected, OAuth
from worker.syncs import sync_now

TENANT, TENANT_NAME = "orbit", "Orbit Travel"
CAMPAIGN: Mapping[str, Any] = {
    "campaign_id": "cmp_orbit_1",
    "name": "Winter sun",
    "objective": "traffic",
    "budget": 75,
    "budget_kind": "daily",
    "currency": "EUR",
}
DAYS = 90
CONVERSIONS = 20  # one by one, and BATCH more in one event
BATCH = 30
STORM_CONVERSIONS = 30
STORM_REFUSALS = (
    5  # answers of each platform; more would meet second tries too, and third ones come after half a minute
)


@dataclass(frozen=True, slots=True)
class Platform:
    """One ad platform in the sandbox: whose login is played, which account is used, and how it refuses."""

    name: str
    title: str
    button: str  # of its login page, that lets us in
    account: str
    pixel: Mapping[str, str]
    refusal: str | Mapping[str, Any]  # the answer that asks us to slow down
    revoke: Mapping[str, str]  # whose tokens end


PLATFORMS = (
    Platform(
        name="meta_ads",
        title="Meta Ads",
        button="Continue",
        account="2345678901",
        pixel={"pixel_id": "976543210987654"},
        refusal={
            "status": 400,
            "headers": {"x-ad-account-usage": '{"acc_id_util_pct": 100, "reset_time_duration": 2}'},
            "body": {"error": {"message": "(#613) Calls to this API have exceeded the rate limit.", "code": 613}},
        },
        revoke={"person": "10001"},
    ),
    Platform(
        name="tiktok_ads",
        title="TikTok Ads",
        button="Confirm",
        account="7311111111111111111",
        pixel={"pixel_code": "CHALDENEU0000000001"},
        refusal="tiktok_ads:rate_limited",
        revoke={"app_id": SANDBOX_APP["_api_key"]},
    ),
)


@dataclass
class Account:
    """One connected account, and what the demo's table tells of it."""

    platform: Platform
    integration_id: UUID
    story: dict[str, str] = field(default_factory=dict)


@dataclass
class Ads(Scenes):
    """The whole part: its accounts, and what was checked."""

    accounts: list[Account] = field(default_factory=list)

    def play(self) -> None:
        """All scenes, in the order in which a product meets them."""
        try:
            with local_door.logins() as logins:
                self._connect(logins)
                self._campaign()
                self._sync()
                self._convert()
                self._revoke(logins)
            self._storm()
            self.say("done")
        except NotInTime as late:
            self.checks.append(Check("the ad platforms' scenes were played to their end", (str(late),)))

    # ------------------------------------------------------------------------------------------------------- scenes

    def _connect(self, logins: OAuth) -> None:
        """Through the platforms' own pages, as a person would."""
        self.say("connecting them through their login pages")
        with session.transaction() as connection:
            db.tenants.create(connection, TENANT, TENANT_NAME)
            hook(connection, TENANT, "*", f"{self.sandbox_url}/zapier/hooks/standard/{TENANT}/everything")
        for platform in PLATFORMS:
            connected = _log_in(logins, platform)
            account = Account(platform, connected.integration_id)
            account.story["account"] = connected.chosen.name if connected.chosen else "none"
            self.accounts.append(account)
        self.check(
            "both ad platforms connected through their login pages, each with the account that was chosen",
            [f"{each.platform.title} is {each_state}" for each, each_state in self._states() if each_state != "active"],
        )

    def _campaign(self) -> None:
        """One event, a campaign on both."""
        self.say("creating one campaign on both, from one campaign.created")
        publish("campaign.created", TENANT, CAMPAIGN, id="orbit-campaign")
        self.until_settled("orbit-campaign")
        wrong = []
        for account in self.accounts:
            link = self._link(account)
            account.story["campaign created"] = f"{link.external_id} {link.external_state}" if link else "none"
            made = self.control.bill().get(account.platform.name, {}).get("campaigns_created", 0)
            if link is None or made != 1:
                wrong.append(f"{account.platform.title} made {made} campaigns, {'one' if link else 'none'} is linked")
        self.check("one campaign.created made one campaign on each, linked to the product's own", wrong)

    def _sync(self) -> None:
        """The first sync of an account reads ninety days."""
        self.say(f"syncing {DAYS} days of insights")
        self.control.do("meta_ads", "set_reports", polls=0)  # else it takes a minute that shows nothing
        self.control.do("tiktok_ads", "set_polls", polls=0)
        with session.transaction() as connection:
            syncs = [each for a in self.accounts for each in sync_now(connection, a.integration_id)]
        self.until(lambda: self.settled([each.event_id for each in syncs]), "the first syncs end")
        wrong = []
        for account in self.accounts:
            ours, theirs = self._ours(account), self._theirs(account)
            account.story[f"{DAYS} days of insights"] = f"{ours['rows']} rows, {ours['spend']:,.2f} EUR"
            wrong += [
                f"{account.platform.title}: {name} is {ours[name]}, the platform says {theirs[name]}"
                for name in ours
                if ours[name] != theirs[name]
            ]
        self.check(f"{DAYS} days of insights of both, row for row and cent for cent what the platforms count", wrong)

    def _convert(self) -> None:
        """Conversions one by one, and many in one event."""
        self.say("sending conversions")
        singles = [_conversion(f"single-{n}") for n in range(CONVERSIONS)]
        publish_many(
            [
                {
                    "type": "attribution.event",
                    "tenant_id": TENANT,
                    "data": each,
                    "id": f"orbit-{each['attribution_id']}",
                }
                for each in singles
            ]
        )
        batch = [_conversion(f"batch-{n}") for n in range(BATCH)]
        publish("attribution.batch", TENANT, {"conversions": batch}, id="orbit-batch")
        self.until_settled("orbit-batch", *(f"orbit-{each['attribution_id']}" for each in singles))
        sent = CONVERSIONS + BATCH
        self._count_conversions(
            "conversions", sent, f"{sent} conversions sent to each before the storm, each counted once"
        )

    def _revoke(self, logins: OAuth) -> None:
        """Somebody takes the permission back; later an account is connected again."""
        self.say("revoking both tokens, and connecting again")
        for platform in PLATFORMS:
            self.control.do(platform.name, "revoke", **platform.revoke)
        publish("campaign.paused", TENANT, {"campaign_id": CAMPAIGN["campaign_id"]}, id="orbit-paused")
        self.until(lambda: {state for _, state in self._states()} == {"needs_reconnect"}, "revoked tokens are noticed")
        self.until(lambda: all(map(self._waiting, self.accounts)), "what cannot be done waits")
        parked = {each.integration_id: self._waiting(each) for each in self.accounts}
        for platform in PLATFORMS:
            _log_in(logins, platform)
        self.until_settled("orbit-paused")
        wrong = []
        for account in self.accounts:
            link, waited = self._link(account), parked[account.integration_id]
            account.story["token revoked"] = f"{waited} waited, delivered after reconnecting"
            if waited != 1 or link is None or link.external_state not in ("PAUSED", "DISABLE"):
                wrong.append(
                    f"{account.platform.title}: {waited} waited, the campaign is {link and link.external_state}"
                )
        self.check("revoked tokens parked what was to be done; connecting again did it, once", wrong)

    def _storm(self) -> None:
        """Both platforms ask for less at once."""
        self.say("a storm of rate limits")
        for platform in PLATFORMS:
            self.control.add_rule(f"/{platform.name}/*", platform.refusal, times=STORM_REFUSALS)
        storm = [_conversion(f"storm-{n}") for n in range(STORM_CONVERSIONS)]
        publish_many(
            [
                {
                    "type": "attribution.event",
                    "tenant_id": TENANT,
                    "data": each,
                    "id": f"orbit-{each['attribution_id']}",
                }
                for each in storm
            ]
        )
        self.until_settled(*(f"orbit-{each['attribution_id']}" for each in storm))
        for account in self.accounts:
            with session.transaction() as connection:
                refused = db.audit.attempts_with(connection, account.integration_id, "rate_limited")
            account.story["rate-limit storm"] = f"{refused} refused, {STORM_CONVERSIONS} delivered"
        sent = CONVERSIONS + BATCH + STORM_CONVERSIONS
        self._count_conversions(
            "conversions", sent, "a storm of rate limits delayed conversions, and lost or doubled none"
        )

    # ------------------------------------------------------------------------------------------------------ looking

    def _states(self) -> list[tuple[Account, str]]:
        with session.transaction() as connection:
            rows = {row.id: row.state for row in db.integrations.every(connection, TENANT)}
        return [(account, rows[account.integration_id]) for account in self.accounts]

    def _link(self, account: Account) -> Any:
        with session.transaction() as connection:
            return db.links.of_campaign(connection, account.integration_id, TENANT, CAMPAIGN["campaign_id"])

    def _waiting(self, account: Account) -> int:
        with session.transaction() as connection:
            return db.audit.waiting(connection, account.integration_id, "campaign.paused")

    def _window(self, account: Account) -> tuple[date, date]:
        """The days that a first sync reads."""
        with session.transaction() as connection:
            through = date.fromisoformat(db.cursors.get(connection, account.integration_id, "insights")["through"])
        return through - timedelta(days=DAYS - 1), through

    def _ours(self, account: Account) -> dict[str, Any]:
        with session.transaction() as connection:
            row = db.audit.metrics(connection, account.integration_id, *self._window(account))
        return dict(row._mapping)

    def _theirs(self, account: Account) -> dict[str, Any]:
        since, until = (day.isoformat() for day in self._window(account))
        said = self.control.do(
            account.platform.name, "totals", **{_ACCOUNT[account.platform.name]: account.platform.account}, since=since,
            until=until,
        )  # fmt: skip
        return {**said, "spend": Decimal(said["spend"]), "conversions": Decimal(said["conversions"])}

    def _count_conversions(self, row: str, sent: int, holds: str) -> None:
        """Hold what was sent against what each platform counted."""
        bill = self.control.bill()
        wrong = []
        for account in self.accounts:
            counts = bill[account.platform.name]
            received, distinct = counts["events_received"], counts["events_distinct"]
            account.story[row] = f"{received} received, {distinct} counted"
            if (received, distinct) != (sent, sent):
                wrong.append(f"{account.platform.title} received {received} of {sent}, {distinct} of them different")
        self.check(holds, wrong)


_ACCOUNT = {"meta_ads": "account", "tiktok_ads": "advertiser"}  # what each calls it


def _log_in(logins: OAuth, platform: Platform) -> Connected:
    """Connect an account as a person with a browser does, and choose the account to use."""
    login = Login(TENANT, platform.name, "default", platform.pixel)
    browser = Browser()
    with local_door.opened(logins, login) as door:
        browser.open(door.url("authorize"))
        browser.press(platform.button)
        connected = door.outcome(PATIENCE_S)
    return logins.choose(connected.integration_id, platform.account) if connected.waits_for_choice else connected


def _conversion(name: str) -> dict[str, Any]:
    """A purchase an hour ago, by somebody who had clicked on an ad."""
    happened = datetime.now(UTC) - timedelta(hours=1)
    return {
        "attribution_id": name,
        "name": "purchase",
        "campaign_id": CAMPAIGN["campaign_id"],
        "value": 59.9,
        "currency": "EUR",
        "happened_at": happened.isoformat(timespec="seconds"),
        "source_url": "https://orbit.example/booked",
        "order_id": f"order-{name}",
        "user": {
            "email": f"{name}@example.com",
            "ip": "203.0.113.9",
            "user_agent": "Mozilla/5.0",
            "fbclid": f"IwAR{name}",
            "ttclid": f"E.C.P.{name}",
            "clicked_at": (happened - timedelta(minutes=20)).isoformat(timespec="seconds"),
        },
    }

"""Both ad platforms, read for the first time and then again, against their stand-ins: all days, all campaigns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

import db.tokens
from model import NewEvent
from providers import PROVIDERS
from providers.oauth2 import Grant
from sandbox.process import Sandbox
from settings import Settings
from tests.conftest import empty
from tests.mesh import TENANT, Mesh
from tests.servers import Servers
from worker import grants
from worker.enqueue import accept
from worker.syncs import publish_due, sync_now

DAYS = 90  # of a first sync


@dataclass(frozen=True)
class Platform:
    """An account at a stand-in, and how the stand-in is asked about it."""

    name: str
    app: dict[str, str]
    token: dict[str, Any]
    config: dict[str, str]
    account: str  # what the stand-in's own actions call an account

    def do(self, sandbox: Sandbox, action: str, **arguments: Any) -> Any:
        """Something beyond the API."""
        return sandbox.control.do(self.name, action, **arguments)

    def totals(self, sandbox: Sandbox, since: str, until: str) -> Any:
        """What the account's campaigns did on these days."""
        return self.do(sandbox, "totals", since=since, until=until, **{self.account: self.config["account_id"]})


META = Platform(
    "meta_ads",
    {"api_key": "1111111111", "secret": "meta_app_secret_1"},
    {"app_id": "1111111111", "app_secret": "meta_app_secret_1", "person": "10001"},
    {"account_id": "1234567890", "currency": "USD", "timezone": "America/Los_Angeles"},
    "account",
)
TIKTOK = Platform(
    "tiktok_ads",
    {"api_key": "7300000000000000001", "secret": "tt_app_secret_1"},
    {"app_id": "7300000000000000001", "secret": "tt_app_secret_1"},
    {"account_id": "7311111111111111111", "currency": "EUR", "timezone": "Europe/Berlin"},
    "advertiser",
)


@pytest.fixture(params=[META, TIKTOK], ids=lambda platform: platform.name)
def platform(request: pytest.FixtureRequest) -> Platform:
    found: Platform = request.param
    return found


@pytest.fixture
def mesh(servers: Servers, mesh_settings: Settings, sandbox: Sandbox, platform: Platform) -> Iterator[Mesh]:
    """A mesh whose installation has an app at the platform."""
    ours = {f"{platform.name}_{field}": SecretStr(value) for field, value in platform.app.items()}
    settings = mesh_settings.model_copy(
        update={**ours, f"{platform.name}_base_url": f"{sandbox.url}/{platform.name}", "mesh_call_deadline_s": 30}
    )
    empty(servers)
    mesh = Mesh(settings, sandbox)
    yield mesh
    mesh.close()


@pytest.fixture
def account(mesh: Mesh, platform: Platform) -> UUID:
    """A connected account."""
    mesh.tenant()
    integration_id: UUID = mesh.one(
        "insert into integrations (tenant_id, provider, name, config, external_account_id)"
        " values (%(tenant)s, %(provider)s, 'main', %(config)s::jsonb, %(account)s) returning id",
        tenant=TENANT,
        provider=platform.name,
        config=json.dumps(platform.config),
        account=platform.config["account_id"],
    )
    grant = Grant(access_token=platform.do(mesh.sandbox, "issue_token", **platform.token))
    facts = PROVIDERS[platform.name].oauth
    assert facts is not None
    with mesh.engine.begin() as connection:
        db.tokens.put(connection, integration_id, grants.sealed(mesh.resources.vault, integration_id, facts, grant))
    return integration_id


def walk(mesh: Mesh) -> None:
    """Let what is under way end; reports that are being made are ready the next time one looks."""
    for _ in range(200):
        mesh.due_now()
        mesh.drain(rounds=500)
        if not mesh.count("deliveries", "settled_at is null"):
            break
    failed = mesh.sql("select event_type, state, error_code, error_message from deliveries where state <> 'succeeded'")
    assert [tuple(row) for row in failed] == []


def stored(mesh: Mesh, since: str, until: str) -> tuple[Any, ...]:
    """The same totals from our own rows."""
    (row,) = mesh.sql(
        "select sum(impressions), sum(clicks), sum(spend) from ad_metrics where day between %(since)s and %(until)s",
        since=since,
        until=until,
    )
    return tuple(row)


def the_same(mesh: Mesh, platform: Platform) -> bool:
    """Whether what is stored of the 90 days is what the platform says of them."""
    today = datetime.now(UTC).astimezone(ZoneInfo(platform.config["timezone"])).date()
    since, until = str(today - timedelta(days=DAYS - 1)), str(today - timedelta(days=1))  # today's still grow
    said = platform.totals(mesh.sandbox, since, until)
    assert stored(mesh, since, until) == (said["impressions"], said["clicks"], Decimal(str(said["spend"])))
    return mesh.count("ad_metrics") > 0


def test_first_all_then_what_may_have_changed_and_never_twice(mesh: Mesh, account: UUID, platform: Platform) -> None:
    streams = len(PROVIDERS[platform.name].streams)
    assert publish_due(mesh.engine) == streams
    walk(mesh)
    assert the_same(mesh, platform)
    rows, links = mesh.count("ad_metrics"), mesh.count("campaign_links")
    assert links > 0
    assert mesh.count("sync_cursors", "synced_at is not null") == streams
    mesh.sql("update sync_cursors set next_sync_at = now()")
    assert publish_due(mesh.engine) == streams
    walk(mesh)
    assert (mesh.count("ad_metrics"), mesh.count("campaign_links")) == (rows, links)
    days = mesh.one(
        "select count(distinct day) from ad_metrics where fetched_at > (select min(e.accepted_at)"
        " from events e join sync_cursors c on c.event_id = e.id)"
    )
    assert 0 < days < DAYS
    with mesh.engine.begin() as connection:
        sync_now(connection, account, streams=["insights"], full=True)
    walk(mesh)
    assert mesh.count("ad_metrics") == rows
    assert the_same(mesh, platform)


def test_a_campaign_of_the_product_that_is_deleted_there_is_noticed(
    mesh: Mesh, account: UUID, platform: Platform
) -> None:
    facts = {"campaign_id": "cmp_1", "name": "Spring", "objective": "traffic", "budget": 50, "budget_kind": "daily"}
    with mesh.engine.begin() as connection:
        accept(connection, [NewEvent(TENANT, "campaign.created", facts)])
    walk(mesh)
    (link,) = mesh.sql("select l.*, c.external_key from campaign_links l join campaigns c on c.id = l.campaign_id")
    assert (link.external_key, link.deleted_at) == ("cmp_1", None)
    publish_due(mesh.engine)
    walk(mesh)
    assert mesh.count("events", "type = 'campaign.deleted'") == 0
    named = {"campaign": link.external_id} if platform is META else {"campaign_id": link.external_id}
    at = {} if platform is META else {"advertiser": platform.config["account_id"]}
    platform.do(mesh.sandbox, "delete_campaign", **named, **at)
    for _ in range(2):
        with mesh.engine.begin() as connection:
            sync_now(connection, account, streams=["campaigns"])
        walk(mesh)
    (said,) = mesh.sql("select data from events where type = 'campaign.deleted'")
    assert said.data == {
        "campaign_id": "cmp_1",
        "provider": platform.name,
        "integration_id": str(account),
        "external_id": link.external_id,
    }
    assert mesh.one("select count(*) from campaign_links where deleted_at is not null and campaign_id is not null") == 1

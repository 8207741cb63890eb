"""An ad from its campaign to its state against the stand-in of TikTok: whatever dies or gets lost, each thing is there
once, and everybody who waits for it is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import UUID

import pytest
from pydantic import SecretStr

import db.media
import db.tokens
from model import NewEvent
from providers import PROVIDERS
from providers.oauth2 import Grant
from sandbox.process import Sandbox
from settings import Settings
from tests.conftest import empty
from tests.mesh import TENANT, Mesh
from tests.providers.tiktok_ads.platform import APP, EU, SECRET
from tests.servers import Servers
from tests.worker.deaths import dies, step
from worker import grants
from worker.enqueue import accept
from worker.media import MediaFolder

CONFIG = {"account_id": EU, "currency": "EUR", "timezone": "Europe/Berlin", "identity_id": "idn_1"}
CAMPAIGN = {"campaign_id": "cmp_1", "name": "Spring", "objective": "traffic"}
GROUP = {
    "ad_set_id": "set_1",
    "campaign_id": "cmp_1",
    "name": "Women",
    "optimization_goal": "clicks",
    "budget": 40,
    "currency": "EUR",
    "targeting": {"countries": ["DE"], "age_min": 25, "genders": ["female"]},
}
API = "/tiktok_ads/open_api/v1.3/"
CREATIONS = {
    "campaign": "campaign/create/",
    "ad group": "adgroup/create/",
    "picture": "file/image/ad/upload/",
    "ad": "ad/create/",
}
LOST: tuple[Any, ...] = ({"drop": "after"}, {"truncate": True}, {"drop": "before"}, "500-after")


@pytest.fixture
def mesh(servers: Servers, mesh_settings: Settings, sandbox: Sandbox) -> Iterator[Mesh]:
    """A mesh whose installation has an app at TikTok."""
    ours = {"tiktok_ads_api_key": SecretStr(APP), "tiktok_ads_secret": SecretStr(SECRET)}
    settings = mesh_settings.model_copy(
        update={**ours, "tiktok_ads_base_url": f"{sandbox.url}/tiktok_ads", "mesh_call_deadline_s": 30}
    )
    empty(servers)
    mesh = Mesh(settings, sandbox)
    yield mesh
    mesh.close()


@pytest.fixture
def token(mesh: Mesh) -> str:
    """The token of a connected account."""
    mesh.tenant()
    integration_id: UUID = mesh.one(
        "insert into integrations (tenant_id, provider, name, config, external_account_id)"
        " values (%(tenant)s, 'tiktok_ads', 'main', %(config)s::jsonb, %(account)s) returning id",
        tenant=TENANT,
        config=json.dumps(CONFIG),
        account=EU,
    )
    token: str = mesh.sandbox.control.do("tiktok_ads", "issue_token", app_id=APP, secret=SECRET)
    facts = PROVIDERS["tiktok_ads"].oauth
    assert facts is not None
    with mesh.engine.begin() as connection:
        sealed = grants.sealed(mesh.resources.vault, integration_id, facts, Grant(access_token=token))
        db.tokens.put(connection, integration_id, sealed)
    return token


@pytest.fixture
def ad(mesh: Mesh, token: str, doors: str) -> dict[str, Any]:
    """An ad with a picture that TikTok fetches from the mesh."""
    delivery_id = publish(mesh, "campaign.created", {**CAMPAIGN, "campaign_id": "cmp_0", "name": "Earlier"})
    settle(mesh)
    folder = MediaFolder(mesh.settings.mesh_media_url, TENANT, mesh.engine, mesh.resources.links)
    asset = folder.keep("earlier.file", b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png")
    event_id = mesh.one("select event_id from deliveries where id = %(id)s", id=delivery_id)
    with mesh.engine.begin() as connection:
        whose = {"tenant_id": TENANT, "event_id": event_id, "delivery_id": delivery_id, "provider": "capcut"}
        db.media.insert(connection, [asset], **whose)
    creative = {"link": "https://shop.example/shoes", "message": "Dry feet.", "asset_id": str(asset.id)}
    return {"ad_id": "ad_1", "ad_set_id": "set_1", "campaign_id": "cmp_1", "name": "Rain", "creative": creative}


def publish(mesh: Mesh, event_type: str, data: Mapping[str, Any], at: datetime | None = None) -> UUID:
    """Publish an event; the id of its only delivery."""
    with mesh.engine.begin() as connection:
        ((_, delivery_id),) = accept(connection, [NewEvent(TENANT, event_type, data, occurred_at=at)])[0].deliveries
    return delivery_id


def settle(mesh: Mesh) -> None:
    """Let the time of everything come until nothing is under way; all of it ended well."""
    for _ in range(300):
        mesh.due_now()
        mesh.holds_over()
        mesh.drain(rounds=500)
        if not mesh.count("deliveries", "settled_at is null"):
            break
    failed = mesh.sql("select event_type, state, error_code, error_message from deliveries where state <> 'succeeded'")
    assert [tuple(row) for row in failed] == []


def launch(mesh: Mesh, ad: Mapping[str, Any]) -> None:
    """All that an ad needs, published at once and in the wrong order."""
    publish(mesh, "ad.create_requested", ad)
    publish(mesh, "ad_set.create_requested", GROUP)
    publish(mesh, "campaign.created", CAMPAIGN)


def listed(mesh: Mesh, token: str, noun: str, key: str) -> dict[str, Any]:
    """The only one at TikTok whose name ends in a key."""
    query = urlencode({"advertiser_id": EU, "page_size": 1000})
    request = Request(f"{mesh.sandbox.url}{API}{noun}/get/?{query}", headers={"Access-Token": token})
    with urlopen(request) as answer:
        said = json.load(answer)
    assert said["code"] == 0, said
    (found,) = [row for row in said["data"]["list"] if row[f"{noun}_name"].endswith(f"[{key}]")]
    return dict(found)


def there(mesh: Mesh, token: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The campaign, the ad group and the ad: each is there once, and in the other."""
    campaign, group, shown = (
        listed(mesh, token, noun, key) for noun, key in (("campaign", "cmp_1"), ("adgroup", "set_1"), ("ad", "ad_1"))
    )
    assert group["campaign_id"] == campaign["campaign_id"]
    assert shown["adgroup_id"] == group["adgroup_id"]
    return campaign, group, shown


def told(mesh: Mesh, event_type: str) -> list[dict[str, Any]]:
    return [row[0] for row in mesh.sql("select data from events where type = %(type)s order by id", type=event_type)]


def check_launched(mesh: Mesh, token: str) -> None:
    """All three are there once and stand still, are told once, and their ids are known."""
    campaign, group, shown = there(mesh, token)
    assert {each["operation_status"] for each in (campaign, group, shown)} == {"DISABLE"}
    (made,) = told(mesh, "ad_set.created")
    assert (made["external_id"], made["external_campaign_id"]) == (group["adgroup_id"], campaign["campaign_id"])
    (said,) = told(mesh, "ad.created")
    assert (said["external_id"], said["external_ad_set_id"]) == (shown["ad_id"], group["adgroup_id"])
    (details,) = mesh.sql(
        "select l.details from campaign_links l where l.external_id = %(id)s", id=campaign["campaign_id"]
    )[0]
    assert details["ad_set:set_1"]["id"] == group["adgroup_id"]
    bill = mesh.sandbox.control.bill()["tiktok_ads"]
    assert (bill["campaigns_created"], bill["ad_groups_created"], bill["ads_created"]) == (2, 1, 1)


def test_an_ad_is_launched_whatever_order_its_events_come_in(mesh: Mesh, token: str, ad: dict[str, Any]) -> None:
    launch(mesh, ad)
    settle(mesh)
    check_launched(mesh, token)
    for kind, key in (("ad_set", "set_1"), ("ad", "ad_1")):
        publish(mesh, f"{kind}.state_change_requested", {f"{kind}_id": key, "campaign_id": "cmp_1", "state": "active"})
    publish(mesh, "campaign.resumed", {"campaign_id": "cmp_1"})
    settle(mesh)
    assert {each["operation_status"] for each in there(mesh, token)} == {"ENABLE"}


@pytest.mark.parametrize("fault", LOST, ids=str)
@pytest.mark.parametrize("creation", CREATIONS)
def test_a_lost_answer_of_any_creation_ends_in_one_of_each(
    mesh: Mesh, token: str, ad: dict[str, Any], creation: str, fault: Any
) -> None:
    mesh.sandbox.control.add_rule(f"{API}{CREATIONS[creation]}", fault, method="POST", times=1)
    launch(mesh, ad)
    settle(mesh)
    check_launched(mesh, token)
    assert mesh.count("integration_sync_logs", "state <> 'succeeded' and method = 'POST'") == 1


@pytest.mark.parametrize("point", ["claim", "send", "answer"])
def test_a_worker_that_dies_at_each_step_leaves_one_of_each(
    mesh: Mesh, token: str, ad: dict[str, Any], point: str
) -> None:
    for event_type, data in (
        ("campaign.created", CAMPAIGN),
        ("ad_set.create_requested", GROUP),
        ("ad.create_requested", ad),
    ):
        delivery_id = publish(mesh, event_type, data)
        for _ in range(9):
            dies(mesh, delivery_id, point)
            if step(mesh, delivery_id).settled_at:
                break
        assert mesh.delivery(delivery_id).state == "succeeded"
    check_launched(mesh, token)

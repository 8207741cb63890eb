"""An ad from its campaign to its state against the stand-in of Meta: whatever dies or gets lost, each thing is there
once, and everybody who waits for it is told.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

import db.media
import db.tokens
from model import NewEvent
from providers import PROVIDERS
from providers.inbound import Arrival
from providers.oauth2 import Grant
from sandbox.process import Sandbox
from settings import Settings
from tests.conftest import empty
from tests.db.claims import expire
from tests.mesh import TENANT, Mesh
from tests.sandbox.meta import APP_ID, APP_SECRET, FIRST, MIRA, USD, Graph
from tests.servers import Servers
from worker import grants
from worker.enqueue import accept
from worker.hooks import Door
from worker.media import MediaFolder, local_path
from worker.syncs import sync_now

PAGE = "10500001"
CONFIG = {"account_id": USD, "currency": "USD", "timezone": "America/Los_Angeles", "page_id": PAGE}
SCOPES = ["ads_management", "ads_read", "leads_retrieval"]
CAMPAIGN = {"campaign_id": "cmp_1", "name": "Spring", "objective": "traffic"}
SET = {
    "ad_set_id": "set_1",
    "campaign_id": "cmp_1",
    "name": "Women",
    "optimization_goal": "clicks",
    "budget": 40,
    "currency": "USD",
    "targeting": {"countries": ["US"], "age_min": 25, "genders": ["female"]},
}
CREATIVE = {
    "link": "https://shop.example/shoes",
    "message": "Dry feet.",
    "title": "Rain shoes",
    "image_url": "https://shop.example/shoes.jpg",
    "call_to_action": "shop_now",
    "url_tags": "utm_id={{campaign.id}}",
}
AD = {"ad_id": "ad_1", "ad_set_id": "set_1", "campaign_id": "cmp_1", "name": "Rain", "creative": CREATIVE}
EDGES = {
    "campaign": f"/meta_ads/v25.0/act_{USD}/campaigns",
    "ad set": f"/meta_ads/v25.0/act_{USD}/adsets",
    "creative": f"/meta_ads/v25.0/act_{USD}/adcreatives",
    "ad": f"/meta_ads/v25.0/act_{USD}/ads",
}
LOST: tuple[Any, ...] = (
    {"drop": "after"},
    {"truncate": True},
    {"drop": "before"},
    "meta_ads:temporary_after",
    "500-after",
)


@pytest.fixture
def mesh(servers: Servers, mesh_settings: Settings, sandbox: Sandbox) -> Iterator[Mesh]:
    """A mesh whose installation has an app at Meta."""
    ours = {"meta_ads_api_key": SecretStr(APP_ID), "meta_ads_secret": SecretStr(APP_SECRET)}
    settings = mesh_settings.model_copy(
        update={**ours, "meta_ads_base_url": f"{sandbox.url}/meta_ads", "mesh_call_deadline_s": 30}
    )
    empty(servers)
    mesh = Mesh(settings, sandbox)
    yield mesh
    mesh.close()


@pytest.fixture
def account(mesh: Mesh) -> UUID:
    """A connected account."""
    mesh.tenant()
    integration_id: UUID = mesh.one(
        "insert into integrations (tenant_id, provider, name, config, external_account_id)"
        " values (%(tenant)s, 'meta_ads', 'main', %(config)s::jsonb, %(account)s) returning id",
        tenant=TENANT,
        config=json.dumps(CONFIG),
        account=USD,
    )
    token = do(mesh, "issue_token", app_id=APP_ID, app_secret=APP_SECRET, person=MIRA, scopes=SCOPES)
    facts = PROVIDERS["meta_ads"].oauth
    assert facts is not None
    with mesh.engine.begin() as connection:
        sealed = grants.sealed(mesh.resources.vault, integration_id, facts, Grant(access_token=token))
        db.tokens.put(connection, integration_id, sealed)
    return integration_id


def do(mesh: Mesh, action: str, **arguments: Any) -> Any:
    return mesh.sandbox.control.do("meta_ads", action, **arguments)


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


def launch(mesh: Mesh) -> None:
    """All that an ad needs, published at once and in the wrong order."""
    for event_type, data in (
        ("ad.create_requested", AD),
        ("ad_set.create_requested", SET),
        ("campaign.created", CAMPAIGN),
    ):
        publish(mesh, event_type, data)


def ours(found: list[dict[str, str]], key: str) -> list[dict[str, str]]:
    return [each for each in found if each["name"].endswith(f"[{key}]")]


def there(mesh: Mesh) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The campaign, the ad set and the ad at Meta: each is there once."""
    (campaign,) = ours(do(mesh, "campaigns", account=USD), "cmp_1")
    (ad_set,) = do(mesh, "ad_sets", campaign=campaign["id"])
    (ad,) = do(mesh, "ads", ad_set=ad_set["id"])
    assert (ad_set["name"], ad["name"]) == ("Women [set_1]", "Rain [ad_1]")
    return campaign, ad_set, ad


def told(mesh: Mesh, event_type: str) -> list[dict[str, Any]]:
    return [row[0] for row in mesh.sql("select data from events where type = %(type)s order by id", type=event_type)]


def check_launched(mesh: Mesh, account: UUID) -> None:
    """All three are there once and paused, are told once, and their ids are known."""
    campaign, ad_set, ad = there(mesh)
    assert {each["status"] for each in (campaign, ad_set, ad)} == {"PAUSED"}
    (made,) = told(mesh, "ad_set.created")
    assert (made["external_id"], made["external_campaign_id"]) == (ad_set["id"], campaign["id"])
    (shown,) = told(mesh, "ad.created")
    assert (shown["external_id"], shown["external_ad_set_id"]) == (ad["id"], ad_set["id"])
    assert {made["integration_id"], shown["integration_id"]} == {str(account)}
    (details,) = mesh.sql("select l.details from campaign_links l where l.external_id = %(id)s", id=campaign["id"])[0]
    assert details["ad_set:set_1"]["id"] == ad_set["id"]
    # One that was found at Meta before its campaign's event was settled is not remembered, and found there again.
    assert details.get("ad:ad_1", ad)["id"] == ad["id"]


def test_an_ad_is_launched_whatever_order_its_events_come_in(mesh: Mesh, account: UUID) -> None:
    launch(mesh)
    settle(mesh)
    check_launched(mesh, account)
    for kind, key in (("ad_set", "set_1"), ("ad", "ad_1")):
        publish(mesh, f"{kind}.state_change_requested", {f"{kind}_id": key, "campaign_id": "cmp_1", "state": "active"})
    publish(mesh, "campaign.resumed", {"campaign_id": "cmp_1"})
    settle(mesh)
    assert {each["effective_status"] for each in there(mesh)} == {"ACTIVE"}


@pytest.mark.parametrize("fault", LOST, ids=str)
@pytest.mark.parametrize("edge", EDGES)
def test_a_lost_answer_of_any_step_ends_in_one_of_each(mesh: Mesh, account: UUID, edge: str, fault: Any) -> None:
    mesh.sandbox.control.add_rule(EDGES[edge], fault, method="POST", times=1)
    launch(mesh)
    settle(mesh)
    check_launched(mesh, account)
    assert mesh.count("integration_sync_logs", "state <> 'succeeded' and method = 'POST'") == 1
    assert mesh.sandbox.control.bill()["meta_ads"]["ads_created"] == 1


def die(mesh: Mesh, delivery_id: UUID, progress: Any) -> None:
    """The worker that made the last call was gone before it could settle it."""
    mesh.sql(
        "update deliveries set state = 'running', settled_at = null, attempt_id = mesh_uuid(), due_at = null,"
        " result = null, progress = %(progress)s::jsonb, lease_until = now() - interval '1 second',"
        " overdue_at = now() - interval '1 minute' where id = %(id)s",
        id=delivery_id,
        progress=json.dumps(progress) if progress else None,
    )
    mesh.sql("delete from events where caused_by = (select event_id from deliveries where id = %(id)s)", id=delivery_id)
    assert len(expire(mesh)) == 1


def test_a_worker_that_dies_after_each_call_leaves_one_of_each(mesh: Mesh, account: UUID) -> None:
    publish(mesh, "campaign.created", CAMPAIGN)
    settle(mesh)
    for event_type, data, steps in (("ad_set.create_requested", SET, 1), ("ad.create_requested", AD, 2)):
        delivery_id = publish(mesh, event_type, data)
        for _ in range(steps):
            before = mesh.delivery(delivery_id).progress
            mesh.due_now(delivery_id)
            mesh.deliver(delivery_id)
            die(mesh, delivery_id, before)
            mesh.due_now(delivery_id)
            mesh.deliver(delivery_id)
        assert mesh.delivery(delivery_id).state == "succeeded"
    check_launched(mesh, account)


def test_the_same_asked_for_twice_is_there_once(mesh: Mesh, account: UUID) -> None:
    for _ in range(2):
        launch(mesh)
        settle(mesh)
    there(mesh)
    assert mesh.sandbox.control.bill()["meta_ads"]["ad_sets_created"] == 1
    assert len({each["external_id"] for each in told(mesh, "ad.created")}) == 1


def test_a_pause_that_comes_late_does_not_undo_what_came_after_it(mesh: Mesh, account: UUID) -> None:
    launch(mesh)
    settle(mesh)
    _, ad_set, _ = there(mesh)
    data, now = {"ad_set_id": "set_1", "campaign_id": "cmp_1"}, datetime.now(UTC)
    mesh.sandbox.control.add_rule(f"/meta_ads/v25.0/{ad_set['id']}", "meta_ads:temporary", method="POST", times=1)
    early = publish(mesh, "ad_set.state_change_requested", {**data, "state": "paused"}, now)
    mesh.deliver(early)
    assert mesh.delivery(early).state == "retrying"
    late = publish(mesh, "ad_set.state_change_requested", {**data, "state": "active"}, now + timedelta(milliseconds=5))
    mesh.deliver(late)
    settle(mesh)
    assert there(mesh)[1]["status"] == "ACTIVE"
    assert mesh.delivery(early).result["skipped"] == "A later change was applied before."


def test_the_fifth_budget_of_an_hour_waits(mesh: Mesh, account: UUID) -> None:
    launch(mesh)
    settle(mesh)
    for budget in (41, 42, 43, 44):
        publish(mesh, "ad_set.update_requested", {"ad_set_id": "set_1", "campaign_id": "cmp_1", "budget": budget})
        settle(mesh)
    fifth = publish(mesh, "ad_set.update_requested", {"ad_set_id": "set_1", "campaign_id": "cmp_1", "budget": 45})
    mesh.deliver(fifth)
    waits = mesh.delivery(fifth)
    assert (waits.state, waits.error_code) == ("retrying", "rate_limited")
    assert waits.due_at - datetime.now(UTC) > timedelta(minutes=4)


def test_an_ad_set_is_deleted_and_made_anew(mesh: Mesh, account: UUID) -> None:
    launch(mesh)
    settle(mesh)
    campaign, first, _ = there(mesh)
    data = {"ad_set_id": "set_1", "campaign_id": "cmp_1"}
    publish(mesh, "ad_set.state_change_requested", {**data, "state": "deleted"})
    settle(mesh)
    publish(mesh, "ad_set.create_requested", SET)
    settle(mesh)
    second = [each for each in do(mesh, "ad_sets", campaign=campaign["id"]) if each["status"] != "DELETED"]
    assert [each["name"] for each in second] == ["Women [set_1]"]
    assert second[0]["id"] != first["id"]


# --------------------------------------------------------------------------------------------------------------- files


def kept(mesh: Mesh, content: bytes, mime: str) -> str:
    """A file that an earlier delivery has left: the id of its asset."""
    folder = MediaFolder(mesh.settings.mesh_media_url, TENANT, mesh.engine, mesh.resources.links)
    asset = folder.keep("earlier.file", content, mime)
    (event_id, delivery_id) = mesh.sql("select event_id, id from deliveries limit 1")[0]
    with mesh.engine.begin() as connection:
        whose = {"tenant_id": TENANT, "event_id": event_id, "delivery_id": delivery_id, "provider": "capcut"}
        db.media.insert(connection, [asset], **whose)
    return str(asset.id)


def creative_of(mesh: Mesh, ad_id: str) -> Any:
    token = do(mesh, "issue_token", app_id=APP_ID, app_secret=APP_SECRET, person=MIRA)
    graph = Graph(mesh.sandbox.url, token)
    creative = graph.get(ad_id, fields="creative").json["creative"]["id"]
    return graph.get(creative, fields="object_story_spec,url_tags").json


def test_an_ad_shows_a_picture_that_the_mesh_keeps(mesh: Mesh, account: UUID) -> None:
    publish(mesh, "campaign.created", CAMPAIGN)
    publish(mesh, "ad_set.create_requested", SET)
    settle(mesh)
    content = b"\x89PNG\r\n\x1a\n" + bytes(100)
    publish(mesh, "ad.create_requested", {**AD, "creative": {**CREATIVE, "asset_id": kept(mesh, content, "image/png")}})
    settle(mesh)
    shown = creative_of(mesh, there(mesh)[2]["id"])
    data = shown["object_story_spec"]["link_data"]
    assert data["image_hash"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert (data["name"], shown["url_tags"]) == ("Rain shoes", "utm_id={{campaign.id}}")


def test_an_ad_shows_a_video_that_meta_fetches_from_the_mesh(mesh: Mesh, account: UUID, doors: str) -> None:
    publish(mesh, "campaign.created", CAMPAIGN)
    publish(mesh, "ad_set.create_requested", SET)
    settle(mesh)
    creative = {name: value for name, value in CREATIVE.items() if name != "image_url"}
    asset_id = kept(mesh, b"\0\0\0\x18ftypmp42", "video/mp4")
    publish(mesh, "ad.create_requested", {**AD, "creative": {**creative, "asset_id": asset_id}})
    settle(mesh)
    data = creative_of(mesh, there(mesh)[2]["id"])["object_story_spec"]["video_data"]
    assert data["image_url"].endswith(f"/covers/{data['video_id']}.jpg")
    assert data["call_to_action"]["value"] == {"link": "https://shop.example/shoes"}
    shown = str(mesh.sql("select * from integration_sync_logs")) + str(mesh.sql("select progress from deliveries"))
    assert "token=" not in shown


# ----------------------------------------------------------------------------------------------- copies, leads, levels


@pytest.mark.parametrize("fault", [None, *LOST], ids=str)
def test_a_campaign_is_copied_once_and_linked(mesh: Mesh, account: UUID, fault: Any) -> None:
    launch(mesh)
    settle(mesh)
    if fault:
        mesh.sandbox.control.add_rule("/meta_ads/v25.0/*/copies", fault, method="POST", times=1)
    publish(
        mesh,
        "campaign.copy_requested",
        {"campaign_id": "cmp_2", "source_campaign_id": "cmp_1", "name": "Summer", "deep": True},
    )
    settle(mesh)
    (copy,) = ours(do(mesh, "campaigns", account=USD), "cmp_2")
    assert (copy["name"], copy["status"]) == ("Summer [cmp_2]", "PAUSED")
    assert [each["name"] for each in do(mesh, "ad_sets", campaign=copy["id"])] == ["Women [set_1]"]
    (said,) = told(mesh, "campaign.copied")
    assert (said["external_id"], said["source_campaign_id"]) == (copy["id"], "cmp_1")
    publish(mesh, "campaign.resumed", {"campaign_id": "cmp_2"})
    settle(mesh)
    (copy,) = ours(do(mesh, "campaigns", account=USD), "cmp_2")
    assert copy["status"] == "ACTIVE"


def test_a_campaign_that_the_product_deletes_is_gone_and_is_no_news(mesh: Mesh, account: UUID) -> None:
    launch(mesh)
    settle(mesh)
    for _ in range(2):
        publish(mesh, "campaign.delete_requested", {"campaign_id": "cmp_1"})
        settle(mesh)
    assert {each["effective_status"] for each in there(mesh)} == {"DELETED"}
    with mesh.engine.begin() as connection:
        sync_now(connection, account, streams=["campaigns"])
    settle(mesh)
    assert told(mesh, "campaign.deleted") == []
    assert mesh.count("campaign_links", "campaign_id is not null and deleted_at is not null") == 1


def test_a_lead_is_told_once_however_often_its_webhook_comes(mesh: Mesh, account: UUID) -> None:
    ad_set = do(mesh, "ad_sets", campaign=FIRST)[0]["id"]
    ad = do(mesh, "ads", ad_set=ad_set)[0]["id"]
    lead = do(mesh, "create_lead", page=PAGE, fields={"email": ["ann.lee@example.com"]}, ad=ad)
    door = Door(mesh.engine, mesh.resources.vault, mesh.resources.links, mesh.resources.installed)
    for time_s in (1791450000, 1791450000, 1791450060):
        value = {"leadgen_id": int(lead), "page_id": int(PAGE), "form_id": 888000000000001, "ad_id": int(ad)}
        change = {"field": "leadgen", "value": {**value, "created_time": 1791450000}}
        said = {"object": "page", "entry": [{"id": PAGE, "time": time_s, "changes": [change]}]}
        body = json.dumps(said).encode()
        signature = "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
        arrival = Arrival({"x-hub-signature-256": signature}, body, datetime.now(UTC))
        door.receive("meta_ads", account, {}, arrival)
    settle(mesh)
    assert mesh.count("inbox") == 2
    assert len(told(mesh, "lead.fetch_requested")) == 2
    (received,) = told(mesh, "lead.received")
    assert (received["lead_id"], received["fields"]) == (lead, {"email": ["ann.lee@example.com"]})
    assert (received["external_ad_id"], received["external_campaign_id"]) == (ad, FIRST)


def test_a_report_of_any_breakdown_is_a_file_that_adds_up(mesh: Mesh, account: UUID) -> None:
    do(mesh, "set_limits", page_rows=40)
    asked = {"report_id": "rep_1", "level": "campaign", "date_preset": "last_7d", "fields": ["campaign_id", "clicks"]}
    for breakdowns in ([], ["age", "gender"]):
        publish(mesh, "ad.report_requested", {**asked, "breakdowns": breakdowns})
    settle(mesh)
    sums = []
    for said in told(mesh, "ad.report_completed"):
        (row,) = mesh.sql("select id, uri, size_bytes from media_assets where id = %(id)s", id=said["asset_id"])
        file = local_path(row.uri)
        assert file is not None
        rows = [json.loads(line) for line in file.read_bytes().splitlines()]
        assert list(file.parent.glob(f"{file.name.partition('.')[0]}.*")) == [file]  # no page of it is left
        assert (len(rows), said["size_bytes"]) == (said["rows"], row.size_bytes)
        sums.append((len(rows), sum(int(each["clicks"]) for each in rows)))
    (few, whole), (many, broken_down) = sorted(sums)
    assert whole == broken_down
    assert few < 40 < many


def test_the_days_of_all_levels_add_up(mesh: Mesh, account: UUID) -> None:
    mesh.sql("""update integrations set config = config || '{"levels": "account, campaign, ad_set, ad"}'::jsonb""")
    with mesh.engine.begin() as connection:
        sync_now(connection, account, streams=["insights"])
    settle(mesh)
    rows = mesh.sql(
        "select level, count(*), sum(impressions), sum(clicks), sum(spend) from ad_metrics"
        " where day < current_date - 1 group by level"  # today's still grow
    )
    assert {row.level for row in rows} == {"account", "campaign", "ad_set", "ad"}
    assert len({tuple(row)[2:] for row in rows}) == 1
    counts = {row.level: row[1] for row in rows}
    assert (counts["ad"], counts["ad_set"]) == (4 * counts["campaign"], 2 * counts["campaign"])

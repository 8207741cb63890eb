"""TikTok counts the calls of our app, whatever tenant and worker they come from: it never has to refuse one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import UUID

import pytest

import db.tokens
from providers import PROVIDERS
from providers.oauth2 import Grant
from sandbox.process import Sandbox
from settings import Settings
from tests.conftest import empty
from tests.mesh import Mesh, eventually
from tests.servers import Servers
from tests.worker.test_ad_syncs import TIKTOK
from worker import deliver, grants
from worker.resources import Resources, build

TENANTS = ("acme", "globex")
EACH = 20  # campaigns of a tenant: forty calls are four seconds and a half
QPS = 10  # of a basic app


@pytest.fixture
def mesh(servers: Servers, mesh_settings: Settings, sandbox: Sandbox) -> Iterator[Mesh]:
    ours = {
        "tiktok_ads_api_key": TIKTOK.app["api_key"],
        "tiktok_ads_secret": TIKTOK.app["secret"],
        "tiktok_ads_base_url": f"{sandbox.url}/tiktok_ads",
        "mesh_call_deadline_s": 30,
    }
    empty(servers)
    mesh = Mesh(type(mesh_settings)(**{**mesh_settings.model_dump(), **ours}), sandbox)
    yield mesh
    mesh.close()


@pytest.fixture
def other_worker(mesh: Mesh) -> Iterator[Resources]:
    other = build(mesh.settings)
    yield other
    other.close()


def connected(mesh: Mesh, tenant: str) -> UUID:
    """An account of a tenant, with a token of its own."""
    mesh.tenant(tenant)
    integration_id: UUID = mesh.one(
        "insert into integrations (tenant_id, provider, name, config, external_account_id)"
        " values (%(tenant)s, 'tiktok_ads', 'main', %(config)s::jsonb, %(account)s) returning id",
        tenant=tenant,
        config=json.dumps(TIKTOK.config),
        account=TIKTOK.config["account_id"],
    )
    facts = PROVIDERS["tiktok_ads"].oauth
    assert facts is not None
    grant = Grant(access_token=TIKTOK.do(mesh.sandbox, "issue_token", **TIKTOK.token))
    with mesh.engine.begin() as connection:
        db.tokens.put(connection, integration_id, grants.sealed(mesh.resources.vault, integration_id, facts, grant))
    return integration_id


def test_two_tenants_and_two_workers_stay_within_the_apps_allowance(mesh: Mesh, other_worker: Resources) -> None:
    for tenant in TENANTS:
        connected(mesh, tenant)
    TIKTOK.do(mesh.sandbox, "set_limits", qps=QPS)
    for number in range(EACH):
        for tenant in TENANTS:
            data = {"campaign_id": f"{tenant}-{number}", "name": "Spring", "objective": "traffic"}
            mesh.publish("campaign.created", data, tenant=tenant)

    def all_made() -> bool:
        due = [row[0] for row in mesh.sql("select id from deliveries where due_at <= now() order by random()")]
        deliver.deliver(due[::2], mesh.resources)
        deliver.deliver(due[1::2], other_worker)
        return mesh.count("deliveries", "state = 'succeeded'") == EACH * len(TENANTS)

    eventually(all_made, "all campaigns are there", seconds=60)
    (traffic,) = TIKTOK.do(mesh.sandbox, "traffic").values()
    assert traffic["throttled"] == 0
    assert traffic["busiest_second"] <= QPS
    assert traffic["requests"] == EACH * len(TENANTS)
    assert mesh.count("integration_sync_logs") == EACH * len(TENANTS), "who waits for a turn uses no attempt"

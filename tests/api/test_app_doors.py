"""The one address that all accounts of our app at a provider have: whose a message is, and who may send one."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import requests
from pydantic import SecretStr

from providers.inbound import handshake_token
from sandbox.process import Sandbox
from settings import Settings
from tests.conftest import empty
from tests.mesh import Mesh
from tests.servers import Servers

APP_SECRET = "the-secret-of-our-app"


def signed(body: dict[str, Any], secret: str = APP_SECRET) -> dict[str, Any]:
    raw = json.dumps(body).encode()
    return {"body": raw, "X-Hub-Signature-256": "sha256=" + hmac.digest(secret.encode(), raw, "sha256").hex()}


def lead(page: str, lead_id: str = "771") -> dict[str, Any]:
    change = {"field": "leadgen", "value": {"leadgen_id": lead_id, "page_id": page, "form_id": "881"}}
    return {"object": "page", "entry": [{"id": page, "time": 1791450000, "changes": [change]}]}


@pytest.fixture
def mesh(servers: Servers, mesh_settings: Settings, sandbox: Sandbox) -> Iterator[Mesh]:
    """A mesh whose installation has an app at Meta."""
    ours = {"meta_ads_api_key": SecretStr("1"), "meta_ads_secret": SecretStr(APP_SECRET)}
    empty(servers)
    mesh = Mesh(mesh_settings.model_copy(update=ours), sandbox)
    yield mesh
    mesh.close()


@pytest.fixture
def accounts(mesh: Mesh) -> dict[str, UUID]:
    """Accounts of two tenants, each with a page of its own."""
    return {tenant: account(mesh, tenant, f"page_of_{tenant}") for tenant in ("acme", "bolt")}


def account(mesh: Mesh, tenant: str, page: str) -> UUID:
    mesh.tenant(tenant)
    integration_id: UUID = mesh.one(
        "insert into integrations (tenant_id, provider, name, config, external_account_id)"
        " values (%(tenant)s, 'meta_ads', 'main', %(config)s::jsonb, '4711') returning id",
        tenant=tenant,
        config=json.dumps({"page_id": page}),
    )
    return integration_id


def post(url: str, body: bytes, **headers: str) -> requests.Response:
    return requests.post(url, data=body, headers=headers, timeout=10)


def test_a_message_to_our_app_is_for_the_account_that_it_is_about(
    doors: str, mesh: Mesh, accounts: dict[str, UUID]
) -> None:
    url = f"{doors}/hooks/meta_ads"
    assert [post(url, **signed(lead("page_of_bolt"))).status_code for _ in range(2)] == [200, 200]
    (event,) = mesh.sql("select * from events")
    assert (event.tenant_id, event.type) == ("bolt", "lead.fetch_requested")
    assert event.data["integration_id"] == str(accounts["bolt"])
    assert [row.integration_id for row in mesh.sql("select * from deliveries")] == [accounts["bolt"]]
    assert post(url, **signed(lead("page_of_nobody"))).status_code == 200
    assert mesh.count("events") == 1


def test_a_message_to_one_account_about_another_is_not_its_own(
    doors: str, mesh: Mesh, accounts: dict[str, UUID]
) -> None:
    url = f"{doors}/hooks/meta_ads/{accounts['acme']}"
    assert post(url, **signed(lead("page_of_bolt"))).status_code == 200
    assert mesh.count("events") == 0
    assert mesh.one("select reason from inbox") == "It is about another account."


def test_who_does_not_know_our_app_s_secret_is_not_believed(doors: str, mesh: Mesh, accounts: dict[str, UUID]) -> None:
    url = f"{doors}/hooks/meta_ads"
    assert post(url, **signed(lead("page_of_bolt"), secret="")).status_code == 401
    assert post(url, b"{}").status_code == 401
    assert post(url, bytes(1024 * 1024 + 1)).status_code == 413
    assert mesh.count("events") == 0
    assert mesh.count("inbox") == 2


def test_our_app_s_address_is_proven_to_be_ours(doors: str, mesh: Mesh, accounts: dict[str, UUID]) -> None:
    token = handshake_token(APP_SECRET)
    asked = {"hub.mode": "subscribe", "hub.challenge": "4711", "hub.verify_token": token}
    answer = requests.get(f"{doors}/hooks/meta_ads", params=asked, timeout=10)
    assert (answer.status_code, answer.text) == (200, "4711")
    wrong = {**asked, "hub.verify_token": "guessed"}
    assert requests.get(f"{doors}/hooks/meta_ads", params=wrong, timeout=10).status_code == 403
    assert requests.get(f"{doors}/hooks/zapier", timeout=10).status_code == 404
    assert post(f"{doors}/hooks/elevenlabs", b"{}").status_code == 404


def wish(user_id: str) -> dict[str, Any]:
    """The form by which a person removes the app, or wants to be forgotten."""
    payload = base64.urlsafe_b64encode(json.dumps({"user_id": user_id, "algorithm": "HMAC-SHA256"}).encode()).rstrip(
        b"="
    )
    signature = base64.urlsafe_b64encode(hmac.digest(APP_SECRET.encode(), payload, "sha256")).rstrip(b"=")
    return {"data": {"signed_request": f"{signature.decode()}.{payload.decode()}"}}


def test_who_wants_to_be_forgotten_is(doors: str, mesh: Mesh, accounts: dict[str, UUID]) -> None:
    mesh.sql(
        "insert into integration_tokens (integration_id, access_token_sealed, details)"
        " values (%(id)s, 'v1:k1:x', '{\"user_id\": \"77\"}')",
        id=accounts["bolt"],
    )
    answer = requests.post(f"{doors}/hooks/meta_ads", **wish("77"), timeout=10)
    assert answer.status_code == 200
    said = answer.json()
    assert said["confirmation_code"] in said["url"]
    assert "was forgotten here on" in requests.get(said["url"], timeout=10).text
    assert mesh.count("integration_tokens") == 0
    states = {row.id: row.state for row in mesh.sql("select id, state from integrations")}
    assert (states[accounts["bolt"]], states[accounts["acme"]]) == ("disconnected", "active")
    nobody = requests.post(f"{doors}/hooks/meta_ads", **wish("78"), timeout=10).json()
    assert requests.get(nobody["url"], timeout=10).status_code == 404

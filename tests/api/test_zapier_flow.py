"""A platform that subscribes hooks, shows samples and sends events, by nothing but the API: as Zapier does."""

from __future__ import annotations

import json

import pytest

from tests.api.client import Client, client
from tests.mesh import Mesh

TARGET = "/zapier/hooks/standard/1234567/abc123def456/"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def zapier(mesh: Mesh, doors: str) -> Client:
    """The key that a person pasted there."""
    return client(mesh, doors)


def test_a_zap_is_switched_on_and_off(mesh: Mesh, zapier: Client) -> None:
    assert zapier.get("/v1/me")["tenant_id"] == "acme"
    (sample,) = zapier.get("/v1/event-types/user.signup/recent")
    wanted = {"url": mesh.sandbox.url + TARGET, "event_type": "user.signup"}
    hook = zapier.post("/v1/webhooks", wanted, 201)
    mesh.sandbox.control.record_bodies(True)
    zapier.post("/v1/events", {"type": "user.signup", "data": sample["data"]}, 202)
    mesh.drain()
    (sent,) = mesh.sandbox.control.received(path=TARGET)
    assert set(json.loads(sent["body"])) == set(sample), "mapped fields are where the sample showed them"
    assert zapier("DELETE", f"/v1/webhooks/{hook['id']}").status_code == 204
    assert zapier("DELETE", f"/v1/webhooks/{hook['id']}").status_code == 204
    before = mesh.sandbox.control.counts(TARGET)["requests"]
    zapier.post("/v1/events", {"type": "user.signup", "data": sample["data"]}, 202)
    mesh.drain()
    assert mesh.sandbox.control.counts(TARGET)["requests"] == before


def test_a_step_creates_an_event_once_however_often_it_is_played(mesh: Mesh, zapier: Client) -> None:
    row = {"user_id": "u_1", "plan": ""}
    answers = [
        zapier("POST", "/v1/events/user.signup?key=user_id", data=row, headers=FORM).json()["new"] for _ in range(3)
    ]
    assert answers == [True, False, False]
    assert mesh.sql("select data from events")[0].data == {"user_id": "u_1"}


def test_a_step_that_waits_is_called_back(mesh: Mesh, zapier: Client) -> None:
    callback = {
        "url": f"{mesh.sandbox.url}/receive/callback",
        "event_type": "user.signup",
        "filters": {"user_id": "me"},
    }
    hook = zapier.post("/v1/webhooks", callback, 201)
    zapier.post("/v1/events", [{"type": "user.signup", "data": {"user_id": each}} for each in ("you", "me")], 202)
    mesh.drain()
    assert mesh.sandbox.control.counts("/receive/callback")["requests"] == 1
    assert zapier("DELETE", f"/v1/webhooks/{hook['id']}").status_code == 204

"""Connecting an account by a login, with the API and a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from sandbox.process import Sandbox
from settings import Settings
from tests.api.client import Client, client
from tests.mesh import Mesh
from tests.oauth import NAME, Browser, mesh_with_logins, one_account
from tests.servers import Servers
from worker import oauth_requests


@pytest.fixture
def mesh(
    servers: Servers, mesh_settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mesh]:
    """A mesh with an app at a provider that has logins; browsers reach it at its doors."""
    with mesh_with_logins(servers, mesh_settings, sandbox, monkeypatch) as mesh:
        mesh.settings = mesh.settings.model_copy(update={"mesh_public_url": mesh_settings.mesh_hooks_url})
        yield mesh


@pytest.fixture
def acme(mesh: Mesh, doors: str) -> Client:
    """A key of tenant acme for everything."""
    return client(mesh, doors)


def begun(acme: Client, **options: str) -> str:
    """The address that the API answers."""
    answer = acme("POST", "/v1/integrations", {"provider": NAME, **options})
    assert answer.status_code == 202, answer.text
    address: str = answer.json()["authorize_url"]
    return address


def come_back(browser: Browser, address: str, decision: str = "allow") -> str:
    opened = browser.open(address)
    assert opened.status == 302, opened.text
    assert opened.location is not None
    return browser.decide(opened.location, decision)


def test_a_browser_logs_in_and_the_account_is_there(mesh: Mesh, acme: Client) -> None:
    one_account(mesh.sandbox)
    browser = Browser()
    page = browser.open(come_back(browser, begun(acme)))
    assert (page.status, "Sample is connected: North (1001)." in page.text) == (200, True)
    (account,) = acme.get("/v1/integrations")
    assert (account["state"], account["account_id"]) == ("active", "1001")
    token = acme.get(f"/v1/integrations/{account['id']}")["token"]
    assert token["refresh_state"] == "idle"
    assert acme("DELETE", f"/v1/integrations/{account['id']}").status_code == 204


def test_of_several_accounts_one_is_chosen(mesh: Mesh, acme: Client) -> None:
    browser = Browser()
    page = browser.open(come_back(browser, begun(acme, name="ads")))
    assert "Now choose one of its" in page.text
    (waiting,) = acme.get("/v1/integrations")
    path = f"/v1/integrations/{waiting['id']}"
    reached = acme.get(f"{path}/accounts")
    usable = next(each for each in reached if not each["unusable"])
    wrong = acme("PUT", f"{path}/account", {"account_id": "nobody's"})
    assert (wrong.status_code, "does not reach account" in wrong.json()["detail"]) == (422, True)
    chosen = acme("PUT", f"{path}/account", {"account_id": usable["id"]}).json()
    assert (chosen["state"], chosen["account_id"]) == ("active", usable["id"])
    again = acme.post(f"{path}/reconnect", expect=202)
    assert "/authorize?request=" in again["authorize_url"]


def test_the_page_to_return_to_is_one_of_ours(mesh: Mesh, acme: Client) -> None:
    one_account(mesh.sandbox)
    browser = Browser()
    page = browser.open(come_back(browser, begun(acme, return_to="/ui/integrations")))
    assert (page.status, page.location) == (303, "/ui/integrations")
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example"):
        answer = acme("POST", "/v1/integrations", {"provider": NAME, "return_to": elsewhere})
        assert answer.status_code == 422, elsewhere


def test_who_says_no_connects_nothing(mesh: Mesh, acme: Client) -> None:
    browser = Browser()
    page = browser.open(come_back(browser, begun(acme), "deny"))
    assert (page.status, "was cancelled" in page.text) == (400, True)
    assert acme.get("/v1/integrations") == []


def test_a_login_ends_in_the_browser_in_which_it_began(mesh: Mesh, acme: Client) -> None:
    one_account(mesh.sandbox)
    callback = come_back(Browser(), begun(acme))
    page = Browser().open(callback)
    assert (page.status, "another browser" in page.text) == (400, True)
    assert acme.get("/v1/integrations") == []


def test_an_address_is_good_for_its_provider_and_its_time(
    mesh: Mesh, acme: Client, doors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = begun(acme)
    assert Browser().open(address.replace(f"/{NAME}/", "/tiktok_ads/")).status == 400
    assert Browser().open(f"{address[:-4]}AAAA").status == 400
    old = oauth_requests.seal(mesh.resources.vault, "acme", NAME)
    later = time.time() + oauth_requests.LASTS_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    page = Browser().open(f"{doors}/oauth/{NAME}/authorize?{urlencode({'request': old})}")
    assert (page.status, "older than ten minutes" in page.text) == (400, True)

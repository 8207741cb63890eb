"""Accounts that are connected by a login at the provider: from the form, there and back, and which account it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from cli.stack import Plan, _api
from sandbox.process import Sandbox
from settings import Settings
from tests.mesh import Mesh
from tests.oauth import NAME, Browser, mesh_with_logins, one_account
from tests.servers import Servers
from tests.ui.conftest import Enter, Visit, said


@pytest.fixture
def mesh(
    servers: Servers, mesh_settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mesh]:
    """A mesh with an app at a provider that has logins; browsers reach it at its doors."""
    with mesh_with_logins(servers, mesh_settings, sandbox, monkeypatch) as mesh:
        mesh.settings = mesh.settings.model_copy(update={"mesh_public_url": mesh_settings.mesh_hooks_url})
        yield mesh


def begun(olga: Visit, path: str = f"/connect/{NAME}", **form: str) -> str:
    """The address on the page from which the browser leaves."""
    answer = olga.post(path, {"tenant": "acme", "name": "main", "field-note": "for spring", **form})
    assert answer.status_code == 200, said(answer.text)
    (address,) = re.findall(r'href="(http[^"]+/oauth/[^"]+)"', answer.text)
    return unescape(address)


def there_and_back(olga: Visit, address: str) -> str:
    """Log in at the provider; the path of ours that the browser ends at."""
    browser = Browser()
    leaving = browser.open(address).location
    assert leaving is not None
    back = browser.open(browser.decide(leaving)).location
    assert back is not None
    assert back.startswith("/ui/"), "back on a page of ours"
    return back.removeprefix("/ui")


def test_an_account_is_connected_by_a_login(mesh: Mesh, olga: Visit) -> None:
    one_account(mesh.sandbox)
    back = there_and_back(olga, begun(olga))
    page = olga.read(back)
    assert "Sample" in page
    assert "1001 North EUR" in page
    assert re.search(r"Token \d+ min left", page)
    account = mesh.one("select id from integrations")
    assert mesh.one("select config->>'note' from integrations") == "for spring"
    page = olga.read(f"/integrations/{account}")
    assert "Its login" in page
    assert "Scopes read, write" in page
    assert mesh.one("select action from audit_log where subject = 'integration'") == "begin login"


def test_which_of_several_accounts_is_chosen_on_a_page(mesh: Mesh, olga: Visit) -> None:
    there_and_back(olga, begun(olga))
    account = mesh.one("select id from integrations")
    assert "You: Choose the account to use." in olga.read("/integrations")
    assert "Sample of acme, main Choose the account to use." in olga.read("/")
    page = olga.get(f"/integrations/{account}/choose").text
    (first, *others) = re.findall(r'name="account" id="a-\d+" value="(\w+)" required>', page)
    assert others, "there are several"
    assert "It is closed." in said(page)
    assert f"It uses account {first} now" in olga.did(f"/integrations/{account}/choose", {"account": first})
    assert mesh.one("select external_account_id from integrations") == first
    assert "does not reach account 'x'" in olga.refused(f"/integrations/{account}/choose", {"account": "x"})
    assert mesh.count("audit_log", "action = 'choose account'") == 1, "what was not done is not in the audit"


def test_logging_in_again_ends_where_it_began(mesh: Mesh, olga: Visit) -> None:
    one_account(mesh.sandbox)
    there_and_back(olga, begun(olga))
    account = mesh.one("select id from integrations")
    mesh.sql("update integrations set state = 'needs_reconnect', state_reason = 'It was revoked.'")
    again = begun(olga, f"/integrations/{account}/reconnect")
    assert there_and_back(olga, again) == f"/integrations/{account}"
    assert mesh.one("select state from integrations") == "active"
    assert mesh.count("integrations") == 1


def test_what_cannot_be_begun_is_said_on_the_form(mesh: Mesh, olga: Visit) -> None:
    answer = olga.post(f"/connect/{NAME}", {"tenant": "gone", "name": "main"})
    assert answer.status_code == 422
    assert 'Tenant "gone" is not known' in said(answer.text)


def test_disconnecting_tells_the_provider(mesh: Mesh, olga: Visit) -> None:
    one_account(mesh.sandbox)
    there_and_back(olga, begun(olga))
    account = mesh.one("select id from integrations")
    page = olga.did(f"/integrations/{account}/disconnect")
    assert "The provider was told, and has ended the permission." in page
    assert mesh.count("integration_tokens") == 0


def test_no_token_stands_on_any_page(mesh: Mesh, olga: Visit, enter: Enter) -> None:
    one_account(mesh.sandbox)
    there_and_back(olga, begun(olga))
    row = mesh.sql("select integration_id as id, access_token_sealed as sealed from integration_tokens")[0]
    token = mesh.resources.vault.open(row.sealed, f"integration_tokens.access_token_sealed:{row.id}")
    for path in ("/integrations", f"/integrations/{row.id}", f"/integrations/{row.id}/choose", "/audit"):
        text = olga.get(path).text
        assert token not in text
        assert row.sealed not in text


def test_logins_of_a_local_stack_come_back_to_its_pages(tmp_path: Path) -> None:
    def public_url(**env: str) -> str:
        plan = Plan(tmp_path, env, workers=1, threads=1, api_port=8001)
        return _api(plan).env["MESH_PUBLIC_URL"]

    assert public_url() == "http://127.0.0.1:8001"
    assert public_url(MESH_PUBLIC_URL="https://mesh.example.com") == "https://mesh.example.com"

"""A provider on the sandbox's OAuth 2 stand-in, a browser that keeps cookies, and logins in this process.

The provider takes the place of one in the registry, for its settings: those are named in `settings.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar
from typing import Any, cast
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, ProxyHandler, Request, build_opener
from uuid import UUID

import pytest
from pydantic import SecretStr

import providers
from model import Done, Outcome
from providers.contract import Action, Call, Field, Provider
from providers.http import api_request
from providers.oauth2 import Client, Grant, OAuth2, Reached
from sandbox.process import Sandbox
from settings import Settings
from tests.conftest import empty
from tests.mesh import TENANT, Mesh
from tests.servers import Servers
from worker.oauth import Connected, OAuth, new_browser_secret
from worker.resources import Resources
from worker.tokens import Tokens

NAME = "meta_ads"
TITLE = "Sample"
PUBLIC_URL = "http://127.0.0.1:8123"
APP_ID, APP_SECRET = "app-1", "s3cretPLANTEDapp0123456789"
EVENT = "report.generated"
DATA: Mapping[str, Any] = {"report_id": "rep_1", "kind": "daily"}
TOKEN_DOOR = "/oauth2/token"


def _reached(row: Mapping[str, Any]) -> Reached:
    config = {"currency": row["currency"], "timezone": row["timezone"]}
    return Reached(row["id"], row["name"], config, "" if row["open"] else "It is closed.")


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def accounts(client: Client, grant: Grant) -> list[Reached]:
    """What a login reaches."""
    request = api_request("GET", client.base_url, "/accounts", headers=_bearer(grant.access_token))
    return [_reached(row) for row in client.send(request).json()["accounts"]]


def message(call: Call) -> Outcome:
    """One call with the token."""
    headers = _bearer(call.secrets["access_token"])
    body = {"account": call.config.get("account_id")}
    answer = call.send(api_request("POST", call.base_url, "/messages", headers=headers, json_body=body))
    return Done(external_id=answer.json()["id"])


FACTS = OAuth2(
    authorize_url="https://sample.example/oauth2/authorize",
    scopes=("read", "write"),
    pkce=True,
    token_path="/token",
    revoke_path="/revoke",
    accounts=accounts,
)
PROVIDER = Provider(
    name=NAME,
    title=TITLE,
    base_url="https://sample.example",
    docs_url="",
    api_version="1",
    auth="oauth2",
    actions={EVENT: Action(message)},
    fields=(Field("pixel_id", "Pixel", required=False), Field("note", "Note", required=False)),
    oauth=FACTS,
)


def registry() -> dict[str, Provider]:
    """The registry, to put something into."""
    return cast(dict[str, Provider], providers.PROVIDERS)


def install(**changes: Any) -> None:
    """Put the provider into the registry for good: in processes of their own."""
    registry()[NAME] = replace(PROVIDER, oauth=replace(FACTS, **changes))


def settings_for(given: Settings, sandbox: Sandbox) -> Settings:
    """Settings with our app at the provider."""
    return given.model_copy(
        update={
            "mesh_public_url": PUBLIC_URL,
            f"{NAME}_base_url": f"{sandbox.url}/oauth2",
            f"{NAME}_authorize_url": f"{sandbox.url}/oauth2/authorize",
            f"{NAME}_api_key": SecretStr(APP_ID),
            f"{NAME}_secret": SecretStr(APP_SECRET),
        }
    )


class NoRedirects(HTTPRedirectHandler):
    """Hands a redirect back instead of following it."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Do not follow."""


@dataclass(frozen=True)
class Page:
    """What a browser shows, or where it is sent."""

    status: int
    text: str
    location: str | None


class Browser:
    """Keeps cookies, follows nothing by itself."""

    def __init__(self) -> None:
        self.cookies = CookieJar()
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self.cookies), NoRedirects())

    def open(self, url: str, form: Mapping[str, str] | None = None) -> Page:
        """One page."""
        body = None if form is None else urlencode(form).encode()
        try:
            with self._opener.open(Request(url, body), timeout=30) as answer:
                return Page(answer.status, answer.read().decode(), None)
        except HTTPError as other:
            with other:
                return Page(other.code, other.read().decode(), other.headers.get("Location"))

    def decide(self, authorize_url: str, decision: str = "allow") -> str:
        """See the provider's dialog and press a button; the address of ours that the browser is sent to."""
        assert 'name="decision"' in self.open(authorize_url).text
        there = self.open(authorize_url, {"decision": decision}).location
        assert there is not None
        return there


def query_of(url: str) -> dict[str, str]:
    """The query of an address."""
    return dict(parse_qsl(urlsplit(url).query))


class Logins:
    """Logins in this process, as the mesh at hand has them."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.browser_secret = new_browser_secret()
        shared = mesh.resources
        self.oauth = OAuth(shared.engine, shared.vault, shared.transport, shared.installed, shared.tokens, PUBLIC_URL)

    def begin(self, **options: Any) -> str:
        """The provider's page."""
        self.mesh.tenant(TENANT)
        given = {"tenant_id": TENANT, "provider": NAME, "browser_secret": self.browser_secret, **options}
        return self.oauth.begin(**given)

    def callback(self, decision: str = "allow", **options: Any) -> dict[str, str]:
        """What the browser brings back."""
        return query_of(Browser().decide(self.begin(**options), decision))

    def finish(self, callback: Mapping[str, str], **options: Any) -> Connected:
        """What is made of it."""
        given = {"provider": NAME, "callback": callback, "browser_secret": self.browser_secret, **options}
        return self.oauth.finish(**given)

    def connect(self, **options: Any) -> Connected:
        """A whole login."""
        return self.finish(self.callback(**options))


def one_account(sandbox: Sandbox) -> None:
    """Let logins reach a single account."""
    only = [{"id": "1001", "name": "North", "currency": "EUR", "timezone": "Europe/Berlin", "open": True}]
    sandbox.control.do("oauth2", "change", accounts=only)


@contextmanager
def mesh_with_logins(
    servers: Servers, given: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, **facts: Any
) -> Iterator[Mesh]:
    """A mesh on empty tables whose registry has the provider."""
    monkeypatch.setitem(registry(), NAME, replace(PROVIDER, oauth=replace(FACTS, **facts)))
    empty(servers)
    mesh = Mesh(settings_for(given, sandbox), sandbox)
    yield mesh
    mesh.close()


def token_row(mesh: Mesh, integration_id: UUID) -> Any:
    """The row of an account's token."""
    return mesh.sql("select * from integration_tokens where integration_id = %(id)s", id=integration_id)[0]


def expire(mesh: Mesh, integration_id: UUID) -> None:
    """Let an access token's time be over, for us and at the provider."""
    mesh.sql(
        "update integration_tokens set expires_at = now() - interval '1 s' where integration_id = %(id)s",
        id=integration_id,
    )
    mesh.sandbox.control.do("oauth2", "end_access_tokens")


def make_due(mesh: Mesh, integration_id: UUID) -> None:
    """Let the time of its refresh come, also after a failure."""
    mesh.sql("update integration_tokens set next_refresh_at = now() where integration_id = %(id)s", id=integration_id)


def tokens_of(mesh: Mesh, **options: Any) -> Tokens:
    """Tokens as another process has them."""
    return tokens_with(mesh.resources, **options)


def tokens_with(shared: Resources, **options: Any) -> Tokens:
    """The same, with what a process has."""
    return Tokens(shared.engine, shared.vault, shared.transport, shared.installed, **options)


def asked(sandbox: Sandbox) -> int:
    """How often the token endpoint was asked to refresh."""
    return int(sandbox.control.do("oauth2", "status")["refreshes"])

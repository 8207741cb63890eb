"""Webhooks and accounts as their owners use them: registered once, refused with a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from providers.errors import TargetForbidden
from tests.mesh import Mesh
from worker import accounts
from worker.accounts import AccountError
from worker.subscriptions import SubscriptionError


def test_the_same_again_is_the_same_and_shows_no_secret(mesh: Mesh) -> None:
    first, again = mesh.hook(), mesh.hook()
    assert (first.new, again.new) == (True, False)
    assert again.webhook_id == first.webhook_id
    assert first.secret is not None
    assert first.secret.startswith("whsec_")
    assert again.secret is None
    assert mesh.count("webhooks") == mesh.count("integrations") == 1


def test_another_user_type_or_url_is_another_one(mesh: Mesh) -> None:
    hooks = [
        mesh.hook(),
        mesh.hook(user_id="u2"),
        mesh.hook(event_type="*"),
        mesh.hook("/receive/y"),
        mesh.hook(tenant="b"),
    ]
    assert len({hook.webhook_id for hook in hooks}) == 5
    assert mesh.count("integrations") == 2, "one account a tenant"


def test_after_it_was_unregistered_it_is_a_new_one(mesh: Mesh) -> None:
    first = mesh.hook()
    waiting = mesh.signup()
    for _ in range(2):  # doing it again is no error
        with mesh.engine.begin() as connection:
            mesh.subscriptions.unregister(connection, first.webhook_id)
    again = mesh.hook()
    assert again.new
    assert again.webhook_id != first.webhook_id
    mesh.deliver(waiting)
    assert (mesh.delivery(waiting).state, mesh.delivery(waiting).error_code) == ("cancelled", "webhook_unregistered")


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"event_type": "user.signups"}, SubscriptionError, "did you mean user.signup"),
        ({"tenant_id": "nobody"}, SubscriptionError, 'Tenant "nobody" is not known'),
        ({"url": "http://example.com/x"}, TargetForbidden, "must start with https"),
        ({"url": "https://10.0.0.1/x"}, TargetForbidden, "host name"),
        ({"url": "ftp://127.0.0.1/x"}, TargetForbidden, "http"),
        ({"url": ""}, TargetForbidden, "URL"),
    ],
)
def test_what_is_refused(mesh: Mesh, arguments: Mapping[str, Any], error: type[Exception], sentence: str) -> None:
    mesh.tenant()
    given = {"tenant_id": "acme", "event_type": "user.signup", "url": mesh.sandbox.url + "/receive/x", **arguments}
    with pytest.raises(error, match=sentence), mesh.engine.begin() as connection:
        mesh.subscriptions.register(connection, **given)
    assert mesh.count("webhooks") == 0


def test_a_closed_webhook_is_not_changed(mesh: Mesh) -> None:
    hook = mesh.hook().webhook_id
    with mesh.engine.begin() as connection:
        mesh.subscriptions.unregister(connection, hook)
    for change in (mesh.subscriptions.rotate_secret, mesh.subscriptions.enable, mesh.subscriptions.disable):
        with pytest.raises(SubscriptionError, match="is unregistered: register the URL anew"), mesh.engine.begin() as c:
            change(c, hook)
        with pytest.raises(SubscriptionError, match="There is no webhook"), mesh.engine.begin() as c:
            change(c, uuid4())


def test_an_accounts_secrets_are_sealed_and_its_config_is_not(mesh: Mesh) -> None:
    integration_id = mesh.account("sk_planted")
    (row,) = mesh.sql("select * from integrations")
    assert row.config == {"voice_id": "v_host", "model_id": "eleven_multilingual_v2", "output_format": "mp3_44100_128"}
    assert "planted" not in row.secrets_sealed
    opened = mesh.resources.vault.open(row.secrets_sealed, f"integrations.secrets_sealed:{integration_id}")
    assert json.loads(opened) == {"api_key": "sk_planted"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"provider": "myspace"}, "There is no provider 'myspace'"),
        ({"tenant_id": "nobody"}, 'Tenant "nobody" is not known'),
        ({"fields": {"api_key": "k"}}, "ElevenLabs needs voice_id."),
        ({"fields": {}}, "ElevenLabs needs api_key and voice_id."),
        ({"fields": {"api_key": "k", "voice_id": "v", "colour": "c"}}, "ElevenLabs has no field 'colour'"),
        ({"name": "main"}, 'integration named "main" already'),
    ],
)
def test_what_an_account_needs(mesh: Mesh, change: Mapping[str, Any], sentence: str) -> None:
    mesh.account()
    given = {
        "tenant_id": "acme",
        "provider": "elevenlabs",
        "fields": {"api_key": "planted", "voice_id": "v"},
        "name": "second",
        **change,
    }
    with pytest.raises(AccountError, match=sentence) as caught, mesh.engine.begin() as connection:
        accounts.connect(connection, mesh.resources.vault, **given)
    assert "planted" not in str(caught.value)
    assert mesh.count("integrations") == 1


def test_an_unknown_account_is_not_paused(mesh: Mesh) -> None:
    for change in (accounts.pause, accounts.resume):
        with pytest.raises(AccountError, match="There is no integration"), mesh.engine.begin() as connection:
            change(connection, uuid4())

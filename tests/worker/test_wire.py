"""What leaves on the wire for a webhook, judged by the reference library from what the sandbox received."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from providers.signatures import new_secret
from tests.mesh import Mesh


@pytest.fixture
def recorded(mesh: Mesh) -> Mesh:
    """A mesh whose receiver keeps what it gets."""
    mesh.sandbox.control.record_bodies(True)
    return mesh


def last(mesh: Mesh) -> Any:
    return mesh.sandbox.control.received()[-1]


def verify(secret: str, request: Any) -> Any:
    return Webhook(secret).verify(request["body"], request["headers"])


def test_the_reference_library_accepts_the_signature(recorded: Mesh) -> None:
    registered = recorded.hook()
    accepted = recorded.publish(data={"user_id": "ä€😀", "source": "</script>"})
    ((_, delivery_id),) = accepted.deliveries
    recorded.deliver(delivery_id)
    request = last(recorded)
    body = verify(registered.secret or "", request)
    assert body["data"] == {"user_id": "ä€😀", "source": "</script>"}
    assert (body["id"], body["type"], body["tenant_id"]) == (str(accepted.event_id), "user.signup", "acme")
    assert request["headers"]["webhook-id"] == str(delivery_id)
    assert request["headers"]["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        verify(new_secret(), request)
    changed = {**request, "body": request["body"].replace("user.signup", "user.signin")}
    with pytest.raises(WebhookVerificationError):
        verify(registered.secret or "", changed)


def test_all_attempts_have_one_id_and_each_its_time(recorded: Mesh) -> None:
    registered = recorded.hook()
    recorded.sandbox.control.add_rule("/receive/x", {"status": 500}, times=1)
    delivery_id = recorded.signup()
    recorded.deliver(delivery_id)
    recorded.due_now()
    recorded.deliver(delivery_id)
    first, second = recorded.sandbox.control.received()
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"] == str(delivery_id)
    assert json.loads(first["body"]) == json.loads(second["body"])
    for request in (first, second):
        assert verify(registered.secret or "", request)


def test_during_a_rotation_both_secrets_verify_and_then_only_the_new_one(recorded: Mesh) -> None:
    registered = recorded.hook()
    old = registered.secret or ""
    with recorded.engine.begin() as connection:
        new = recorded.subscriptions.rotate_secret(connection, registered.webhook_id)
    assert new != old
    recorded.deliver(recorded.signup())
    assert verify(old, last(recorded))
    assert verify(new, last(recorded))
    assert len(last(recorded)["headers"]["webhook-signature"].split()) == 2
    recorded.sql(  # the overlap is over
        "update webhooks set secrets = jsonb_set(secrets, '{1,expires_at}', to_jsonb(to_char(now() - interval"
        " '1 second', 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00')))"
    )
    recorded.deliver(recorded.signup())
    assert verify(new, last(recorded))
    with pytest.raises(WebhookVerificationError):
        verify(old, last(recorded))


def test_rotating_twice_keeps_all_that_have_not_expired(recorded: Mesh) -> None:
    registered = recorded.hook()
    secrets = [registered.secret or ""]
    for _ in range(2):
        with recorded.engine.begin() as connection:
            secrets.append(recorded.subscriptions.rotate_secret(connection, registered.webhook_id))
    recorded.deliver(recorded.signup())
    assert all(verify(secret, last(recorded)) for secret in secrets)
    with recorded.engine.begin() as connection:
        newest = recorded.subscriptions.rotate_secret(connection, registered.webhook_id, overlap=timedelta(0))
    recorded.deliver(recorded.signup())
    assert verify(newest, last(recorded))
    with pytest.raises(WebhookVerificationError):
        verify(secrets[2], last(recorded))
    assert verify(secrets[0], last(recorded)), "whose time was set before keeps it"


def test_after_the_encryption_key_was_rotated_it_still_signs(recorded: Mesh) -> None:
    from worker import vault

    registered = recorded.hook()
    keys = recorded.settings.mesh_encryption_keys.get_secret_value()
    recorded.resources.vault = vault.parse(f"{vault.generate('k2')},{keys}")
    recorded.deliver(recorded.signup())
    assert verify(registered.secret or "", last(recorded))


def test_redirects_are_not_followed(recorded: Mesh) -> None:
    recorded.hook("/fault/302/receive/x")
    delivery_id = recorded.signup()
    recorded.deliver(delivery_id)
    assert (recorded.delivery(delivery_id).state, recorded.delivery(delivery_id).error_code) == ("failed", "redirected")
    assert recorded.sandbox.control.counts("/receive/redirected")["requests"] == 0

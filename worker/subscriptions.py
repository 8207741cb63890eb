"""Webhooks as their owners use them: register, rotate the secret, send a test, disable, unregister."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.integrations
import db.tenants
import db.webhooks
from providers import PROVIDERS
from providers.addresses import AddressPolicy
from providers.http import masked
from providers.signatures import new_secret
from worker import ids
from worker.catalog import event_types, unknown
from worker.tenants import unknown as unknown_tenant
from worker.vault import Vault

PROVIDER = "zapier"  # whose webhooks these are, unless another is named
SECRET_OVERLAP = timedelta(hours=24)  # the old secret signs beside the new one for this long


class SubscriptionError(ValueError):
    """A webhook cannot be registered or changed; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A webhook, and its secret: shown this once, kept sealed. No secret when it was registered before."""

    webhook_id: UUID
    new: bool
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The webhooks of one installation."""

    vault: Vault
    policy: AddressPolicy

    def register(
        self,
        connection: Connection,
        *,
        tenant_id: str,
        event_type: str,
        url: str,
        user_id: str = "",
        filters: Mapping[str, Any] | None = None,
        rate_per_s: float | None = None,
        max_in_flight: int | None = None,
        provider: str = PROVIDER,
    ) -> Registered:
        """Subscribe a URL to an event type ("*" = all). The same again returns the first one's id.

        Raises SubscriptionError for an unknown type or tenant, TargetForbidden for an address that is not called.
        """
        if event_type != "*" and event_type not in event_types():
            raise SubscriptionError(unknown(event_type))
        if tenant_id not in db.tenants.states(connection, [tenant_id]):
            raise SubscriptionError(unknown_tenant(tenant_id))
        self.policy.check_url(url)
        webhook_id, secret = ids.new(), new_secret()
        url_hash = hashlib.sha256(url.encode()).digest()
        made = db.webhooks.register(
            connection,
            webhook_id=webhook_id,
            tenant_id=tenant_id,
            integration_id=account(connection, tenant_id, provider),
            user_id=user_id,
            event_type=event_type,
            url_sealed=self.vault.seal(url, f"webhooks.url_sealed:{webhook_id}"),
            url_hash=url_hash,
            url_hint=masked(url),
            filters=filters or {},
            secrets=[self._sealed(webhook_id, secret)],
            rate_per_s=rate_per_s,
            max_in_flight=max_in_flight,
        )
        if made is not None:
            return Registered(made, True, secret)
        known = db.webhooks.find(connection, tenant_id, user_id, event_type, url_hash)
        if known is None:
            raise SubscriptionError("The webhook was unregistered a moment ago: register it again.")
        return Registered(known, False, None)

    def _sealed(self, webhook_id: UUID, secret: str) -> dict[str, Any]:
        sealed = self.vault.seal(secret, f"webhooks.secrets:{webhook_id}")
        return {"id": str(ids.new()), "sealed": sealed, "expires_at": None}

    def rotate_secret(self, connection: Connection, webhook_id: UUID, *, overlap: timedelta = SECRET_OVERLAP) -> str:
        """Make a new secret, shown this once; the old ones sign beside it until the overlap ends."""
        webhook = self._live(connection, webhook_id)
        now = datetime.now(UTC)
        secret = new_secret()
        old = [
            {**each, "expires_at": each["expires_at"] or (now + overlap).isoformat()}
            for each in webhook.secrets
            if each["expires_at"] is None or each["expires_at"] > now.isoformat()
        ]
        db.webhooks.set_secrets(connection, webhook_id, [self._sealed(webhook_id, secret), *old])
        return secret

    def unregister(self, connection: Connection, webhook_id: UUID) -> None:
        """End a subscription; its waiting deliveries are cancelled. Doing it again is no error."""
        db.webhooks.set_state(connection, [webhook_id], "unregistered", "Its owner unregistered it.")

    def enable(self, connection: Connection, webhook_id: UUID) -> None:
        """Make a disabled webhook work again. Its dead letters stay until they are replayed."""
        self._live(connection, webhook_id)
        db.webhooks.set_state(connection, [webhook_id], "active", "")

    def disable(self, connection: Connection, webhook_id: UUID) -> None:
        """Stop a webhook; its waiting deliveries become dead letters, replayable once it is enabled."""
        self._live(connection, webhook_id)
        db.webhooks.set_state(connection, [webhook_id], "disabled", "Its owner disabled it.")

    def _live(self, connection: Connection, webhook_id: UUID) -> Any:
        webhook = db.webhooks.get(connection, webhook_id, lock=True)
        if webhook is None:
            raise SubscriptionError(f"There is no webhook {webhook_id}: `mesh webhooks list` shows those that are.")
        if webhook.state in ("gone", "unregistered"):
            raise SubscriptionError(f"Webhook {webhook_id} is {webhook.state}: register the URL anew.")
        return webhook


def account(connection: Connection, tenant_id: str, provider: str) -> UUID:
    """The tenant's account at a provider of webhooks, made when this is the first."""
    made = db.integrations.create(
        connection,
        integration_id=ids.new(),
        tenant_id=tenant_id,
        provider=provider,
        name="default",
        config={},
        secrets_sealed=None,
    )
    found = made or db.integrations.find(connection, tenant_id, provider, "default")
    assert found is not None, f"{PROVIDERS[provider].title} has an account of {tenant_id} now"
    return found

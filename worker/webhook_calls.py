"""Calls to a webhook outside of any delivery: a test that its owner asks for, and the farewell after unregistering."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from model import Event
from providers import PROVIDERS
from providers.contract import Call, Exchange
from providers.errors import OutcomeUnknown, ProviderError
from providers.http import Transport
from worker import ids
from worker.catalog import event_types
from worker.vault import Vault

TEST_DEADLINE_S = 10.0  # a person waits
ANY_TYPE = "campaign.created"  # what a webhook for all types gets as its test


@dataclass(frozen=True, slots=True)
class Tested:
    """What came back. No error = it took the event."""

    event_type: str
    message_id: str
    duration_ms: int
    exchange: Exchange | None
    error: ProviderError | None

    @property
    def sent(self) -> bool:
        """Whether anything may have reached the receiver."""
        answered = self.exchange is not None and self.exchange.status is not None
        return answered or self.error is None or isinstance(self.error, OutcomeUnknown)


def target_url(webhook: Any, vault: Vault) -> str:
    """Where a webhook leads."""
    return vault.open(webhook.url_sealed, f"webhooks.url_sealed:{webhook.id}")


def send_test(webhook: Any, provider: str, vault: Vault, transport: Transport) -> Tested:
    """Send the catalog's example of the webhook's event type once, signed, through the provider's adapter.

    It is no delivery: nothing is stored, and nothing is tried again.
    """
    now = datetime.now(UTC)
    event_type = webhook.event_type if webhook.event_type != "*" else ANY_TYPE
    facts = PROVIDERS[provider]
    call = Call(
        provider=facts,
        event=Event(ids.new(), webhook.tenant_id, event_type, event_types()[event_type].example, now),
        delivery_id=ids.new(),
        integration_id=webhook.integration_id,
        attempt_number=1,
        base_url=facts.base_url,
        config={},
        secrets={},
        progress={},
        first_attempt_at=now,
        now=now,
        deadline_s=TEST_DEADLINE_S,
        transport=transport,
        target_url=target_url(webhook, vault),
        signing_secrets=_signing(webhook, vault, now),
    )
    began = time.monotonic()
    error = _try(call)
    duration_ms = int((time.monotonic() - began) * 1000)
    return Tested(event_type, str(call.delivery_id), duration_ms, call.exchange, error)


def _try(call: Call) -> ProviderError | None:
    action = call.provider.action(call.event.type)
    assert action is not None, f"{call.provider.name} takes webhooks"
    try:
        action.run(call)
    except ProviderError as error:
        return error
    return None


def _signing(webhook: Any, vault: Vault, now: datetime) -> tuple[str, ...]:
    live = [each for each in webhook.secrets if each["expires_at"] is None or each["expires_at"] > now.isoformat()]
    return tuple(vault.open(each["sealed"], f"webhooks.secrets:{webhook.id}") for each in live)


def say_farewell(webhook: Any, provider: str, vault: Vault, transport: Transport) -> bool:
    """Tell the platform behind a webhook that it gets no more events. Whether there was somebody to tell."""
    farewell = PROVIDERS[provider].farewell
    return farewell is not None and farewell(transport, target_url(webhook, vault))

"""Which integrations and webhooks an event goes to. Pure: facts in, targets out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from model import Event
from providers.contract import Provider


@dataclass(frozen=True, slots=True)
class Account:
    """An integration, as far as routing needs it. No event types = all its provider has an action for."""

    id: UUID
    tenant_id: str
    provider: str
    event_types: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class Subscription:
    """A webhook, as far as routing needs it."""

    id: UUID
    tenant_id: str
    integration_id: UUID
    event_type: str
    filters: Mapping[str, Any]
    provider: str


@dataclass(frozen=True, slots=True)
class Target:
    """One place an event goes to."""

    provider: str
    integration_id: UUID
    webhook_id: UUID | None


def route(
    event: Event,
    accounts: Iterable[Account],
    subscriptions: Iterable[Subscription],
    providers: Mapping[str, Provider],
) -> list[Target]:
    """Every target of one event, each once."""
    direct = [Target(a.provider, a.id, None) for a in accounts if _takes(a, event, providers)]
    hooks = [Target(s.provider, s.integration_id, s.id) for s in subscriptions if _wants(s, event)]
    return direct + hooks


def _takes(account: Account, event: Event, providers: Mapping[str, Provider]) -> bool:
    provider = providers.get(account.provider)
    return (
        account.tenant_id == event.tenant_id
        and provider is not None
        and not provider.by_webhook
        and (event.type in account.event_types if account.event_types is not None else True)
        and provider.action(event.type) is not None
    )


def _wants(subscription: Subscription, event: Event) -> bool:
    return (
        subscription.tenant_id == event.tenant_id
        and subscription.event_type in (event.type, "*")
        and matches(subscription.filters, event.data)
    )


def matches(filters: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    """Whether every filter's value (or one of its list of values) is what the data holds under its dotted key."""
    return all(_holds(wanted, _find(data, key)) for key, wanted in filters.items())


def _holds(wanted: Any, found: Any) -> bool:
    return any(_same(each, found) for each in wanted) if isinstance(wanted, list) else _same(wanted, found)


def _same(wanted: Any, found: Any) -> bool:
    """Equal as JSON has it: true is not 1."""
    return bool(wanted == found) and isinstance(wanted, bool) == isinstance(found, bool)


def _find(data: Any, key: str) -> Any:
    for part in key.split("."):
        data = data.get(part) if isinstance(data, Mapping) else None
    return data

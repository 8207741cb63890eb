"""Which integrations and webhooks an event goes to. Pure: facts in, targets out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from model import Event
from providers.contract import Provider


@dataclass(frozen=True, slots=True)
class Recipient:
    """An account, or one of its webhooks: where an event of its tenant may go.

    `event_types` are an account's; none = all that its provider has an action for. `subscribed` is a webhook's.
    The rest is what a call needs. `well`: active, neither held nor failing.
    """

    tenant_id: str
    provider: str
    integration_id: UUID
    webhook_id: UUID | None = None
    event_types: Sequence[str] | None = None
    subscribed: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    secrets_sealed: str | None = field(default=None, repr=False)
    url_sealed: str | None = field(default=None, repr=False)
    signing_secrets: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    rate_per_s: float | None = None
    max_in_flight: int | None = None
    well: bool = False


def route(
    event: Event, recipients: Iterable[Recipient], providers: Mapping[str, Provider], *, addressed: bool = False
) -> list[Recipient]:
    """Everywhere one event goes, each once. `addressed`: only to the account that its data names."""
    named = event.data.get("integration_id") if addressed else None
    return [
        each
        for each in recipients
        if each.tenant_id == event.tenant_id
        and (not addressed or (each.webhook_id is None and str(each.integration_id) == named))
        and _takes(each, event, providers)
    ]


def only_to(
    event: Event, integration_id: UUID, recipients: Iterable[Recipient], providers: Mapping[str, Provider]
) -> list[Recipient]:
    """The account that an event is meant for, whatever types it takes of those that happen."""
    return [
        each
        for each in recipients
        if each.integration_id == integration_id
        and each.webhook_id is None
        and each.tenant_id == event.tenant_id
        and (provider := providers.get(each.provider)) is not None
        and provider.action(event.type) is not None
    ]


def _takes(recipient: Recipient, event: Event, providers: Mapping[str, Provider]) -> bool:
    if recipient.webhook_id is not None:
        return recipient.subscribed in (event.type, "*") and matches(recipient.filters, event.data)
    provider = providers.get(recipient.provider)
    if provider is None or provider.by_webhook:
        return False
    action = provider.action(event.type)
    return (
        action is not None
        and (recipient.event_types is None or event.type in recipient.event_types)
        and action.is_able(recipient.config)
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

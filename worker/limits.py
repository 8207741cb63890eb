"""Which rate limit is in force for a target."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit
from uuid import UUID

from providers.contract import Provider, Rate
from worker.vault import Vault, VaultError


def rate_in_force(
    provider: Provider, rate_per_s: float | None, webhook_id: UUID | None, url_sealed: str | None, vault: Vault
) -> Rate | None:
    """The target's own, else what the provider says of its host, else of our app, else of an account."""
    if rate_per_s is not None:
        return Rate(1, 1 / float(rate_per_s))
    if webhook_id and provider.host_rates:
        try:
            host = urlsplit(target_url(webhook_id, url_sealed, vault)).hostname
        except VaultError:  # the call itself will say so; its neighbours in this batch must not suffer
            return None
        return provider.host_rates.get(host or "")
    return app_rate(provider) or provider.rate


def app_rate(provider: Provider) -> Rate | None:
    """What all our accounts at a provider share."""
    return replace(provider.app_rate, shared_as=f"app:{provider.name}") if provider.app_rate else None


def target_url(webhook_id: UUID | None, url_sealed: str | None, vault: Vault) -> str:
    """The address of a webhook; empty for an account."""
    return "" if url_sealed is None else vault.open(url_sealed, f"webhooks.url_sealed:{webhook_id}")

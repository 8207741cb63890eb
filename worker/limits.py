"""Which limits are in force for a target: calls in a second, and calls at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit
from uuid import UUID

from providers.contract import Provider, Rate
from worker.outcomes import Claim
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


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `count` calls at once of all that share `key`; of a ceiling, until an answer has told another number."""

    key: str
    count: int


Caps = tuple[Cap | None, Cap | None]  # the target's own, and that of all with the same credential


def caps_in_force(claim: Claim, credentials: Callable[[], Mapping[str, str]]) -> Caps:
    """How many calls may be made at once: by the target's owner, and by its provider."""
    own = Cap(str(claim.target_id), claim.max_in_flight) if claim.max_in_flight else None
    ceiling = claim.provider.ceiling
    lane = ceiling.lane(claim.event.type, claim.event.data, claim.config) if ceiling else ""
    if ceiling is None or not lane:
        return own, None
    account = hashlib.sha256(credentials().get("api_key", "").encode()).hexdigest()[:24]
    return own, Cap(f"{claim.provider.name}:{account}:{lane}", ceiling.first)


def target_url(webhook_id: UUID | None, url_sealed: str | None, vault: Vault) -> str:
    """The address of a webhook; empty for an account."""
    return "" if url_sealed is None else vault.open(url_sealed, f"webhooks.url_sealed:{webhook_id}")

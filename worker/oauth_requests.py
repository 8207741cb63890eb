"""What a login is to connect, as a sealed text: who holds it may send one browser to a provider for one tenant."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.vault import Vault, VaultError

LASTS_S = 600.0  # as long as a login itself
_PLACE = "oauth.request"


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """One account that is to be connected by a login. `redirect_to`: the page of ours that is shown in the end."""

    tenant_id: str
    provider: str
    name: str = "default"
    fields: Mapping[str, str] = field(default_factory=dict)
    redirect_to: str | None = None


def seal(
    vault: Vault,
    tenant_id: str,
    provider: str,
    name: str = "default",
    fields: Mapping[str, str] | None = None,
    redirect_to: str | None = None,
) -> str:
    """A token for the address at which a browser begins the login; good for ten minutes."""
    facts = [tenant_id, provider, name, dict(fields or {}), redirect_to, int(time.time() + LASTS_S)]
    return vault.seal(json.dumps(facts), _PLACE)


def opened(vault: Vault, token: str) -> LoginRequest | None:
    """What a token asks for; None when it is none of ours, or too old."""
    try:
        *facts, ends_at = json.loads(vault.open(token, _PLACE))
    except VaultError:
        return None
    return LoginRequest(*facts) if ends_at > time.time() else None

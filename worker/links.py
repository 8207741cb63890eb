"""Addresses of ours that carry their own proof: a file to fetch, a delivery to call back. Whoever has one may use it.

The proof is the time at which it ends, sealed for that one file or delivery: nothing of it is stored, and it stays good
while the encryption keys rotate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from worker.vault import Vault, VaultError

CALLBACK_S = 7 * 24 * 3600.0  # a provider that has not called back after a week will not


@dataclass(frozen=True, slots=True)
class Links:
    """Makes and checks them. `base_url` is where others reach our doors."""

    base_url: str
    vault: Vault

    def media(self, asset_id: UUID, lasts_s: float) -> str:
        """Where a file may be fetched for so long."""
        return f"{self._base()}/media/{asset_id}?{self._proof(f'media:{asset_id}', lasts_s)}"

    def hooks(self, provider: str, integration_id: UUID | None) -> str:
        """Where a provider's own webhooks go: about an account, or about all of our app."""
        return f"{self._base()}/hooks/{provider}" + (f"/{integration_id}" if integration_id else "")

    def callback(self, provider: str, integration_id: UUID, delivery_id: UUID) -> str:
        """Where a provider may tell how a delivery's work ended."""
        proof = self._proof(f"callback:{integration_id}:{delivery_id}", CALLBACK_S)
        return f"{self._base()}/hooks/{provider}/{integration_id}?delivery={delivery_id}&{proof}"

    def opens_media(self, asset_id: UUID, token: str) -> bool:
        """Whether a token is good for a file, now."""
        return self._is_good(token, f"media:{asset_id}")

    def opens_callback(self, integration_id: UUID, delivery_id: UUID, token: str) -> bool:
        """Whether a token is good for a delivery of this account, now."""
        return self._is_good(token, f"callback:{integration_id}:{delivery_id}")

    def _base(self) -> str:
        return self.base_url.rstrip("/")

    def _proof(self, place: str, lasts_s: float) -> str:
        return urlencode({"token": self.vault.seal(str(int(time.time() + lasts_s)), place)})

    def _is_good(self, token: str, place: str) -> bool:
        try:
            return int(self.vault.open(token, place)) > time.time()
        except VaultError:
            return False

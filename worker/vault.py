"""Sealing secrets: AES-256-GCM, bound to where they are stored, the key's id beside the ciphertext.

Keys come from MESH_ENCRYPTION_KEYS, "k2:<key>,k1:<key>": the first seals, all open. A key is 32 random bytes, urlsafe
base64. A sealed value reads "v1:<key id>:<urlsafe base64 of nonce and ciphertext>".
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_KEY_BYTES = 32
_OPENED_CACHE = 4096  # values


class VaultError(Exception):
    """A key is missing or malformed, or a sealed value does not belong where it stands."""


class Vault:
    """The encryption keys of this installation. It remembers what it opened: each delivery needs it again."""

    def __init__(self, keys: Mapping[str, AESGCM], sealing_key: str) -> None:
        self._keys = keys
        self.sealing_key = sealing_key
        self.open = lru_cache(maxsize=_OPENED_CACHE)(self._open)

    def seal(self, value: str, place: str) -> str:
        """Encrypt a value for one place, "table.column:row id"."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._keys[self.sealing_key].encrypt(nonce, value.encode(), place.encode())
        return f"v1:{self.sealing_key}:{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def _open(self, sealed: str, place: str) -> str:
        """Decrypt a value that was sealed for this very place. Raises VaultError for any other."""
        try:
            version, key_id, payload = sealed.split(":", 2)
            raw = base64.urlsafe_b64decode(payload)
            nonce, ciphertext = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
            if not ciphertext:
                raise ValueError("too short")
        except (ValueError, binascii.Error):
            raise VaultError(f"What is stored in {place} is not a sealed value.") from None
        if version != "v1" or key_id not in self._keys:
            raise VaultError(f"{place} is sealed with key {key_id!r}: add that key to MESH_ENCRYPTION_KEYS.")
        try:
            return self._keys[key_id].decrypt(nonce, ciphertext, place.encode()).decode()
        except InvalidTag:
            raise VaultError(
                f"{place} cannot be opened: key {key_id!r} is another one, or the value was moved here."
            ) from None


def parse(keys: str) -> Vault:
    """Read MESH_ENCRYPTION_KEYS. Raises VaultError that says what is wrong with it."""
    ring: dict[str, AESGCM] = {}
    for part in filter(None, (piece.strip() for piece in keys.split(","))):
        key_id, _, encoded = part.partition(":")
        try:
            raw = base64.urlsafe_b64decode(encoded)
        except (ValueError, binascii.Error):
            raw = b""
        if not key_id or len(raw) != _KEY_BYTES:
            raise VaultError(
                "MESH_ENCRYPTION_KEYS must be name:key pairs, each key 32 random bytes in urlsafe base64;"
                " `mesh keys generate` makes one."
            )
        if key_id in ring:
            raise VaultError(f"MESH_ENCRYPTION_KEYS names {key_id!r} twice: every key needs a name of its own.")
        ring[key_id] = AESGCM(raw)
    if not ring:
        raise VaultError("MESH_ENCRYPTION_KEYS is not set: `mesh keys generate` makes a key to put there.")
    return Vault(ring, next(iter(ring)))


def generate(key_id: str) -> str:
    """A new key, as MESH_ENCRYPTION_KEYS takes it."""
    return f"{key_id}:{base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()}"

"""Grants as they are kept: sealed into their rows and opened again, and the app of ours that they were given to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

from db.engine import is_away
from db.tokens import SealedGrant
from providers import oauth2
from providers.contract import Provider
from providers.http import Transport
from providers.oauth2 import Client, Grant, OAuth2
from worker import stopping
from worker.logs import first_line
from worker.vault import Vault

if TYPE_CHECKING:
    from worker.resources import Installed

HOLD_ON_S = 120.0  # how long an answer is held while Postgres is away; nobody else can take the lease meanwhile
STOPPING_HOLD_ON_S = 8.0  # the same, once this process was asked to end
AWAY_PAUSE_S = 0.25

log = structlog.get_logger("mesh.grants")

Value = TypeVar("Value")


def _place(column: str, integration_id: UUID) -> str:
    return f"integration_tokens.{column}:{integration_id}"


def sealed(vault: Vault, integration_id: UUID, facts: OAuth2, grant: Grant, before: Grant | None = None) -> SealedGrant:
    """A grant that was just obtained, ready to be stored. `before`: the one that it was refreshed from."""
    now = datetime.now(UTC)  # only a difference of it is used
    refresh = grant.refresh_token
    in_use = replace(grant, refresh_token=before.refresh_token) if before is not None and refresh is None else grant
    refresh_at = oauth2.refresh_at(facts, in_use, now)
    return SealedGrant(
        access_token_sealed=vault.seal(grant.access_token, _place("access_token_sealed", integration_id)),
        refresh_token_sealed=refresh and vault.seal(refresh, _place("refresh_token_sealed", integration_id)),
        scopes=grant.scopes,
        details=grant.details,
        expires_in_s=grant.expires_in_s,
        refresh_expires_in_s=grant.refresh_expires_in_s,
        refresh_in_s=None if refresh_at is None else (refresh_at - now).total_seconds(),
    )


def opened(vault: Vault, row: Any) -> Grant:
    """The grant that a row holds. Raises VaultError."""
    refresh = row.refresh_token_sealed
    return Grant(
        access_token=vault.open(row.access_token_sealed, _place("access_token_sealed", row.integration_id)),
        refresh_token=refresh and vault.open(refresh, _place("refresh_token_sealed", row.integration_id)),
        scopes=tuple(row.scopes),
        details=row.details,
        expires_in_s=row.expires_in_s,
    )


def setting_missing(provider: Provider, installed: Installed) -> str | None:
    """The sentence that asks for our app's id or secret where it is not set; None when both are."""
    for name, what in (("api_key", "id"), ("secret", "secret")):
        if not installed.credentials.get(name):
            return (
                f"{provider.name.upper()}_{name.upper()} is not set: give the {what} of your app at {provider.title},"
                " as its developer portal shows it."
            )
    return None


def client(provider: Provider, installed: Installed, transport: Transport, deadline_s: float) -> Client:
    """Our app at a provider."""
    return Client(
        base_url=installed.base_url,
        api_version=installed.api_version,
        client_id=installed.credentials.get("api_key", ""),
        client_secret=installed.credentials.get("secret", ""),
        transport=transport,
        deadline_s=deadline_s,
        now=datetime.now(UTC),
        refusals=provider.refusals,
    )


def held_on(engine: Engine, write: Callable[[Connection], Value], hold_on_s: float = HOLD_ON_S) -> Value:
    """One transaction, repeated while Postgres is away. `write` must bear being done twice."""
    give_up_at = time.monotonic() + hold_on_s
    while True:
        try:
            with engine.begin() as connection:
                return write(connection)
        except Exception as error:
            if stopping.requested.is_set():
                give_up_at = min(give_up_at, time.monotonic() + STOPPING_HOLD_ON_S)
            if not is_away(error) or time.monotonic() > give_up_at:
                raise
            log.warning("token_waits_for_postgres", error=first_line(error))
            time.sleep(AWAY_PAUSE_S)

"""What the doors of one process share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from db.engine import connect
from providers import PROVIDERS
from providers.addresses import AddressPolicy
from providers.http import HttpTransport
from settings import Settings
from worker.hooks import Door
from worker.links import Links
from worker.oauth import OAuth
from worker.resources import Installed, database_url_of, installed, keys_of
from worker.subscriptions import Subscriptions
from worker.tokens import Tokens
from worker.vault import Vault

POOL_SIZE = 16


@dataclass(frozen=True, slots=True)
class Parts:
    """The database, what takes messages, and what the people's doors do their work with."""

    engine: Engine
    vault: Vault = field(repr=False)
    links: Links
    door: Door
    installed: Mapping[str, Installed] = field(repr=False)
    subscriptions: Subscriptions
    logins: OAuth
    transport: HttpTransport = field(repr=False)  # for the few calls that a person waits for: tests and logins

    @property
    def public_url(self) -> str:
        """Where browsers reach us, without a slash at the end."""
        return self.logins.public_url.rstrip("/")

    def close(self) -> None:
        """Let go of connections and threads."""
        self.logins.tokens.close()
        self.transport.close()
        self.engine.dispose()


def parts(settings: Settings) -> Parts:
    """Parts from settings; connects to nothing yet. Raises ConfigurationError when one is missing or wrong."""
    keys, policy = keys_of(settings), AddressPolicy(settings.mesh_private_targets)
    engine = connect(database_url_of(settings), name="mesh-api", pool_size=POOL_SIZE)
    links, transport = Links(settings.hooks_url, keys), HttpTransport(policy=policy)
    facts = {name: installed(settings, provider) for name, provider in PROVIDERS.items()}
    tokens = Tokens(engine, keys, transport, facts)
    return Parts(
        engine,
        keys,
        links,
        Door(engine, keys, links, facts),
        facts,
        Subscriptions(keys, policy),
        OAuth(engine, keys, transport, facts, tokens, settings.mesh_public_url),
        transport,
    )


def of(request: Request) -> Parts:
    """The parts of the application that got a request."""
    found: Parts = request.app.state.parts
    return found


Shared = Annotated[Parts, Depends(of)]

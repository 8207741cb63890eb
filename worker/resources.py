"""What one process shares: connections, keys, the transport, and the threads that make calls and settle them."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import redis
import structlog
from sqlalchemy import Engine

import db.deliveries
from db.deliveries import Again
from db.engine import connect
from providers import PROVIDERS
from providers.addresses import AddressPolicy
from providers.contract import Provider
from providers.http import HttpTransport
from providers.waiting import aside
from settings import ConfigurationError, Settings, current
from worker import faults, ids, vault
from worker.app import app
from worker.attempts import QUICK_BUDGET_S, renewed
from worker.batching import GroupCommit
from worker.calls import CallLoop
from worker.deliver import claim_caps, run
from worker.direct import Direct
from worker.dispatch import FEW, Dispatcher
from worker.enqueue import Accepted, wake
from worker.event_checks import EventRejected
from worker.gate import Gate
from worker.links import Links
from worker.outcomes import Claim, Ending
from worker.receive import Arrival, receive
from worker.sending import Sender, redis_client
from worker.settle import settle
from worker.tokens import PATIENCE_S, Tokens

log = structlog.get_logger("mesh.resources")

SETTLE_BATCH = 200
SETTLE_GROUP = 32  # endings that are settled without waiting for more
ACCEPT_BATCH = 50
CLOSE_S = 10.0  # for what waits to be settled when a worker ends


@dataclass(frozen=True, slots=True)
class Installed:
    """What this installation's settings say of one provider."""

    base_url: str
    deadline_s: float  # of one whole exchange
    credentials: Mapping[str, str] = field(repr=False)  # where an account brings none of its own
    api_version: str = ""
    authorize_url: str = ""  # where a browser connects an account, for providers that do so
    hosts: Mapping[str, str] = field(default_factory=dict)  # the provider's other base URLs, by name
    paths: Mapping[str, str] = field(default_factory=dict)  # by operation
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)  # what else its actions read


def installed(settings: Settings, provider: Provider) -> Installed:
    """The settings of one provider, over the provider's own facts. Raises ConfigurationError for an unknown path."""
    return Installed(
        base_url=settings.provider_base_url(provider.name) or provider.base_url,
        deadline_s=settings.mesh_call_deadline_s or provider.deadline_s,
        credentials=settings.provider_credentials(provider.name),
        api_version=settings.provider_setting(provider.name, "api_version") or provider.api_version,
        authorize_url=_authorize_url(settings, provider),
        hosts={
            name: settings.provider_setting(provider.name, f"{name}_url") or own for name, own in provider.hosts.items()
        },
        paths=_paths(settings, provider),
        settings={
            name: value for name in provider.settings if (value := settings.provider_setting(provider.name, name))
        },
    )


def _paths(settings: Settings, provider: Provider) -> Mapping[str, str]:
    given = settings.provider_paths(provider.name)
    unknown = sorted(given.keys() - provider.paths.keys())
    if unknown:
        raise ConfigurationError(
            f"{provider.name.upper()}_PATHS names {unknown[0]!r}, which is no operation of {provider.title}:"
            f" there are {', '.join(sorted(provider.paths)) or 'none'}."
        )
    return {**provider.paths, **given}


def _authorize_url(settings: Settings, provider: Provider) -> str:
    """What is set, else the provider's own; at another base URL than the provider's, its page is looked for there."""
    given = settings.provider_setting(provider.name, "authorize_url")
    if given or provider.oauth is None:
        return given
    base = settings.provider_base_url(provider.name)
    own = urlsplit(provider.oauth.authorize_url)
    return f"{base.rstrip('/')}{own.path}" if base else provider.oauth.authorize_url


@dataclass
class Resources:
    """One process's share. Built once, at first use."""

    settings: Settings
    engine: Engine
    statements: Engine  # the same database, for transactions of one statement
    redis: redis.Redis
    vault: vault.Vault
    transport: HttpTransport
    dispatcher: Dispatcher
    gate: Gate
    worker: str

    def __post_init__(self) -> None:
        self.installed = {name: installed(self.settings, provider) for name, provider in PROVIDERS.items()}
        self.media_url = self.settings.media_url
        self.links = Links(self.settings.hooks_url, self.vault)
        longest_s = max(each.deadline_s for each in self.installed.values())
        # How long a claim holds a delivery: longer than everything one try may take.
        self.lease_s = longest_s + QUICK_BUDGET_S + self.settings.mesh_lease_margin_s
        # A call waits for a token only as long as its claim holds, and as time is left to make it.
        shortest_s = min(each.deadline_s for each in self.installed.values())
        patience_s = min(PATIENCE_S, self.settings.mesh_lease_margin_s * 2 / 3, shortest_s / 2)
        self.tokens = Tokens(self.engine, self.vault, self.transport, self.installed, patience_s=patience_s)
        self.calls = CallLoop(self.settings.mesh_calls_in_flight, on_pause=self._settle_endings)
        self._endings: list[Ending] = []  # of the calls' loop, and only touched there
        self.settler: GroupCommit[Ending, bool] = GroupCommit(
            "settle", lambda batch: settle(self.engine, self.statements, self.dispatch, batch), limit=SETTLE_BATCH
        )
        self.reopener: GroupCommit[Again, Any] = GroupCommit("reopen", self._reopen, limit=SETTLE_BATCH)
        self.accepter: GroupCommit[Arrival, Accepted | EventRejected] = GroupCommit(
            "accept", lambda batch: receive(self.engine, self, batch), limit=ACCEPT_BATCH
        )

    def claimer(self) -> Direct:
        """For one commit: claims what may be called at once, as far as there is room."""
        return Direct(self.calls.slots, self.start, self.vault, lease_s=self.lease_s, worker=self.worker)

    def start(self, turns: Sequence[tuple[Claim, float]], *, ahead: bool = False) -> None:
        """Make the calls of claims after the seconds beside each, before or behind those that wait.

        Every one holds a slot.
        """
        self.calls.start([partial(run, claim, self, wait_s) for claim, wait_s in turns], ahead=ahead)

    def dispatch(self, deliveries: Sequence[tuple[str, UUID]]) -> None:
        """Send ids on their way; what cannot be sent now waits in Postgres for the reconciler."""
        unsent = self.dispatcher.send(deliveries, later=len(deliveries) > FEW)
        if unsent:
            with self.engine.begin() as connection:
                db.deliveries.undo_dispatch(connection, unsent)
                wake(connection)

    def reopen(self, claim: Claim, ended: Ending) -> Claim | None:
        """Close a failed try's row and open the next one's. None when the delivery has a newer holder."""
        (row,) = aside(self.reopener.submit([Again(ended.settlement, ids.new())]).result)
        return None if row is None else renewed(claim, row)

    def ended(self, claim: Claim, ended: Ending | None) -> None:
        """A call ended; None: its delivery has a newer holder, whose outcome counts. Only on the calls' loop."""
        for cap in filter(None, claim_caps(claim, self)):
            aside(partial(self.gate.leave, cap, claim.attempt_id))
        if ended is not None:
            self._endings.append(ended)
            if len(self._endings) >= SETTLE_GROUP:
                self._settle_endings()

    def _settle_endings(self) -> None:
        if self._endings:
            endings, self._endings = self._endings, []
            self.settler.submit(endings)

    def _reopen(self, tries: Sequence[Again]) -> list[Any]:
        with self.engine.begin() as connection:
            rows = db.deliveries.reopen(connection, tries, lease_s=self.lease_s, worker=self.worker)
        by_id = {row.id: row for row in rows}
        return [by_id.get(each.settlement.id) for each in tries]

    def close(self) -> None:
        """End in order: calls in flight, then their settling, then connections."""
        self.accepter.close(CLOSE_S)
        self.calls.close()
        self.settler.close(CLOSE_S)
        self.reopener.close(CLOSE_S)
        self.tokens.close()
        self.transport.close()
        self.engine.dispose()
        self.statements.dispose()


_lock = threading.Lock()
_shared: Resources | None = None


def resources() -> Resources:
    """This process's resources. Raises ConfigurationError when a setting is missing or wrong."""
    global _shared
    with _lock:
        if _shared is None:
            _shared = build(current())
        return _shared


def close() -> None:
    """End this process's resources, if there are any."""
    global _shared
    with _lock:
        shared, _shared = _shared, None
    if shared is not None:
        shared.close()


def database_url_of(settings: Settings) -> str:
    """Where PostgreSQL is. Raises ConfigurationError where nobody has said."""
    if not settings.database_url:
        raise ConfigurationError(
            "DATABASE_URL is not set: give the address of the PostgreSQL that Agent Mesh uses,"
            " such as postgresql://user@host:5432/mesh."
        )
    return settings.database_url


def keys_of(settings: Settings) -> vault.Vault:
    """The encryption keys. Raises ConfigurationError where there are none, or one is malformed."""
    try:
        return vault.parse(settings.mesh_encryption_keys.get_secret_value())
    except vault.VaultError as error:
        raise ConfigurationError(str(error)) from None


def build(settings: Settings) -> Resources:
    """Resources from settings. Connects to nothing yet."""
    database_url, keys = database_url_of(settings), keys_of(settings)
    client = redis_client(settings)
    pooled = partial(connect, database_url, name="mesh-worker", by_index=True)
    return Resources(
        settings=settings,
        engine=pooled(pool_size=settings.mesh_worker_threads + 4),
        statements=pooled(pool_size=4, autocommit=True),
        redis=client,
        vault=keys,
        transport=HttpTransport(
            policy=AddressPolicy(settings.mesh_private_targets), sent=lambda request: faults.reached("sent", request)
        ),
        dispatcher=Dispatcher(Sender(app, client, settings), client, settings.mesh_key_prefix),
        gate=Gate(client, settings.mesh_key_prefix),
        worker=f"{socket.gethostname()}:{os.getpid()}",
    )

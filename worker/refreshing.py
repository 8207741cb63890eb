"""One refresh: the lease that its holder keeps alive, and what is written of what came of it.

Every write is fenced by the holder's id and the version of the token it began with.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

import db.integrations
import db.rejected
import db.tokens
from db.tokens import SealedGrant
from model import NewEvent
from providers import oauth2
from providers.contract import Provider
from providers.errors import CredentialsRejected, OutcomeUnknown, ProviderError, Refused, Retryable
from providers.http import Transport
from providers.oauth2 import Grant
from worker import ids
from worker.enqueue import accept
from worker.event_checks import EventRejected
from worker.grants import client, sealed, setting_missing
from worker.logs import first_line
from worker.outcomes import clean
from worker.vault import Vault

if TYPE_CHECKING:
    from worker.resources import Installed

BEATS = 3  # renewals in the time of a lease
BACKOFF_S = (60.0, 3600.0)  # after a failed refresh: at first, doubling, and at most
JITTER = 0.1
EXPIRED = "token_expired"
REASON_CHARS = 255  # as the schemas of our own events allow

log = structlog.get_logger("mesh.tokens")

Write = Callable[[Connection], object]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to refresh one token."""

    integration_id: UUID
    owner: UUID
    version: int
    provider: Provider
    tenant_id: str
    grant: Grant = field(repr=False)
    failures: int  # before this one
    answer_was_lost: bool


def refreshed(lease: Lease, installed: Installed, vault: Vault, transport: Transport, deadline_s: float) -> Write:
    """Ask the provider, once; what is to be written of its answer."""
    facts = lease.provider.oauth
    assert facts is not None
    try:
        if not facts.refreshable(lease.grant):
            raise CredentialsRejected("The token has expired, and nothing renews it", code=EXPIRED)
        if problem := setting_missing(lease.provider, installed):
            raise Refused(problem, code="setting_missing")
        ours = client(lease.provider, installed, transport, deadline_s)
        grant = oauth2.refresh(facts, ours, lease.grant)
        fresh = sealed(vault, lease.integration_id, facts, grant, lease.grant)
    except CredentialsRejected as error:
        return partial(_bury, lease=lease, error=error)
    except ProviderError as error:
        return partial(_give_back, lease=lease, error=error)
    except Exception as error:  # a fault of ours: the lease must not outlive it
        log.exception("refresh_failed", integration_id=str(lease.integration_id))
        return partial(_give_back, lease=lease, error=OutcomeUnknown(f"{type(error).__name__}; see the log."))
    return partial(_store, lease=lease, grant=fresh)


def _store(connection: Connection, *, lease: Lease, grant: SealedGrant) -> None:
    db.integrations.get(connection, lease.integration_id, lock=True)  # whoever marks it sees the newer token
    version = db.tokens.store(connection, lease.integration_id, lease.owner, version=lease.version, grant=grant)
    said = "token_refreshed" if version else "token_was_replaced_meanwhile"
    log.info(said, integration_id=str(lease.integration_id), version=version)


def _give_back(connection: Connection, *, lease: Lease, error: ProviderError) -> None:
    lost = lease.answer_was_lost or isinstance(error, OutcomeUnknown)
    wait_s = backoff_s(lease.failures)
    if isinstance(error, Retryable):
        wait_s = max(wait_s, error.wait_s or 0.0)
    state = "answer_lost" if lost else "idle"
    db.tokens.give_back(
        connection, lease.integration_id, lease.owner, state=state, wait_s=wait_s, error=clean(str(error))
    )
    log.warning("token_not_refreshed", integration_id=str(lease.integration_id), error_code=error.code, state=state)


def backoff_s(failures: int) -> float:
    """Seconds until a refresh is tried again that failed so often before."""
    first, most = BACKOFF_S
    return min(first * 2.0 ** min(failures, 10), most) * random.uniform(1, 1 + JITTER)  # noqa: S311


def _bury(connection: Connection, *, lease: Lease, error: CredentialsRejected) -> None:
    """Mark the account, unless somebody stored a newer token meanwhile."""
    reason = _end_of(lease, error)
    row = db.integrations.get(connection, lease.integration_id, lock=True)
    if row is None or not db.tokens.bury(
        connection, lease.integration_id, lease.owner, version=lease.version, error=reason
    ):
        return
    log.warning("grant_is_over", integration_id=str(lease.integration_id), lost=lease.answer_was_lost)
    if row.state == "active":
        db.integrations.set_state(connection, lease.integration_id, "needs_reconnect", reason)
        _announce(connection, _notice(lease, reason))


def _announce(connection: Connection, notice: NewEvent) -> None:
    """Tell who subscribed. A tenant that may not publish is not told, and its grant is over all the same."""
    try:
        accept(connection, [notice])
    except EventRejected as error:
        log.warning("notice_rejected", event_type=notice.type, error=str(error))
        db.rejected.insert(
            connection,
            rejected_id=ids.new(),
            door="outcome",
            reason=str(error),
            body=json.dumps(notice.data).encode(),
            tenant_id=notice.tenant_id,
            event_type=notice.type,
        )


def _end_of(lease: Lease, error: CredentialsRejected) -> str:
    title = lease.provider.title
    if error.code == EXPIRED:
        said = str(error)
    elif lease.answer_was_lost:
        said = f"An answer of {title} to a refresh was lost, and it takes the refresh token for used or ended"
    else:
        said = f"{title} says that the grant is over: {str(error).rstrip('.')}"
    return clean(f"{said}: `mesh integrations reconnect {lease.integration_id}` connects the account again.")


def _notice(lease: Lease, reason: str) -> NewEvent:
    return NewEvent(
        tenant_id=lease.tenant_id,
        type="integration.attention_needed",
        data={
            "integration_id": str(lease.integration_id),
            "provider": lease.provider.name,
            "state": "needs_reconnect",
            "reason": reason[:REASON_CHARS],
        },
        key=f"integration.attention_needed:{lease.integration_id}:{lease.version}",
    )


class Leases:
    """What this process holds, renewed in one statement by a thread that lives while there is any."""

    def __init__(self, engine: Engine, lease_s: float) -> None:
        self._engine = engine
        self._lease_s = lease_s
        self._held: set[tuple[UUID, UUID]] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        return len(self._held)

    def add(self, lease: Lease) -> None:
        """Renew it from now on."""
        with self._changed:
            self._held.add((lease.integration_id, lease.owner))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="token-leases", daemon=True)
                self._thread.start()

    def discard(self, lease: Lease) -> None:
        """Renew it no longer."""
        with self._changed:
            self._held.discard((lease.integration_id, lease.owner))
            self._changed.notify()

    def close(self) -> None:
        """End the thread; nothing is held any more."""
        with self._changed:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while held := self._wait():
            try:
                with self._engine.begin() as connection:
                    db.tokens.renew(connection, held, lease_s=self._lease_s)
            except Exception as error:  # noqa: BLE001 - the next beat is another try
                log.warning("token_leases_not_renewed", error=first_line(error))

    def _wait(self) -> Sequence[tuple[UUID, UUID]]:
        """What to renew after a beat; nothing when nothing is held, and then the thread ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held, self._lease_s / BEATS)
            if not self._held:
                self._thread = None
            return list(self._held)

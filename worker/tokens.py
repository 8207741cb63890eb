"""Tokens of accounts that were connected by OAuth: the one to call with, and its refresh, once for all workers.

Whoever needs a new token takes a lease on its row; the exchange with the provider runs beside, and everybody, whoever
took it, waits for the row to show a newer version. So nobody's patience ends an exchange that may use up the refresh
token, and an endpoint that is slower than the lease still gets one call: a heartbeat renews what is held.

A holder that dies is noticed when its lease ends. Its answer is lost; the same refresh token is tried once more, and
when the provider says that it is over, the account must be reconnected.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import Engine

import db.oauth_states
import db.tokens
from providers import PROVIDERS
from providers.errors import CredentialsRejected, Unavailable
from providers.http import Transport
from providers.oauth2 import Grant, OAuth2
from providers.waiting import aside, pause
from worker import ids
from worker.grants import held_on, opened
from worker.refreshing import Lease, Leases, backoff_s, refreshed
from worker.vault import Vault, VaultError

if TYPE_CHECKING:
    from worker.resources import Installed

LEASE_S = 10.0  # a holder that was killed is noticed within this
DEADLINE_S = 60.0  # of one exchange with a token endpoint: its answer may be the only one there will be
PATIENCE_S = 10.0  # how long a call waits for a token
LOOK_S = (0.05, 0.5)  # how often a row is looked at: at first, and in the end
AGAIN_S = 5.0  # a call that did not wait to the end comes back after this
EXCHANGES = 16  # in the air at once, of one process
DUE_LIMIT = 200  # of one tick
NO_TOKEN = 0  # the version of a token that is not there

log = structlog.get_logger("mesh.tokens")


class Access(NamedTuple):
    """A token to call with, and its version."""

    token: str
    version: int

    def __repr__(self) -> str:
        return f"Access(version={self.version})"


class Tokens:
    """The tokens of all accounts, as one process uses them. Safe from any thread, and on a loop of calls."""

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        transport: Transport,
        installed: Mapping[str, Installed],
        *,
        lease_s: float = LEASE_S,
        patience_s: float = PATIENCE_S,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._transport = transport
        self._installed = installed
        self._lease_s = lease_s
        self._patience_s = patience_s
        self._deadline_s = deadline_s
        self._leases = Leases(engine, lease_s)
        self._exchanges = ThreadPoolExecutor(EXCHANGES, thread_name_prefix="tokens")

    def access(self, integration_id: UUID) -> Access:
        """The token to call with, refreshed first when it has expired. Raises what the call should end in."""
        return self.usable(self.row(integration_id))

    def usable(self, row: Any) -> Access:
        """The same, from the row as it was just read."""
        grant, version = self._grant(row)
        return Access(grant.access_token, version)

    def grant(self, integration_id: UUID) -> Grant:
        """The whole grant, refreshed first when it has expired."""
        return self._grant(self.row(integration_id))[0]

    def row(self, integration_id: UUID) -> Any:
        """An account's token as it is stored now. Raises CredentialsRejected where there is none."""
        row = self._read(integration_id)
        if row is None:
            raise CredentialsRejected(f"It has no token: `mesh integrations reconnect {integration_id}` gets one.")
        return row

    def after_rejection(self, integration_id: UUID, version: int) -> bool:
        """Whether there is now a newer token than the one that a provider rejected.

        Raises Retryable when there will be, or may be.
        """
        row = self._read(integration_id)
        if row is None:
            return False
        if row.version > version:
            return True
        facts = _oauth(row)
        if not facts.refresh_on_rejection or not facts.refreshable(opened(self._vault, row)):
            return False
        try:
            self._newer(row)
        except CredentialsRejected:
            return False
        return True

    def due(self) -> list[UUID]:
        """Accounts whose tokens should be refreshed now. Notes the leases that have ended, forgets old logins."""
        with self._engine.begin() as connection:
            db.tokens.lapse(connection)
            db.oauth_states.forget_old(connection)
            return db.tokens.due(connection, limit=DUE_LIMIT)

    def refresh(self, integration_id: UUID) -> None:
        """Begin to refresh a token if that is due still, and if nobody else does.

        Not while this process has all exchanges in the air: those that a call waits for go first, the tick comes again.
        """
        if len(self._leases) >= EXCHANGES:
            return
        row = self._read(integration_id)
        if row is None or not row.due or row.refresh_state not in _FREE:
            return
        try:
            self._begin(row)
        except VaultError as error:
            log.error("token_not_opened", integration_id=str(integration_id), error=str(error))
            with self._engine.begin() as connection:
                db.tokens.postpone(
                    connection,
                    integration_id,
                    version=row.version,
                    wait_s=backoff_s(row.refresh_failures),
                    error=str(error),
                )

    def close(self) -> None:
        """Let the exchanges in the air end, each within its deadline: their answers would be lost."""
        self._exchanges.shutdown()
        self._leases.close()

    # ---------------------------------------------------------------------------------------------------- the row

    def _read(self, integration_id: UUID) -> Any | None:
        def read() -> Any | None:
            with self._engine.begin() as connection:
                return db.tokens.get(connection, integration_id)

        return aside(read)

    def _grant(self, row: Any) -> tuple[Grant, int]:
        good = self._newer(row) if row.expired else row
        return opened(self._vault, good), good.version

    def _newer(self, old: Any) -> Any:
        """The row once it holds a newer token than `old`: somebody refreshes it, or we do."""
        give_up_at = time.monotonic() + self._patience_s
        row, look_s = old, LOOK_S[0]
        while row.version == old.version:
            self._check(row, left_s=give_up_at - time.monotonic())
            if row.lapsed:
                aside(self._lapse)
            elif row.refresh_state in _FREE and row.backoff_s == 0 and self._begin(row):
                look_s = LOOK_S[0]
            pause(look_s)
            look_s = min(look_s * 1.5, LOOK_S[1])
            row = self.row(old.integration_id)
        return row

    def _check(self, row: Any, left_s: float) -> None:
        """Raise when there is nothing to wait for, or not for as long as we would."""
        if row.refresh_state == "dead":
            raise CredentialsRejected(row.last_error or "")
        if row.refresh_state in _FREE and not _oauth(row).refreshable(opened(self._vault, row)):
            raise CredentialsRejected(
                "The token has expired, and nothing renews it:"
                f" `mesh integrations reconnect {row.integration_id}` gets a new one."
            )
        if row.backoff_s > max(left_s, 0.0):
            raise _not_yet(f"The token could not be renewed: {row.last_error}", row.backoff_s)
        if left_s <= 0:
            raise _not_yet("The token is being renewed, which takes its time.", AGAIN_S)

    def _lapse(self) -> None:
        with self._engine.begin() as connection:
            db.tokens.lapse(connection)

    # ------------------------------------------------------------------------------------------------- refreshing

    def _begin(self, row: Any) -> bool:
        """Take the lease and exchange beside. False when somebody else was faster."""
        lease = Lease(
            integration_id=row.integration_id,
            owner=ids.new(),
            version=row.version,
            provider=PROVIDERS[row.provider],
            tenant_id=row.tenant_id,
            grant=opened(self._vault, row),
            failures=row.refresh_failures,
            answer_was_lost=row.refresh_state == "answer_lost",
        )

        def take() -> bool:
            with self._engine.begin() as connection:
                return db.tokens.take(
                    connection,
                    lease.integration_id,
                    lease.owner,
                    version=lease.version,
                    state=row.refresh_state,
                    lease_s=self._lease_s,
                )

        if not aside(take):
            return False
        self._leases.add(lease)
        self._exchanges.submit(self._exchange, lease)
        return True

    def _exchange(self, lease: Lease) -> None:
        """Refresh, and store what came of it; the lease ends in every case."""
        try:
            installed = self._installed[lease.provider.name]
            write = refreshed(lease, installed, self._vault, self._transport, self._deadline_s)
            held_on(self._engine, write)
        except Exception:
            log.exception("refresh_not_stored", integration_id=str(lease.integration_id))
        finally:
            self._leases.discard(lease)


_FREE = ("idle", "answer_lost")


def _oauth(row: Any) -> OAuth2:
    facts = PROVIDERS[row.provider].oauth
    assert facts is not None, f"{row.provider} has tokens and is not connected by OAuth"
    return facts


def _not_yet(said: str, wait_s: float) -> Unavailable:
    """The token endpoint's trouble is not the account's: what else waits for it is not held up."""
    error = Unavailable(said, code="token_not_ready", wait_s=wait_s)
    error.holds = False
    return error


class Held:
    """The token that one delivery's tries call with."""

    def __init__(self, tokens: Tokens, integration_id: UUID) -> None:
        self._tokens = tokens
        self._integration_id = integration_id
        self.version: int | None = None  # of the token that was called with last

    def secrets(self) -> Mapping[str, str]:
        """The account's token under the name by which adapters know it."""
        self.version = NO_TOKEN
        row = self._tokens.row(self._integration_id)
        self.version = row.version  # also of one that is over: whoever marks the account repeats it
        token, self.version = self._tokens.usable(row)
        return {"access_token": token}

    def renewed(self) -> bool:
        """After a rejection: whether there is another token to try with. Raises Retryable when there may be soon."""
        return self.version is not None and self._tokens.after_rejection(self._integration_id, self.version)

"""Connecting accounts by OAuth: a login begins, the browser comes back, the account is there.

The state is 32 random bytes, kept as their SHA-256; it belongs to a tenant, a provider and a browser, lives ten
minutes and is used up, in one statement, before anything is exchanged. No transaction is open while the provider is
asked. The same name again is a reconnect: the token is replaced, and what waited for the account is due.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

import db.cursors
import db.deliveries
import db.integrations
import db.links
import db.oauth_states
import db.tenants
import db.tokens
from providers import PROVIDERS, oauth2
from providers.contract import Provider
from providers.errors import CredentialsRejected, OutcomeUnknown, ProviderError, Retryable
from providers.http import Transport
from providers.oauth2 import CODE_USED, PERMISSION_MISSING, WRONG_CLIENT, Client, Code, Grant, OAuth2, Reached
from worker import accounts, ids, oauth_errors
from worker.accounts import AccountError
from worker.grants import client, held_on, opened, sealed, setting_missing
from worker.syncs import SYNC_DUE
from worker.tenants import unknown as unknown_tenant
from worker.tokens import Tokens
from worker.vault import Vault, VaultError

if TYPE_CHECKING:
    from worker.resources import Installed

SECRET_BYTES = 32
VERIFIER_BYTES = 48  # 64 characters; RFC 7636 asks for 43 to 128
EXCHANGE_S = 30.0  # a person waits for it
HOLD_ON_S = 10.0  # how long a grant is held while Postgres is away
CANCELLED = ("access_denied", "user_denied", "user_cancelled_authorize", "user_cancelled_login")
SHOWN_CHARS = 200  # of what a callback says

log = structlog.get_logger("mesh.oauth")

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Connected:
    """What a login came to."""

    integration_id: UUID
    provider: str
    accounts: tuple[Reached, ...]  # that the login reaches; empty where the login is the account
    chosen: Reached | None  # None with accounts: one of them is still to be chosen
    resumed: int  # waiting deliveries that are due now
    redirect_to: str | None = None  # the page of ours to show

    @property
    def waits_for_choice(self) -> bool:
        """Whether an account is still to be chosen."""
        return bool(self.accounts) and self.chosen is None


class Revocation(Enum):
    """What a provider was told when an account was disconnected."""

    NONE = "none"  # there was nothing to tell, or no way to
    DONE = "done"
    SHARED = "shared"  # nothing: another account that is connected lives by the same login
    FAILED = "failed"  # it did not answer, or said no


def new_browser_secret() -> str:
    """What ties a login to one browser: goes into a cookie that scripts cannot read."""
    return secrets.token_urlsafe(SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class OAuth:
    """Logins of this installation. `public_url` is where browsers reach us."""

    engine: Engine
    vault: Vault = field(repr=False)
    transport: Transport = field(repr=False)
    installed: Mapping[str, Installed] = field(repr=False)
    tokens: Tokens = field(repr=False)
    public_url: str

    def redirect_uri(self, provider: str) -> str:
        """Where a provider sends browsers back to: what must be registered there."""
        return f"{self.public_url.rstrip('/')}/oauth/{provider}/callback"

    # ---------------------------------------------------------------------------------------------------- logging in

    def begin(
        self,
        *,
        tenant_id: str,
        provider: str,
        browser_secret: str,
        name: str = "default",
        fields: Mapping[str, str] | None = None,
        redirect_uri: str | None = None,
        redirect_to: str | None = None,
    ) -> str:
        """The URL at the provider that the browser goes to. Raises AccountError.

        `fields` are those of the connect form; those that an account of this name has already stay.
        """
        given = self.check(tenant_id=tenant_id, provider=provider, name=name, fields=fields or {})
        oauth = _oauth(PROVIDERS[provider])
        state = secrets.token_urlsafe(SECRET_BYTES)
        verifier = secrets.token_urlsafe(VERIFIER_BYTES) if oauth.pkce else None
        uri = redirect_uri or self.redirect_uri(provider)
        with self.engine.begin() as connection:
            db.oauth_states.insert(
                connection,
                state_hash=_hash(state),
                browser_hash=_hash(browser_secret),
                tenant_id=tenant_id,
                provider=provider,
                pkce_sealed=verifier and self.vault.seal(verifier, _pkce_place(_hash(state))),
                redirect_uri=uri,
                redirect_to=redirect_to,
                name=name,
                fields=given,
            )
        installed = self.installed[provider]
        return oauth2.authorize_url(
            oauth,
            url=installed.authorize_url,
            version=installed.api_version,
            client_id=installed.credentials["api_key"],
            redirect_uri=uri,
            state=state,
            verifier=verifier,
        )

    def check(self, *, tenant_id: str, provider: str, name: str, fields: Mapping[str, str]) -> dict[str, str]:
        """Whether such a login can be begun, and the fields that are kept with it. Raises AccountError."""
        facts = self.checked(provider)
        with self.engine.begin() as connection:
            return _checked_fields(connection, facts, tenant_id, name, fields)

    def checked(self, provider: str) -> Provider:
        """The facts of a provider that accounts can be connected to by a login here. Raises AccountError."""
        facts = PROVIDERS.get(provider)
        if facts is None:
            raise AccountError(accounts.unknown_provider(provider))
        if facts.oauth is None:
            raise AccountError(f"{facts.title} is connected by its fields, not by a login.")
        problem = setting_missing(facts, self.installed[provider])
        if problem:
            raise oauth_errors.SettingMissing(problem)
        return facts

    def finish(self, *, provider: str, callback: Mapping[str, str], browser_secret: str) -> Connected:
        """Make an account of what the browser brought back. Raises one OAuthError, and has stored nothing then."""
        facts = self.checked(provider)
        login = self._used(provider, callback.get("state", ""), browser_secret)
        code = _code(facts, callback)
        ours = client(facts, self.installed[provider], self.transport, EXCHANGE_S)
        grant = self._exchanged(facts, ours, login, code)
        reached = _reached(facts, ours, grant)
        stored = held_on(self.engine, lambda c: self._stored(c, facts, login, grant, reached), HOLD_ON_S)
        log.info("account_connected", integration_id=str(stored.integration_id), provider=provider)
        return stored

    def _used(self, provider: str, state: str, browser_secret: str) -> Any:
        """The login that a state stands for, used up by this."""
        asked = db.oauth_states.Asked(_hash(state), _hash(browser_secret), provider)
        with self.engine.begin() as connection:
            login = db.oauth_states.use(connection, asked)
            if login is None:
                _refuse_state(db.oauth_states.look(connection, asked))
        return login

    def _exchanged(self, facts: Provider, ours: Client, login: Any, code: str) -> Grant:
        verifier = login.pkce_sealed and self.vault.open(login.pkce_sealed, _pkce_place(bytes(login.state_hash)))
        try:
            return oauth2.exchange(_oauth(facts), ours, Code(code, login.redirect_uri, verifier))
        except CredentialsRejected:
            raise _code_refused(facts, "") from None
        except ProviderError as error:
            raise _explained(facts, error) from None

    def _stored(
        self, connection: Connection, facts: Provider, login: Any, grant: Grant, reached: tuple[Reached, ...]
    ) -> Connected:
        """The account with its token, new or once more."""
        row = _account(connection, login)
        db.tokens.put(connection, row.id, sealed(self.vault, row.id, _oauth(facts), grant))
        chosen = _chosen(reached, row.external_account_id)
        resumed = _settle(connection, facts, row, {**row.config, **login.fields}, reached, chosen)
        return Connected(row.id, facts.name, reached, chosen, resumed, login.redirect_to)

    # --------------------------------------------------------------------------------------------------- afterwards

    def accounts(self, integration_id: UUID) -> tuple[Reached, ...]:
        """What the login of an integration reaches, asked of the provider now. Raises AccountError."""
        with self.engine.begin() as connection:
            row = db.integrations.get(connection, integration_id)
        if row is None:
            raise AccountError(accounts.nowhere(integration_id))
        facts = self.checked(row.provider)
        if _oauth(facts).accounts is None:
            raise AccountError(f"{facts.title} has no accounts to choose from: the login is the account.")
        ours = client(facts, self.installed[row.provider], self.transport, EXCHANGE_S)
        try:
            return _asked(facts, ours, self.tokens.grant(integration_id))
        except CredentialsRejected as error:
            said = str(error).rstrip(".")
            raise oauth_errors.ProviderRefused(
                f"{said}."
                if "mesh integrations" in said  # it says itself what to do
                else f"{facts.title} does not take the token any more: connect it again with"
                f" `mesh integrations reconnect {integration_id}` ({said})."
            ) from None
        except ProviderError as error:
            raise _explained(facts, error) from None

    def choose(self, integration_id: UUID, account_id: str) -> Connected:
        """Use one of the accounts that the login reaches, from now on. Raises AccountError."""
        reached = self.accounts(integration_id)
        chosen = next((each for each in reached if each.id == account_id), None)
        if chosen is None:
            raise AccountError(
                f"The login does not reach account {account_id!r}: `mesh integrations accounts {integration_id}`"
                " shows those it does."
            )
        if chosen.unusable:
            raise AccountError(f"Account {account_id} cannot be used: {chosen.unusable.rstrip('.')}.")
        with self.engine.begin() as connection:
            row = db.integrations.get(connection, integration_id, lock=True)
            if row is None:
                raise AccountError(accounts.nowhere(integration_id))
            resumed = _settle(connection, PROVIDERS[row.provider], row, row.config, reached, chosen)
        return Connected(integration_id, row.provider, reached, chosen, resumed)

    def disconnect(self, integration_id: UUID) -> Revocation:
        """End an integration of any kind and forget its token; then tell the provider, as far as it listens."""
        with self.engine.begin() as connection:
            accounts.disconnect(connection, integration_id)
            row = db.tokens.get(connection, integration_id)
            shared = db.tokens.login_is_shared(connection, integration_id)
            db.tokens.delete(connection, integration_id)
        if row is None:
            return Revocation.NONE
        return Revocation.SHARED if shared else self._revoked(PROVIDERS[row.provider], row)

    def _revoked(self, facts: Provider, row: Any) -> Revocation:
        oauth = _oauth(facts)
        if oauth.revoke is None and not oauth.revoke_path:
            return Revocation.NONE
        ours = client(facts, self.installed[facts.name], self.transport, EXCHANGE_S)
        try:
            oauth2.revoke(oauth, ours, opened(self.vault, row))
        except (ProviderError, VaultError) as error:
            log.warning("grant_not_revoked", integration_id=str(row.integration_id), error=str(error)[:SHOWN_CHARS])
            return Revocation.FAILED
        return Revocation.DONE


# --------------------------------------------------------------------------------------------------------- the pieces


def _oauth(facts: Provider) -> OAuth2:
    assert facts.oauth is not None
    return facts.oauth


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()


def _pkce_place(state_hash: bytes) -> str:
    return f"oauth_states.pkce_sealed:{state_hash.hex()}"


def _checked_fields(
    connection: Connection, facts: Provider, tenant_id: str, name: str, fields: Mapping[str, str]
) -> dict[str, str]:
    """The connect form's fields as they are kept with a login. Raises AccountError."""
    if tenant_id not in db.tenants.states(connection, [tenant_id]):
        raise AccountError(unknown_tenant(tenant_id))
    there = db.integrations.find(connection, tenant_id, facts.name, name)
    row = db.integrations.get(connection, there) if there else None
    config, sealed_fields = accounts.settled(facts, {**_form_fields(facts, row), **fields}, ())
    if sealed_fields:
        raise AccountError(f"{', '.join(sealed_fields)} cannot be given with a login: the login is the credential.")
    return config


def _form_fields(facts: Provider, row: Any | None) -> dict[str, Any]:
    names = {each.name for each in facts.fields}
    return {name: value for name, value in row.config.items() if name in names} if row is not None else {}


def _refuse_state(found: Any | None) -> NoReturn:
    """Say why a state cannot be used."""
    if found is None:
        raise oauth_errors.UnknownState(
            "No login with this state was begun here: begin again, and finish in the same browser."
        )
    if found.used:
        raise oauth_errors.UsedState("This login was finished before: begin again if the account is not connected.")
    if found.expired:
        raise oauth_errors.ExpiredState("This login was begun more than ten minutes ago: begin again.")
    raise oauth_errors.OtherBrowser("This login was begun in another browser: finish it there, or begin again here.")


def _code(facts: Provider, callback: Mapping[str, str]) -> str:
    """The code in a callback. Raises Cancelled, or what the provider says in its place."""
    for name in _oauth(facts).code_names:
        if callback.get(name):
            return callback[name]
    error = callback.get("error") or callback.get("error_code") or ""
    if not error or error in CANCELLED or callback.get("error_reason") in CANCELLED:
        raise oauth_errors.Cancelled(f"The login at {facts.title} was cancelled: nothing was connected.")
    said = callback.get("error_description") or callback.get("error_message") or error
    raise oauth_errors.ProviderRefused(f"{facts.title} refused the login: {_shown(said)}.")


def _shown(text: str) -> str:
    """What a stranger wrote, as part of a sentence."""
    printable = "".join(char if char.isprintable() else " " for char in text[:SHOWN_CHARS])
    return " ".join(printable.split()).rstrip(".")


def _explained(facts: Provider, error: ProviderError) -> oauth_errors.OAuthError:
    """What a provider's error means to the person who connects."""
    said = _shown(str(error))
    if isinstance(error, OutcomeUnknown | Retryable):
        return oauth_errors.ProviderDown(
            f"{facts.title} gave no usable answer, nothing was stored: begin again in a few minutes ({said})."
        )
    say = _BY_CODE.get(error.code)
    return say(facts, said) if say else oauth_errors.ProviderRefused(f"{facts.title} said no: {said}.")


def _code_refused(facts: Provider, said: str) -> oauth_errors.OAuthError:
    return oauth_errors.CodeRefused(
        f"{facts.title} took the code for used or expired: begin again, and finish within a minute."
    )


def _wrong_secret(facts: Provider, said: str) -> oauth_errors.OAuthError:
    name = facts.name.upper()
    return oauth_errors.WrongSecret(
        f"{facts.title} does not take {name}_API_KEY with {name}_SECRET: correct them, restart, and begin again."
    )


_BY_CODE: Mapping[str, Callable[[Provider, str], oauth_errors.OAuthError]] = {
    WRONG_CLIENT: _wrong_secret,
    CODE_USED: _code_refused,
    PERMISSION_MISSING: lambda facts, said: oauth_errors.MissingPermissions(f"{said}."),
}


def _reached(facts: Provider, ours: Client, grant: Grant) -> tuple[Reached, ...]:
    """What a new grant reaches, something usable among it. Raises OAuthError."""
    try:
        found = _asked(facts, ours, grant)
    except ProviderError as error:
        raise _explained(facts, error) from None
    if _oauth(facts).accounts is not None and not any(not each.unusable for each in found):
        why = "".join(f"; {_shown(each.name)}: {_shown(each.unusable)}" for each in found[:3])
        raise oauth_errors.NoUsableAccount(
            f"The login at {facts.title} reaches no account that can be used{why}:"
            " log in as somebody who manages one, and begin again."
        )
    return found


def _asked(facts: Provider, ours: Client, grant: Grant) -> tuple[Reached, ...]:
    ask: Callable[[Client, Grant], Sequence[Reached]] | None = _oauth(facts).accounts
    return tuple(ask(ours, grant)) if ask is not None else ()


def _account(connection: Connection, login: Any) -> Any:
    """The integration of a login, locked; made where there is none."""
    made = db.integrations.create(
        connection,
        integration_id=ids.new(),
        tenant_id=login.tenant_id,
        provider=login.provider,
        name=login.name,
        config={},
        secrets_sealed=None,
    )
    there = made or db.integrations.find(connection, login.tenant_id, login.provider, login.name)
    assert there is not None
    return db.integrations.get(connection, there, lock=True)


def _chosen(reached: Sequence[Reached], before: str | None) -> Reached | None:
    """The account that was chosen before; the only one there is where none was. Another one is for people to choose."""
    usable = [each for each in reached if not each.unusable]
    if before is not None:
        return next((each for each in usable if each.id == before), None)
    return usable[0] if len(usable) == 1 else None


def _start_afresh(connection: Connection, integration_id: UUID) -> None:
    """Another account is behind it: the campaigns, cursors and walks of the one before are not its own."""
    db.cursors.lock_accounts(connection, [integration_id])
    db.links.forget(connection, integration_id)
    db.cursors.forget(connection, integration_id)
    db.deliveries.restart(connection, integration_id, SYNC_DUE)


def _settle(
    connection: Connection,
    facts: Provider,
    row: Any,
    config: Mapping[str, Any],
    reached: Sequence[Reached],
    chosen: Reached | None,
) -> int:
    """Give an integration its account, or let it wait for one. How many waiting deliveries are due now."""
    names = {each.name for each in facts.fields}
    kept = {name: value for name, value in config.items() if name in names}
    before = row.external_account_id
    if chosen is not None:
        kept |= {"account_id": chosen.id, "account_name": chosen.name, **chosen.config}
        if before not in (None, chosen.id):
            _start_afresh(connection, row.id)
    # Without one the last account's id stays: whether the next one is another must be known.
    db.integrations.set_account(connection, row.id, chosen.id if chosen else before, kept)
    if reached and chosen is None:
        lost = f"the login does not reach account {before}: log in again as somebody who does, or " if before else ""
        db.integrations.set_state(
            connection, row.id, "paused", f"{lost}choose an account: mesh integrations accounts {row.id}"
        )
        return 0
    return accounts.activate(connection, row.id)

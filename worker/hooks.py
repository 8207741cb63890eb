"""What providers send to our doors: their own webhooks, and the ends of work that they were given a callback for.

A message is verified on its raw bytes, stored once, and acted upon in the same commit: it becomes an event, a stream
is read again because of it, or the delivery that waits for it is looked at now. What is not believed is kept with the
reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

import db.deliveries
import db.inbox
import db.integrations
import db.tokens
import jsontext
from model import NewEvent
from providers import PROVIDERS
from providers.contract import Provider
from providers.inbound import Arrival, Forged, Inbound, Malformed, Notice, handshake_token
from worker import ids
from worker.accounts import AccountError, credentials, disconnect
from worker.catalog import event_types
from worker.enqueue import accept, wake
from worker.event_checks import EventRejected
from worker.links import Links
from worker.resources import Installed
from worker.syncs import sync_now
from worker.vault import Vault

KEPT_HEADERS = ("content-type", "content-length", "content-encoding", "user-agent")  # none of them is a credential
CODE_CHARS = 24  # of a message's id, by which a person who wants to be forgotten can ask
MAX_BODY_BYTES = 1024 * 1024  # of a provider's own webhook
MAX_CALLBACK_BYTES = 16 * 1024 * 1024  # of the end of work that was paid for

log = structlog.get_logger("mesh.hooks")


class HookRefused(Exception):
    """A message was not taken; the message of this error is for its sender, and holds no secret."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Door:
    """What taking messages needs."""

    engine: Engine
    vault: Vault
    links: Links
    installed: Mapping[str, Installed]

    def most_bytes(self, integration_id: UUID, query: Mapping[str, str]) -> int:
        """How long a body may be: nobody without a callback's token may send a long one."""
        is_callback = self._delivery_of(integration_id, query) is not None
        return MAX_CALLBACK_BYTES if is_callback else MAX_BODY_BYTES

    def receive(self, provider: str, integration_id: UUID, query: Mapping[str, str], arrival: Arrival) -> int:
        """Take one request to an account. How many new messages it held. Raises HookRefused with what to answer."""
        facts, account = self._account(provider, integration_id)
        if "delivery" in query:
            return self._called_back(account, query, arrival)
        return self._told(facts, _inbound(facts), account, arrival)

    def receive_for_app(self, provider: str, arrival: Arrival) -> str:
        """Take one request to all accounts of our app at a provider: what it is about says whose it is.

        The code by which a person who wants to be forgotten can ask about that; else empty. Raises HookRefused with
        what to answer.
        """
        facts = _by_app(provider)
        inbound = _inbound(facts)
        try:
            notices = self._proven(inbound, self.installed[provider].credentials, arrival)
        except HookRefused as refused:
            self._keep_refused(provider, None, arrival, str(refused))
            raise
        with self.engine.begin() as connection:
            for notice in notices:
                for account in self._meant(connection, provider, inbound, notice):
                    _take(connection, account, arrival, notice, alone=len(notices) == 1)
        return next((notice.external_id[:CODE_CHARS] for notice in notices if notice.forget), "")

    def forgotten_at(self, provider: str, code: str) -> datetime | None:
        """When a request to be forgotten came; None where no account here was of that person."""
        with self.engine.begin() as connection:
            return db.inbox.received_at(connection, provider, code) if len(code) == CODE_CHARS else None

    def handshake(self, provider: str, query: Mapping[str, str]) -> str:
        """What to answer a provider that asks whether an address is ours. Raises HookRefused."""
        inbound = _inbound(_by_app(provider))
        answer = inbound.handshake(
            query, handshake_token(self.installed[provider].credentials.get(inbound.credential, ""))
        )
        if answer is None:
            raise HookRefused(403, "The verify token is not the one that `mesh integrations show` shows.")
        return answer

    def not_taken(self, provider: str, integration_id: UUID, arrival: Arrival, status: int, reason: str) -> HookRefused:
        """Keep, with the reason, a request that was not even read to its end. Raises HookRefused for nobody's."""
        self._account(provider, integration_id)
        self._keep_refused(provider, integration_id, arrival, reason)
        return HookRefused(status, reason)

    def _account(self, provider: str, integration_id: UUID) -> tuple[Provider, Any]:
        with self.engine.begin() as connection:
            account = db.integrations.get(connection, integration_id)
        facts = PROVIDERS.get(provider)
        if facts is None or account is None or account.provider != provider or account.state == "disconnected":
            raise HookRefused(404, "There is no such account here.")
        return facts, account

    def _delivery_of(self, integration_id: UUID, query: Mapping[str, str]) -> UUID | None:
        """The delivery that a callback's address proves to be for; None where it proves nothing."""
        delivery_id = _uuid(query.get("delivery", ""))
        if delivery_id is None or not self.links.opens_callback(integration_id, delivery_id, query.get("token", "")):
            return None
        return delivery_id

    def _called_back(self, account: Any, query: Mapping[str, str], arrival: Arrival) -> int:
        """The end of a delivery's work. The first message counts; repeats are answered as it was."""
        delivery_id = self._delivery_of(account.id, query)
        if delivery_id is None:
            self._keep_refused(account.provider, account.id, arrival, "The callback's token is not good.")
            raise HookRefused(403, "The callback's token is not good.")
        with self.engine.begin() as connection:
            new = db.inbox.accept(
                connection,
                inbox_id=ids.new(),
                provider=account.provider,
                integration_id=account.id,
                external_id=f"callback:{delivery_id}",
                headers=_kept(arrival),
                body=arrival.body,
                delivery_id=delivery_id,
            )
            if new and db.deliveries.look_again(connection, delivery_id):
                wake(connection, [account.provider])
        return int(new)

    def _told(self, facts: Provider, inbound: Inbound, account: Any, arrival: Arrival) -> int:
        """A provider's own webhook."""
        own = self.installed[facts.name].credentials
        secrets = credentials(account.id, account.secrets_sealed, own, self.vault)
        try:
            notices = self._proven(inbound, secrets, replace(arrival, config=account.config))
        except HookRefused as refused:
            self._keep_refused(facts.name, account.id, arrival, str(refused))
            raise
        with self.engine.begin() as connection:
            mine = [
                notice
                for notice in notices
                if any(each.id == account.id for each in self._meant(connection, facts.name, inbound, notice, account))
            ]
            taken = sum(_take(connection, account, arrival, notice, alone=len(notices) == 1) for notice in mine)
        if len(mine) < len(notices):
            self._keep_refused(facts.name, account.id, arrival, "It is about another account.")
        return taken

    def _proven(self, inbound: Inbound, secrets: Mapping[str, str], arrival: Arrival) -> list[Notice]:
        """What a request tells, each thing once. Raises HookRefused."""
        secret = secrets.get(inbound.credential, "")
        try:
            if not secret and not inbound.unsigned:
                raise Forged("No secret is set to verify webhooks with, so none is believed.")
            inbound.verify(arrival, secret)
            return _distinct(inbound.read(arrival))
        except Forged as error:
            raise HookRefused(401, str(error)) from None
        except Malformed as error:
            raise HookRefused(400, str(error)) from None

    def _meant(
        self, connection: Connection, provider: str, inbound: Inbound, notice: Notice, account: Any = None
    ) -> Sequence[Any]:
        """The accounts that a notice is about: that which it came to, where it names none."""
        if not notice.account or not inbound.known_by:
            return [account] if account is not None else []
        return db.integrations.known_as(connection, provider, notice.account, inbound.known_by)

    def _keep_refused(self, provider: str, integration_id: UUID | None, arrival: Arrival, reason: str) -> None:
        log.warning("hook_refused", provider=provider, integration_id=str(integration_id or ""), reason=reason)
        with self.engine.begin() as connection:
            db.inbox.refuse(
                connection,
                inbox_id=ids.new(),
                provider=provider,
                integration_id=integration_id,
                reason=reason,
                headers=_kept(arrival),
                body=arrival.body,
            )


def _by_app(provider: str) -> Provider:
    facts = PROVIDERS.get(provider)
    if facts is None or facts.inbound is None or not facts.inbound.by_app:
        raise HookRefused(404, "There is no such address here: an account's is /hooks/<provider>/<integration id>.")
    return facts


def _inbound(facts: Provider) -> Inbound:
    if facts.inbound is None:
        raise HookRefused(404, f"{facts.title} sends no webhooks that are understood here.")
    return facts.inbound


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _kept(arrival: Arrival) -> dict[str, str]:
    return {name: value[:255] for name in KEPT_HEADERS if (value := arrival.headers.get(name))}


def _distinct(notices: Iterable[Notice]) -> list[Notice]:
    return list({notice.external_id: notice for notice in notices}.values())


def _take(connection: Connection, account: Any, arrival: Arrival, notice: Notice, *, alone: bool) -> bool:
    """Store one notice and do what it asks for; False when it is known already.

    Of a request with many, each keeps its own part; of one that proves nothing, nothing is kept.
    """
    body = arrival.body if alone else jsontext.text(notice.data).encode()
    inbox_id = ids.new()
    new = db.inbox.accept(
        connection,
        inbox_id=inbox_id,
        provider=account.provider,
        integration_id=account.id,
        external_id=notice.external_id,
        headers=_kept(arrival),
        body=body if notice.proven else b"",
    )
    if new and notice.publishes is not None:
        _publish(connection, account, inbox_id, notice)
    if new and notice.forget:
        disconnect(connection, account.id)
        db.tokens.delete(connection, account.id)
    if new and notice.stream:
        _read_again(connection, account, notice.stream)
    return new


def _publish(connection: Connection, account: Any, inbox_id: UUID, notice: Notice) -> None:
    assert notice.publishes is not None
    event_type, data = notice.publishes
    if "integration_id" in event_types()[event_type].schema.get("properties", {}):
        data = {**data, "integration_id": str(account.id)}
    key = f"hook:{account.id}:{notice.external_id}"[:255]
    try:
        (accepted,) = accept(connection, [NewEvent(account.tenant_id, event_type, data, key)])
    except EventRejected as error:  # the message stays in the inbox
        log.error("hook_not_published", provider=account.provider, event_type=event_type, error=str(error))
        return
    db.inbox.led_to(connection, inbox_id, accepted.event_id)


def _read_again(connection: Connection, account: Any, stream: str) -> None:
    """Sync what the message hints at; an account that may not be called is read when it may."""
    try:
        sync_now(connection, account.id, streams=[stream])
    except AccountError as error:
        log.info("hook_without_sync", provider=account.provider, stream=stream, reason=str(error))

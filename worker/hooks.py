"""What providers send to our doors: their own webhooks, and the ends of work that they were given a callback for.

A message is verified on its raw bytes, stored once, and acted upon in the same commit: it becomes an event, a stream
is read again because of it, or the delivery that waits for it is looked at now. What is not believed is kept with the
reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine

import db.deliveries
import db.inbox
import db.integrations
from model import NewEvent
from providers import PROVIDERS
from providers.contract import Provider
from providers.inbound import Arrival, Forged, Inbound, Malformed, Notice
from worker import ids
from worker.accounts import AccountError, credentials
from worker.enqueue import accept, wake
from worker.event_checks import EventRejected
from worker.links import Links
from worker.resources import Installed
from worker.syncs import sync_now
from worker.vault import Vault

KEPT_HEADERS = ("content-type", "content-length", "user-agent")  # none of them is a credential

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

    def receive(self, provider: str, integration_id: UUID, query: Mapping[str, str], arrival: Arrival) -> int:
        """Take one request. How many new messages it held. Raises HookRefused with the status to answer."""
        with self.engine.begin() as connection:
            account = db.integrations.get(connection, integration_id)
        facts = PROVIDERS.get(provider)
        if facts is None or account is None or account.provider != provider or account.state == "disconnected":
            raise HookRefused(404, "There is no such account here.")
        if "delivery" in query:
            return self._called_back(account, query, arrival)
        if facts.inbound is None:
            raise HookRefused(404, f"{facts.title} sends no webhooks that are understood here.")
        return self._told(facts, facts.inbound, account, arrival)

    def _called_back(self, account: Any, query: Mapping[str, str], arrival: Arrival) -> int:
        """The end of a delivery's work. The first message counts; repeats are answered as it was."""
        delivery_id = _uuid(query.get("delivery", ""))
        if delivery_id is None or not self.links.opens_callback(account.id, delivery_id, query.get("token", "")):
            self._keep_refused(account, arrival, "The callback's token is not good.")
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
        arrival = replace(arrival, config=account.config)
        try:
            inbound.verify(arrival, secrets.get(inbound.credential, ""))
            notices = inbound.read(arrival)
        except Forged as error:
            self._keep_refused(account, arrival, str(error))
            raise HookRefused(401, str(error)) from None
        except Malformed as error:
            self._keep_refused(account, arrival, str(error))
            raise HookRefused(400, str(error)) from None
        with self.engine.begin() as connection:
            return sum(_take(connection, account, arrival, notice) for notice in _distinct(notices))

    def _keep_refused(self, account: Any, arrival: Arrival, reason: str) -> None:
        log.warning("hook_refused", provider=account.provider, integration_id=str(account.id), reason=reason)
        with self.engine.begin() as connection:
            db.inbox.refuse(
                connection,
                inbox_id=ids.new(),
                provider=account.provider,
                integration_id=account.id,
                reason=reason,
                headers=_kept(arrival),
                body=arrival.body,
            )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _kept(arrival: Arrival) -> dict[str, str]:
    return {name: value[:255] for name in KEPT_HEADERS if (value := arrival.headers.get(name))}


def _distinct(notices: Sequence[Notice]) -> list[Notice]:
    return list({notice.external_id: notice for notice in notices}.values())


def _take(connection: Connection, account: Any, arrival: Arrival, notice: Notice) -> bool:
    """Store one notice and do what it asks for; False when it is known already."""
    inbox_id = ids.new()
    new = db.inbox.accept(
        connection,
        inbox_id=inbox_id,
        provider=account.provider,
        integration_id=account.id,
        external_id=notice.external_id,
        headers=_kept(arrival),
        body=arrival.body,
    )
    if new and notice.publishes is not None:
        _publish(connection, account, inbox_id, notice)
    if new and notice.stream:
        _read_again(connection, account, notice.stream)
    return new


def _publish(connection: Connection, account: Any, inbox_id: UUID, notice: Notice) -> None:
    assert notice.publishes is not None
    event_type, data = notice.publishes
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

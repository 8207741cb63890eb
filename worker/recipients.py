"""The tenants of some events, and where their events may go: looked up once for a whole batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows
from db.recipients import recipients
from model import Event, NewEvent
from providers import PROVIDERS
from worker.catalog import event_types
from worker.routing import Recipient, only_to, route
from worker.tenants import unknown


class Recipients:
    """The tenants of some events, and where their events may go."""

    def __init__(self, rows: Rows) -> None:
        self._states = {row.tenant_id: row.tenant_state for row in rows}
        self.chained = any(row.chained for row in rows)  # whether any of these events may start a chain's step
        self._by_tenant: dict[str, list[Recipient]] = {}
        for row in rows:
            if row.integration_id is not None:
                self._by_tenant.setdefault(row.tenant_id, []).append(_recipient(row))

    @classmethod
    def of(cls, connection: Connection, events: Iterable[NewEvent | Event]) -> Recipients:
        """Look them up."""
        tenants, types = {event.tenant_id for event in events}, {event.type for event in events}
        return cls(recipients(connection, tenants, types) if tenants else ())

    def problem(self, event: NewEvent) -> str | None:
        """What is wrong with an event's tenant, or None."""
        state = self._states.get(event.tenant_id)
        if state is None:
            return unknown(event.tenant_id)
        return None if state == "active" else f'Tenant "{event.tenant_id}" is {state}: its events are not taken.'

    def route(self, event: Event, *, only: UUID | None = None) -> list[Recipient]:
        """Everywhere one event goes; `only`: the account that it is meant for."""
        known = self._by_tenant.get(event.tenant_id, ())
        if only is not None:
            return only_to(event, only, known, PROVIDERS)
        kind = event_types().get(event.type)
        return route(event, known, PROVIDERS, addressed=kind is not None and kind.names_account(event.data))


def _recipient(row: Any) -> Recipient:
    return Recipient(
        tenant_id=row.tenant_id,
        provider=row.provider,
        integration_id=row.integration_id,
        webhook_id=row.webhook_id,
        event_types=row.event_types,
        subscribed=row.event_type,
        filters=row.filters or {},
        config=row.config,
        secrets_sealed=row.secrets_sealed,
        url_sealed=row.url_sealed,
        signing_secrets=row.signing_secrets or (),
        rate_per_s=row.rate_per_s,
        max_in_flight=row.max_in_flight,
        well=row.well,
    )

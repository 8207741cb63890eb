"""Trying again what was given up: one delivery, or many by what they have in common."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

import db.deliveries
import db.redelivery
import db.replays
import db.webhooks
from worker.enqueue import wake


class RedeliveryError(ValueError):
    """A delivery cannot be tried again; the message is one sentence that says why."""


def redeliver(connection: Connection, delivery_id: UUID) -> None:
    """Make a dead letter or a cancelled delivery due now, with a fresh budget; the commit wakes the workers."""
    delivery = db.deliveries.get(connection, delivery_id)
    if delivery is None:
        raise RedeliveryError(f"There is no delivery {delivery_id}: `mesh deliveries list` shows the newest.")
    hook = db.webhooks.get(connection, delivery.webhook_id) if delivery.webhook_id else None
    if hook is not None and hook.state != "active":
        way = (
            f"enable it with `mesh webhooks enable {hook.id}`" if hook.state == "disabled" else "register its URL anew"
        )
        raise RedeliveryError(f"The webhook of delivery {delivery_id} is {hook.state}: {way}.")
    if not db.redelivery.redeliver(connection, delivery_id):
        raise RedeliveryError(
            f"Delivery {delivery_id} is {delivery.state}: only one that failed or was cancelled can be tried again."
        )
    wake(connection)


def redeliver_all(
    connection: Connection,
    *,
    requested_by: str,
    since: datetime | None = None,
    tenant_id: str | None = None,
    webhook_id: UUID | None = None,
    provider: str | None = None,
) -> UUID:
    """Ask for all dead letters that match; beat steps through them. The id under which that can be followed."""
    return db.replays.create(
        connection,
        requested_by=requested_by,
        since=since,
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        provider=provider,
    )

"""Delivering, reconciling and replaying. While Postgres is away they end with one line; the next tick does the work."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from db.engine import AWAY
from worker.app import app
from worker.deliver import deliver
from worker.reconcile import reconcile, replay
from worker.resources import resources


@app.task(name="deliveries.deliver", throws=AWAY)
def deliver_batch(delivery_ids: list[str], **_future: Any) -> None:
    """Claim and call what of these deliveries is due."""
    deliver([UUID(delivery_id) for delivery_id in delivery_ids], resources())


@app.task(name="deliveries.reconcile", throws=AWAY)
def reconcile_tick(**_future: Any) -> None:
    """Send on their way what is due, unsent, or held by the dead."""
    shared = resources()
    reconcile(shared.engine, shared.dispatcher)


@app.task(name="deliveries.replay", throws=AWAY)
def replay_tick(**_future: Any) -> None:
    """Step the oldest bulk redelivery."""
    replay(resources().engine)

"""Delivering, reconciling and replaying."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from worker.app import app
from worker.deliver import deliver
from worker.reconcile import reconcile, replay_step
from worker.resources import resources


@app.task(name="deliveries.deliver")  # type: ignore[untyped-decorator]
def deliver_batch(delivery_ids: list[str], **_future: Any) -> None:
    """Claim and call what of these deliveries is due."""
    deliver([UUID(delivery_id) for delivery_id in delivery_ids], resources())


@app.task(name="deliveries.reconcile")  # type: ignore[untyped-decorator]
def reconcile_tick(**_future: Any) -> None:
    """Send on their way what is due, unsent, or held by the dead."""
    shared = resources()
    reconcile(shared.engine, shared.dispatcher)


@app.task(name="deliveries.replay")  # type: ignore[untyped-decorator]
def replay_tick(**_future: Any) -> None:
    """Step the oldest bulk redelivery."""
    replay_step(resources().engine)

"""What keeps the house in order."""

from __future__ import annotations

from typing import Any

from db.engine import AWAY
from worker.app import app
from worker.resources import resources
from worker.retention import retain
from worker.upkeep import disable_failing_webhooks, ensure_log_partitions


@app.task(name="upkeep.ensure_log_partitions", throws=AWAY)
def log_partitions_tick(**_future: Any) -> None:
    """Make the attempt log's partitions of the coming weeks."""
    ensure_log_partitions(resources().engine)


@app.task(name="upkeep.disable_failing_webhooks", throws=AWAY)
def failing_webhooks_tick(**_future: Any) -> None:
    """Disable webhooks that have only failed for days."""
    disable_failing_webhooks(resources())


@app.task(name="upkeep.retain", throws=AWAY)
def retention_tick(**_future: Any) -> None:
    """Delete what was kept long enough."""
    shared = resources()
    retain(
        shared.engine,
        events_days=shared.settings.mesh_keep_events_days,
        attempts_days=shared.settings.mesh_keep_attempts_days,
    )

"""What keeps the house in order: log partitions made ahead, webhooks that only fail disabled."""

from __future__ import annotations

import structlog
from sqlalchemy import Engine

import db.schema
import db.webhooks
from worker.enqueue import accept
from worker.resources import Resources
from worker.settle import webhook_notice
from worker.webhook_calls import say_farewell

FAILING_DAYS = 3.0  # after which a webhook that never answered well is disabled
STEP = 20  # a tick; each may be told within seconds

log = structlog.get_logger("mesh.upkeep")


def ensure_log_partitions(engine: Engine) -> None:
    """Make the attempt log's partitions of the coming weeks."""
    with engine.begin() as connection:
        db.schema.ensure_log_partitions(connection)


def disable_failing_webhooks(resources: Resources) -> int:
    """Disable what has only failed for days, and tell who subscribed to hear of it, and whom it led to. How many."""
    with resources.engine.begin() as connection:
        failing = db.webhooks.failing_longer_than(connection, FAILING_DAYS, limit=STEP)
        for row in failing:
            reason = f"Every call has failed since {row.failing_since:%Y-%m-%d %H:%M} UTC."
            db.webhooks.set_state(connection, [row.id], "disabled", reason)
            accept(connection, [webhook_notice(row.tenant_id, row.id, reason)])
            log.warning("webhook_disabled", webhook_id=str(row.id), reason=reason)
    for row in failing:
        say_farewell(row, row.provider, resources.vault, resources.transport)
    return len(failing)

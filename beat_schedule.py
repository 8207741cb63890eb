"""What runs when, as data.

A tick carries nothing: what is due is read from Postgres, so a lost or doubled one is harmless.
"""

from __future__ import annotations

from typing import Any, TypedDict


class Tick(TypedDict):
    """One entry: the task to send and how often, in seconds."""

    task: str
    every_s: float


SCHEDULE: dict[str, Tick] = {
    "send on their way what is due, unsent or held by the dead": {
        "task": "deliveries.reconcile",
        "every_s": 1,
    },
    "step bulk redeliveries": {"task": "deliveries.replay", "every_s": 2},
    "publish the syncs that are due": {"task": "syncs.publish_due", "every_s": 15},
    "plan the syncs of accounts that have no plan": {"task": "syncs.plan_all", "every_s": 600},
    "refresh the tokens that are due": {"task": "tokens.refresh_due", "every_s": 60},
    "disable webhooks that only fail": {"task": "upkeep.disable_failing_webhooks", "every_s": 600},
    "delete what was kept long enough": {"task": "upkeep.retain", "every_s": 60},
    "make the attempt log's next partitions": {"task": "upkeep.ensure_log_partitions", "every_s": 3600},
}


def celery_schedule() -> dict[str, dict[str, Any]]:
    """The schedule as Celery takes it. A tick expires when the next one is due: none pile up behind an outage."""
    return {
        name: {
            "task": tick["task"],
            "schedule": tick["every_s"],
            "options": {"expires": max(tick["every_s"], 5), "argsrepr": "()", "kwargsrepr": "{}"},
        }
        for name, tick in SCHEDULE.items()
    }

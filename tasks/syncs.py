"""Publishing the syncs of accounts when their time has come."""

from __future__ import annotations

from typing import Any

from db.engine import AWAY
from worker.app import app
from worker.resources import resources
from worker.syncs import plan_all, publish_due


@app.task(name="syncs.publish_due", throws=AWAY)
def syncs_tick(**_future: Any) -> None:
    """Publish what is due."""
    publish_due(resources().engine)


@app.task(name="syncs.plan_all", throws=AWAY)
def planning_tick(**_future: Any) -> None:
    """Find what nobody has planned."""
    plan_all(resources().engine)

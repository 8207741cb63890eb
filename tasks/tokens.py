"""Refreshing tokens ahead of their end. A lost tick or message is harmless: the next tick finds what is due."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery.exceptions import OperationalError

from db.engine import AWAY
from worker.app import app
from worker.resources import resources

EXPIRES_S = 60.0  # of one message: the next tick sends another


@app.task(name="tokens.refresh_due", throws=(*AWAY, OperationalError))
def refresh_due_tick(**_future: Any) -> None:
    """Send one message for each token that is due."""
    for integration_id in resources().tokens.due():
        refresh_token.apply_async((str(integration_id),), expires=EXPIRES_S, argsrepr="(1 id)", kwargsrepr="{}")


@app.task(name="tokens.refresh", throws=AWAY)
def refresh_token(integration_id: str, **_future: Any) -> None:
    """Begin to refresh one token, if that is due still."""
    resources().tokens.refresh(UUID(integration_id))

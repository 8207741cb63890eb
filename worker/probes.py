"""A question to a provider that changes nothing, by an account's own credentials: does it answer, and take them?

The question is the account's quickest stream, asked on the road that everything takes, so that what is tested is what
will be used: the worker, its limits, the credentials, the network.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine

import db.deliveries
from model import DeliveryState
from providers import PROVIDERS
from worker.syncs import SyncError, sync_now

WAIT_S = 15.0
LOOK_S = 0.1
QUICK = ("account", "stores", "names")  # streams that are one call; else the provider's first


def probe(engine: Engine, account: Any) -> tuple[bool, str]:
    """Whether the provider answered well, and what to say of it."""
    facts = PROVIDERS[account.provider]
    names = [stream.name for stream in facts.streams]
    if not names:
        return False, f"{facts.title} has nothing that could be asked without doing something."
    stream = next((name for name in QUICK if name in names), names[0])
    try:
        with engine.begin() as connection:
            (started,) = sync_now(connection, account.id, streams=[stream])
    except SyncError as error:
        return False, str(error)
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        with engine.begin() as connection:
            delivery = db.deliveries.of_event(connection, started.event_id)[0]
        if delivery.attempt_count and delivery.state != DeliveryState.RUNNING:
            return _verdict(facts.title, stream, delivery)
        time.sleep(LOOK_S)
    return False, f"No worker has asked {facts.title} within {WAIT_S:g} s: see that workers run."


def _verdict(title: str, stream: str, delivery: Any) -> tuple[bool, str]:
    if delivery.error_code:
        return False, f"{title} did not answer as it should ({delivery.error_code}): {delivery.error_message}"
    return True, f"{title} answered: {stream} {'were' if stream.endswith('s') else 'was'} read."

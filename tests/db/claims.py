"""Claims and settlements as a worker makes them, each in its own commit."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import db.deliveries
from db.deliveries import Settlement
from db.engine import Rows
from tests.mesh import Mesh
from worker import ids


def claim(mesh: Mesh, *delivery_ids: UUID, worker: str = "w", lease_s: float = 60) -> Rows:
    """What a worker that wants these gets."""
    with mesh.engine.begin() as connection:
        attempts = [ids.new() for _ in delivery_ids]
        return db.deliveries.claim(connection, delivery_ids, attempts, lease_s=lease_s, worker=worker)


def settlement(row: Any, **changes: Any) -> Settlement:
    """The end of a claimed row's call: a success unless told otherwise."""
    facts = {
        "id": row.id,
        "attempt_id": row.attempt_id,
        "started_at": row.started_at,
        "state": "succeeded",
        "attempt_state": "succeeded",
        "duration_ms": 12,
        **changes,
    }
    return Settlement(**facts)


def settle(mesh: Mesh, *settlements: Settlement) -> set[UUID]:
    """Settle in one commit; the deliveries that moved."""
    with mesh.engine.begin() as connection:
        held = db.deliveries.settle(connection, settlements)
    return {each.id for each in settlements if each.attempt_id in held}


def expire(mesh: Mesh, *, max_lost: int = 5, limit: int = 500) -> Rows:
    """Take back what dead workers held."""
    with mesh.engine.begin() as connection:
        return db.deliveries.expire_leases(connection, limit=limit, max_lost=max_lost, grace_s=2)


def shelve(mesh: Mesh, *delivery_ids: UUID) -> int:
    """Settle what could not be claimed."""
    with mesh.engine.begin() as connection:
        return db.deliveries.shelve(connection, delivery_ids)

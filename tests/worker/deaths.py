"""Deliveries of many steps, one step at a time, and workers that die at any point of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import pytest

from tests.db.claims import expire
from tests.mesh import Mesh, eventually
from worker import deliver, faults


def step(mesh: Mesh, delivery_id: UUID) -> Any:
    """One more step; how the delivery stands."""
    mesh.due_now()
    mesh.holds_over()
    mesh.deliver(delivery_id)
    return mesh.delivery(delivery_id)


def walk(mesh: Mesh, delivery_id: UUID, steps: int = 60) -> Any:
    """Step after step until it has ended; how it did."""
    for _ in range(steps):
        if mesh.delivery(delivery_id).settled_at:
            return mesh.delivery(delivery_id)
        step(mesh, delivery_id)
    raise AssertionError(f"no end after {steps} steps: {mesh.delivery(delivery_id)}")


class Died(Exception):
    """Stands for the end of the process: nothing that follows is done."""


@contextmanager
def death_at(point: str) -> Iterator[Callable[[], bool]]:
    """The next one that gets to this point in this process goes no further. Whether it has."""
    reached: list[str] = []

    def die(phase: str, data: object = b"") -> None:
        if phase == point and not reached:
            reached.append(phase)
            raise Died(point)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "reached", die)
        yield lambda: bool(reached)


def taken_back(mesh: Mesh, delivery_id: UUID) -> None:
    """The lease of a dead holder ends, and its place under the account's ceiling."""
    mesh.lease_over(delivery_id)
    mesh.holds_over()
    expire(mesh)
    for key in mesh.redis.scan_iter(f"{mesh.settings.mesh_key_prefix}mesh:gate:cap:*"):
        mesh.redis.delete(key)


def dies(mesh: Mesh, delivery_id: UUID, point: str) -> None:
    """A worker takes the delivery and dies; its lease ends."""
    mesh.due_now()
    mesh.holds_over()
    with death_at(point) as died:
        with suppress(Died):
            deliver.deliver([delivery_id], mesh.resources)
        eventually(died, f"it dies at {point}")
        eventually(lambda: mesh.resources.calls.slots.used == 0, "nothing is in flight")
    assert mesh.delivery(delivery_id).state == "running"
    taken_back(mesh, delivery_id)

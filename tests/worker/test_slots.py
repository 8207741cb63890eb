"""A hanging endpoint holds its slots and delays nobody else."""

from __future__ import annotations

import pytest

import worker.deliver
from settings import Settings
from tests.mesh import Mesh, eventually


@pytest.fixture
def mesh_settings(mesh_settings: Settings) -> Settings:
    """The end of a test waits for what hangs."""
    return mesh_settings.model_copy(update={"mesh_call_deadline_s": 3})


@pytest.fixture
def hanging(mesh: Mesh) -> Mesh:
    """A mesh with one endpoint that hangs and one that answers."""
    mesh.sandbox.control.add_rule("/receive/hang", {"hang": True})
    mesh.hook("/receive/hang", tenant="slow")
    mesh.hook("/receive/x", tenant="quick")
    return mesh


def in_flight(mesh: Mesh) -> int:
    return mesh.sandbox.control.state()["in_flight_by_path"].get("/receive/hang", 0)


def test_others_go_on_beside_it(hanging: Mesh) -> None:
    stuck = [hanging.signup(tenant="slow") for _ in range(5)]
    worker.deliver.deliver(stuck, hanging.resources)
    eventually(lambda: in_flight(hanging) == 5, "five calls hang")
    quick = [hanging.signup(tenant="quick") for _ in range(20)]
    hanging.deliver(*quick)
    assert {hanging.delivery(each).state for each in quick} == {"succeeded"}
    assert {hanging.delivery(each).state for each in stuck} == {"running"}
    assert in_flight(hanging) == 5


def test_a_batch_larger_than_the_free_slots_is_claimed_as_they_come_free(mesh: Mesh) -> None:
    mesh.hook()
    count = mesh.settings.mesh_calls_in_flight * 3
    deliveries = [mesh.signup() for _ in range(count)]
    mesh.deliver(*deliveries)
    assert mesh.count("deliveries", "state = 'succeeded'") == count
    assert eventually(lambda: mesh.resources.calls.slots.used == 0, "every slot is free again")
    assert mesh.sandbox.control.state()["max_in_flight"] <= mesh.settings.mesh_calls_in_flight


def test_without_a_free_slot_ids_go_back_and_wait_in_postgres(hanging: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.deliver, "SLOT_WAIT_S", 0)
    stuck = [hanging.signup(tenant="slow") for _ in range(hanging.settings.mesh_calls_in_flight)]
    worker.deliver.deliver(stuck, hanging.resources)
    eventually(lambda: in_flight(hanging) == len(stuck), "all slots are taken")
    late = hanging.signup(tenant="quick")
    worker.deliver.deliver([late], hanging.resources)
    row = hanging.delivery(late)
    assert (row.state, row.dispatched_at, row.attempt_count) == ("pending", None, 0)


def test_slots_are_given_back_when_the_claim_fails(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.hook()
    delivery_id = mesh.signup()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(worker.deliver, "_claim", broken)
    with pytest.raises(ZeroDivisionError):
        worker.deliver.deliver([delivery_id], mesh.resources)
    assert mesh.resources.calls.slots.used == 0


def test_the_end_of_a_mesh_waits_for_what_is_in_flight_and_settles_it(mesh: Mesh) -> None:
    mesh.sandbox.control.add_rule("/receive/x", {"delay_s": 0.3})
    mesh.hook()
    delivery_id = mesh.signup()
    worker.deliver.deliver([delivery_id], mesh.resources)
    mesh.resources.close()
    assert mesh.delivery(delivery_id).state == "succeeded"


def test_the_deadline_ends_a_hanging_call(hanging: Mesh) -> None:
    hasty = Mesh(hanging.settings.model_copy(update={"mesh_call_deadline_s": 0.2}), hanging.sandbox)
    delivery_id = hasty.signup(tenant="slow")
    hasty.deliver(delivery_id)
    row = hasty.delivery(delivery_id)
    assert (row.state, row.unknown_since is not None) == ("retrying", True)
    assert [a.state for a in hasty.attempts(delivery_id)] == ["lost"]
    hasty.close()

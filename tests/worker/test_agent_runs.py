"""Agents against the stand-in of MindStudio: what a run costs when workers die, answers are lost and nothing ends."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import db.redelivery
import db.replays
from db.redelivery import redeliver
from tests.db.claims import expire
from tests.mesh import TENANT, Mesh, eventually
from tests.sandbox.mindstudio import READER, WRITER
from worker import accounts
from worker.syncs import publish_due

KEY = "sk_key_of_acme"
BEGIN, LOOK = "/mindstudio/developer/v2/agents/run", "/mindstudio/developer/v2/agents/run/poll/*"
MOOD: Mapping[str, Any] = {"agent_id": READER, "variables": {"text": "Late again"}}
TOLD = "/receive/told"


@pytest.fixture
def agents(mesh: Mesh) -> Mesh:
    """A mesh with a MindStudio account, and a webhook that hears of runs that ended well."""
    connect(mesh, KEY)
    mesh.hook(TOLD, event_type="agent.run_completed")
    return mesh


def connect(mesh: Mesh, api_key: str, tenant: str = TENANT) -> UUID:
    mesh.tenant(tenant)
    with mesh.engine.begin() as connection:
        return accounts.connect(
            connection,
            mesh.resources.vault,
            tenant_id=tenant,
            provider="mindstudio",
            fields={"api_key": api_key},
            name="main",
        )


def run(mesh: Mesh, data: Mapping[str, Any] = MOOD, **more: Any) -> UUID:
    """Publish a run; the id of its only delivery."""
    ((_, delivery_id),) = mesh.publish("agent.run_requested", {**data, **more}).deliveries
    return delivery_id


def step(mesh: Mesh, delivery_id: UUID, times: int = 1) -> Any:
    """Let the time of the next steps come; the delivery then."""
    for _ in range(times):
        mesh.due_now(delivery_id)
        mesh.holds_over()
        mesh.deliver(delivery_id)
    return mesh.delivery(delivery_id)


def bill(mesh: Mesh) -> Any:
    return mesh.sandbox.control.bill().get("mindstudio", {}).get(KEY, {"runs": 0, "usd": "0"})


def do(mesh: Mesh, action: str, **arguments: Any) -> Any:
    return mesh.sandbox.control.do("mindstudio", action, **arguments)


def replay(mesh: Mesh, delivery_id: UUID) -> None:
    with mesh.engine.begin() as connection:
        assert redeliver(connection, delivery_id)


def die(mesh: Mesh, delivery_id: UUID) -> None:
    """The worker that made the last call was gone before it could settle it."""
    mesh.sql(
        "update deliveries set state = 'running', settled_at = null, attempt_id = mesh_uuid(), due_at = null,"
        " result = null, lease_until = now() - interval '1 second', overdue_at = now() - interval '1 minute'"
        " where id = %(id)s",
        id=delivery_id,
    )
    assert len(expire(mesh)) == 1


def check_ran_once(mesh: Mesh, delivery_id: UUID) -> None:
    """One run on the bill, one result, one event, told once."""
    delivery = mesh.delivery(delivery_id)
    assert (delivery.state, delivery.unknown_since) == ("succeeded", None)
    assert delivery.result["data"] == {"mood": "angry", "score": "-2"}
    assert bill(mesh)["runs"] == 1
    (known,) = do(mesh, "runs")
    assert delivery.result["thread_id"] == delivery.external_id == known["thread_id"]
    (event,) = mesh.sql("select * from events where type = 'agent.run_completed'")
    assert event.caused_by == delivery.event_id
    assert event.data == {**delivery.result, "source_event_id": str(delivery.event_id)}
    mesh.due_now()
    mesh.drain()
    assert mesh.sandbox.control.counts(TOLD)["requests"] == 1


def test_a_run_is_polled_to_its_end_and_paid_once(agents: Mesh) -> None:
    delivery_id = run(agents)
    assert step(agents, delivery_id, 3).state == "waiting"
    step(agents, delivery_id)
    check_ran_once(agents, delivery_id)
    attempts = agents.attempts(delivery_id)
    assert [(one.state, one.method, one.http_status) for one in attempts] == [
        ("succeeded", "POST", 200),
        *[("succeeded", "GET", 200)] * 3,
    ]
    costs = [(one.cost, one.cost_unit) for one in attempts if one.cost is not None]
    assert costs == [(Decimal(bill(agents)["usd"]), "usd")]


def test_no_row_shows_the_token_or_the_key(agents: Mesh) -> None:
    delivery_id = run(agents)
    sealed = step(agents, delivery_id).progress["token"]
    token = agents.resources.vault.open(sealed, f"deliveries.progress:{delivery_id}")
    assert token not in sealed
    agents.sandbox.control.add_rule(LOOK, {"status": 500, "body": {"message": f"{token} {KEY}"}}, times=1)
    step(agents, delivery_id, 4)
    shown = str(agents.sql("select * from integration_sync_logs where delivery_id = %(id)s", id=delivery_id))
    shown += str(agents.sql("select error_message, result, progress from deliveries")) + str(
        agents.sql("select data from events")
    )
    assert "agents/run/poll/****" in shown
    assert '"callbackToken":"****' in shown.replace('": "', '":"')  # in the excerpt of the answer that gave it
    assert KEY not in shown
    assert token not in shown


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"truncate": True}, "mindstudio:gateway_timeout_after"])
def test_a_lost_answer_is_a_dead_letter_that_says_so_and_a_replay_runs_it_again(agents: Mesh, fault: Any) -> None:
    agents.sandbox.control.add_rule(BEGIN, fault, times=1)
    delivery_id = run(agents)
    step(agents, delivery_id)
    dead = step(agents, delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "outcome_unknown")
    assert "may have been done, and be on the bill" in dead.error_message
    assert "a replay begins it again" in dead.error_message
    assert [one.state for one in agents.attempts(delivery_id)] == ["lost", "refused"]
    agents.due_now()
    agents.drain()
    assert bill(agents)["runs"] == 1
    replay(agents, delivery_id)
    assert step(agents, delivery_id, 4).state == "succeeded"
    assert bill(agents)["runs"] == 2


def test_many_that_are_replayed_at_once_are_not_paid_for_twice(agents: Mesh) -> None:
    agents.sandbox.control.add_rule(BEGIN, {"drop": "after"}, times=1)
    delivery_id = run(agents)
    step(agents, delivery_id, 2)
    with agents.engine.begin() as connection:
        asked = db.replays.create(connection, requested_by="test", provider="mindstudio")
        replay_of_all = db.replays.lock_next(connection)
        assert replay_of_all is not None
        moved, _ = db.redelivery.redeliver_step(connection, replay_of_all, limit=10)
    assert (replay_of_all["id"], moved) == (asked, 1)
    agents.drain()
    dead = agents.delivery(delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "outcome_unknown")
    assert bill(agents)["runs"] == 1


def test_a_worker_that_died_after_the_run_was_begun(agents: Mesh) -> None:
    delivery_id = run(agents)
    step(agents, delivery_id)
    agents.sql("update deliveries set progress = null")  # it never came to settling
    die(agents, delivery_id)
    dead = step(agents, delivery_id)
    assert (dead.state, dead.error_code) == ("failed", "outcome_unknown")
    assert bill(agents)["runs"] == 1
    replay(agents, delivery_id)
    assert step(agents, delivery_id, 4).state == "succeeded"
    assert bill(agents)["runs"] == 2


def test_a_worker_that_died_while_it_looked(agents: Mesh) -> None:
    delivery_id = run(agents)
    step(agents, delivery_id, 2)
    die(agents, delivery_id)
    step(agents, delivery_id, 2)
    check_ran_once(agents, delivery_id)


def test_looks_that_fail_cost_nothing(agents: Mesh) -> None:
    agents.sandbox.control.add_rule(LOOK, {"status": 500}, times=2)
    agents.sandbox.control.add_rule(LOOK, {"drop": "after"}, times=1)
    delivery_id = run(agents)
    step(agents, delivery_id, 7)
    check_ran_once(agents, delivery_id)


def test_a_token_that_expired_is_no_failure_and_no_second_run(agents: Mesh) -> None:
    delivery_id = run(agents)
    step(agents, delivery_id)
    assert do(agents, "forget_polls") == 1
    dead = step(agents, delivery_id, 2)
    assert (dead.state, dead.error_code) == ("failed", "end_unknown")
    (known,) = do(agents, "runs")
    assert f"look at thread {known['thread_id']} there" in dead.error_message
    assert bill(agents)["runs"] == 1
    replay(agents, delivery_id)
    assert step(agents, delivery_id, 5).state == "succeeded"
    assert bill(agents)["runs"] == 2


def test_a_run_that_never_ends_is_given_up_and_a_replay_goes_on_looking(agents: Mesh) -> None:
    do(agents, "set_runs", polls=3)
    delivery_id = run(agents, timeout_s=60)
    step(agents, delivery_id, 2)
    agents.sql(
        "update deliveries set progress = jsonb_set(progress, '{since}', to_jsonb((now() - interval '1 hour')::text))"
    )
    dead = step(agents, delivery_id, 2)
    assert (dead.state, dead.error_code) == ("failed", "not_ended")
    assert dead.error_message.startswith("The run did not end within 60 s: look at thread ")
    replay(agents, delivery_id)
    step(agents, delivery_id, 3)
    check_ran_once(agents, delivery_id)


def test_a_run_that_failed_is_a_dead_letter_with_their_words_and_its_cost(agents: Mesh) -> None:
    do(agents, "set_runs", polls=0, end="unsuccessful", error="The data source is empty.")
    delivery_id = run(agents)
    dead = step(agents, delivery_id, 3)
    assert (dead.state, dead.error_code) == ("failed", "failed_there")
    assert dead.error_message == "MindStudio said that the run failed: The data source is empty."
    assert sum(one.cost for one in agents.attempts(delivery_id) if one.cost) == Decimal(bill(agents)["usd"])
    agents.due_now()
    agents.drain()
    assert bill(agents)["runs"] == 1
    do(agents, "set_runs", polls=0)
    replay(agents, delivery_id)
    assert step(agents, delivery_id, 3).state == "succeeded"


def test_without_credits_the_account_waits_for_a_person(mesh: Mesh) -> None:
    integration_id = connect(mesh, "empty_key")
    delivery_id = run(mesh)
    mesh.deliver(delivery_id)
    mesh.drain()
    assert mesh.one("select state from integrations where id = %(id)s", id=integration_id) == "blocked"
    assert mesh.delivery(delivery_id).state == "retrying"
    assert mesh.delivery(delivery_id).settled_at is None


def test_a_run_that_calls_back_is_woken_by_it(agents: Mesh, doors: str) -> None:
    delivery_id = run(agents, mode="callback")
    step(agents, delivery_id, 2)

    def woken() -> bool:
        agents.drain()
        return bool(agents.delivery(delivery_id).state == "succeeded")

    eventually(woken, "the callback woke the run")
    check_ran_once(agents, delivery_id)
    assert agents.count("inbox", "verdict = 'accepted'") == 1


def test_a_callback_comes_even_where_the_answer_was_lost(agents: Mesh, doors: str) -> None:
    do(agents, "set_callbacks", after=None)
    agents.sandbox.control.add_rule("/mindstudio/developer/v2/apps/run", {"drop": "after"}, times=1)
    delivery_id = run(agents, mode="callback")
    step(agents, delivery_id, 2)
    assert agents.delivery(delivery_id).unknown_since is not None
    assert step(agents, delivery_id).state == "waiting"
    (sent,) = do(agents, "send_callbacks")
    assert sent["status"] == 200
    agents.drain()
    check_ran_once(agents, delivery_id)


def test_what_was_read_of_agents_is_checked_before_it_costs(agents: Mesh) -> None:
    assert publish_due(agents.engine) == 4
    agents.drain()
    assert agents.count("sync_cursors", "synced_at is not null") == 4
    for data, said in (
        ({"agent_id": WRITER, "workflow": "Nope"}, "has no workflow `Nope`: it has Main, Summarise, Hashtags"),
        ({"agent_id": WRITER, "variables": {"tone": "plain"}}, "give `product` in `variables`"),
    ):
        dead = step(agents, run(agents, data))
        assert (dead.state, said in dead.error_message) == ("failed", True)
    assert bill(agents)["runs"] == 0

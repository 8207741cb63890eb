"""The direct road: who stores a delivery may claim it in the same commit and call at once, where nothing speaks
against it; everything else waits for its claim as ever."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from providers import PROVIDERS
from providers.contract import Rate
from tests.mesh import TENANT, Mesh, eventually
from tests.providers.doubles import OK, Peer, Server, serving
from worker import receive
from worker.calls import AHEAD, Slots
from worker.direct import Direct
from worker.enqueue import Accepted
from worker.event_checks import EventRejected
from worker.reconcile import route_events

GOOD: Mapping[str, Any] = {"type": "user.signup", "tenant_id": TENANT, "data": {"user_id": "u"}}
SPEECH: Mapping[str, Any] = {"type": "audio.render_requested", "tenant_id": TENANT, "data": {"text": "Hello."}}
PATIENCE_S = 10


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider of accounts that makes as many calls at once as there are."""
    monkeypatch.setitem(PROVIDERS, "elevenlabs", replace(PROVIDERS["elevenlabs"], ceiling=None))


ZAPIER = "https://hooks.zapier.com/hooks/catch/1/abc/"


def accepted(results: Sequence[Accepted | EventRejected]) -> list[Accepted]:
    """All of them, and nothing was rejected."""
    good = [each for each in results if isinstance(each, Accepted)]
    assert len(good) == len(results), results
    return good


def deliveries(mesh: Mesh) -> list[Any]:
    return list(mesh.sql("select * from deliveries order by id"))


def delivered(mesh: Mesh, count: int = 1) -> list[Any]:
    """The deliveries, once so many have succeeded."""
    eventually(lambda: mesh.count("deliveries", "state = 'succeeded'") == count, f"{count} are delivered")
    return deliveries(mesh)


def waits_for_its_claim(mesh: Mesh, count: int = 1, provider: str = "zapier") -> None:
    """So many deliveries were stored unclaimed, and their ids are on their way."""
    rows = deliveries(mesh)
    assert [(row.state, row.attempt_count, row.attempt_id, row.lease_until) for row in rows] == [
        ("pending", 0, None, None)
    ] * count
    assert all(row.dispatched_at is not None and row.due_at is not None for row in rows)
    assert mesh.count("integration_sync_logs") == 0
    assert mesh.queued(provider) == 1
    assert mesh.resources.calls.slots.used == 0


# ------------------------------------------------------------------------------------------------- the call goes out


def test_it_is_called_without_a_message_on_redis(mesh: Mesh) -> None:
    mesh.hook()
    (one,) = accepted(mesh.receive(GOOD, direct=True))
    assert one.deliveries == (), "none is left to dispatch"
    (row,) = delivered(mesh)
    assert mesh.queued() == 0
    assert row.event_id == one.event_id
    (attempt,) = mesh.attempts(row.id)
    assert (attempt.state, attempt.attempt_number, attempt.http_status) == ("succeeded", 1, 200)
    assert mesh.sandbox.control.counts("/receive/x")["requests"] == 1
    eventually(lambda: mesh.resources.calls.slots.used == 0, "its slot is free again")


OWN = frozenset({"trace_id", "id", "event_id", "delivery_id", "external_id", "result", "duration_ms"})


def facts(row: Any) -> dict[str, Any]:
    """A row; of its times, and of what is its own, only whether it is there."""
    return {
        name: value is not None if name in OWN or name.endswith("_at") else value
        for name, value in row._mapping.items()
    }


@pytest.mark.parametrize("message", [GOOD, SPEECH], ids=["webhook", "account"])
@pytest.mark.usefixtures("unlimited")
def test_it_leaves_the_same_rows_as_the_usual_road(mesh: Mesh, message: Mapping[str, Any]) -> None:
    mesh.hook()
    mesh.account()
    mesh.receive(message, message_id="direct", direct=True)
    (direct,) = delivered(mesh)
    mesh.receive(message, message_id="usual")
    mesh.drain()
    first, second = delivered(mesh, 2)
    assert first == direct
    assert facts(first) == facts(second)
    assert (first.attempt_count, first.first_attempt_at is not None) == (1, True)
    ((one,), (other,)) = mesh.attempts(first.id), mesh.attempts(second.id)
    assert facts(one) == facts(other)
    assert one.started_at == first.first_attempt_at


class Holding:
    """A receiver that holds its first answer back until it is told to give it."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.answer = threading.Event()

    def __call__(self, peer: Peer) -> None:
        while peer.request():
            if not self.asked.is_set():
                self.asked.set()
                self.answer.wait(PATIENCE_S)
            peer.say(OK)

    @contextmanager
    def known_to(self, mesh: Mesh) -> Iterator[Server]:
        """A server of its own, to which signups go."""
        mesh.tenant()
        with serving(self) as server:
            with mesh.engine.begin() as connection:
                mesh.subscriptions.register(connection, tenant_id=TENANT, event_type="user.signup", url=server.base_url)
            yield server


def test_before_the_call_goes_out_its_attempt_is_committed(mesh: Mesh) -> None:
    """Seen from the receiver's side: the request is there, and has no answer yet."""
    receiver = Holding()
    with receiver.known_to(mesh):
        mesh.receive(GOOD, direct=True)
        assert receiver.asked.wait(PATIENCE_S)
        (row,) = deliveries(mesh)
        left_s = mesh.one("select extract(epoch from lease_until - now()) from deliveries")
        (attempt,) = mesh.attempts(row.id)
        receiver.answer.set()
        delivered(mesh)
    assert (row.state, row.attempt_count, row.due_at, row.dispatched_at) == ("running", 1, None, None)
    assert (attempt.id, attempt.state, attempt.worker) == (row.attempt_id, "started", mesh.resources.worker)
    assert mesh.settings.mesh_call_deadline_s is not None
    assert mesh.settings.mesh_call_deadline_s < left_s <= mesh.resources.lease_s


def test_a_failed_call_is_tried_again_as_ever(mesh: Mesh) -> None:
    mesh.sandbox.control.add_rule("/receive/x", "500", times=1)
    mesh.hook()
    mesh.receive(GOOD, direct=True)
    eventually(lambda: mesh.count("deliveries", "state = 'retrying'") == 1, "it waits for its second attempt")
    mesh.due_now()
    mesh.drain()
    (row,) = delivered(mesh)
    assert [each.state for each in mesh.attempts(row.id)] == ["retryable", "succeeded"]
    assert row.attempt_count == 2


@pytest.mark.usefixtures("unlimited")
def test_many_of_one_commit_are_called(mesh: Mesh) -> None:
    mesh.hook()
    mesh.account()
    accepted(mesh.receive(*[GOOD, SPEECH] * 10, direct=True))
    rows = delivered(mesh, 20)
    assert {row.attempt_count for row in rows} == {1}
    assert mesh.count("integration_sync_logs", "state = 'succeeded'") == 20
    assert (mesh.queued("zapier"), mesh.queued("elevenlabs")) == (0, 0)


def test_an_event_of_the_sql_door_goes_the_direct_road_too(mesh: Mesh) -> None:
    mesh.hook()
    mesh.sql("select publish_event('acme', 'user.signup', '{\"user_id\": \"by-sql\"}')")
    route_events(mesh.engine, mesh.resources.claimer)
    (row,) = delivered(mesh)
    assert row.attempt_count == 1
    assert mesh.queued() == 0


# --------------------------------------------------------------------------------------------- it waits for its claim


def test_who_has_a_ceiling_waits_for_its_claim(mesh: Mesh) -> None:
    mesh.account()
    accepted(mesh.receive(SPEECH, direct=True))
    waits_for_its_claim(mesh, provider="elevenlabs")


def set_hook(change: str) -> Callable[[Mesh], None]:
    return lambda mesh: run_sql(mesh, f"update webhooks set {change}")


def set_account(change: str) -> Callable[[Mesh], None]:
    return lambda mesh: run_sql(mesh, f"update integrations set {change}")


def run_sql(mesh: Mesh, statement: str) -> None:
    mesh.sql(statement)


NOT_AT_ONCE: dict[str, Callable[[Mesh], None]] = {
    "webhook held": set_hook("held_until = now() + interval '1 minute'"),
    "webhook whose hold has just ended": set_hook("held_until = now() - interval '1 second'"),
    "webhook failing": set_hook("consecutive_failures = 1, failing_since = now()"),
    "webhook with a rate": set_hook("rate_per_s = 100"),
    "webhook with a cap": set_hook("max_in_flight = 100"),
    "account held": set_account("held_until = now() + interval '1 minute'"),
    "account failing": set_account("consecutive_failures = 1, failing_since = now()"),
    "account paused": set_account("state = 'paused'"),
    "account rejected": set_account("state = 'needs_reconnect'"),
    "account blocked": set_account("state = 'blocked'"),
    "account with a rate": set_account("rate_per_s = 100"),
    "account with a cap": set_account("max_in_flight = 100"),
}


@pytest.mark.parametrize("why", NOT_AT_ONCE)
def test_a_webhook_that_may_not_be_called_at_once(mesh: Mesh, why: str) -> None:
    mesh.hook()
    NOT_AT_ONCE[why](mesh)
    accepted(mesh.receive(GOOD, direct=True))
    waits_for_its_claim(mesh)
    assert mesh.sandbox.control.counts()["requests"] == 0


@pytest.mark.parametrize("why", [why for why in NOT_AT_ONCE if why.startswith("account")])
def test_an_account_that_may_not_be_called_at_once(mesh: Mesh, why: str) -> None:
    mesh.account()
    NOT_AT_ONCE[why](mesh)
    accepted(mesh.receive(SPEECH, direct=True))
    waits_for_its_claim(mesh, provider="elevenlabs")


def test_a_host_with_a_rate_of_its_own(mesh: Mesh) -> None:
    mesh.tenant()
    with mesh.engine.begin() as connection:
        mesh.subscriptions.register(connection, tenant_id=TENANT, event_type="user.signup", url=ZAPIER)
    accepted(mesh.receive(GOOD, direct=True))
    waits_for_its_claim(mesh)


def test_a_provider_with_a_rate(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = replace(PROVIDERS["elevenlabs"], rate=Rate(1, 1.0))
    monkeypatch.setattr("worker.direct.PROVIDERS", {**PROVIDERS, "elevenlabs": limited})
    mesh.account()
    accepted(mesh.receive(SPEECH, direct=True))
    waits_for_its_claim(mesh, provider="elevenlabs")


def test_only_the_target_that_is_not_well_waits(mesh: Mesh) -> None:
    mesh.hook("/receive/x")
    sick = mesh.hook("/receive/sick").webhook_id
    mesh.sql("update webhooks set consecutive_failures = 3, failing_since = now() where id = %(id)s", id=sick)
    (one,) = accepted(mesh.receive(GOOD, direct=True))
    ((provider, waiting),) = one.deliveries
    assert (provider, mesh.delivery(waiting).webhook_id, mesh.delivery(waiting).state) == ("zapier", sick, "pending")
    delivered(mesh)
    assert mesh.sandbox.control.counts("/receive/x")["requests"] == 1
    assert mesh.queued() == 1


def test_without_a_free_slot(mesh: Mesh) -> None:
    mesh.hook()
    slots = mesh.resources.calls.slots
    assert slots.take(slots.size, 0) == slots.size
    accepted(mesh.receive(GOOD, GOOD, direct=True))
    slots.give_back(slots.size)
    waits_for_its_claim(mesh, 2)


def test_as_many_as_there_are_slots_and_the_rest_waits(mesh: Mesh) -> None:
    mesh.hook()
    slots = mesh.resources.calls.slots
    assert slots.take(slots.size - 2, 0) == slots.size - 2
    results = accepted(mesh.receive(*[GOOD] * 5, direct=True))
    assert [len(each.deliveries) for each in results] == [0, 0, 1, 1, 1], "those that came first"
    delivered(mesh, 2)
    slots.give_back(slots.size - 2)
    eventually(lambda: slots.used == 0, "theirs are free again")
    assert mesh.count("deliveries", "state = 'pending' and dispatched_at is not null") == 3
    assert mesh.queued() == 1


def test_while_enough_is_claimed_ahead(mesh: Mesh) -> None:
    """However many slots are free: what is claimed and not called yet is lost longer when this process dies."""
    roomy = Mesh(mesh.settings.model_copy(update={"mesh_calls_in_flight": 4 * AHEAD}), mesh.sandbox)
    roomy.hook()
    slots = roomy.resources.calls.slots
    assert slots.take(AHEAD, 0) == AHEAD
    assert slots.used < slots.size
    accepted(roomy.receive(GOOD, direct=True))
    slots.give_back(AHEAD)
    waits_for_its_claim(roomy)
    roomy.close()


# ------------------------------------------------------------------------------------------ commits that do not happen


def test_a_rollback_frees_the_slots_and_starts_nothing(mesh: Mesh) -> None:
    mesh.hook()
    mesh.sql("select publish_event('acme', 'user.signup', '{\"user_id\": \"by-sql\"}')")
    slots, seen = mesh.resources.calls.slots, list[int]()

    class Watched(Direct):
        def choose(self, made: Any) -> list[UUID | None]:
            chosen = super().choose(made)
            seen.append(slots.used)
            return chosen

    def claimer() -> Direct:
        shared = mesh.resources
        return Watched(slots, shared.start, shared.vault, lease_s=shared.lease_s, worker=shared.worker)

    def refuse(connection: Any) -> None:
        raise ZeroDivisionError("at the commit")

    event.listen(mesh.engine, "commit", refuse)
    with pytest.raises(ZeroDivisionError):
        route_events(mesh.engine, claimer)
    event.remove(mesh.engine, "commit", refuse)
    assert seen == [1], "it held a slot"
    assert slots.used == 0
    assert (mesh.count("deliveries"), mesh.count("integration_sync_logs")) == (0, 0)
    route_events(mesh.engine, claimer)
    delivered(mesh)
    assert mesh.sandbox.control.counts()["requests"] == 1, "and only then it was called"


def lose(engine: Engine, times: int, *, after: bool) -> list[str]:
    """Lose the connection before or after so many commits; a note of each."""
    lost: list[str] = []
    real = engine.dialect.do_commit

    def commit(dbapi_connection: Any) -> None:
        if len(lost) < times:
            lost.append("commit")
            if after:
                real(dbapi_connection)
            raise OperationalError("commit", {}, psycopg2.OperationalError("the server closed the connection"))
        real(dbapi_connection)

    engine.dialect.do_commit = commit  # type: ignore[method-assign]
    return lost


def test_while_postgres_is_away_nothing_is_called_and_then_once(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "AWAY_PAUSE_S", 0)
    mesh.hook()
    lost = lose(mesh.engine, 3, after=False)
    accepted(mesh.receive(GOOD, direct=True))
    assert len(lost) == 3
    delivered(mesh)
    assert mesh.sandbox.control.counts()["requests"] == 1
    eventually(lambda: mesh.resources.calls.slots.used == 0, "every slot is free again")


def test_a_commit_whose_answer_was_lost_is_called_after_its_lease(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been stored, or not: its claim is not used, and the second look finds the event as known."""
    monkeypatch.setattr(receive, "AWAY_PAUSE_S", 0)
    mesh.hook()
    lost = lose(mesh.engine, 1, after=True)
    (one,) = accepted(mesh.receive(GOOD, direct=True))
    assert len(lost) == 1
    assert not one.new
    (row,) = deliveries(mesh)
    assert row.state == "running"
    assert mesh.resources.calls.slots.used == 0
    mesh.lease_over()
    mesh.reconcile()
    mesh.drain()
    (row,) = delivered(mesh)
    assert [each.state for each in mesh.attempts(row.id)] == ["lost", "succeeded"]
    assert mesh.sandbox.control.counts()["requests"] == 1, "the lost attempt never went out"


def test_one_that_cannot_be_stored_costs_the_others_no_slot(mesh: Mesh) -> None:
    mesh.hook()
    mesh.hook(event_type="audio.render_requested")
    mesh.sql("alter table deliveries add constraint cursed check (event_type <> 'audio.render_requested')")
    try:
        results = mesh.receive(GOOD, SPEECH, GOOD, direct=True)
    finally:
        mesh.sql("alter table deliveries drop constraint cursed")
    assert [type(each) for each in results] == [Accepted, EventRejected, Accepted]
    delivered(mesh, 2)
    assert mesh.sandbox.control.counts()["requests"] == 2
    eventually(lambda: mesh.resources.calls.slots.used == 0, "every slot is free again")


# ---------------------------------------------------------------------------------------------------- copies and deaths


def test_a_copy_of_the_same_message_makes_nothing_new(mesh: Mesh) -> None:
    mesh.hook()
    messages = (GOOD, {**GOOD, "id": "k"})
    first = accepted(mesh.receive(*messages, direct=True))
    again = accepted(mesh.receive(*messages, direct=True))
    assert [(each.event_id, each.new, each.deliveries) for each in again] == [
        (each.event_id, False, ()) for each in first
    ]
    delivered(mesh, 2)
    assert mesh.count("events") == mesh.count("integration_sync_logs") == 2
    assert mesh.sandbox.control.counts("/receive/x")["requests"] == 2


def test_two_copies_in_one_batch_are_one_event(mesh: Mesh) -> None:
    mesh.hook()
    keyed = {**GOOD, "id": "k"}
    first, twin = accepted(mesh.receive(keyed, keyed, direct=True))
    assert (first.new, twin.new, twin.event_id) == (True, False, first.event_id)
    delivered(mesh)
    assert mesh.sandbox.control.counts("/receive/x")["requests"] == 1


def test_what_a_dead_process_had_claimed_comes_back_when_its_lease_ends(mesh: Mesh) -> None:
    """Its claim is committed, and then nobody makes the call."""
    mesh.hook()
    mesh.sql("select publish_event('acme', 'user.signup', '{\"user_id\": \"by-sql\"}')")
    shared = mesh.resources

    def claimer() -> Direct:
        return Direct(Slots(1), lambda turns, *, ahead: None, shared.vault, lease_s=shared.lease_s, worker="dead:1")

    route_events(mesh.engine, claimer)
    (row,) = deliveries(mesh)
    assert (row.state, row.attempt_count) == ("running", 1)
    mesh.reconcile()
    mesh.drain()
    assert mesh.delivery(row.id).state == "running", "its lease holds"
    mesh.lease_over()
    mesh.reconcile()
    mesh.drain()
    (row,) = delivered(mesh)
    assert (row.attempt_count, row.lost_count) == (2, 1)
    attempts = mesh.attempts(row.id)
    assert [(each.state, each.attempt_number) for each in attempts] == [("lost", 1), ("succeeded", 2)]
    assert [each.worker for each in attempts] == ["dead:1", shared.worker]


def test_a_late_answer_moves_the_delivery_no_more(mesh: Mesh) -> None:
    """Its worker was only slow: the lease ended, another took over, and the first answer came last."""
    receiver = Holding()
    with receiver.known_to(mesh) as server:
        mesh.receive(GOOD, direct=True)
        assert receiver.asked.wait(PATIENCE_S)
        mesh.lease_over()
        mesh.reconcile()
        mesh.drain()
        (row,) = delivered(mesh)
        assert mesh.attempts(row.id)[0].state == "lost"
        receiver.answer.set()
        eventually(lambda: mesh.attempts(row.id)[0].state == "succeeded", "its row says what became of its call")
    assert len(server.requests) == 2
    assert mesh.delivery(row.id) == row
    assert (row.attempt_count, row.lost_count) == (2, 1)
    assert [each.attempt_number for each in mesh.attempts(row.id)] == [1, 2]


def test_each_delivery_of_a_commit_has_its_own_attempt(mesh: Mesh) -> None:
    mesh.hook("/receive/x")
    mesh.hook("/receive/y")
    accepted(mesh.receive(GOOD, GOOD, direct=True))
    rows = delivered(mesh, 4)
    assert [len(mesh.attempts(row.id)) for row in rows] == [1, 1, 1, 1]
    assert mesh.one("select count(distinct id) from integration_sync_logs") == 4
    assert mesh.sandbox.control.counts("/receive/x")["requests"] == 2
    assert mesh.sandbox.control.counts("/receive/y")["requests"] == 2

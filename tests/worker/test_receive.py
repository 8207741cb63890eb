"""The Redis door: every message ends as an event, as the event it repeats, or as a kept rejection."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, OperationalError

from tests.mesh import ByQueue, Mesh
from worker import enqueue, receive
from worker.enqueue import Accepted
from worker.event_checks import EventRejected
from worker.recipients import Recipients

GOOD: Mapping[str, Any] = {"type": "user.signup", "tenant_id": "acme", "data": {"user_id": "u"}}
MORE: Mapping[str, Any] = {**GOOD, "data": {"user_id": "v"}}


@pytest.mark.parametrize(
    ("args", "fields", "events"),
    [
        ([GOOD], {}, [GOOD]),
        ([[GOOD, MORE]], {}, [GOOD, MORE]),
        ([GOOD, [MORE], GOOD], {}, [GOOD, MORE, GOOD]),
        ([], GOOD, [GOOD]),
        ([GOOD], MORE, [GOOD, MORE]),
        ([[]], {}, []),
        ([], {}, [None]),
        ([7, "x"], {}, [7, "x"]),
        ([[[GOOD]]], {}, [[GOOD]]),
    ],
)
def test_the_events_of_a_call_in_order(args: Sequence[Any], fields: Mapping[str, Any], events: list[Any]) -> None:
    made = receive.arrivals("m", args, fields)
    assert [each.message for each in made] == events
    assert [each.message_id for each in made] == [f"m:{n}" for n in range(len(events))]


def test_good_and_bad_in_one_batch(mesh: Mesh) -> None:
    mesh.hook()
    bad = {**GOOD, "type": "user.gone"}
    results = mesh.receive(GOOD, bad, 7, {**GOOD, "tenant_id": "nobody"}, {**GOOD, "id": "k"})
    assert [type(each) for each in results] == [Accepted, EventRejected, EventRejected, EventRejected, Accepted]
    assert mesh.count("events") == 2
    rows = mesh.sql("select * from rejected_events order by reason")
    assert [row.reason.split(":")[0] for row in rows] == [
        "An event must be a JSON object, not a number.",
        'Event type "user.gone" is not in the catalog',
        'Tenant "nobody" is not known',
    ]
    assert [row.door for row in rows] == ["redis"] * 3
    assert json.loads(bytes(rows[1].body)) == bad
    assert (rows[1].tenant_id, rows[1].event_type, rows[1].body_size) == ("acme", "user.gone", len(bytes(rows[1].body)))
    assert rows[0].tenant_id is None


def test_deliveries_are_sent_after_the_commit(mesh: Mesh) -> None:
    mesh.hook()
    seen: list[Any] = []

    class Watched(ByQueue):
        def dispatch(self, deliveries: Sequence[tuple[str, UUID]]) -> None:
            seen.extend(deliveries)
            assert mesh.count("deliveries") == 2, "committed before they are sent"

    receive.receive(mesh.engine, Watched(mesh.resources), [receive.Arrival(GOOD, "m:0"), receive.Arrival(GOOD, "m:1")])
    assert sorted(delivery_id for _, delivery_id in seen) == [
        r[0] for r in mesh.sql("select id from deliveries order by id")
    ]
    assert {provider for provider, _ in seen} == {"zapier"}


def test_on_the_queue_travel_ids_and_nothing_else(mesh: Mesh) -> None:
    mesh.hook()
    ((accepted,),) = [mesh.receive({**GOOD, "data": {"user_id": "only-in-postgres"}})]
    assert isinstance(accepted, Accepted)
    assert mesh.queued() == 1
    raw = mesh.redis.lindex(f"{mesh.settings.mesh_key_prefix}deliver.zapier", 0)
    assert isinstance(raw, bytes)
    message = json.loads(raw)
    assert json.loads(message["body"])[0] == [[str(accepted.deliveries[0][1])]]
    assert b"only-in-postgres" not in raw


def test_a_redelivered_message_makes_nothing_second(mesh: Mesh) -> None:
    mesh.hook()
    batch = (GOOD, GOOD, {**GOOD, "data": {}}, {**GOOD, "id": "k"})
    first = mesh.receive(*batch, message_id="m1")
    again = mesh.receive(*batch, message_id="m1")
    assert (mesh.count("events"), mesh.count("deliveries"), mesh.count("rejected_events")) == (3, 3, 1)
    pairs = [(a, b) for a, b in zip(first, again, strict=True) if isinstance(a, Accepted)]
    for one, other in pairs:
        assert isinstance(other, Accepted)
        assert (other.event_id, other.new, other.deliveries) == (one.event_id, False, ())
    mesh.receive(*batch, message_id="m2")
    assert (mesh.count("events"), mesh.count("rejected_events")) == (5, 2), "another message, other events"


POISON: list[Any] = [
    {**GOOD, "type": "a\x00b"},
    {**GOOD, "type": "\ud800.x"},
    {**GOOD, "tenant_id": "\ud800"},
    {**GOOD, "tenant_id": "a\x00b"},
    {**GOOD, "id": "\ud800"},
    {**GOOD, "id": "a\x00b"},
    {**GOOD, "data": {"user_id": "\ud800"}},
    {**GOOD, "data": {"user_id": "\x00"}},
    {**GOOD, "\ud800": 1},
    {**GOOD, "\x00": 1},
    {**GOOD, "occurred_at": "0001-01-01T00:00:00+14:00"},
    {**GOOD, "occurred_at": "\ud800"},
    "\ud800\x00",
]


@pytest.mark.parametrize("poison", POISON, ids=[json.dumps(each)[:60] for each in POISON])
def test_what_postgres_cannot_hold_harms_no_neighbour(mesh: Mesh, poison: Any) -> None:
    mesh.tenant()
    before, bad, after = mesh.receive(GOOD, poison, GOOD)
    assert isinstance(before, Accepted)
    assert isinstance(bad, EventRejected)
    assert isinstance(after, Accepted)
    assert mesh.count("events") == 2
    assert json.loads(bytes(mesh.one("select body from rejected_events"))) == poison


@pytest.mark.parametrize("depth", [50, 500, 5000])
def test_deep_nesting_ends_as_an_event_or_a_rejection(mesh: Mesh, depth: int) -> None:
    mesh.tenant()
    deep = json.loads('{"x":' * 50 + "1" + "}" * 50)
    for _ in range(depth // 50 - 1):
        inner, deep = deep, {}
        at = deep
        for _ in range(49):
            at["x"] = {}
            at = at["x"]
        at["x"] = inner
    results = mesh.receive({**GOOD, "data": {"user_id": "u", "deep": deep}}, GOOD)
    assert isinstance(results[1], Accepted)
    assert mesh.count("events") + mesh.count("rejected_events") == 2


def test_an_event_that_cannot_be_stored_is_kept_and_harms_no_neighbour(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Postgres finds in an event that nothing before has found."""
    mesh.hook()
    real = enqueue.store

    def picky(connection: Connection, events: Sequence[Any], known: Recipients, **options: Any) -> Any:
        if any(event.data["user_id"] == "cursed" for event in events):
            raise DataError("insert", {}, psycopg2.DataError("it does not fit"))
        return real(connection, events, known, **options)

    monkeypatch.setattr(receive, "store", picky)
    results = mesh.receive(GOOD, {**GOOD, "data": {"user_id": "cursed"}}, GOOD)
    assert [type(each) for each in results] == [Accepted, EventRejected, Accepted]
    assert mesh.count("events") == mesh.count("deliveries") == 2
    assert json.loads(bytes(mesh.one("select body from rejected_events")))["data"] == {"user_id": "cursed"}


def test_while_postgres_is_away_it_waits(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.hook()
    real, failures = enqueue.store, iter([True, True, False])

    def away(connection: Connection, events: Sequence[Any], known: Recipients, **options: Any) -> Any:
        if next(failures):
            raise OperationalError("insert", {}, psycopg2.OperationalError("the server closed the connection"))
        return real(connection, events, known, **options)

    monkeypatch.setattr(receive, "store", away)
    monkeypatch.setattr(receive, "AWAY_PAUSE_S", 0)
    (accepted,) = mesh.receive(GOOD)
    assert isinstance(accepted, Accepted)
    assert mesh.count("events") == 1


def test_when_redis_is_away_the_deliveries_wait_in_postgres(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.hook()
    monkeypatch.setattr(mesh.resources.dispatcher, "send", lambda pairs, **_: [delivery_id for _, delivery_id in pairs])
    mesh.receive(GOOD)
    assert mesh.queued() == 0
    assert mesh.count("deliveries", "dispatched_at is null and state = 'pending'") == 1
    monkeypatch.undo()
    mesh.reconcile()
    assert mesh.queued() == 1

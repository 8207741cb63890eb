"""Accepting events: what doors take, what they say to what they do not, and that the same event is the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from model import Event, NewEvent
from tests.mesh import Mesh
from worker.catalog import event_types
from worker.enqueue import accept
from worker.event_checks import MAX_DATA_BYTES, EventRejected, parse

GOOD: Mapping[str, Any] = {"type": "user.signup", "tenant_id": "acme", "data": {"user_id": "u"}}


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (None, "An event must be a JSON object, not missing or null."),
        ([], "An event must be a JSON object, not a list."),
        ("text", "An event must be a JSON object, not a string."),
        (1, "An event must be a JSON object, not a number."),
        (True, "An event must be a JSON object, not a boolean."),
        ({**GOOD, "colour": 1}, "Unexpected field 'colour'"),
        ({**GOOD, "": 1}, "Unexpected field ''"),
        ({}, "type must be a non-empty string, not missing or null."),
        ({**GOOD, "type": ""}, "type must be a non-empty string"),
        ({**GOOD, "type": 3}, "type must be a non-empty string, not a number."),
        ({**GOOD, "tenant_id": None}, "tenant_id must be a non-empty string, not missing or null."),
        ({**GOOD, "tenant_id": {}}, "tenant_id must be a non-empty string"),
        ({**GOOD, "data": None}, "data must be a JSON object, not missing or null."),
        ({**GOOD, "data": []}, "data must be a JSON object, not a list."),
        ({**GOOD, "data": "{}"}, "data must be a JSON object, not a string."),
        ({**GOOD, "id": 7}, "id, the idempotency key, must be a string of 1 to 255 characters."),
        ({**GOOD, "id": ""}, "id, the idempotency key"),
        ({**GOOD, "id": "k" * 256}, "id, the idempotency key"),
        ({**GOOD, "id": "a\x00b"}, "id, the idempotency key"),
        ({**GOOD, "id": "\ud800"}, "id, the idempotency key"),
        ({**GOOD, "occurred_at": "yesterday"}, "occurred_at must be a time such as"),
        ({**GOOD, "occurred_at": 1700000000}, "occurred_at must be a time such as"),
        ({**GOOD, "occurred_at": "2026-03-01T12:00:00"}, "occurred_at must name its time zone"),
        ({**GOOD, "occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at must be a time such as"),
        ({**GOOD, "occurred_at": "9999-12-31T23:59:59-14:00"}, "occurred_at must be a time such as"),
        (
            {**GOOD, "type": "user.signups"},
            'Event type "user.signups" is not in the catalog: did you mean user.signup?',
        ),
        ({**GOOD, "type": "zzzzzz"}, "`mesh events types` lists those that are."),
        ({**GOOD, "data": {}}, "data of user.signup does not fit its schema: data must contain ['user_id']"),
        ({**GOOD, "data": {"user_id": 7}}, "does not fit its schema: data.user_id must be string"),
        ({**GOOD, "data": {"user_id": "u", "x": float("nan")}}, "data of user.signup is not JSON"),
        ({**GOOD, "data": {"user_id": "u", "x": float("inf")}}, "data of user.signup is not JSON"),
        ({**GOOD, "data": {"user_id": "u", "x": {1, 2}}}, "data of user.signup is not JSON"),
        ({**GOOD, "data": {"user_id": "\ud800"}}, "data of user.signup is not JSON"),
        ({**GOOD, "data": nested(5000)}, "data of user.signup"),
        ({**GOOD, "data": {"user_id": "a\x00b"}}, "holds a NUL character"),
        ({**GOOD, "data": {"user_id": "u", "\x00": 1}}, "holds a NUL character"),
        ({**GOOD, "data": {"user_id": "x" * MAX_DATA_BYTES}}, "more than the 262144 allowed: store it elsewhere"),
        ({**GOOD, "data": {"user_id": "u", "x": "ä" * (MAX_DATA_BYTES // 2)}}, "more than the 262144 allowed"),
        (NewEvent("acme", "user.signup", {}), "does not fit its schema"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(message: Any, sentence: str) -> None:
    with pytest.raises(EventRejected, match=re.escape(sentence)) as caught:
        parse(message)
    assert str(caught.value).encode(), "it can be stored and shown"


@pytest.mark.parametrize("name", sorted(event_types()))
def test_the_catalogs_examples_fit_their_schemas(name: str) -> None:
    assert parse({"type": name, "tenant_id": "acme", "data": event_types()[name].example}).type == name


def test_a_backslash_before_u0000_is_no_nul() -> None:
    """The text \\u0000 typed by a person: six harmless characters."""
    event = parse({**GOOD, "data": {"user_id": r"\u0000"}})
    assert event.data["user_id"] == r"\u0000"


def test_what_is_given_is_kept() -> None:
    event = parse({**GOOD, "id": "k", "occurred_at": "2026-03-01T13:00:00+01:00"})
    assert event == NewEvent("acme", "user.signup", {"user_id": "u"}, "k", datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_it_exists_exactly_when_the_callers_change_does(mesh: Mesh) -> None:
    mesh.hook()
    with mesh.engine.connect() as connection:
        accept(connection, [GOOD])
        connection.rollback()
    assert (mesh.count("events"), mesh.count("deliveries")) == (0, 0)
    with mesh.engine.begin() as connection:
        (accepted,) = accept(connection, [GOOD])
    assert accepted.new
    assert (mesh.count("events"), mesh.count("deliveries")) == (1, 1)
    assert mesh.count("deliveries", "dispatched_at is null") == 1, "the reconciler sends it"


def test_all_or_none(mesh: Mesh) -> None:
    mesh.hook()
    with pytest.raises(EventRejected), mesh.engine.begin() as connection:
        accept(connection, [GOOD, {**GOOD, "data": {}}])
    with pytest.raises(EventRejected, match='Tenant "nobody" is not known'), mesh.engine.begin() as connection:
        accept(connection, [GOOD, {**GOOD, "tenant_id": "nobody"}])
    assert mesh.count("events") == 0


def test_a_suspended_tenant_is_refused(mesh: Mesh) -> None:
    mesh.tenant()
    mesh.sql("update tenants set state = 'suspended'")
    with pytest.raises(EventRejected, match='Tenant "acme" is suspended'), mesh.engine.begin() as connection:
        accept(connection, [GOOD])


@pytest.mark.parametrize("tenant", ["a\x00b", "\ud800", "x" * 10_000])
def test_strange_tenants_are_unknown_tenants(mesh: Mesh, tenant: str) -> None:
    with pytest.raises(EventRejected) as caught, mesh.engine.begin() as connection:
        accept(connection, [{**GOOD, "tenant_id": tenant}])
    assert len(str(caught.value)) < 500


def test_the_same_key_is_the_same_event(mesh: Mesh) -> None:
    mesh.hook()
    mesh.hook(tenant="other")
    keyed = {**GOOD, "id": "k"}
    with mesh.engine.begin() as connection:
        first, twin, other, free, free_too = accept(
            connection, [keyed, {**keyed, "data": {"user_id": "v"}}, {**keyed, "tenant_id": "other"}, GOOD, GOOD]
        )
        again = accept(connection, [GOOD, keyed, {**keyed, "tenant_id": "other"}])
    assert (first.new, twin.new, other.new) == (True, False, True)
    assert twin.event_id == first.event_id
    assert twin.deliveries == ()
    assert other.event_id != first.event_id
    assert len({first.event_id, other.event_id, free.event_id, free_too.event_id}) == 4
    assert [each.event_id for each in again[1:]] == [first.event_id, other.event_id]
    assert [each.new for each in again] == [True, False, False]
    assert mesh.count("events") == mesh.count("deliveries") == 5
    assert mesh.one("select data from events where id = %(id)s", id=first.event_id) == {"user_id": "u"}


def test_what_caused_an_event_is_kept(mesh: Mesh) -> None:
    mesh.tenant()
    first, second = (Event(uuid4(), "acme", "user.signup", {}, datetime.now(UTC)) for _ in range(2))
    later = replace(second, trace_id=first.id)
    with mesh.engine.begin() as connection:
        accept(connection, [NewEvent("acme", "user.signup", {"user_id": "a"})], cause=first)
        accept(connection, [NewEvent("acme", "user.signup", {"user_id": "b"})], cause=later)
    rows = mesh.sql("select caused_by, trace_id from events order by id")
    assert [tuple(row) for row in rows] == [(first.id, first.id), (later.id, first.id)]
    assert mesh.one("select routed_at is not null and occurred_at is not null from events")


def test_an_event_that_nobody_wants_is_stored_all_the_same(mesh: Mesh) -> None:
    mesh.hook(filters={"plan": "x"})
    accepted = mesh.publish()
    assert accepted.new
    assert accepted.deliveries == ()

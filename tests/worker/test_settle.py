"""Settling many outcomes in one commit: each as what it is, none at a neighbour's cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from model import Done, MediaAsset, NewEvent, Outcome
from providers.errors import Gone, ProviderError, RateLimited, Unavailable
from tests.db.claims import claim, expire
from tests.mesh import Mesh
from worker import ids, settle
from worker.deliver import _as_claim
from worker.outcomes import Ending, ending


def held(mesh: Mesh, *delivery_ids: UUID, ends: Outcome | ProviderError | None = None) -> list[Ending]:
    """Claim these; their endings."""
    return [ending(_as_claim(row), ends or Done(), exchange=None, duration_ms=5) for row in claim(mesh, *delivery_ids)]


def settled(mesh: Mesh, endings: Sequence[Ending]) -> tuple[list[bool], list[tuple[str, UUID]]]:
    """What moved, and what was dispatched."""
    sent: list[tuple[str, UUID]] = []
    return settle.settle(mesh.engine, mesh.resources.statements, sent.extend, endings), sent


def asset(uri: str = "file:///x.mp3") -> MediaAsset:
    return MediaAsset(ids.new(), uri, "audio/mpeg", 3, "0" * 64)


def rendered(tenant: str = "acme", **data: Any) -> NewEvent:
    facts = {"asset_id": "a", "uri": "file:///x.mp3", "mime": "audio/mpeg", "size_bytes": 3, **data}
    return NewEvent(tenant, "audio.rendered", facts, "rendered:1")


UNSTORABLE = '{"x": NaN}'


def test_one_that_cannot_be_stored_is_a_dead_letter_and_harms_no_neighbour(mesh: Mesh) -> None:
    mesh.hook()
    deliveries = [mesh.signup() for _ in range(3)]
    first, bad, last = held(mesh, *deliveries)
    bad = replace(bad, settlement=replace(bad.settlement, result=UNSTORABLE, http_status=200))
    assert settled(mesh, [first, bad, last])[0] == [True, True, True]
    assert [mesh.delivery(e.claim.delivery_id).state for e in (first, bad, last)] == [
        "succeeded",
        "failed",
        "succeeded",
    ]
    row = mesh.delivery(bad.claim.delivery_id)
    assert (row.error_code, row.unknown_since is not None) == ("not_stored", True)
    (attempt,) = mesh.attempts(bad.claim.delivery_id)
    assert (attempt.state, attempt.http_status, attempt.error_code) == ("lost", 200, "not_stored")


def test_two_holders_of_one_delivery_in_one_batch(mesh: Mesh) -> None:
    """The first was thought dead and was not: only what the second says counts, and is published once."""
    mesh.hook()
    mesh.hook("/receive/told", event_type="audio.rendered")
    delivery_id = mesh.signup()
    (late,) = held(mesh, delivery_id)
    mesh.lease_over(delivery_id)
    expire(mesh)
    mesh.due_now(delivery_id)
    (fresh,) = held(mesh, delivery_id)
    late = replace(late, done=Done(events=(rendered(),)))
    assert settled(mesh, [late, fresh])[0] == [False, True]
    assert mesh.count("events", "type = 'audio.rendered'") == 0
    assert mesh.delivery(delivery_id).state == "succeeded"


def test_even_what_the_driver_refuses(mesh: Mesh) -> None:
    mesh.hook()
    first, bad = held(mesh, mesh.signup(), mesh.signup())
    bad = replace(bad, settlement=replace(bad.settlement, answer="a\x00b"))
    assert settled(mesh, [first, bad])[0] == [True, True]
    assert mesh.delivery(first.claim.delivery_id).state == "succeeded"
    assert mesh.delivery(bad.claim.delivery_id).error_code == "not_stored"


def test_while_postgres_is_away_outcomes_are_held(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.hook()
    endings = held(mesh, mesh.signup())
    real, failures = settle._write, iter([True, True, False])

    def away(connection: Connection, some: Sequence[Ending]) -> Any:
        if next(failures):
            raise OperationalError("update", {}, psycopg2.OperationalError("the server closed the connection"))
        return real(connection, some)

    monkeypatch.setattr(settle, "_write", away)
    monkeypatch.setattr(settle, "AWAY_PAUSE_S", 0)
    assert settled(mesh, endings)[0] == [True]
    assert mesh.count("deliveries", "state = 'succeeded'") == 1


def test_files_and_follow_ups_are_stored_in_the_same_commit(mesh: Mesh) -> None:
    mesh.hook()
    told = mesh.hook("/receive/told", event_type="audio.rendered").webhook_id
    done = Done(result={"ok": True}, assets=(asset(),), events=(rendered(),))
    (end,) = held(mesh, mesh.signup(), ends=done)
    moved, sent = settled(mesh, [end])
    assert moved == [True]
    (file,) = mesh.sql("select * from media_assets")
    assert (file.delivery_id, file.event_id, file.tenant_id) == (end.claim.delivery_id, end.claim.event.id, "acme")
    (event,) = mesh.sql("select * from events where type = 'audio.rendered'")
    assert event.caused_by == end.claim.event.id
    ((provider, delivery_id),) = sent
    assert provider == "zapier"
    assert mesh.delivery(delivery_id).webhook_id == told


def test_who_lost_the_delivery_publishes_nothing(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (late,) = held(mesh, delivery_id, ends=Done(assets=(asset(),), events=(rendered(),)))
    mesh.lease_over()
    expire(mesh)
    assert settled(mesh, [late]) == ([False], [])
    assert (mesh.count("media_assets"), mesh.count("events", "type = 'audio.rendered'")) == (0, 0)


def test_a_late_failure_strains_nobody(mesh: Mesh) -> None:
    mesh.hook()
    delivery_id = mesh.signup()
    (late,) = held(mesh, delivery_id, ends=Gone())
    mesh.lease_over()
    expire(mesh)
    settled(mesh, [late])
    assert mesh.one("select state from webhooks") == "active"


def test_a_follow_up_that_is_wrong_does_not_undo_the_outcome(mesh: Mesh) -> None:
    mesh.hook()
    wrong = NewEvent("acme", "audio.rendered", {"nonsense": True})
    (end,) = held(mesh, mesh.signup(), ends=Done(events=(wrong, rendered())))
    assert settled(mesh, [end])[0] == [True]
    assert mesh.delivery(end.claim.delivery_id).state == "succeeded"
    assert mesh.count("events", "type = 'audio.rendered'") == 1, "the right one is there"
    assert mesh.count("rejected_events", "door = 'outcome'") == 1, "and the wrong one is kept"


def test_failures_of_a_batch_are_counted_and_the_longest_hold_wins(mesh: Mesh) -> None:
    mesh.hook()
    rows = held(mesh, *(mesh.signup() for _ in range(3)))
    ends = [Unavailable(wait_s=10), Unavailable(), RateLimited(wait_s=60)]
    endings = [ending(r.claim, e, exchange=None, duration_ms=1) for r, e in zip(rows, ends, strict=True)]
    settled(mesh, endings)
    hook = mesh.sql("select *, extract(epoch from held_until - now()) as held_s from webhooks")[0]
    assert (hook.consecutive_failures, hook.failing_since is not None) == (2, True)
    assert 55 < hook.held_s <= 60


def test_a_batch_with_a_failure_and_a_success_does_not_recover_the_target(mesh: Mesh) -> None:
    mesh.hook()
    mesh.sql("update webhooks set consecutive_failures = 1, failing_since = now()")
    good, bad = held(mesh, mesh.signup(), mesh.signup())
    bad = ending(bad.claim, Unavailable(), exchange=None, duration_ms=1)
    settled(mesh, [good, bad])
    assert mesh.one("select consecutive_failures from webhooks") == 2

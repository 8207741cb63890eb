"""What outcomes found out: stored with them, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

import db.cursors
import db.links
import db.targets
from db.engine import is_away, run
from model import Campaign, Cursor, Done, Link, Metric, Outcome, Records, Wait
from tests.db.claims import claim, expire
from tests.mesh import Mesh, eventually
from tests.paged import connected, serving_pages
from worker import records, settle
from worker.deliver import _as_claim
from worker.outcomes import Ending, ending

DAY = date(2026, 9, 1)
MORNING = datetime(2026, 9, 1, 8, tzinfo=UTC)
EVENING = MORNING + timedelta(hours=12)


@pytest.fixture(autouse=True)
def platform() -> Iterator[None]:
    with serving_pages():
        yield


@pytest.fixture
def account(platform: None, mesh: Mesh) -> UUID:
    found: UUID = connected(mesh)
    return found


def step(mesh: Mesh, account: UUID, outcome: Outcome, *, tenant: str = "acme") -> Ending:
    """The end of one claimed step of a sync."""
    data = {"integration_id": str(account), "stream": "numbers"}
    ((_, delivery_id),) = mesh.publish("sync.due", data, tenant=tenant).deliveries
    (row,) = claim(mesh, delivery_id)
    return ending(_as_claim(row), outcome, exchange=None, duration_ms=5)


def settled(mesh: Mesh, *endings: Ending) -> tuple[list[bool], list[tuple[str, UUID]]]:
    """What moved, and what was dispatched."""
    sent: list[tuple[str, UUID]] = []
    return settle.settle(mesh.engine, mesh.resources.statements, sent.extend, endings), sent


def found(mesh: Mesh, account: UUID, *, tenant: str = "acme", **some: Any) -> None:
    """A sync's step found this."""
    assert settled(mesh, step(mesh, account, Done(records=Records(**some)), tenant=tenant))[0] == [True]


def campaign(mesh: Mesh) -> Any:
    (row,) = mesh.sql("select *, rtrim(currency) as money from campaigns")
    return row


def link(mesh: Mesh, external_id: str = "x1") -> Any:
    (row,) = mesh.sql("select * from campaign_links where external_id = %(id)s", id=external_id)
    return row


# -------------------------------------------------------------------------------------------------------- campaigns


def test_what_a_campaign_leaves_open_changes_nothing(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, campaigns=(Campaign("k1", "Spring", "sales", "paused", Decimal("12.5"), "EUR"),))
    found(mesh, account, campaigns=(Campaign("k1", state="active"),))
    row = campaign(mesh)
    assert (row.name, row.objective, row.state, row.budget, row.money) == ("Spring", "sales", "active", 12.5, "EUR")


def test_a_new_campaign_of_which_nothing_is_known(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, campaigns=(Campaign("k1"),))
    assert (campaign(mesh).name, campaign(mesh).state, campaign(mesh).budget) == ("k1", "active", None)
    found(mesh, account, campaigns=(Campaign("k1", "Spring"),))
    found(mesh, account, campaigns=(Campaign("k1", "k1"),))
    assert campaign(mesh).name == "k1", "a campaign may be renamed to its key"


def test_what_changes_nothing_is_no_change(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, campaigns=(Campaign("k1", "Spring"),))
    before = campaign(mesh).updated_at
    found(mesh, account, campaigns=(Campaign("k1", "Spring"), Campaign("k1")))
    assert campaign(mesh).updated_at == before


def test_two_steps_of_a_commit_know_parts_of_one_campaign(mesh: Mesh, account: UUID) -> None:
    one = step(mesh, account, Done(records=Records(campaigns=(Campaign("k1", "Spring", "sales"),))))
    two = step(mesh, account, Done(records=Records(campaigns=(Campaign("k1", "Summer"),))))
    assert settled(mesh, one, two)[0] == [True, True]
    assert (campaign(mesh).name, campaign(mesh).objective) == ("Summer", "sales")


# ------------------------------------------------------------------------------------------------------------ links


def test_a_link_belongs_to_the_products_campaign_of_the_same_commit(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, campaigns=(Campaign("k1", "Spring"),), links=(Link("x1", "k1", "ACTIVE", {"name": "Spring"}),))
    assert link(mesh).campaign_id == campaign(mesh).id
    found(mesh, account, links=(Link("x1"), Link("x2", "never heard of")))
    assert link(mesh).campaign_id == campaign(mesh).id, "who does not know the key takes nothing away"
    assert link(mesh, "x2").campaign_id is None


def test_a_link_never_belongs_to_another_tenants_campaign(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, campaigns=(Campaign("k1", "Spring"),))
    other = connected(mesh, tenant="other")
    found(mesh, other, links=(Link("x1", "k1"),), tenant="other")
    assert link(mesh).campaign_id is None


def test_what_is_known_of_a_link_is_put_together(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, links=(Link("x1", None, "ACTIVE", {"name": "Spring", "budget": 5}, EVENING),))
    mesh.sql("update campaign_links set seen_at = now() - interval '1 day'")
    found(mesh, account, links=(Link("x1", None, None, {"budget": 6}, MORNING),))
    row = link(mesh)
    assert (row.external_state, row.details) == ("ACTIVE", {"name": "Spring", "budget": 6})
    assert row.applied_at == EVENING, "it only goes forward"
    assert mesh.one("select seen_at > now() - interval '1 hour' from campaign_links")


def test_two_steps_of_a_commit_know_parts_of_one_link(mesh: Mesh, account: UUID) -> None:
    one = step(mesh, account, Done(records=Records(links=(Link("x1", None, "ACTIVE", {"a": 1}, EVENING),))))
    two = step(mesh, account, Done(records=Records(links=(Link("x1", None, None, {"b": 2}, MORNING),))))
    assert settled(mesh, one, two)[0] == [True, True]
    row = link(mesh)
    assert (row.external_state, row.details, row.applied_at) == ("ACTIVE", {"a": 1, "b": 2}, EVENING)


# ------------------------------------------------------------------------------------------------ what is gone there


def listing(mesh: Mesh, account: UUID, *seen: str) -> list[tuple[str, UUID]]:
    """A whole listing that begins now and shows these; what was dispatched."""
    mesh.sql("update campaign_links set seen_at = seen_at - interval '1 minute'")
    began = mesh.one("select now()")
    links = tuple(Link(external_id, None, "on") for external_id in seen)
    return settled(mesh, step(mesh, account, Done(records=Records(links=links, listed_since=began))))[1]


def deletions(mesh: Mesh) -> list[Any]:
    return [row[0] for row in mesh.sql("select data from events where type = 'campaign.deleted' order by id")]


def test_who_is_not_in_a_whole_listing_is_gone_and_the_product_hears_of_its_own(mesh: Mesh, account: UUID) -> None:
    told = mesh.hook("/receive/gone", event_type="campaign.deleted").webhook_id
    other = connected(mesh, name="other")
    found(mesh, account, campaigns=(Campaign("k1"), Campaign("k2")), links=(Link("x1", "k1"), Link("x2", "k2")))
    found(mesh, account, links=(Link("foreign"),))
    found(mesh, other, links=(Link("elsewhere", "k1"),))
    ((_, delivery_id),) = listing(mesh, account, "x2")
    assert mesh.delivery(delivery_id).webhook_id == told
    facts = {"campaign_id": "k1", "provider": "paged", "integration_id": str(account), "external_id": "x1"}
    assert deletions(mesh) == [facts]
    gone = mesh.sql("select external_id, external_state from campaign_links where deleted_at is not null order by 1")
    assert [tuple(row) for row in gone] == [("foreign", "deleted"), ("x1", "deleted")]
    assert listing(mesh, account, "x2") == [], "what is gone is gone once"


def test_who_comes_back_is_there_and_may_go_again(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, campaigns=(Campaign("k1"),), links=(Link("x1", "k1"),))
    listing(mesh, account)
    listing(mesh, account, "x1")
    assert (link(mesh).deleted_at, link(mesh).external_state) == (None, "on")
    listing(mesh, account)
    assert link(mesh).deleted_at is not None
    assert len(deletions(mesh)) == 2


def test_a_campaign_made_while_the_listing_ran_is_not_gone(mesh: Mesh, account: UUID) -> None:
    began = mesh.one("select now()")
    found(mesh, account, links=(Link("x1"),))
    found(mesh, account, listed_since=began)
    assert link(mesh).deleted_at is None


def test_a_sync_that_is_shown_a_deleted_campaign_says_so_once(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, campaigns=(Campaign("k1"),), links=(Link("x1", "k1"),))
    found(mesh, account, links=(Link("x1", external_state="DELETED", deleted=True),))
    before = link(mesh).deleted_at
    found(mesh, account, links=(Link("x1", external_state="DELETED", deleted=True),))
    assert before == link(mesh).deleted_at
    assert [each["campaign_id"] for each in deletions(mesh)] == ["k1"]


def test_what_the_product_itself_deleted_is_no_news_to_it(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, campaigns=(Campaign("k1"),), links=(Link("x1", "k1"),))
    asked = step(mesh, account, Done(records=Records(links=(Link("x1", deleted=True),))))
    archived = replace(asked.claim, event=replace(asked.claim.event, type="campaign.archived"))
    assert settled(mesh, replace(asked, claim=archived))[0] == [True]
    assert link(mesh).deleted_at is not None
    assert deletions(mesh) == []


def test_hundreds_that_are_gone_are_published_together(mesh: Mesh, account: UUID) -> None:
    keys = [f"k{n}" for n in range(300)]
    found(mesh, account, campaigns=tuple(map(Campaign, keys)), links=tuple(Link(f"x{key}", key) for key in keys))
    statements: list[str] = []
    event.listen(mesh.engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement))
    listing(mesh, account)
    assert len(deletions(mesh)) == 300
    assert len(statements) < 40


# ---------------------------------------------------------------------------------------------------- in one commit


def page(day: int, *, finished: bool = False) -> Records:
    numbers = tuple(Metric("ad", f"ad{n}", DAY + timedelta(days=day), impressions=n) for n in range(3))
    return Records(metrics=numbers, cursor=Cursor("numbers", {"through": day}, finished))


def test_rows_cursor_and_progress_move_together(mesh: Mesh, account: UUID) -> None:
    first = step(mesh, account, Wait(0, {"done": 1, "of": 2}, records=page(0)))
    assert settled(mesh, first)[0] == [True]
    row = mesh.delivery(first.claim.delivery_id)
    assert (row.state, row.progress, mesh.count("ad_metrics")) == ("waiting", {"done": 1, "of": 2}, 3)
    assert tuple(mesh.sql("select cursor, synced_at from sync_cursors")[0]) == ({"through": 0}, None)
    (again,) = claim(mesh, first.claim.delivery_id)
    settled(mesh, ending(_as_claim(again), Done(records=page(1, finished=True)), exchange=None, duration_ms=1))
    (cursor,) = mesh.sql("select * from sync_cursors")
    assert (cursor.cursor, cursor.synced_at is not None, mesh.count("ad_metrics")) == ({"through": 1}, True, 6)


def test_who_lost_the_delivery_stores_nothing(mesh: Mesh, account: UUID) -> None:
    late = step(mesh, account, Done(records=replace(page(0), campaigns=(Campaign("k1"),), links=(Link("x1"),))))
    mesh.lease_over()
    expire(mesh)
    assert settled(mesh, late) == ([False], [])
    tables = ("campaigns", "campaign_links", "ad_metrics", "sync_cursors")
    assert [mesh.count(table) for table in tables] == [0, 0, 0, 0]


def test_of_two_ends_of_one_delivery_in_a_batch_only_the_holders_is_stored(mesh: Mesh, account: UUID) -> None:
    late = step(mesh, account, Done(records=page(0)))
    mesh.lease_over()
    expire(mesh)
    mesh.due_now()
    (row,) = claim(mesh, late.claim.delivery_id)
    holder = ending(_as_claim(row), Done(records=page(1)), exchange=None, duration_ms=5)
    assert settled(mesh, late, holder)[0] == [False, True]
    assert [row[0] for row in mesh.sql("select distinct day from ad_metrics")] == [DAY + timedelta(days=1)]


def test_while_postgres_is_away_nothing_is_stored_twice(
    mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = db.cursors.move, iter([True, True, False])

    def away(*given: Any) -> None:
        real(*given)
        if next(failures):
            raise OperationalError("insert", {}, psycopg2.OperationalError("the server closed the connection"))

    monkeypatch.setattr(db.cursors, "move", away)
    monkeypatch.setattr(settle, "AWAY_PAUSE_S", 0)
    some = replace(page(0), campaigns=(Campaign("k1"),), links=(Link("x1", "k1"),))
    assert settled(mesh, step(mesh, account, Done(records=some)))[0] == [True]
    assert (mesh.count("ad_metrics"), mesh.count("campaign_links"), mesh.count("campaigns")) == (3, 1, 1)


@pytest.mark.parametrize(
    "bad",
    [
        Records(metrics=(Metric("ad", "a", DAY, impressions=-1),)),
        Records(metrics=(Metric("ad", "a", DAY, spend=Decimal("1e15")),)),
        Records(metrics=(Metric("ad", "a\0b", DAY),)),
        Records(metrics=(Metric("ad", "a", DAY, details={"a": object()}),)),
        Records(campaigns=(Campaign("k1", state="asleep"),)),
        Records(links=(Link("x1", details={"a": float("nan")}),)),
    ],
    ids=["negative", "too large", "NUL", "no JSON", "no such state", "NaN"],
)
def test_a_record_that_cannot_be_stored_makes_a_dead_letter_that_says_so(
    mesh: Mesh, account: UUID, bad: Records
) -> None:
    good, wrong = step(mesh, account, Done(records=page(0))), step(mesh, account, Wait(0, {"done": 1}, records=bad))
    plain = step(mesh, account, Done())
    assert settled(mesh, good, wrong, plain)[0] == [True, True, True]
    row = mesh.delivery(wrong.claim.delivery_id)
    assert (row.state, row.error_code, row.progress) == ("failed", "not_stored", None)
    assert mesh.count("ad_metrics") == 3, "the neighbour's"
    assert mesh.count("deliveries", "state = 'succeeded'") == 2
    mesh.drain()
    assert mesh.delivery(wrong.claim.delivery_id).attempt_count == 1


def test_text_that_postgres_does_not_take_is_mended(mesh: Mesh, account: UUID) -> None:
    found(mesh, account, links=(Link("x1", details={"name": "a\0b\ud800"}),))
    assert link(mesh).details == {"name": "a\ufffdb?"}


# ---------------------------------------------------------------------------------------------------- many at a time


def test_who_found_nothing_is_settled_in_one_statement(mesh: Mesh, account: UUID) -> None:
    ends = [step(mesh, account, Done()) for _ in range(3)]
    statements: list[str] = []
    for engine in (mesh.engine, mesh.resources.statements):
        event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement))
    assert settled(mesh, *ends)[0] == [True] * 3
    assert [each.split()[0] for each in statements if not each.startswith("prepare")] == ["execute"]


def commits(mesh: Mesh, *endings: Ending) -> list[set[UUID]]:
    """What was settled together."""
    return [{each.claim.delivery_id for each in portion} for portion in settle._portions(endings)]


def test_outcomes_with_many_rows_have_commits_of_their_own(
    mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settle, "RECORD_ROWS", 7)
    some = [step(mesh, account, Done(records=page(day))) for day in range(3)]
    large = step(mesh, account, Done(records=replace(page(3), links=tuple(Link(f"x{n}") for n in range(9)))))
    plain = step(mesh, account, Done())
    given = [some[0], plain, large, some[1], some[2]]
    ids = [each.claim.delivery_id for each in given]
    assert commits(mesh, *given) == [{ids[1]}, {ids[0]}, {ids[2]}, {ids[3], ids[4]}]
    assert settled(mesh, *given)[0] == [True] * 5
    assert (mesh.count("ad_metrics"), mesh.count("campaign_links")) == (12, 9)


def test_two_workers_with_the_same_rows_wait_for_each_other_and_never_in_a_ring(
    mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One ends a listing that shows x2 and not x1, while the other one stores both."""
    found(mesh, account, links=(Link("x1"), Link("x2")))
    mesh.sql("update campaign_links set seen_at = now() - interval '1 minute'")
    listed = step(mesh, account, Done(records=Records(links=(Link("x2"),), listed_since=mesh.one("select now()"))))
    both = step(mesh, account, Done(records=Records(links=(Link("x2", None, "on"), Link("x1", None, "on")))))
    other = threading.Thread(target=settled, args=(mesh, both))
    real = db.links.mark_unseen
    failures: list[BaseException] = []

    def noted(error: BaseException) -> bool:
        failures.append(error)
        return is_away(error)

    def meanwhile(*given: Any) -> Any:
        other.start()
        waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        eventually(lambda: mesh.one(waits), "the other one waits")
        return real(*given)

    monkeypatch.setattr(db.links, "mark_unseen", meanwhile)
    monkeypatch.setattr(settle, "is_away", noted)
    assert settled(mesh, listed)[0] == [True]
    other.join()
    assert failures == [], "a deadlock ends one of the two"
    assert [tuple(row) for row in mesh.sql("select external_state, deleted_at from campaign_links")] == [
        ("on", None),
        ("on", None),
    ]


def test_the_number_of_rows() -> None:
    some = replace(page(0), campaigns=(Campaign("k1"),), links=(Link("x1"), Link("x2")))
    assert (records.size(some), records.size(Records())) == (6, 0)


def test_who_stores_records_does_not_wait_for_who_notes_a_recovery(mesh: Mesh, account: UUID) -> None:
    """One holds the account's row and waits for its records; the other holds those and refers to the row."""
    mesh.sql("update integrations set consecutive_failures = 1, failing_since = now()")
    with mesh.engine.begin() as one, mesh.engine.begin() as other:
        db.targets.recovered(one, "integrations", [account])
        db.cursors.lock_accounts(other, [account])
        run(other, "set local lock_timeout = '1s'")
        row = db.links.Row(account, "acme", Link("x1"), "{}")
        assert len(db.links.upsert(other, [row])) == 1

"""The growth bench: its history fits the schema, its steps settle what they begin, its judges can say no."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from bench import growth, growth_fill, growth_pages, growth_plans, growth_steps
from bench.growth_pages import Page
from bench.growth_steps import Compared, Cost, Side
from bench.part import Options
from db.engine import Rows, run
from tests.servers import Servers

ROWS = 2000
INDEXES = (
    "select indexdef from pg_indexes where schemaname = 'public' and (tablename in ('events', 'deliveries')"
    " or tablename like 'integration_sync_logs%%') order by 1"
)


@pytest.fixture(scope="module")
def full(servers: Servers) -> Iterator[Side]:
    """A small history."""
    with servers.empty_database() as url:
        side = growth_steps.side("full", url)
        with side.engine.begin() as connection:
            growth_fill.empty(connection)
            before = run(connection, INDEXES)
            growth_fill.fill(connection, ROWS)
            assert set(before) <= set(run(connection, INDEXES)), "every index is there again"
        yield side
        side.engine.dispose()


def ask(engine: Engine, question: str) -> Rows:
    with engine.begin() as connection:
        return run(connection, question)


@pytest.mark.parametrize(
    "wrong",
    [
        "select from events e full join deliveries d on d.event_id = e.id where e.id is null or d.id is null",
        "select from deliveries d full join integration_sync_logs l on l.delivery_id = d.id"
        " where d.id is null or l.id is null or d.event_id <> l.event_id",
        "select from events where tenant_id not in (select id from tenants)",
        "select from deliveries where integration_id not in (select id from integrations)",
        "select from deliveries where webhook_id not in (select id from webhooks)",
        "select from deliveries where state not in ('succeeded', 'failed', 'cancelled')",
        "select from (select accepted_at < lag(accepted_at) over (order by id) as back from events) e where back",
        "select from integration_sync_logs_default",
        "select from pg_class where relname = 'history'",
    ],
)
def test_the_history_is_whole_and_in_order(full: Side, wrong: str) -> None:
    assert ask(full.engine, wrong) == []


def test_the_history_has_all_kinds_of_rows(full: Side) -> None:
    assert ask(full.engine, "select count(*) from events")[0][0] == ROWS
    kinds = ask(
        full.engine,
        "select count(distinct tenant_id) > 100, count(distinct provider), count(distinct state),"
        " count(distinct date_trunc('week', created_at)) from deliveries",
    )
    assert tuple(kinds[0])[:3] == (True, 2, 3)
    assert kinds[0][3] in (growth_fill.WEEKS, growth_fill.WEEKS + 1)


def test_steps_are_counted_on_both_sides_and_leave_nothing_open(
    full: Side, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth_steps, "WARM_UP", 1)
    with servers.empty_database() as url:
        empty = growth_steps.side("empty", url)
        with empty.engine.begin() as connection:
            growth_fill.empty(connection)
        growth_steps.alternate((empty, full), growth_steps.ROUNDS, repeats=2)
        compared = growth_steps.compare(empty, full)
        for side in (empty, full):
            assert ask(side.engine, "select count(*) from deliveries where settled_at is null")[0][0] == 0
            assert ask(side.engine, "select from events where routed_at is null") == []
        empty.engine.dispose()
    assert {"claim", "settle", "take backlog", "expire leases", "route events"} <= {each.step for each in compared}
    assert all(each.batches == 2 for each in compared), "warm-up is not counted"
    assert all(each.empty.us > 0 and each.full.cpu_us > 0 for each in compared)


def test_every_page_answers(full: Side) -> None:
    pages = growth_pages.measure(full.engine)
    rows = {page.name: page.rows for page in pages}
    assert len(rows) == len(pages), "every name once"
    assert (rows["deliveries: all"], rows["deliveries: unused webhook"], rows["events: all"]) == (50, 0, 50)
    assert rows["replay, how many: common provider"] == rows["replay, a step: common provider"] > 0
    assert ask(full.engine, "select from deliveries where state = 'pending'") == [], "replays were undone"


def test_plans_are_read(full: Side) -> None:
    found = dict(growth._plans(full.engine))
    assert "deliveries_pkey" in found["claim"]
    assert "1 of " in found["settle"]
    assert not any("WHOLE" in text for text in found.values())
    assert ask(full.engine, "select from deliveries where settled_at is null") == [], "explaining was undone"


def test_a_table_read_from_end_to_end_is_named(full: Side) -> None:
    with full.engine.begin() as connection:
        run(connection, "set local enable_seqscan = on")
        (reads,) = growth_plans.explain(
            connection, lambda c: run(c, "select count(*) from deliveries where error_message = 'x'")
        )
    assert reads.text == "WHOLE TABLE deliveries"


def test_retention_is_measured_beside_the_road(full: Side, servers: Servers) -> None:
    url = full.engine.url.render_as_string(hide_password=False).replace("postgresql+psycopg2", "postgresql")
    events, partition = growth._retention(full, url, repeats=2)
    assert "events with their deliveries deleted" in events.what
    assert partition.what.endswith("partition(s) dropped")
    assert min(events.batches, partition.batches) >= 2
    assert events.p95_ratio > 0


def test_a_disk_that_is_too_small_is_said_before_anything_is_made(tmp_path: Path) -> None:
    report = growth.run(Options(tmp_path), rows=10**12)
    assert report.tables == []
    assert "rows need" in report.problems[0]
    assert "--rows" in report.problems[0]
    assert list(tmp_path.iterdir()) == []


COST = Cost(cpu_us=10, us=20, p95_us=30, wal=400)


@pytest.mark.parametrize(("cpu_us", "word"), [(10.9, "met"), (11.2, "missed")])
def test_a_step_that_costs_too_much_misses_the_goal(cpu_us: float, word: str) -> None:
    (_, _, line, _) = growth.step_table([Compared("claim", 5, COST, replace(COST, cpu_us=cpu_us))], ROWS).split("\n")
    assert line.split()[5] == word


def test_slow_pages_stand_first_and_are_counted() -> None:
    quick, slow = Page("quick", 1, 1, 1, 1), Page("slow", 1, 90, 60, 90)
    title, _, first, second = growth.page_table([quick, slow]).split("\n")
    assert title.endswith("1 of 2 within 50 ms")
    assert (first.split()[0], first.split()[-1]) == ("slow", "missed")
    assert second.split()[-1] == "met"


def test_the_same_dice_make_the_same_events() -> None:
    tenants = [[event.tenant_id for event in growth_steps.some_events(random.Random(4), None)] for _ in range(2)]
    assert tenants[0] == tenants[1]
    assert len(set(tenants[0])) > 10

"""On tables with history and a backlog, the statements of every delivery read rows by index, and only their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine

import db.attempts
import db.deliveries
import db.delivery_search
import db.events
import db.redelivery
import db.rejected
import db.retention
import db.schema
from db.deliveries import Again, GiveBack, Settlement
from db.engine import Rows, connect, run
from model import Event
from tests.db.claims import settlement
from tests.servers import Servers
from worker import catalog, ids

ROWS = 20_000
BATCH = 50
OFTEN = 7  # times in one session: a prepared statement may change its plan after the fifth

EVERYTHING = {
    **dict.fromkeys(("cursor", "tenant_id", "webhook_id", "provider", "since")),
    "until": datetime(9999, 1, 1, tzinfo=UTC),
}

FILL = (
    "insert into tenants (id, name) values ('acme', 'Acme')",
    "insert into integrations (tenant_id, provider, name) values ('acme', 'zapier', 'default')",
    "insert into webhooks (tenant_id, integration_id, event_type, url_sealed, url_hash, url_hint, secrets)"
    " select 'acme', id, '*', 'v1:k:x', 'h', 'https://x/****', '[{\"id\": \"1\"}]' from integrations",
    "insert into events (id, tenant_id, type, data, occurred_at, routed_at)"
    " select gen_random_uuid(), 'acme', 'user.signup', '{}', now(), now() from generate_series(1, %(rows)s)",
    # One in twenty waits, half of these were sent; one in twenty is held; the others are over.
    "insert into deliveries (id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, state, due_at,"
    " dispatched_at, attempt_id, lease_until, settled_at, attempt_count)"
    " select e.id, e.id, 'acme', 'zapier', w.integration_id, w.id, 'user.signup',"
    " case e.n %% 20 when 0 then 'pending' when 1 then 'running' else 'succeeded' end,"
    " case when e.n %% 20 = 0 then now() end, case when e.n %% 40 = 0 then now() end,"
    " case when e.n %% 20 = 1 then e.id end, case when e.n %% 20 = 1 then now() + interval '1 hour' end,"
    " case when e.n %% 20 > 1 then now() end, 1"
    " from (select id, row_number() over (order by id) as n from events) e, webhooks w",
    "insert into integration_sync_logs (id, delivery_id, event_id, tenant_id, provider, integration_id, event_type,"
    " attempt_number, started_at, worker, state, finished_at)"
    " select id, id, id, tenant_id, provider, integration_id, event_type, 1, now() - interval '1 hour' * (n %% 600),"
    " 'w', case when state = 'running' then 'started' else 'succeeded' end, case when state <> 'running' then now() end"
    " from (select *, row_number() over (order by id) as n from deliveries) d",
)


@pytest.fixture(scope="module")
def engine(servers: Servers) -> Iterator[Engine]:
    """Twenty thousand deliveries with their events and attempts."""
    with servers.empty_database() as url:
        engine = connect(url, name="mesh-tests", by_index=True)
        with engine.begin() as connection:
            db.schema.apply(connection, catalog.rows())
        fill(engine, ROWS)
        with engine.begin() as connection:
            run(connection, "analyze")
        yield engine
        engine.dispose()


def fill(engine: Engine, count: int) -> None:
    with engine.begin() as connection:
        for statement in FILL:
            run(connection, statement, rows=count)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A session whose changes are undone."""
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def some(connection: Connection, state: str = "pending", *, skip: int = 0) -> list[Any]:
    found = run(
        connection,
        "select id from deliveries where state = %(state)s order by id offset %(skip)s limit %(count)s",
        state=state,
        skip=skip,
        count=BATCH,
    )
    return [row[0] for row in found]


def claim(connection: Connection, *, skip: int = 0) -> Rows:
    wanted = some(connection, skip=skip)
    return db.deliveries.claim(connection, wanted, [ids.new() for _ in wanted], lease_s=60, worker="w")


def read_from_end_to_end(connection: Connection, statement: Callable[[int], object]) -> dict[str, int]:
    """The rows that sequential scans of this statement read, by table, when a session executes it often."""
    for turn in range(OFTEN - 1):
        with connection.begin_nested() as undone:
            statement(turn)
            undone.rollback()
    before = scans(connection)
    statement(OFTEN)
    after = scans(connection)
    return {table: rows - before.get(table, 0) for table, rows in after.items() if rows > before.get(table, 0)}


def scans(connection: Connection) -> dict[str, int]:
    """The rows that this transaction's sequential scans have read, of the tables that grow."""
    rows = run(
        connection,
        "select relname, seq_tup_read from pg_stat_xact_user_tables"
        " where relname in ('deliveries', 'events') or relname like 'integration_sync_logs%%'",
    )
    return {row.relname: int(row.seq_tup_read) for row in rows}


def test_the_finder_finds(connection: Connection) -> None:
    question = "select count(*) from deliveries where error_message = 'x'"
    assert read_from_end_to_end(connection, lambda _: run(connection, question)) == {"deliveries": ROWS}


def test_claim(connection: Connection) -> None:
    wanted = some(connection)

    def statement(_: int) -> None:
        attempts = [ids.new() for _ in wanted]
        assert len(db.deliveries.claim(connection, wanted, attempts, lease_s=60, worker="w")) == BATCH

    assert read_from_end_to_end(connection, statement) == {}


def test_settle(connection: Connection) -> None:
    ends: list[Settlement] = [settlement(row) for row in claim(connection)]

    def statement(_: int) -> None:
        assert len(db.deliveries.settle(connection, ends)) == BATCH

    assert read_from_end_to_end(connection, statement) == {}


def test_reopen(connection: Connection) -> None:
    ends = [settlement(row, attempt_state="retryable", error_code="x") for row in claim(connection)]

    def statement(_: int) -> None:
        tries = [Again(end, ids.new()) for end in ends]
        assert len(db.deliveries.reopen(connection, tries, lease_s=60, worker="w")) == BATCH

    assert read_from_end_to_end(connection, statement) == {}


def test_give_back(connection: Connection) -> None:
    back = [GiveBack(row.id, row.attempt_id, 1.0) for row in claim(connection)]
    assert read_from_end_to_end(connection, lambda _: db.deliveries.give_back(connection, back)) == {}


def test_take_backlog(connection: Connection) -> None:
    def statement(_: int) -> None:
        assert len(db.deliveries.take_backlog(connection, "zapier", limit=200, per_tenant=200)) == 200

    assert read_from_end_to_end(connection, statement) == {}


def test_accept(connection: Connection) -> None:
    moment = run(connection, "select now()")[0][0]

    def statement(_: int) -> None:
        events = [(Event(ids.new(), "acme", "user.signup", {}, moment), f"key-{uuid4()}") for _ in range(BATCH)]
        assert all(stored.new for stored in db.events.insert(connection, events))
        assert not any(stored.new for stored in db.events.insert(connection, events))

    assert read_from_end_to_end(connection, statement) == {}


def test_plans_made_while_the_tables_were_empty(servers: Servers) -> None:
    """A worker that starts on a fresh installation keeps its session, and its plans, when the rows come."""
    with servers.empty_database() as url:
        engine = connect(url, name="mesh-tests", by_index=True)
        with engine.begin() as connection:
            db.schema.apply(connection, catalog.rows())
        filler = connect(url, name="mesh-filler")
        with engine.connect() as connection:
            moment = run(connection, "select now()")[0][0]
            nothing = Settlement(ids.new(), ids.new(), moment, "succeeded", "succeeded", 1)
            for _ in range(OFTEN):
                wanted = [ids.new() for _ in range(BATCH)]
                db.deliveries.claim(connection, wanted, wanted, lease_s=60, worker="w")
                db.deliveries.settle(connection, [nothing] * BATCH)
            connection.commit()
            fill(filler, ROWS // 10)
            before = scans(connection)
            rows = claim(connection)
            assert len(rows) == BATCH
            assert len(db.deliveries.settle(connection, [settlement(row) for row in rows])) == BATCH
            assert scans(connection) == before
        filler.dispose()
        engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        lambda c: db.deliveries.expire_leases(c, limit=500, max_lost=5, grace_s=0),
        lambda c: db.deliveries.forget_dispatch(c, "zapier", older_than_s=30, limit=500),
        lambda c: db.deliveries.shelve(c, some(c)),
        lambda c: db.deliveries.undo_dispatch(c, [ids.new() for _ in range(BATCH)]),
        lambda c: db.delivery_search.page(c, tenant_id="acme"),
        lambda c: db.delivery_search.page(c, tenant_id="acme", state="failed"),
        lambda c: db.events.lock_unrouted(c, 500),
        lambda c: db.events.page(c, tenant_id="acme"),
        lambda c: db.attempts.of_delivery(c, ids.new()),
        lambda c: db.delivery_search.count_dead(c, provider="zapier"),
        lambda c: db.redelivery.redeliver_step(c, EVERYTHING, limit=500),
        lambda c: db.rejected.page(c),
        lambda c: db.retention.delete_rejected(c, days=90, limit=50),
        lambda c: db.retention.delete_stray_attempts(c, days=90, limit=500),
    ],
    ids=[
        "expire_leases", "forget_dispatch", "shelve", "undo_dispatch", "page", "dead", "unrouted", "events",
        "attempts", "count_dead", "redeliver_step", "rejected", "old_rejected", "stray_attempts",
    ],
)  # fmt: skip
def test_upkeep(connection: Connection, statement: Callable[[Connection], object]) -> None:
    assert read_from_end_to_end(connection, lambda _: statement(connection)) == {}


def test_retention(connection: Connection) -> None:
    """The foreign key's own statement included, which deletes an event's deliveries."""

    def statement(_: int) -> None:
        assert db.retention.delete_events(connection, days=-1, limit=500).deleted > 0  # until tomorrow

    assert read_from_end_to_end(connection, statement) == {}

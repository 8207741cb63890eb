"""schema.sql against real servers: what is there, what it refuses, its partitions and its door."""

from __future__ import annotations

import json
import os
import pwd
import re
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

import db.schema
from cli.embedded import EmbeddedError, Postgres
from db.engine import Rows, connect, run
from tests.conftest import empty
from tests.servers import HOME, Servers, alone
from worker import catalog

TABLES = {
    *("tenants", "api_keys", "oauth_states", "integrations", "integration_tokens", "webhooks"),
    *("events", "deliveries", "integration_sync_logs", "inbox", "sync_cursors"),
    *("campaigns", "campaign_links", "ad_metrics", "media_assets", "products", "orders"),
}

# Everything that makes two schemas the same: kind, name, definition.
SHAPE = """
select 'column', c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull::text ||
       ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '') || ' ' || coalesce(col_description(c.oid, a.attnum), '')
  from pg_attribute a join pg_class c on c.oid = a.attrelid
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and c.relkind in ('r', 'p')
union all select 'table', relname, relkind::text || ' ' || relispartition::text || coalesce(reloptions::text, '') ||
       coalesce(pg_get_expr(relpartbound, oid), '') || ' ' || coalesce(obj_description(oid), '')
  from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'public'
union all select 'constraint', conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid)
  from pg_constraint where connamespace = 'public'::regnamespace
union all select 'function', proname, pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
union all select 'type', name, description || schema::text from event_types
order by 1, 2, 3
"""


class Database:
    """A database, and short words to use it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def sql(self, statement: str, **parameters: Any) -> Rows:
        with self.engine.begin() as connection:
            return run(connection, statement, **parameters)

    def one(self, statement: str, **parameters: Any) -> Any:
        return self.sql(statement, **parameters)[0][0]

    def apply(self) -> None:
        with self.engine.begin() as connection:
            db.schema.apply(connection, catalog.rows())

    def shape(self) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.sql(SHAPE)]


@contextmanager
def opened(url: str) -> Iterator[Database]:
    engine = connect(url, name="mesh-tests")
    yield Database(engine)
    engine.dispose()


@pytest.fixture
def database(servers: Servers) -> Iterator[Database]:
    """The schema, applied, with one active tenant."""
    empty(servers)
    with opened(servers.database_url) as database:
        database.sql("insert into tenants (id, name) values ('acme', 'Acme')")
        yield database


# ------------------------------------------------------------------------------------------------- what is there


def test_every_table_of_the_design_exists(database: Database) -> None:
    there = {row[0] for row in database.sql("select tablename from pg_tables where schemaname = 'public'")}
    assert TABLES - there == set()


def test_applying_again_changes_nothing(database: Database) -> None:
    before = database.shape()
    database.apply()
    assert database.shape() == before
    kinds = {row[0] for row in before}
    assert kinds == {"column", "table", "index", "constraint", "function", "type"}


def test_applying_keeps_the_rows(database: Database) -> None:
    delivery_id = a_delivery(database)
    database.apply()
    assert database.one("select id from deliveries") == delivery_id


def test_a_changed_catalog_reaches_the_database(database: Database) -> None:
    database.sql("update event_types set description = 'old', schema = '{}' where name = 'user.signup'")
    database.sql("delete from event_types where name = 'campaign.created'")
    database.apply()
    kinds = catalog.event_types()
    rows = {row.name: row for row in database.sql("select * from event_types")}
    assert rows.keys() == kinds.keys()
    assert rows["user.signup"].schema == kinds["user.signup"].schema
    assert rows["user.signup"].description == kinds["user.signup"].description


def test_two_appliers_at_once_do_not_collide(servers: Servers) -> None:
    with servers.empty_database() as url:
        code = (
            "import sys; import db.schema; from db.engine import connect; from worker import catalog\n"
            "with connect(sys.argv[1], name='t').begin() as c: db.schema.apply(c, catalog.rows())"
        )
        command = [sys.executable, "-c", code, url]
        both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        assert [each.communicate(timeout=30)[1] for each in both] == ["", ""]


def test_applying_again_waits_for_no_reader(database: Database) -> None:
    with database.engine.begin() as reading, database.engine.begin() as connection:
        run(reading, f"lock table {', '.join(sorted(TABLES))} in access share mode")
        db.schema.apply(connection, catalog.rows(), pause=no_pause)


def test_applying_lets_go_while_a_table_is_written_and_tries_again(database: Database) -> None:
    pauses: list[float] = []
    with database.engine.connect() as writing, database.engine.begin() as connection:
        run(writing, "lock table events in row exclusive mode")

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            with database.engine.begin() as third:
                run(third, "lock table events, deliveries in row exclusive mode nowait")
            writing.rollback()

        db.schema.apply(connection, catalog.rows(), pause=pause)
    assert len(pauses) == 1


def no_pause(seconds: float) -> None:
    raise AssertionError("it had to wait for a lock")


# -------------------------------------------------------------------------------------------------- older servers


def test_it_applies_on_postgresql_16() -> None:
    server = Postgres(HOME, version=16, durable=False)
    with alone(HOME / "postgres-16.session"):
        try:
            server.start()
        except EmbeddedError as error:
            if "choose one of" in str(error):
                pytest.skip(f"the wheel brings no PostgreSQL 16 here: {error}")
            raise
        try:
            with opened(server.url("postgres")) as database:
                database.sql("drop schema public cascade")
                database.sql("create schema public")
            check_applies(server.url("postgres"))
        finally:
            server.stop("immediate")


def test_it_applies_on_the_oldest_postgresql_here() -> None:
    programs = system_postgres()
    if programs is None:
        pytest.skip("no PostgreSQL 14 or 15 on this machine")
    with own_server(programs) as url:
        check_applies(url)


def check_applies(url: str) -> None:
    """Applied to an empty database, twice; its functions work."""
    with opened(url) as database:
        database.apply()
        before = database.shape()
        database.apply()
        assert database.shape() == before
        database.sql("insert into tenants (id, name) values ('acme', 'Acme')")
        event_id = publish(database)
        assert event_id.version == 7
        assert database.one("select ensure_log_partitions(6)") in (0, 2)


def system_postgres() -> Path | None:
    """The folder of an older PostgreSQL's programs."""
    on_path = shutil.which("pg_ctl")
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *([Path(on_path).resolve().parent] if on_path else [])]
    for folder in folders:
        if all((folder / name).exists() for name in ("pg_ctl", "initdb", "postgres")):
            told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
            if re.search(r" (14|15)\.", told.stdout):
                return folder
    return None


@contextmanager
def own_server(programs: Path) -> Iterator[str]:
    """A server of these programs; PostgreSQL refuses root, so root uses an account."""
    account: dict[str, Any] = {}
    if os.geteuid() == 0:
        try:
            entry = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("root, and there is no account `postgres`")
        account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    data = Path(tempfile.mkdtemp(prefix="mesh-pg-"))  # a short name: a socket's has little room
    try:
        if account:
            os.chown(data, account["user"], account["group"])
        quiet: dict[str, Any] = {"check": True, "cwd": "/", "stdout": subprocess.DEVNULL, **account}
        initdb: list[Any] = [
            programs / "initdb",
            "-D",
            data / "d",
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        subprocess.run([*initdb, "--locale=C"], **quiet)
        options = f"-c listen_addresses='' -c unix_socket_directories={data} -c fsync=off"
        control: list[Any] = [programs / "pg_ctl", "-D", data / "d", "-s", "-w", "-l", data / "log"]
        subprocess.run([*control, "-o", options, "start"], **quiet)
        try:
            yield f"postgresql://postgres@/postgres?host={data}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(data)


# ------------------------------------------------------------------------------------------------ what it refuses


def insert(database: Database, table: str, row: Mapping[str, Any]) -> None:
    names, values = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    database.sql(f"insert into {table} ({names}) values ({values})", **row)


def an_integration(database: Database, **changes: Any) -> UUID:
    row = {"id": uuid4(), "tenant_id": "acme", "provider": "zapier", "name": uuid4().hex, **changes}
    insert(database, "integrations", row)
    return UUID(str(row["id"]))


def an_event(database: Database) -> UUID:
    row = {"id": uuid4(), "tenant_id": "acme", "type": "user.signup", "data": "{}", "occurred_at": NOW}
    insert(database, "events", row)
    return UUID(str(row["id"]))


def a_delivery(database: Database, **changes: Any) -> UUID:
    row = {
        "id": uuid4(),
        "event_id": an_event(database),
        "tenant_id": "acme",
        "provider": "zapier",
        "integration_id": an_integration(database),
        "event_type": "user.signup",
        "due_at": NOW,
        **changes,
    }
    insert(database, "deliveries", row)
    return UUID(str(row["id"]))


def an_attempt(database: Database, **changes: Any) -> UUID:
    row = {
        "id": uuid4(),
        "delivery_id": uuid4(),
        "event_id": uuid4(),
        "tenant_id": "acme",
        "provider": "zapier",
        "integration_id": uuid4(),
        "event_type": "user.signup",
        "attempt_number": 1,
        "started_at": NOW,
        "worker": "w",
        **changes,
    }
    insert(database, "integration_sync_logs", row)
    return UUID(str(row["id"]))


def a_webhook(database: Database, **changes: Any) -> None:
    row = {
        "tenant_id": "acme",
        "integration_id": an_integration(database),
        "event_type": "*",
        "url_sealed": "v1:k:x",
        "url_hash": b"h",
        "url_hint": "https://x/****",
        "secrets": '[{"id": "1"}]',
        **changes,
    }
    insert(database, "webhooks", row)


def a_token(database: Database, **changes: Any) -> None:
    row = {"integration_id": an_integration(database), "access_token_sealed": "v1:k:x", **changes}
    insert(database, "integration_tokens", row)


NOW = datetime.now(UTC)
RUNNING = {"state": "running", "due_at": None, "lease_until": NOW, "attempt_id": uuid4()}
SETTLED = {"due_at": None, "settled_at": NOW}


@pytest.mark.parametrize(
    "good",
    [
        {},
        RUNNING,
        {"state": "retrying"},
        {"state": "waiting"},
        {"state": "retrying", "due_at": "infinity"},
        {"state": "succeeded", **SETTLED},
        {"state": "cancelled", **SETTLED},
        {"state": "failed", "error_code": "x", **SETTLED},
    ],
)
def test_good_states_of_a_delivery(database: Database, good: Mapping[str, Any]) -> None:
    assert a_delivery(database, **good)


BAD: list[tuple[Any, Mapping[str, Any], str]] = [
    (a_delivery, {**RUNNING, "lease_until": None}, "deliveries_lease"),
    (a_delivery, {**RUNNING, "attempt_id": None}, "deliveries_lease"),
    (a_delivery, {"lease_until": NOW}, "deliveries_lease"),
    (a_delivery, {"attempt_id": uuid4()}, "deliveries_lease"),
    (a_delivery, {"due_at": None}, "deliveries_due"),
    (a_delivery, {**RUNNING, "due_at": NOW}, "deliveries_due"),
    (a_delivery, {"state": "succeeded", "settled_at": NOW}, "deliveries_due"),
    (a_delivery, {"state": "succeeded", "due_at": None}, "deliveries_settled"),
    (a_delivery, {"settled_at": NOW}, "deliveries_settled"),
    (a_delivery, {"state": "failed", **SETTLED}, "deliveries_failed"),
    (a_delivery, {"state": "done", "due_at": None}, "deliveries_state_check"),
    (a_delivery, {"attempt_count": -1}, "deliveries_attempt_count_check"),
    (a_delivery, {"event_id": uuid4()}, "deliveries_event_id_fkey"),
    (a_delivery, {"integration_id": uuid4()}, "deliveries_integration_id_fkey"),
    (an_attempt, {"finished_at": NOW}, "logs_finished"),
    (an_attempt, {"state": "succeeded"}, "logs_finished"),
    (an_attempt, {"state": "refused", "finished_at": NOW}, "logs_error"),
    (an_attempt, {"state": "succeeded", "finished_at": NOW, "error_code": "x"}, "logs_error"),
    (an_attempt, {"error_code": "x"}, "logs_error"),
    (an_attempt, {"attempt_number": 0}, "integration_sync_logs_attempt_number_check"),
    (an_attempt, {"duration_ms": -1}, "integration_sync_logs_duration_ms_check"),
    (an_integration, {"config": "[]"}, "integrations_config_check"),
    (an_integration, {"state": "broken"}, "integrations_state_check"),
    (an_integration, {"consecutive_failures": 1}, "integrations_check"),
    (an_integration, {"failing_since": NOW}, "integrations_check"),
    (an_integration, {"tenant_id": "nobody"}, "integrations_tenant_id_fkey"),
    (a_webhook, {"secrets": "[]"}, "webhooks_secrets_check"),
    (a_webhook, {"secrets": "{}"}, "webhooks_secrets_check"),
    (a_webhook, {"rate_per_s": 0}, "webhooks_rate_per_s_check"),
    (a_webhook, {"max_in_flight": 0}, "webhooks_max_in_flight_check"),
    (a_token, {"refresh_state": "refreshing"}, "integration_tokens_check"),
    (a_token, {"refresh_owner": uuid4(), "refresh_lease_until": NOW}, "integration_tokens_check"),
]


@pytest.mark.parametrize(("make", "bad", "constraint"), BAD)
def test_bad_rows_are_refused(database: Database, make: Any, bad: Mapping[str, Any], constraint: str) -> None:
    with pytest.raises(DBAPIError) as caught:
        make(database, **bad)
    refusal = caught.value.orig
    assert isinstance(refusal, psycopg2.Error)
    named = refusal.diag.constraint_name or ""
    assert named == constraint or re.fullmatch(rf"{constraint}\d", named)


def test_the_same_live_webhook_exists_once(database: Database) -> None:
    a_webhook(database, state="unregistered")
    a_webhook(database)
    with pytest.raises(DBAPIError, match="webhooks_once"):
        a_webhook(database, state="disabled")


@pytest.mark.parametrize("bad", ["", " acme", "a/b", "-a", "ä", "a" * 129, "a\nb"])
def test_tenant_ids_are_plain_words(database: Database, bad: str) -> None:
    with pytest.raises(DBAPIError, match="tenants_id_check"):
        database.sql("insert into tenants (id, name) values (%(id)s, 'x')", id=bad)


# ----------------------------------------------------------------------------------------------------- partitions


def monday(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=moment.weekday())


def home_of(database: Database, attempt_id: UUID) -> str:
    where = "select tableoid::regclass::text from integration_sync_logs where id = %(id)s"
    return str(database.one(where, id=attempt_id))


def test_rows_land_in_their_week(database: Database) -> None:
    now = datetime.now(UTC)
    first, last = monday(now), monday(now) + timedelta(days=7, microseconds=-1)
    name = f"integration_sync_logs_{first:%Y%m%d}"
    assert home_of(database, an_attempt(database, started_at=first)) == name
    assert home_of(database, an_attempt(database, started_at=last)) == name
    following = f"integration_sync_logs_{first + timedelta(days=7):%Y%m%d}"
    assert home_of(database, an_attempt(database, started_at=last + timedelta(microseconds=1))) == following
    assert home_of(database, an_attempt(database, started_at=first - timedelta(days=90))).endswith("_default")


def test_partitions_are_made_once(database: Database) -> None:
    before = database.shape()
    assert database.one("select ensure_log_partitions()") == 0
    assert database.shape() == before


def test_rows_of_the_default_partition_move_when_theirs_is_made(servers: Servers) -> None:
    with servers.empty_database() as url, opened(url) as database:
        database.apply()
        later = monday(datetime.now(UTC)) + timedelta(weeks=5, days=2)
        attempt_id, stays = (
            an_attempt(database, started_at=later),
            an_attempt(database, started_at=NOW.replace(year=1999)),
        )
        assert home_of(database, attempt_id).endswith("_default")
        assert database.one("select ensure_log_partitions(6)") == 2
        assert home_of(database, attempt_id) == f"integration_sync_logs_{monday(later):%Y%m%d}"
        assert home_of(database, stays).endswith("_default")
        assert database.one("select ensure_log_partitions(6)") == 0
        made = f"integration_sync_logs_{monday(later):%Y%m%d}"
        inherited = "select count(*) from pg_indexes where tablename = %(table)s"
        assert database.one(inherited, table=made) == database.one(inherited, table="integration_sync_logs_default")


# ------------------------------------------------------------------------------------------------------------ ids


def test_mesh_uuid_is_version_7_and_in_time_order(database: Database) -> None:
    began = datetime.now(UTC)
    found = []
    for _ in range(20):
        found.append(database.one("select mesh_uuid()"))
        database.sql("select pg_sleep(0.001)")  # the server's clock goes on: ids of one millisecond have no order
    assert {(each.version, each.variant) for each in found} == {(7, "specified in RFC 4122")}
    assert found == sorted(found)
    assert len({row[0] for row in database.sql("select mesh_uuid() from generate_series(1, 1000)")}) == 1000
    made_at = datetime.fromtimestamp((found[0].int >> 80) / 1000, UTC)
    assert abs(made_at - began) < timedelta(seconds=5)


# ---------------------------------------------------------------------------------------------------- publish_event


def publish(
    database: Database, tenant: Any = "acme", kind: Any = "user.signup", data: Any = None, key: Any = None
) -> UUID:
    found = database.one(
        "select publish_event(%(tenant)s, %(kind)s, %(data)s::jsonb, %(key)s)",
        tenant=tenant,
        kind=kind,
        data=json.dumps({"user_id": "u"} if data is None else data),
        key=key,
    )
    assert isinstance(found, UUID)
    return found


def test_an_event_of_the_sql_door_waits_for_its_routes(database: Database) -> None:
    event_id = publish(database, key="k-1")
    (row,) = database.sql("select * from events")
    assert (row.id, row.tenant_id, row.type, row.data, row.idempotency_key) == (
        event_id,
        "acme",
        "user.signup",
        {"user_id": "u"},
        "k-1",
    )
    assert row.routed_at is None
    assert row.occurred_at is not None


def test_a_repeated_id_returns_the_first_event(database: Database) -> None:
    database.sql("insert into tenants (id, name) values ('other', 'Other')")
    first = publish(database, key="k")
    assert publish(database, key="k", data={"user_id": "changed"}) == first
    assert publish(database, "other", key="k") != first
    assert publish(database) != publish(database)
    assert database.one("select count(*) from events") == 4


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"tenant": "nobody"}, 'tenant "nobody" is not known'),
        ({"tenant": None}, "is not known"),
        ({"tenant": "asleep"}, 'tenant "asleep" is suspended'),
        ({"kind": "user.gone"}, 'event type "user.gone" is not in the catalog'),
        ({"kind": None}, "is not in the catalog"),
        ({"data": ["a list"]}, 'data of "user.signup" must be a JSON object'),
        ({"data": "text"}, "must be a JSON object"),
        ({"data": {"user_id": "x" * 262_144}}, "more than the 262144 allowed"),
        ({"key": ""}, "must have 1 to 255 characters"),
        ({"key": "k" * 256}, "must have 1 to 255 characters"),
        ({"key": "message:1"}, "not begin with"),
        ({"data": {}}, 'must hold "user_id"'),
    ],
)
def test_what_the_sql_door_refuses(database: Database, arguments: Mapping[str, Any], sentence: str) -> None:
    database.sql("insert into tenants (id, name, state) values ('asleep', 'Asleep', 'suspended')")
    with pytest.raises(DBAPIError, match=re.escape(sentence)):
        publish(database, **arguments)
    assert database.one("select count(*) from events") == 0


def test_null_data_is_refused(database: Database) -> None:
    for nothing in ("null", "'null'::jsonb"):
        with pytest.raises(DBAPIError, match="must be a JSON object"):
            database.sql(f"select publish_event('acme', 'user.signup', {nothing})")


def test_the_largest_data_is_taken(database: Database) -> None:
    around = len('{"user_id": ""}')
    assert publish(database, data={"user_id": "x" * (262_144 - around)})


def test_it_happens_exactly_when_the_callers_change_does(servers: Servers, database: Database) -> None:
    with closing(psycopg2.connect(servers.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select publish_event('acme', 'user.signup', '{\"user_id\": \"u\"}')")
        connection.rollback()
        assert database.one("select count(*) from events") == 0
        cursor.execute("select publish_event('acme', 'user.signup', '{\"user_id\": \"u\"}')")
        assert database.one("select count(*) from events") == 0
        connection.commit()
        assert database.one("select count(*) from events") == 1


def test_the_reconciler_is_woken_after_the_commit(servers: Servers, database: Database) -> None:
    with closing(psycopg2.connect(servers.database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("listen mesh_events")
        publish(database, key="k")
        assert select.select([connection], [], [], 5) == ([connection], [], [])
        connection.poll()
        assert [each.channel for each in connection.notifies] == ["mesh_events"]
        connection.notifies.clear()
        publish(database, key="k")  # nothing new
        connection.poll()
        assert connection.notifies == []

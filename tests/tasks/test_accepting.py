"""How a worker takes events without a thread for each: many messages share a commit, and none is acknowledged before.

What producers send, and what no producer should, is in `test_events.py`, on this road and on Celery's usual one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from sandbox.process import Sandbox
from tests.mesh import Mesh, eventually
from tests.servers import Servers
from tests.tasks.workers import Shop, Worker, event, running_worker

SENT, HELD = 24, 16  # messages on the queue, and how many of them a worker takes at least before it has stored any
THREADS = 4  # of a worker, by its environment


@pytest.fixture
def shop(servers: Servers, mesh: Mesh) -> Iterator[Shop]:
    mesh.hook()
    with closing(Shop(servers)) as shop:
        yield shop


@pytest.fixture
def worker(servers: Servers, shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Worker]:
    with running_worker(servers, sandbox, tmp_path) as worker:
        yield worker


def delivered(mesh: Mesh, shop: Shop, count: int) -> None:
    """So many events are delivered, each called once, and every message is acknowledged."""
    eventually(lambda: mesh.count("deliveries", "state = 'succeeded'") >= count, f"{count} are delivered")
    eventually(lambda: shop.unacked() == 0 and shop.waiting() == 0, "every message is acknowledged")
    assert mesh.count("events") == mesh.count("deliveries") == count


def calls(mesh: Mesh) -> int:
    return mesh.sandbox.control.counts("/receive/x")["requests"]


def largest_commit(mesh: Mesh, shop: Shop) -> int:
    """Send many messages while nothing can be stored. How many events the largest of the commits afterwards wrote."""
    with mesh.engine.begin() as connection:
        connection.exec_driver_sql("lock table events in exclusive mode", {})
        for number in range(SENT):
            shop.send(event(f"n{number}"))
        eventually(lambda: shop.unacked() >= HELD, "it holds many")
    delivered(mesh, shop, SENT)
    assert calls(mesh) == SENT
    return int(mesh.one("select count(*) from events group by xmin::text order by 1 desc limit 1"))


@pytest.mark.usefixtures("worker")
def test_single_messages_share_commits(mesh: Mesh, shop: Shop) -> None:
    assert largest_commit(mesh, shop) > THREADS


@pytest.mark.usefixtures("worker")
def test_nothing_is_acknowledged_before_its_commit(mesh: Mesh, shop: Shop) -> None:
    shop.send(event("before"))
    delivered(mesh, shop, 1)
    with mesh.engine.begin() as connection:
        connection.exec_driver_sql("lock table events in exclusive mode", {})
        shop.send(event("held"))
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        eventually(lambda: mesh.one(waits) == 1, "it tries to store it")
        assert shop.unacked() == 1
    delivered(mesh, shop, 2)


@pytest.mark.usefixtures("worker")
def test_an_event_of_a_well_target_is_claimed_by_the_commit_that_stores_it(mesh: Mesh, shop: Shop) -> None:
    shop.send([event(f"n{n}") for n in range(10)])
    delivered(mesh, shop, 10)
    at_once = (
        "select count(*) from deliveries d join events e on e.id = d.event_id"
        " join integration_sync_logs l on l.delivery_id = d.id"
        " where d.created_at = e.accepted_at and l.started_at = e.accepted_at and d.attempt_count = 1"
    )
    assert mesh.one(at_once) == 10, "event, delivery and attempt have the time of one transaction"


def redelivered(servers: Servers, shop: Shop) -> None:
    """The time after which a dead worker's messages come back is over."""
    index = f"{servers.key_prefix}unacked_index"
    for tag in shop.redis.zrange(index, 0, -1):
        assert isinstance(tag, bytes)
        shop.redis.zadd(index, {tag: 0})


@pytest.mark.parametrize("data", [[event("a")], [event("a"), event("b"), event("c")]], ids=["single", "list"])
def test_killed_between_its_commit_and_the_acknowledgement(
    servers: Servers, mesh: Mesh, shop: Shop, tmp_path: Path, data: list[Any]
) -> None:
    """The message comes back and is the same events; the calls that died with it are made after their lease."""
    order, first, second = tmp_path / "stop", tmp_path / "first", tmp_path / "second"
    for home in (first, second):
        home.mkdir()
    with running_worker(servers, mesh.sandbox, first, MESH_STOP_AT=str(order)) as worker:
        order.write_text("accept")
        shop.send(data)
        assert worker.ended() == -9, worker.log[-3000:]
    assert mesh.count("events") == mesh.count("deliveries", "attempt_count = 1") == len(data), "it was committed"
    assert shop.unacked() == 1, "and not acknowledged"
    before = {row[0] for row in mesh.sql("select id from events")}
    redelivered(servers, shop)
    mesh.lease_over()
    with running_worker(servers, mesh.sandbox, second):
        eventually(lambda: shop.unacked() == 0 and shop.waiting() == 0, "it came back and is acknowledged")
        mesh.reconcile()
        delivered(mesh, shop, len(data))
    assert {row[0] for row in mesh.sql("select id from events")} == before
    assert mesh.count("integration_sync_logs", "state = 'started'") == 0
    assert calls(mesh) <= 2 * len(data)


# ------------------------------------------------------------------------------------------------ Celery's usual way


@pytest.mark.usefixtures("worker")
def test_an_event_with_a_time_of_its_own_waits_for_it(mesh: Mesh, shop: Shop) -> None:
    eta = datetime.now(UTC) + timedelta(seconds=1.5)
    shop.celery.send_task("events.publish", args=[event("later")], queue="events", eta=eta)
    shop.send(event("now"))
    delivered(mesh, shop, 2)
    times = dict(mesh.sql("select data->>'user_id', accepted_at from events"))
    assert times["now"] < eta <= times["later"]


@pytest.mark.usefixtures("worker")
def test_an_event_whose_time_is_over_is_not_taken(mesh: Mesh, shop: Shop) -> None:
    over, not_over = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    shop.celery.send_task("events.publish", args=[event("over")], queue="events", expires=over)
    shop.celery.send_task("events.publish", args=[event("in time")], queue="events", expires=not_over)
    delivered(mesh, shop, 1)
    assert mesh.one("select data->>'user_id' from events") == "in time"


def test_with_task_events_on_each_message_is_a_task(servers: Servers, mesh: Mesh, shop: Shop, tmp_path: Path) -> None:
    """Whoever watches tasks sees each; no more share a commit than there are threads."""
    with running_worker(servers, mesh.sandbox, tmp_path, MESH_TASK_EVENTS="true"):
        assert largest_commit(mesh, shop) <= THREADS


# -------------------------------------------------------------------------------------------- while Postgres is away


@contextmanager
def away(servers: Servers) -> Iterator[None]:
    """Nobody can connect to the database, and who was connected is not any more."""
    (name,) = [part for part in servers.database_url.split("/") if part.startswith(servers.name)]
    name = name.partition("?")[0]
    with closing(psycopg2.connect(servers.postgres.url("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute(f"alter database {name} allow_connections false")
            cursor.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
            try:
                yield
            finally:
                cursor.execute(f"alter database {name} allow_connections true")


def test_while_postgres_is_away_nothing_is_acknowledged_and_nothing_lost(
    servers: Servers, mesh: Mesh, shop: Shop, worker: Worker
) -> None:
    shop.send(event("before"))
    delivered(mesh, shop, 1)
    with away(servers):
        for number in range(10):
            shop.send(event(f"n{number}"))
        shop.push(b"nonsense")
        eventually(lambda: "accept_waits_for_postgres" in worker.log, "it has tried")
        eventually(lambda: shop.waiting() == 0, "it has them all")
        assert shop.unacked() == 10, "none is let go"
    mesh.engine.dispose()
    delivered(mesh, shop, 11)
    eventually(lambda: mesh.count("rejected_events") == 1, "what could not be read is kept too")
    assert calls(mesh) == 11

"""Workers that are asked to end, killed, or cut off, with calls in flight."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import redis

from sandbox.process import Sandbox
from tests.conftest import KEYS
from tests.mesh import Mesh, eventually
from tests.servers import Servers
from tests.tasks.workers import Shop, Worker, environment, event, running_worker
from worker import vault

CALLS = 5


@pytest.fixture
def shop(servers: Servers, mesh: Mesh) -> Iterator[Shop]:
    mesh.hook()
    with closing(Shop(servers)) as shop:
        yield shop


@pytest.fixture
def worker(servers: Servers, shop: Shop, sandbox: Sandbox, tmp_path: Path) -> Iterator[Worker]:
    with running_worker(servers, sandbox, tmp_path) as worker:
        yield worker


def in_flight(mesh: Mesh) -> int:
    return mesh.sandbox.control.state()["in_flight"]


def calls_in_flight(mesh: Mesh, shop: Shop, fault: dict[str, object]) -> None:
    """Five events whose calls are in the air."""
    mesh.sandbox.control.add_rule("/receive/x", fault)
    shop.send([event(f"n{n}") for n in range(CALLS)])
    eventually(lambda: in_flight(mesh) == CALLS, "all calls are in the air")


def requests(mesh: Mesh) -> Counter[int]:
    """How many deliveries were called how often."""
    return Counter(one["requests"] for one in mesh.sandbox.control.counts("/receive/x")["by_id"].values())


def attempts(mesh: Mesh) -> Counter[str]:
    return Counter(row[0] for row in mesh.sql("select state from integration_sync_logs"))


def test_asked_to_end_it_finishes_its_calls_and_settles_them(mesh: Mesh, shop: Shop, worker: Worker) -> None:
    calls_in_flight(mesh, shop, {"delay_s": 1})
    worker.send(signal.SIGTERM)
    assert worker.ended() == 0, worker.log[-3000:]
    assert mesh.count("deliveries", "state = 'succeeded'") == CALLS
    assert attempts(mesh) == {"succeeded": CALLS}
    assert requests(mesh) == {1: CALLS}
    assert shop.unacked() == 0


def test_killed_its_calls_are_lost_and_made_again(mesh: Mesh, shop: Shop, worker: Worker) -> None:
    calls_in_flight(mesh, shop, {"hang": True})
    worker.send(signal.SIGKILL)
    worker.ended()
    assert mesh.count("deliveries", "state = 'running'") == CALLS
    assert attempts(mesh) == {"started": CALLS}
    mesh.sandbox.control.clear_rules()
    mesh.reconcile()
    mesh.drain()
    assert mesh.count("deliveries", "state = 'running'") == CALLS, "their leases hold"
    mesh.lease_over()
    mesh.reconcile()
    mesh.drain()
    assert mesh.count("deliveries", "state = 'succeeded' and attempt_count = 2 and lost_count = 1") == CALLS
    assert attempts(mesh) == {"lost": CALLS, "succeeded": CALLS}
    assert requests(mesh) == {2: CALLS}


def test_killed_with_messages_in_its_hands_they_come_back(
    servers: Servers, mesh: Mesh, shop: Shop, worker: Worker, tmp_path: Path
) -> None:
    """It took messages off the queue and died before their events were stored."""
    with mesh.engine.begin() as connection:
        connection.exec_driver_sql("lock table events in exclusive mode", {})  # nothing can be stored
        for number in range(3):
            shop.send(event(f"n{number}"))
        eventually(lambda: shop.waiting() == 0 and shop.unacked() == 3, "it holds them")
        worker.send(signal.SIGKILL)
        worker.ended()
    assert mesh.count("events") == 0
    index = f"{servers.key_prefix}unacked_index"
    for tag in shop.redis.zrange(index, 0, -1):
        assert isinstance(tag, bytes)
        shop.redis.zadd(index, {tag: 0})  # the visibility timeout is over
    home = tmp_path / "second"
    home.mkdir()
    with running_worker(servers, mesh.sandbox, home):
        eventually(lambda: mesh.count("deliveries", "state = 'succeeded'") == 3, "they came back")
    assert sorted(row[0] for row in mesh.sql("select data->>'user_id' from events")) == ["n0", "n1", "n2"]


def test_cut_off_from_redis_it_calls_once_and_comes_back(mesh: Mesh, shop: Shop, worker: Worker) -> None:
    calls_in_flight(mesh, shop, {"delay_s": 1})
    cut(shop.redis, worker)
    mesh.sandbox.control.clear_rules()
    shop.send(event("afterwards"))
    eventually(lambda: mesh.count("deliveries", "state = 'succeeded'") == CALLS + 1, "all, and what came later")
    assert requests(mesh) == {1: CALLS + 1}
    eventually(lambda: shop.unacked() == 0, "nothing stays in its hands")
    assert mesh.count("events") == CALLS + 1
    assert worker.process.poll() is None


def cut(client: redis.Redis, worker: Worker) -> None:
    """End every connection of this worker, as a restart of Redis does."""
    for each in connections(client, worker):
        client.client_kill_filter(_id=each["id"])


def connections(client: redis.Redis, worker: Worker) -> list[dict[str, str]]:
    """What Redis knows of this worker's connections."""
    ports = {each.laddr.port for each in psutil.Process(worker.process.pid).net_connections("tcp")}
    mine = [each for each in client.client_list() if int(each["addr"].rpartition(":")[2]) in ports]
    assert mine
    return mine


@pytest.mark.parametrize(("transport", "waits_by"), [("own", "blmove"), ("stock", "brpop")])
def test_on_either_transport_an_event_is_delivered(
    servers: Servers, mesh: Mesh, shop: Shop, tmp_path: Path, transport: str, waits_by: str
) -> None:
    with running_worker(servers, mesh.sandbox, tmp_path, MESH_TRANSPORT=transport) as worker:
        shop.send(event("a"))
        eventually(lambda: mesh.count("deliveries", "state = 'succeeded'") == 1, "it is delivered")
        eventually(lambda: shop.unacked() == 0, "and acknowledged")
        waiting = {each["cmd"] for each in connections(shop.redis, worker)}
        assert waiting & {"blmove", "brpop"} == {waits_by}
        worker.send(signal.SIGTERM)
        assert worker.ended() == 0, worker.log[-3000:]
    assert requests(mesh) == {1: 1}


def test_cut_off_from_postgres_it_settles_what_it_called(mesh: Mesh, shop: Shop, worker: Worker) -> None:
    calls_in_flight(mesh, shop, {"delay_s": 0.5})
    mesh.engine.dispose()
    mesh.sql(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    eventually(lambda: mesh.count("deliveries", "state = 'succeeded'") == CALLS, "settled all the same")
    mesh.sandbox.control.clear_rules()
    shop.send(event("afterwards"))
    eventually(lambda: mesh.count("deliveries", "state = 'succeeded'") == CALLS + 1, "and it goes on")
    assert requests(mesh) == {1: CALLS + 1}
    assert attempts(mesh) == {"succeeded": CALLS + 1}


def test_without_its_settings_a_worker_says_so_in_a_sentence(servers: Servers, mesh: Mesh, tmp_path: Path) -> None:
    for name, sentence in (("MESH_ENCRYPTION_KEYS", "MESH_ENCRYPTION_KEYS is not set"), ("REDIS_URL", "REDIS_URL")):
        env = environment(servers, mesh.sandbox, tmp_path)
        del env[name]
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--pool", "threads"]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode != 0
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


def refused(env: Mapping[str, str], folder: Path) -> str:
    """What a worker says that does not start."""
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "--pool", "threads"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_worker_of_a_database_without_tables_does_not_start(servers: Servers, mesh: Mesh, tmp_path: Path) -> None:
    empty = re.sub(r"@/[^?]+", "@/postgres", servers.database_url)
    env = environment(servers, mesh.sandbox, tmp_path, DATABASE_URL=empty)
    assert "run `mesh db apply`" in refused(env, tmp_path)


def test_a_worker_with_another_key_does_not_start(servers: Servers, mesh: Mesh, tmp_path: Path) -> None:
    mesh.hook()
    env = environment(servers, mesh.sandbox, tmp_path, MESH_ENCRYPTION_KEYS=vault.generate(KEYS.partition(":")[0]))
    assert "cannot be opened" in refused(env, tmp_path)


def test_asked_to_end_while_postgres_is_away_it_ends_and_loses_nothing(
    servers: Servers, shop: Shop, mesh: Mesh, tmp_path: Path
) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    with running_worker(servers, mesh.sandbox, tmp_path, DATABASE_URL=nowhere) as worker:
        shop.send(event("kept"))
        eventually(lambda: "accept_waits_for_postgres" in worker.log, "it has the message")
        worker.send(signal.SIGTERM)
        assert worker.ended() == 0
    assert shop.redis.llen(f"{shop.prefix}events") + shop.unacked() == 1

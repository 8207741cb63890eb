"""The Redis door with a real worker behind it: what producers send, and what no producer should."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

import settings
import tasks.events
from sandbox.process import Sandbox
from tests.mesh import Mesh, eventually
from tests.servers import Servers
from tests.tasks.workers import DROP, Shop, Worker, event, running_worker
from worker.app import app
from worker.enqueue import accept
from worker.event_checks import MAX_DATA_BYTES, EventRejected
from worker.sending import Sender


class Keeper:
    """Keeps one worker running for all tests of this file; a test that kills it costs the next one a start."""

    def __init__(self, start: Callable[[], AbstractContextManager[Worker]]) -> None:
        self._start = start
        self._stack = ExitStack()
        self._worker: Worker | None = None

    def worker(self) -> Worker:
        """The running worker."""
        if self._worker is None or self._worker.process.poll() is not None:
            self._stack.close()
            self._worker = self._stack.enter_context(self._start())
        return self._worker

    def close(self) -> None:
        """End it."""
        self._stack.close()


@pytest.fixture(scope="module", params=["accepting", "usual"])
def road(request: pytest.FixtureRequest) -> str:
    """How the worker takes events: many in one commit, or, while task events are on, each as a task of Celery's."""
    return str(request.param)


@pytest.fixture(scope="module")
def keeper(
    servers: Servers, sandbox_process: Sandbox, tmp_path_factory: pytest.TempPathFactory, road: str
) -> Iterator[Keeper]:
    def start() -> AbstractContextManager[Worker]:
        home = tmp_path_factory.mktemp("worker")
        task_events = str(road == "usual").lower()
        return running_worker(servers, sandbox_process, home, MESH_TASK_EVENTS=task_events)

    keeper = Keeper(start)
    yield keeper
    keeper.close()


@pytest.fixture
def worker(keeper: Keeper) -> Worker:
    return keeper.worker()


@pytest.fixture
def shop(servers: Servers, mesh: Mesh, worker: Worker) -> Iterator[Shop]:
    """A producer of a tenant with one webhook, and a worker that is ready."""
    mesh.hook()
    shop = Shop(servers)
    yield shop
    shop.close()


def delivered(mesh: Mesh, count: int) -> list[str]:
    """The users of so many signups, once all are delivered."""
    eventually(lambda: mesh.count("deliveries", "state = 'succeeded'") >= count, f"{count} are delivered")
    assert mesh.count("events") == mesh.count("deliveries") == count
    assert mesh.count("rejected_events") == 0
    return sorted(row[0] for row in mesh.sql("select data->>'user_id' from events"))


# ---------------------------------------------------------------------------------------------- what producers send


def test_one_object(shop: Shop, mesh: Mesh) -> None:
    shop.send(event("a", id="k", occurred_at="2026-03-01T12:00:00+01:00"))
    assert delivered(mesh, 1) == ["a"]
    (row,) = mesh.sql("select * from events")
    assert (row.idempotency_key, row.occurred_at) == ("k", datetime(2026, 3, 1, 11, tzinfo=UTC))


def test_a_list(shop: Shop, mesh: Mesh) -> None:
    shop.send([event("a"), event("b"), event("c")])
    assert delivered(mesh, 3) == ["a", "b", "c"]


def test_as_keyword_arguments(shop: Shop, mesh: Mesh) -> None:
    shop.send(**event("a", id="k"))
    assert delivered(mesh, 1) == ["a"]


def test_several_arguments(shop: Shop, mesh: Mesh) -> None:
    shop.send(event("a"), [event("b")], event("c"))
    assert delivered(mesh, 3) == ["a", "b", "c"]


def test_an_empty_list_is_nothing(shop: Shop, mesh: Mesh) -> None:
    shop.send([])
    shop.send(event("a"))
    assert delivered(mesh, 1) == ["a"]


def test_the_old_protocol(shop: Shop, mesh: Mesh) -> None:
    shop.celery.conf.task_protocol = 1
    shop.send(event("a"))
    assert delivered(mesh, 1) == ["a"]


@pytest.fixture
def producer(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process is a producer whose environment says where the servers are."""
    for name, value in {
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "MESH_KEY_PREFIX": servers.key_prefix,
    }.items():
        monkeypatch.setenv(name, value)
    for cached in (settings.current, tasks.events._sender):
        cached.cache_clear()
    yield
    for cached in (settings.current, tasks.events._sender):
        cached.cache_clear()


@pytest.mark.usefixtures("producer")
def test_our_own_functions(shop: Shop, mesh: Mesh) -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    tasks.events.publish("user.signup", "acme", {"user_id": "one"}, id="k", occurred_at=moment)
    ids = tasks.events.publish_many(event(f"n{n:03}") for n in range(120))
    assert len(ids) == 3, "lists of fifty"
    assert delivered(mesh, 121) == sorted(["one", *(f"n{n:03}" for n in range(120))])
    assert mesh.one("select occurred_at from events where idempotency_key = 'k'") == moment


@pytest.mark.usefixtures("producer")
def test_our_own_functions_say_what_is_wrong_before_anything_is_sent(shop: Shop, mesh: Mesh) -> None:
    with pytest.raises(EventRejected, match="user_id"):
        tasks.events.publish("user.signup", "acme", {})
    with pytest.raises(EventRejected, match="not in the catalog"):
        tasks.events.publish_many([event(), event(type="user.gone")])
    with pytest.raises(EventRejected, match="more than the 262144"):
        tasks.events.publish("user.signup", "acme", {"user_id": "x" * MAX_DATA_BYTES})
    tasks.events.publish("user.signup", "acme", {"user_id": "right"})
    assert delivered(mesh, 1) == ["right"]


def test_the_same_message_again_is_the_same_event(shop: Shop, mesh: Mesh) -> None:
    message = shop.message([event("a"), event("b")])
    for copy in ("one", "two", "three"):
        again = {**message, "properties": {**message["properties"], "delivery_tag": copy}}
        shop.push(json.dumps(again).encode())
    assert delivered(mesh, 2) == ["a", "b"]
    eventually(lambda: shop.unacked() == 0 and shop.waiting() == 0)
    assert mesh.count("events") == 2
    assert mesh.sandbox.control.counts()["requests"] == 2


def test_the_same_key_again_is_the_same_event(shop: Shop, mesh: Mesh) -> None:
    for _ in range(5):
        shop.send([event("a", id="k"), event("a", id="k")])
    shop.send(event("b"))
    assert delivered(mesh, 2) == ["a", "b"]


def test_an_event_of_the_sql_door_goes_out_at_once(shop: Shop, mesh: Mesh) -> None:
    mesh.sql("select publish_event('acme', 'user.signup', '{\"user_id\": \"by-sql\"}')")
    assert delivered(mesh, 1) == ["by-sql"]


def test_ticks_and_wakeups_at_once_send_nothing_twice(shop: Shop, mesh: Mesh) -> None:
    with mesh.engine.begin() as connection:
        accept(connection, [event(f"n{n}") for n in range(150)])
        for _ in range(3):
            app.send_task("deliveries.reconcile")
    for _ in range(3):
        app.send_task("deliveries.reconcile")
    assert len(delivered(mesh, 150)) == 150
    by_id = mesh.sandbox.control.counts("/receive/x")["by_id"]
    assert Counter(one["requests"] for one in by_id.values()) == {1: 150}
    assert mesh.count("integration_sync_logs") == 150


# --------------------------------------------------------------------------------------------- what no task can take


def raw(text: bytes) -> Callable[[Shop], bytes]:
    return lambda shop: text


def message(**changes: Any) -> Callable[[Shop], bytes]:
    return lambda shop: json.dumps(shop.message(event("lost"), **changes)).encode()


def body(text: str, **changes: Any) -> Callable[[Shop], bytes]:
    return lambda shop: json.dumps(shop.plain(event("lost"), text, **changes)).encode()


GOOD_BODY = json.dumps([[event("lost")], {}, {}])

MALFORMED: dict[str, tuple[Callable[[Shop], bytes], str]] = {
    "not JSON": (raw(b"hello"), "it is not JSON"),
    "half a message": (raw(b'{"body": "'), "it is not JSON"),
    "nothing": (raw(b""), "it is not JSON"),
    "not UTF-8": (raw(b"\xff\xfe\x00"), "could not be read"),
    "not UTF-8 inside": (raw(b'{"body": "\xff"}'), "could not be read"),
    "deeper than any JSON": (raw(b"[" * 50_000), "it is not JSON"),
    "a text": (raw(b'"hello"'), "another JSON value"),
    "a number": (raw(b"7"), "another JSON value"),
    "null": (raw(b"null"), "another JSON value"),
    "a list": (raw(b"[1, 2]"), "another JSON value"),
    "an empty object": (raw(b"{}"), "without a message's properties"),
    "a bare event": (raw(json.dumps(event()).encode()), "without a message's properties"),
    "a surrogate": (raw(b'{"x": "\\ud800\\u0000"}'), "without a message's properties"),
    "no delivery tag": (message(properties={"delivery_tag": DROP}), "without a message's properties"),
    "no body": (lambda shop: json.dumps({**shop.message(event()), "body": None}).encode(), "without headers or body"),
    "no headers": (lambda shop: json.dumps({**shop.message(event()), "headers": None}).encode(), "without headers"),
    "no delivery info": (message(properties={"delivery_info": DROP}), "without delivery information"),
    "strange delivery info": (message(properties={"delivery_info": {"exchange": 1, "routing_key": []}}), "delivery"),
    "broken body": (body('[[{"type": '), "body cannot be read"),
    "broken base64": (message(body="%%%"), ""),
    "body deeper than any JSON": (body("[" * 50_000), "body cannot be read"),
    "pickle": (message(**{"content-type": "application/x-python-serialize"}), "content of type pickle"),
    "unknown content type": (message(**{"content-type": "text/strange\x00\ud800"}), ""),
    "unknown compression": (message(headers={"compression": "application/x-strange"}), ""),
    "unknown task": (message(headers={"task": "orders.create"}), "There is no task 'orders.create'"),
    "no id": (message(headers={"id": DROP}), "headers cannot be used"),
    "a task without a name": (message(headers={"task": DROP}), "not a task message"),
    "a task with a strange name": (message(headers={"task": "\x00\ud800"}), "There is no task"),
    "body is a number": (body("7"), "must be [args, kwargs, options]"),
    "body is a text": (body('"x"'), "must be [args, kwargs, options]"),
    "body is null": (body("null"), "must be [args, kwargs, options]"),
    "body is an event": (body(json.dumps(event())), ""),
    "body of two": (body("[[], {}]"), "must be [args, kwargs, options]"),
    "body of objects": (body("[{}, {}, {}]"), "must be [args, kwargs, options]"),
    "options that are none": (body('[[{"type": "x"}], {}, 7]'), ""),
    "no argument": (body("[[], {}, {}]"), "An event must be a JSON object, not missing or null"),
    "argument null": (body("[[null], {}, {}]"), "An event must be a JSON object, not missing or null"),
    "eta that is none": (body(GOOD_BODY, headers={"eta": "soon"}), "It cannot be used"),
    "expires that is none": (body(GOOD_BODY, headers={"expires": "soon"}), "It cannot be used"),
    "unknown type": (body('[[{"type": "x.y", "tenant_id": "acme", "data": {}}], {}, {}]'), "not in the catalog"),
    "unknown tenant": (
        body(json.dumps([[{**event(), "tenant_id": "nobody"}], {}, {}])),
        'Tenant "nobody" is not known',
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_cannot_be_used_is_kept_and_the_worker_goes_on(shop: Shop, mesh: Mesh, worker: Worker, name: str) -> None:
    make, reason = MALFORMED[name]
    shop.push(make(shop))
    shop.send(event("afterwards"))
    eventually(lambda: mesh.count("events") + mesh.count("rejected_events") >= 2 or worker.process.poll() is not None)
    assert worker.process.poll() is None, worker.log[-3000:]
    assert [row[0] for row in mesh.sql("select data->>'user_id' from events")] == ["afterwards"]
    (row,) = mesh.sql("select * from rejected_events")
    assert reason in row.reason
    assert len(row.reason) > 20
    assert row.body_size == len(bytes(row.body))
    assert row.door == "redis"


def test_headers_that_only_a_task_needs(shop: Shop, mesh: Mesh, worker: Worker, road: str) -> None:
    """They break Celery's own reading, so the message is kept; where no task is made of it, the event is taken."""
    shop.push(message(headers={"retries": "x", "timelimit": "y", "group": 5})(shop))
    shop.send(event("afterwards"))
    eventually(lambda: mesh.count("events") + mesh.count("rejected_events") >= 2 or worker.process.poll() is not None)
    assert worker.process.poll() is None, worker.log[-3000:]
    taken = {"usual": (1, 1), "accepting": (2, 0)}
    assert (mesh.count("events"), mesh.count("rejected_events")) == taken[road]
    assert all("headers cannot be used" in row.reason for row in mesh.sql("select reason from rejected_events"))


def test_many_at_once_are_each_kept(shop: Shop, mesh: Mesh) -> None:
    for number in range(40):
        shop.push(b"nonsense %d" % number)
        shop.send(event(f"good-{number}"))
        shop.send(event("bad", type="x.y"))
    eventually(lambda: mesh.count("events") + mesh.count("rejected_events") >= 120, "all are somewhere")
    assert (mesh.count("events"), mesh.count("rejected_events")) == (40, 80)
    kept = {bytes(row[0]) for row in mesh.sql("select body from rejected_events where reason like '%%not JSON%%'")}
    assert kept == {b"nonsense %d" % number for number in range(40)}
    eventually(lambda: shop.unacked() == 0 and shop.waiting() == 0, "every message is acknowledged")


def test_a_giant_event_is_kept_cut_with_its_true_size(shop: Shop, mesh: Mesh) -> None:
    giant = event("x" * 9_000_000)
    shop.send(giant)
    shop.send(event("afterwards"))
    eventually(lambda: mesh.count("rejected_events") == 1 and mesh.count("events") == 1)
    (row,) = mesh.sql("select reason, body_size, octet_length(body) as kept from rejected_events")
    assert "more than the 262144 allowed" in row.reason
    assert row.body_size > 9_000_000
    assert row.kept == 8 * 1024 * 1024


def test_a_bad_event_in_a_list_costs_the_others_nothing(shop: Shop, mesh: Mesh) -> None:
    shop.send([event("a"), event("b", type="x.y"), 7, event("c"), [event("inner")]])
    eventually(lambda: mesh.count("events") + mesh.count("rejected_events") >= 5)
    assert [row[0] for row in mesh.sql("select data->>'user_id' from events order by 1")] == ["a", "c"]
    assert mesh.count("rejected_events") == 3


# ------------------------------------------------------------------------------------------------- what others see


@pytest.mark.parametrize("road", ["usual"], indirect=True, scope="module")
def test_task_events_hold_no_payload(shop: Shop, mesh: Mesh, servers: Servers) -> None:
    seen: list[str] = []
    client = redis.Redis.from_url(servers.redis_url)
    with client.pubsub() as channel:  # type: ignore[no-untyped-call]
        channel.psubscribe(f"{servers.key_prefix}*celeryev*")
        assert channel.get_message(timeout=5) is not None
        task_id = shop.send(event("planted-in-payload"), event("planted-too"))
        deadline = time.monotonic() + 20
        while not any("task-succeeded" in text and task_id in text for text in seen):
            assert time.monotonic() < deadline, seen
            got = channel.get_message(ignore_subscribe_messages=True, timeout=1)
            if got:
                seen.append(readable(got["data"]))
    client.close()
    about = [text for text in seen if task_id in text]
    assert all(any(kind in text for text in about) for kind in ("task-received", "task-started", "task-succeeded"))
    assert not any("planted" in text for text in seen)


def readable(data: bytes) -> str:
    """The body of a task event, which may travel in base64."""
    message = json.loads(data)
    encoded = message["properties"].get("body_encoding") == "base64"
    return base64.b64decode(message["body"]).decode() if encoded else str(message["body"])


def test_our_own_messages_hold_no_payload_in_their_headers(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.events, "_sender", lambda: Sender(app, mesh.redis, mesh.settings))
    monkeypatch.setattr(tasks.events, "EVENTS_QUEUE", "aside")  # where no worker takes it
    tasks.events.publish("user.signup", "acme", {"user_id": "planted"})
    (raw,) = mesh.redis.lrange(f"{mesh.settings.mesh_key_prefix}aside", 0, -1)
    sent = json.loads(raw)
    assert "planted" in sent.pop("body")
    assert "planted" not in str(sent)
    assert sent["headers"]["argsrepr"] == "(1 events)"


def test_the_workers_log_holds_no_payload(shop: Shop, mesh: Mesh, worker: Worker) -> None:
    shop.send(event("planted-in-payload"), event("planted-in-rejected", type="x.y"))
    shop.push(b"planted-in-nonsense")
    eventually(lambda: mesh.count("rejected_events") == 2 and mesh.count("events") == 1)
    assert "planted" not in worker.log


def test_a_priority_is_taken_and_makes_no_difference(shop: Shop, mesh: Mesh, worker: Worker) -> None:
    mesh.tenant()
    for priority in (3, 6, 9):
        shop.celery.send_task("events.publish", args=[event(f"p{priority}")], queue="events", priority=priority)
    mesh.resources.dispatcher.gather_priorities()  # beside the worker, which does so by itself
    eventually(lambda: mesh.count("events") == 3, "all are accepted")


def test_what_cannot_be_stored_now_goes_back_and_is_accepted_later(shop: Shop, mesh: Mesh, worker: Worker) -> None:
    mesh.tenant()
    mesh.sql("alter table rejected_events rename to elsewhere")
    mesh.sql("alter table events rename to also_elsewhere")
    try:
        shop.send(event("patient"))
        eventually(lambda: "UndefinedTable" in worker.log, "it was tried")
    finally:
        mesh.sql("alter table also_elsewhere rename to events")
        mesh.sql("alter table elsewhere rename to rejected_events")
    eventually(lambda: mesh.count("events") == 1, "it was not acknowledged")

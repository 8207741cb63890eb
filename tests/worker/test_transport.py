"""Our Redis transport on kombu alone, against a real Redis: what it holds, what it leaves, and what a kill costs."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import kombu
import pytest
import redis
from kombu.asynchronous import Hub

from tests import kombu_suite
from tests.mesh import eventually
from tests.servers import ROOT, Servers
from worker import transport
from worker.transport import ACK_DELAY_S, ACKS_TOGETHER, Transport

KILLS = 20
FEWEST_TESTS = 300


class Post:
    """Queues of this test alone, and connections to them over our transport."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = redis.Redis.from_url(url)
        self.name = f"transport.{uuid4().hex[:8]}"
        self.stack = ExitStack()
        self._producer = self.stack.enter_context(kombu.Connection(url, transport_options=self.options())).Producer()

    def options(self, **more: Any) -> dict[str, Any]:
        keys = {key: f"{self.name}.{key}" for key in ("unacked_key", "unacked_index_key", "unacked_mutex_key")}
        return {"priority_steps": [0], **keys, **more}

    def queue(self, name: str) -> str:
        return f"{self.name}.{name}"

    def send(self, *bodies: Any, to: str = "a") -> None:
        for body in bodies:
            self._producer.publish(body, exchange="", routing_key=self.queue(to))

    def waiting(self, name: str = "a") -> int:
        return int(self.redis.llen(self.queue(name)))

    def unacked(self) -> int:
        held = int(self.redis.hlen(f"{self.name}.unacked_key"))
        assert held == self.redis.zcard(f"{self.name}.unacked_index_key")
        return held

    def consumer(self, *queues: str, prefetch: int = 8, **options: Any) -> Consumer:
        connection = kombu.Connection(self.url, transport=Transport, transport_options=self.options(**options))
        self.stack.callback(connection.release)
        return Consumer(connection, [self.queue(name) for name in queues or ("a",)], prefetch)

    def close(self) -> None:
        self.stack.close()
        keys = list(self.redis.scan_iter(match=f"{self.name}*"))
        if keys:
            self.redis.delete(*keys)
        self.redis.close()


class Consumer:
    """Holds what it gets until it is told to acknowledge."""

    def __init__(self, connection: Any, queues: list[str], prefetch: int) -> None:
        self.connection = connection
        self.channel = connection.channel()
        self.held: list[Any] = []
        self.got: list[Any] = []
        consumer = kombu.Consumer(self.channel, [kombu.Queue(name) for name in queues], on_message=self._hold)
        consumer.qos(prefetch_count=prefetch)
        consumer.consume()

    def _hold(self, message: Any) -> None:
        self.held.append(message)
        self.got.append(message.payload)

    def turn(self, seconds: float = 0.2) -> bool:
        """Wait for one event; whether messages came."""
        try:
            self.connection.drain_events(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def until(self, holds: Callable[[], bool]) -> None:
        eventually(lambda: (self.turn() and holds()) or holds())

    def ack(self, count: int = 1) -> None:
        for _ in range(count):
            self.held.pop(0).ack()


@pytest.fixture
def post(servers: Servers) -> Iterator[Post]:
    with closing(Post(servers.redis_url)) as post:
        yield post


def calls(post: Post, command: str) -> int:
    stats: Any = post.redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


# ------------------------------------------------------------------------------------------------------ wake-ups


def test_a_wakeup_takes_nothing(post: Post) -> None:
    consumer = post.consumer()
    assert not consumer.turn(), "it waits now"
    post.send("x")
    (watched,) = (fd for fd, (_, kind) in consumer.connection.transport.cycle._fd_to_chan.items() if kind == "WAKEUP")
    eventually(lambda: bool(consumer.connection.transport.cycle.poller.poll(0.1)), "the wake-up is there, unread")
    assert watched == consumer.channel.wakeups.fileno()
    assert post.waiting() == 1, "and the message where it was"
    assert post.unacked() == 0
    assert consumer.turn()
    assert (consumer.got, post.waiting(), post.unacked()) == (["x"], 0, 1)


def test_one_wakeup_brings_what_there_is_room_for(post: Post) -> None:
    consumer = post.consumer(prefetch=8)
    post.send(*range(20))
    consumer.until(lambda: len(consumer.held) == 8)
    assert not consumer.turn()
    assert (consumer.got, post.waiting(), post.unacked()) == (list(range(8)), 12, 8)
    consumer.ack(3)
    assert not consumer.turn(), "not before half is done"
    consumer.ack(1)
    consumer.until(lambda: len(consumer.held) == 8)
    assert (consumer.got, post.waiting(), post.unacked()) == (list(range(12)), 8, 8)


def test_without_a_prefetch_limit_one_comes_at_a_time(post: Post) -> None:
    consumer = post.consumer(prefetch=0)
    post.send(1, 2, 3)
    consumer.until(lambda: bool(consumer.held))
    assert (consumer.got, post.waiting()) == ([1], 2)


def test_a_full_consumer_leaves_messages_to_another_and_does_not_spin(post: Post) -> None:
    full, free = post.consumer(prefetch=1), post.consumer(prefetch=1)
    post.send("one")
    full.until(lambda: full.got == ["one"])
    assert not full.turn()
    assert not free.turn()
    post.send("two")
    free.until(lambda: free.got == ["two"])
    post.send("three")
    before = calls(post, "blmove"), calls(post, "evalsha")
    for _ in range(5):
        assert not full.turn(0.05)
    asked = calls(post, "blmove") - before[0], calls(post, "evalsha") - before[1]
    assert sum(asked) < 20 * 5, "other tests' connections ask once a second; a spinning one asks thousands of times"
    assert post.waiting() == 1
    full.ack()
    full.until(lambda: full.got == ["one", "three"])


def test_queues_take_turns(post: Post) -> None:
    consumer = post.consumer("a", "b", prefetch=6)
    post.send(*["a"] * 5, to="a")
    post.send(*["b"] * 5, to="b")
    consumer.until(lambda: len(consumer.held) == 6)
    assert Counter(consumer.got) == {"a": 3, "b": 3}


def test_priorities_come_first(post: Post) -> None:
    consumer = post.consumer(prefetch=4, priority_steps=[0, 3, 6, 9])
    producer = post.stack.enter_context(
        kombu.Connection(post.url, transport=Transport, transport_options=post.options(priority_steps=[0, 3, 6, 9]))
    ).Producer()
    for priority in (9, 3, 0, 6, 3):
        producer.publish(priority, exchange="", routing_key=post.queue("a"), priority=priority)
    consumer.until(lambda: len(consumer.held) == 3)
    assert not consumer.turn(), "two of those that may wait are enough at once"
    assert consumer.got == [0, 3, 3]
    consumer.ack(3)
    consumer.until(lambda: consumer.got == [0, 3, 3, 6, 9])


def test_capped_queues_hold_no_more_than_their_cap(post: Post) -> None:
    consumer = post.consumer("slow.a", "events", prefetch=8, capped=f"{post.name}.slow.", cap=2)
    post.send(*["slow"] * 5, to="slow.a")
    consumer.until(lambda: len(consumer.held) == 2)
    assert not consumer.turn()
    post.send("event", to="events")
    consumer.until(lambda: "event" in consumer.got)
    assert Counter(consumer.got) == {"slow": 2, "event": 1}
    assert post.waiting("slow.a") == 3
    consumer.ack()
    consumer.until(lambda: Counter(consumer.got) == {"slow": 3, "event": 1})


def test_a_cut_connection_is_made_anew(post: Post) -> None:
    consumer = post.consumer()
    assert not consumer.turn()
    mine = consumer.channel.wakeups._waiters[post.queue("a")].connection._sock.getsockname()
    post.redis.client_kill(f"{mine[0]}:{mine[1]}")
    with pytest.raises(consumer.connection.connection_errors):
        consumer.turn(2)
    post.send("x")
    consumer.until(lambda: consumer.got == ["x"])


def test_a_silent_connection_is_given_up(post: Post) -> None:
    """Half open: the question was asked, and no answer comes though it is overdue."""
    consumer = post.consumer()
    assert not consumer.turn(0.05)
    wakeups = consumer.channel.wakeups
    (waiter,) = wakeups._waiters.values()
    assert wakeups.hang_up_overdue(0) is None, "it is in time"
    waiter.since -= 60
    assert wakeups.hang_up_overdue(5) > 50
    assert waiter.since is None
    post.send("x")
    consumer.until(lambda: consumer.got == ["x"])


def test_redis_before_6_2_wakes_by_taking(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport.Channel, "_server_knows", lambda self, command: False)
    consumer = post.consumer("a", "slow.a", prefetch=4, capped=f"{post.name}.slow.", cap=1)
    before = calls(post, "brpop")
    post.send(*range(6))
    post.send("slow", "slow", to="slow.a")
    consumer.until(lambda: len(consumer.held) == 4)
    assert calls(post, "brpop") > before
    consumer.ack(4)
    consumer.until(lambda: len(consumer.got) >= 7)
    eventually(lambda: post.unacked() == len(consumer.held))
    assert consumer.got.count("slow") <= 1 + 4, consumer.got


def test_without_ack_emulation_nothing_is_recorded(post: Post) -> None:
    consumer = post.consumer(ack_emulation=False)
    post.send("x")
    consumer.until(lambda: consumer.got == ["x"])
    assert post.unacked() == 0
    consumer.ack()


# ---------------------------------------------------------------------------------------------- acknowledgements


def test_acknowledgements_go_together_with_the_next_message(post: Post) -> None:
    consumer = post.consumer(prefetch=2)
    hub = looping(consumer)
    post.send(1)
    run_until(hub, lambda: consumer.got == [1])
    consumer.ack()
    assert post.unacked() == 1, "not at once"
    post.send(2)
    before = calls(post, "hdel")
    run_until(hub, lambda: consumer.got == [1, 2])
    run_until(hub, lambda: post.unacked() == 1)
    assert calls(post, "hdel") >= before + 1


def test_acknowledgements_do_not_wait_for_another_message(post: Post) -> None:
    consumer = post.consumer()
    hub = looping(consumer)
    post.send(1)
    run_until(hub, lambda: consumer.got == [1])
    consumer.ack()
    assert min(entry.eta for entry in hub.timer._queue) <= time.monotonic() + ACK_DELAY_S, "the loop will turn soon"
    run_until(hub, lambda: post.unacked() == 0)


def test_many_acknowledgements_do_not_wait(post: Post) -> None:
    consumer = post.consumer(prefetch=ACKS_TOGETHER + 1)
    post.send(*range(ACKS_TOGETHER + 1))
    consumer.until(lambda: len(consumer.held) == ACKS_TOGETHER + 1)
    consumer.ack(ACKS_TOGETHER - 1)
    assert post.unacked() == ACKS_TOGETHER + 1
    consumer.ack()
    assert post.unacked() == 1


def test_closing_acknowledges_what_is_done_and_gives_back_the_rest(post: Post) -> None:
    consumer = post.consumer()
    post.send(1, 2, 3)
    consumer.until(lambda: len(consumer.held) == 3)
    consumer.ack()
    consumer.channel.close()
    assert (post.unacked(), post.waiting()) == (0, 2)
    other = post.consumer()
    other.until(lambda: sorted(other.got) == [2, 3])


def test_an_acknowledgement_after_the_end_does_no_harm(post: Post) -> None:
    consumer = post.consumer()
    post.send(1)
    consumer.until(lambda: consumer.got == [1])
    consumer.channel.close()
    consumer.ack()
    assert (post.unacked(), post.waiting()) == (0, 1), "it was given back"


def test_a_closed_channel_leaves_no_connection(post: Post) -> None:
    consumer = post.consumer("a", "b", "c")
    assert not consumer.turn()
    connections = [waiter.connection for waiter in consumer.channel.wakeups._waiters.values()]
    assert len(connections) == 3
    consumer.channel.close()
    assert [connection._sock for connection in connections] == [None] * 3
    assert not [kind for _, kind in consumer.connection.transport.cycle._fd_to_chan.values() if kind == "WAKEUP"]


def looping(consumer: Consumer) -> Any:
    """The event loop of a worker, around a consumer."""
    hub = Hub()
    consumer.connection.register_with_event_loop(hub)
    return hub


def run_until(hub: Any, holds: Callable[[], bool]) -> None:
    def turned() -> bool:
        hub.run_once()
        return holds()

    eventually(turned)


def test_a_descriptor_that_was_of_another_connection_is_watched(post: Post) -> None:
    """A loop outlives its connections, and the system gives their descriptors' numbers again."""
    consumer = post.consumer()
    hub = looping(consumer)
    hub.readers[consumer.channel.wakeups.fileno()] = (lambda *_: None, ())
    post.send(1)
    run_until(hub, lambda: consumer.got == [1])


# --------------------------------------------------------------------------------------------------------- kills


def test_killed_at_any_moment_nothing_is_lost(post: Post, tmp_path: Path) -> None:
    """Consumers are killed one after another while messages keep coming. No reconciler: the transport alone."""
    ledger = tmp_path / "ledger"
    ledger.touch()
    moments = random.Random(20)
    queues = [post.queue(name) for name in "abc"]
    keys = [f"ledger.{key}" for key in ("unacked", "unacked_index", "unacked_mutex")]
    post.redis.delete(*keys)
    stop = threading.Event()
    sent = itertools.count()
    publishing = threading.Thread(target=keep_publishing, args=(post, sent, stop))
    publishing.start()
    try:
        for _ in range(KILLS):
            kill_after(moments.uniform(0, 0.25), post.url, ledger, queues)
    finally:
        stop.set()
        publishing.join()
    total = next(sent)
    with consuming(post.url, ledger, queues):
        eventually(lambda: len(set(ledger.read_text().split())) == total, f"all {total} arrive", seconds=30)
    assert {int(line) for line in ledger.read_text().split()} == set(range(total))
    assert total > KILLS
    post.redis.delete(*keys)


def keep_publishing(post: Post, numbers: Iterator[int], stop: threading.Event) -> None:
    for name in itertools.cycle("abc"):
        if stop.wait(0.002):
            return
        post.send(next(numbers), to=name)


def kill_after(seconds: float, url: str, ledger: Path, queues: list[str]) -> None:
    with consuming(url, ledger, queues) as process, pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)  # it must not end by itself


class consuming:
    """A consumer process, killed at the end of the block."""

    def __init__(self, url: str, ledger: Path, queues: list[str]) -> None:
        self._command = [sys.executable, "-m", "tests.worker.ledger_consumer", url, str(ledger), *queues]

    def __enter__(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self._process

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


# ------------------------------------------------------------------------------------------- kombu's own tests


def test_what_passes_with_kombus_own_classes_passes_with_ours() -> None:
    try:
        kombu_suite.fetch()
    except kombu_suite.NotFetched as error:
        pytest.skip(f"NOT RUN: kombu's own transport tests could not be fetched with pip: {error}")
    stock, ours = (kombu_suite.run(kombu_suite.UNIT, ours=ours) for ours in (False, True))
    assert len(kombu_suite.passed(stock)) >= FEWEST_TESTS
    lost = kombu_suite.passed(stock) - kombu_suite.passed(ours)
    assert {name for name in lost if kombu_suite.reason(name) is None} == set()

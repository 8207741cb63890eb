"""Celery's own Redis transport, made safe against what is not a message, and lean.

Safe: the stock transport takes an item off its list and only then reads it; an item that is no JSON, or no message,
ends the worker and is gone. Here it goes to `on_malformed` and the worker goes on.

Lean: the stock transport makes three round trips for each message and a new client object for each. Here a wake-up
takes all messages there is room for in one script, which also records them as unacknowledged (so none is lost between
the two); acknowledgements go out together; a channel keeps its client.

Fair: tasks of the `capped` queues (deliveries, which may wait for a call slot) hold at most `cap` of a worker's
threads, so that events and ticks always get through.

The wire format and the keys are unchanged: producers, Flower and workers on the stock transport work beside it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any

import kombu.transport
import redis as redis_py
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

ACKS_TOGETHER = 32
ACK_DELAY_S = 0.01
FULL_WAIT_S = 0.05  # how long to wait for other messages while capped queues have no room

_TAKE = (Path(__file__).parent / "take.lua").read_text()

# Of lost connections of this process: (tags of messages that were done, tags of those that were not).
_left_behind: deque[tuple[list[str], list[str]]] = deque()

# Called with (raw item, reason). The worker keeps the item; a process that only publishes never gets one.
on_malformed: list[Callable[[bytes, str], None]] = []


def _report(raw: bytes, reason: str) -> None:
    for listener in on_malformed:
        listener(raw, reason)


class QoS(redis.QoS):
    """Which messages are unacknowledged: recorded by the script that took them, removed several at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.recorded: set[str] = set()
        self._capped_tags: set[str] = set()
        self._acked: list[str] = []
        self._acked_since = 0.0

    def can_consume(self) -> bool:
        """Whether to ask for more: once half of what may be held is done, so that more than one comes at a time."""
        if not self.prefetch_count:
            return True
        return bool(len(self._delivered) - len(self._dirty) <= self.prefetch_count // 2)

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as unacknowledged."""
        if self.channel.is_capped(message.delivery_info.get("routing_key", "")):
            self._capped_tags.add(delivery_tag)
        if delivery_tag in self.recorded:
            self.recorded.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, on Redis a moment later."""
        if not self._acked:
            self._acked_since = time.monotonic()
        self._acked.append(delivery_tag)
        self._capped_tags.discard(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)
        if len(self._acked) >= ACKS_TOGETHER:
            self.send_acks()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or drop it."""
        self._capped_tags.discard(delivery_tag)
        super().reject(delivery_tag, requeue=requeue)

    @property
    def capped_room(self) -> int:
        """How many more messages of capped queues may be held."""
        return int(max(0, self.channel.cap - len(self._capped_tags)) if self.channel.cap else self.prefetch_count)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give back what was not done; leave it to the next connection when this one is gone."""
        try:
            if getattr(self.channel.connection, "client", None) is None:
                self.leave_behind()
            else:
                self.send_acks()
                super().restore_unacked_once(stderr)
        except self.channel.connection_errors:
            self.leave_behind()

    def send_acks(self, *, only_late: bool = False) -> None:
        """Remove acknowledged messages on Redis. What cannot be removed is handed out again, which does no harm."""
        if not self._acked or (only_late and time.monotonic() - self._acked_since < ACK_DELAY_S):
            return
        self.forget(self._acked)
        self._acked = []

    def leave_behind(self) -> None:
        """The connection is lost: the next one acknowledges what was done here, and gives back what was not."""
        self._flush()
        if self._acked or self._delivered:
            _left_behind.append((self._acked, list(self._delivered)))
        self._acked = []
        self._delivered.clear()
        self._delivered.restored = True
        self._on_collect.cancel()

    def take_over(self) -> None:
        """Settle on Redis what lost connections of this process left behind."""
        while _left_behind:
            acked, unacked = _left_behind[0]
            if acked:
                self.forget(acked)
            for tag in unacked:
                self.restore_by_tag(tag)
            _left_behind.popleft()

    def forget(self, tags: list[str]) -> None:
        """Remove messages from those that are unacknowledged, on Redis."""
        with self.pipe_or_acquire() as pipe:
            pipe.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags).execute()


class Channel(redis.Channel):
    """A channel that takes several messages at a time, survives an unreadable one, and keeps its client."""

    QoS = QoS
    capped = ""  # the beginning of capped queues' names
    cap = 0  # how many of their messages may be held at once; 0 = any number
    from_transport_options = (*redis.Channel.from_transport_options, "capped", "cap")
    _kept_client: Any = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """The client for single commands: one for as long as its pool lives."""
        if client is None:
            if self._kept_client is None or self._kept_client.connection_pool is not self.pool:
                self._kept_client = self._create_client()
            client = self._kept_client
        yield client

    def is_capped(self, queue: str) -> bool:
        """Whether a queue's messages count against the cap."""
        return bool(self.cap) and queue.startswith(self.capped)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Wait for a message; while capped queues have no room, only shortly, and not for theirs."""
        if self.qos.capped_room:
            super()._brpop_start(timeout)
            return
        every = self._queue_cycle.items[:]
        self._queue_cycle.update([queue for queue in every if not self.is_capped(queue)])
        try:
            super()._brpop_start(FULL_WAIT_S)
        finally:
            self._queue_cycle.update(every)

    def _brpop_read(self, **options: Any) -> bool:
        """Read what the blocking pop brought, and take what else waits."""
        try:
            reply = self._brpop_reply(options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if not reply:
            raise Empty
        queue = bytes_to_str(reply[0]).rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        self._hand_out(queue, reply[1], recorded=False)
        if not self._closing:
            self._take_more()
        return True

    def _brpop_reply(self, options: Any) -> Any:
        try:
            return self.client.parse_response(self.client.connection, "BRPOP", **options)
        except self.connection_errors:
            self.client.connection.disconnect()  # so that the next turn connects anew
            raise

    def _take_more(self) -> None:
        """Take what else waits, as far as there is room, recorded as unacknowledged in the same step."""
        room = self.qos.prefetch_count - (len(self.qos._delivered) - len(self.qos._dirty))
        queues = self._queue_cycle.consume(len(self.active_queues))
        if room <= 0 or not queues:
            return
        prefix = self.global_keyprefix
        keys = [prefix + self.unacked_key, prefix + self.unacked_index_key, *(prefix + queue for queue in queues)]
        capped = [int(self.is_capped(queue)) for queue in queues]
        with self.conn_or_acquire() as client:
            script = redis_py.Redis(connection_pool=client.connection_pool).register_script(_TAKE)
            taken = script(keys=keys, args=[time.time(), room, self.qos.capped_room, *capped])
        for place, recorded, item in taken:
            self._hand_out(queues[int(place) - 1], item, recorded=bool(recorded))

    def _hand_out(self, queue: str, item: bytes, *, recorded: bool) -> None:
        """Give one item to whoever consumes its queue; keep one that cannot be read."""
        try:
            message = loads(item.decode())
        except (ValueError, RecursionError) as error:
            _report(item, f"it is not JSON that can be read: {str(error)[:100]}")
            return
        problem = _problem(message)
        if problem:
            _report(item, problem)
            if recorded:
                self.qos.forget([message["properties"]["delivery_tag"]])
            return
        if recorded:
            self.qos.recorded.add(message["properties"]["delivery_tag"])
        self.connection._deliver(message, queue)


class Transport(redis.Transport):
    """The Redis transport with our channel."""

    Channel = Channel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Join a worker's loop: each turn sends the acknowledgements that have waited."""
        super().register_with_event_loop(connection, loop)
        loop.on_tick.add(self._send_acks)

    def _send_acks(self) -> None:
        for channel in self.cycle._channels:
            if channel.active_queues:
                channel.qos.take_over()
                channel.qos.send_acks(only_late=True)


def _problem(message: Any) -> str | None:
    """Why an item is not a message, or None."""
    if not isinstance(message, dict):
        return "it is not a Celery message but another JSON value"
    properties = message.get("properties")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_tag"), str):
        return "it is a JSON object without a message's properties"
    if not isinstance(message.get("headers"), dict) or not isinstance(message.get("body"), str):
        return "it is a message without headers or body"
    info = properties.get("delivery_info")
    if not isinstance(info, dict) or not isinstance(info.get("exchange"), str) or "routing_key" not in info:
        return "it is a message without delivery information"
    return None


def install() -> None:
    """Use this transport wherever kombu would use the stock one."""
    for scheme in ("redis", "rediss", "redis+socket"):
        if scheme in kombu.transport.TRANSPORT_ALIASES:
            kombu.transport.TRANSPORT_ALIASES[scheme] = "worker.transport:Transport"

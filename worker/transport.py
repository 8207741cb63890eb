"""Celery's own Redis transport, made safe against kills and against what is not a message, and lean.

Safe: the stock transport takes an item off its list, records it as unacknowledged in a second step, and reads it only
then: a process killed in between loses it, and an item that is no JSON, or no message, ends the worker and is gone.
Here a wake-up takes nothing (`worker/wakeups.py`); one script takes all messages there is room for and records them in
the same step. What cannot be read goes to `on_malformed` and the worker goes on.

Lean: the stock transport makes three round trips for each message and a new client object for each. Here several
messages come in one; acknowledgements go with the next, or together a moment later; a channel keeps its client.

Fair: tasks of the `capped` queues (deliveries, which may wait for a call slot) hold at most `cap` of a worker's
threads, so that events and ticks always get through.

The wire format and the keys are unchanged: producers, Flower and workers on the stock transport work beside it. Redis
before 6.2 cannot wake without taking: there one message is taken by the wake-up, as the stock transport does.
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
import structlog
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from kombu.utils.scheduling import priority_cycle

from worker import wakeups

ACKS_TOGETHER = 32
ACK_DELAY_S = 0.02
LATER_HELD = 2  # messages of low priority that a worker has at once
FULL_WAIT_S = 0.05  # on Redis before 6.2: how long to wait for other messages while capped queues have no room

WAKEUP = "WAKEUP"  # kind of a watched file descriptor, beside kombu's BRPOP and LISTEN
_TAKE = (Path(__file__).parent / "take.lua").read_text()

log = structlog.get_logger("mesh.transport")

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
        self._later_tags: set[str] = set()
        self._acked: list[str] = []
        self._acked_since = 0.0

    def can_consume(self) -> bool:
        """Whether to ask for more: once half of what may be held is done, so that more than one comes at a time."""
        if not self.prefetch_count:
            return True
        return bool(self._held <= self.prefetch_count // 2)

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message as unacknowledged."""
        if self.channel.is_capped(message.delivery_info.get("routing_key", "")):
            self._capped_tags.add(delivery_tag)
        if (message.properties or {}).get("priority"):
            self._later_tags.add(delivery_tag)
        if delivery_tag in self.recorded:
            self.recorded.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, on Redis a moment later."""
        if not self._acked:
            self._acked_since = time.monotonic()
            if self.channel.connection is not None:  # a task may outlive its connection
                self.channel.connection.send_acks_soon()
        self._acked.append(delivery_tag)
        self._capped_tags.discard(delivery_tag)
        self._later_tags.discard(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)
        if len(self._acked) >= ACKS_TOGETHER:
            self.send_acks()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message back, or drop it."""
        self._capped_tags.discard(delivery_tag)
        self._later_tags.discard(delivery_tag)
        super().reject(delivery_tag, requeue=requeue)

    @property
    def _held(self) -> int:
        return len(self._delivered) - len(self._dirty)

    @property
    def room(self) -> int:
        """How many more messages may be held. Without a limit they come one at a time."""
        return int(self.prefetch_count - self._held) if self.prefetch_count else 1

    @property
    def capped_room(self) -> int:
        """How many more messages of capped queues may be held."""
        return int(max(0, self.channel.cap - len(self._capped_tags)))

    @property
    def later_room(self) -> int:
        """How many more messages of low priority may be held: what comes before them is not to wait for many."""
        return max(0, LATER_HELD - len(self._later_tags))

    @property
    def acked(self) -> list[str]:
        """Tags of messages that are acknowledged here, and not yet on Redis."""
        return self._acked

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

    def acks_sent(self, count: int) -> None:
        """The first so many acknowledgements are on Redis now."""
        del self._acked[:count]

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
    _script_client: Any = None
    _wakeups: wakeups.Wakeups | None = None
    _can_wake: bool | None = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """The client for single commands: one for as long as its pool lives."""
        if client is None:
            if self._kept_client is None:
                self._kept_client = self._create_client()
            client = self._kept_client
        yield client

    def _disconnect_pools(self) -> None:
        self._kept_client = self._script_client = None
        super()._disconnect_pools()

    def _after_fork(self) -> None:
        self._stop_waiting()
        super()._after_fork()

    def close(self) -> None:
        """Give back what is held, and end the connections."""
        super().close()
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._wakeups is not None:
            self._wakeups.close()
            self._wakeups = None

    @property
    def wakeups(self) -> wakeups.Wakeups | None:
        """What wakes this channel; None where that is only possible by taking a message."""
        if self._wakeups is None and self._wakes_without_taking():
            self._wakeups = wakeups.Wakeups(self._connect, self.brpop_timeout)
        return self._wakeups

    def _connect(self) -> Any:
        """A connection of its own: those that wait are too many for the pool."""
        return self.pool.connection_class(**self.pool.connection_kwargs)

    def _wakes_without_taking(self) -> bool:
        if self._can_wake is None:
            self._can_wake = self.ack_emulation and wakeups.possible() and self._server_knows("BLMOVE")
        return self._can_wake

    def _server_knows(self, command: str) -> bool:
        connection = self._connect()
        try:
            connection.send_command("COMMAND", "INFO", command)
            answer = connection.read_response()
            return isinstance(answer, list) and bool(answer[0])
        except self.ResponseError:  # this user may not ask
            return False
        finally:
            connection.disconnect()

    def is_capped(self, queue: str) -> bool:
        """Whether a queue's messages count against the cap."""
        return bool(self.cap) and queue.startswith(self.capped)

    def awaited_lists(self) -> list[str]:
        """The lists whose messages there is room for."""
        queues = self._open_queues()
        return self._lists(queues) if self.qos.later_room else self._lists(queues)[: len(queues)]

    def _open_queues(self) -> list[str]:
        full = self.cap and not self.qos.capped_room
        return [queue for queue in self.active_queues if not (full and self.is_capped(queue))]

    def _lists(self, queues: list[str]) -> list[str]:
        """The lists of queues: those of the best priority first."""
        return [
            self.global_keyprefix + self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues
        ]

    def _update_queue_cycle(self) -> None:
        super()._update_queue_cycle()
        if self._wakeups is not None:
            self._wakeups.forget_all_but(self._lists(self.active_queues))

    def on_wakeup(self) -> bool:
        """Take what waits, if there is room. Raises Empty when that was nothing."""
        woken = self._wakeups is not None and self._wakeups.read()
        if not woken or not self.qos.can_consume() or not self._take():
            raise Empty
        return True

    def check_wakeups(self) -> None:
        """End connections whose answer is overdue, so that they are made anew."""
        if self._wakeups is not None and self.health_check_interval:
            waited = self._wakeups.hang_up_overdue(self.health_check_interval)
            if waited:
                log.warning("redis_silent", waited_s=round(waited))

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Wait for a message by taking one; while capped queues have no room, only shortly, and not for theirs."""
        if not self.cap or self.qos.capped_room:
            super()._brpop_start(timeout)
            return
        every = self._queue_cycle.items[:]
        self._queue_cycle.update(self._open_queues())
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
        if self.ack_emulation and self.qos.prefetch_count and not self._closing:
            self._take()
        return True

    def _brpop_reply(self, options: Any) -> Any:
        try:
            return self.client.parse_response(self.client.connection, "BRPOP", **options)
        except self.connection_errors:
            self.client.connection.disconnect()  # so that the next turn connects anew
            raise

    def _take(self) -> int:
        """Take what waits, as far as there is room, recorded as unacknowledged in the same step. How many."""
        room = self.qos.room
        queues = self._queue_cycle.consume(len(self.active_queues))
        if room <= 0 or not queues:
            return 0
        width = 1 if isinstance(self._queue_cycle, priority_cycle) else len(queues)  # that many take turns
        capped = [int(self.is_capped(queue)) + 2 * (step > 0) for step in self.priority_steps for queue in queues]
        acked = self.qos.acked[:]
        prefix = self.global_keyprefix
        taken = self._script(
            keys=[prefix + self.unacked_key, prefix + self.unacked_index_key, *self._lists(queues)],
            args=[time.time(), room, self.qos.capped_room, width, self.qos.later_room, *capped, *acked],
        )
        self.qos.acks_sent(len(acked))
        for place, recorded, item in taken:
            self._hand_out(queues[(int(place) - 1) % len(queues)], item, recorded=bool(recorded))
        if taken:
            self._queue_cycle.rotate(queues[(int(taken[-1][0]) - 1) % len(queues)])
        return len(taken)

    def _script(self, *, keys: list[str], args: list[Any]) -> Any:
        """Run the script. Its keys have their prefix, so the client must not give them one."""
        if self._script_client is None:
            self._script_client = redis_py.Redis(connection_pool=self.pool).register_script(_TAKE)
        return self._script_client(keys=keys, args=args)

    def _hand_out(self, queue: str, item: bytes, *, recorded: bool) -> None:
        """Give one item to whoever consumes its queue; keep one that cannot be read."""
        try:
            message = loads(item.decode() if isinstance(item, bytes) else item)
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


class Poller(redis.MultiChannelPoller):
    """Watches all channels; those that can wait without taking do."""

    loop: Any = None  # the event loop that waits for us, if one does

    @property
    def fds(self) -> dict[int, Any]:
        """What is to be added to the loop, in each turn. Ours stays there once it is: that spares two system calls."""
        return {fd: (channel, kind) for fd, (channel, kind) in super().fds.items() if not self._stays(fd, kind)}

    def _stays(self, fd: int, kind: str) -> bool:
        return kind == WAKEUP and self.loop is not None and fd in self.loop.readers

    def _register_BRPOP(self, channel: Any) -> None:
        if channel.wakeups is None:
            super()._register_BRPOP(channel)
            return
        fd = channel.wakeups.fileno()
        if fd not in self._fd_to_chan:
            if self.loop is not None:
                self.loop.remove_reader(fd)  # the number may have been that of a connection that is gone
            self._fd_to_chan[fd] = (channel, WAKEUP)
            self.poller.register(fd, self.eventflags)
        channel.wakeups.wait_for(channel.awaited_lists())

    def on_poll_start(self) -> None:
        """Before each wait: ask for messages, and send the acknowledgements that have waited long enough."""
        super().on_poll_start()
        self.send_acks(only_late=True)

    def on_readable(self, fileno: int) -> Any:
        """Something can be read. A wake-up takes nothing, so it is read even when there is no room."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        if channel is not None and kind == WAKEUP:
            return channel.on_wakeup()
        return super().on_readable(fileno)

    def discard(self, channel: Any) -> None:
        """Watch a channel no longer."""
        for fd, (each, kind) in list(self._fd_to_chan.items()):
            if each is channel and kind == WAKEUP:
                del self._fd_to_chan[fd]
                self._unregister_from_poll(fd)
        super().discard(channel)

    def get(self, callback: Any, timeout: float | None = None) -> Any:
        """Wait for one event, outside an event loop, where nothing else sends acknowledgements."""
        self.send_acks()
        return super().get(callback, timeout)

    def send_acks(self, *, only_late: bool = False) -> None:
        """Send the acknowledgements of all channels."""
        for channel in self._channels:
            if channel.active_queues and channel.ack_emulation:
                channel.qos.take_over()
                channel.qos.send_acks(only_late=only_late)

    def maybe_check_brpop_health(self) -> None:
        """End connections whose answer is overdue."""
        super().maybe_check_brpop_health()
        for channel in self._channels:
            channel.check_wakeups()


class Transport(redis.Transport):
    """The Redis transport with our channel."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Join a worker's loop."""
        super().register_with_event_loop(connection, loop)
        self.cycle.loop = loop

    def send_acks_soon(self) -> None:
        """See to it that the loop turns once the acknowledgements have waited long enough."""
        if self.cycle.loop is not None:
            self.cycle.loop.call_later(ACK_DELAY_S, _turn)


def _turn() -> None:
    """Nothing: a timer of the loop makes it turn."""


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

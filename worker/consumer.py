"""What becomes of messages that no task can take: they are kept as rejected events, never dropped.

A message is acknowledged only after it is kept. While Postgres is away it stays unacknowledged on Redis and comes back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import structlog
from celery.exceptions import InvalidTaskError
from celery.worker import strategy
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.request import Request
from kombu.exceptions import DecodeError

import db.rejected
from db.engine import is_away
from worker import ids, stopping, transport
from worker.logs import first_line
from worker.outcomes import clean
from worker.receive import GIVE_BACK_S, arrivals
from worker.resources import resources

log = structlog.get_logger("mesh.consumer")


def keep(reason: str, body: bytes, message_id: str | None) -> bool:
    """Keep one unusable message as a rejected event. False when Postgres is away."""
    rejected_id = uuid5(NAMESPACE_OID, message_id) if message_id else ids.new()
    try:
        with resources().engine.begin() as connection:
            db.rejected.insert(connection, rejected_id=rejected_id, door="redis", reason=clean(reason), body=body)
    except Exception as error:
        if not is_away(error):
            raise
        log.error("message_not_kept", reason=reason, error=first_line(error))
        return False
    log.warning("message_rejected", reason=reason, rejected_id=str(rejected_id))
    return True


def _body(message: Any) -> bytes:
    body = message.body
    return body if isinstance(body, bytes) else str(body).encode("utf-8", "surrogatepass")


class Consumer(CeleryConsumer):
    """Celery's consumer, except that nothing it cannot use disappears."""

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Take messages; one whose headers break Celery itself is kept too, or it would break the next worker."""
        handle = super().create_task_handler(*args, **kwargs)

        def receive(message: Any) -> Any:
            try:
                return handle(message)
            except (
                LookupError,
                TypeError,
                ValueError,
                AttributeError,
            ) as error:  # kombu counts some as lost connections
                log.warning("message_broke_celery", error=repr(error)[:300])
                self._reject(message, f"Its headers cannot be used: {type(error).__name__} {str(error)[:200]}.")

        return receive

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """The body is not what its content type says."""
        self._reject(message, f"Its body cannot be read: {str(exc)[:300]}.")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """It names no task."""
        self._reject(message, "It is not a task message: send the task events.publish with one JSON object.")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """It names a task that does not exist."""
        name = str((message.headers or {}).get("task"))[:100]
        self._reject(message, f"There is no task {name!r}: producers send events.publish.")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Its body is no task call, or its content type is not allowed."""
        self._reject(message, f"It cannot be used: {str(exc)[:300]}.")

    def _reject(self, message: Any, reason: str) -> None:
        message_id = (message.headers or {}).get("id") or message.delivery_tag
        if keep(reason, _body(message), str(message_id)):
            message.ack_log_error(None, self.connection_errors)


def _keep_malformed(raw: bytes, reason: str) -> None:
    """It is off its list already and nothing could bring it back: hold on to it until Postgres takes it."""
    while not keep(f"An item of a queue could not be read: {reason}.", raw, None):
        time.sleep(1)


def install() -> None:
    """Keep what the transport cannot read, in this worker."""
    if _keep_malformed not in transport.on_malformed:
        transport.on_malformed.append(_keep_malformed)


def checked(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """A task strategy that reads the body before the task is queued, so that a broken one is kept, not lost."""
    handle: Callable[..., Any] = strategy.default(task, app, consumer, **options)

    def receive(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **extra: Any) -> Any:
        _call(message)
        return handle(message, body, ack, reject, callbacks, **extra)

    return receive


def accepting(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """The strategy of events: they are accepted many messages in one commit, and no thread of the pool waits for it.

    What has a time of its own (eta, expires), and everything while task events are on, takes Celery's usual way.
    """
    usual = checked(task, app, consumer, **options)

    def receive(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **extra: Any) -> Any:
        headers = message.headers
        timed = headers.get("eta") or headers.get("expires")
        if timed or not isinstance(headers.get("id"), str) or _sends_task_events(consumer.event_dispatcher):
            return usual(message, body, ack, reject, callbacks, **extra)
        args, kwargs = _call(message)
        given = resources().accepter.submit(arrivals(headers["id"], args, kwargs))
        given.add_done_callback(partial(_answer, ack, reject, consumer.connection_errors))
        return None

    return receive


def _sends_task_events(dispatcher: Any) -> bool:
    """Whether somebody watches tasks. Workers send heartbeats anyway; Flower may ask for more at any time."""
    return bool(dispatcher and dispatcher.enabled and (not dispatcher.groups or "task" in dispatcher.groups))


def _answer(ack: Any, reject: Any, errors: Any, given: Future[Any]) -> None:
    """Acknowledge what was stored; the rest goes back, and what of it was stored is recognised by its name."""
    if given.exception() is None:
        ack(log, errors)
    elif stopping.requested.is_set():
        reject(log, errors, True)
    else:  # not on this thread: others wait for it
        later = threading.Timer(GIVE_BACK_S, reject, (log, errors, True))
        later.daemon = True
        later.start()


def _call(message: Any) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a task message. Raises what the consumer handles for one that is no call."""
    try:
        payload = message.payload  # raises DecodeError or ContentDisallowed
    except RecursionError:
        raise DecodeError("it is nested too deeply") from None
    if isinstance(payload, dict):  # protocol 1
        args, kwargs, options = payload.get("args"), payload.get("kwargs", {}), {}
    elif isinstance(payload, list) and len(payload) == 3:
        args, kwargs, options = payload
    else:
        args, kwargs, options = None, None, None
    if not (isinstance(args, list) and isinstance(kwargs, dict) and isinstance(options, dict)):
        raise InvalidTaskError("the body must be [args, kwargs, options]")
    return args, kwargs


class QuietRequest(Request):
    """A request whose arguments never reach task events, logs or Flower: producers send payloads, we show ids."""

    @property
    def argsrepr(self) -> str:
        """Nothing of the payload."""
        return "(…)"

    @property
    def kwargsrepr(self) -> str:
        """Nothing of the payload."""
        return "{…}"

"""What a worker process does when it starts and when it ends."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from celery import signals

from settings import ConfigurationError, current
from worker import consumer, faults
from worker.listener import Listener
from worker.resources import close, resources

_listeners: list[Listener] = []

# Two INFO lines a message would nearly double Celery's own cost.
_QUIET = ("celery.worker.strategy", "celery.app.trace", "kombu", "amqp", "urllib3")


def configure_logging(level: str) -> None:
    """One line a fact, values in fields, to standard error."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    configure_logging(current().mesh_log_level)


@signals.worker_init.connect
def _start(**_: Any) -> None:
    faults.arm()
    consumer.install()
    try:
        resources()
    except ConfigurationError as error:
        # Celery logs what a signal's handler raises and goes on: every message would fail, and be gone.
        raise SystemExit(f"Error: {error.message}") from None


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    listener = Listener(resources())
    listener.start()
    _listeners.append(listener)


@signals.worker_shutdown.connect
def _stop(**_: Any) -> None:
    for listener in _listeners:
        listener.stop()
    close()

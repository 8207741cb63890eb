"""What a worker process does when it starts and when it ends."""

from __future__ import annotations

import gc
from typing import Any

from celery import signals

from settings import ConfigurationError, current
from worker import consumer, faults, stopping
from worker.listener import Listener
from worker.logs import configure_logging
from worker.readiness import check
from worker.resources import close, resources

_listeners: list[Listener] = []


@signals.setup_logging.connect
def _logging(**_: Any) -> None:
    configure_logging(current().mesh_log_level)


@signals.worker_init.connect
def _start(**_: Any) -> None:
    faults.arm()
    consumer.install()
    try:
        check(resources())
    except ConfigurationError as error:
        # Celery logs what a signal's handler raises and goes on: every message would fail, and be gone.
        raise SystemExit(f"Error: {error.message}") from None


@signals.worker_ready.connect
def _ready(**_: Any) -> None:
    listener = Listener(resources())
    listener.start()
    _listeners.append(listener)
    # A hundred thousand objects that stay: catalog, adapters, libraries. Looking through them all takes 30 to 60 ms,
    # in which no call gets on.
    gc.collect()
    gc.freeze()


@signals.worker_shutting_down.connect
def _stopping(**_: Any) -> None:
    stopping.requested.set()


@signals.worker_shutdown.connect
def _stop(**_: Any) -> None:
    for listener in _listeners:
        listener.stop()
    close()

"""A thread of each worker that NOTIFY wakes: events of the SQL door and of `accept` leave within milliseconds.

The beat tick does the same work; this only does it sooner.
"""

from __future__ import annotations

import threading

import psycopg2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.listen import wakeups
from providers import PROVIDERS
from worker.enqueue import BACKLOG_CHANNEL
from worker.reconcile import fill_queue, route_events
from worker.resources import Resources

RECONNECT_S = 1.0
CHECK_S = 1.0  # how often the thread looks whether it should end

log = structlog.get_logger("mesh.listener")


class Listener:
    """Runs until it is stopped; a lost connection is made again."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End within a second or so."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._listen()
            except (psycopg2.Error, SQLAlchemyError, OSError) as error:
                log.warning("listener_reconnects", error=str(error).splitlines()[0][:200])
                self._stopped.wait(RECONNECT_S)

    def _listen(self) -> None:
        for woken in wakeups(self._resources.settings.database_url, BACKLOG_CHANNEL, timeout_s=CHECK_S):
            if self._stopped.is_set():
                return
            if woken:
                route_events(self._resources.engine)
                for provider in PROVIDERS:
                    fill_queue(self._resources.engine, self._resources.dispatcher, provider)

"""A thread of each worker that NOTIFY wakes: events of the SQL door and of `accept` leave within milliseconds.

While more waits in Postgres than the short queues hold, it tops them up. The beat tick does the same, later.
"""

from __future__ import annotations

import threading

import psycopg2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.listen import wakeups
from providers import PROVIDERS
from worker.enqueue import BACKLOG_CHANNEL
from worker.logs import first_line
from worker.reconcile import fill_queue, route_events
from worker.resources import Resources

RECONNECT_S = 1.0
REFILL_S = 0.05  # how often queues are topped up while more waits than they hold
CHECK_S = 1.0  # how often the thread looks whether it should end

log = structlog.get_logger("mesh.listener")


class Listener:
    """Runs until it is stopped; a lost connection is made again."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stopped = threading.Event()
        self._more = False  # waits in Postgres than the queues hold
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
                log.warning("listener_reconnects", error=first_line(error))
                self._stopped.wait(RECONNECT_S)

    def _listen(self) -> None:
        self._more = True  # something may have come before we listened
        for woken in wakeups(self._resources.settings.database_url, BACKLOG_CHANNEL, timeout_s=self._pause_s):
            if self._stopped.is_set():
                return
            if woken or self._more:
                self._more = self._feed()

    def _pause_s(self) -> float:
        return REFILL_S if self._more else CHECK_S

    def _feed(self) -> bool:
        """Send what waits; whether more may be waiting."""
        route_events(self._resources.engine)
        full = [fill_queue(self._resources.engine, self._resources.dispatcher, provider) for provider in PROVIDERS]
        return any(full)

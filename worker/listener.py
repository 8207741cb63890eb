"""A thread of each worker that NOTIFY wakes: events of the SQL door and of `accept` leave within milliseconds.

While more waits in Postgres than the short queues hold, it tops them up; what is due later is sent when its time comes.
The beat tick does the same, by the second.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection

import psycopg2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from db.deliveries import ANYTHING, BACKLOG_CHANNEL, EVENTS
from db.listen import wakeups
from providers import PROVIDERS
from worker.logs import first_line
from worker.reconcile import fill_queue, reconcile, route_events
from worker.resources import Resources

RECONNECT_S = 1.0
RECONCILE_S = 5.0  # how often each worker reconciles by itself: beat may be away, or its clock wrong
CHECK_S = 1.0  # how often the thread looks whether it should end

log = structlog.get_logger("mesh.listener")


class Listener:
    """Runs until it is stopped; a lost connection is made again."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._stopped = threading.Event()
        self._unrouted = False  # events may be waiting for their deliveries
        self._fill_at = dict.fromkeys(PROVIDERS, math.inf)  # when deliveries are due, as far as it is known
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
        # Something may have come before we listened: looked for as soon as we do.
        self._unrouted, self._fill_at = True, dict.fromkeys(PROVIDERS, time.monotonic())
        reconcile_at = time.monotonic() + RECONCILE_S
        for said in wakeups(self._resources.settings.database_url, BACKLOG_CHANNEL, timeout_s=self._pause_s):
            if self._stopped.is_set():
                return
            self._feed(said)
            if time.monotonic() >= reconcile_at:
                reconcile(self._resources.engine, self._resources.dispatcher)
                reconcile_at = time.monotonic() + RECONCILE_S

    def _pause_s(self) -> float:
        soonest = 0.0 if self._unrouted else min(self._fill_at.values()) - time.monotonic()
        return min(max(soonest, 0.0), CHECK_S)

    def _feed(self, said: Collection[str]) -> None:
        """Send what waits, and note when there is more to do. Steps are short: what is due is not to wait for many."""
        engine, dispatcher = self._resources.engine, self._resources.dispatcher
        fresh: Collection[str] = ()
        if self._unrouted or EVENTS in said or ANYTHING in said:
            routed = route_events(engine, self._resources.claimer, steps=1)
            self._unrouted, fresh = routed.more, routed.providers
        for provider, at in self._fill_at.items():
            if provider in said or ANYTHING in said or provider in fresh or at <= time.monotonic():
                pause_s = fill_queue(engine, dispatcher, provider)
                self._fill_at[provider] = math.inf if pause_s is None else time.monotonic() + pause_s

"""From publishing to the receiver's door, at a steady pace.

Open loop: every event has its moment, and its latency counts from that moment even where the publisher was late, so a
stall is not hidden. The arrival is the receiver's own clock; both clocks are this machine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.ground import Ground, query
from bench.producers import Send

WAIT_S = 30.0  # for the last arrivals
FIRST_S = 0.2  # between the start of a run and its first event
IDS = (
    "select e.idempotency_key, d.id::text from deliveries d join events e on e.id = d.event_id"
    " where d.tenant_id = %(tenant)s"
)


@dataclass(frozen=True, slots=True)
class Latency:
    """One run's latencies in milliseconds, sorted."""

    door: str
    rate: int
    ms: Sequence[float]
    sent: int

    def percentile(self, share: float) -> float:
        """The latency that this share of the events did not exceed."""
        return self.ms[min(len(self.ms) - 1, int(share * len(self.ms)))] if self.ms else float("nan")


def pace(send: Send, keys: Sequence[str], rate: int, sleep: Callable[[float], None] = time.sleep) -> dict[str, float]:
    """Send one at a time, `rate` a second. When each was due, in unix seconds."""
    began = time.time() + FIRST_S
    due = {key: began + place / rate for place, key in enumerate(keys)}
    for key, moment in due.items():
        sleep(max(0.0, moment - time.time()))
        send([key])
    return due


def measure(
    ground: Ground, database_url: str, *, door: str, send: Send, tenant_id: str, path: str, rate: int, seconds: float
) -> Latency:
    """Publish for some seconds, then compare with what the receiver wrote down."""
    keys = [f"{tenant_id}-{number}" for number in range(max(1, int(rate * seconds)))]
    due = pace(send, keys, rate)
    deadline = time.monotonic() + WAIT_S
    while len(arrived := ground.control.arrivals(path)) < len(keys) and time.monotonic() < deadline:
        time.sleep(0.1)
    delivery_of = dict(query(database_url, IDS, {"tenant": tenant_id}))
    took = [(arrived[delivery_of[key]] - due[key]) * 1000 for key in keys if delivery_of.get(key) in arrived]
    return Latency(door, rate, sorted(took), len(keys))

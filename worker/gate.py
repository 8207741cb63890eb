"""The gate before a call: rate limits and in-flight caps of targets, counted on Redis for all workers together.

What may not go now is told how long to wait; it goes back to Postgres and uses no attempt. While Redis is away the gate
is open: holds and circuits live in Postgres, and no message arrives without Redis for long anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import redis
import structlog

from providers.contract import Rate
from worker.outcomes import Claim

_SCRIPT = (Path(__file__).parent / "gate.lua").read_text()
CAP_LEASE_S = 150  # a place that a killed worker held is free again after this; > the longest deadline
BURST_S = 1.0  # this much of a rate may go at once: what waited for its turn comes back by ticks of a second
CAP_RETRY_S = 0.5  # when to look again for a place under an in-flight cap

log = structlog.get_logger("mesh.gate")


class Gate:
    """Asks Redis once for a whole batch."""

    def __init__(self, client: redis.Redis, key_prefix: str) -> None:
        self._client = client
        self._key_prefix = key_prefix
        self._admit = client.register_script(_SCRIPT)

    def waits(self, claims: Sequence[Claim], rates: Sequence[Rate | None]) -> list[float]:
        """Seconds each claim has to wait; 0 = go. `rates` are the limits in force, by claim."""
        limited = [i for i, claim in enumerate(claims) if rates[i] is not None or claim.max_in_flight]
        waits = [0.0] * len(claims)
        if not limited:
            return waits
        keys: list[str] = []
        arguments: list[float | int | str] = [CAP_LEASE_S, CAP_RETRY_S]
        for i in limited:
            rate, claim = rates[i], claims[i]
            keys += [self._key("rate", claim.target_id), self._key("cap", claim.target_id)]
            interval_s = rate.per_s / rate.count if rate else 0
            burst_s = max(BURST_S, interval_s)
            arguments += [interval_s, burst_s, claim.max_in_flight or 0, str(claim.attempt_id)]
        try:
            answers = self._admit(keys=keys, args=arguments)
        except redis.RedisError as error:
            log.warning("gate_open_without_redis", error=str(error)[:200])
            return waits
        for i, answer in zip(limited, answers, strict=True):
            waits[i] = float(answer)
        return waits

    def leave(self, claim: Claim) -> None:
        """A call under an in-flight cap ended."""
        if claim.max_in_flight:
            try:
                self._client.zrem(self._key("cap", claim.target_id), str(claim.attempt_id))
            except redis.RedisError as error:
                log.warning("cap_not_freed", error=str(error)[:200])

    def _key(self, kind: str, target_id: UUID) -> str:
        return f"{self._key_prefix}mesh:gate:{kind}:{target_id}"

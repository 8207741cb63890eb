"""The gate before a call: what targets may get at once and in a second, counted on Redis for all workers together.

Rate limits, in-flight caps, and the ramp of a target that answers again after it was held.

What may not go now is told how long to wait; it goes back to Postgres and uses no attempt. While Redis is away the gate
is open: holds and circuits live in Postgres, and no message arrives without Redis for long anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import redis
import structlog

from db.targets import RAMP_S
from providers.contract import Rate
from worker.limits import Cap
from worker.outcomes import Claim

_SCRIPT = (Path(__file__).parent / "gate.lua").read_text()
CAP_LEASE_S = 150  # a place that a killed worker held is free again after this; > the longest deadline
BURST_S = 1.0  # of a rate may go at once where no call is held until its turn: what waits comes back by ticks
HOLD_S = 0.4  # so long a worker keeps a claim whose turn is that near; what comes back later goes to Postgres
RAMP_CALLS = 5  # to a target in the first second in which it answers again; twice as many in each that follows
CEILING_KNOWN_S = 7 * 24 * 3600  # a ceiling that was told is believed for so long; each answer tells it again
CAP_RETRY_S = 0.5  # when to look again for a place under an in-flight cap

log = structlog.get_logger("mesh.gate")


class Gate:
    """Asks Redis once for a whole batch."""

    def __init__(self, client: redis.Redis, key_prefix: str) -> None:
        self._client = client
        self._key_prefix = key_prefix
        self._admit = client.register_script(_SCRIPT)

    def waits(
        self,
        claims: Sequence[Claim],
        rates: Sequence[Rate | None],
        caps: Sequence[Cap | None],
        *,
        hold_s: float = 0.0,
        answering_s: Sequence[float | None] = (),
    ) -> list[float]:
        """Seconds each claim has to wait: up to `hold_s` it is admitted, for that moment; longer, it has to ask again.

        By claim: `rates` and `caps` are the limits in force, `answering_s` since when a target answers again where that
        is news.
        """
        since = answering_s or [None] * len(claims)
        limited = [i for i in range(len(claims)) if rates[i] is not None or caps[i] is not None or since[i] is not None]
        waits = [0.0] * len(claims)
        if not limited:
            return waits
        keys = [key for i in limited for key in self._keys(claims[i], rates[i], caps[i])]
        arguments: list[float | int | str] = [CAP_LEASE_S, CAP_RETRY_S, hold_s, RAMP_CALLS, RAMP_S]
        try:
            for i, most in zip(limited, self._most([caps[i] for i in limited]), strict=True):
                arguments += _question(claims[i], rates[i], most, since[i], hold_s)
            answers = self._admit(keys=keys, args=arguments)
        except redis.RedisError as error:
            log.warning("gate_open_without_redis", error=str(error)[:200])
            return waits
        for i, answer in zip(limited, answers, strict=True):
            waits[i] = float(answer)
        return waits

    def leave(self, cap: Cap, attempt_id: UUID) -> None:
        """A call under a cap ended."""
        try:
            self._client.zrem(self._key("cap", cap.key), str(attempt_id))
        except redis.RedisError as error:
            log.warning("cap_not_freed", error=str(error)[:200])

    def told(self, cap: Cap, ceiling: int) -> None:
        """A provider has said how many calls it makes at once."""
        try:
            self._client.set(self._key("ceiling", cap.key), ceiling, ex=CEILING_KNOWN_S)
        except redis.RedisError as error:
            log.warning("ceiling_not_noted", error=str(error)[:200])

    def _most(self, caps: Sequence[Cap | None]) -> list[int]:
        """How many at once; 0 = as many as come."""
        keys = [self._key("ceiling", cap.key) for cap in caps if cap is not None and cap.first]
        told = dict(zip(keys, self._client.mget(keys), strict=True)) if keys else {}
        return [0 if cap is None else cap.most(_number(told.get(self._key("ceiling", cap.key)))) for cap in caps]

    def turn(self, rate: Rate, longest_s: float) -> float:
        """Take the next turn of a shared rate: seconds until it, more than `longest_s` when none was taken.

        Before those who stand in line: whoever asks is in the middle of a call.
        """
        key = self._key("rate", rate.shared_as)
        interval_s = rate.per_s / rate.count
        arguments: list[float | int | str] = [CAP_LEASE_S, CAP_RETRY_S, longest_s, RAMP_CALLS, RAMP_S]
        arguments += [interval_s, interval_s, 0, "", 1, -1]
        try:
            return float(self._admit(keys=[key, key, key], args=arguments)[0])
        except redis.RedisError as error:
            log.warning("gate_open_without_redis", error=str(error)[:200])
            return 0.0

    def _keys(self, claim: Claim, rate: Rate | None, cap: Cap | None) -> tuple[str, str, str]:
        target_id = str(claim.target_id)
        shared = rate.shared_as if rate else ""
        capped = cap.key if cap else target_id
        return self._key("rate", shared or target_id), self._key("cap", capped), self._key("ramp", target_id)

    def _key(self, kind: str, target_id: UUID | str) -> str:
        return f"{self._key_prefix}mesh:gate:{kind}:{target_id}"


def _number(value: bytes | str | None) -> int | None:
    return int(value) if value else None


def _question(
    claim: Claim, rate: Rate | None, most: int, answering_s: float | None, hold_s: float
) -> list[float | int | str]:
    """What the script is told of one call."""
    interval_s = rate.per_s / rate.count if rate else 0
    burst_s = interval_s if hold_s else max(BURST_S, interval_s)
    came_back = int(claim.first_attempt_at < claim.started_at)
    since_s = -1 if answering_s is None else answering_s
    return [interval_s, burst_s, most, str(claim.attempt_id), came_back, since_s]

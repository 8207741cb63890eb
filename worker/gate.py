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
from worker.limits import Cap, Caps
from worker.outcomes import Claim

_ADMIT, _LEAVE = ((Path(__file__).parent / name).read_text() for name in ("gate.lua", "leave.lua"))
CAP_LEASE_S = 150  # a place that a killed worker held is free again after this; > the longest deadline
BURST_S = 1.0  # of a rate may go at once where no call is held until its turn: what waits comes back by ticks
HOLD_S = 0.4  # so long a worker keeps a claim whose turn is that near; what comes back later goes to Postgres
RAMP_CALLS = 5  # to a target in the first second in which it answers again; twice as many in each that follows
CEILING_KNOWN_S = 7 * 24 * 3600  # a ceiling that was told is believed for so long; each answer tells it again
CAP_RETRY_S = 0.5  # when the first in line looks again for a place under an in-flight cap
CAP_LONGEST_S = 30.0  # when the last one does, at the latest: places may be held shorter from now on
CAP_NEWEST = 0.2  # of the average time that a place is held, how much the newest counts

log = structlog.get_logger("mesh.gate")


class Gate:
    """Asks Redis once for a whole batch."""

    def __init__(self, client: redis.Redis, key_prefix: str) -> None:
        self._client = client
        self._key_prefix = key_prefix
        self._admit = client.register_script(_ADMIT)
        self._leave = client.register_script(_LEAVE)

    def waits(
        self,
        claims: Sequence[Claim],
        rates: Sequence[Rate | None],
        caps: Sequence[Caps],
        *,
        hold_s: float = 0.0,
        answering_s: Sequence[float | None] = (),
    ) -> list[float]:
        """Seconds each claim has to wait: up to `hold_s` it is admitted, for that moment; longer, it has to ask again.

        By claim: `rates` and `caps` are the limits in force, `answering_s` since when a target answers again where that
        is news.
        """
        since = answering_s or [None] * len(claims)
        limited = [i for i in range(len(claims)) if rates[i] is not None or any(caps[i]) or since[i] is not None]
        waits = [0.0] * len(claims)
        if not limited:
            return waits
        keys = [key for i in limited for key in self._keys(claims[i], rates[i], caps[i])]
        arguments = _settings(hold_s)
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
            self._leave(keys=[self._key("cap", cap.key)], args=[str(attempt_id), CAP_NEWEST])
        except redis.RedisError as error:
            log.warning("cap_not_freed", error=str(error)[:200])

    def told(self, cap: Cap, ceiling: int) -> None:
        """A provider has said how many calls it makes at once."""
        try:
            before = self._client.set(self._key("ceiling", cap.key), ceiling, ex=CEILING_KNOWN_S, get=True)
            if _number(before, cap.count) < ceiling:  # whoever is new need not stand behind who was told the old one
                self._client.hdel(self._key("cap", cap.key) + ":line", "line")
        except redis.RedisError as error:
            log.warning("ceiling_not_noted", error=str(error)[:200])

    def _most(self, caps: Sequence[Caps]) -> list[tuple[int, int]]:
        """How many at once of an account's own, and of all that share a ceiling; 0 = as many as come."""
        keys = [self._key("ceiling", shared.key) for _, shared in caps if shared]
        told = dict(zip(keys, self._client.mget(keys), strict=True)) if keys else {}
        return [
            (own.count if own else 0, _number(told[self._key("ceiling", shared.key)], shared.count) if shared else 0)
            for own, shared in caps
        ]

    def turn(self, rate: Rate, longest_s: float) -> float:
        """Take the next turn of a shared rate: seconds until it, more than `longest_s` when none was taken.

        Before those who stand in line: whoever asks is in the middle of a call.
        """
        key = self._key("rate", rate.shared_as)
        interval_s = rate.per_s / rate.count
        arguments = [*_settings(longest_s), interval_s, interval_s, 0, 0, "", 1, -1]
        try:
            return float(self._admit(keys=[key] * 4, args=arguments)[0])
        except redis.RedisError as error:
            log.warning("gate_open_without_redis", error=str(error)[:200])
            return 0.0

    def _keys(self, claim: Claim, rate: Rate | None, caps: Caps) -> tuple[str, str, str, str]:
        target_id = str(claim.target_id)
        own, shared = (self._key("cap", cap.key if cap else target_id) for cap in caps)
        rated = (rate.shared_as if rate else "") or target_id
        return self._key("rate", rated), own, shared, self._key("ramp", target_id)

    def _key(self, kind: str, target_id: UUID | str) -> str:
        return f"{self._key_prefix}mesh:gate:{kind}:{target_id}"


Arguments = list[float | int | str]


def _settings(hold_s: float) -> Arguments:
    return [CAP_LEASE_S, CAP_RETRY_S, CAP_LONGEST_S, hold_s, RAMP_CALLS, RAMP_S]


def _number(value: bytes | str | bool | None, default: int) -> int:
    return int(value) if value else default


def _question(
    claim: Claim, rate: Rate | None, most: tuple[int, int], answering_s: float | None, hold_s: float
) -> Arguments:
    """What the script is told of one call."""
    interval_s = rate.per_s / rate.count if rate else 0
    burst_s = interval_s if hold_s else max(BURST_S, interval_s)
    came_back = int(claim.first_attempt_at < claim.started_at)
    since_s = -1 if answering_s is None else answering_s
    return [interval_s, burst_s, *most, str(claim.attempt_id), came_back, since_s]

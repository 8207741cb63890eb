"""What every exchange of one call takes part in: an allowance that our app shares, a ceiling that the answers tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from providers.contract import Rate
from providers.errors import RateLimited
from providers.http import Answer, Request, Transport
from providers.waiting import aside, pause
from worker.gate import Gate
from worker.limits import Cap

LONGEST_TURN_S = 5.0  # what takes longer is tried again later rather than held


class Paced:
    """A transport for one call of a provider whose allowance all our accounts share.

    `prepaid` is how many turns the gate has taken for this call.
    """

    def __init__(self, transport: Transport, gate: Gate, rate: Rate, prepaid: int) -> None:
        self._transport = transport
        self._gate = gate
        self._rate = rate
        self._prepaid = prepaid

    def send(self, request: Request, deadline_s: float) -> Answer:
        """Make one exchange when its turn has come. RateLimited when that is too long from now: nothing was sent."""
        wait_s = self._turn(min(LONGEST_TURN_S, deadline_s / 2))
        return self._transport.send(request, deadline_s - wait_s)

    def _turn(self, longest_s: float) -> float:
        if self._prepaid > 0:
            self._prepaid -= 1
            return 0.0
        wait_s = aside(partial(self._gate.turn, self._rate, longest_s))
        if wait_s > longest_s:
            busy = RateLimited("Our own calls use up what the provider allows our app.", code="app_rate", wait_s=wait_s)
            busy.holds = False  # the account has done nothing
            raise busy
        pause(wait_s)
        return wait_s


class Heard:
    """A transport for one call whose provider says in its answers how many calls it makes at once."""

    def __init__(self, transport: Transport, gate: Gate, cap: Cap, read: Callable[[Answer], int | None]) -> None:
        self._transport = transport
        self._gate = gate
        self._cap = cap
        self._read = read

    def send(self, request: Request, deadline_s: float) -> Answer:
        """Make one exchange, and pass on the ceiling that its answer tells."""
        answer = self._transport.send(request, deadline_s)
        ceiling = self._read(answer)
        if ceiling is not None and ceiling > 0:
            aside(partial(self._gate.told, self._cap, ceiling))
        return answer

"""Pacing the exchanges of one call: where our app has one allowance at a provider, each exchange takes a turn of it."""

from __future__ import annotations

from functools import partial

from providers.contract import Rate
from providers.errors import RateLimited
from providers.http import Answer, Request, Transport
from providers.waiting import aside, pause
from worker.gate import Gate

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

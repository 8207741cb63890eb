"""The providers that the sandbox plays: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sandbox import elevenlabs, receiver, zapier
from sandbox.routes import StandIn

STAND_INS: Final[Mapping[str, Callable[[], StandIn]]] = {
    "receive": receiver.stand_in,
    "zapier": zapier.stand_in,
    "elevenlabs": elevenlabs.stand_in,
}

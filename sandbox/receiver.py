"""A receiver of webhooks that says yes: what a customer's own server is to the mesh.

`server.Connection` answers plain requests to it itself, with the bytes below; this stand-in answers those
that a fault has touched.
"""

from __future__ import annotations

from typing import Final

from sandbox.routes import Route, StandIn
from sandbox.wire import Answer, Request, encode, json_answer

PREFIX: Final = "/receive/"
OK: Final = json_answer({"ok": True})
OK_BYTES: Final = encode(OK, keep_alive=True)
OK_CLOSE_BYTES: Final = encode(OK, keep_alive=False)


def receive(request: Request) -> Answer:
    """Anything is welcome."""
    return OK


def stand_in() -> StandIn:
    """A fresh receiver."""
    return StandIn(routes=(Route("POST", PREFIX + "{name*}", receive),))

"""Fault injection for `make chaos`: MESH_STOP_AT names a file that says where in a delivery's life a process dies.

"claim"       the first process that gets to this phase removes the file and dies, as by SIGKILL
"sent TEXT"   every process that has sent a request with TEXT in it dies, for as long as the file is there

Without the setting this costs one comparison.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from settings import current

# "send" is just before the call; "sent" is when the request has left and its answer was not read.
PHASES = ("accept", "dispatch", "claim", "send", "sent", "answer", "settle")


def reached(phase: str, data: bytes = b"") -> None:
    """A delivery got here, with these bytes. Ends the process at once when it was told to."""
    if _order is not None and _is_meant(_order, phase, data):
        os.kill(os.getpid(), signal.SIGKILL)


_order: Path | None = None


def arm() -> None:
    """Read the setting, once, when a worker starts."""
    global _order
    named = current().mesh_stop_at
    _order = Path(named) if named else None


def _is_meant(order: Path, phase: str, data: bytes) -> bool:
    """Whether the order is for this phase and these bytes. An order without a text is for one process only."""
    try:
        asked, _, text = order.read_text().partition(" ")
        if asked != phase or text.encode() not in data:
            return False
        if not text:
            order.unlink()
    except FileNotFoundError:  # no order, or another process was first
        return False
    return True

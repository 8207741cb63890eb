"""Fault injection for `make chaos`: MESH_STOP_AT names the phase of a delivery at which this process dies."""

from __future__ import annotations

import os
import signal

from settings import current

PHASES = ("accept", "dispatch", "claim", "send", "answer", "settle")


def reached(phase: str) -> None:
    """A delivery got here. Ends the process at once, as SIGKILL does, when the setting says so."""
    if _stop_at == phase:
        os.kill(os.getpid(), signal.SIGKILL)


_stop_at = ""


def arm() -> None:
    """Read the setting, once, when a worker starts."""
    global _stop_at
    _stop_at = current().mesh_stop_at

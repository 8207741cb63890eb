"""Whether this process was asked to end: what waits for a server that is away then waits no longer."""

from __future__ import annotations

import threading

requested = threading.Event()

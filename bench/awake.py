"""`python -m bench.awake MODULE …`: run a module below libfaketime with a `time.sleep` that works there.

Python sleeps until a moment of the monotonic clock; libfaketime takes that moment for one of the wall clock.
"""

from __future__ import annotations

import runpy
import select
import sys
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    select.select((), (), (), float(seconds))


if __name__ == "__main__":
    time.sleep = _sleep
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

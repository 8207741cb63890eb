"""What was measured on what."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("celery", "kombu", "redis", "psycopg2-binary", "urllib3", "dramatiq", "taskiq", "taskiq-redis", "saq",
            "aiohttp", "asyncpg", "uvloop")  # fmt: skip


def facts() -> dict[str, str]:
    """Python, system, processor, load and packages, by name."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "load": ", ".join(f"{each:.2f}" for each in os.getloadavg()),
        "packages": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")

"""The Celery application of workers that know the tests' own platform, at PAGED_URL."""

from __future__ import annotations

import os

from tests.paged import provider, register

register(provider(os.environ["PAGED_URL"]))  # before the queues are declared

from worker.app import app  # noqa: E402

__all__ = ["app"]

"""Logs: one line a fact, values in fields, secrets never."""

from __future__ import annotations

import logging
import sys

import structlog

# Two INFO lines a message would nearly double Celery's own cost.
_QUIET = ("celery.beat", "celery.worker.strategy", "celery.app.trace", "kombu", "amqp", "urllib3")


def configure_logging(level: str) -> None:
    """One line a fact, values in fields, to standard error."""
    logging.basicConfig(
        level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def first_line(error: BaseException) -> str:
    """What an error says, for a field: its first line, or its name when it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

"""What a person reads when a command fails: one sentence that says what to do. The only place that decides it.

Errors are recognised by name, so that nothing heavy is imported to say that nothing is running.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir

Say = Callable[[BaseException], str]

# What a terminal obeys or reorders instead of showing it. A line feed and a tab are left to the caller.
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Problem(Exception):
    """A command cannot do what was asked; the message is one sentence that says what to do."""


def _itself(error: BaseException) -> str:
    return str(error)


def _first_line(error: BaseException) -> str:
    """The first line of what the server or its client said, without what SQLAlchemy puts around it."""
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return said.splitlines()[0].removeprefix("ERROR:").strip().rstrip(".")


def _postgres_failed(error: BaseException) -> str:
    """No connection, or a statement that could not be finished in time."""
    if getattr(getattr(error, "orig", None), "pgcode", None) is None:
        return f"PostgreSQL does not answer ({_first_line(error)}): start it, or correct DATABASE_URL."
    return f"PostgreSQL could not do this now ({_first_line(error)}): try again."


def _statement_refused(error: BaseException) -> str:
    code = getattr(getattr(error, "orig", None), "pgcode", None)
    if code in ("42P01", "42883", "42703"):  # an unknown table, function or column
        return "The database has no tables of Agent Mesh, or older ones: run `mesh db apply`."
    return f"PostgreSQL refused this: {_first_line(error)}."


def _redis_failed(error: BaseException) -> str:
    return f"Redis does not answer ({_first_line(error)}): start it, or correct REDIS_URL."


# By module and name of the error's class or of one it inherits from; the nearest wins.
SENTENCES: Mapping[str, Say] = {
    "cli.errors.Problem": _itself,
    "settings.ConfigurationError": _itself,
    "worker.event_checks.EventRejected": _itself,
    "worker.subscriptions.SubscriptionError": _itself,
    "worker.accounts.AccountError": _itself,
    "worker.tenants.TenantError": _itself,
    "worker.redelivery.RedeliveryError": _itself,
    "worker.rejections.RejectionError": _itself,
    "worker.vault.VaultError": _itself,
    "worker.chain_setup.ChainError": _itself,
    "worker.people.PeopleError": _itself,
    "worker.people.LoginRefused": _itself,
    "providers.errors.TargetForbidden": _itself,
    "cli.embedded.EmbeddedError": _itself,
    "cli.processes.StackError": _itself,
    "sqlalchemy.exc.OperationalError": _postgres_failed,
    "sqlalchemy.exc.InterfaceError": _postgres_failed,
    "sqlalchemy.exc.TimeoutError": _postgres_failed,
    "sqlalchemy.exc.DBAPIError": _statement_refused,
    "psycopg2.OperationalError": _postgres_failed,
    "redis.exceptions.RedisError": _redis_failed,
    "kombu.exceptions.OperationalError": _redis_failed,
    "typer.exceptions.Abort": lambda error: "Stopped.",
    "click.exceptions.Abort": lambda error: "Stopped.",
    "builtins.KeyboardInterrupt": lambda error: "Stopped.",
}


def visible(text: str) -> str:
    """The text with its control characters spelled out: what strangers wrote must not steer a terminal."""
    return CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def sentence(error: BaseException) -> str | None:
    """What to tell a person about this error; None for a bug of ours."""
    for kind in type(error).__mro__:
        say = SENTENCES.get(f"{kind.__module__}.{kind.__qualname__}")
        if say is not None:
            return say(error)
    return None


def bug(error: BaseException) -> str:
    """Keep the traceback of an error that nobody foresaw; the sentence that says where."""
    log = Path(gettempdir()) / f"mesh-error-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    try:
        log.write_text("".join(traceback.format_exception(error)))
    except OSError as unwritable:
        return f"Something failed inside mesh ({type(error).__name__}), and {log} cannot be written ({unwritable})."
    return f"Something failed inside mesh ({type(error).__name__}): please report it with {log}."

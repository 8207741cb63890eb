"""What must hold before a worker takes its first message: a worker that cannot do its work would only break things."""

from __future__ import annotations

import json

import structlog
from sqlalchemy import Connection

import db.schema
import db.sealed
from db.engine import is_away
from settings import ConfigurationError
from worker.logs import first_line
from worker.resources import Resources
from worker.vault import Vault, VaultError

log = structlog.get_logger("mesh.readiness")


def check(resources: Resources) -> None:
    """Raise ConfigurationError when the database has no schema, or the keys open nothing that is stored in it.

    While Postgres is away nothing can be said: the worker starts, and waits for it.
    """
    try:
        with resources.engine.begin() as connection:
            if not db.schema.is_applied(connection):
                raise ConfigurationError("The database has no tables of Agent Mesh: run `mesh db apply`.")
            check_keys(connection, resources.vault)
    except VaultError as error:
        raise ConfigurationError(str(error)) from None
    except Exception as error:
        if not is_away(error):
            raise
        log.warning("postgres_is_away", error=first_line(error))


def check_keys(connection: Connection, vault: Vault) -> None:
    """Open one stored value of each kind. Raises VaultError when the keys are not those that sealed it."""
    for column in db.sealed.COLUMNS:
        for row in db.sealed.newest(connection, column):
            values = [each["sealed"] for each in json.loads(row.value)] if column.many else [row.value]
            for value in values:
                vault.open(value, f"{column.place}:{row.id}")

"""What commands share: the settings, one connection to PostgreSQL, the keys. Nothing is opened before it is needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import structlog
from sqlalchemy import Connection, Engine

import db.engine
from providers.addresses import AddressPolicy
from settings import current
from worker import vault
from worker.subscriptions import Subscriptions
from worker.vault import Vault


def quiet() -> None:
    """Keep what libraries log off the terminal: what a person must know, commands say themselves."""
    logging.getLogger().addHandler(logging.NullHandler())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


quiet()


@cache
def engine() -> Engine:
    """The connection pool of this command."""
    return db.engine.connect(current().database_url, name="mesh-cli", pool_size=2)


@contextmanager
def transaction() -> Iterator[Connection]:
    """An open transaction, committed when the block ends well."""
    with engine().begin() as connection:
        yield connection


@cache
def keys() -> Vault:
    """The encryption keys. Raises VaultError when they are missing or wrong."""
    return vault.parse(current().mesh_encryption_keys.get_secret_value())


def policy() -> AddressPolicy:
    """Which addresses webhooks may have."""
    return AddressPolicy(current().mesh_private_targets)


def subscriptions() -> Subscriptions:
    """Registering and changing webhooks."""
    return Subscriptions(keys(), policy())

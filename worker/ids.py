"""Ids in time order: UUIDs of version 7."""

from __future__ import annotations

from uuid import UUID

from uuid_utils.compat import uuid7


def new() -> UUID:
    """The next id."""
    return uuid7()

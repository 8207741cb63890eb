"""Moving everything sealed to the first key of MESH_ENCRYPTION_KEYS, while everything runs.

Rows are read in short batches and written back only where nobody changed them meanwhile; what the first key sealed
already is not looked at, so an interrupted rotation goes on where it stopped. The older keys must stay in
MESH_ENCRYPTION_KEYS, of every process, until it is finished. `oauth_states` are left alone: they live ten minutes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Engine

import db.sealed
from db.sealed import Column
from worker.vault import Vault, VaultError

BATCH = 100
PASSES = 3  # over a column: the later ones take what changed under the first


@dataclass
class Rotated:
    """What became of one column."""

    column: Column
    resealed: int = 0
    unreadable: dict[UUID, str] = field(default_factory=dict)  # why, by row


def rotate(engine: Engine, vault: Vault, report: Callable[[Rotated], None] = lambda done: None) -> list[Rotated]:
    """Seal everything with the first key. `report` hears of each batch."""
    return [_rotate_column(engine, vault, column, report) for column in db.sealed.COLUMNS]


def unreadable(engine: Engine, vault: Vault) -> list[str]:
    """Open everything that is sealed: why what does not open does not."""
    return [why for column in db.sealed.COLUMNS for why in _unreadable(engine, vault, column)]


def _unreadable(engine: Engine, vault: Vault, column: Column) -> Iterator[str]:
    after = None
    while True:
        with engine.begin() as connection:
            rows = db.sealed.every(connection, column, after=after, limit=BATCH)
        if not rows:
            return
        after = rows[-1].id
        for row in rows:
            try:
                for value in [each["sealed"] for each in json.loads(row.value)] if column.many else [row.value]:
                    vault.open(value, f"{column.place}:{row.id}")
            except VaultError as error:
                yield str(error)


def _rotate_column(engine: Engine, vault: Vault, column: Column, report: Callable[[Rotated], None]) -> Rotated:
    done = Rotated(column)
    for _ in range(PASSES):
        if _pass(engine, vault, done, report):
            break
    return done


def _pass(engine: Engine, vault: Vault, done: Rotated, report: Callable[[Rotated], None]) -> bool:
    """Once over the column; whether nothing changed under us."""
    undisturbed, after = True, None
    while True:
        with engine.begin() as connection:
            rows = db.sealed.stale(connection, done.column, vault.sealing_key, after=after, limit=BATCH)
        if not rows:
            return undisturbed
        after = rows[-1].id
        fresh = [(row.id, row.value, _resealed(vault, done, row.id, row.value)) for row in rows]
        with engine.begin() as connection:
            for row_id, old, new in fresh:
                if new is None:
                    continue
                if db.sealed.replace(connection, done.column, row_id, old, new):
                    done.resealed += 1
                else:
                    undisturbed = False
        report(done)


def _resealed(vault: Vault, done: Rotated, row_id: UUID, value: str) -> str | None:
    """The value under the first key; None when it cannot be opened."""
    place = f"{done.column.place}:{row_id}"
    try:
        if not done.column.many:
            return vault.seal(vault.open(value, place), place)
        secrets = json.loads(value)
        return json.dumps(
            [{**each, "sealed": vault.seal(vault.open(each["sealed"], place), place)} for each in secrets]
        )
    except VaultError as error:
        done.unreadable[row_id] = str(error)
        return None

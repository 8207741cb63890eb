"""Every column that holds sealed values ("v1:<key id>:…"), so that all can be moved to another key."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, count, run


@dataclass(frozen=True, slots=True)
class Column:
    """Where sealed values stand. `many`: a JSON list of objects with one each."""

    table: str
    name: str
    key: str = "id"
    many: bool = False

    @property
    def place(self) -> str:
        """What the values are bound to, before the row's id."""
        return f"{self.table}.{self.name}"


COLUMNS = (
    Column("webhooks", "url_sealed"),
    Column("webhooks", "secrets", many=True),
    Column("integrations", "secrets_sealed"),
    Column("integration_tokens", "access_token_sealed", key="integration_id"),
    Column("integration_tokens", "refresh_token_sealed", key="integration_id"),
)


def stale(connection: Connection, column: Column, key_id: str, *, after: UUID | None, limit: int) -> Rows:
    """(id, value) of rows that another key sealed, in id order; a list as JSON text."""
    many = f"exists (select from jsonb_array_elements({column.name}) s where not starts_with(s->>'sealed', %(prefix)s))"
    one = f"not starts_with({column.name}, %(prefix)s)"
    return run(
        connection,
        f"select {column.key} as id, {column.name}::text as value from {column.table}"
        f" where {many if column.many else one}"
        f" and (%(after)s::uuid is null or {column.key} > %(after)s) order by {column.key} limit %(limit)s",
        prefix=f"v1:{key_id}:",
        after=after,
        limit=limit,
    )


def every(connection: Connection, column: Column, *, after: UUID | None, limit: int) -> Rows:
    """(id, value) of all rows that have one, in id order; a list as JSON text."""
    return run(
        connection,
        f"select {column.key} as id, {column.name}::text as value from {column.table} where {column.name} is not null"
        f" and (%(after)s::uuid is null or {column.key} > %(after)s) order by {column.key} limit %(limit)s",
        after=after,
        limit=limit,
    )


def replace(connection: Connection, column: Column, row_id: UUID, old: str, new: str) -> bool:
    """Put another value where the old one stands. False when somebody changed or removed it meanwhile."""
    kind = "jsonb" if column.many else "text"
    return bool(
        count(
            connection,
            f"update {column.table} set {column.name} = %(new)s::{kind}"
            f" where {column.key} = %(id)s and {column.name} = %(old)s::{kind}",
            id=row_id,
            old=old,
            new=new,
        )
    )


def key_ids(connection: Connection) -> dict[str, int]:
    """How many values each key has sealed, by its id."""
    parts = [
        f"select split_part(s->>'sealed', ':', 2) as key_id from {column.table}, jsonb_array_elements({column.name}) s"
        if column.many
        else f"select split_part({column.name}, ':', 2) from {column.table} where {column.name} is not null"
        for column in sorted(COLUMNS, key=lambda column: not column.many)
    ]
    rows = run(connection, f"select key_id, count(*) as many from ({' union all '.join(parts)}) k group by 1")
    return {row.key_id: int(row.many) for row in rows}


def newest(connection: Connection, column: Column) -> Rows:
    """(id, value) of the newest row of a column that has one."""
    return run(
        connection,
        f"select {column.key} as id, {column.name}::text as value from {column.table}"
        f" where {column.name} is not null order by {column.key} desc limit 1",
    )

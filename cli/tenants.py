"""`mesh tenants`: the product's customers."""

from __future__ import annotations

import re
from typing import Annotated

import typer

import db.tenants
from cli import session
from cli.errors import Problem
from cli.show import say, state, table

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")  # as schema.sql has it

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The product's customers.")


@app.command()
def create(
    id: Annotated[str, typer.Argument(help="The product's own id of the customer.")],
    name: Annotated[str, typer.Option(help="For people; the id by default.")] = "",
) -> None:
    """Add a tenant. Doing it again changes nothing."""
    if not _ID.fullmatch(id):
        raise Problem(f'"{id}" cannot be a tenant\'s id: use up to 128 letters, digits and . _ : - only.')
    with session.transaction() as connection:
        new = db.tenants.create(connection, id, name or id)
    say(f"Tenant {id} is there." if new else f"Tenant {id} was there already: nothing changed.")


@app.command("list")
def every() -> None:
    """All tenants, oldest first."""
    with session.transaction() as connection:
        rows = db.tenants.every(connection)
    table(
        ("id", "state", "created", "name"),
        ((row.id, state(row.state), row.created_at, row.name) for row in rows),
        empty="No tenants yet: create one with `mesh tenants create ID`.",
    )

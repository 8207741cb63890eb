"""`mesh tenants`: the product's customers."""

from __future__ import annotations

from typing import Annotated

import typer

import db.tenants
from cli import session
from cli.show import say, state, table
from worker import tenants

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The product's customers.")


@app.command()
def create(
    id: Annotated[str, typer.Argument(help="The product's own id of the customer.")],
    name: Annotated[str, typer.Option(help="For people; the id by default.")] = "",
) -> None:
    """Add a tenant. Doing it again changes nothing."""
    with session.transaction() as connection:
        new = tenants.create(connection, id, name)
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

"""`mesh db apply`: bring the database to this version's schema and catalog."""

from __future__ import annotations

import typer

from cli.show import console

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def _group() -> None:
    """The database's schema."""


@app.command()
def apply() -> None:
    """Apply `schema.sql` and the catalog of event types. Safe to repeat, also while everything runs."""
    from settings import current

    apply_schema(current().database_url)
    from worker.catalog import event_types

    console.print(f"The schema is applied, with {len(event_types())} event types.", highlight=False)


def apply_schema(database_url: str) -> None:
    """Bring the database at this address up to date."""
    import db.engine
    import db.schema
    from worker import catalog

    engine = db.engine.connect(database_url, name="mesh-schema", pool_size=1)
    try:
        with engine.begin() as connection:
            db.schema.apply(connection, catalog.rows())
    finally:
        engine.dispose()

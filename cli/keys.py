"""`mesh keys`: encryption keys."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.markup import escape

from cli import session
from cli.errors import Problem
from cli.show import say
from worker import vault
from worker.rotation import rotate as reseal

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Encryption keys: make one, move everything to it.")


@app.command()
def generate(
    id: Annotated[str, typer.Option(help="The new key's name: one that was not used before.")] = "k1",
) -> None:
    """Print a new key, as MESH_ENCRYPTION_KEYS takes it. Nothing is stored."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", id):
        raise Problem(f'"{id}" cannot be a key\'s name: use up to 32 letters, digits, - and _.')
    typer.echo(vault.generate(id))


@app.command()
def rotate() -> None:
    """Seal every token and secret with the first key of MESH_ENCRYPTION_KEYS. Safe while everything runs.

    First put the new key before the old ones ("k2:…,k1:…") and restart all processes; then run this; when it says that
    all is done, the old keys may go.
    """
    keys = session.keys()
    done = reseal(session.engine(), keys)
    for column in done:
        say(f"  {column.column.place:<42} {column.resealed} re-sealed")
    unreadable = [why for column in done for why in column.unreadable.values()]
    if unreadable:
        raise Problem(_unreadable(unreadable))
    say(f"Everything is sealed with {escape(keys.sealing_key)}: older keys may leave MESH_ENCRYPTION_KEYS.")


def _unreadable(reasons: list[str]) -> str:
    first = reasons[0].rstrip(".")
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"Not everything could be opened: {first}{more}. Keep all keys, add the missing one, and run this again."

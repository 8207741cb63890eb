"""`mesh keys`: encryption keys."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.markup import escape

from cli import session
from cli.errors import Problem
from cli.show import say
from settings import ConfigurationError, current, load
from worker import vault
from worker.rotation import rotate as reseal
from worker.rotation import unreadable

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Encryption keys: make one, move everything to it.")


@app.command()
def generate(
    id: Annotated[str | None, typer.Option(help="The new key's name; the next free one by default.")] = None,
) -> None:
    """Print a new key, as MESH_ENCRYPTION_KEYS takes it. Nothing is stored."""
    if id is None:
        id = _next_name(_configured())
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", id):
        raise Problem(f'"{id}" cannot be a key\'s name: use up to 32 letters, digits, - and _.')
    typer.echo(vault.generate(id))


def _configured() -> str:
    """MESH_ENCRYPTION_KEYS as it is now, the stack's where one runs; empty where there is none."""
    try:
        return current().mesh_encryption_keys.get_secret_value()
    except ConfigurationError:
        pass
    try:
        return load().mesh_encryption_keys.get_secret_value()
    except ConfigurationError:
        return ""


def _next_name(keys: str) -> str:
    """k1, or the next one after all k<number> that are configured."""
    try:
        vault.parse(keys)
    except vault.VaultError:
        return "k1"
    used = [int(found[1]) for found in re.finditer(r"(?:^|,)\s*k(\d{1,9}):", keys)]
    return f"k{max(used, default=0) + 1}"


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
    closed = unreadable(session.engine(), keys)
    if closed:
        raise Problem(_unreadable(closed))
    say(f"Everything is sealed with {escape(keys.sealing_key)}: older keys may leave MESH_ENCRYPTION_KEYS.")


def _unreadable(reasons: list[str]) -> str:
    first = reasons[0].rstrip(".")
    more = f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""
    return f"Not everything could be opened: {first}{more}. Keep all keys, mend that, and run this again."

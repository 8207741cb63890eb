"""`mesh keys`: API keys, and encryption keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

import db.api_keys
from cli import session
from cli.errors import Problem
from cli.show import ago, known_tenant, say, table
from cli.times import duration
from settings import ConfigurationError, current, load
from worker import api_keys, vault
from worker.rotation import rotate as reseal
from worker.rotation import unreadable

HELP = "API keys: create, list, revoke. Encryption keys: generate, rotate."

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="API keys: create, list, revoke. Encryption keys: generate, rotate.",
)


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


@app.command()
def create(
    name: Annotated[str, typer.Option(help="Who uses it.")],
    tenant: Annotated[str | None, typer.Option(help="For this tenant only; without it an operator's, for all.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="publish, read, manage; all unless some are named.")] = None,
    expires: Annotated[str | None, typer.Option(help="When it ends, such as 90d.")] = None,
) -> None:
    """Make an API key. It is shown once, here."""
    ends = datetime.now(UTC) + duration(expires) if expires else None
    with session.transaction() as connection:
        made = api_keys.create(
            connection, name=name, tenant_id=tenant, scopes=scope or api_keys.SCOPES, expires_at=ends
        )
    say(f"API key {made.id} is made, for {escape(tenant) if tenant else 'all tenants'}:")
    typer.echo(made.key)
    say("It is shown this once and kept as a hash: store it where it is used.")


@app.command("list")
def every(tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None) -> None:
    """All API keys, oldest first."""
    with session.transaction() as connection:
        known_tenant(connection, tenant)
        rows = db.api_keys.every(connection, tenant)
    table(
        ("id", "tenant", "name", "key", "for", "used", "state"),
        (
            (
                row.id,
                row.tenant_id or "all",
                row.name,
                row.hint,
                ", ".join(row.scopes),
                ago(row.last_used_at) or "never",
                _key_state(row),
            )
            for row in rows
        ),
        empty="No API keys yet: make one with `mesh keys create`.",
    )


def _key_state(row: Any) -> str:
    if row.revoked_at:
        return f"revoked {ago(row.revoked_at)}"
    if row.expires_at and row.expires_at < datetime.now(UTC):
        return f"expired {ago(row.expires_at)}"
    return "good"


@app.command()
def revoke(id: UUID) -> None:
    """End an API key at once."""
    with session.transaction() as connection:
        ended = db.api_keys.revoke(connection, id)
    if not ended:
        raise Problem(f"There is no API key {id} that is good: `mesh keys list` shows all.")
    say(f"API key {id} is revoked: who uses it gets 401 from now on.")

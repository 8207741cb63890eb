"""`mesh chains`: what one provider's result starts at the next."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

import db.chains
import db.events
from cli import session
from cli.errors import Problem
from cli.show import known_tenant, many, say, say_json, state, table
from worker import chain_setup
from worker.chains import follow_step
from worker.event_checks import EventRejected

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="What one provider's result starts at the next: chains of steps, as configuration.",
)
Tenant = Annotated[str, typer.Option(help="Whose chain it is.")]


@app.command()
def apply(
    file: Annotated[str, typer.Argument(help='A chain as JSON: {"name", "steps": [...]}; - reads standard input.')],
    tenant: Tenant,
) -> None:
    """Set a chain up, or change it: what the old one has begun goes on as it was."""
    definition = _read(file)
    with session.transaction() as connection:
        made = chain_setup.apply(connection, tenant, definition)
    say(f"Chain {made.chain} of {tenant} is {made.what}, with {many(made.steps, 'step', 'steps')}.")
    for note in made.notes:
        say(f"[yellow]Note:[/] {note}")


def _read(file: str) -> Any:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return json.loads(text)
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise Problem(f"{file} is not JSON: {error}.") from None


@app.command("list")
def every(tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None) -> None:
    """All chains, each with its steps."""
    with session.transaction() as connection:
        known_tenant(connection, tenant)
        rows = db.chains.of_tenant(connection, tenant)
    table(
        ("tenant", "chain", "state", "step", "after", "when", "integration", "does"),
        (
            (
                row.tenant_id,
                row.chain,
                state(row.state),
                row.position,
                _position(row.after_id, rows),
                row.event_type,
                f"{row.provider}/{row.integration_name}",
                row.action,
            )
            for row in rows
        ),
        empty="No chains yet: set one up with `mesh chains apply`.",
    )


def _position(step_id: UUID | None, rows: Any) -> int | None:
    return next((row.position for row in rows if row.id == step_id), None)


@app.command()
def show(chain: str, tenant: Tenant) -> None:
    """One chain as `mesh chains apply` takes it."""
    with session.transaction() as connection:
        rows = db.chains.of_tenant(connection, tenant, chain=chain)
    if not rows:
        raise Problem(chain_setup.nowhere(tenant, chain))
    say_json({"name": chain, "steps": chain_setup.steps_of(rows)})


@app.command("try")
def attempt(
    chain: str,
    event: Annotated[UUID, typer.Argument(help="An event that happened.")],
    tenant: Tenant,
) -> None:
    """What the steps that wait for such an event would make of it; nothing is published."""
    with session.transaction() as connection:
        rows = db.chains.of_tenant(connection, tenant, chain=chain)
        happened = db.events.as_event(connection, event)
        if not rows:
            raise Problem(chain_setup.nowhere(tenant, chain))
        if happened is None or happened.tenant_id != tenant:
            raise Problem(f'There is no event {event} of tenant "{tenant}": `mesh events list` shows the newest.')
        fitting = [row for row in rows if row.event_type == happened.type]
        if not fitting:
            raise Problem(f"No step of {chain} waits for {happened.type}.")
        for row in fitting:
            say(f"Step {row.position}: {row.provider}/{row.integration_name} would get {row.action}")
            try:
                say_json(follow_step(connection, row, happened).event.data)
            except EventRejected as error:
                say(f"[red]{error}[/]")


@app.command()
def disable(chain: str, tenant: Tenant) -> None:
    """Stop following a chain; what it has begun stops at the next step too."""
    _set(tenant, chain, "disabled", "is disabled: `mesh chains enable` follows it again.")


@app.command()
def enable(chain: str, tenant: Tenant) -> None:
    """Follow a chain again."""
    _set(tenant, chain, "active", "is active.")


@app.command()
def remove(chain: str, tenant: Tenant) -> None:
    """Remove a chain for good."""
    _set(tenant, chain, "removed", "is removed.")


def _set(tenant: str, chain: str, wanted: str, said: str) -> None:
    with session.transaction() as connection:
        chain_setup.set_state(connection, tenant, chain, wanted)
    say(f"Chain {chain} of {tenant} {said}")

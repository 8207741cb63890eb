"""`mesh integrations`: accounts of tenants at the providers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

import db.integrations
from cli import session
from cli.errors import Problem
from cli.show import known_tenant, many, say, state, table
from providers import PROVIDERS
from providers.contract import Field
from settings import current
from worker import accounts

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Accounts of tenants at the providers.")


@app.command()
def providers() -> None:
    """What can be connected: its fields, and the event types it acts on."""
    for each in PROVIDERS.values():
        say(f"[bold]{each.name}[/]  {each.title}, API {each.api_version}, {each.docs_url}")
        say(f"  [dim]fields[/]   {', '.join(map(_field, each.fields)) or 'none'}")
        say(f"  [dim]acts on[/]  {', '.join('any event' if name == '*' else name for name in each.actions)}")
    say("\n[dim]* secret, kept encrypted   ? may be left out[/]")


def _field(field: Field) -> str:
    optional = not field.required or field.default is not None
    return field.name + ("*" if field.sensitive else "") + ("?" if optional else "")


@app.command()
def connect(
    provider: Annotated[str, typer.Argument(help="One of `mesh integrations providers`.")],
    tenant: Annotated[str, typer.Option(help="Whose account it is.")],
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="NAME=@file reads a file. Secrets left out are asked for."),
    ] = None,
    name: Annotated[str, typer.Option(help="To tell several accounts apart.")] = "default",
) -> None:
    """Connect a tenant's account. A secret is best given by file or when asked: a command line is seen by others."""
    facts = PROVIDERS.get(provider)
    given = dict(_given(each) for each in field or ())
    installed = current().provider_credentials(provider) if facts else {}
    if facts is not None and sys.stdin.isatty():
        given |= _asked([each for each in facts.fields if each.name not in given and each.name not in installed])
    with session.transaction() as connection:
        integration_id = accounts.connect(
            connection,
            session.keys(),
            tenant_id=tenant,
            provider=provider,
            fields=given,
            name=name,
            installed=installed,
        )
    say(f"Integration {integration_id}: {tenant} is connected to {PROVIDERS[provider].title}.")


def _given(text: str) -> tuple[str, str]:
    """NAME=VALUE, or NAME=@file."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        # What stands there may be a secret: it is not repeated.
        raise Problem("A --field must read NAME=VALUE or NAME=@file, such as voice_id=v_narrator.")
    if not value.startswith("@"):
        return name, value
    try:
        return name, Path(value[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{value[1:]} cannot be read: {error}.") from None


def _asked(fields: Sequence[Field]) -> dict[str, str]:
    """What the person at the terminal answers, secrets without echo."""
    needed = [each for each in fields if each.required and each.default is None]
    return {each.name: str(typer.prompt(each.label, hide_input=each.sensitive)) for each in needed}


@app.command()
def reconnect(
    id: UUID,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What changes; NAME=@file reads a file. Secrets are asked for."),
    ] = None,
) -> None:
    """Change an integration's fields and make it work again: what waited is due now."""
    with session.transaction() as connection:
        row = db.integrations.get(connection, id)
    facts = PROVIDERS[row.provider] if row is not None else None
    given = dict(_given(each) for each in field or ())
    installed = current().provider_credentials(facts.name) if facts else {}
    if facts is not None and sys.stdin.isatty():
        given |= _asked_again([each for each in facts.fields if each.sensitive and each.name not in given])
    with session.transaction() as connection:
        count = accounts.reconnect(connection, session.keys(), id, given, installed=installed)
    say(f"Integration {id} is active; {_due(count)} now.")


def _asked_again(secrets: Sequence[Field]) -> dict[str, str]:
    """New secrets from the person at the terminal, without echo; an empty answer keeps the one that is there."""
    answers = {
        each.name: str(typer.prompt(f"{each.label} (Enter keeps it)", default="", hide_input=True, show_default=False))
        for each in secrets
    }
    return {name: answer for name, answer in answers.items() if answer}


@app.command()
def disconnect(id: UUID) -> None:
    """End an integration: what waits for it is cancelled, and it gets nothing more."""
    with session.transaction() as connection:
        accounts.disconnect(connection, id)
    say(f"Integration {id} is disconnected: `mesh integrations reconnect {id}` connects it again.")


@app.command("list")
def every(tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None) -> None:
    """All integrations, oldest first."""
    with session.transaction() as connection:
        known_tenant(connection, tenant)
        rows = db.integrations.every(connection, tenant)
    table(
        ("id", "state", "tenant", "provider", "name", "why"),
        (
            (row.id, state(row.state), row.tenant_id, row.provider, row.name, row.state_reason or row.hold_reason)
            for row in rows
        ),
        empty="No integrations yet: connect one with `mesh integrations connect`.",
    )


@app.command()
def pause(id: UUID) -> None:
    """Stop calling: deliveries wait."""
    with session.transaction() as connection:
        accounts.pause(connection, id)
    say(f"Integration {id} is paused: its deliveries wait for `mesh integrations resume {id}`.")


@app.command()
def resume(id: UUID) -> None:
    """Call again: what waited is due now."""
    with session.transaction() as connection:
        count = accounts.resume(connection, id)
    say(f"Integration {id} is active; {_due(count)} now.")


def _due(count: int) -> str:
    return many(count, "waiting delivery is due", "waiting deliveries are due")

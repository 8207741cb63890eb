"""`mesh users`: people who may use the pages under /ui."""

from __future__ import annotations

import sys
from getpass import getuser
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

import db.people
from cli import session
from cli.errors import Problem
from cli.show import say, state, table
from worker import audit, people
from worker.people import Role

app = typer.Typer(no_args_is_help=True, add_completion=False, help="People who may use the pages under /ui.")

PasswordFile = Annotated[
    str | None, typer.Option(metavar="FILE", help="Read the password from a file (- = standard input) and ask nobody.")
]


@app.command()
def add(
    name: str,
    role: Annotated[Role, typer.Option(help="viewer looks; operator changes things; admin manages people and keys.")],
    tenant: Annotated[str | None, typer.Option(help="Sees this tenant only; without it, all of them.")] = None,
    password_file: PasswordFile = None,
) -> None:
    """Let somebody use the pages; asks for a password."""
    password = _password(password_file)
    with session.transaction() as connection:
        person_id = people.add(connection, name, role, password, tenant)
        _note(connection, "add person", person_id, tenant_id=tenant, name=people.named(name), role=role.value)
    say(f"{people.named(name)} may log in at /ui as {role.value}, {f'for {tenant}' if tenant else 'for all tenants'}.")


@app.command("list")
def every() -> None:
    """Everybody who may use the pages."""
    with session.transaction() as connection:
        rows = db.people.every(connection)
    table(
        ("name", "state", "role", "tenant", "last login"),
        ((row.name, state(row.state), row.role, row.tenant_id or "all", row.last_login_at) for row in rows),
        empty="Nobody yet: `mesh users add NAME --role admin` makes the first.",
    )


@app.command()
def disable(name: str) -> None:
    """Let somebody in no more; who is logged in is out at once."""
    with session.transaction() as connection:
        people.set_state(connection, name, "disabled")
        _note(connection, "disable person", name=people.named(name))
    say(f"{people.named(name)} cannot log in any more: `mesh users enable {people.named(name)}` changes that.")


@app.command()
def enable(name: str) -> None:
    """Let somebody in again."""
    with session.transaction() as connection:
        people.set_state(connection, name, "active")
        _note(connection, "enable person", name=people.named(name))
    say(f"{people.named(name)} may log in again.")


@app.command()
def password(name: str, password_file: PasswordFile = None) -> None:
    """Give somebody another password; who is logged in is out at once."""
    new = _password(password_file)
    with session.transaction() as connection:
        people.set_password(connection, name, new)
        _note(connection, "change password", name=people.named(name))
    say(f"{people.named(name)} has another password, and was logged out everywhere.")


def _password(file: str | None) -> str:
    """From a file, else from the person at the terminal, twice and without echo."""
    if file is None:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{file} cannot be read: {error}.") from None
    return text.removesuffix("\n").removesuffix("\r")


def _note(connection: Any, action: str, person_id: UUID | str = "", **details: Any) -> None:
    audit.record(connection, audit.Actor(_user(), "cli"), action, subject="person", subject_id=person_id, **details)


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "somebody"

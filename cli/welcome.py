"""What `mesh up` prints once everything runs: where things are, and lines that can be copied as they stand."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from sqlalchemy.exc import DBAPIError

import db.engine
import db.people
from worker import people

if TYPE_CHECKING:
    from cli.stack import Stack

RECEIVER = "/receive/hello"
FAILING = "/fault/500" + RECEIVER


def lines(stack: Stack) -> Iterator[str]:
    """The lines, as rich markup."""
    yield "[bold]Agent Mesh runs; Ctrl-C stops it[/]\n"
    for name, value in _places(stack):
        yield f"  [dim]{name:<10}[/] {value}"
    if stack.postgres and stack.redis:
        yield "\n[bold]For your own programs[/]   [dim]a local stack: whoever has these lines may use it[/]"
        for name in ("database_url", "redis_url"):
            yield f"{name.upper()}={escape(shlex.quote(stack.settings[name]))}"
    yield "\n[bold]Try it, in another terminal[/]"
    yield from _commands(stack)


def _places(stack: Stack) -> Iterator[tuple[str, str]]:
    if stack.flower_url:
        user, _, password = stack.settings.get("flower_basic_auth", "").partition(":")
        yield "Flower", f"{stack.flower_url}   user {escape(user)}, password {escape(password)}"
    if stack.api_url:
        yield "pages", f"{stack.api_url}/ui{first_user(stack)}"
        yield (
            "doors",
            f"{stack.api_url}/hooks/…   [dim]for webhooks of providers, and /media/… for their fetching[/]",
        )
    if stack.sandbox_url:
        yield "sandbox", f"{stack.sandbox_url}   [dim]stand-ins of the providers: sandbox/README.md[/]"
        yield "receiver", f"{stack.sandbox_url}{RECEIVER}   [dim]takes any webhook[/]"
        yield "", f"{stack.sandbox_url}/_sandbox/   [dim]shows what it took, and breaks and mends it[/]"
        yield "failing", f"{stack.sandbox_url}{FAILING}   [dim]answers 500[/]"
    if not stack.postgres:
        yield "servers", "those of DATABASE_URL and REDIS_URL"
    yield "processes", ", ".join(f"{name} ({pid})" for name, pid in stack.supervisor.pids().items())
    yield "logs", escape(str(stack.supervisor.logs))


def first_user(stack: Stack) -> str:
    """Who can log in where nobody could: on servers of our own an admin is made, on others it is said how.

    Nothing where somebody can already, or where nobody can tell.
    """
    engine = db.engine.connect(stack.settings["database_url"], name="mesh-up", pool_size=1)
    try:
        with engine.begin() as connection:
            if not stack.postgres and db.people.is_empty(connection):
                return f"   [dim]nobody can log in yet:[/] {escape(command())} users add NAME --role admin"
            password = people.add_first(connection) if stack.postgres else None
    except DBAPIError:
        return ""
    finally:
        engine.dispose()
    return f"   user admin, password {escape(password)}   [dim]shown this once[/]" if password else ""


def _commands(stack: Stack) -> Iterator[str]:
    """A tenant, a webhook at the sandbox, an event; each can be copied whole."""
    mesh = escape(command())
    if stack.env.get("MESH_HOME"):
        yield f"export MESH_HOME={escape(shlex.quote(str(stack.home)))}"
    yield f"{mesh} tenants create acme"
    if stack.sandbox_url:
        yield f"{mesh} webhooks register --tenant acme --event campaign.paused \\"
        yield f"    --url {stack.sandbox_url}{RECEIVER}"
    yield f"""{mesh} publish campaign.paused --tenant acme --data '{{"campaign_id": "cmp_1"}}'"""
    if stack.sandbox_url:
        yield f"{mesh} integrations connect meta_ads --tenant acme   [dim]prints the address of a login page[/]"


def command() -> str:
    """How this command was called, as another terminal in this folder can call it too."""
    given = Path(sys.argv[0])
    if given.name != "mesh":
        return "mesh"  # as a module, or from a test
    if given.is_absolute() and given.is_relative_to(Path.cwd()):
        return shlex.quote(str(given.relative_to(Path.cwd())))
    found = shutil.which("mesh")
    return "mesh" if found == str(given) or given == Path("mesh") else shlex.quote(str(given))

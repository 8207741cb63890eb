"""`mesh events`: what happened, the catalog of types, and what was rejected."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.text import Text

import db.events
import db.rejected
from cli import session
from cli.errors import Problem
from cli.show import ago, console, known_tenant, safe, say, say_json, state, table
from cli.tree import event_tree, in_all
from worker import rejections
from worker.catalog import event_types, unknown
from worker.event_checks import MESSAGE_KEY

BODY_SHOWN = 2_000  # characters of a rejected body

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="What happened: events, their types, and what was rejected."
)


@app.command("list")
def every(
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
) -> None:
    """The newest events."""
    with session.transaction() as connection:
        known_tenant(connection, tenant)
        rows = db.events.page(connection, tenant_id=tenant, limit=limit)
    table(
        ("id", "type", "tenant", "accepted", "idempotency key"),
        ((row.id, row.type, row.tenant_id, row.accepted_at, _given_key(row)) for row in rows),
        empty="No events yet: publish one with `mesh publish`.",
    )


def _given_key(row: Any) -> str:
    """The producer's idempotency key; not the one made of its message or its cause."""
    made = row.caused_by is not None or (row.idempotency_key or "").startswith(MESSAGE_KEY)
    return "" if made else row.idempotency_key or ""


@app.command()
def show(
    id: UUID,
    data: Annotated[bool, typer.Option("--data", help="The event's data too.")] = False,
) -> None:
    """One event as a tree: its deliveries, their attempts with times and costs, and all that came of it."""
    with session.transaction() as connection:
        tree = event_tree(connection, id)
        event = db.events.get(connection, id)
        sums = in_all(connection, id)
    if tree is None or event is None:
        raise Problem(f"There is no event {id}: `mesh events list` shows the newest.")
    console.print(tree)
    if sums:
        say(f"[dim]In all:[/] {sums}")
    if event.trace_id is not None and event.trace_id != event.id:
        say(f"[dim]It came of another event:[/] mesh events show {event.trace_id}")
    if data:
        say_json(event.data)


@app.command()
def types(
    name: Annotated[str | None, typer.Argument(help="One of them: its schema and an example.")] = None,
) -> None:
    """The catalog: every event type, or one with its schema and an example."""
    if name is None:
        table(
            ("type", "needs", "means"),
            (
                (kind.name, ", ".join(kind.schema.get("required", ())), kind.description)
                for kind in event_types().values()
            ),
            empty="The catalog is empty.",
        )
        return
    kind = event_types().get(name)
    if kind is None:
        raise Problem(unknown(name))
    say(f"[bold]{kind.name}[/]: {escape(kind.description)}")
    for title, value in (("schema", kind.schema), ("example", kind.example)):
        say(f"\n[dim]{title}[/]")
        say_json(value)
    say(f"\nmesh publish {kind.name} --tenant TENANT --data '{escape(json.dumps(kind.example))}'")


@app.command()
def rejected(
    id: Annotated[UUID | None, typer.Argument(help="One of them, whole.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
) -> None:
    """What no door could take, newest first, or one of them with its body."""
    with session.transaction() as connection:
        rows: Any = db.rejected.page(connection, limit=limit) if id is None else db.rejected.get(connection, id)
    if id is None:
        table(
            ("id", "state", "door", "tenant", "received", "reason"),
            ((row.id, _settled(row), row.door, row.tenant_id, row.received_at, row.reason) for row in rows),
            empty="Nothing was rejected.",
        )
        return
    if not rows:
        raise Problem(f"There is no rejected event {id}: `mesh events rejected` lists those that are.")
    _show_rejected(rows[0])


@app.command()
def retry(id: UUID) -> None:
    """Accept a rejected event after all, once what was wrong is mended (an unknown tenant, a new type)."""
    with session.transaction() as connection:
        event_id = rejections.retry(connection, id)
    say(f"Accepted as event {event_id}: follow it with `mesh events show {event_id}`.")


@app.command()
def dismiss(id: UUID) -> None:
    """Note that a rejected event needs nothing more."""
    with session.transaction() as connection:
        rejections.dismiss(connection, id)
    say(f"Rejected event {id} is dismissed.")


def _settled(row: Any) -> Text:
    return state("open" if row.resolved_at is None else "settled")


def _show_rejected(row: Any) -> None:
    body = bytes(row.body).decode("utf-8", "replace")
    cut = f" (the first {BODY_SHOWN} characters)" if len(body) > BODY_SHOWN else ""
    say(f"[red]rejected[/] {row.id}  through the {row.door} door, {ago(row.received_at)}")
    if row.resolved_at is None:
        say("  state   open")
    else:
        say(f"  state   settled at {row.resolved_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, {ago(row.resolved_at)}")
    say(f"  reason  {safe(row.reason)}")
    say(f"  tenant  {safe(row.tenant_id or '–')}")
    say(f"  type    {safe(row.event_type or '–')}")
    say(f"  body    {row.body_size} bytes{cut}")
    say(escape(body[:BODY_SHOWN]))
